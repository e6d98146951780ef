"""What tokens earn."""

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
    """One server that counts tokens; a signal that is None is not on its page."""

    def at(self, now: float, prompt: float | None, cached: float | None, generated: float | None) -> None:
        signals = (Signal.PROMPT_TOKENS, Signal.CACHED_PROMPT_TOKENS, Signal.GENERATED_TOKENS)
        known = [(s, n) for s, n in zip(signals, (prompt, cached, generated), strict=True) if n is not None]
        self.tick(now, served(page("a", now, *(counter(signal, number) for signal, number in known))))

    def rule(self, after: Policy) -> None:
        self.state, self.policy = apply_policy(self.state, self.policy, after), after

    @property
    def revenue(self) -> dict[TokenKind, float]:
        return {kind: money for (_, kind), money in self.state.ledger.revenue.items()}


def sale(*entries: TokenPrices, currency: str = "USD") -> Sale:
    return Sale(Policy(price_list=PriceList(currency, entries)))


def test_every_kind_earns_its_own_price() -> None:
    """A million of each kind earns the three prices; prompt tokens found in the cache earn only the cached one."""
    story = sale(CHEAP)
    story.at(0.0, 0.0, 0.0, 0.0)
    story.at(5.0, 2e6, 1e6, 1e6)
    assert story.revenue == {TokenKind.PROMPT: 1.0, TokenKind.CACHED_PROMPT: 0.25, TokenKind.GENERATED: 4.0}


def test_without_a_cached_price_they_earn_as_other_prompts() -> None:
    """Cached prompt tokens without a price of their own earn the prompt price."""
    story = sale(replace(CHEAP, cached_prompt_per_million_tokens=None))
    story.at(0.0, 0.0, 0.0, 0.0)
    story.at(5.0, 2e6, 1e6, 0.0)
    assert story.revenue == {TokenKind.PROMPT: 1.0, TokenKind.CACHED_PROMPT: 1.0, TokenKind.GENERATED: 0.0}


def test_what_an_engine_does_not_count_earns_nothing_that_is_known() -> None:
    """A kind without a counter has no revenue, not 0; all prompt tokens are then worked on."""
    story = sale(CHEAP)
    story.at(0.0, None, None, 0.0)
    story.at(5.0, None, None, 1e6)
    assert story.revenue == {TokenKind.GENERATED: 4.0}
    story.at(10.0, 0.0, None, 1e6)
    story.at(15.0, 1e6, None, 1e6)
    assert story.revenue == {TokenKind.PROMPT: 1.0, TokenKind.GENERATED: 4.0}


def test_the_first_entry_that_names_an_account_counts() -> None:
    """Entries are tried in order, by model and by server; an account that none names has no revenue."""
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


def test_new_prices_are_for_new_tokens() -> None:
    """After a change of prices only tokens that are counted later earn them; what was earned stays."""
    story = sale(CHEAP)
    story.at(0.0, None, None, 0.0)
    story.at(5.0, None, None, 1e6)
    after = Policy(price_list=PriceList("USD", (replace(CHEAP, generated_per_million_tokens=10.0),)))
    assert describe_resets(story.policy, after) == ()
    story.rule(after)
    story.at(10.0, None, None, 1e6)
    assert story.revenue == {TokenKind.GENERATED: 4.0}
    story.at(15.0, None, None, 2e6)
    assert story.revenue == {TokenKind.GENERATED: 14.0}


def test_prices_that_begin_later_sell_nothing_of_before() -> None:
    """Tokens counted while no prices were known are not sold when prices come."""
    story = Sale(Policy())
    story.at(0.0, None, None, 0.0)
    story.at(5.0, None, None, 1e6)
    assert story.revenue == {}
    story.rule(Policy(price_list=PriceList("USD", (CHEAP,))))
    story.at(10.0, None, None, 3e6)
    assert story.revenue == {TokenKind.GENERATED: 8.0}


def test_another_currency_restarts_revenue() -> None:
    """Euros are not added to dollars, and the log says so; without prices nothing is left."""
    story = sale(CHEAP)
    story.at(0.0, None, None, 0.0)
    story.at(5.0, None, None, 1e6)
    euros = Policy(price_list=PriceList("EUR", (CHEAP,)))
    assert describe_resets(story.policy, euros) == ("revenue: the currency changed, so its counts restart from 0",)
    story.rule(euros)
    assert story.revenue == {}
    story.at(10.0, None, None, 2e6)
    assert story.revenue == {TokenKind.GENERATED: 4.0}
    story.rule(Policy())
    assert story.revenue == {}


def test_a_server_removed_long_ago_takes_its_revenue_along() -> None:
    """The revenue of a closed account is forgotten with it."""
    story = sale(CHEAP)
    story.at(0.0, None, None, 0.0)
    story.at(5.0, None, None, 1e6)
    gone = replace(story.state, removed_servers=("a", *(f"x{n}" for n in range(REMEMBERED_SERVERS))))
    closed = forget_removed(gone, ())
    assert closed.ledger.revenue == closed.ledger.sold_tokens == {}


@law(100)
@given(st.lists(st.tuples(*[st.integers(0, 10**7)] * 3), max_size=12))
def test_every_token_is_sold_once(pages: list[tuple[int, int, int]]) -> None:
    """However the counters of prompt and cached tokens move, no revenue ever falls, and all of it is what was sold."""
    story = sale(CHEAP)
    before: dict[TokenKind, float] = {}
    for tick, (prompt, cached, generated) in enumerate(pages):
        story.at(5.0 * tick, float(prompt), float(cached), float(generated))
        assert all(story.revenue[kind] >= money for kind, money in before.items())
        before = story.revenue
    sold = {kind: tokens for (_, kind), tokens in story.state.ledger.sold_tokens.items()}
    each = {TokenKind.PROMPT: 1.0, TokenKind.CACHED_PROMPT: 0.25, TokenKind.GENERATED: 4.0}
    assert before == {kind: pytest.approx(tokens * each[kind] / 1e6) for kind, tokens in sold.items()}
