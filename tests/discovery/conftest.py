"""Homes to discover things into, and what looks at once."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from interlock.discovery.sighting import Scanner
from interlock.discovery.sweep import sweep
from interlock.home_inventory import HomeInventory
from interlock.installation import Installation
from interlock.inventory import Entry
from interlock.settings import Settings

type Look = Callable[..., dict[str, Entry]]


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    """A home of its own."""
    with Installation(Settings.load(home=tmp_path / "home")) as opened:
        yield opened


@pytest.fixture
def look(installation: Installation) -> Look:
    """Let scanners look once, register what they see, and answer it by name."""

    def once(*scanners: Scanner, now: float = 1000.0) -> dict[str, Entry]:
        inventory = HomeInventory(installation)
        seen = sweep(scanners)
        entries = inventory.plan(seen)
        inventory.apply(seen, entries, now)
        return {entry.name: entry for entry in entries}

    return once
