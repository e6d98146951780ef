"""What a page counts for, by its server's role.

In a prefill/decode pair both servers count every request, its prompt and its first token. The prefill server counts for
prompts, first tokens and requests that failed there; the decode server for generated tokens and requests that ended.
Together they count each once. What belongs to the other server is 0 here, so that sums over the pair are right.
"""

from dataclasses import replace

from goodwatt.derive.page_growth import PageGrowth
from goodwatt.model.engine import Outcome, Role, Signal
from goodwatt.model.ledger import CountKey

_COUNTED_ELSEWHERE = {
    Role.PREFILL: {Signal.GENERATED_TOKENS, Signal.ONE_TOKEN_REQUESTS},
    Role.DECODE: {Signal.PROMPT_TOKENS, Signal.CACHED_PROMPT_TOKENS},
}
# A decode server's E2E latency begins after the prefill, and a prefill server's ends before the decoding.
_OBSERVED_ELSEWHERE = {
    Role.PREFILL: {Signal.TPOT, Signal.ITL, Signal.E2E, Signal.DECODE_TIME},
    Role.DECODE: {Signal.TTFT, Signal.E2E, Signal.PREFILL_TIME},
}


def own_share(growth: PageGrowth) -> PageGrowth:
    """Return the part of a page's growth that its server counts for; all of it without a role."""
    role = growth.reading.role
    if role is Role.ANY:
        return growth
    return replace(
        growth,
        counts={key: 0.0 if _is_elsewhere(key, role) else value for key, value in growth.counts.items()},
        histograms={key: one for key, one in growth.histograms.items() if key[1] not in _OBSERVED_ELSEWHERE[role]},
    )


def _is_elsewhere(key: CountKey, role: Role) -> bool:
    ended_later = role is Role.PREFILL and key.outcome is Outcome.SUCCESS
    return ended_later or key.signal in _COUNTED_ELSEWHERE[role]
