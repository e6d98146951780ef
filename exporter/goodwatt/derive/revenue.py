"""Revenue from tokens: each interval's tokens at that interval's prices, and every token sold once."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase

from goodwatt.model.engine import Signal
from goodwatt.model.ledger import Account, CountKey, Ledger, TokenKind
from goodwatt.model.tariff import PriceList, TokenPrices


def account_prices(price_list: PriceList, account: Account) -> TokenPrices | None:
    """Return the first entry with patterns that match the account; None if none does."""
    matching = (
        entry
        for entry in price_list.entries
        if any(fnmatchcase(account.server, p) for p in entry.servers)
        and any(fnmatchcase(account.model, p) for p in entry.models)
    )
    return next(matching, None)


def token_price(prices: TokenPrices, kind: TokenKind) -> float:
    """Return the price of one token."""
    cached = prices.cached_prompt_per_million_tokens
    each = {
        TokenKind.PROMPT: prices.prompt_per_million_tokens,
        TokenKind.CACHED_PROMPT: prices.prompt_per_million_tokens if cached is None else cached,
        TokenKind.GENERATED: prices.generated_per_million_tokens,
    }
    return each[kind] / 1e6


def add_revenue(ledger: Ledger, accounts: Iterable[Account], price_list: PriceList) -> Ledger:
    """Sell what these accounts counted since their last sale. Accounts without a price earn nothing."""
    sold, revenue = dict(ledger.sold_tokens), dict(ledger.revenue)
    for account in accounts:
        prices = account_prices(price_list, account)
        for kind, tokens in sellable_tokens(ledger, account).items() if prices is not None else ():
            assert prices is not None
            earned = (tokens - sold.get((account, kind), 0.0)) * token_price(prices, kind)
            revenue[account, kind] = revenue.get((account, kind), 0.0) + earned
            sold[account, kind] = tokens
    return replace(ledger, sold_tokens=sold, revenue=revenue)


def mark_counted_as_sold(ledger: Ledger) -> Ledger:
    """Mark every token counted so far as sold: new prices apply only to tokens counted from now on."""
    accounts = dict.fromkeys(key.account for key in ledger.counts)
    sold = {(account, kind): n for account in accounts for kind, n in sellable_tokens(ledger, account).items()}
    return replace(ledger, sold_tokens=sold)


def sellable_tokens(ledger: Ledger, account: Account) -> Mapping[TokenKind, float]:
    """Return tokens since start by kind, never fewer than were sold. A kind that the engine does not count is absent.

    An engine may count a prompt's cached tokens before or after the prompt, so prompt - cached may fall for a while.
    Sold tokens stay sold.
    """
    prompt, cached, generated = (
        ledger.counts.get(CountKey(account, signal))
        for signal in (Signal.PROMPT_TOKENS, Signal.CACHED_PROMPT_TOKENS, Signal.GENERATED_TOKENS)
    )
    computed = None if prompt is None else max(prompt - (cached or 0.0), _sold(ledger, account, TokenKind.PROMPT))
    kinds = zip(TokenKind, (computed, cached, generated), strict=True)
    return {kind: tokens for kind, tokens in kinds if tokens is not None}


def _sold(ledger: Ledger, account: Account, kind: TokenKind) -> float:
    return ledger.sold_tokens.get((account, kind), 0.0)
