"""One key, one request, one grant: tests vary them with dataclasses.replace."""

import hashlib

import pytest
from hypothesis import settings
from nacl.signing import SigningKey

from broker import Broker, Grant, Keyring, Secret, Wire

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.fixture(scope="session")
def keyring() -> Keyring:
    return Keyring([SigningKey(b"k" * 32)])


@pytest.fixture
def broker(keyring: Keyring) -> Broker:
    return Broker(keyring)


@pytest.fixture(scope="session")
def secret() -> Secret:
    return Secret("sk-live-0123456789abcdef")


@pytest.fixture(scope="session")
def wire() -> Wire:
    body = hashlib.sha256(b'{"model":"gpt-5"}').digest()
    return Wire("POST", "api.openai.com:443", "/v1/chat/completions?n=1", body, verified=True)


@pytest.fixture(scope="session")
def grant(wire: Wire) -> Grant:
    return Grant(
        id="sct_1",
        agent="research-agent",
        action="chat",
        resource="Model::gpt-5",
        secret="openai-api-key",
        authority=wire.authority,
        decision_id="dec_1",
        policy_set="0f" * 32,
        goal="quarterly-report",
        assertion=wire.assertion(),
    )
