import pytest

from goodwatt.engines import load_profiles
from goodwatt.engines.profile import Profile


@pytest.fixture(scope="session")
def vllm() -> Profile:
    return load_profiles()["vllm"]
