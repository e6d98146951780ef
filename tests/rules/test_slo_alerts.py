"""Error budgets: who is told, when, and when not, under promtool."""

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


def told(objective: float) -> dict[str, Counter | Gauge]:
    return {'goodwatt_slo_objective_ratio{job="j", instance="i", slo="a"}': Gauge((20_000, objective))}


def traffic(objective: float, *legs: tuple[int, float], per_minute: float = PER_MINUTE) -> Series:
    """(minutes, share of bad requests) one after the other; both bounds agree."""
    good = Counter(*((minutes, per_minute * (1 - bad)) for minutes, bad in legs))
    total = Counter((sum(minutes for minutes, _ in legs), per_minute))
    return told(objective) | judged("histogram", {"lower": good, "upper": good}, total)


def burnt(long: str, short: str, severity: str, description: str) -> Fired:
    labels = {"job": "j", "model": "m", "slo": "a", "severity": severity, "long_window": long, "short_window": short}
    return Fired(labels, "m: the error budget of SLO a is burning too fast", description)


def may_burn(long: str, short: str, description: str) -> Fired:
    labels = {"job": "j", "model": "m", "slo": "a", "severity": "ticket", "long_window": long, "short_window": short}
    return Fired(labels, "m: the error budget of SLO a may be burning too fast", description)


def test_a_sudden_outage_pages_within_minutes_and_stops_soon_after_it(tmp_path: Path) -> None:
    """At 99 % everything bad pages once 14.4 % of an hour was bad, and 5 minutes after the end it is over."""
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
    """10 % bad at 99 % is below 14.4 times and above 6 times: after 6 % of six hours somebody is told."""
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
    """5 % bad at 99 % pages nobody; after 3 % of a day, which is 1 % of three days, it is two tickets, which end."""
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
    """When everything is bad somebody is woken, also where no budget can burn 14.4 times as fast; not a minute early.

    The same whether the objective is in the file or only on the pages that are scraped.
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
def test_who_keeps_the_objective_is_left_alone(objective: float, tmp_path: Path) -> None:
    """Nine tenths of the allowed bad requests, for a day, fire nothing."""
    scene = Scene(traffic(objective, (24 * HOURS, 0.9 * (1 - objective))), slo(objective), TICKETS, step=30)
    expected = {('ALERTS{alertname=~"Goodwatt.*"}', minute): {} for minute in (6 * HOURS, 23 * HOURS)}
    assert not scene.sample_complaints(tmp_path, expected)


def test_a_factor_of_one_s_own(tmp_path: Path) -> None:
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


def test_a_handful_of_requests_wakes_nobody(tmp_path: Path) -> None:
    """Below the minimum of requests in the long window nothing fires, however bad they are; at it, something does."""
    series = traffic(0.99, (2 * HOURS, 1), per_minute=0.5)  # 30 an hour
    alert, moments = "GoodwattSloBudgetBurn", {110: ()}
    few = Alerting(objectives=slo(0.99).objectives, minimum_requests=200)
    assert not Story(alert, series, moments, few, PAGES).complaints(tmp_path)
    enough = Alerting(objectives=slo(0.99).objectives, minimum_requests=30)
    assert 'long_window="1h"' in Story(alert, series, moments, enough, PAGES).complaints(tmp_path)


def test_no_requests_no_alert(tmp_path: Path) -> None:
    """Without traffic there is no share of it: nothing fires, and nothing is recorded."""
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
    """Whether the alert fires at the end of hours of the same."""
    return bool(Story(alert, series, {LATE: ()}, slo(0.99), TICKETS, step=10).complaints(tmp_path))


def test_what_only_may_be_bad_is_a_ticket_and_wakes_nobody(tmp_path: Path) -> None:
    """Where the upper bound keeps the objective and the lower one breaks it, the breach is possible: tickets only."""
    series = told(0.99) | judged("histogram", {"lower": share(0.5), "upper": share(1.0)}, share(1.0))
    words = (
        "Up to 50% of the requests of the last {} may have been bad; the histograms cannot decide. The objective "
        "allows 1 %; that is more than {} times as much."
    )
    tickets = (may_burn("1d", "2h", words.format("1d", 3)), may_burn("3d", "6h", words.format("3d", 1)))
    story = Story("GoodwattSloBudgetMayBurn", series, {LATE: tickets}, slo(0.99), TICKETS, step=10)
    assert not story.complaints(tmp_path)
    assert not fired(tmp_path, "GoodwattSloBudgetBurn", series)


def test_what_may_be_bad_ends_when_the_bounds_close(tmp_path: Path) -> None:
    """The ticket goes when the lower bound is good again for the short window."""
    lower = Counter((3 * HOURS, PER_MINUTE * 0.5), (7 * HOURS, PER_MINUTE))
    upper = Counter((10 * HOURS, PER_MINUTE))
    series = told(0.99) | judged("histogram", {"lower": lower, "upper": upper}, upper)
    moments: dict[int, tuple[Fired, ...]] = {9 * HOURS + 30: ()}
    assert not Story("GoodwattSloBudgetMayBurn", series, moments, slo(0.99), TICKETS, step=10).complaints(tmp_path)


def test_records_are_believed_rather_than_bounds(tmp_path: Path) -> None:
    """Where every request has a record, what it says counts: bad ones page that bounds cannot see, and the other way.

    A possible breach is none when records say that it did not happen.
    """
    bounds = judged("histogram", {"lower": share(0.1), "upper": share(1.0)}, share(1.0))
    bad = told(0.99) | bounds | judged("exact", {"exact": share(0.5)}, share(1.0))
    assert fired(tmp_path, "GoodwattSloBudgetBurn", bad)
    good = told(0.99) | bounds | judged("exact", {"exact": share(1.0)}, share(1.0))
    assert not fired(tmp_path, "GoodwattSloBudgetBurn", good)
    assert not fired(tmp_path, "GoodwattSloBudgetMayBurn", good)


def test_records_of_a_few_do_not_speak_for_all(tmp_path: Path) -> None:
    """Sampled records, and records that have stopped, leave the word to the bounds."""
    bounds = judged("histogram", {"lower": share(0.5), "upper": share(0.5)}, share(1.0))
    few = told(0.99) | bounds | judged("exact", {"exact": share(0.2)}, share(0.2))
    assert fired(tmp_path, "GoodwattSloBudgetBurn", few)
    none = told(0.99) | bounds | judged("exact", {"exact": share(0)}, share(0))
    assert fired(tmp_path, "GoodwattSloBudgetBurn", none)


def test_records_alone_are_enough(tmp_path: Path) -> None:
    """An engine without histograms is judged by its records."""
    series = told(0.99) | judged("exact", {"exact": share(0.5)}, share(1.0))
    assert fired(tmp_path, "GoodwattSloBudgetBurn", series)


def test_a_model_is_judged_over_all_its_servers(tmp_path: Path) -> None:
    """Each server by its own method, and no request twice: one of four servers wholly bad is a quarter of the model."""
    series: dict[str, Counter | Gauge] = told(0.99) | judged("exact", {"exact": share(0)}, share(1.0), "s1")
    series |= judged("histogram", {"lower": share(0), "upper": share(1.0)}, share(1.0), "s1")
    for server in ("s2", "s3", "s4"):
        series |= judged("histogram", {"lower": share(1.0), "upper": share(1.0)}, share(1.0), server)
    surely = 'model:goodwatt_slo_surely_bad:ratio_rate1h{job="j", model="m", slo="a"}'
    expected = {("model:goodwatt_slo_surely_bad:ratio_rate1h", LATE): {surely: 0.25}}
    assert not Scene(series, slo(0.99), PAGES, step=10).sample_complaints(tmp_path, expected)
