"""Many spellings of one host or path, over real sockets: what is judged is what goes out."""

import json

import pytest

from interlock.model import Mode
from tests.door.raw import exchanged, tunnelled
from tests.door.world import TRUSTED, World

PATHS = [
    pytest.param("/v1/x/../models", id="a dot segment"),
    pytest.param("/v1/./models", id="a segment of one dot"),
    pytest.param("/v1/x/%2e%2e/models", id="encoded dots"),
    pytest.param("/v1/x/.%2E/models", id="one encoded dot"),
    pytest.param("/v1/x/%252e%252e/models", id="double encoding"),
    pytest.param("/v1//models", id="an empty segment"),
    pytest.param("//v1/models", id="an empty first segment"),
    pytest.param("/v1/models;x=1", id="a path parameter"),
    pytest.param("/v1/models%3bx=1", id="an encoded path parameter"),
    pytest.param("/v1\\models", id="a backslash"),
    pytest.param("/v1%5cmodels", id="an encoded backslash"),
    pytest.param("/v1%2fmodels", id="an encoded slash"),
    pytest.param("/v1/models%00", id="a NUL"),
    pytest.param("/v1/models%0d%0aX:%20y", id="an encoded line break"),
    pytest.param("/v1/x/%c0%ae%c0%ae/models", id="overlong dots"),
    pytest.param("/v1%c0%afmodels", id="an overlong slash"),
    pytest.param("/v1/x/%ef%bc%8e%ef%bc%8e/models", id="full-width dots"),
    pytest.param("/v1%e2%88%95models", id="a division slash"),
    pytest.param("/v1/models%", id="half an escape"),
    pytest.param("/v1/models%u002f", id="an escape of another kind"),
    pytest.param("/v1/%6dodels", id="a letter in disguise"),
    pytest.param("/v1/models#x", id="a fragment"),
    pytest.param("/v1/models/" + "a" * 9000, id="nine thousand characters"),
]
HOSTS = [
    pytest.param("LOCALHOST", True, id="capitals"),
    pytest.param("localhost.", True, id="a trailing dot"),
    pytest.param("localhost..", False, id="two trailing dots"),
    pytest.param("\uff4c\uff4fcalhost", False, id="full-width letters, which no header may hold"),
    pytest.param("2130706433", False, id="a decimal address"),
    pytest.param("0x7f000001", False, id="a hexadecimal address"),
    pytest.param("0177.0.0.1", False, id="an octal address"),
    pytest.param("127.1", False, id="a short address"),
    pytest.param("127.0.0.1.evil.example", False, id="an address that is none"),
]


@pytest.mark.parametrize("path", PATHS)
def test_a_path_with_two_readings_takes_no_key_anywhere(world: World, path: str) -> None:
    """Refused even by the mode that denies nothing, as the host has a key; nothing reaches it."""
    proof = f"Host: localhost\r\nAuthorization: Bearer {world.keys[TRUSTED]}\r\n\r\n"
    door = world.doors[Mode.OBSERVE]
    got = exchanged(door.ports[1], door.ca, f"GET {path} HTTP/1.1\r\n{proof}".encode())
    assert got.startswith((b"HTTP/1.1 403", b"HTTP/1.1 400"))
    assert world.received() == []


def test_a_path_in_another_spelling_goes_out_in_the_normal_one(world: World, mode: Mode) -> None:
    """Escapes in upper case, in the ledger as on the wire; the query is left alone."""
    with world.client(mode) as client:
        answer = client.get(f"{world.openai}/echo/%c3%a9?q=%c3%a9")
    if mode is Mode.OBSERVE:
        (received,) = world.received()
        assert received.path == "/echo/%C3%A9?q=%c3%a9"
    (row, *_) = world.events(answer.headers["interlock-decision-id"])
    assert row["body"]["path"] == "/echo/%C3%A9"


@pytest.mark.parametrize(("host", "same"), HOSTS)
def test_a_host_has_one_spelling(world: World, host: str, same: bool) -> None:
    """Another one is the same host with its policies and key, or gets no key at all."""
    port = world.upstream.port
    got = tunnelled(world, Mode.OBSERVE, f"{host}:{port}", host=f"{host}:{port}")
    assert all(b"REAL" not in value for one in world.received() for _, value in one.headers) or same
    if same:
        assert got.startswith(b"HTTP/1.1 200")
        (received,) = world.received()
        assert received.values(b"host") == [f"localhost:{port}".encode()]
    else:
        assert not got.startswith(b"HTTP/1.1 200")
        assert world.received() == []


BODIES = [
    pytest.param(b'{"model":"a","model":"b"}', {}, id="a key twice"),
    pytest.param(b'{"model":"a","m\\u006fdel":"b"}', {}, id="a key twice, once escaped"),
    pytest.param(b"\xef\xbb\xbf{}", {}, id="a byte order mark"),
    pytest.param('{"model":"a"}'.encode("utf-16"), {}, id="UTF-16"),
    pytest.param('{"model":"a"}'.encode("utf-32-le"), {}, id="UTF-32 without a mark"),
    pytest.param(b'{"temperature":NaN}', {}, id="NaN"),
    pytest.param(b'{"temperature":-Infinity}', {}, id="minus infinity"),
    pytest.param(b'{"model":"a"} {"model":"b"}', {}, id="trailing data"),
    pytest.param(b'{"a":' * 100_000, {}, id="100,000 deep"),
    pytest.param(b'{"a":"' + b"x" * (20 << 20) + b'"}', {}, id="20 MB"),
    pytest.param(b'{"a":[' + b"1," * 600_000 + b"1]}", {}, id="600,000 values"),
    pytest.param(b"model=a", {"content-type": "application/x-www-form-urlencoded"}, id="a form"),
    pytest.param(
        b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\na\r\n--x--\r\n',
        {"content-type": "multipart/form-data; boundary=x"},
        id="multipart",
    ),
    pytest.param(b'{"model":"a"}', {"content-type": "text/plain"}, id="text that is JSON"),
    pytest.param(
        b'{"model":"a"}', {"content-type": "application/json; charset=utf-7"}, id="a charset"
    ),
    pytest.param(b'{"model":"a"}', {"content-encoding": "gzip"}, id="a content coding"),
]


@pytest.mark.parametrize(("body", "headers"), BODIES)
def test_a_body_with_two_readings_takes_no_key_anywhere(
    world: World, body: bytes, headers: dict[str, str]
) -> None:
    """What policy read must be what the provider reads; the ledger says what was wrong."""
    with world.client(Mode.OBSERVE) as client:
        answer = client.post(
            f"{world.openai}/v1/chat/completions",
            content=body,
            headers={"content-type": "application/json"} | headers,
        )
    assert answer.status_code == 403
    assert "ambiguous_body" in json.dumps(answer.json())
    assert world.events(answer.headers["interlock-decision-id"])
    assert world.received() == []
