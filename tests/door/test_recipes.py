"""Every recipe over a live wire: the upstream gets the credential, and nobody else anything."""

import asyncio
import base64
import hashlib
import hmac
import json
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jwt
from joserfc.jwk import RSAKey

from broker import Secret, forms_of
from interlock.demo.exchange import Answer, Received
from interlock.demo.front_door import FrontDoor
from interlock.demo.upstream import Upstream
from interlock.model import Authority, Binding, Mode
from tests.door.world import TRUSTED, Http2Upstream, World

KEY = "sk-REAL:4f9a8b7c/6d5e4f3a+2b1c"
ODD_KEY = 'sk-REAL/4f9a"8b7c6d+5e4f3a2b1c'
COOKIE_KEY = "REAL-session-4f9a8b7c6d5e4f3a"
PLACE = "PLACE-HOLDER"
AWS = {"access_key_id": "AKIDREAL", "secret_access_key": "REALsecretkey/0123456789abcdef"}
AWS |= {"session_token": "REALsessiontoken0123456789"}
CLIENT = {"client_id": "robot", "client_secret": "REAL-client-secret-0123456789"}
MINTED = "REAL-minted-token-0123456789"
REFRESHES = ("REAL-refresh-token-first-0123", "REAL-refresh-token-second-456")
HIDDEN = [
    KEY,
    ODD_KEY,
    COOKIE_KEY,
    AWS["secret_access_key"],
    AWS["session_token"],
    MINTED,
    *REFRESHES,
]
PEM = (
    rsa.generate_private_key(public_exponent=65537, key_size=2048)
    .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    .decode()
)
HIDDEN += [CLIENT["client_secret"], *PEM.split("\n")[1:4]]


class Mirror(Upstream):
    """Gives back all that came: in a redirect, in a header and in the body."""

    def _answer(self, request: Received) -> Answer:
        told = [[n.decode(), v.decode("latin-1")] for n, v in request.headers]
        body = {"path": request.path, "headers": told, "body": request.body.decode()}
        head = (b"location", request.path.encode()), (b"x-echo", json.dumps(told).encode())
        return Answer.json(body, *head, status=302)


class Coder(Upstream):
    """Gives back target and body in base64, at every alignment, and in hexadecimal."""

    def _answer(self, request: Received) -> Answer:
        came = request.path.encode() + b"\n" + request.body
        shifted = {str(n): base64.b64encode(bytes(n) + came).decode() for n in range(3)}
        return Answer.json(shifted | {"hex": came.hex()})


class Http2Mirror(Mirror, Http2Upstream):
    """The same over HTTP/2."""


class TokenServer(Upstream):
    """Mints the one token, slowly; a refresh token is good once."""

    def _answer(self, request: Received) -> Answer:
        time.sleep(0.3)
        if "access_tokens" in request.path:
            return Answer.json({"token": MINTED, "expires_at": "2099-01-01T00:00:00Z"}, status=201)
        answer = {"access_token": MINTED, "expires_in": 3600}
        if b"refresh_token" in request.body:
            answer["refresh_token"] = REFRESHES[1]
        return Answer.json(answer)


@dataclass
class Stage:
    """A front door that writes down all it can, and an upstream for each recipe."""

    world: World
    door: FrontDoor
    stack: ExitStack
    tokens: TokenServer
    flows: Path
    shown: list[bytes] = field(default_factory=list)

    def bind(self, recipe: str, value: str, kind: type[Upstream] = Mirror) -> Upstream:
        """Start an upstream that a new secret is bound to."""
        upstream = self.stack.enter_context(kind(self.world.certificates))
        binding = Binding(f"s{upstream.port}", Authority("localhost", upstream.port), recipe)
        self.world.change(lambda i: i.set_secret(binding.secret, Secret(value), [binding]))
        return upstream

    def client(self, **more: Any) -> httpx.Client:
        """A client of the trusted agent."""
        proxy = self.door.proxy(TRUSTED, self.world.keys[TRUSTED])
        trust = ssl.create_default_context(cafile=self.door.ca)
        return httpx.Client(proxy=proxy, verify=trust, trust_env=False, timeout=20, **more)

    def send(self, upstream: Upstream, method: str, path: str, **more: Any) -> Received:
        """Make one call; answer what arrived, and keep what came back."""
        with self.client() as client:
            answer = client.request(method, upstream.url + path, **more)
        assert answer.status_code == 302, answer.text
        self.shown.append(str(answer.headers).encode() + answer.content)
        assert "*****" in answer.text
        (received,) = upstream.received
        assert b"v4.public." not in b"".join(v for _, v in received.headers) + received.body
        return received


@pytest.fixture(scope="module")
def stage(_world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    flows = tmp_path_factory.mktemp("recipes") / "flows"
    words = ("-w", str(flows), "-v", "--set", "flow_detail=4", "--set", "termlog_verbosity=debug")
    trust = {"SSL_CERT_FILE": str(_world.certificates.ca)}
    with ExitStack() as stack:
        tokens = stack.enter_context(TokenServer(_world.certificates))
        door = _world.door(Mode.OBSERVE, *words, environ=trust, reverse=())
        stage = Stage(_world, stack.enter_context(door), stack, tokens, flows)
        yield stage
        # Whatever was sent and given back above: no place shows any part of a secret.
        time.sleep(0.5)
        database = b"".join(p.read_bytes() for p in _world.home.glob("interlock.db*"))
        places = {"agent": b"".join(stage.shown), "flow file": flows.read_bytes()}
        places |= {"log": door.log.encode(), "database": database}
        assert b"v4.public." in places["flow file"]
        found = [
            (place, hidden)
            for place, content in places.items()
            for hidden in HIDDEN
            if any(form in content for form in forms_of(hidden.encode()))
        ]
        assert found == []


def header(received: Received, name: str) -> str:
    """The one value of a header that arrived."""
    (value,) = received.values(name.encode())
    return value.decode()


def test_query(stage: Stage) -> None:
    """The agent's own copies are gone, and the redirect that quotes the query is scrubbed."""
    received = stage.send(stage.bind("query:key", KEY), "GET", "/m?key=dummy&q=1&k%65y=dummy")
    assert received.path == f"/m?q=1&key={quote(KEY, safe='')}"
    assert not received.values(b"authorization")


def test_path(stage: Stage) -> None:
    """As Telegram wants it."""
    received = stage.send(stage.bind("path:/bot{secret}", KEY), "GET", "/botdummy/getMe?a=1")
    assert received.path == f"/bot{quote(KEY, safe=':+')}/getMe?a=1"
    assert not received.values(b"authorization")


@pytest.mark.parametrize(
    ("recipe", "path"),
    [
        pytest.param("query:key", "/m", id="a parameter"),
        pytest.param("path:/bot{secret}", "/botdummy/getMe", id="a segment of the path"),
        pytest.param(f"placeholder:{PLACE}@query=key", f"/m?key={PLACE}", id="a placeholder"),
        pytest.param(f"placeholder:{PLACE}@json=/key", "/m", id="a placeholder in JSON"),
    ],
)
def test_the_spelling_that_travelled_is_known_in_other_codings(
    stage: Stage, recipe: str, path: str
) -> None:
    """A key that is escaped on its way out comes back escaped, and then in base64 or hex."""
    upstream = stage.bind(recipe, ODD_KEY, Coder)
    with stage.client() as client:
        answer = client.post(upstream.url + path, json={"key": PLACE})
    assert answer.status_code == 200, answer.text
    (received,) = upstream.received
    assert spelled(received.path.encode() + received.body), "the key has to arrive"
    codings = answer.json()
    plain = [bytes.fromhex(codings["hex"].replace("*", "0"))]
    for shift in range(3):
        plain.append(base64.b64decode(codings[str(shift)].replace("*", "A"))[shift:])
    assert [told for told in plain if spelled(told)] == []


def spelled(told: bytes) -> bool:
    """True when the odd key can be read, escaped for a query, a path or JSON, or not at all."""
    spellings = {quote(ODD_KEY, safe=""), quote(ODD_KEY, safe=":+"), json.dumps(ODD_KEY)[1:-1]}
    return any(spelling.encode() in told for spelling in {ODD_KEY, *spellings})


@pytest.mark.parametrize("kind", [Mirror, Http2Mirror], ids=["HTTP/1.1", "HTTP/2"])
def test_cookie(stage: Stage, kind: type[Upstream]) -> None:
    """One among the agent's own."""
    upstream = stage.bind("cookie:sid", COOKIE_KEY, kind)
    received = stage.send(upstream, "GET", "/m", headers={"Cookie": "a=1; sid=dummy; SID=dummy"})
    assert header(received, "cookie") == f"a=1; sid={COOKIE_KEY}"


def test_placeholder(stage: Stage) -> None:
    """A body of another length arrives whole, and a digest of the old body does not."""
    places = "header=X-Auth,query=k,json=/auth/token"
    upstream = stage.bind(f"placeholder:{PLACE}@{places}", KEY)
    body = json.dumps({"auth": {"token": PLACE}, "n": "é"}).encode()
    received = stage.send(
        upstream,
        "POST",
        f"/m?k={PLACE}",
        content=body,
        headers={"X-Auth": f"k={PLACE}", "Content-MD5": "AAAA", "X-Other": PLACE},
    )
    assert received.body == body.replace(PLACE.encode(), KEY.encode())
    assert header(received, "content-length") == str(len(received.body))
    assert header(received, "x-auth") == f"k={KEY}"
    assert header(received, "x-other") == PLACE
    assert received.path == f"/m?k={quote(KEY, safe='')}"
    assert not received.values(b"content-md5")


def test_a_call_without_its_placeholder_does_not_leave(stage: Stage) -> None:
    """The refusal says which recipe it was, and the upstream received nothing."""
    upstream = stage.bind(f"placeholder:{PLACE}@json=/key", KEY)
    with stage.client() as client:
        answer = client.post(upstream.url + "/m", json={"other": PLACE})
    assert answer.status_code == 502
    assert "the placeholder is in none of its places" in answer.text
    assert upstream.received == []


def test_sigv4(stage: Stage) -> None:
    """What arrived verifies: botocore signs it anew and comes to the same signature."""
    upstream = stage.bind("sigv4:s3/eu-central-1", json.dumps(AWS))
    agents = {
        "Authorization": "AWS4-HMAC-SHA256 Credential=DUMMY/x",
        "X-Amz-Date": "20000101T000000Z",
        "X-Amz-Security-Token": "DUMMY",
        "X-Amz-Content-SHA256": "0" * 64,
        "X-Amz-Acl": "private",
    }
    path = "/bucket/a%20b?x=1&X-Amz-Credential=DUMMY"
    received = stage.send(upstream, "PUT", path, headers=agents, content=b"BODY")
    arrived = {n.decode(): v.decode() for n, v in received.headers}
    assert "DUMMY" not in str(arrived) + received.path
    assert arrived["x-amz-content-sha256"] == hashlib.sha256(b"BODY").hexdigest()
    signature = arrived.pop("authorization")
    named = signature.split("SignedHeaders=")[1].split(",")[0].split(";")
    assert {"host", "x-amz-acl", "x-amz-security-token"} <= set(named)
    url = f"https://localhost:{upstream.port}{received.path}"
    again = AWSRequest("PUT", url, {n: arrived[n] for n in named}, b"BODY")
    again.context["timestamp"] = arrived["x-amz-date"]
    signer = S3SigV4Auth(Credentials(*AWS.values()), "s3", "eu-central-1")
    to_sign = signer.string_to_sign(again, signer.canonical_request(again))
    assert signature.endswith(f"Signature={signer.signature(to_sign, again)}")


def test_hmac(stage: Stage) -> None:
    """Computed anew from what arrived, it is the same, and the agent's own is gone."""
    upstream = stage.bind("hmac:stripe", KEY)
    with stage.client() as client:
        client.post(upstream.url + "/m", content=b"BODY", headers={"Stripe-Signature": "t=0"})
    (received,) = upstream.received
    stamp, _, value = header(received, "stripe-signature").partition(",v1=")
    signed = stamp.removeprefix("t=").encode() + b"." + received.body
    assert value == hmac.new(KEY.encode(), signed, "sha256").hexdigest()


def test_oauth2_fifty_calls_ask_once(stage: Stage) -> None:
    """They run at the same time, each has the token, and the endpoint saw one request."""
    stage.tokens.clear()
    secret = CLIENT | {"token_url": f"{stage.tokens.url}/token"}
    upstream = stage.bind("oauth2:client_credentials", json.dumps(secret))
    proxy = stage.door.proxy(TRUSTED, stage.world.keys[TRUSTED])

    async def call_all() -> list[httpx.Response]:
        trust = ssl.create_default_context(cafile=stage.door.ca)
        whole = {"proxy": proxy, "verify": trust, "trust_env": False, "timeout": 60}
        async with httpx.AsyncClient(**whole) as client:
            return await asyncio.gather(*(client.get(f"{upstream.url}/m") for _ in range(50)))

    answers = asyncio.run(call_all())
    stage.shown.extend(answer.content for answer in answers)
    assert {answer.status_code for answer in answers} == {302}
    assert {header(r, "authorization") for r in upstream.received} == {f"Bearer {MINTED}"}
    assert len(upstream.received) == 50
    assert len(stage.tokens.received) == 1


def test_oauth2_a_rotated_refresh_token_replaces_the_stored_one(stage: Stage) -> None:
    """The store has the new one before the call leaves, and the ledger says that it changed."""
    fields = {"client_id": "robot", "refresh_token": REFRESHES[0]}
    secret = fields | {"token_url": f"{stage.tokens.url}/token"}
    upstream = stage.bind("oauth2:refresh_token", json.dumps(secret))
    received = stage.send(upstream, "GET", "/m", headers={"Authorization": "Bearer dummy"})
    assert header(received, "authorization") == f"Bearer {MINTED}"
    kept = stage.world.change(lambda i: i.secret(f"s{upstream.port}").reveal())
    after = json.loads(kept)
    assert after.pop("origin") not in ("", *REFRESHES)
    assert after == secret | {"refresh_token": REFRESHES[1]}


@pytest.mark.parametrize("recipe", ["jwt_bearer:https://scope", "github_app"])
def test_a_signed_statement_buys_the_token_that_travels(stage: Stage, recipe: str) -> None:
    """The key signs, the endpoint sees a statement, the upstream the token, nobody the key."""
    stage.tokens.clear()
    account = {"private_key": PEM} | (
        {"app_id": "7", "installation_id": "9", "api_url": stage.tokens.url}
        if recipe == "github_app"
        else {"issuer": "robot@example.com", "token_url": f"{stage.tokens.url}/token"}
    )
    upstream = stage.bind(recipe, json.dumps(account))
    for _ in range(2):
        upstream.clear()
        received = stage.send(upstream, "GET", "/m", headers={"Authorization": "Bearer dummy"})
        assert header(received, "authorization") == f"Bearer {MINTED}"
    (asked,) = stage.tokens.received
    shown = dict(asked.headers).get(b"authorization", asked.body).decode()
    statement = shown.rpartition("Bearer ")[2].rpartition("assertion=")[2]
    claims = jwt.decode(statement, RSAKey.import_key(PEM), ["RS256"]).claims
    assert claims["iss"] == account.get("issuer", "7")
    assert PEM.split("\n")[1] not in upstream.received[0].body.decode()


def test_a_token_endpoint_that_fails_is_a_refusal(stage: Stage) -> None:
    """503 that names the secret, in the ledger also the endpoint; nothing leaves without it."""
    secret = CLIENT | {"token_url": "https://localhost:1/token"}
    upstream = stage.bind("oauth2:client_credentials", json.dumps(secret))
    with stage.client() as client:
        answer = client.get(upstream.url + "/m")
    stage.shown.append(answer.content)
    assert answer.status_code == 503
    said = str(stage.world.rows("decision")[-1]["body"]["reasons"])
    assert "the token endpoint localhost:1 cannot be used" in said
    assert "token endpoint" not in answer.text
    assert "is unavailable" in answer.text
    assert upstream.received == []
