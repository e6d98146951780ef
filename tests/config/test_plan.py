"""What a running goodwatt takes from its configuration file."""

import pytest

from goodwatt.config.config import Config
from goodwatt.config.load import parse
from goodwatt.config.plan import Plan, alerting, make_plan, slo_models
from goodwatt.model.engine import Signal
from goodwatt.model.policy import Policy
from goodwatt.model.slo import Cancelled, Errors, OneTokenOutputs, Slo, Threshold
from goodwatt.model.tariff import Carbon, Facility, Tariff
from goodwatt.settings.section import SourceSection
from goodwatt.settings.sources import GpusSection, OtlpSection
from goodwatt.sources.open import SourceContext, open_source


def planned(text: str) -> Plan:
    return make_plan(parse(text))


def test_the_policy_carries_every_key_that_the_fold_needs() -> None:
    """The fold's policy says what the file says; a server that runs on all GPUs is absent from server_gpus."""
    text = (
        "interval_seconds: 2\nwindow_seconds: 10\n"
        "servers: [{name: a, url: 'http://h:1', gpus: [0, 1]}, {name: b, url: 'http://h:2', gpus: [GPU-x]}, "
        "{name: c, url: 'http://h:3'}]\n"
        "slos: [{name: s, e2e_seconds: 9, objective_ratio: 0.9, models: ['l*'], servers: [a], "
        "one_token_outputs: fail, errors: exclude, cancelled: fail}]\n"
        "cost: {currency: EUR, price_per_kwh: 0.1}\nfacility: {host_factor: 1.5, pue: 1.2}\n"
        "carbon: {grams_per_kwh: 400}\n"
    )
    plan = planned(text)
    assert plan.policy_for(plan.servers) == Policy(
        interval_seconds=2.0,
        window_seconds=10.0,
        server_gpus={"a": (0, 1), "b": ("GPU-x",)},
        slos=(
            Slo(
                name="s",
                thresholds=(Threshold(Signal.E2E, 9.0),),
                objective=0.9,
                models=("l*",),
                servers=("a",),
                one_token_outputs=OneTokenOutputs.FAIL,
                errors=Errors.EXCLUDE,
                cancelled=Cancelled.FAIL,
            ),
        ),
        tariff=Tariff("EUR", price_per_kwh=0.1),
        facility=Facility(host_factor=1.5, pue=1.2),
        carbon=Carbon(400.0),
    )


def test_rent_has_a_default_currency() -> None:
    """A price without a currency is in US dollars."""
    assert planned("cost: {price_per_gpu_hour: 2}").policy.tariff == Tariff("USD", price_per_gpu_hour=2.0)


def test_a_timeout_is_cut_to_the_interval() -> None:
    """No server may hold up a tick: a timeout above three quarters of the interval is cut, a shorter one kept."""
    servers = "servers: [{name: a, url: 'http://h:1'}, {name: b, url: 'http://h:2', timeout_seconds: 0.5}]"
    plan = planned(f"interval_seconds: 1\n{servers}\nserver_discovery: [{{files: ['a.json']}}]")
    assert [server.timeout_seconds for server in plan.servers] == [0.75, 0.5]
    assert [section.timeout_seconds for section in plan.discovery] == [0.75]


def test_each_source_section_of_the_file_is_in_the_plan() -> None:
    """GPUs are always among them, the OTLP receiver only when the file has its section."""
    assert [type(section) for section in planned("").sources] == [GpusSection]
    assert [type(section) for section in planned("otlp: {}").sources] == [GpusSection, OtlpSection]
    assert planned("gpus: {kind: auto}").sources == planned("gpus: {kind: nvml}").sources


def test_every_source_section_can_be_opened() -> None:
    """A section that open_source does not know would end the process at its first tick."""
    sections = {key: field.annotation for key, field in Config.model_fields.items()}
    known = [kind for kind in SourceSection.__subclasses__() if any(kind in _members(one) for one in sections.values())]
    assert known == SourceSection.__subclasses__()
    for section in known:
        assert open_source(section(), SourceContext()) is not None


def _members(annotation: object) -> tuple[object, ...]:
    return (annotation, *getattr(annotation, "__args__", ()))


@pytest.mark.parametrize(
    ("text", "ports"),
    [("", True), ("servers: []", False), ("server_discovery: [{files: [a.json]}]", False)],
)
def test_local_ports_are_tried_only_when_nothing_names_a_server(text: str, ports: bool) -> None:
    """An absent key means the well-known ports; an empty list means no server."""
    assert planned(text).discovers_local_ports is ports
    assert planned(text).servers == ()


def test_listeners_can_be_left_out() -> None:
    """The OTLP receiver and the proxies go, with the servers that have only a proxy; the rest is unchanged."""
    text = """\
otlp: {}
servers:
  - {name: a, url: 'http://h', proxy: {listen: '127.0.0.1:9000', upstream: 'http://h'}}
  - {name: b, proxy: {listen: '127.0.0.1:9001', upstream: 'http://i'}}
"""
    plan = planned(text).without_listeners()
    assert [type(section) for section in plan.sources] == [GpusSection]
    assert [(server.name, server.proxy) for server in plan.servers] == [("a", None)]
    assert planned("otlp: {}").without_listeners().discovers_local_ports


def test_alerts_apply_to_every_published_objective_unless_the_file_names_some() -> None:
    """Without `slos` the alerts name no objective; with `slos` they name those of the file."""
    assert alerting(parse("")).objectives is None
    assert alerting(parse("slos: []")).objectives == ()
    config = parse("slos: [{name: s, ttft_seconds: 1}]\ncost: {currency: EUR, price_per_kwh: 1}")
    assert (alerting(config).objectives, alerting(config).currency) == (slo_models(config), "EUR")


def test_only_an_slo_that_is_not_configured_is_the_default() -> None:
    """The SLO in force without `slos` is marked, also beside other settings; a configured one of its name is not."""
    assert [slo.is_default for text in ("", "interval_seconds: 2") for slo in planned(text).policy.slos] == [True, True]
    assert [slo.is_default for slo in planned("slos: [{name: default, ttft_seconds: 1}]").policy.slos] == [False]


def test_profiles_of_the_file_come_first_and_replace_shipped_ones() -> None:
    """The first profile that recognises a page wins, so the operator's are tried first."""
    profile = "profiles: [{name: vllm, replaces_shipped: true, title: Mine, ports: [], detect: {any_of: [x]}, "
    text = profile + "labels: {model: [m]}, traits: {tokens_move: step, one_token_tpot: zero}, signals: {}}]"
    profiles = planned(text).profiles
    assert next(iter(profiles)) == "vllm" and profiles["vllm"].title == "Mine"
    assert profiles.keys() == planned("").profiles.keys()
