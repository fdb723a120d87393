"""Proofs from outside are proofs like keys: refused, recorded and cut off alike."""

import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from interlock.demo.front_door import FrontDoor
from interlock.federation import parse_identity
from interlock.installation import Installation
from interlock.model import Agent, Entity, Mode, Trust
from tests.door.patience import assert_cut, wait_for
from tests.door.world import CHAT, DEFAULT_POLICIES, OPENAI_KEY, READS_ANYTHING, World
from tests.federation.authority import Authority
from tests.federation.provider import Provider

BOT = "spiffe://td.example/bot"
WHO = Entity("Agent", "svid-bot")
# Nobody vouches for it: what it may, its groups may.
TEMP = "temp-bot"
NIGHT_SHIFT = """
@id("night-shift") @description("Who is on duty reads.")
permit (principal in Group::"night-shift", action, resource);
"""


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    """The identity provider."""
    with Provider(tmp_path_factory.mktemp("idp")) as provider:
        yield provider


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority of client certificates."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def door(_world: World, provider: Provider, authority: Authority) -> Iterator[FrontDoor]:
    """A front door that enforces, and takes the word of both."""
    issuer = provider.issuer(agent_claim="sub", group_claim="groups")
    domain = replace(provider.issuer(), url="spiffe://td.example", jwks=f"{provider.url}/keys")
    policies = authority.folder / "policies"
    policies.mkdir(exist_ok=True)
    text = DEFAULT_POLICIES.read_text() + READS_ANYTHING + NIGHT_SHIFT
    (policies / "default.cedar").write_text(text)
    files = {"client_ca": authority.ca, "client_crl": authority.crl, "policies": policies}
    options = [word for name, at in files.items() for word in ("--set", f"interlock_{name}={at}")]

    def forget(installation: Installation) -> None:
        for each in (issuer, domain):
            installation.federation.issuers.remove(each.url)
        for name in (WHO.id, TEMP):
            installation.registry.remove(name)

    _world.change(lambda i: i.registry.add(Agent(WHO.id, trust=Trust.TRUSTED)))
    _world.change(lambda i: i.registry.add(Agent(TEMP)))
    _world.change(lambda i: [i.federation.issuers.add(each) for each in (issuer, domain)])
    bind(_world)
    try:
        with _world.door(Mode.ENFORCE, *options) as door:
            yield door
    finally:
        _world.change(forget)


def bind(world: World) -> None:
    """Let the SPIFFE ID stand for the agent."""
    world.change(lambda i: i.federation.identities.add(parse_identity("spiffe", BOT), WHO))


def unbind(world: World) -> None:
    """Let it stand for nobody."""
    world.change(lambda i: i.federation.identities.remove(parse_identity("spiffe", BOT)))


def assert_told(world: World, cause: str) -> None:
    """Wait until the ledger tells why a proof was refused."""
    wait_for(lambda: cause in [row["body"]["cause"] for row in world.rows("proof_refused")])


def rebind(installation: Installation, agent: str) -> None:
    """Let it stand for somebody else, in one transaction: at no moment for nobody."""
    sql = "update identities set holder = ? where name = ?"
    installation.database.write(lambda connection: connection.execute(sql, [agent, BOT]))


@contextmanager
def bearer(door: FrontDoor, token: str) -> Iterator[httpx.Client]:
    """A client that proves itself to the proxy by a token."""
    proxy = httpx.Proxy(door.proxy(), headers={"Proxy-Authorization": f"Bearer {token}"})
    trust = ssl.create_default_context(cafile=door.ca)
    with httpx.Client(proxy=proxy, verify=trust, trust_env=False, timeout=20) as client:
        yield client


def shown(door: FrontDoor, file: Path | None) -> ssl.SSLContext:
    """What a client trusts, and the certificate that it shows."""
    context = ssl.create_default_context(cafile=door.ca)
    if file:
        context.load_cert_chain(file)
    return context


@contextmanager
def certified(door: FrontDoor, file: Path | None, style: str) -> Iterator[httpx.Client]:
    """A client that shows a certificate to the proxy, to a base URL, or inside a tunnel."""
    more: dict[str, Any] = {"verify": shown(door, file if style != "proxy" else None)}
    if style == "proxy":
        more["proxy"] = httpx.Proxy(f"https://{door.address}", ssl_context=shown(door, file))
    elif style == "tunnel":
        more["proxy"] = door.proxy()
    with httpx.Client(trust_env=False, timeout=20, **more) as client:
        yield client


def base(world: World, door: FrontDoor, style: str) -> str:
    """Where a client of this style calls."""
    return f"https://127.0.0.1:{door.ports[1]}" if style == "base URL" else world.openai


def test_a_token_gets_its_agent_the_credential(
    world: World, door: FrontDoor, provider: Provider
) -> None:
    """The decision names the proof, and who acted for whom as a claim."""
    token = provider.token(sub=WHO.id, act={"sub": "gateway"})
    with bearer(door, token) as client:
        answer = client.post(f"{world.openai}/v1/chat/completions", json=CHAT)
    assert answer.status_code == 200
    received = world.carried(OPENAI_KEY)
    assert token.encode() not in b"".join(value for _, value in received.headers)
    decision = world.events(answer.headers["interlock-decision-id"])[0]
    assert decision["agent"] == WHO.id
    assert decision["body"]["proof"] == f"oidc {provider.url}#{WHO.id}"
    assert decision["body"]["act"] == ["gateway"]


def test_a_token_stands_where_a_key_could(
    world: World, door: FrontDoor, provider: Provider
) -> None:
    """As the password of the proxy, and in the key slot of a base URL."""
    token = provider.token(sub=WHO.id)
    trust = shown(door, None)
    proxy = door.proxy(WHO.id, token)
    with httpx.Client(proxy=proxy, verify=trust, trust_env=False, timeout=20) as client:
        assert client.get(f"{world.openai}/v1/models").status_code == 200
    world.carried(OPENAI_KEY)
    world.upstream.clear()
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(verify=trust, trust_env=False, timeout=20, headers=headers) as client:
        assert client.get(f"{base(world, door, 'base URL')}/v1/models").status_code == 200
    world.carried(OPENAI_KEY)


def test_groups_of_a_token_count_for_policies(
    world: World, door: FrontDoor, provider: Provider
) -> None:
    """For the calls of that token, and no others; the decision says so."""
    url = f"{world.openai}/echo"
    for groups, status in ((["night-shift"], 200), (["day-shift"], 403), (None, 403)):
        with bearer(door, provider.token(sub=TEMP, groups=groups)) as client:
            answer = client.get(url)
        assert answer.status_code == status
        decision = world.events(answer.headers["interlock-decision-id"])[0]
        assert decision["agent"] == TEMP
        assert decision["body"]["facts"].get("groups") == groups
    assert len(world.received()) == 1


def test_a_token_of_a_trust_domain_proves_its_workload(
    world: World, door: FrontDoor, provider: Provider
) -> None:
    """A JWT-SVID has no issuer; that of an ID which nobody bound proves nobody."""
    svid = {"iss": None, "iat": None}
    with bearer(door, provider.token(sub=BOT, **svid)) as client:
        answer = client.get(f"{world.openai}/v1/models")
    assert answer.status_code == 200
    world.carried(OPENAI_KEY)
    decision = world.events(answer.headers["interlock-decision-id"])[0]
    assert (decision["agent"], decision["body"]["proof"]) == (WHO.id, f"spiffe {BOT}")
    other = provider.token(sub="spiffe://td.example/other", **svid)
    with bearer(door, other) as client, pytest.raises(httpx.ProxyError, match="407"):
        client.get(f"{world.openai}/v1/models")


def test_an_issuer_registers_agents_until_a_person_has_to_look(
    world: World, door: FrontDoor, tmp_path: Path
) -> None:
    """Each enters by its first call, unverified and theirs; one too many is refused and told."""
    newcomer, another = world.fresh("newcomer"), world.fresh("another")
    with Provider(tmp_path) as staff:
        issuer = staff.issuer(agent_claim="name", auto_register=True, most_agents=1)
        world.change(lambda i: i.federation.issuers.add(issuer))
        url = f"{world.openai}/echo"

        def calls(sub: str, name: str) -> int:
            with bearer(door, staff.token(sub=sub, name=name)) as client:
                return client.get(url).status_code

        assert calls("1", newcomer) == 403
        assert world.change(lambda i: i.registry.get(newcomer)).trust is Trust.UNVERIFIED
        with pytest.raises(httpx.ProxyError, match="407"):
            calls("2", newcomer)
        with pytest.raises(httpx.ProxyError, match="407"):
            calls("3", another)
        assert not world.change(lambda i: i.registry.has(another))
        assert_told(world, "its issuer has registered too many agents")
        world.change(lambda i: i.registry.set_trust(newcomer, Trust.TRUSTED))
        assert calls("1", newcomer) == 200
        assert calls("3", another) == 403
    source = world.change(lambda i: i.registry.seen(newcomer).profile.source)
    assert source == f"issuer:{staff.url}"


def test_an_agent_with_a_token_that_uses_a_planted_key_is_cut_off(
    world: World, door: FrontDoor, provider: Provider
) -> None:
    """The agent that the token proves, whatever its token says from then on."""
    planted, name = "sk-proj-" + "Kp4rW8sYbN2cVh6Z" * 4, world.join("token-thief")
    with world.planted(planted, "token-file"), bearer(door, provider.token(sub=name)) as client:
        assert client.get(f"{world.openai}/echo", headers={"X-Key": planted}).status_code == 403
    assert world.change(lambda i: i.registry.get(name)).trust is Trust.QUARANTINED
    assert world.rows("alert")[-1]["agent"] == name
    with bearer(door, provider.token(sub=name)) as client:
        assert client.get(f"{world.openai}/echo").status_code == 403
    assert world.received() == []


def test_without_the_extra_a_token_proves_nobody_and_the_log_says_why(
    world: World, door: FrontDoor, provider: Provider, tmp_path: Path
) -> None:
    """One line at the start that says what to install; the ledger has it too. Keys go on."""
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['joserfc'] = None\n")
    bare = {"PYTHONPATH": str(tmp_path)}
    what = "joserfc is not installed: pip install 'interlock[oauth]'"
    with world.door(Mode.ENFORCE, environ=bare) as without:
        assert [line for line in without.log.splitlines() if what in line]
        token = provider.token(sub=WHO.id)
        with bearer(without, token) as client, pytest.raises(httpx.ProxyError, match="407"):
            client.get(f"{world.openai}/v1/models")
        with world.through(without) as client:
            assert client.get(f"{world.openai}/v1/models").status_code == 200
    assert_told(world, what)


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({"sub": "nobody"}, id="an agent that is unknown"),
        pytest.param({"aud": "other"}, id="another audience"),
        pytest.param({"exp": 1}, id="expired"),
        pytest.param({"iss": "https://evil.example"}, id="an unknown issuer"),
    ],
)
def test_a_bad_token_is_refused_before_anything_is_looked_up(
    world: World, door: FrontDoor, provider: Provider, claims: dict[str, Any]
) -> None:
    """407 at CONNECT, with the same words whatever is wrong."""
    token = provider.token(**{"sub": WHO.id} | claims)
    with bearer(door, token) as client, pytest.raises(httpx.ProxyError, match="407"):
        client.get("https://no-such-host.invalid/")
    assert world.received() == []
    assert "dial" not in door.log


def test_a_token_for_us_never_leaves(world: World, door: FrontDoor, provider: Provider) -> None:
    """One that does not hold is refused in a base URL too, and not passed on as a foreign key."""
    headers = {"Authorization": f"Bearer {provider.token(sub='nobody')}"}
    with httpx.Client(
        verify=shown(door, None), trust_env=False, headers=headers, timeout=20
    ) as client:
        answer = client.get(f"{base(world, door, 'base URL')}/v1/models")
    assert answer.status_code == 401
    assert world.received() == []


@pytest.mark.parametrize("style", ["proxy", "base URL"])
def test_a_certificate_proves_its_agent(
    world: World, door: FrontDoor, authority: Authority, style: str
) -> None:
    """On the connection to the proxy itself, or to a base URL."""
    file, _ = authority.issue(BOT)
    with certified(door, file, style) as client:
        answer = client.get(f"{base(world, door, style)}/v1/models")
    assert answer.status_code == 200
    world.carried(OPENAI_KEY)
    decision = world.events(answer.headers["interlock-decision-id"])[0]
    assert (decision["agent"], decision["body"]["proof"]) == (WHO.id, f"spiffe {BOT}")


def test_a_certificate_inside_a_tunnel_proves_nothing(
    world: World, door: FrontDoor, authority: Authority
) -> None:
    """It was meant for the upstream; the call is that of nobody."""
    file, _ = authority.issue(BOT)
    with certified(door, file, "tunnel") as client:
        answer = client.get(f"{world.openai}/v1/models")
    assert answer.status_code == 403
    assert world.received() == []


def refuses(world: World, door: FrontDoor, file: Path, style: str) -> bool:
    """Tell whether a certificate is refused: 407 at the proxy, 401 at a base URL."""
    with certified(door, file, style) as client:
        try:
            return client.get(f"{base(world, door, style)}/v1/models").status_code == 401
        except httpx.ProxyError as e:
            return "407" in str(e)


@pytest.mark.parametrize("style", ["proxy", "base URL"])
@pytest.mark.parametrize("which", ["a stranger's", "of an unbound name", "revoked"])
def test_a_bad_certificate_is_refused(
    world: World, door: FrontDoor, authority: Authority, tmp_path: Path, style: str, which: str
) -> None:
    """The upstream hears nothing; a list of what is revoked is taken up within a moment."""
    if which == "a stranger's":
        file, _ = Authority(tmp_path).issue(BOT)
    elif which == "revoked":
        file, made = authority.issue(BOT)
        authority.publish(made)
        wait_for(lambda: refuses(world, door, file, style))
        world.upstream.clear()
    else:
        file, _ = authority.issue("spiffe://td.example/other")
    assert refuses(world, door, file, style)
    assert world.received() == []


@contextmanager
def done(act: Callable[[], object], undo: Callable[[], object]) -> Iterator[None]:
    """Do something, and undo it when the block ends."""
    act()
    try:
        yield
    finally:
        undo()


ENDS = ("revoked", "unbound", "bound to another", "quarantined", "issuer gone", "token expired")


@pytest.mark.parametrize("why", ENDS)
def test_a_stream_ends_with_its_proof(
    world: World, door: FrontDoor, provider: Provider, authority: Authority, why: str
) -> None:
    """Whatever a proof rests on is gone: nothing waits for the next request."""
    file, made = authority.issue(BOT)
    certificate = why in ("revoked", "unbound", "bound to another")
    # A clock may differ by 5 s: one that ended a second ago is good for 4 s more.
    lives = -1 if why == "token expired" else 300
    token = provider.token(sub=WHO.id, exp=int(time.time()) + lives)
    opened = certified(door, file, "proxy") if certificate else bearer(door, token)
    registered = world.change(lambda i: i.federation.issuers.all()[provider.url])

    def trust(level: Trust) -> Callable[[], object]:
        return lambda: world.change(lambda i: i.registry.set_trust(WHO.id, level))

    acts: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "revoked": (lambda: authority.publish(made), authority.publish),
        "unbound": (lambda: unbind(world), lambda: bind(world)),
        "bound to another": (
            lambda: world.change(lambda i: rebind(i, TEMP)),
            lambda: world.change(lambda i: rebind(i, WHO.id)),
        ),
        "quarantined": (trust(Trust.QUARANTINED), trust(Trust.TRUSTED)),
        "issuer gone": (
            lambda: world.change(lambda i: i.federation.issuers.remove(provider.url)),
            lambda: world.change(lambda i: i.federation.issuers.add(registered)),
        ),
        "token expired": (lambda: None, lambda: None),
    }
    act, undo = acts[why]
    url = f"{world.openai}/ticks?count=2000&interval=20"
    with opened as client, client.stream("GET", url) as stream:
        assert stream.status_code == 200
        events = stream.iter_raw()
        next(events)
        with done(act, undo):
            assert_cut(events)
