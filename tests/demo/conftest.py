import pytest

from exporter.engines import load_profiles
from exporter.engines.profile import Profile


@pytest.fixture(scope="session")
def vllm() -> Profile:
    return load_profiles()["vllm"]
