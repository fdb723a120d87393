"""Where exports go, on real sockets and files."""

import json
import re
import socket
import ssl
from pathlib import Path

import pytest
import trustme

from interlock.ledger.export import FORMATS, Destination, ExportError, Message
from interlock.ledger.export.address import open_destination, parse_destination
from tests.export.events import EVENTS
from tests.export.receivers import Collector, SyslogServer

# RFC 5424, 6: priority, version, time, host, application, process, message id, no data, text.
SYSLOG = re.compile(
    rb"<(\d{1,3})>1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z) [!-~]{1,255} interlock - "
    rb"([a-z_]{1,32}) - (CEF:0\|[^\n\r\0]*)"
)


def opened(to: str, name: str = "jsonl", ca: Path | None = None, **more: bool) -> Destination:
    """A destination by its spelling."""
    return open_destination(
        to, FORMATS[name](), goes_on=more.get("goes_on", True), headers={"X-Key": "k"}, ca=ca
    )


def messages(name: str = "jsonl", first: int = 0, last: int = len(EVENTS)) -> list[Message]:
    """Some of our events in a format."""
    return list(FORMATS[name]().messages(EVENTS[first:last]))


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


def server_context(authority: trustme.CA) -> ssl.SSLContext:
    """What a server of 127.0.0.1 shows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


def test_a_collector_gets_every_event(tmp_path: Path) -> None:
    """Over OTLP/HTTP, decoded by the official types, with the header that was given."""
    with Collector() as collector:
        destination = opened(collector.url, "otlp")
        destination.send(messages("otlp"))
        destination.close()
    assert collector.ids() == [event["id"] for event in EVENTS]
    assert collector.headers[0]["X-Key"] == "k"


@pytest.mark.parametrize(
    ("status", "rejects", "passing"),
    [
        pytest.param(503, 0, True, id="overloaded: try again"),
        pytest.param(429, 0, True, id="too fast: try again"),
        pytest.param(400, 0, False, id="not wanted: never again"),
        pytest.param(302, 0, False, id="a redirect is not followed"),
        pytest.param(200, 2, False, id="taken in part: not taken"),
    ],
)
def test_what_a_collector_does_not_take_is_not_acknowledged(
    status: int, rejects: int, passing: bool
) -> None:
    """The batch stays to be sent."""
    with Collector() as collector:
        collector.status, collector.rejects = status, rejects
        destination = opened(f"{collector.url}?token=t0ken", "otlp")
        with pytest.raises(ExportError) as caught:
            destination.send(messages("otlp"))
        destination.close()
    assert caught.value.passing is passing
    assert (" rejected 2 " if rejects else f" {status}") in str(caught.value)
    assert "t0ken" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["http", "syslog+tcp", "syslog+tls"])
def test_nobody_there_is_an_error(scheme: str) -> None:
    """One that may pass, which names the receiver."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(ExportError, match=f"127.0.0.1:{port}") as caught:
        opened(f"{scheme}://127.0.0.1:{port}").send(messages())
    assert caught.value.passing


@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
def test_syslog_is_framed_and_whole(tls: bool, tmp_path: Path, authority: trustme.CA) -> None:
    """Each message is one message of RFC 5424 for its receiver, hostile names or not."""
    ca = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca))
    with SyslogServer(server_context(authority) if tls else None) as server:
        to = f"syslog+{'tls' if tls else 'tcp'}://127.0.0.1:{server.port}"
        destination = opened(to, "cef", ca)
        destination.send(messages("cef"))
        destination.send(messages("cef", 0, 1))
        # What `send` returned from has been read to its end: nothing has to be waited for.
    assert len(server.messages) == len(EVENTS) + 1
    found = [SYSLOG.fullmatch(message) for message in server.messages]
    assert all(found)
    assert found[0]
    assert found[0].groups()[:3] == (
        b"109",
        b"2023-11-14T22:13:21.250000Z",
        b"decision",
    )


def test_syslog_over_udp() -> None:
    """A datagram a message."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(20)
        opened(f"syslog+udp://127.0.0.1:{receiver.getsockname()[1]}").send(messages("cef"))
        found = [SYSLOG.fullmatch(receiver.recv(65_536)) for _ in EVENTS]
    assert all(found)


def test_a_receiver_that_is_not_who_it_says_gets_nothing(authority: trustme.CA) -> None:
    """A certificate of an authority that is not trusted ends it."""
    with SyslogServer(server_context(authority)) as server, pytest.raises(ExportError):
        opened(f"syslog+tls://127.0.0.1:{server.port}", "cef").send(messages("cef"))
    assert server.messages == []


def test_a_file_is_gone_on_with(tmp_path: Path) -> None:
    """Appended to, for its owner alone; the header stands once."""
    path = tmp_path / "events.csv"
    for first, last in ((0, 2), (2, 4)):
        destination = opened(str(path), "csv")
        destination.begin({})
        destination.send(messages("csv", first, last))
        destination.close()
    lines = path.read_text().splitlines()
    assert lines == [FORMATS["csv"]().header, *(m.text for m in messages("csv", 0, 4))]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_that_exists_is_not_added_to_by_chance(tmp_path: Path) -> None:
    """Without a cursor nobody knows what it holds already."""
    path = tmp_path / "events.jsonl"
    path.write_text("something else\n")
    with pytest.raises(ExportError, match="exists"):
        opened(str(path), goes_on=False)
    assert path.read_text() == "something else\n"


def test_two_exports_do_not_write_one_file(tmp_path: Path) -> None:
    """They would cut each other's lines; when one is done the other may."""
    path = tmp_path / "events.jsonl"
    first = opened(str(path))
    with pytest.raises(ExportError, match="another export"):
        opened(str(path))
    first.close()
    opened(str(path)).close()


@pytest.mark.parametrize("cut", [1, 40, 100_000], ids=["begun", "torn", "whole"])
@pytest.mark.parametrize("name", ["jsonl", "csv"])
def test_what_a_killed_run_left_is_not_there_twice(tmp_path: Path, name: str, cut: int) -> None:
    """Written but not acknowledged, whole or in part: after the next run it stands there once."""
    path = tmp_path / "events"
    first = opened(str(path), name)
    first.begin({})
    mark = first.send(messages(name, 0, 2))
    size = path.stat().st_size
    first.send(messages(name, 2, 5))
    first.close()
    with path.open("r+b") as file:
        file.truncate(min(size + cut, path.stat().st_size))
    second = opened(str(path), name)
    second.begin(mark)
    second.send(messages(name, 2, 6))
    second.close()
    header = FORMATS[name]().header
    assert path.read_text().splitlines() == [
        *([header] if header else []),
        *(m.text for m in messages(name, 0, 6)),
    ]


def test_what_others_wrote_into_a_file_stays(tmp_path: Path) -> None:
    """Only our own unfinished batch is taken back, never somebody's line."""
    path = tmp_path / "events.jsonl"
    first = opened(str(path))
    first.begin({})
    mark = first.send(messages("jsonl", 0, 2))
    first.close()
    with path.open("a") as file:
        file.write('{"theirs": 1}\n{"unfinished')
    second = opened(str(path))
    second.begin(mark)
    second.send(messages("jsonl", 2, 4))
    second.close()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines == [*EVENTS[:2], {"theirs": 1}, *EVENTS[2:4]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("", "give", id="nothing"),
        pytest.param("ftp://host/x", "is not one of", id="another protocol"),
        pytest.param("https:///x", "needs a host", id="no host"),
        pytest.param("https://user:pw@host/", "use --header", id="a password in it"),
        pytest.param("syslog+tcp://host", "HOST:PORT", id="syslog without a port"),
        pytest.param("syslog+tcp://host:1/x", "HOST:PORT", id="syslog with a path"),
        pytest.param("syslog+tcp://host:99999", "range", id="a port that is none"),
    ],
)
def test_a_misspelt_destination_is_refused(text: str, said: str) -> None:
    """Before anything is opened."""
    with pytest.raises(ValueError, match=said):
        parse_destination(text)
