"""A home of one's own for every test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from interlock.installation import Installation
from interlock.settings import Settings


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Installation]:
    """An installation in which nothing has happened."""
    with Installation(Settings.load(home=tmp_path / "home")) as installation:
        yield installation
