"""One world for all tests of the front door; every test finds its upstream's memory empty."""

from collections.abc import Iterator

import pytest

from interlock.model import Mode
from tests.door.world import World


@pytest.fixture(scope="session")
def _world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("world")) as world:
        yield world


@pytest.fixture
def world(_world: World) -> World:
    """The shared world."""
    _world.upstream.clear()
    return _world


@pytest.fixture(params=list(Mode), ids=str)
def mode(request: pytest.FixtureRequest) -> Mode:
    """Both modes, for what must hold in both."""
    found: Mode = request.param
    return found
