"""The rule files: accepted by Prometheus and its operator, consistent with metrics and runbooks."""

import re
import shutil
import subprocess
from collections import Counter
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml

from goodwatt.cli import main
from goodwatt.config.load import parse
from goodwatt.config.plan import alerting
from goodwatt.model.alerting import Alerting
from goodwatt.rules import RULE_KINDS, alert_names, rule_groups
from tests.docs import rules
from tests.grafana.expressions import selectors
from tests.grafana.test_dashboards import labels_by_metric
from tests.rules.promtool import ALERTING, promtool

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "deploy" / "prometheus"
OWN_SLOS = "slos: [{name: a, ttft_seconds: 1, objective_ratio: 0.9}, {name: b.c, e2e_seconds: 9}]\n"
VARIANTS = {
    "default": Alerting(),
    "everything": ALERTING,
    "named": alerting(parse(OWN_SLOS)),
    "long window": alerting(parse("window_seconds: 3600\n" + OWN_SLOS)),
    "scaled": Alerting(scale=1 / 150),
    "none": alerting(parse("slos: []")),
}
DURATION = re.compile(r"(\d+d)?(\d+h)?(\d+m)?(\d+s)?")
# Labels that Prometheus adds to every target.
SCRAPE_LABELS = {"job", "instance"}
RECORDED = re.compile(r"\b[a-z_]+:goodwatt_\w+:\w+")
variants = pytest.mark.parametrize("alerting", VARIANTS.values(), ids=VARIANTS)


def all_rules(alerting: Alerting, kind: str = "all") -> list[dict[str, Any]]:
    return list(chain.from_iterable(group["rules"] for group in rule_groups(alerting, kind)))


@pytest.mark.parametrize("kind", ["recording", "alerts"])
def test_the_shipped_files_are_what_is_generated(kind: str) -> None:
    """deploy/prometheus holds exactly what `make docs` writes and `goodwatt rules` prints without a configuration."""
    assert (SHIPPED / f"goodwatt-{kind}.rules.yml").read_text() == rules(kind)


@pytest.mark.parametrize("kind", RULE_KINDS)
def test_the_command_prints_every_kind(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`goodwatt rules` prints the groups of the kind as YAML; `all` prints both."""
    assert main(["rules", "--kind", kind]) == 0
    assert yaml.safe_load(capsys.readouterr().out) == {"groups": rule_groups(Alerting(), kind)}
    assert rule_groups(Alerting()) == rule_groups(Alerting(), "recording") + rule_groups(Alerting(), "alerts")


def test_the_command_reads_the_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Objectives, limits and the runbook URL come from the configuration; an invalid file is rejected."""
    file = tmp_path / "g.yaml"
    file.write_text(
        OWN_SLOS + "cost: {price_per_gpu_hour: 1, currency: EUR}\n"
        "alerts: {generated_cost_per_million_tokens: 0.7, disabled: [GoodwattAbsent]}\n"
    )
    assert main(["rules", "--config", str(file), "--kind", "alerts", "--runbook-url", "https://wiki/goodwatt"]) == 0
    groups = yaml.safe_load(capsys.readouterr().out)["groups"]
    alerts = [rule for group in groups for rule in group["rules"] if "alert" in rule]
    assert {rule["alert"] for rule in alerts} == set(alert_names()) - {"GoodwattAbsent"}
    assert all(rule["annotations"]["runbook_url"].startswith("https://wiki/goodwatt#goodwatt") for rule in alerts)
    text = "\n".join(rule["expr"] for rule in alerts)
    assert 'slo="a"' in text and 'slo="b.c"' in text and 'currency="EUR"' in text and "> 0.7" in text
    file.write_text("alerts: {burn_1h_factor: 1000}\n")
    assert main(["rules", "--config", str(file)]) == 2


@variants
@pytest.mark.parametrize("kind", ["recording", "alerts"])
def test_promtool_accepts_every_variant(alerting: Alerting, kind: str, tmp_path: Path) -> None:
    """Each file of every variant passes promtool's check with all lints."""
    (tmp_path / "r.yml").write_text(yaml.safe_dump({"groups": rule_groups(alerting, kind)}))
    command = [promtool(), "check", "rules", "--lint=all", "--lint-fatal", str(tmp_path / "r.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@variants
def test_rules_use_only_existing_names(alerting: Alerting) -> None:
    """Every metric and label in a rule is in the metric table or recorded in the same file."""
    known = labels_by_metric()
    for kind in ("recording", "alerts"):
        recorded = {rule["record"] for rule in all_rules(alerting, kind) if "record" in rule}
        for rule in all_rules(alerting, kind):
            assert set(RECORDED.findall(rule["expr"])) <= recorded, rule
            for selector in selectors(RECORDED.sub("", rule["expr"])):
                assert selector.metric in known, (selector, rule)
                assert selector.labels <= known[selector.metric] | SCRAPE_LABELS, selector


@variants
def test_series_are_recorded_before_they_are_used(alerting: Alerting) -> None:
    """A rule uses only series that an earlier rule of its group records.

    Groups are evaluated concurrently. Only tickets, which are not urgent, also use the page group's series, which may
    be one evaluation old.
    """
    groups = rule_groups(alerting)
    recorded = {group["name"]: {rule["record"] for rule in group["rules"] if "record" in rule} for group in groups}
    for group in groups:
        seen = set(recorded["goodwatt-slo-page"]) if group["name"] == "goodwatt-slo-ticket" else set()
        for rule in group["rules"]:
            assert set(RECORDED.findall(rule["expr"])) <= seen
            seen |= {rule["record"]} if "record" in rule else set()


@variants
def test_nothing_is_recorded_twice(alerting: Alerting) -> None:
    """No two rules write the same series, even with both files loaded."""
    names = Counter(rule["record"] for rule in all_rules(alerting) if "record" in rule)
    assert [name for name, count in names.items() if count > 1] == []


@variants
def test_groups_fit_a_prometheus_rule(alerting: Alerting) -> None:
    """Keys, names and durations are valid in the PrometheusRule custom resource."""
    groups = rule_groups(alerting)
    assert len({group["name"] for group in groups}) == len(groups)
    for group in groups:
        assert set(group) <= {"name", "interval", "rules"}
        assert DURATION.fullmatch(group.get("interval", "1m"))
        for rule in group["rules"]:
            assert set(rule) <= {"record", "alert", "expr", "for", "labels", "annotations"}
            assert DURATION.fullmatch(rule.get("for", "1m"))
            texts = [*rule.get("labels", {}).values(), *rule.get("annotations", {}).values(), rule["expr"]]
            assert all(isinstance(text, str) for text in texts)


def sections() -> dict[str, str]:
    parts = (ROOT / "docs" / "runbooks.md").read_text().split("\n## ")[1:]
    return {part.partition("\n")[0]: part.partition("\n")[2] for part in parts}


def test_alerts_and_runbook_sections_match() -> None:
    """docs/runbooks.md has one section per alert with meaning, places to look and actions."""
    assert sorted(sections()) == sorted(alert_names())
    for name, text in sections().items():
        assert [word for word in ("**Means**", "**Look at**", "**Do**") if word not in text] == [], name


def test_every_alert_explains_itself() -> None:
    """Every alert has a severity, a summary, a description in sentences, and a link to its runbook section."""
    for rule in all_rules(ALERTING, "alerts"):
        if "alert" in rule:
            notes = rule["annotations"]
            assert rule["labels"]["severity"] in {"page", "ticket"}
            assert notes["summary"] and not notes["summary"].endswith(".")
            assert notes["description"].replace("{{ end }}", "").endswith(".")
            assert notes["runbook_url"] == f"docs/runbooks.md#{rule['alert'].lower()}"


def test_the_runbooks_mention_only_what_exists() -> None:
    """Every metric in docs/runbooks.md and docs/alerts.md is in the metric table or recorded."""
    known = {*labels_by_metric(), *(rule.get("record", "") for rule in all_rules(ALERTING))}
    for page in ("runbooks.md", "alerts.md"):
        text = (ROOT / "docs" / page).read_text()
        for name in re.findall(r"`((?:[a-z_]+:)?goodwatt_[a-z0-9_:]+)", text):
            full = {f"{level}:{name}" for level in ("server_model", "model", "fleet")}
            assert name in known or any(one.startswith(tuple(full)) for one in known), f"{name} in {page}"


def test_without_objectives_there_are_no_slo_alerts() -> None:
    """`slos: []` removes the error budget alerts and keeps the others."""
    names = {rule["alert"] for rule in all_rules(VARIANTS["none"]) if "alert" in rule}
    assert not any(name.startswith("GoodwattSlo") for name in names)
    assert "GoodwattServerDown" in names


def test_the_documented_inhibition_is_valid(tmp_path: Path) -> None:
    """The example for Alertmanager in docs/alerts.md is accepted by amtool."""
    program = shutil.which("amtool")
    assert program, "amtool is missing: apt-get install --no-install-recommends prometheus-alertmanager"
    block = (ROOT / "docs" / "alerts.md").read_text().split("```yaml\n# alertmanager.yml")[1].split("```")[0]
    (tmp_path / "a.yml").write_text("receivers: [{name: x}]\nroute: {receiver: x}\n#" + block)
    done = subprocess.run(
        [program, "check-config", str(tmp_path / "a.yml")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and "1 inhibit rules" in done.stdout, done.stdout + done.stderr
