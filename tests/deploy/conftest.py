"""The image, built once for all tests that use it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.image import TAG, Store


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store with goodwatt's image."""
    made = Store(tmp_path_factory.mktemp("images"))
    made.make_base()
    made.build(TAG)
    yield made
    shutil.rmtree(made.folder)  # a gigabyte: every image is a full copy of its files


@pytest.fixture(scope="session")
def files(store: Store) -> Path:
    """The root folder of goodwatt's image."""
    return store.mounted(TAG)
