"""Error budget alerts under promtool: when they fire, when they resolve, and when they stay quiet."""

from pathlib import Path

import pytest

from goodwatt.model.alerting import Alerting, BurnFactors
from goodwatt.model.engine import Signal
from goodwatt.model.slo import Slo, Threshold
from goodwatt.rules.burn_rate import BURN_WINDOWS, bad_ratio_limit
from tests.rules.promtool import HOURS, Counter, Fired, Gauge, Scene, Series, Story

PAGES = ("goodwatt-slo-page",)
TICKETS = ("goodwatt-slo-page", "goodwatt-slo-ticket")
OBJECTIVES = (0.9, 0.95, 0.99, 0.999)
PER_MINUTE = 600


def slo(objective: float) -> Alerting:
    return Alerting(objectives=(Slo(name="a", thresholds=(Threshold(Signal.TTFT, 1.0),), objective=objective),))


def account(server: str = "s", more: str = "") -> str:
    return f'{{job="j", instance="i", server="{server}", model="m", slo="a"{more}}}'


def judged(method: str, bounds: dict[str, Counter], total: Counter, server: str = "s") -> dict[str, Counter | Gauge]:
    how = f', method="{method}"'
    name = "goodwatt_slo_good_requests_total"
    good = {name + account(server, how + f', bound="{bound}"'): count for bound, count in bounds.items()}
    return {"goodwatt_slo_requests_total" + account(server, how): total, **good}


def objective_of(objective: float) -> dict[str, Counter | Gauge]:
    return {'goodwatt_slo_objective_ratio{job="j", instance="i", slo="a"}': Gauge((20_000, objective))}


def traffic(objective: float, *legs: tuple[int, float], per_minute: float = PER_MINUTE) -> Series:
    """(minutes, share of bad requests) one after the other; both bounds agree."""
    good = Counter(*((minutes, per_minute * (1 - bad)) for minutes, bad in legs))
    total = Counter((sum(minutes for minutes, _ in legs), per_minute))
    return objective_of(objective) | judged("histogram", {"lower": good, "upper": good}, total)


def burnt(long: str, short: str, severity: str, description: str) -> Fired:
    labels = {"job": "j", "model": "m", "slo": "a", "severity": severity, "long_window": long, "short_window": short}
    return Fired(labels, "m: the error budget of SLO a is burning too fast", description)


def may_burn(long: str, short: str, description: str) -> Fired:
    labels = {"job": "j", "model": "m", "slo": "a", "severity": "ticket", "long_window": long, "short_window": short}
    return Fired(labels, "m: the error budget of SLO a may be burning too fast", description)


def test_a_sudden_outage_pages_within_minutes_and_resolves_soon_after(tmp_path: Path) -> None:
    """At 99 %, an outage pages once 14.4 % of an hour was bad, and resolves 5 minutes after its end."""
    page = burnt(
        "1h",
        "5m",
        "page",
        "At least 16.67% of the requests of the last 1h were bad. That is more than 14.4 times what the objective "
        "allows, or more than 90 % of all requests.",
    )
    moments = {6 * HOURS: (), 6 * HOURS + 8: (), 6 * HOURS + 10: (page,), 6 * HOURS + 26: ()}
    series = traffic(0.99, (6 * HOURS, 0), (20, 1), (60, 0))
    assert not Story("GoodwattSloBudgetBurn", series, moments, groups=PAGES).complaints(tmp_path)


def test_a_slow_burn_pages_by_the_longer_windows(tmp_path: Path) -> None:
    """10 % bad at 99 % burns between 6 and 14.4 times as fast: it pages once 6 % of six hours were bad."""
    page = burnt(
        "6h",
        "30m",
        "page",
        "At least 6.111% of the requests of the last 6h were bad. The objective allows 1 %; that is more than 6 "
        "times as much.",
    )
    moments = {6 * HOURS + 210: (), 6 * HOURS + 220: (page,), 6 * HOURS + 255: ()}
    series = traffic(0.99, (6 * HOURS, 0), (240, 0.1), (60, 0))
    assert not Story("GoodwattSloBudgetBurn", series, moments, slo(0.99), PAGES).complaints(tmp_path)


def test_a_leak_is_a_ticket(tmp_path: Path) -> None:
    """5 % bad at 99 % does not page; at 3 % of a day and 1 % of three days it opens two tickets, which resolve."""
    words = "The objective allows 1 %; that is more than {} times as much."
    day = burnt("1d", "2h", "ticket", f"At least 3.056% of the requests of the last 1d were bad. {words.format(3)}")
    three = burnt("3d", "6h", "ticket", f"At least 1.019% of the requests of the last 3d were bad. {words.format(1)}")
    series = traffic(0.99, (72 * HOURS, 0), (880, 0.05), (7 * HOURS, 0))
    end = 72 * HOURS + 880
    moments = {end - 20: (), end: (day, three), end + 90: (three,), end + 330: ()}
    story = Story("GoodwattSloBudgetBurn", series, moments, slo(0.99), TICKETS, step=10)
    assert not story.complaints(tmp_path)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("named", [True, False])
def test_an_outage_pages_at_every_objective(objective: float, named: bool, tmp_path: Path) -> None:
    """An outage pages on time, even at objectives where no budget can burn 14.4 times as fast.

    It does not matter whether the objective is in the rule file or only in the scraped metrics.
    """
    alerting = slo(objective) if named else Alerting()
    share = bad_ratio_limit(BURN_WINDOWS[0], BurnFactors(), objective)
    needed = int(60 * share) + 1  # minutes of an hour
    scene = Scene(traffic(objective, (2 * HOURS, 0), (90, 1), (30, 0)), alerting, PAGES)
    before, after = 2 * HOURS + max(0, needed - 2), 2 * HOURS + needed + 1
    asked = 'ALERTS{alertname="GoodwattSloBudgetBurn", long_window="1h"}'
    fires = (
        'ALERTS{alertname="GoodwattSloBudgetBurn", alertstate="firing", job="j", model="m", slo="a", severity="page", '
        'long_window="1h", short_window="5m"}'
    )
    expected = {(asked, before): {}, (asked, after): {fires: 1.0}, (asked, 2 * HOURS + 100): {}}
    assert not scene.sample_complaints(tmp_path, expected)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_met_objective_fires_nothing(objective: float, tmp_path: Path) -> None:
    """A day at nine tenths of the allowed bad requests fires nothing."""
    scene = Scene(traffic(objective, (24 * HOURS, 0.9 * (1 - objective))), slo(objective), TICKETS, step=30)
    expected = {('ALERTS{alertname=~"Goodwatt.*"}', minute): {} for minute in (6 * HOURS, 23 * HOURS)}
    assert not scene.sample_complaints(tmp_path, expected)


def test_a_configured_factor(tmp_path: Path) -> None:
    """burn_1h_factor moves the share of bad requests that pages: 5 at 99 % is 5 %, three minutes of an hour."""
    alerting = Alerting(objectives=slo(0.99).objectives, burn=BurnFactors(over_1h=5.0, over_6h=99.0))
    page = burnt(
        "1h",
        "5m",
        "page",
        "At least 6.667% of the requests of the last 1h were bad. The objective allows 1 %; that is more than 5 "
        "times as much.",
    )
    series = traffic(0.99, (6 * HOURS, 0), (20, 1))
    moments = {6 * HOURS + 2: (), 6 * HOURS + 4: (page,)}
    assert not Story("GoodwattSloBudgetBurn", series, moments, alerting, PAGES).complaints(tmp_path)


def test_low_traffic_does_not_page(tmp_path: Path) -> None:
    """Nothing fires below the minimum of requests in the long window, even if all are bad; at the minimum it does."""
    series = traffic(0.99, (2 * HOURS, 1), per_minute=0.5)  # 30 an hour
    alert, moments = "GoodwattSloBudgetBurn", {110: ()}
    few = Alerting(objectives=slo(0.99).objectives, minimum_requests=200)
    assert not Story(alert, series, moments, few, PAGES).complaints(tmp_path)
    enough = Alerting(objectives=slo(0.99).objectives, minimum_requests=30)
    assert 'long_window="1h"' in Story(alert, series, moments, enough, PAGES).complaints(tmp_path)


def test_without_requests_nothing_fires(tmp_path: Path) -> None:
    """Without traffic no alert fires and no share is recorded."""
    series = traffic(0.99, (2 * HOURS, 0), per_minute=0)
    assert not Story("GoodwattSloBudgetBurn", series, {110: ()}, slo(0.99), PAGES).complaints(tmp_path)
    none = Counter((2 * HOURS, 0))
    series = {**series, **judged("exact", {"exact": none}, none, "s2")}
    scene = Scene(series, slo(0.99), PAGES)
    assert not scene.sample_complaints(tmp_path, {("model:goodwatt_slo_surely_bad:ratio_rate1h", 110): {}})


LONG = 3 * HOURS
LATE = LONG - 10


def share(good: float, minutes: int = LONG) -> Counter:
    return Counter((minutes, PER_MINUTE * good))


def fired(tmp_path: Path, alert: str, series: Series) -> bool:
    """Whether the alert fires after three hours of this traffic."""
    return bool(Story(alert, series, {LATE: ()}, slo(0.99), TICKETS, step=10).complaints(tmp_path))


def test_a_possible_burn_opens_tickets_and_does_not_page(tmp_path: Path) -> None:
    """If the upper bound meets the objective, the lower one misses it and both are close, only tickets open."""
    series = objective_of(0.99) | judged("histogram", {"lower": share(0.965), "upper": share(0.992)}, share(1.0))
    words = (
        "Up to 3.5% of the requests of the last {} may have been bad; the histograms cannot decide. The objective "
        "allows 1 %; that is more than {} times as much."
    )
    tickets = (may_burn("1d", "2h", words.format("1d", 3)),)
    story = Story("GoodwattSloBudgetMayBurn", series, {LATE: tickets}, slo(0.99), TICKETS, step=10)
    assert not story.complaints(tmp_path)
    assert not fired(tmp_path, "GoodwattSloBudgetBurn", series)


@pytest.mark.parametrize("lower", [0.49, 0.9, 0.98, 0.995])
def test_a_service_without_bad_requests_opens_no_ticket(lower: float, tmp_path: Path) -> None:
    """However wide the bounds of a perfect service are, they open nothing."""
    series = objective_of(0.99) | judged("histogram", {"lower": share(lower), "upper": share(1.0)}, share(1.0))
    scene = Scene(series, slo(0.99), TICKETS, step=10)
    assert not scene.sample_complaints(tmp_path, {('ALERTS{alertname=~"GoodwattSlo.*"}', LATE): {}})


def test_a_certain_burn_silences_the_possible_one(tmp_path: Path) -> None:
    """While an objective burns for certain, no ticket says that it may."""
    series = objective_of(0.99) | judged("histogram", {"lower": share(0.80), "upper": share(0.805)}, share(1.0))
    assert fired(tmp_path, "GoodwattSloBudgetBurn", series)
    assert not fired(tmp_path, "GoodwattSloBudgetMayBurn", series)


def test_a_possible_burn_resolves_when_the_bounds_close(tmp_path: Path) -> None:
    """The ticket resolves when the lower bound is good again over the short window."""
    lower = Counter((3 * HOURS, PER_MINUTE * 0.965), (7 * HOURS, PER_MINUTE * 0.992))
    upper = Counter((10 * HOURS, PER_MINUTE * 0.992))
    series = objective_of(0.99) | judged(
        "histogram", {"lower": lower, "upper": upper}, Counter((10 * HOURS, PER_MINUTE))
    )
    assert fired(tmp_path, "GoodwattSloBudgetMayBurn", series)
    moments: dict[int, tuple[Fired, ...]] = {9 * HOURS + 30: ()}
    assert not Story("GoodwattSloBudgetMayBurn", series, moments, slo(0.99), TICKETS, step=10).complaints(tmp_path)


def test_one_failure_does_not_page(tmp_path: Path) -> None:
    """One bad request of 30 an hour at 99.9 % does not page; three do, at the default minimum of bad requests."""
    for bad, pages in ((1, False), (2, False), (3, True), (4, True)):
        good, total = Counter((2 * HOURS, (30 - bad) / 60)), Counter((2 * HOURS, 0.5))
        series = objective_of(0.999) | judged("histogram", {"lower": good, "upper": good}, total)
        complaints = Story("GoodwattSloBudgetBurn", series, {110: ()}, slo(0.999), PAGES).complaints(tmp_path)
        assert ('long_window="1h"' in complaints) is pages, bad


def test_a_page_ends_with_its_model(tmp_path: Path) -> None:
    """Once a model's series are gone for more than five minutes, its page ends, though the windows still hold it."""
    half = judged(
        "histogram", {"lower": Counter((2 * HOURS, 0)), "upper": Counter((2 * HOURS, 0))}, Counter((120, 600))
    )
    series = objective_of(0.9) | half
    asked = 'ALERTS{alertname="GoodwattSloBudgetBurn", long_window="6h"}'
    fires = (
        'ALERTS{alertname="GoodwattSloBudgetBurn", alertstate="firing", job="j", model="m", slo="a", severity="page", '
        'long_window="6h", short_window="30m"}'
    )
    scene = Scene(series, slo(0.9), PAGES)
    assert not scene.sample_complaints(tmp_path, {(asked, 119): {fires: 1.0}, (asked, 126): {}})


@pytest.mark.parametrize("named", [True, False])
def test_the_default_slo_never_alerts(named: bool, tmp_path: Path) -> None:
    """An SLO that nobody configured fires nothing by the generic rules; a configured one with its name does."""
    objective = 'goodwatt_slo_objective_ratio{job="j", instance="i", slo="a", origin="%s"}'
    none = Counter((3 * HOURS, 0))
    series: dict[str, Counter | Gauge] = judged("histogram", {"lower": none, "upper": none}, share(1.0))
    series |= {objective % ("config" if named else "default"): Gauge((3 * HOURS, 0.99))}
    complaints = Story("GoodwattSloBudgetBurn", series, {LATE: ()}, Alerting(), TICKETS, step=10).complaints(tmp_path)
    assert bool(complaints) is named


MODEL = '{job="j", model="m", slo="a"}'


def _rounded(which: str) -> str:
    return f"round(model:goodwatt_slo_{which}:ratio_rate1h, 0.01)"


def test_records_do_not_hide_failures_of_the_page(tmp_path: Path) -> None:
    """Engines send no record of a failed request: 5 % errors on the page burn beside records that are all good."""
    bounds = judged("histogram", {"lower": share(0.9), "upper": share(0.95)}, share(1.0))
    series = objective_of(0.99) | bounds | judged("exact", {"exact": share(0.95)}, share(0.95))
    assert fired(tmp_path, "GoodwattSloBudgetBurn", series)
    expected = {(_rounded(name), LATE): {MODEL: 0.05} for name in ("surely_bad", "possibly_bad")}
    assert not Scene(series, slo(0.99), TICKETS, step=10).sample_complaints(tmp_path, expected)


def test_a_page_that_lags_the_records_is_not_bad(tmp_path: Path) -> None:
    """While a page is missing its requests have records only; when it is back, it counts them all at once."""
    steady, jump = share(1.0), Counter((60, PER_MINUTE), (50, 0), (10, 6 * PER_MINUTE), (60, PER_MINUTE))
    bounds = judged("histogram", {"lower": jump, "upper": jump}, jump)
    series = objective_of(0.99) | bounds | judged("exact", {"exact": steady}, steady)
    names = ('ALERTS{alertname=~"GoodwattSlo.*"}', "max(model:goodwatt_slo_surely_bad:ratio_rate5m) > 0")
    expected = {(name, minute): {} for name in names for minute in (70, 90, 108, 115, 125, 160)}
    assert not Scene(series, slo(0.99), TICKETS).sample_complaints(tmp_path, expected)


def test_sampled_records_prove_what_they_show(tmp_path: Path) -> None:
    """With records of a tenth of the requests, those that are bad are certainly bad, and the others stay unknown."""
    bounds = judged("histogram", {"lower": share(0.0), "upper": share(1.0)}, share(1.0))
    series = objective_of(0.99) | bounds | judged("exact", {"exact": share(0.06)}, share(0.1))
    expected = {(_rounded("surely_bad"), LATE): {MODEL: 0.04}}
    assert not Scene(series, slo(0.99), PAGES, step=10).sample_complaints(tmp_path, expected)


def test_records_take_precedence_over_bounds(tmp_path: Path) -> None:
    """If every request has a record, they page where bounds cannot, and rule out possible burns."""
    bounds = judged("histogram", {"lower": share(0.1), "upper": share(1.0)}, share(1.0))
    bad = objective_of(0.99) | bounds | judged("exact", {"exact": share(0.5)}, share(1.0))
    assert fired(tmp_path, "GoodwattSloBudgetBurn", bad)
    good = objective_of(0.99) | bounds | judged("exact", {"exact": share(1.0)}, share(1.0))
    assert not fired(tmp_path, "GoodwattSloBudgetBurn", good)
    assert not fired(tmp_path, "GoodwattSloBudgetMayBurn", good)


def test_records_of_few_requests(tmp_path: Path) -> None:
    """With sampled records, or records that have stopped, what the bounds prove still counts."""
    bounds = judged("histogram", {"lower": share(0.5), "upper": share(0.5)}, share(1.0))
    few = objective_of(0.99) | bounds | judged("exact", {"exact": share(0.2)}, share(0.2))
    assert fired(tmp_path, "GoodwattSloBudgetBurn", few)
    none = objective_of(0.99) | bounds | judged("exact", {"exact": share(0)}, share(0))
    assert fired(tmp_path, "GoodwattSloBudgetBurn", none)


def test_records_alone_are_enough(tmp_path: Path) -> None:
    """For an engine without histograms, records decide alone."""
    series = objective_of(0.99) | judged("exact", {"exact": share(0.5)}, share(1.0))
    assert fired(tmp_path, "GoodwattSloBudgetBurn", series)


def test_a_model_is_judged_over_all_its_servers(tmp_path: Path) -> None:
    """Every server uses one method and no request counts twice: one bad server of four makes the model 25 % bad."""
    series: dict[str, Counter | Gauge] = objective_of(0.99) | judged("exact", {"exact": share(0)}, share(1.0), "s1")
    series |= judged("histogram", {"lower": share(0), "upper": share(1.0)}, share(1.0), "s1")
    for server in ("s2", "s3", "s4"):
        series |= judged("histogram", {"lower": share(1.0), "upper": share(1.0)}, share(1.0), server)
    certain = 'model:goodwatt_slo_surely_bad:ratio_rate1h{job="j", model="m", slo="a"}'
    expected = {("model:goodwatt_slo_surely_bad:ratio_rate1h", LATE): {certain: 0.25}}
    assert not Scene(series, slo(0.99), PAGES, step=10).sample_complaints(tmp_path, expected)
