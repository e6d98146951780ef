"""Source identities become the `source` label; a failed read carries a reason and a detail."""

import pytest

from goodwatt.model.source import (
    NVML_SOURCE,
    OTLP_SOURCE,
    Reason,
    SourceId,
    SourceKind,
    SourceUnavailable,
    proxy_source,
    server_source,
)


@pytest.mark.parametrize(
    ("source", "label"),
    [
        (NVML_SOURCE, "nvml"),
        (SourceId(SourceKind.GPUS, "dcgm"), "dcgm"),
        (server_source("chat"), "server/chat"),
        (proxy_source("chat"), "proxy/chat"),
        (OTLP_SOURCE, "otlp"),
    ],
)
def test_the_label_of_a_source(source, label):
    """Dashboards and alerts select sources by these labels, and log lines start with them."""
    assert (source.label, str(source), f"{source}: reading") == (label, label, f"{label}: reading")


def test_sources_are_sorted_and_used_as_keys():
    """Equal identities are one key, and any set of sources has one order."""
    sources = {server_source("b"), OTLP_SOURCE, server_source("a"), SourceId(SourceKind.SERVER, "a")}
    assert sorted(sources) == [OTLP_SOURCE, server_source("a"), server_source("b")]


def test_an_unavailable_source_carries_the_reason_and_the_detail():
    """The reason is a label value, the detail is a line for a person."""
    error = SourceUnavailable(Reason.TIMEOUT, "no answer in 2 s")
    assert (str(error), error.reason, error.detail) == ("no answer in 2 s", Reason.TIMEOUT, "no answer in 2 s")
