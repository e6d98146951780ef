"""Attribution of GPU energy and time to accounts."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from goodwatt.derive.energy.attribution import Activity, Share, attribute, split_whole
from goodwatt.model.engine import Signal
from goodwatt.model.ledger import Account, EnergyState
from goodwatt.model.policy import Policy
from goodwatt.model.tariff import Tariff
from tests.derive.laws import law
from tests.fakes.readings import MODEL, Fold, counter, gpu, gpus, page, served, silent, tokens_page

A, B = Account("a", MODEL), Account("b", MODEL)
BUSY, IDLE = EnergyState.BUSY, EnergyState.IDLE


@law(400)
@given(
    st.integers(0, 10**13),
    st.lists(st.one_of(st.integers(0, 10**9).map(float), st.floats(0, 1e12)), min_size=1, max_size=20),
)
def test_a_split_conserves_and_is_fair(total, weights):
    """Parts are >= 0, add up to the total exactly, and are within one unit of their exact proportion."""
    weights = [*weights, 1.0]
    parts = split_whole(total, weights)
    whole = sum(map(Fraction, weights))
    assert sum(parts) == total
    assert all(part >= 0 for part in parts)
    fair = [total * Fraction(weight) / whole for weight in weights]
    assert all(abs(part - exact) <= Fraction("1.01") for part, exact in zip(parts, fair, strict=True))


def test_a_weight_of_zero_gets_nothing():
    """An account with weight 0 gets no unit, at any position."""
    assert split_whole(1001, [0.0, 1.0, 0.0, 1.0, 0.0]) == (0, 500, 0, 501, 0)


def test_generated_tokens_decide():
    """While any account generates tokens, prompt tokens and running requests do not count."""
    found = attribute([Activity(A, generated=30.0), Activity(B, prompt=500.0, running=9.0)])
    assert found == (Share(A, BUSY, 30.0),)


def test_prompt_tokens_decide_next():
    """With no generated token, accounts that processed prompts are busy."""
    assert attribute([Activity(A, prompt=30.0, running=1.0), Activity(B, running=9.0)]) == (Share(A, BUSY, 30.0),)


def test_running_requests_decide_last():
    """With no token at all, accounts with running requests are busy: a long prefill, or tokens counted at the end."""
    assert attribute([Activity(A, running=1.0), Activity(B)]) == (Share(A, BUSY, 1.0),)


def test_an_idle_gpu_is_shared_evenly():
    """With no work, every account that claims the GPU gets an equal part, as idle."""
    assert attribute([Activity(A), Activity(B)]) == (Share(A, IDLE, 1.0), Share(B, IDLE, 1.0))


def test_without_claims_there_are_no_shares():
    """No account, no share."""
    assert attribute([]) == ()


def joules(fold):
    """Return whole joules by (server, state), where there are any."""
    found = {}
    for (account, state), millijoules in fold.state.ledger.energy_millijoules.items():
        if millijoules:
            found[account.server, state] = millijoules / 1000
    return found


def unattributed(fold):
    return sum(fold.state.ledger.gpu_unattributed_millijoules.values()) / 1000


def machine(now, *used):
    """Return GPUs that have each used this many joules."""
    return gpus(*(gpu(i, now, 1000 * energy) for i, energy in enumerate(used)))


def test_joules_follow_generated_tokens():
    """900 J over 200 and 100 tokens are 600 J and 300 J, busy."""
    fold = Fold()
    fold.tick(0.0, machine(0.0, 0), tokens_page("a", 0.0, 50.0), tokens_page("b", 0.0, 70.0))
    fold.tick(5.0, machine(5.0, 900), tokens_page("a", 5.0, 250.0), tokens_page("b", 5.0, 170.0))
    assert joules(fold) == {("a", BUSY): 600.0, ("b", BUSY): 300.0}
    assert unattributed(fold) == 0.0


def test_busy_and_idle_energy_are_separate():
    """Energy of an interval with work is busy, energy of one without is idle."""
    fold = Fold()
    for n, (tokens, used) in enumerate([(0.0, 0), (100.0, 800), (100.0, 1000)]):
        fold.tick(5.0 * n, machine(5.0 * n, used), tokens_page("a", 5.0 * n, tokens))
    assert joules(fold) == {("a", BUSY): 800.0, ("a", IDLE): 200.0}


def test_a_running_request_makes_an_account_busy():
    """An interval with no new token but a running request is busy."""
    fold = Fold()
    fold.tick(0.0, machine(0.0, 0), tokens_page("a", 0.0, 0.0))
    fold.tick(5.0, machine(5.0, 300), tokens_page("a", 5.0, 0.0, running=1.0))
    assert joules(fold) == {("a", BUSY): 300.0}


def test_a_server_on_several_gpus_divides_its_tokens():
    """`a` runs on GPUs 0 and 1, `b` on 1 alone: with 100 tokens each they share GPU 1 at 50 : 100."""
    fold = Fold(Policy(server_gpus={"a": (0, "GPU-1"), "b": (1,)}))
    fold.tick(0.0, machine(0.0, 0, 0), tokens_page("a", 0.0, 0.0), tokens_page("b", 0.0, 0.0))
    fold.tick(5.0, machine(5.0, 600, 600), tokens_page("a", 5.0, 100.0), tokens_page("b", 5.0, 100.0))
    assert joules(fold) == {("a", BUSY): 800.0, ("b", BUSY): 400.0}


def test_a_gpu_that_no_server_runs_on_is_unattributed():
    """Its energy and rental are booked as unattributed."""
    fold = Fold(Policy(server_gpus={"a": (0,)}, tariff=Tariff("USD", price_per_gpu_hour=3600.0)))
    fold.tick(0.0, machine(0.0, 0, 0), tokens_page("a", 0.0, 0.0))
    fold.tick(5.0, machine(5.0, 600, 700), tokens_page("a", 5.0, 9.0))
    assert joules(fold) == {("a", BUSY): 600.0}
    assert fold.state.ledger.gpu_unattributed_millijoules == {"GPU-0": 0, "GPU-1": 700_000}
    assert sum(fold.state.ledger.unattributed_cost.values()) == 5.0


def test_a_server_on_no_gpu_claims_none():
    """An empty list of GPUs means no GPU, not all of them."""
    fold = Fold(Policy(server_gpus={"a": ()}))
    fold.tick(0.0, machine(0.0, 0), tokens_page("a", 0.0, 0.0))
    fold.tick(5.0, machine(5.0, 600), tokens_page("a", 5.0, 9.0))
    assert joules(fold) == {}
    assert unattributed(fold) == 600.0


def test_a_server_keeps_its_share_for_two_missed_ticks_and_no_longer():
    """For one or two missed ticks it is charged as at its last page; from the third on the energy is unattributed."""
    fold = Fold()
    fold.tick(0.0, machine(0.0, 0), tokens_page("a", 0.0, 0.0))
    fold.tick(5.0, machine(5.0, 100), tokens_page("a", 5.0, 50.0))
    for n, expected in [(2, 200.0), (3, 300.0), (4, 300.0), (5, 300.0)]:
        fold.tick(5.0 * n, machine(5.0 * n, 100 * n), silent("a"))
        assert joules(fold) == {("a", BUSY): expected}
    assert unattributed(fold) == 200.0
    fold.tick(30.0, machine(30.0, 700), tokens_page("a", 30.0, 50.0))
    assert joules(fold) == {("a", BUSY): 300.0, ("a", IDLE): 200.0}


def test_catching_up_does_not_take_energy_from_others():
    """Of two equal servers one misses two ticks: it keeps its share, and the page that catches up weighs no more."""
    fold = Fold()
    for n in range(6):
        now, tokens = 5.0 * n, 100.0 * n
        missing = n in (2, 3)
        fold.tick(
            now,
            machine(now, 100 * n),
            silent("a") if missing else tokens_page("a", now, tokens),
            tokens_page("b", now, tokens),
        )
    assert joules(fold) == {("a", BUSY): 250.0, ("b", BUSY): 250.0}


def test_a_server_that_was_never_read_claims_nothing():
    """A server without a page has no model to charge, so its GPU is unattributed."""
    fold = Fold()
    fold.tick(0.0, machine(0.0, 0), silent("a"))
    fold.tick(5.0, machine(5.0, 100), silent("a"))
    assert (joules(fold), unattributed(fold)) == ({}, 100.0)


def test_a_server_that_is_no_longer_configured_claims_nothing():
    """A source that is absent from the results is forgotten; its counts stay."""
    fold = Fold()
    fold.tick(0.0, machine(0.0, 0), tokens_page("a", 0.0, 0.0))
    fold.tick(5.0, machine(5.0, 100), tokens_page("a", 5.0, 5.0))
    fold.tick(10.0, machine(10.0, 300))
    assert (joules(fold), unattributed(fold)) == ({("a", BUSY): 100.0}, 200.0)


def test_models_of_one_server_share_by_their_tokens():
    """Two models behind one address are two accounts."""
    fold = Fold()
    for n in range(2):
        lines = (counter(Signal.GENERATED_TOKENS, 300.0 * n), counter(Signal.GENERATED_TOKENS, 100.0 * n, "qwen"))
        fold.tick(5.0 * n, machine(5.0 * n, 400 * n), served(page("a", 5.0 * n, *lines)))
    assert fold.state.ledger.energy_millijoules == {
        (A, BUSY): 300_000,
        (A, IDLE): 0,
        (Account("a", "qwen"), BUSY): 100_000,
        (Account("a", "qwen"), IDLE): 0,
    }


def test_running_requests_name_the_model_before_any_counter():
    """Some engines write no counter before their first request ends: the running gauge names the model."""
    fold = Fold()
    for n in range(2):
        fold.tick(
            5.0 * n,
            machine(5.0 * n, 400 * n),
            served(page("a", 5.0 * n, gauges={(Signal.REQUESTS_RUNNING, MODEL): 1.0, (Signal.KV_CACHE_USAGE, "x"): 0})),
        )
    assert joules(fold) == {("a", BUSY): 400.0}


def test_a_page_without_a_model_claims_nothing():
    """An empty page charges no account."""
    fold = Fold()
    for n in range(2):
        fold.tick(5.0 * n, machine(5.0 * n, 400 * n), served(page("a", 5.0 * n)))
    assert (joules(fold), unattributed(fold)) == ({}, 400.0)
