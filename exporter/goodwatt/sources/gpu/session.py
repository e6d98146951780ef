"""Every GPU of an opened driver, keyed by UUID."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import TypeVar

from goodwatt.model.gpu import Gpu, GpusReading
from goodwatt.model.gpu_driver import DriverError, GpuDriver
from goodwatt.model.source import Reason, SourceUnavailable
from goodwatt.sources.gpu.device import Card, Refusal
from goodwatt.sources.gpu.errors import Fault, dead, denied, fault_of, not_opened

D = TypeVar("D")

ADOPT_EVERY_READS = 12


class Session:
    """Lives on the lane's thread, from one open of the driver to the next.

    `before` are the cards of the session that ended: a GPU that was known and is not found now is LOST, and sampled
    energy goes on where it stood. Raises SourceUnavailable when there is no GPU to read.
    """

    def __init__(self, driver: GpuDriver, before: Mapping[str, Card]) -> None:
        self.driver = driver
        self.version = _text_or(driver.driver_version, "unknown")
        self.cards: dict[str, Card] = {}
        self._known = dict(before)
        self._unnamed: dict[int, DriverError] = {}
        self._reads = 0
        self._adopt(range(driver.count()))
        if not self.cards:
            raise self._nothing()

    @property
    def integrates(self) -> bool:
        """Whether any GPU's joules come from sampled power."""
        return any(card.integrates for card in self.cards.values())

    def known(self) -> dict[str, Card]:
        """Every GPU ever seen, for the session after this one."""
        return {**self._known, **self.cards}

    def read(self, clock: Callable[[], float]) -> GpusReading:
        """Every GPU now. Raises DriverError when the driver is gone, SourceUnavailable when it answers nothing."""
        if self._unnamed and self._reads % ADOPT_EVERY_READS == 0:
            self._adopt(tuple(self._unnamed))
        self._reads += 1
        readings = [card.read(clock) for card in self.cards.values()]
        self._refuse_if_silent()
        readings += [card.absent(clock) for card in self._absent()]
        readings.sort(key=lambda reading: reading.gpu.index)
        return GpusReading(tuple(readings), self.driver.simulated, tuple(self._notes()))

    def sample(self, clock: Callable[[], float]) -> None:
        """Count the power of every GPU without an energy counter. One that cannot answer is left to the next read."""
        for card in self.cards.values():
            if card.integrates and not card.lost:
                with suppress(DriverError):  # the next read meets it again and says so
                    card.sample(clock())

    def _adopt(self, indices: Iterable[int]) -> None:
        for index in indices:
            try:
                card = self._card(index)
            except DriverError as error:
                if fault_of(error) is Fault.GONE:
                    raise
                self._unnamed[index] = error
            else:
                self._unnamed.pop(index, None)
                self.cards[card.gpu.uuid] = card

    def _card(self, index: int) -> Card:
        driver = self.driver
        handle = driver.handle(index)
        uuid = driver.uuid(handle)
        product = _text_or(lambda: driver.product(handle), "unknown")
        board = _text_or(lambda: driver.board_serial(handle), None)
        gpu = Gpu(uuid=uuid, index=index, product=product, driver=self.version, board=board)
        return Card(driver, handle, gpu, self._known.get(uuid))

    def _absent(self) -> list[Card]:
        return [card for uuid, card in self._known.items() if uuid not in self.cards]

    def _nothing(self) -> SourceUnavailable:
        for error in self._unnamed.values():
            return denied(error) if fault_of(error) is Fault.DENIED else not_opened(error)
        return SourceUnavailable(
            Reason.NO_GPUS,
            f"nvml: driver {self.version} is loaded and lists no GPU; in a container pass one in (--gpus all), or set "
            "gpus: {kind: none}",
        )

    def _refuse_if_silent(self) -> None:
        present = [card for card in self.cards.values() if not card.lost]
        if not present or any(card.answers for card in present):
            return
        refusals = [refusal for card in present for refusal in card.refusals.values()]
        for fault, say in ((Fault.DEAD, dead), (Fault.DENIED, denied)):
            found = _first(refusals, fault)
            if found is not None:
                raise say(found.error)

    def _notes(self) -> Iterable[str]:
        for card in self.cards.values():
            yield from card.notes()
        for index, error in self._unnamed.items():
            yield f"gpu {index}: cannot be identified: {error}"
        for card in self._absent():
            yield f"gpu {card.gpu.index} ({card.gpu.uuid}): no longer listed by the driver"


def _first(refusals: list[Refusal], fault: Fault) -> Refusal | None:
    return next((refusal for refusal in refusals if refusal.fault is fault), None)


def _text_or(ask: Callable[[], str], default: D) -> str | D:
    try:
        return ask()
    except DriverError as error:
        if fault_of(error) is Fault.GONE:
            raise
        return default
