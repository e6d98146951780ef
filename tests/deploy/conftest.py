"""The image, built once for all that look into it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.image import TAG, Store


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Images, goodwatt's among them."""
    made = Store(tmp_path_factory.mktemp("images"))
    made.make_base()
    made.build(TAG)
    yield made
    shutil.rmtree(made.folder)  # a gigabyte, since every image is a whole tree of files


@pytest.fixture(scope="session")
def files(store: Store) -> Path:
    """The files of goodwatt's image."""
    return store.mounted(TAG)
