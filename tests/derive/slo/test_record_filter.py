"""Which records count and for which account: each request once, under a served name, in bounded memory."""

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
    """Return the number of records of each account."""
    sums = {}
    for key, number in fold.snapshots[-1].ledger.records.items():
        sums[key.account] = sums.get(key.account, 0) + number
    return sums


def dropped(fold, source="otlp"):
    return next(state.dropped for state in fold.snapshots[-1].sources if state.source.label == source)


def test_a_record_counts_for_the_account_on_the_servers_page():
    """Records join the counters of the same server and model, even in the tick of the first page."""
    fold = Fold(POLICY)
    fold.tick(0.0, records_result(0.0, record(), record()), tokens_page("a", 0.0, 5.0))
    assert counted(fold) == {A: 2}
    assert set(fold.snapshots[-1].ledger.exact) == {(A, "slo")}


def test_records_of_unknown_servers_are_dropped():
    """A server without a source gets no account, under any name that a sender uses."""
    fold = Fold(POLICY)
    fold.tick(0.0, records_result(0.0, record(server="stranger"), record()), tokens_page("a", 0.0, 5.0))
    assert counted(fold) == {A: 1} and dropped(fold) == {Dropped.UNKNOWN_SERVER: 1}
    fold.tick(5.0, records_result(5.0, record(server="stranger"), dropped={Dropped.DUPLICATE: 2}), silent("a"))
    fold.tick(10.0, records_result(10.0, dropped={Dropped.DUPLICATE: 1}), silent("a"))
    assert dropped(fold) == {Dropped.UNKNOWN_SERVER: 2, Dropped.DUPLICATE: 3}


def test_records_of_a_server_that_is_down_count():
    """Spans arrive while the metrics page cannot be scraped."""
    fold = Fold(POLICY)
    fold.tick(0.0, records_result(0.0, record(model="m")), silent("a"))
    assert counted(fold) == {Account("a", "m"): 1}


def test_a_request_reported_by_two_sources_counts_once():
    """A server's records come from its proxy; its spans are dropped, in any order of the two."""
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
    assert counted(fold)[A] == 3, "without the proxy, spans count for its server"


def test_a_server_with_only_a_proxy():
    """Records come from the server's own source while that is the proxy, also while it fails."""
    fold = Fold(POLICY)
    fold.tick(0.0, records_result(0.0, record(), source="server/a"), records_result(0.0, record()))
    assert counted(fold) == {A: 1} and dropped(fold) == {Dropped.OTHER_SOURCE: 1}
    fold.tick(5.0, silent("a"), records_result(5.0, record()))
    assert counted(fold) == {A: 1} and dropped(fold) == {Dropped.OTHER_SOURCE: 2}
    fold.tick(10.0, tokens_page("a", 10.0, 1.0), records_result(10.0, record()))
    fold.tick(15.0, silent("a"), records_result(15.0, record()))
    assert counted(fold) == {A: 3}, "once it is scraped, spans count for it"


def test_the_first_source_to_report_a_server_keeps_it():
    """Two shared sources have no order of precedence."""
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
        (False, "any name from a client", A),
    ],
)
def test_a_record_without_a_usable_name_counts_for_the_pages_only_model(names_models, model, account):
    """A span without a model, and any client's name for an engine that does not name models, count for the account that
    has the tokens and energy."""
    traits = EngineTraits(names_models=names_models)
    fold = Fold(POLICY)
    only = served(page("a", 0.0, counter(Signal.GENERATED_TOKENS, 5.0), traits=traits))
    fold.tick(0.0, only, records_result(0.0, record(model=model)))
    assert counted(fold) == {account: 1}


def test_no_model_is_guessed_among_several():
    """A record without a model on a server with two models is counted without a name."""
    two = page("a", 0.0, counter(Signal.GENERATED_TOKENS, 5.0), counter(Signal.GENERATED_TOKENS, 5.0, "qwen"))
    fold = Fold(POLICY)
    fold.tick(0.0, served(two), records_result(0.0, record(model="")))
    assert counted(fold) == {Account("a", ""): 1}


def test_only_a_success_creates_an_account():
    """Failures under a name that was never served share the unnamed account: an outage shows, and a typo creates no
    series. Once the name was served its failures count under it."""
    fold = Fold(POLICY)
    lost = record(model="m", outcome=Outcome.ERROR)
    fold.tick(0.0, silent("a"), records_result(0.0, lost, record(model="m"), lost))
    fold.tick(5.0, silent("a"), records_result(5.0, lost))
    assert counted(fold) == {Account("a", ""): 1, Account("a", "m"): 3}
    assert sum(totals.eligible for totals in fold.snapshots[-1].ledger.exact.values()) == 4


@pytest.mark.parametrize("name", ["\ud800", "line\nbreak", "x" * 257, "nul\0"])
def test_an_unpublishable_name_counts_without_a_name(name):
    """A lone surrogate would break every later scrape."""
    fold = Fold(POLICY)
    fold.tick(0.0, silent("a"), records_result(0.0, record(model=name)))
    assert counted(fold) == {Account("a", ""): 1}


def test_clients_cannot_create_unlimited_accounts():
    """Above the limit all further models of a server share the unnamed account, and no record is lost."""
    fold = Fold(POLICY)
    many = [record(model=f"m{n}") for n in range(MAX_MODELS_PER_SERVER + 50)]
    fold.tick(0.0, silent("a"), silent("b"), records_result(0.0, *many))
    fold.tick(5.0, silent("a"), silent("b"), records_result(5.0, *many, record(server="b", model="m0")))
    numbers = counted(fold)
    assert numbers[Account("a", "")] == 100 and numbers[Account("b", "m0")] == 1
    assert len(numbers) == MAX_MODELS_PER_SERVER + 2 and sum(numbers.values()) == 2 * len(many) + 1
