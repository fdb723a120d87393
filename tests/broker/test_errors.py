"""The laws of the error tree."""

import copy
import pickle
from pathlib import Path

import pytest

from broker import errors
from broker.errors import (
    BrokerError,
    KeyFileError,
    RecipeError,
    SecretUnavailableError,
    TokenError,
    TokenForgedError,
    TokenReplayedError,
)

EXAMPLES = [
    pytest.param(TokenForgedError("the signature does not fit"), id="token without an id"),
    pytest.param(TokenReplayedError("used before", "sct_1"), id="token with an id"),
    pytest.param(SecretUnavailableError("line\nbreak", "it is absent"), id="secret"),
    pytest.param(KeyFileError(Path("/keys/line\nbreak"), "is a link"), id="key file"),
    pytest.param(RecipeError("basic", "it has no colon"), id="recipe"),
]


def test_everything_is_a_broker_error() -> None:
    """One except clause catches all that the library raises."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    raised = [kind for kind in kinds if kind.__name__.endswith("Error")]
    assert len(raised) == 11
    assert all(issubclass(kind, BrokerError) for kind in raised)
    assert all(issubclass(kind, TokenError) for kind in raised if kind.__name__.startswith("Token"))


@pytest.mark.parametrize("error", EXAMPLES)
def test_a_message_is_one_line(error: BrokerError) -> None:
    """Whatever name goes in, one line that says why comes out."""
    assert len(str(error).splitlines()) == 1
    assert vars(error)["why"] in str(error)


@pytest.mark.parametrize("error", EXAMPLES)
def test_an_error_crosses_a_process_border(error: BrokerError) -> None:
    """Pickled or copied, an error keeps its message and its data."""
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301
        assert (type(twin), str(twin), vars(twin)) == (type(error), str(error), vars(error))


def test_a_token_error_names_a_proven_token() -> None:
    """The token's id is there for the ledger, and only where a signature proved it."""
    assert TokenReplayedError("used before", "sct_1").token_id == "sct_1"
    assert TokenForgedError("the signature does not fit").token_id is None
