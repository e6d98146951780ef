"""A configuration as it is shown to others."""

from goodwatt.config.load import parse
from goodwatt.config.redacted import public_url, redacted


def test_what_is_hidden_and_what_is_not() -> None:
    """Header values and URL queries are hidden; names, file paths and the user name are shown, defaults too."""
    text = (
        "servers: [{name: '1e3', url: 'http://h/m?k=v', headers: {X-Key: v}, "
        "basic_auth: {username: 'no', password_file: /pw}}]\nslos: []\n"
    )
    assert redacted(parse(text)) == (
        "interval_seconds: 5.0\n"
        "window_seconds: 60.0\n"
        "gpus:\n"
        "  kind: auto\n"
        "servers:\n"
        "- name: '1e3'\n"
        "  url: http://h/m?<hidden>\n"
        "  engine: auto\n"
        "  gpus: all\n"
        "  role: any\n"
        "  timeout_seconds: 2.0\n"
        "  read_interval_seconds: auto\n"
        "  headers:\n"
        "    X-Key: <hidden>\n"
        "  basic_auth:\n"
        "    username: 'no'\n"
        "    password_file: /pw\n"
        "  tls:\n"
        "    insecure_skip_verify: false\n"
        "server_discovery: []\n"
        "profiles: []\n"
        "slos: []\n"
        "facility:\n"
        "  host_factor: 1.0\n"
        "  pue: 1.0\n"
        "alerts:\n"
        "  minimum_requests: 20\n"
        "  minimum_bad_requests: 3\n"
        "  hung_seconds: 120.0\n"
        "  efficiency_drop_ratio: 0.25\n"
        "  idle_ratio: 0.5\n"
        "  unattributed_ratio: 0.25\n"
        "  energy_disagreement_ratio: 0.2\n"
        "  disabled: []\n"
    )


def test_a_url_without_a_query_is_shown_unchanged() -> None:
    """Only a query is hidden."""
    assert public_url("http://[::1]:8000/metrics") == "http://[::1]:8000/metrics"


def test_headers_of_discovered_servers_are_hidden_too() -> None:
    """Headers of a discovery section are as secret as those of a server."""
    config = parse("server_discovery: [{files: [a.json], headers: {X-Key: hunter2}}]")
    assert "hunter2" not in redacted(config) + repr(config) and "X-Key: <hidden>" in redacted(config)


def test_repr_shows_no_url_and_no_header() -> None:
    """repr and str of a configuration omit values that may be secret."""
    config = parse("servers: [{name: a, url: 'http://h/?k=hunter2', headers: {X-Key: hunter2}}]")
    assert "hunter2" not in f"{config} {config!r} {config.servers!r}"


def test_a_server_without_a_page_is_shown_without_a_url() -> None:
    """Its proxy is shown, with every default."""
    shown = redacted(parse("servers: [{name: a, proxy: {listen: ':9000', upstream: 'http://h:1/base'}}]"))
    assert "url:" not in shown and "upstream: http://h:1/base\n" in shown and "max_body_bytes: 104857600\n" in shown
