"""However a call ends, its outcome says so in one word, with the time of each step."""

import contextlib
import hashlib
import json
import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events
import httpx
import pytest
from hyperframe.frame import DataFrame

from interlock.demo.front_door import FrontDoor
from interlock.demo.ports import free_ports
from interlock.model import Mode, Trust
from tests.door.raw import Scripted
from tests.door.world import CHAT, TRUSTED, World

TICKS = "/ticks?count=1000&interval=20"
SABOTEUR = Path(__file__).parent / "saboteurs" / "kill_call.py"
CANCEL = h2.errors.ErrorCodes.CANCEL
LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n"

type Farewell = Callable[[h2.connection.H2Connection], None]


def nonsense(talk: h2.connection.H2Connection) -> None:
    """Say data on a stream that nobody opened."""
    talk._prepare_for_sending([DataFrame(5, b"x")])


def outcome_at(world: World, authority: str) -> dict[str, Any]:
    """The outcome of the one call to an authority."""
    (row,) = [r for r in world.decisions() if r["body"]["authority"] == authority]
    return world.outcome(row["decision_id"])


def decision_in(answer: httpx.Response) -> str:
    """The id of the decision that an answer names."""
    return answer.headers["interlock-decision-id"]


def test_an_answered_call_says_when_each_step_was_over(world: World) -> None:
    """In microseconds since the request was complete, each after the one before."""
    with world.client(Mode.OBSERVE) as client:
        answer = client.post(f"{world.openai}/v1/chat/completions", json=CHAT)
    outcome = world.outcome(decision_in(answer))
    steps = ("identify", "decide", "fetch", "record", "redeem", "first_byte", "last_byte", "end")
    times = [outcome["micros"][step] for step in steps]
    assert times == sorted(times)
    assert 0 <= times[0] < times[-1] < 20_000_000
    assert (outcome["ended"], outcome["model"], outcome["error"]) == ("answered", "gpt-4o", "")


def test_what_was_judged_was_dialled(world: World) -> None:
    """The claims, the one authority, the address and the certificate are of one place."""
    with world.client(Mode.OBSERVE) as client:
        answer = client.post(f"{world.openai}/v1/chat/completions", json=CHAT)
    outcome = world.outcome(decision_in(answer))
    decision = world.events(decision_in(answer))[0]["body"]
    here = f"localhost:{world.upstream.port}"
    claimed = (decision["connect"], decision["sni"], decision["host"])
    assert (decision["authority"], claimed) == (here, (here, "localhost", here))
    assert outcome["dialled"] == f"127.0.0.1:{world.upstream.port}"
    pem = ssl.get_server_certificate(("127.0.0.1", world.upstream.port))
    fingerprint = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
    assert (outcome["certificate"], outcome["tls"]) == (fingerprint, "TLSv1.3")


def test_the_outcome_names_the_codings_of_what_was_scrubbed(world: World) -> None:
    """The names of the codings and how many places, never what stood there."""
    with world.client(Mode.OBSERVE) as client:
        plain = world.outcome(decision_in(client.get(f"{world.openai}/echo")))
        nothing = world.outcome(decision_in(client.get(f"{world.openai}/v1/models")))
    assert (plain["scrubbed"] > 0, plain["scrubbed_forms"]) == (True, ["plain"])
    assert (nothing["scrubbed"], nothing["scrubbed_forms"]) == (0, [])


@pytest.mark.parametrize(
    ("answer", "ended"),
    [
        pytest.param(LENGTH + b"\r\nhalf of it", "upstream_gone", id="half an answer"),
        pytest.param(b"", "upstream_gone", id="no answer"),
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", "upstream_gone", id="no HTTP"),
        pytest.param(LENGTH + b"Content-Encoding: made-up\r\n\r\n", "refused", id="unreadable"),
        pytest.param(b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "refused", id="an upgrade"),
    ],
)
def test_what_an_upstream_did_shows(world: World, answer: bytes, ended: str) -> None:
    """An answer that breaks off is the upstream's doing; one that we do not pass on is ours."""
    with Scripted(world, answer) as upstream, world.client(Mode.OBSERVE) as client:
        world.keep("scripted-key", "sk-scripted-1234567890", upstream.port)
        with contextlib.suppress(httpx.HTTPError):
            client.get(f"https://{upstream.authority}/v1/models")
        outcome = outcome_at(world, upstream.authority)
    assert (outcome["ended"], bool(outcome["error"])) == (ended, True)


def test_an_upstream_that_is_not_there_shows(world: World) -> None:
    """Nobody listens: no byte left, and the outcome says whose fault it was."""
    (nobody,) = free_ports(1)
    with world.client(Mode.OBSERVE) as client:
        answer = client.get(f"https://localhost:{nobody}/v1/models")
    assert world.outcome(decision_in(answer))["ended"] == "upstream_gone"


def test_a_dial_that_we_refuse_shows(world: World) -> None:
    """The address is not public, so nothing is dialled."""
    with world.client(Mode.OBSERVE) as client:
        answer = client.get(f"https://127.0.0.2:{world.upstream.port}/echo")
    outcome = world.outcome(decision_in(answer))
    assert (outcome["ended"], outcome["dialled"]) == ("refused", "")
    assert world.received() == []


def test_an_agent_that_goes_away_shows(world: World) -> None:
    """It closes its connection in the middle of an answer."""
    with (
        world.client(Mode.OBSERVE) as client,
        client.stream("GET", f"{world.openai}{TICKS}") as stream,
    ):
        next(stream.iter_raw())
    assert world.outcome(decision_in(stream))["ended"] == "agent_gone"


def test_an_agent_that_goes_away_before_its_upstream_is_reached_shows(world: World) -> None:
    """It was the agent that ended the call, and not the upstream that is slow."""
    name = world.join()
    with socket.create_server(("127.0.0.1", 0)) as slow:  # which says nothing
        place = f"https://localhost:{slow.getsockname()[1]}/echo"
        with world.client(Mode.OBSERVE, name) as client, pytest.raises(httpx.ReadTimeout):
            client.get(place, timeout=2)
        (row,) = [row for row in world.decisions() if row["agent"] == name]
        assert world.outcome(row["decision_id"])["ended"] == "agent_gone"


def test_an_agent_that_cancels_one_call_shows(world: World) -> None:
    """It resets the stream (RFC 9113, 6.4) and stays connected."""
    trust = world.trust(Mode.OBSERVE)
    trust.set_alpn_protocols(["h2"])
    port = world.doors[Mode.OBSERVE].ports[1]
    with (
        socket.create_connection(("127.0.0.1", port), 10) as plain,
        trust.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
    ):
        key, farewell = world.keys[TRUSTED], h2.connection.H2Connection.reset_stream
        decision_id = left(secure, key, f"127.0.0.1:{port}", lambda talk: farewell(talk, 1, CANCEL))
        outcome = world.outcome(decision_id)
    assert (outcome["ended"], outcome["status"]) == ("cancelled", 200)


@pytest.mark.parametrize(
    "farewell",
    [
        pytest.param(lambda _: None, id="without a word"),
        pytest.param(h2.connection.H2Connection.close_connection, id="with a farewell"),
        pytest.param(nonsense, id="with nonsense"),
    ],
)
def test_an_agent_of_http2_that_goes_away_shows(world: World, farewell: Farewell) -> None:
    """However it does: its upstream has done nothing."""
    trust = world.trust(Mode.OBSERVE)
    trust.set_alpn_protocols(["h2"])
    port = world.doors[Mode.OBSERVE].ports[1]
    with (
        socket.create_connection(("127.0.0.1", port), 10) as plain,
        trust.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
    ):
        decision_id = left(secure, world.keys[TRUSTED], f"127.0.0.1:{port}", farewell)
    assert world.outcome(decision_id)["ended"] == "agent_gone"


@pytest.mark.parametrize("mode", list(Mode), ids=str)
def test_a_call_that_is_taken_back_at_once_does_not_leave(world: World, mode: Mode) -> None:
    """Its reset comes with its end; and the next call on the connection is answered."""
    trust = world.trust(mode)
    trust.set_alpn_protocols(["h2"])
    port, name = world.doors[mode].ports[1], world.join()
    talk = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="ascii"))
    talk.initiate_connection()
    with (
        socket.create_connection(("127.0.0.1", port), 10) as plain,
        trust.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
    ):
        for stream, model in ((1, "taken-back"), (3, "gpt-4o")):
            head = {":method": "POST", ":scheme": "https", ":authority": f"127.0.0.1:{port}"}
            head |= {":path": "/v1/chat/completions", "authorization": f"Bearer {world.keys[name]}"}
            talk.send_headers(stream, [*head.items(), ("content-type", "application/json")])
            talk.send_data(stream, json.dumps(CHAT | {"model": model}).encode(), end_stream=True)
        talk.reset_stream(1, h2.errors.ErrorCodes.CANCEL)
        secure.sendall(talk.data_to_send())
        ended: list[int | None] = []
        while 3 not in ended:
            events = talk.receive_data(secure.recv(65536))
            ended += [e.stream_id for e in events if isinstance(e, h2.events.StreamEnded)]
    assert [json.loads(one.body)["model"] for one in world.received()] == ["gpt-4o"]
    decided = [row["body"]["model"] for row in world.decisions() if row["agent"] == name]
    assert decided == ["gpt-4o"]


def left(secure: ssl.SSLSocket, key: str, authority: str, farewell: Farewell) -> str:
    """Ask for a stream over HTTP/2, bid farewell at its first event, and answer its decision."""
    connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="ascii"))
    connection.initiate_connection()
    head = {":method": "GET", ":scheme": "https", ":authority": authority, ":path": TICKS}
    connection.send_headers(1, [*head.items(), ("authorization", f"Bearer {key}")], end_stream=True)
    headers: dict[str, str] = {}
    while True:
        secure.sendall(connection.data_to_send())
        for event in connection.receive_data(secure.recv(65536)):
            if isinstance(event, h2.events.ResponseReceived):
                headers = {str(name): str(value) for name, value in event.headers or ()}
            if isinstance(event, h2.events.DataReceived):
                farewell(connection)
                secure.sendall(connection.data_to_send())
                return headers["interlock-decision-id"]


@pytest.fixture(scope="module")
def _doomed(_world: World) -> Iterator[FrontDoor]:
    """A front door beside a person who kills calls; in the end it is killed itself."""
    with _world.reading(Mode.ENFORCE, "-s", str(SABOTEUR)) as door:
        yield door


@pytest.fixture
def doomed(world: World, _doomed: FrontDoor) -> FrontDoor:
    """The same, alive."""
    return world.revived(_doomed)


def client_of(world: World, door: FrontDoor, agent: str) -> httpx.Client:
    """A client of one agent at a door of this world."""
    proxy = door.proxy(agent, world.keys[agent])
    return httpx.Client(proxy=proxy, verify=world.trust(Mode.ENFORCE), trust_env=False, timeout=20)


def test_a_call_that_a_person_kills_shows(world: World, doomed: FrontDoor) -> None:
    """With the button of mitmweb, for example."""
    with client_of(world, doomed, TRUSTED) as client, pytest.raises(httpx.HTTPError):
        client.get(f"{world.openai}/bytes/10")
    killed = [r for r in world.decisions() if r["body"]["path"] == "/bytes/10"]
    assert world.outcome(killed[-1]["decision_id"])["ended"] == "killed"


def test_a_call_of_an_agent_that_is_cut_off_shows(world: World, doomed: FrontDoor) -> None:
    """We ended it, which is not the same as an agent that goes away."""
    name = world.join()
    with (
        client_of(world, doomed, name) as client,
        client.stream("GET", f"{world.openai}{TICKS}") as stream,
    ):
        world.change(lambda i: i.registry.set_trust(name, Trust.QUARANTINED))
        with pytest.raises(httpx.HTTPError):
            list(stream.iter_raw())
    assert world.outcome(decision_in(stream))["ended"] == "cut_off"


def test_a_call_of_a_front_door_that_is_killed_is_settled(world: World, doomed: FrontDoor) -> None:
    """Another one that runs notices; nobody can know more than that it left."""
    with (
        client_of(world, doomed, TRUSTED) as client,
        client.stream("GET", f"{world.openai}{TICKS}") as stream,
    ):
        next(stream.iter_raw())
        doomed.process.send_signal(signal.SIGKILL)
        doomed.process.wait()
    outcome = world.outcome(decision_in(stream), within_s=60)
    assert (outcome["ended"], outcome["status"]) == ("unknown", None)
