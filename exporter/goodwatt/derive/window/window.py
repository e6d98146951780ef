"""The live figures of one tick: every account and SLO over the window that ends now."""

from collections.abc import Collection
from dataclasses import dataclass

from goodwatt.derive.state import Mark, State
from goodwatt.derive.window.rates import account_live, exact_live, server_window_seconds, slo_live, start_mark
from goodwatt.model.ledger import Account, SloKey
from goodwatt.model.policy import Policy
from goodwatt.model.snapshot import ExactLive, Live, SloLive


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveWindows:
    """Measures windows that end at `now`. Without `with_energy` no watts are given.

    In the methods, `servers` are those with a fresh page, and `record_sources` those with a fresh record source.
    """

    state: State
    policy: Policy
    now: float
    with_energy: bool

    def accounts(self, servers: Collection[str]) -> dict[Account, Live]:
        """Return the rates of every account that was known before this tick."""
        figures = {}
        for account, first_seen in self.state.since.items():
            start = self._start(account, first_seen)
            if account.server in servers and start is not None:
                figures[account] = self._live(account, start)
        return figures

    def slos(self, servers: Collection[str]) -> dict[SloKey, SloLive]:
        """Return the bounds of every SLO that has totals from histograms."""
        named, figures = {slo.name: slo for slo in self.policy.slos}, {}
        for key in self.state.ledger.slos:
            start = self._start(key.account, self.state.since[key.account])
            if key.account.server in servers and start is not None:
                figures[key] = slo_live(named[key.slo], key, self.state.ledger, start, self.now)
        return figures

    def records(self, servers: Collection[str], record_sources: Collection[str]) -> dict[SloKey, ExactLive]:
        """Return the exact counts of every SLO that has totals from records.

        A window starts once both records and pages of the account were read, so good requests and joules cover the
        same time. Without a fresh page of its server an account is charged nothing, so its rates are unknown.
        """
        figures = {}
        for key in self.state.ledger.exact:
            account = key.account
            start = self._start(account, max(self.state.records_since[account], self.state.since.get(account, 0.0)))
            if account.server in record_sources and start is not None:
                unknown = Live(seconds=self.now - start.at_seconds)
                rates = self._live(account, start) if account.server in servers else unknown
                figures[key] = exact_live(key, self.state.ledger, start, rates)
        return figures

    def _start(self, account: Account, first_seen: float) -> Mark | None:
        window = server_window_seconds(self.state.engines.get(account.server), self.policy)
        return start_mark(self.state.marks, first_seen, self.now, window)

    def _live(self, account: Account, start: Mark) -> Live:
        return account_live(self.state.ledger, start, self.now, account, self.with_energy)
