"""docs/deployment.md matches the files in deploy/."""

import re

from goodwatt import __version__
from goodwatt.commands.flags import DEFAULT_PORT
from tests.deploy.needed import ROOT

TEXT = (ROOT / "docs" / "deployment.md").read_text()


def test_every_path_in_the_text_exists() -> None:
    """Every path below deploy/ in the text and its commands exists."""
    named = {path.rstrip(".") for path in re.findall(r"\bdeploy/[\w./-]+", TEXT)}
    # `deploy/vllm` is how kubectl names a Deployment.
    assert not [path for path in named - {"deploy/vllm"} if not (ROOT / path).exists()]
    assert len(named) > 10


def test_versions_and_ports_are_current() -> None:
    """Every image tag is this version, and every port is goodwatt's."""
    assert set(re.findall(r"goodwatt:(\d[\w.]*)", TEXT)) == {__version__}
    assert set(re.findall(r"170\d\d", TEXT)) == {str(DEFAULT_PORT)}
