"""How long a server with requests in progress has made no progress."""

from dataclasses import replace

from goodwatt.derive.retention import forget_removed
from goodwatt.model.engine import EngineTraits, Moves, Signal
from goodwatt.model.source import SourceResult, server_source
from tests.fakes.readings import MODEL, Fold, counter, page, served, silent, tokens_page


def stalled(fold: Fold) -> float | None:
    return fold.snapshots[-1].stalled_seconds.get("s")


def test_a_hung_engine() -> None:
    """With a request running and no token counted, the time grows; the next token ends it."""
    fold = Fold()
    for at, generated, expected in ((0, 5, 0), (5, 9, 0), (10, 9, 5), (15, 9, 10), (20, 10, 0), (25, 10, 5)):
        fold.tick(at, tokens_page("s", at, generated, running=1.0))
        assert stalled(fold) == expected, at


def test_an_idle_server_is_not_stalled() -> None:
    """Without a request in progress nothing needs to move; a waiting one counts as much as a running one."""
    fold = Fold()
    for at in (0, 5, 10):
        fold.tick(at, tokens_page("s", at, 5.0, running=0.0))
    assert stalled(fold) == 0
    for at in (15, 20):
        waiting = page("s", at, counter(Signal.GENERATED_TOKENS, 5.0), gauges={(Signal.REQUESTS_WAITING, MODEL): 3.0})
        fold.tick(at, served(waiting))
    assert stalled(fold) == 10


def test_any_signal_is_progress() -> None:
    """Prompt tokens and finished requests are progress too."""
    fold = Fold()
    for at, prompt in ((0, 1.0), (5, 1.0), (10, 2.0)):
        running = {(Signal.REQUESTS_RUNNING, MODEL): 1.0}
        counts = (counter(Signal.GENERATED_TOKENS, 5.0), counter(Signal.PROMPT_TOKENS, prompt))
        fold.tick(at, served(page("s", at, *counts, gauges=running)))
        assert stalled(fold) == (5 if at == 5 else 0)


def with_traits(result: SourceResult, traits: EngineTraits) -> SourceResult:
    return replace(result, outcome=replace(result.outcome, traits=traits))  # type: ignore[type-var]


def test_engines_that_cannot_show_it() -> None:
    """Tokens counted at the end of a request, and a gauge that may be old, say nothing about progress."""
    for traits in (EngineTraits(tokens_move=Moves.FINISH), EngineTraits(running_is_current=False)):
        fold = Fold()
        for at in (0, 5):
            fold.tick(at, with_traits(tokens_page("s", at, 5.0, running=1.0), traits))
        assert stalled(fold) is None


def test_a_removed_server_is_forgotten() -> None:
    """A server that is removed and returns starts anew; one whose page is stale has no figure."""
    fold = Fold()
    for at in (0, 5, 10):
        fold.tick(at, tokens_page("s", at, 5.0, running=1.0))
    fold.state = forget_removed(fold.state, set())
    fold.state = forget_removed(fold.state, {server_source("s")})
    fold.tick(15, tokens_page("s", 15, 5.0, running=1.0))
    assert stalled(fold) == 0
    for at in (20, 25, 30):
        fold.tick(at, silent(server_source("s")))
    assert stalled(fold) is None
