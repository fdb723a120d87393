"""Tokens of issuers: what proves an agent, and everything that does not."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, OKPKey

from interlock.errors import IdentityError
from interlock.federation import Federation, parse_identity
from interlock.federation.fetch import MOST_BYTES, FetchError
from interlock.federation.keysets import ASK_EVERY_S, REFRESH_S, fetch_keyset
from interlock.installation import Installation
from interlock.model import Agent, Entity, Trust
from interlock.settings import Settings
from tests.federation.provider import AUDIENCE, RSA, Provider

DISCOVERY = "/.well-known/openid-configuration"


@pytest.fixture(scope="module")
def _provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    with Provider(tmp_path_factory.mktemp("idp")) as provider:
        yield provider


@pytest.fixture
def provider(_provider: Provider) -> Provider:
    """A provider that has done nothing yet."""
    _provider.answers.clear()
    _provider.asked.clear()
    _provider.keys = {"first": _provider.first}
    return _provider


@pytest.fixture
def home(tmp_path: Path, provider: Provider) -> Iterator[Installation]:
    """An installation that takes the provider's word for the agent `bot`."""
    with furnished(tmp_path / "home", provider) as home:
        yield home


@pytest.fixture(scope="module")
def believer(
    tmp_path_factory: pytest.TempPathFactory, _provider: Provider
) -> Iterator[Installation]:
    """The same, for tests that change nothing in it."""
    with furnished(tmp_path_factory.mktemp("believer"), _provider) as home:
        yield home


@contextmanager
def furnished(folder: Path, provider: Provider) -> Iterator[Installation]:
    """Open a new installation with one agent and one issuer."""
    with Installation(Settings.load(home=folder)) as home:
        home.registry.add(Agent("bot", groups=("bots",), trust=Trust.TRUSTED))
        home.federation.issuers.add(provider.issuer(agent_claim="sub", group_claim="groups"))
        yield home


async def prove(federation: Federation, text: str, name: str | None = None) -> Agent:
    """What the front door does with a token."""
    now = time.time()
    await federation.prepare(text, now)
    return federation.prove(text, now, name)


def forged(token: str, header: dict[str, Any], signature: str | None = None) -> str:
    """The same claims under another header."""
    _, claims, signed = token.split(".")
    head = base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode()
    return f"{head}.{claims}.{signed if signature is None else signature}"


async def test_a_token_proves_the_agent_that_it_names(
    home: Installation, provider: Provider
) -> None:
    """Its groups stand beside those of the registration, its actors are told as claims."""
    act = {"sub": "gateway", "iss": "https://a.example", "act": {"sub": "ada"}}
    found = await prove(home.federation, provider.token(groups=["night"], act=act))
    assert (found.name, found.trust, found.groups) == ("bot", Trust.TRUSTED, ("bots", "night"))
    assert found.proof == f"oidc {provider.url}#bot"
    assert found.actors == ("https://a.example#gateway", "ada")
    assert (await prove(home.federation, provider.token(), "bot")).name == "bot"


@pytest.mark.parametrize(
    ("kid", "alg", "key"),
    [
        pytest.param("r", "RS256", RSA, id="RSA"),
        pytest.param("p", "PS256", RSA, id="RSA-PSS"),
        pytest.param("e", "ES384", ECKey.generate_key("P-384"), id="another curve"),
        pytest.param("o", "Ed25519", OKPKey.generate_key("Ed25519"), id="Ed25519"),
    ],
)
async def test_every_algorithm_with_a_public_key_is_taken(
    home: Installation, provider: Provider, kid: str, alg: str, key: Any
) -> None:
    """As long as the issuer may use it."""
    provider.keys[kid] = key
    assert (await prove(home.federation, provider.token(kid, alg))).name == "bot"


def _now(seconds: float) -> int:
    return int(time.time() + seconds)


BAD: list[Any] = [
    pytest.param(lambda p: p.token(exp=_now(-10)), "expired token", id="expired"),
    pytest.param(lambda p: p.token(nbf=_now(60)), "token of the future", id="not yet"),
    pytest.param(lambda p: p.token(iat=_now(60)), "token of the future", id="issued later"),
    pytest.param(
        lambda p: p.token(iat=_now(-90_000), exp=_now(60)), "expired token", id="older than allowed"
    ),
    pytest.param(lambda p: p.token(exp=None), "malformed token", id="without an end"),
    pytest.param(lambda p: p.token(iat=None), "malformed token", id="without a beginning"),
    pytest.param(lambda p: p.token(exp=10**400), "malformed token", id="an endless number"),
    pytest.param(lambda p: p.token(exp=True), "malformed token", id="an end that is no number"),
    pytest.param(lambda p: p.token(exp="9999999999"), "malformed token", id="an end in words"),
    pytest.param(lambda p: p.token(aud="other"), "wrong audience", id="for another audience"),
    pytest.param(lambda p: p.token(aud=None), "wrong audience", id="for nobody"),
    pytest.param(lambda p: p.token(aud={"a": AUDIENCE}), "wrong audience", id="an odd audience"),
    pytest.param(lambda p: p.token(sub=""), "malformed token", id="without a subject"),
    pytest.param(lambda p: p.token(sub="x" * 300), "malformed token", id="an endless subject"),
    pytest.param(lambda p: p.token(sub="nobody"), "token of nobody", id="of an unknown agent"),
    pytest.param(lambda p: p.token(sub="unidentified"), "token of nobody", id="of no agent"),
    pytest.param(lambda p: p.token(groups=[1]), "malformed token", id="groups that are no names"),
    pytest.param(
        lambda p: p.token(iss="https://evil.example"), "unknown issuer", id="of another issuer"
    ),
    pytest.param(lambda p: p.token(iss=p.url + "/"), "unknown issuer", id="issuer, but a slash"),
    pytest.param(
        lambda p: forged(p.token(), {"alg": "none", "kid": "first"}, ""),
        "wrong algorithm",
        id="alg none",
    ),
    pytest.param(
        lambda p: forged(p.token(), {"alg": "nOnE", "kid": "first"}, ""),
        "wrong algorithm",
        id="alg none in odd case",
    ),
    pytest.param(
        lambda p: p.token(
            alg="HS256",
            key=OctKey.import_key(json.dumps(p.public("first"), sort_keys=True).encode()),
        ),
        "wrong algorithm",
        id="HMAC with the public key",
    ),
    pytest.param(
        lambda p: p.token(alg="RS256", key=RSA),
        "unknown key of the issuer",
        id="kid of another kind",
    ),
    pytest.param(
        lambda p: p.token(key=ECKey.generate_key("P-256")),
        "bad signature",
        id="a key of a stranger",
    ),
    pytest.param(
        lambda p: forged(p.token(), {"alg": "ES256", "kid": "first", "jku": "https://evil"}),
        "bad signature",
        id="another header",
    ),
    pytest.param(
        lambda p: forged(
            p.token(), {"alg": "ES256", "kid": "first", "crit": ["b64"], "b64": False}
        ),
        "malformed token",
        id="a critical extension",
    ),
    pytest.param(lambda p: p.token()[:-4], "bad signature", id="a short signature"),
    pytest.param(lambda p: p.token(x="x" * 17_000), "malformed token", id="an endless token"),
    pytest.param(lambda _: "eyJ.eyJ.x", "malformed token", id="no token"),
    pytest.param(
        lambda p: forged(p.token(), {"alg": "ES256", "kid": ["first"]}),
        "malformed token",
        id="a kid that is no name",
    ),
]


@pytest.mark.parametrize(("make", "cause"), BAD)
async def test_refuses_what_does_not_hold(
    believer: Installation, provider: Provider, make: Callable[[Provider], str], cause: str
) -> None:
    """Strangers are told the same of each; the ledger is told why."""
    await prove(believer.federation, provider.token())
    with pytest.raises(IdentityError, match="name or key is not valid") as e:
        await prove(believer.federation, make(provider))
    assert e.value.cause == cause


async def test_a_token_that_was_good_ends_in_time(home: Installation, provider: Provider) -> None:
    """Also one that is remembered as verified."""
    token, now = provider.token(exp=_now(60)), time.time()
    await prove(home.federation, token)
    assert home.federation.prove(token, now + 64).name == "bot"
    with pytest.raises(IdentityError):
        home.federation.prove(token, now + 66)


async def test_another_name_than_the_token_has_is_refused(
    home: Installation, provider: Provider
) -> None:
    """As it is with a key."""
    home.registry.add(Agent("other"))
    with pytest.raises(IdentityError):
        await prove(home.federation, provider.token(), "other")


async def test_keys_rotate(home: Installation, provider: Provider) -> None:
    """A new key is fetched when it first appears, and one that is gone proves nothing more."""
    old = provider.token()
    await prove(home.federation, old)
    provider.keys = {"second": ECKey.generate_key("P-256")}
    (kept,) = home.federation._keysets._kept.values()
    kept.asked_at -= ASK_EVERY_S
    assert (await prove(home.federation, provider.token("second"))).name == "bot"
    with pytest.raises(IdentityError) as e:
        await prove(home.federation, old)
    assert e.value.cause == "unknown key of the issuer"


async def test_a_key_of_the_same_name_is_another_key(
    home: Installation, provider: Provider
) -> None:
    """What the withdrawn one signed proves nothing, remembered or not; nobody has to call."""
    token = provider.token()
    await prove(home.federation, token)
    provider.keys = {"first": ECKey.generate_key("P-256")}
    (kept,) = home.federation._keysets._kept.values()
    kept.asked_at = kept.fetched_at = kept.fetched_at - REFRESH_S - 1
    assert home.federation.prove(token, time.time()).name == "bot"
    assert kept.task
    await kept.task
    with pytest.raises(IdentityError) as e:
        home.federation.prove(token, time.time())
    assert e.value.cause == "bad signature"
    assert (await prove(home.federation, provider.token())).name == "bot"


async def test_unknown_keys_do_not_flood_the_issuer(home: Installation, provider: Provider) -> None:
    """Names that anybody can invent are asked for once in a while."""
    await prove(home.federation, provider.token())
    provider.asked.clear()
    for number in range(20):
        token = forged(provider.token(), {"alg": "ES256", "kid": f"k{number}"})
        with pytest.raises(IdentityError):
            await prove(home.federation, token)
    assert len(provider.asked) <= 2


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        pytest.param(
            DISCOVERY, (200, b'{"issuer": "https://evil", "jwks_uri": "HERE/keys"}'), id="issuer"
        ),
        pytest.param("/keys", (302, b"{}"), id="a redirect"),
        pytest.param(DISCOVERY, (500, b"{}"), id="a failure"),
        pytest.param(DISCOVERY, (200, b"[]"), id="no object"),
        pytest.param(DISCOVERY, (200, b"[" * 100_000), id="nested without end"),
        pytest.param("/keys", (200, b" " * (MOST_BYTES + 1)), id="huge"),
        pytest.param("/keys", (200, b'{"keys": []}'), id="no keys"),
        pytest.param(
            "/keys", (200, b'{"keys": [{"kty": "oct", "k": "AA"}]}'), id="a shared secret"
        ),
        pytest.param("/keys", (200, b'{"keys": [{"kty": ["RSA"]}, 7]}'), id="keys that are none"),
    ],
)
async def test_a_hostile_answer_gives_no_keys(
    provider: Provider, path: str, answer: tuple[int, bytes]
) -> None:
    """Whatever the issuer's side answers, nothing of it is believed."""
    status, body = answer
    elsewhere = {"Location": f"{provider.url}/elsewhere"}
    provider.answers["/elsewhere"] = provider.answer("/keys")
    provider.answers[path] = (status, elsewhere, body.replace(b"HERE", provider.url.encode()))
    with pytest.raises((FetchError, ValueError)):
        await fetch_keyset(provider.issuer())


async def test_keys_come_over_verified_tls_alone(provider: Provider) -> None:
    """Neither an unknown authority nor plain HTTP will do, nor what would colour a terminal."""
    with pytest.raises(FetchError, match="cannot be reached"):
        await fetch_keyset(replace(provider.issuer(), ca=""))
    for url in ("http://localhost/keys", "https://x/\x1b]0;owned\x07", "https://x/" + "a" * 3000):
        document = {"issuer": provider.url, "jwks_uri": url}
        provider.answers[DISCOVERY] = (200, {}, json.dumps(document).encode())
        with pytest.raises(FetchError, match="not https") as e:
            await fetch_keyset(provider.issuer())
        assert str(e.value).isprintable()
        assert len(str(e.value)) < 300


async def test_a_bound_subject_is_the_agent(home: Installation, provider: Provider) -> None:
    """And no other subject can claim its name."""
    identity = parse_identity("oidc", f"{provider.url}#7f3a")
    home.federation.identities.add(identity, Entity("Agent", "bot"))
    assert (await prove(home.federation, provider.token(sub="7f3a"))).name == "bot"
    with pytest.raises(IdentityError):
        await prove(home.federation, provider.token(sub="bot"))
    home.federation.identities.remove(identity)
    with pytest.raises(IdentityError):
        await prove(home.federation, provider.token(sub="7f3a"))


async def test_unknown_agents_are_registered_where_the_issuer_may(
    home: Installation, provider: Provider
) -> None:
    """As unverified, and as theirs: a token of another subject cannot take the name."""
    home.federation.issuers.remove(provider.url)
    issuer = provider.issuer(agent_claim="name", auto_register=True)
    home.federation.issuers.add(issuer)
    found = await prove(home.federation, provider.token(sub="1", name="newcomer"))
    assert (found.name, found.trust) == ("newcomer", Trust.UNVERIFIED)
    for claims in ({"sub": "2", "name": "newcomer"}, {"sub": "3", "name": "../x"}, {"sub": "4"}):
        with pytest.raises(IdentityError):
            await prove(home.federation, provider.token(**claims))
    home.registry.remove("newcomer")
    assert parse_identity("oidc", f"{provider.url}#1") not in home.federation.identities.all()


async def test_an_issuer_registers_no_more_than_it_may(
    home: Installation, provider: Provider
) -> None:
    """Agents that nobody has looked at count, those that somebody judged do not."""
    home.federation.issuers.remove(provider.url)
    issuer = provider.issuer(agent_claim="name", auto_register=True, most_agents=2)
    home.federation.issuers.add(issuer)

    async def enters(name: str) -> str:
        try:
            await prove(home.federation, provider.token(sub=name, name=name))
        except IdentityError as e:
            return e.cause
        return name

    too_many = "its issuer has registered too many agents"
    assert [await enters(name) for name in ("a", "b", "c", "a")] == ["a", "b", too_many, "a"]
    assert not home.registry.has("c")
    home.registry.set_trust("a", Trust.QUARANTINED)
    assert [await enters(name) for name in ("c", "d")] == ["c", too_many]


async def test_keys_that_come_with_a_token_are_not_looked_at(
    believer: Installation, provider: Provider
) -> None:
    """Neither a key in its header nor a place that it names: nothing is fetched there."""
    await prove(believer.federation, provider.token())
    mine = ECKey.generate_key("P-256")
    places = dict.fromkeys(("jku", "x5u"), f"{provider.url}/mine")
    own = {"jwk": mine.as_dict(private=False), "x5c": ["MA=="], "alg": "ES256", "kid": "first"}
    provider.asked.clear()
    for more in (places, {"jwk": own["jwk"]}, {"x5c": own["x5c"]}, places | own):
        header = {"alg": "ES256", "kid": "first"} | more
        token = jwt.encode(header, provider.claims(), mine, ["ES256"])
        with pytest.raises(IdentityError) as e:
            await prove(believer.federation, token)
        assert e.value.cause == "bad signature"
    assert provider.asked == []


async def test_an_issuer_that_trickles_is_not_waited_for(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole of an answer has to be there in time, not each part of it."""
    monkeypatch.setattr("interlock.federation.fetch.TIMEOUT_S", 0.3)
    provider.pause_s = 0.2
    began = time.monotonic()
    try:
        with pytest.raises(FetchError, match="did not answer in"):
            await fetch_keyset(provider.issuer())
    finally:
        provider.pause_s = 0.0
    assert time.monotonic() - began < 20


async def test_an_issuer_that_is_gone_proves_nobody(home: Installation, provider: Provider) -> None:
    """From the next look on, remembered or not."""
    token = provider.token()
    await prove(home.federation, token)
    home.federation.issuers.remove(provider.url)
    with pytest.raises(IdentityError):
        home.federation.prove(token, time.time())


async def test_a_trust_domain_speaks_for_its_own_workloads(
    home: Installation, provider: Provider
) -> None:
    """A JWT-SVID names its workload; one of another domain is none of its own."""
    domain = replace(provider.issuer(), url="spiffe://td.example", jwks=f"{provider.url}/keys")
    home.federation.issuers.add(domain)
    identity = parse_identity("spiffe", "spiffe://td.example/ns/bot")
    home.federation.identities.add(identity, Entity("Agent", "bot"))
    svid = {"sub": "spiffe://td.example/ns/bot", "iss": None, "iat": None}
    assert (await prove(home.federation, provider.token(**svid))).proof == str(identity)
    for sub in (
        "spiffe://other.example/ns/bot",
        "spiffe://td.example/ns/other",
        "spiffe://td.example",
    ):
        with pytest.raises(IdentityError):
            await prove(home.federation, provider.token(**svid | {"sub": sub}))
