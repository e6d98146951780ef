"""Files that list servers: what Prometheus's format means here, and what each fault is called."""

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodwatt.config.errors import ConfigError
from goodwatt.config.file_sd.labels import default_name
from goodwatt.config.file_sd.targets import FileSdTarget, parse_targets
from goodwatt.config.validation.entries import name_message
from goodwatt.config.validation.urls import url_message
from goodwatt.settings.sources import BasicAuthSection, DiscoverySection

REACHED = DiscoverySection(
    files=("a.yaml",),
    timeout_seconds=1.5,
    headers={"X-Key": "v"},
    basic_auth=BasicAuthSection(username="u", password_file=Path("/pw")),
)
BOTH = [
    {"targets": ["10.0.0.1:8000", "h2:8000"], "labels": {"env": "prod", "__meta_x": "y"}},
    {
        "targets": ["[::1]:30000"],
        "labels": {
            "__scheme__": "https",
            "__metrics_path__": "/stats",
            "__param_model": "a b",
            "goodwatt_name": "six",
            "goodwatt_engine": "sglang",
            "goodwatt_gpus": "0, 2",
        },
    },
]
EXPECTED = (
    FileSdTarget("10.0.0.1-8000", "http://10.0.0.1:8000"),
    FileSdTarget("h2-8000", "http://h2:8000"),
    FileSdTarget("six", "https://[::1]:30000/stats?model=a+b", "sglang", (0, 2)),
)


def refused(text: str, file: str = "f.yaml") -> list[str]:
    with pytest.raises(ConfigError) as raised:
        parse_targets(text, file)
    return str(raised.value).splitlines()


@pytest.mark.parametrize("file", ["f.json", "F.JSON", "f.yaml", "f.yml"])
def test_json_and_yaml_say_the_same(file: str) -> None:
    """Scheme, path, parameters and goodwatt_* labels are honoured; other labels are ignored."""
    assert parse_targets(json.dumps(BOTH), file) == EXPECTED


def test_json_may_be_indented_with_tabs() -> None:
    """A .json file is read as JSON, which allows what YAML does not."""
    assert parse_targets(json.dumps(BOTH, indent="\t"), "f.json") == EXPECTED


def test_yaml_as_people_write_it() -> None:
    """Block style and unquoted whole numbers are read as Prometheus reads them; `[]` lists no server."""
    text = "- targets:\n  - a:1\n  labels:\n    goodwatt_gpus: 0\n- targets: [b:2]\n- targets: []\n"
    assert parse_targets(text, "f.yml") == (
        FileSdTarget("a-1", "http://a:1", gpus=(0,)),
        FileSdTarget("b-2", "http://b:2"),
    )
    assert parse_targets("[]", "f.yml") == parse_targets("[]", "f.json") == ()


def test_gpus_may_be_uuids_or_all() -> None:
    """The three forms of the configuration file, separated by commas."""
    text = (
        "- {targets: ['a:1'], labels: {goodwatt_gpus: 'GPU-a,GPU-b'}}\n"
        "- {targets: ['b:1'], labels: {goodwatt_gpus: all}}"
    )
    assert [target.gpus for target in parse_targets(text, "f.yaml")] == [("GPU-a", "GPU-b"), "all"]


def test_a_target_takes_the_settings_of_its_discovery_section() -> None:
    """Every listed server gets the credentials, headers, TLS and timeout of the section."""
    section = EXPECTED[2].section(REACHED)
    assert (section.name, section.url, section.engine, section.gpus) == (
        "six",
        EXPECTED[2].url,
        "sglang",
        (0, 2),
    )
    assert (section.timeout_seconds, section.headers, section.basic_auth) == (
        1.5,
        {"X-Key": "v"},
        REACHED.basic_auth,
    )


def test_default_names_are_unique_and_contain_no_secret() -> None:
    """Path and a digest of the query distinguish pages of one address; the same URL is one server."""
    text = json.dumps(
        [
            {"targets": ["h:1", "h:1", "a_b:1", "A-b:1"]},
            {"targets": ["h:1"], "labels": {"__metrics_path__": "/metrics"}},
            {"targets": ["h:1"], "labels": {"__metrics_path__": "/x/metrics", "__param_token": "hunter2"}},
            {"targets": ["h:1"], "labels": {"__param_token": "hunter3"}},
            {"targets": ["q:9"], "labels": {"goodwatt_name": "a_b-1"}},
        ]
    )
    targets = parse_targets(text, "f.json")
    names = [target.name for target in targets]
    assert len(names) == len(set(names)) == 7
    assert "h-1" in names and "A-b-1" in names
    assert not any("hunter" in name for name in names) and "hunter" not in repr(targets)
    assert all(name_message(name) is None for name in names)
    assert parse_targets(text, "f.json") == targets


def test_a_name_does_not_depend_on_its_neighbours() -> None:
    """The name of a target with a path does not depend on the other targets."""
    one = {"targets": ["h:1"], "labels": {"__param_model": "a"}}
    alone = parse_targets(json.dumps([one]), "f.json")[0]
    among = parse_targets(json.dumps([{"targets": ["h:1", "g:1"]}, one]), "f.json")
    assert alone in among


@given(st.text(st.characters(codec="utf-8"), max_size=80))
def test_any_valid_address_has_a_valid_name(target: str) -> None:
    """For any host and port, the default name is a valid label and contains no path separator."""
    if url_message(f"http://{target}") is None and "/" not in target and "?" not in target:
        assert name_message(default_name(target, f"http://{target}")) is None


def test_every_mistake_is_reported_at_once_by_line() -> None:
    """Each has its file, line and path; no target and no value is shown."""
    text = """\
- targets: ["http://hunter2:8000", "h:99999", 7, null]
- targets: a:1
- labels: {__scheme__: hunter2, __metrics_path__: hunter2, goodwatt_gpus: hunter2, goodwatt_name: "hunter 2"}
- targets: [a:1, b:1]
  labels: {goodwatt_name: ab, goodwatt_gpu: hunter2, goodwatt_engine: ""}
- targets: [c:1]
  labels: {goodwatt_name: ab}
- targets: [d:1]
  labels: [hunter2]
- targets: [e:1]
  labels: {x: 1.5}
- targets: [f:1]
  label: {hunter2: x}
- just text
"""
    assert refused(text) == [
        "f.yaml:1: [0].targets[0]: must be host:port only; scheme and path are the labels __scheme__ and "
        "__metrics_path__",
        "f.yaml:1: [0].targets[1]: has a port that is not a number from 1 to 65535",
        "f.yaml:1: [0].targets[2]: must be text such as '10.0.0.1:8000', not a number",
        "f.yaml:1: [0].targets[3]: must be text such as '10.0.0.1:8000', not nothing",
        "f.yaml:2: [1]: lacks `targets`, a list such as ['10.0.0.1:8000']",
        "f.yaml:3: [2].labels.__scheme__: must be http or https",
        "f.yaml:3: [2].labels.__metrics_path__: must start with '/' and contain no '?', '#' or space",
        "f.yaml:3: [2].labels.goodwatt_gpus: contains text that is not a GPU UUID; a UUID starts with GPU-",
        "f.yaml:3: [2].labels.goodwatt_name: may contain only letters, digits, '.', '_' and '-'; found ' '",
        "f.yaml:3: [2]: lacks `targets`, a list such as ['10.0.0.1:8000']",
        "f.yaml:5: [3].labels.goodwatt_gpu: is not a goodwatt label; did you mean 'goodwatt_gpus'?",
        "f.yaml:5: [3].labels.goodwatt_engine: must not be empty",
        "f.yaml:5: [3].labels.goodwatt_name: names one server, but the group has 2 targets; give each target "
        "its own group",
        "f.yaml:7: [4].labels.goodwatt_name: is already the name of [3]; each must be different",
        "f.yaml:9: [5].labels: must map names to text; put values in quotes",
        "f.yaml:11: [6].labels: must map names to text; put values in quotes",
        "f.yaml:12: [7]: contains an unknown key; a group has only `targets` and `labels`",
        "f.yaml:14: [8]: must be a mapping with the keys `targets` and `labels`",
    ]


@pytest.mark.parametrize(
    ("text", "file", "message"),
    [
        ("", "f.yaml", "f.yaml: is empty, not a list of `targets` with `labels`; write [] for no server"),
        ("", "f.json", "f.json:1: is not valid JSON; check this line and the one above"),
        ("[\n{]", "f.json", "f.json:2: is not valid JSON; check this line and the one above"),
        ("[" * 100_000, "f.json", "f.json: contains a number that is too long, or is nested too deeply"),
        ("a: b", "f.yaml", "f.yaml:1: holds a mapping, not a list of `targets` with `labels`; write [] for no server"),
        ("- targets: [a:1", "f.yaml", "f.yaml:1: the [...] or {...} lacks a comma or its closing bracket"),
        (
            "- targets: []\n  labels: {'s3 cret': 1, 's3 cret': 2}",
            "f.yaml",
            "f.yaml:2: [0].labels: duplicate key, first on line 2; remove one",
        ),
    ],
)
def test_a_file_that_is_not_a_list_is_one_line(text: str, file: str, message: str) -> None:
    """An empty or half-written file is rejected as a whole, so that its last valid version stays."""
    assert refused(text, file) == [message]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["targets", "labels", "goodwatt_name", "goodwatt_gpus", "__scheme__"]), inner
            )
        ),
    )
)
def test_any_content_is_read_or_rejected(value: object) -> None:
    """Any JSON ends in targets or in a ConfigError, the same as .json and as .yaml when it is read."""
    for file in ("f.json", "f.yaml"):
        with suppress(ConfigError):
            names = [target.name for target in parse_targets(json.dumps(value), file)]
            assert len(names) == len(set(names))


def test_a_role_from_a_label() -> None:
    """`goodwatt_role` is the server's role, `any` without it; anything else is a mistake."""
    text = "- {targets: ['a:1'], labels: {goodwatt_role: prefill}}\n- {targets: ['b:1']}\n"
    roles = [target.section(DiscoverySection(files=("f.yaml",))).role for target in parse_targets(text, "f.yaml")]
    assert roles == ["prefill", "any"]
    with pytest.raises(ConfigError, match="goodwatt_role: must be any, prefill or decode"):
        parse_targets("- {targets: ['a:1'], labels: {goodwatt_role: hunter2}}\n", "f.yaml")
