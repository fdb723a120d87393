"""The key goes to the wrong place: claims, certificates, addresses, names, redirects, our ports."""

import datetime as dt
import ipaddress
from pathlib import Path

import pytest
import trustme

from addons.addresses import is_own
from interlock.demo.certificates import Certificates
from interlock.model import Mode
from tests.attacks.case import (
    BASE_URL,
    PROXY,
    Case,
    Setting,
    Then,
    attempt,
    judge,
    open_at,
    said_and_heard,
    table,
)
from tests.attacks.field import CANARY, STRANGER, VICTIM, Field
from tests.attacks.listener import Listener

REFUSED, KEYLESS, PASSES, HARMLESS = Then.REFUSED, Then.KEYLESS, Then.PASSES, Then.HARMLESS


def get(host: str, target: str = "/v1/models", *more: str) -> bytes:
    """A GET with a Host of its own."""
    lines = [f"GET {target} HTTP/1.1", f"Host: {host}", *more]
    return "\r\n".join(lines).encode() + b"\r\n{proof}\r\n"


CLAIMS = [
    Case(
        "to a stranger, whose Host names the victim",
        KEYLESS,
        get("{victim}"),
        b"{stranger}",
        STRANGER,
    ),
    Case("to a stranger, with SNI and Host of the victim", KEYLESS, connect=b"{stranger}"),
    Case(
        "to the victim, with SNI and Host of a stranger on the same address",
        REFUSED,
        get("{stranger}"),
        sni=STRANGER,
    ),
    Case("to the victim, with the SNI of a stranger", REFUSED, sni=STRANGER),
    Case("to the victim, with the Host of a stranger", REFUSED, get("{stranger}")),
    Case("to the victim, without an SNI", PASSES, sni=None),
    Case(
        "the victim's name at a stranger's port", KEYLESS, get(VICTIM + ":{S}"), b"victim.test:{S}"
    ),
    Case("a Host without the port", REFUSED, get(VICTIM)),
    Case("a Host with a stranger's port", REFUSED, get(VICTIM + ":{S}")),
    Case("a Host with a port that is no number", REFUSED, get(VICTIM + ":{V}x")),
    Case("a Host with user information", REFUSED, get(STRANGER + "@{victim}")),
    Case("a Host with the victim as user information", REFUSED, get("{victim}@" + STRANGER)),
    Case(
        "two Host headers that differ", REFUSED, get("{victim}", "/v1/models", "Host: {stranger}")
    ),
    Case(
        "two Host headers, the victim's last",
        REFUSED,
        get("{stranger}", "/v1/models", "Host: {victim}"),
    ),
    Case("an empty Host", REFUSED, get("")),
    Case("a list of Hosts", REFUSED, get("{victim}, {stranger}")),
    Case(
        "an absolute target with another host",
        REFUSED,
        get("{victim}", "https://{stranger}/v1/models"),
    ),
    Case(
        "an absolute target and a Host of another",
        REFUSED,
        get("{stranger}", "https://{victim}/v1/models"),
    ),
    Case(
        "an absolute target of plain HTTP", REFUSED, get("{victim}", "http://{stranger}/v1/models")
    ),
    Case("a CONNECT with user information", REFUSED, connect=b"stranger.test@{victim}"),
    Case("a CONNECT without a port", KEYLESS, get(VICTIM), VICTIM.encode()),
    Case("a CONNECT to the port of SSH", KEYLESS, get(VICTIM + ":22"), b"victim.test:22"),
    Case("a CONNECT to port 0", REFUSED, connect=b"victim.test:0"),
    Case("a CONNECT to a port above all", REFUSED, connect=b"victim.test:65536"),
    Case("a CONNECT with a path", REFUSED, connect=b"{victim}/v1"),
    Case("a trailing dot", PASSES, get(VICTIM + ".:{V}"), b"victim.test.:{V}"),
    Case("a trailing dot in the SNI alone", HARMLESS, sni=VICTIM + "."),
    Case("two trailing dots", REFUSED, get(VICTIM + "..:{V}"), b"victim.test..:{V}"),
    Case("capitals", PASSES, get("VICTIM.Test:{V}"), b"VICTIM.tesT:{V}", "Victim.TEST"),
    Case("full-width letters", HARMLESS, connect="\uff56ictim.test:{V}".encode()),
    Case("a Cyrillic letter", KEYLESS, connect="v\u0456ctim.test:{V}".encode()),
    Case(
        "a Cyrillic letter as an A-label",
        KEYLESS,
        get("xn--vctim-n9e.test:{V}"),
        b"xn--vctim-n9e.test:{V}",
        "xn--vctim-n9e.test",
    ),
    Case("a soft hyphen", HARMLESS, connect="vic\u00adtim.test:{V}".encode()),
    Case("a joiner of no width", HARMLESS, connect="vic\u200dtim.test:{V}".encode()),
    Case("an ideographic full stop", HARMLESS, connect="victim\u3002test:{V}".encode()),
    Case("a dotless i", KEYLESS, connect="v\u0131ctim.test:{V}".encode()),
    Case("a NUL behind the victim's name", REFUSED, connect=b"victim.test\0.stranger.test:{V}"),
    Case("a percent-encoded dot", REFUSED, connect=b"victim%2etest:{V}"),
    Case("a zone behind the name", REFUSED, connect=b"victim.test%25lo:{V}"),
    Case(
        "the victim's address in place of its name", KEYLESS, get("127.0.0.1:{V}"), b"127.0.0.1:{V}"
    ),
]


@table(CLAIMS, PROXY)
def test_a_claim_about_the_destination(field: Field, case: Case, setting: Setting) -> None:
    """CONNECT, SNI, Host and target agree on the victim, or there is no key."""
    judge(field, case, setting)


AT_A_BASE_URL = [
    Case("a Host of a stranger", PASSES, get("{stranger}")),
    Case("two Host headers", PASSES, get("{victim}", "/v1/models", "Host: {stranger}")),
    Case("an SNI of a stranger", PASSES, sni=STRANGER),
    Case(
        "an absolute target with another host", HARMLESS, get("x", "https://{stranger}/v1/models")
    ),
    Case("an absolute target of plain HTTP", HARMLESS, get("x", "http://{stranger}/v1/models")),
    Case(
        "X-Forwarded-Host of a stranger",
        PASSES,
        get("x", "/v1/models", "X-Forwarded-Host: {stranger}"),
    ),
    Case(
        "a CONNECT to a stranger",
        HARMLESS,
        b"CONNECT {stranger} HTTP/1.1\r\nHost: x\r\n{proof}\r\n",
    ),
]


@table(AT_A_BASE_URL, BASE_URL)
def test_a_claim_at_a_base_url(field: Field, case: Case, setting: Setting) -> None:
    """The operator chose the destination; what the agent says about it moves nothing."""
    judge(field, case, setting)
    assert not field.stranger.connections
    for head in field.heads:
        assert f"\r\nhost: {field.victim_at}".encode() in head.lower()


FIELDS = (
    (b":method", b"GET"),
    (b":scheme", b"https"),
    (b":authority", b"{victim}"),
    (b":path", b"/v1/models"),
)


def fields(*more: tuple[bytes, bytes], **pseudo: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """A head of HTTP/2 with some of its pseudo-headers replaced."""
    replaced = {b":" + name.encode(): value for name, value in pseudo.items()}
    return (*((name, replaced.get(name, value)) for name, value in FIELDS), *more)


OF_HTTP2 = [
    Case("as it should be", PASSES, fields=FIELDS),
    Case(":authority of a stranger", REFUSED, fields=fields(authority=b"{stranger}")),
    Case("Host of a stranger beside :authority", REFUSED, fields=fields((b"host", b"{stranger}"))),
    Case("two :authority", REFUSED, fields=(*FIELDS, (b":authority", b"{stranger}"))),
    Case(
        "user information in :authority",
        REFUSED,
        fields=fields(authority=b"stranger.test@{victim}"),
    ),
    Case(":authority without the port", REFUSED, fields=fields(authority=b"victim.test")),
    Case("a :scheme of plain HTTP", PASSES, fields=fields(scheme=b"http")),
    Case("an absolute :path", REFUSED, fields=fields(path=b"https://{stranger}/v1/models")),
    Case("a stranger behind it all", KEYLESS, connect=b"{stranger}", fields=FIELDS),
]


@table(OF_HTTP2, PROXY)
def test_a_claim_of_http2(field: Field, case: Case, setting: Setting) -> None:
    """The same for the pseudo-headers of HTTP/2."""
    judge(field, case, setting)


def test_the_second_request_of_a_connection_names_another_host(field: Field, mode: Mode) -> None:
    """One tunnel leads to one host: the second is refused, the stranger hears nothing."""
    sent = get("{victim}") + get("{stranger}")
    attempt(field, Case("", HARMLESS, sent), Setting(mode))
    assert len(field.victim.heads) == 1
    assert not field.stranger.connections


def test_plain_http_to_the_host_of_a_key(field: Field, mode: Mode) -> None:
    """An absolute target without a CONNECT, to where the key is at home: no TLS, no key."""
    with field.with_listener(Listener(), bind=VICTIM) as plain:
        target = f"http://{VICTIM}:{plain.port}/v1/models"
        sent = field.fill(f"GET {target} HTTP/1.1\r\nHost: {VICTIM}:{plain.port}\r\n".encode())
        case = Case("", REFUSED, sent + b"Authorization: Bearer {key}\r\n\r\n", b"x:1", raw=True)
        with open_at(field.doors[mode].ports[0]) as agent:
            field.answers.append(said_and_heard(agent, field.fill(case.sent)))
        assert plain.received == b""


def test_a_redirect_is_not_followed_and_takes_no_key_along(
    field: Field, mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The agent gets it as it is; what it asks a stranger for then has no key."""
    extra = f"Location: https://{field.stranger_at}/v1/models\r\n"
    moved = Listener(field.certificates, status="307 Temporary Redirect", extra=extra)
    with field.with_listener(moved, bind=VICTIM):
        monkeypatch.setattr(field, "victim", moved)
        at = f"{VICTIM}:{moved.port}"
        answer = attempt(field, Case("", HARMLESS, get(at), at.encode()), Setting(mode))
        assert answer.startswith(b"HTTP/1.1 307")
        assert not field.stranger.connections
        follow = Case("", HARMLESS, get("{stranger}"), b"{stranger}", STRANGER)
        attempt(field, follow, Setting(mode))
        assert CANARY.encode() not in field.stranger.received
        assert field.leaks() == []


def certificates(folder: Path, kind: str, field: Field) -> Certificates:
    """What an impostor of the victim shows."""
    if kind == "of an unknown authority":
        return Certificates.create(folder, VICTIM)
    day = dt.timedelta(days=1)
    now = dt.datetime.now(dt.UTC)
    if kind == "signed by itself":
        own = trustme.CA()
        leaf, key = own.cert_pem.bytes(), own.private_key_pem.bytes()
    else:
        name = STRANGER if kind == "of another name" else VICTIM
        until = now - day if kind == "that has expired" else None
        issued = field.authority.issue_cert(name, not_after=until, not_before=now - 9 * day)
        leaf = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        key = issued.private_key_pem.bytes()
    folder.mkdir()
    made = Certificates(field.certificates.ca, folder / "leaf.pem", folder / "key.pem")
    made.chain.write_bytes(leaf)
    made.key.write_bytes(key)
    return made


@pytest.mark.parametrize(
    "kind",
    ["of another name", "that has expired", "signed by itself", "of an unknown authority"],
)
def test_a_certificate(field: Field, mode: Mode, kind: str, tmp_path: Path) -> None:
    """An upstream that cannot be verified receives nothing, and its token is not redeemed."""
    impostor = Listener(certificates(tmp_path / "tls", kind, field))
    with field.with_listener(impostor, bind=VICTIM):
        at = f"{VICTIM}:{impostor.port}"
        answer = attempt(field, Case("", REFUSED, get(at), at.encode()), Setting(mode))
        assert answer.startswith(b"HTTP/1.1 502")
        assert impostor.connections == 1
        assert impostor.received == b""
    (row,) = [r for r in field.decisions() if r["body"]["authority"] == at]
    assert field.outcome(row["decision_id"])["redeemed"] is False


ADDRESSES = [
    *("127.0.0.1", "127.0.0.2", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1"),
    *("0177.0.0.1", "017700000001", "127.0.0.1.", "0", "0.0.0.0", "\u2460\u2461\u2466.0.0.1"),
    *("[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[0:0::0:1]"),
    *("[64:ff9b::7f00:1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[2001:0:7f00:1::]"),
    *("[fe80::1]", "[fe80::1%25lo]", "[fc00::1]", "[fec0::1]", "[ff02::1]", "[100::1]"),
    *("10.0.0.1", "172.16.0.1", "192.168.0.1", "169.254.169.254", "169.254.170.2", "2852039166"),
    *("0xa9fea9fe", "[::ffff:a9fe:a9fe]", "[fd00:ec2::254]", "100.64.0.1", "100.100.100.200"),
    *("192.0.0.192", "192.0.2.1", "198.18.0.1", "192.88.99.1", "224.0.0.1", "240.0.0.1"),
    *("255.255.255.255", "localhost", "LOCALHOST.", "loopback.test", "unspecified.test"),
    *("private.test", "metadata.test", "shared-space.test", "six.test", "mapped.test"),
    *("translated.test", "tunnel.test", "local.test", "unique-local.test", "one-of-two.test"),
]


@pytest.fixture(scope="module")
def strict(_field: Field) -> object:
    """A front door that may dial no private address, and denies nothing else."""
    door = _field.door(Mode.OBSERVE, reverse=())
    at = door.command.index("interlock_allow_private=127.0.0.1,localhost")
    del door.command[at - 1 : at + 1]
    with door:
        yield door


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_inside(
    field: Field, strict: object, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However it is spelled: nobody on this machine or in its networks is dialled."""
    monkeypatch.setattr(field, "doors", {Mode.OBSERVE: strict})
    at = f"{address}:{{V}}"
    answer = attempt(field, Case("", REFUSED, get(at), at.encode(), None), Setting(Mode.OBSERVE))
    assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 502")), answer
    assert not answer.startswith(b"HTTP/1.1 502") or b"refused to dial" in answer, answer
    assert not field.victim.connections


def test_a_name_that_changes_between_check_and_dial(field: Field, mode: Mode) -> None:
    """It is looked up once; what was checked is what is dialled."""
    port = field.victim.port
    with field.with_listener(Listener(field.certificates, "127.0.0.2", port)) as inside:
        at = f"rebind.test:{port}"
        for _ in range(2):
            attempt(field, Case("", KEYLESS, get(at), at.encode(), "rebind.test"), Setting(mode))
        assert not inside.connections


OWN = [
    Case("the proxy's own port", KEYLESS, get("127.0.0.1:{own}"), b"127.0.0.1:{own}", None),
    Case("the proxy's own port by a name", KEYLESS, get("own.test:{own}"), b"own.test:{own}", None),
    Case("mitm.it", KEYLESS, get("mitm.it"), b"mitm.it:80", raw=True),
]


@pytest.mark.parametrize("case", OWN, ids=str)
@pytest.mark.parametrize("listener", [0, 1], ids=["the proxy", "the base URL"])
def test_our_own_ports(field: Field, mode: Mode, case: Case, listener: int) -> None:
    """Even where loopback is allowed, the front door does not call itself."""
    own = str(field.doors[mode].ports[listener]).encode()
    sent, target = case.sent.replace(b"{own}", own), case.connect.replace(b"{own}", own)
    before = len(field.decisions())
    answer = attempt(field, Case("", HARMLESS, sent, target, None, case.raw), Setting(mode))
    assert not answer.startswith(b"HTTP/1.1 200"), answer
    assert len(field.decisions()) <= before + 1
    assert not field.reached


def test_an_address_of_this_machine_is_known_as_one() -> None:
    """Whoever listens on it may trust who is inside; a public one is refused like a private one."""
    assert is_own(ipaddress.ip_address("127.0.0.1"))
    assert not is_own(ipaddress.ip_address("192.0.2.1"))
    assert not is_own(ipaddress.ip_address("2001:db8::1"))
