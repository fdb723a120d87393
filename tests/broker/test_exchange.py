"""Exchanged credentials: one request for many callers, a real token server, nothing lost."""

import asyncio
import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from broker import Exchange, RecipeError, Secret, SecretUnavailableError, forms_of, parse_recipe
from broker.recipes import Outgoing
from interlock.demo.certificates import Certificates
from interlock.demo.exchange import Answer, Received
from interlock.demo.upstream import Upstream

NOW = 1_800_000_000.0
CLIENT = {"client_id": "robot", "client_secret": "client-secret-0123456789"}
PEM = {
    "RS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
}


def pem(algorithm: str) -> str:
    """A private key as files have it."""
    return (
        PEM[algorithm]
        .private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        .decode()
    )


class TokenServer(Upstream):
    """A token endpoint; what it answers next is set from outside."""

    next: Answer | None = None
    pause = 0.0

    def _answer(self, request: Received) -> Answer:
        time.sleep(self.pause)
        if self.next:
            return self.next
        number = len(self.received)
        return Answer.json({"access_token": f"minted-token-{number:04}", "expires_in": 3600})


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TokenServer]:
    certificates = Certificates.create(tmp_path, "localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca))
    with TokenServer(certificates) as server:
        yield server


class Kept:
    """Where rotated secrets go; `fails` times it does not work."""

    def __init__(self, fails: int = 0) -> None:
        self.secrets: list[tuple[str, Secret, Secret]] = []
        self.fails = fails

    async def __call__(self, name: str, old: Secret, new: Secret) -> None:
        if self.fails:
            self.fails -= 1
            raise SecretUnavailableError(name, "its new refresh token cannot be stored: disk full")
        self.secrets.append((name, old, new))


def stored(server: TokenServer, **fields: str) -> Secret:
    """The secret of a client of the server."""
    return Secret(json.dumps({"token_url": f"{server.url}/token", **CLIENT, **fields}))


async def minted(
    exchange: Exchange, text: str, secret: Secret, now: float = NOW, name: str = "s1"
) -> str:
    """The token that travels."""
    _, token = await exchange.ready(name, parse_recipe(text), secret, now)
    return token.reveal().decode()


async def test_fifty_calls_ask_once(server: TokenServer) -> None:
    """Whoever comes while the endpoint is asked waits for that answer."""
    server.pause = 0.3
    exchange, secret = Exchange(Kept()), stored(server, scope="a b")
    calls = [minted(exchange, "oauth2:client_credentials", secret) for _ in range(50)]
    assert set(await asyncio.gather(*calls)) == {"minted-token-0001"}
    (request,) = server.received
    assert parse_qs(request.body.decode()) == {
        "grant_type": ["client_credentials"],
        "scope": ["a b"],
    }
    (basic,) = request.values(b"authorization")
    assert basic.startswith(b"Basic ")


async def test_a_caller_that_leaves_takes_nothing_along(server: TokenServer) -> None:
    """The others get the token that it had asked for."""
    server.pause = 0.3
    exchange, secret = Exchange(Kept()), stored(server)
    first = asyncio.create_task(minted(exchange, "oauth2:client_credentials", secret))
    await asyncio.sleep(0.05)
    second = asyncio.create_task(minted(exchange, "oauth2:client_credentials", secret))
    await asyncio.sleep(0.05)
    first.cancel()
    assert await second == "minted-token-0001"


async def test_a_token_is_used_until_shortly_before_its_end(server: TokenServer) -> None:
    """An hour's token serves for 59 minutes; its mask until it ends."""
    exchange, secret = Exchange(Kept()), stored(server)
    text = "oauth2:client_credentials"
    assert await minted(exchange, text, secret) == "minted-token-0001"
    assert await minted(exchange, text, secret, NOW + 3539) == "minted-token-0001"
    assert await minted(exchange, text, secret, NOW + 3541) == "minted-token-0002"
    scrubbed = exchange.mask(["s1"], NOW + 3541).scrubber()
    assert b"minted" not in scrubbed.feed(b"minted-token-0001 minted-token-0002 ")
    assert not exchange.mask(["s1"], NOW + 3541 + 3600)
    assert not exchange.mask(["other"], NOW + 3541)


async def test_another_value_is_another_token(server: TokenServer) -> None:
    """A secret that was set anew is exchanged anew."""
    exchange = Exchange(Kept())
    for number, client in enumerate(("robot", "other"), 1):
        secret = stored(server, client_id=client)
        token = await minted(exchange, "oauth2:client_credentials", secret)
        assert token == f"minted-token-{number:04}"


async def test_client_secret_in_the_form(server: TokenServer) -> None:
    """Some servers do not take HTTP Basic."""
    secret = stored(server, auth_method="client_secret_post")
    await minted(Exchange(Kept()), "oauth2:client_credentials", secret)
    (request,) = server.received
    form = parse_qs(request.body.decode())
    assert form["client_secret"] == [CLIENT["client_secret"]]
    assert not request.values(b"authorization")


@pytest.mark.parametrize("fails", [0, 1], ids=["stored at once", "stored at the second try"])
async def test_a_rotated_refresh_token_is_not_lost(server: TokenServer, fails: int) -> None:
    """It replaces the stored one, and what cannot be stored now is stored with the next call."""
    server.next = Answer.json({"access_token": "minted-token", "refresh_token": "second-refresh"})
    kept = Kept(fails)
    exchange, secret = Exchange(kept), stored(server, refresh_token="first-refresh")
    for _ in range(fails):
        with pytest.raises(SecretUnavailableError, match="disk full"):
            await minted(exchange, "oauth2:refresh_token", secret)
    assert await minted(exchange, "oauth2:refresh_token", secret) == "minted-token"
    ((name, old, new),) = kept.secrets
    assert (name, old) == ("s1", secret)
    after = json.loads(new.reveal())
    assert after.pop("origin") != "first-refresh"
    assert after == json.loads(secret.reveal()) | {"refresh_token": "second-refresh"}
    assert await minted(exchange, "oauth2:refresh_token", new) == "minted-token"
    assert len(server.received) == 1


async def test_the_next_refresh_uses_the_rotated_token(server: TokenServer) -> None:
    """Even while the store will not take it: the first one is worthless by then."""
    server.next = Answer.json({"access_token": "minted-token", "refresh_token": "second-refresh"})
    exchange = Exchange(Kept(fails=9))
    secret = stored(server, refresh_token="first-refresh")
    for moment in (NOW, NOW + 4000):
        with pytest.raises(SecretUnavailableError):
            await minted(exchange, "oauth2:refresh_token", secret, moment)
    used = [parse_qs(request.body.decode())["refresh_token"] for request in server.received]
    assert used == [["first-refresh"], ["second-refresh"]]


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
async def test_a_service_account_signs_a_jwt(server: TokenServer, algorithm: str) -> None:
    """Its claims are those of RFC 7523, and the signature verifies with the public key."""
    account = {
        "type": "service_account",
        "client_email": "robot@example.com",
        "token_uri": f"{server.url}/token",
        "private_key_id": "k1",
        "private_key": pem(algorithm),
        "algorithm": algorithm,
    }
    await minted(Exchange(Kept()), "jwt_bearer:https://scope", Secret(json.dumps(account)))
    (request,) = server.received
    form = parse_qs(request.body.decode())
    assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    kind = RSAKey if algorithm == "RS256" else ECKey
    public = (
        PEM[algorithm]
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    token = jwt.decode(form["assertion"][0], kind.import_key(public), [algorithm])
    assert token.header["kid"] == "k1"
    assert token.claims["iss"] == token.claims["sub"] == "robot@example.com"
    assert (token.claims["aud"], token.claims["scope"]) == (account["token_uri"], "https://scope")
    assert (token.claims["iat"], token.claims["exp"]) == (NOW, NOW + 300)


async def test_a_github_app_gets_an_installation_token(server: TokenServer) -> None:
    """Asked for under a JWT of the app, and used until the moment that GitHub names."""
    server.next = Answer.json(
        {"token": "ghs_0123456789abcdef", "expires_at": "2027-01-15T09:00:00Z"}, status=201
    )
    app = {"app_id": 12, "installation_id": "34", "private_key": pem("RS256")}
    secret = Secret(json.dumps(app | {"api_url": server.url}))
    exchange = Exchange(Kept())
    assert await minted(exchange, "github_app", secret) == "ghs_0123456789abcdef"
    assert await minted(exchange, "github_app", secret, NOW + 3500) == "ghs_0123456789abcdef"
    (request,) = server.received
    assert (request.method, request.path) == ("POST", "/app/installations/34/access_tokens")
    (bearer,) = request.values(b"authorization")
    key = RSAKey.import_key(app["private_key"])
    claims = jwt.decode(bearer.decode().split()[1], key, ["RS256"]).claims
    assert claims == {"iss": "12", "iat": NOW - 60, "exp": NOW + 540}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        pytest.param(
            Answer.json(
                {"error": "invalid_client", "error_description": CLIENT["client_secret"]},
                status=401,
            ),
            r"answered 401 \(invalid_client\)$",
            id="a refusal",
        ),
        pytest.param(
            Answer.json({"error": CLIENT["client_secret"]}, status=400),
            "answered 400$",
            id="a refusal that quotes the secret",
        ),
        pytest.param(
            Answer(status=302, headers=((b"location", b"/elsewhere"),)),
            "answered 302$",
            id="a redirect",
        ),
        pytest.param(Answer(b"<html>"), "no JSON object", id="a page"),
        pytest.param(Answer(b'{"a":"' + b"x" * 70_000 + b'"}'), "no JSON", id="an endless answer"),
        pytest.param(Answer.json({}), "no usable access_token", id="no token"),
        pytest.param(Answer.json({"access_token": "a\nb"}), "no usable", id="two lines"),
        pytest.param(
            Answer.json({"access_token": "x", "token_type": "mac"}), "no bearer", id="another type"
        ),
    ],
)
async def test_a_failure_is_one_line_without_the_secret(
    server: TokenServer, answer: Answer, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told once more without asking again, and asked again a little later."""
    caplog.set_level(logging.DEBUG)
    server.next = answer
    exchange, secret = Exchange(Kept()), stored(server)
    for _ in range(2):
        with pytest.raises(SecretUnavailableError, match=said) as caught:
            await minted(exchange, "oauth2:client_credentials", secret)
        assert len(str(caught.value).splitlines()) == 1
        told = (str(caught.value) + caplog.text).encode()
        assert not any(form in told for form in forms_of(CLIENT["client_secret"].encode()))
    assert len(server.received) == 1
    server.next = None
    assert await minted(exchange, "oauth2:client_credentials", secret, NOW + 3)


async def test_an_unknown_authority_gets_no_credential(
    server: TokenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The endpoint's certificate is verified before anything is sent."""
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(SecretUnavailableError, match=r"(?i)certificate"):
        await minted(Exchange(Kept()), "oauth2:client_credentials", stored(server))
    assert server.received == []


@pytest.mark.parametrize(
    "url",
    ["http://auth.example/t", "ftp://a", "https://u:p@a/t", "https://", "https://a/#x", "a", ""],
)
def test_a_credential_goes_to_https_alone(url: str) -> None:
    """A token endpoint in clear is refused when the secret is stored."""
    secret = Secret(json.dumps(CLIENT | {"token_url": url}))
    with pytest.raises(RecipeError, match=r"must be an https:// URL|has no token_url"):
        parse_recipe("oauth2:client_credentials").check(secret)


@pytest.mark.parametrize(
    "text", ["oauth2:client_credentials", "oauth2:refresh_token", "jwt_bearer", "github_app"]
)
def test_what_is_stored_never_travels(text: str) -> None:
    """A secret that was not exchanged is refused at the wire."""
    with pytest.raises(RecipeError, match="was not exchanged"):
        parse_recipe(text).apply(Outgoing("GET", "a.example", "/"), Secret("{}"), NOW)


def test_the_parts_that_open_doors_reveal_a_secret() -> None:
    """A client secret and a refresh token are hidden on their own too."""
    fields = CLIENT | {"token_url": "https://a/t", "refresh_token": "refresh-0123456789"}
    forms = parse_recipe("oauth2:refresh_token").forms(Secret(json.dumps(fields)))
    assert {CLIENT["client_secret"].encode(), b"refresh-0123456789"} <= set(forms)


def test_a_private_key_must_fit_its_algorithm() -> None:
    """The refusal comes when the secret is stored and says nothing of the key."""
    account: dict[str, Any] = {"token_url": "https://a/t", "issuer": "a"}
    secret = Secret(json.dumps(account | {"private_key": pem("ES256")}))
    with pytest.raises(RecipeError, match=r"is no PEM key for RS256$"):
        parse_recipe("jwt_bearer").check(secret)
