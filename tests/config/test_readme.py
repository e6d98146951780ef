"""What the README shows as configuration is one."""

from pathlib import Path

from goodwatt.config.load import parse

README = Path(__file__).parent.parent.parent / "README.md"


def test_the_readme_s_example_is_a_valid_configuration() -> None:
    """The goodwatt.yaml of the README is accepted unchanged."""
    text = next(b for b in README.read_text().split("```yaml\n")[1:] if b.startswith("# goodwatt.yaml")).split("```")[0]
    config = parse(text, "README.md")
    assert config.servers is not None
    assert [slo.name for slo in config.slos] == ["interactive"]
