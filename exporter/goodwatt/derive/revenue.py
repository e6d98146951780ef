"""What tokens earn: each interval's tokens at that interval's prices, every token once."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase

from goodwatt.model.engine import Signal
from goodwatt.model.ledger import Account, CountKey, Ledger, TokenKind
from goodwatt.model.tariff import PriceList, TokenPrices


def prices_of(price_list: PriceList, account: Account) -> TokenPrices | None:
    """The first entry whose patterns name the account."""
    named = (
        entry
        for entry in price_list.entries
        if any(fnmatchcase(account.server, p) for p in entry.servers)
        and any(fnmatchcase(account.model, p) for p in entry.models)
    )
    return next(named, None)


def price_of(prices: TokenPrices, kind: TokenKind) -> float:
    """Money for one token."""
    cached = prices.cached_prompt_per_million_tokens
    each = {
        TokenKind.PROMPT: prices.prompt_per_million_tokens,
        TokenKind.CACHED_PROMPT: prices.prompt_per_million_tokens if cached is None else cached,
        TokenKind.GENERATED: prices.generated_per_million_tokens,
    }
    return each[kind] / 1e6


def post(ledger: Ledger, accounts: Iterable[Account], price_list: PriceList) -> Ledger:
    """The ledger with the revenue of what was counted since the last post, for these accounts."""
    sold, revenue = dict(ledger.sold_tokens), dict(ledger.revenue)
    for account in accounts:
        prices = prices_of(price_list, account)
        for kind, tokens in delivered(ledger, account).items() if prices is not None else ():
            assert prices is not None
            earned = (tokens - sold.get((account, kind), 0.0)) * price_of(prices, kind)
            revenue[account, kind] = revenue.get((account, kind), 0.0) + earned
            sold[account, kind] = tokens
    return replace(ledger, sold_tokens=sold, revenue=revenue)


def settled(ledger: Ledger) -> Ledger:
    """The ledger under new prices: what was counted so far is not sold again."""
    accounts = dict.fromkeys(key.account for key in ledger.counts)
    sold = {(account, kind): n for account in accounts for kind, n in delivered(ledger, account).items()}
    return replace(ledger, sold_tokens=sold)


def delivered(ledger: Ledger, account: Account) -> Mapping[TokenKind, float]:
    """Tokens since start by kind, never fewer than were sold; a kind that the engine does not count is absent.

    An engine may count a prompt's cached tokens at another moment than its prompt, so the difference may fall for a
    while: what was sold stays sold.
    """
    prompt, cached, generated = (
        ledger.counts.get(CountKey(account, signal))
        for signal in (Signal.PROMPT_TOKENS, Signal.CACHED_PROMPT_TOKENS, Signal.GENERATED_TOKENS)
    )
    worked_on = None if prompt is None else max(prompt - (cached or 0.0), _sold(ledger, account, TokenKind.PROMPT))
    kinds = zip(TokenKind, (worked_on, cached, generated), strict=True)
    return {kind: tokens for kind, tokens in kinds if tokens is not None}


def _sold(ledger: Ledger, account: Account, kind: TokenKind) -> float:
    return ledger.sold_tokens.get((account, kind), 0.0)
