"""Revenue from tokens."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodwatt.derive.policy_change import apply_policy, describe_resets
from goodwatt.derive.retention import REMEMBERED_SERVERS, forget_removed
from goodwatt.model.engine import Signal
from goodwatt.model.ledger import Account, TokenKind
from goodwatt.model.policy import Policy
from goodwatt.model.tariff import PriceList, TokenPrices
from tests.derive.laws import law
from tests.fakes.readings import MODEL, Fold, counter, page, served

A = Account("a", MODEL)
CHEAP = TokenPrices(
    prompt_per_million_tokens=1.0, generated_per_million_tokens=4.0, cached_prompt_per_million_tokens=0.25
)


class Sale(Fold):
    """One server that counts tokens. A signal that is None is not on its page."""

    def at(self, now: float, prompt: float | None, cached: float | None, generated: float | None) -> None:
        signals = (Signal.PROMPT_TOKENS, Signal.CACHED_PROMPT_TOKENS, Signal.GENERATED_TOKENS)
        known = [(s, n) for s, n in zip(signals, (prompt, cached, generated), strict=True) if n is not None]
        self.tick(now, served(page("a", now, *(counter(signal, number) for signal, number in known))))

    def change(self, after: Policy) -> None:
        self.state, self.policy = apply_policy(self.state, self.policy, after), after

    @property
    def revenue(self) -> dict[TokenKind, float]:
        return {kind: money for (_, kind), money in self.state.ledger.revenue.items()}


def sale(*entries: TokenPrices, currency: str = "USD") -> Sale:
    return Sale(Policy(price_list=PriceList(currency, entries)))


def test_every_kind_earns_its_own_price() -> None:
    """A million tokens of each kind earn the three prices; cached prompt tokens earn only the cached price."""
    story = sale(CHEAP)
    story.at(0.0, 0.0, 0.0, 0.0)
    story.at(5.0, 2e6, 1e6, 1e6)
    assert story.revenue == {TokenKind.PROMPT: 1.0, TokenKind.CACHED_PROMPT: 0.25, TokenKind.GENERATED: 4.0}


def test_without_a_cached_price_cached_tokens_earn_the_prompt_price() -> None:
    """Cached prompt tokens are never free by omission."""
    story = sale(replace(CHEAP, cached_prompt_per_million_tokens=None))
    story.at(0.0, 0.0, 0.0, 0.0)
    story.at(5.0, 2e6, 1e6, 0.0)
    assert story.revenue == {TokenKind.PROMPT: 1.0, TokenKind.CACHED_PROMPT: 1.0, TokenKind.GENERATED: 0.0}


def test_a_kind_that_the_engine_does_not_count_has_no_revenue() -> None:
    """A kind without a counter has no revenue, not 0. Without a cached counter all prompt tokens are computed."""
    story = sale(CHEAP)
    story.at(0.0, None, None, 0.0)
    story.at(5.0, None, None, 1e6)
    assert story.revenue == {TokenKind.GENERATED: 4.0}
    story.at(10.0, 0.0, None, 1e6)
    story.at(15.0, 1e6, None, 1e6)
    assert story.revenue == {TokenKind.PROMPT: 1.0, TokenKind.GENERATED: 4.0}


def test_the_first_matching_price_entry_applies() -> None:
    """Entries are tried in order, by model and by server; an account that none matches has no revenue."""
    other = replace(CHEAP, models=("qwen*",))
    elsewhere = replace(CHEAP, servers=("b",), generated_per_million_tokens=9.0)
    story = sale(other, elsewhere, replace(CHEAP, generated_per_million_tokens=7.0), CHEAP)
    story.at(0.0, None, None, 0.0)
    story.at(5.0, None, None, 1e6)
    assert story.revenue == {TokenKind.GENERATED: 7.0}
    story = sale(other, elsewhere)
    story.at(0.0, None, None, 0.0)
    story.at(5.0, None, None, 1e6)
    assert story.revenue == {}


def test_new_prices_apply_to_new_tokens() -> None:
    """After a price change only tokens counted later earn the new prices; earlier revenue stays."""
    story = sale(CHEAP)
    story.at(0.0, None, None, 0.0)
    story.at(5.0, None, None, 1e6)
    after = Policy(price_list=PriceList("USD", (replace(CHEAP, generated_per_million_tokens=10.0),)))
    assert describe_resets(story.policy, after) == ()
    story.change(after)
    story.at(10.0, None, None, 1e6)
    assert story.revenue == {TokenKind.GENERATED: 4.0}
    story.at(15.0, None, None, 2e6)
    assert story.revenue == {TokenKind.GENERATED: 14.0}


def test_tokens_counted_before_there_were_prices_are_never_sold() -> None:
    """Prices that are configured later apply only to tokens counted from then on."""
    story = Sale(Policy())
    story.at(0.0, None, None, 0.0)
    story.at(5.0, None, None, 1e6)
    assert story.revenue == {}
    story.change(Policy(price_list=PriceList("USD", (CHEAP,))))
    story.at(10.0, None, None, 3e6)
    assert story.revenue == {TokenKind.GENERATED: 8.0}


def test_another_currency_restarts_revenue() -> None:
    """Euros are not added to dollars, and the log reports the reset; without prices revenue is absent."""
    story = sale(CHEAP)
    story.at(0.0, None, None, 0.0)
    story.at(5.0, None, None, 1e6)
    euros = Policy(price_list=PriceList("EUR", (CHEAP,)))
    assert describe_resets(story.policy, euros) == ("revenue: the currency changed, so its counts restart from 0",)
    story.change(euros)
    assert story.revenue == {}
    story.at(10.0, None, None, 2e6)
    assert story.revenue == {TokenKind.GENERATED: 4.0}
    story.change(Policy())
    assert story.revenue == {}


def test_closed_accounts_have_no_revenue() -> None:
    """Revenue of a closed account is forgotten with it."""
    story = sale(CHEAP)
    story.at(0.0, None, None, 0.0)
    story.at(5.0, None, None, 1e6)
    gone = replace(story.state, removed_servers=("a", *(f"x{n}" for n in range(REMEMBERED_SERVERS))))
    closed = forget_removed(gone, ())
    assert closed.ledger.revenue == closed.ledger.sold_tokens == {}


@law(100)
@given(st.lists(st.tuples(*[st.integers(0, 10**7)] * 3), max_size=12))
def test_every_token_is_sold_once(pages: list[tuple[int, int, int]]) -> None:
    """However prompt and cached counters move, revenue never falls, and it equals price x sold tokens."""
    story = sale(CHEAP)
    before: dict[TokenKind, float] = {}
    for tick, (prompt, cached, generated) in enumerate(pages):
        story.at(5.0 * tick, float(prompt), float(cached), float(generated))
        assert all(story.revenue[kind] >= money for kind, money in before.items())
        before = story.revenue
    sold = {kind: tokens for (_, kind), tokens in story.state.ledger.sold_tokens.items()}
    each = {TokenKind.PROMPT: 1.0, TokenKind.CACHED_PROMPT: 0.25, TokenKind.GENERATED: 4.0}
    assert before == {kind: pytest.approx(tokens * each[kind] / 1e6) for kind, tokens in sold.items()}
