"""One service for the tests that leave it as they found it; one of its own for the others."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from interlock.api.throttle import Throttle
from tests.api.service import Service


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A service of one's own, over policies that may be written."""
    with _served(tmp_path) as service:
        yield service


@pytest.fixture(scope="session")
def _shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with _served(tmp_path_factory.mktemp("shared")) as service:
        yield service


@pytest.fixture
def shared(_shared: Service) -> Service:
    """One for all that change nothing."""
    _shared.app.state.api.throttle = Throttle()
    return _shared


def _served(folder: Path) -> Service:
    policies = folder / "policies"
    policies.mkdir()
    text = (Path(__file__).parents[2] / "policies" / "default.cedar").read_text()
    (policies / "default.cedar").write_text(text)
    return Service(folder / "home", {"policies": policies})
