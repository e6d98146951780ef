"""Which records count and for whom: each request once, under a name that somebody serves, in bounded memory."""

import pytest

from goodwatt.derive.slo.record_filter import MAX_MODELS_PER_SERVER
from goodwatt.model.engine import EngineTraits, Outcome, Signal
from goodwatt.model.ledger import Account
from goodwatt.model.policy import Policy
from goodwatt.model.request import Dropped
from goodwatt.model.slo import Slo, Threshold
from goodwatt.model.source import Reason, SourceResult, Unavailable
from tests.fakes.readings import (
    MODEL,
    Fold,
    counter,
    page,
    record,
    records_result,
    served,
    silent,
    source_id,
    tokens_page,
)

A = Account("a", MODEL)
POLICY = Policy(slos=(Slo(name="slo", thresholds=(Threshold(Signal.TTFT, 0.5),), objective=0.9),))


def counted(fold):
    """How many records each account has."""
    sums = {}
    for key, number in fold.snapshots[-1].ledger.records.items():
        sums[key.account] = sums.get(key.account, 0) + number
    return sums


def dropped(fold, source="otlp"):
    return next(state.dropped for state in fold.snapshots[-1].sources if state.source.label == source)


def test_a_record_counts_for_the_account_that_its_server_s_page_names():
    """Records join the counters of the same server and model, also in the tick of the first page."""
    fold = Fold(POLICY)
    fold.tick(0.0, records_result(0.0, record(), record()), tokens_page("a", 0.0, 5.0))
    assert counted(fold) == {A: 2}
    assert set(fold.snapshots[-1].ledger.exact) == {(A, "slo")}


def test_records_of_servers_that_nobody_watches_are_shed():
    """A server without a source makes no account, whatever a sender calls it."""
    fold = Fold(POLICY)
    fold.tick(0.0, records_result(0.0, record(server="stranger"), record()), tokens_page("a", 0.0, 5.0))
    assert counted(fold) == {A: 1} and dropped(fold) == {Dropped.UNKNOWN_SERVER: 1}
    fold.tick(5.0, records_result(5.0, record(server="stranger"), dropped={Dropped.DUPLICATE: 2}), silent("a"))
    fold.tick(10.0, records_result(10.0, dropped={Dropped.DUPLICATE: 1}), silent("a"))
    assert dropped(fold) == {Dropped.UNKNOWN_SERVER: 2, Dropped.DUPLICATE: 3}


def test_a_server_that_is_down_still_has_its_records():
    """Spans come though the metrics page does not."""
    fold = Fold(POLICY)
    fold.tick(0.0, records_result(0.0, record(model="m")), silent("a"))
    assert counted(fold) == {Account("a", "m"): 1}


def test_a_request_that_two_sources_saw_counts_once():
    """A server's own proxy tells of it; what spans say of the same server is shed, in whatever order they come."""
    fold, proxy = Fold(POLICY), "proxy/a"
    server = tokens_page("a", 0.0, 5.0)
    fold.tick(
        0.0,
        records_result(0.0, record(), record(server="b")),
        server,
        tokens_page("b", 0.0, 1.0),
        records_result(0.0, source=proxy),
    )
    assert counted(fold) == {Account("b", MODEL): 1} and dropped(fold) == {Dropped.OTHER_SOURCE: 1}
    down = SourceResult(source_id(proxy), 0.1, Unavailable(Reason.CANNOT_LISTEN, "taken"))
    fold.tick(5.0, records_result(5.0, record()), server, down)
    assert A not in counted(fold), "a proxy that is down lets no request pass"
    fold.tick(10.0, records_result(10.0, record(), record(), source=proxy), server, records_result(10.0))
    assert counted(fold)[A] == 2
    fold.tick(15.0, records_result(15.0, record()), server)
    assert counted(fold)[A] == 3, "without the proxy its server is told of by spans"


def test_a_server_of_which_only_a_proxy_tells():
    """The records come from the server's own source, as long as it is the proxy: also over ticks in which it fails."""
    fold = Fold(POLICY)
    fold.tick(0.0, records_result(0.0, record(), source="server/a"), records_result(0.0, record()))
    assert counted(fold) == {A: 1} and dropped(fold) == {Dropped.OTHER_SOURCE: 1}
    fold.tick(5.0, silent("a"), records_result(5.0, record()))
    assert counted(fold) == {A: 1} and dropped(fold) == {Dropped.OTHER_SOURCE: 2}
    fold.tick(10.0, tokens_page("a", 10.0, 1.0), records_result(10.0, record()))
    fold.tick(15.0, silent("a"), records_result(15.0, record()))
    assert counted(fold) == {A: 3}, "since it is scraped, spans tell of it"


def test_the_first_source_to_tell_of_a_server_keeps_it():
    """Two shared sources cannot be told apart by rank."""
    fold, server = Fold(POLICY), tokens_page("a", 0.0, 5.0)
    fold.tick(0.0, server, records_result(0.0, record()), records_result(0.0, record(), source="otlp/other"))
    fold.tick(5.0, server, records_result(5.0, record(), source="otlp/other"), records_result(5.0, record()))
    assert counted(fold) == {A: 2} and dropped(fold, "otlp/other") == {Dropped.OTHER_SOURCE: 2}


@pytest.mark.parametrize(
    ("names_models", "model", "account"),
    [
        (True, "", A),
        (True, "alias", Account("a", "alias")),
        (False, "", A),
        (False, "whatever the client says", A),
    ],
)
def test_where_one_side_does_not_know_the_name_the_page_s_only_model_is_meant(names_models, model, account):
    """A span without a model, and a client's word for the one model of an engine without model names, join the
    account that has the tokens and joules."""
    traits = EngineTraits(names_models=names_models)
    fold = Fold(POLICY)
    only = served(page("a", 0.0, counter(Signal.GENERATED_TOKENS, 5.0), traits=traits))
    fold.tick(0.0, only, records_result(0.0, record(model=model)))
    assert counted(fold) == {account: 1}


def test_of_several_models_none_is_guessed():
    """A record without a model on a server of two is counted under no name."""
    two = page("a", 0.0, counter(Signal.GENERATED_TOKENS, 5.0), counter(Signal.GENERATED_TOKENS, 5.0, "qwen"))
    fold = Fold(POLICY)
    fold.tick(0.0, served(two), records_result(0.0, record(model="")))
    assert counted(fold) == {Account("a", ""): 1}


def test_only_an_answer_makes_a_name():
    """Failures under a name that nobody has served share the account without a name, so an outage is still seen and a
    typing error makes no series; once the name was served, its failures are its own."""
    fold = Fold(POLICY)
    lost = record(model="m", outcome=Outcome.ERROR)
    fold.tick(0.0, silent("a"), records_result(0.0, lost, record(model="m"), lost))
    fold.tick(5.0, silent("a"), records_result(5.0, lost))
    assert counted(fold) == {Account("a", ""): 1, Account("a", "m"): 3}
    assert sum(totals.eligible for totals in fold.snapshots[-1].ledger.exact.values()) == 4


@pytest.mark.parametrize("name", ["\ud800", "line\nbreak", "x" * 257, "nul\0"])
def test_a_name_that_cannot_stand_on_a_page_is_none(name):
    """Lone surrogates would end every later scrape."""
    fold = Fold(POLICY)
    fold.tick(0.0, silent("a"), records_result(0.0, record(model=name)))
    assert counted(fold) == {Account("a", ""): 1}


def test_clients_cannot_make_accounts_without_end():
    """After so many models of one server all further ones share the account without a name; nothing is lost."""
    fold = Fold(POLICY)
    many = [record(model=f"m{n}") for n in range(MAX_MODELS_PER_SERVER + 50)]
    fold.tick(0.0, silent("a"), silent("b"), records_result(0.0, *many))
    fold.tick(5.0, silent("a"), silent("b"), records_result(5.0, *many, record(server="b", model="m0")))
    numbers = counted(fold)
    assert numbers[Account("a", "")] == 100 and numbers[Account("b", "m0")] == 1
    assert len(numbers) == MAX_MODELS_PER_SERVER + 2 and sum(numbers.values()) == 2 * len(many) + 1
