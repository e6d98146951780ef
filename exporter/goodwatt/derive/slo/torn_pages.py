"""Pages read in the middle of an update, where a request is counted as a success and not yet observed, or reversed.

Judged alone, such a page proves less: its success has no latency, and its latency no success. Together with the next
page nothing is missing, so its growth waits for that one.
"""

from collections.abc import Sequence

from goodwatt.derive.page_growth import PageGrowth, total_growth
from goodwatt.model.engine import OneToken, Outcome, Signal
from goodwatt.model.ledger import Account, CountKey

_TIMED = (Outcome.SUCCESS, Outcome.ERROR, Outcome.CANCELLED)  # in histograms, unlike requests refused at admission


def join_torn(held: PageGrowth | None, pages: Sequence[PageGrowth]) -> tuple[tuple[PageGrowth, ...], PageGrowth | None]:
    """Return the pages to judge, oldest first, and a torn last one to hold. `held` is the one held before.

    A page is held once: if it still looks torn together with the next one, the engine counts that way.
    """
    joined: list[PageGrowth] = []
    for page in pages:
        if held is not None and page.is_baseline:
            joined += [held, page]
            held = None
        elif held is not None:
            joined.append(total_growth((held, page)))
            held = None
        elif not page.is_baseline and any(_is_torn(page, account) for account in page.accounts):
            held = page
        else:
            joined.append(page)
    return tuple(joined), held


def _is_torn(page: PageGrowth, account: Account) -> bool:
    """Whether more requests were observed at their end than ended, or fewer than succeeded."""
    counts = [page.counts.get(CountKey(account, Signal.REQUESTS, outcome)) for outcome in _TIMED]
    if all(count is None for count in counts):
        return False
    every_end = {Signal.E2E, Signal.TPOT} if page.reading.traits.one_token_tpot is OneToken.ZERO else {Signal.E2E}
    succeeded, ended = counts[0] or 0.0, sum(count or 0.0 for count in counts)
    observed = (page.histograms.get((account, signal)) for signal in every_end)
    return any(one is not None and not succeeded <= one.count <= ended for one in observed)
