"""A client certificate is checked when it is stored, and never stands in a request."""

import json

import pytest
import trustme

from broker import Outgoing, RecipeError, Secret, parse_recipe
from broker.recipes.client_certificate import ClientCertificate

MADE, OTHER = (trustme.CA().issue_cert("a@example.com") for _ in range(2))
CHAIN = MADE.cert_chain_pems[0].bytes().decode()
KEY = MADE.private_key_pem.bytes().decode()
OTHER_KEY = OTHER.private_key_pem.bytes().decode()


def secret(**fields: str) -> Secret:
    return Secret(json.dumps({"certificate": CHAIN, "private_key": KEY} | fields))


def test_the_request_stays_as_it_is() -> None:
    """The credential is in the connection."""
    recipe = parse_recipe("client_certificate")
    outgoing = Outgoing("GET", "a.example.com", "/", ((b"authorization", b"own"),))
    recipe.check(secret())
    assert recipe.apply(outgoing, secret(), 0.0) == outgoing
    assert recipe.forms(secret()) == ()


def test_a_key_goes_beside_it() -> None:
    """In place of what the agent sent there, and masked; the certificate is as it was."""
    recipe = parse_recipe("client_certificate:header:X-Api-Key")
    both = secret(secret="sk-0123456789")
    outgoing = Outgoing("GET", "a.example.com", "/", ((b"x-api-key", b"own"), (b"a", b"b")))
    recipe.check(both)
    sent = recipe.apply(outgoing, both, 0.0)
    assert sent.headers == ((b"a", b"b"), (b"x-api-key", b"sk-0123456789"))
    assert recipe.forms(both) == (b"sk-0123456789",)
    assert (recipe.slot, recipe.text) == ("x-api-key", "client_certificate:header:X-Api-Key")
    assert isinstance(recipe, ClientCertificate)
    assert recipe.identity(both)


@pytest.mark.parametrize("text", ["client_certificate", "sigv4:s3/eu", "oauth2:refresh_token", "x"])
def test_what_cannot_stand_beside_it(text: str) -> None:
    """A recipe whose secret is JSON too, or that is none."""
    with pytest.raises(ValueError, match=r"beside it|unknown recipe"):
        parse_recipe(f"client_certificate:{text}")


@pytest.mark.parametrize("fields", [{}, {"secret": ""}, {"secret": "a\nb"}, {"secret": " a"}])
def test_a_key_that_cannot_travel_is_refused(fields: dict[str, str]) -> None:
    """When it is stored, in a line that does not quote it."""
    with pytest.raises(RecipeError, match="secret"):
        parse_recipe("client_certificate:bearer").check(secret(**fields))


def test_a_chain_is_read_whole() -> None:
    """The client's own comes first."""
    chain, _ = ClientCertificate().identity(secret(certificate=CHAIN + CHAIN))
    assert len(chain) == 2


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        pytest.param({"certificate": "x"}, "certificate is no chain in PEM", id="no certificate"),
        pytest.param({"certificate": ""}, "the secret has no certificate", id="an empty one"),
        pytest.param({"private_key": "x"}, "private_key is no key in PEM", id="no key"),
        pytest.param({"private_key": CHAIN}, "private_key is no key in PEM", id="no key but PEM"),
        pytest.param({"private_key": OTHER_KEY}, "not that of the first", id="another's key"),
    ],
)
def test_what_cannot_be_shown_is_refused(fields: dict[str, str], told: str) -> None:
    """In one line without any part of it."""
    with pytest.raises(RecipeError, match=told) as error:
        ClientCertificate().check(secret(**fields))
    assert "BEGIN" not in str(error.value)
