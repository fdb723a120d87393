"""Servers that live as long as the session."""

from collections.abc import Iterator

import pytest

from tests.broker.stores.servers import Bao, Mute, Users


@pytest.fixture(scope="session")
def bao() -> Iterator[Bao]:
    with Bao() as server:
        yield server


@pytest.fixture(scope="session")
def users(bao: Bao) -> Iterator[Users]:
    with Users() as server:
        bao.call("POST", "sys/mounts/rabbitmq", type="rabbitmq")
        connection = {"username": "a", "password": "b", "verify_connection": False}
        bao.call("POST", "rabbitmq/config/connection", connection_uri=server.address, **connection)
        bao.call("POST", "rabbitmq/roles/app", tags="monitoring")
        yield server


@pytest.fixture
def mute() -> Iterator[Mute]:
    with Mute() as server:
        yield server
