"""docs/configuration.md and the sections it is made from."""

from pathlib import Path

from goodwatt.config.config import Config
from goodwatt.config.reference import configuration_reference
from goodwatt.config.validation.shape import display_path, section_at, sections
from goodwatt.settings.sources import TlsSection

ROOT = Path(__file__).parents[2]


def test_the_page_is_not_stale() -> None:
    """docs/configuration.md matches the section classes; `make docs` writes it."""
    assert (ROOT / "docs" / "configuration.md").read_text() == configuration_reference()


def test_every_key_is_described() -> None:
    """Every section and every key has a description."""
    for path, section in sections(Config):
        assert section.__doc__, path
        assert all(known.description for known in section.model_fields.values()), path


def test_keys_with_a_number_name_their_unit() -> None:
    """A numeric key ends in its unit, or is a factor without one."""
    units = ("_seconds", "_ratio", "_factor", "pue", "_per_gpu_hour", "_per_kwh", "_per_million_tokens")
    numbers = [
        key
        for _, section in sections(Config)
        for key, known in section.model_fields.items()
        if float in _parts(known.annotation)
    ]
    assert len(numbers) >= 12
    assert [key for key in numbers if not key.endswith(units)] == []


def _parts(annotation: object) -> tuple[object, ...]:
    return getattr(annotation, "__args__", (annotation,))


def test_rows_show_type_limits_and_default() -> None:
    """A row has the key, its kind with limits, its default and its meaning."""
    page = configuration_reference()
    assert "| `interval_seconds` | number, at least 0.2, at most 300 | `5` | " in page
    assert "| `gpus` | `all` or list of whole number or list of text | `all` | " in page
    assert "| `name` | text | required | " in page
    assert "| `tls` | mapping `servers[].tls` | absent | " in page
    assert "| `headers` | mapping of text to text | absent | " in page
    assert "| `insecure_skip_verify` | `true` or `false` | `false` | " in page


def test_paths_lead_to_sections() -> None:
    """A path leads to its section, and to none below an unknown or plain key."""
    assert section_at(Config, ("servers", 0, "tls")) is TlsSection
    assert section_at(Config, ("servers", 0, "headers")) is None
    assert section_at(Config, ("unknown", "tls")) is None


def test_a_path_is_shown_up_to_what_is_known() -> None:
    """A displayed path stops before the first unknown key, which may be a misplaced secret."""
    assert display_path(Config, ("servers", 1, "headers", "hunter2")) == "servers[1].headers"
    assert display_path(Config, ("hunter2",)) == ""
