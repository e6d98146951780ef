"""docs/deployment.md against what lies in deploy/."""

import re

from goodwatt import __version__
from goodwatt.commands.flags import DEFAULT_PORT
from tests.deploy.needed import ROOT

TEXT = (ROOT / "docs" / "deployment.md").read_text()


def test_every_file_that_is_named_exists() -> None:
    """Paths below deploy/ in the text and in its commands are there."""
    named = {path.rstrip(".") for path in re.findall(r"\bdeploy/[\w./-]+", TEXT)}
    # `deploy/vllm` is how kubectl names a Deployment.
    assert not [path for path in named - {"deploy/vllm"} if not (ROOT / path).exists()]
    assert len(named) > 10


def test_versions_and_ports_are_those_of_now() -> None:
    """The image is tagged with this version everywhere, and the port is goodwatt's."""
    assert set(re.findall(r"goodwatt:(\d[\w.]*)", TEXT)) == {__version__}
    assert set(re.findall(r"170\d\d", TEXT)) == {str(DEFAULT_PORT)}
