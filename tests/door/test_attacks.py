"""Attacks that once got through, each over a real socket; the floor for what is to come.

The agent and, where said, the upstream are hostile. Expected in both modes: no key where it must
not be, nothing unjudged upstream, and a record of what happened.
"""

import json
import socket
import ssl
import time
from collections.abc import Callable

import httpx
import pytest

from interlock.model import Declaration, Mode, Trust
from tests.door.patience import wait_for
from tests.door.raw import Scripted, bound, exchanged, tunnelled
from tests.door.world import CHAT, OPENAI_KEY, TRUSTED, World

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
# As long as the session of a test lasts: the head of its call has come by then.
SHORT_S = 2.0
CHUNKED = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"


def get(world: World, path: str = "/v1/models", *more: str, key: bool = True) -> bytes:
    """The head of a GET, with the agent's key where the provider's would be."""
    proof = [f"Authorization: Bearer {world.keys[TRUSTED]}"] if key else []
    lines = [f"GET {path} HTTP/1.1", "Host: localhost", *proof, *more, "", ""]
    return "\r\n".join(lines).encode()


def uploaded(world: World, mode: Mode, key: str, meanwhile: Callable[[], object]) -> None:
    """Have something happen before the last byte of a call arrives."""
    body = json.dumps(CHAT).encode()
    door = world.doors[mode]
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
        f"Content-Type: application/json\r\nAuthorization: Bearer {key}\r\n\r\n"
    )
    trusts = ssl.create_default_context(cafile=door.ca)
    with (
        socket.create_connection(("127.0.0.1", door.ports[1]), 10) as plain,
        trusts.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
    ):
        secure.sendall(head.encode() + body[:-1])
        time.sleep(0.1)
        meanwhile()
        try:
            secure.sendall(body[-1:])
            secure.recv(4096)
        except OSError:
            pass


class TestAnAnswerThatIsNotHttp:
    """An upstream that gives the key back in a broken answer."""

    @pytest.mark.parametrize(
        "answer",
        [
            pytest.param(b"HTTP/1.1 200 OK\r\nX-Echo: Bearer {key}", id="a head cut off"),
            pytest.param(b"HTTP/1.1 {key}\r\n\r\n", id="a bad status line"),
            pytest.param(b"HTTP/1.1 200 OK\r\nno colon {key}\r\n\r\n", id="a bad header line"),
            pytest.param(
                b"HTTP/1.1 200 OK\r\nContent-Length: {key}\r\n\r\n", id="a bad content length"
            ),
            pytest.param(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{key}\r\n", id="a bad chunk"
            ),
            pytest.param(OK + b"more {key}", id="bytes after the answer"),
            pytest.param(b"HTTP/1.1 103 {key}\r\n\r\n" + OK, id="an interim answer"),
            pytest.param(b"HTTP/1.1 101 {key}\r\nUpgrade: x\r\n\r\n{key}", id="an upgrade"),
        ],
    )
    def test_shows_the_key_to_nobody(self, world: World, mode: Mode, answer: bytes) -> None:
        """Not to the agent, not in the log at full verbosity, not in the ledger."""
        with bound(world, answer) as upstream:
            got = tunnelled(world, mode, upstream.authority)
            log = world.doors[mode].log
        assert any(OPENAI_KEY.encode() in head for head in upstream.heads)
        rows = json.dumps(world.change(lambda i: i.ledger.tail(20)))
        for shown in (got.decode("latin-1"), log, rows):
            assert OPENAI_KEY not in shown

    @pytest.mark.parametrize(
        "head",
        [
            pytest.param(b"Content-Encoding: {key}", id="a content coding"),
            pytest.param(b"Transfer-Encoding: gzip, chunked", id="a transfer coding"),
        ],
    )
    def test_a_coding_that_cannot_be_read_is_refused(
        self, world: World, mode: Mode, head: bytes
    ) -> None:
        """We ask for identity; what comes otherwise could hide the key."""
        answer = b"HTTP/1.1 200 OK\r\n" + head + b"\r\nContent-Type: text/plain\r\n\r\n"
        with bound(world, answer) as upstream:
            got = tunnelled(world, mode, upstream.authority, "TE: gzip")
        assert got.startswith(b"HTTP/1.1 502")
        assert OPENAI_KEY[:40].encode() not in got
        (sent,) = upstream.heads
        assert b"gzip" not in sent.lower()

    def test_an_interim_answer_is_not_taken_for_the_next_one(
        self, world: World, mode: Mode
    ) -> None:
        """Two Expect headers once made an honest upstream's answer go to another caller."""
        first = get(world, "/echo", "Expect: 100-continue", "Expect: 100-continue")
        got = exchanged(
            world.doors[mode].ports[1], world.doors[mode].ca, first + get(world, "/echo", key=False)
        )
        assert OPENAI_KEY.encode() not in got
        assert not any(received.values(b"expect") for received in world.received())


class TestAnAnswerToSomebodyElse:
    """A bound host that kept the key and gives it to a call that took none along."""

    @pytest.mark.parametrize("agent", ["", TRUSTED], ids=["nobody", "a trusted agent"])
    def test_is_scrubbed_too(self, world: World, agent: str) -> None:
        """Whoever asks; the upstream gives back what another call brought."""
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(OPENAI_KEY)
        with bound(world, answer + OPENAI_KEY.encode()) as upstream:
            got = tunnelled(world, Mode.OBSERVE, upstream.authority, path="/stored", agent=agent)
        assert got.startswith(b"HTTP/1.1 200")
        assert OPENAI_KEY.encode() not in got


class TestARequestThatIsReadInTwoWays:
    """What policy judged is what the upstream gets."""

    def test_an_absolute_target_does_not_name_another_host(self, world: World, mode: Mode) -> None:
        """In base-URL mode the upstream gets the path alone."""
        with (
            bound(world, OK) as upstream,
            world.door(mode, reverse=(f"https://{upstream.authority}",)) as door,
        ):
            exchanged(door.ports[1], door.ca, get(world, "https://evil.example/v1/models"))
        for head in upstream.heads:
            assert head.startswith(b"GET /v1/models HTTP/1.1\r\n")
            assert b"evil" not in head

    @pytest.mark.parametrize(
        "body",
        [
            pytest.param({"model": "m" * 300}, id="a model name of 300 characters"),
            pytest.param({"model": "\ud800"}, id="half a character"),
            pytest.param({"max_tokens": 2**70}, id="a number beyond 64 bits"),
            pytest.param({"model": "a", "MODEL": "b"}, id="keys that differ in case"),
            pytest.param({"model": "a", "tools": [{"name": "\x1b[31m"}]}, id="a terminal escape"),
        ],
    )
    def test_a_name_that_no_policy_can_hold_is_refused_and_recorded(
        self, world: World, mode: Mode, body: dict[str, object]
    ) -> None:
        """403 with a decision in the ledger, not a failure without one."""
        with world.client(mode) as client:
            answer = client.post(
                f"{world.openai}/v1/chat/completions",
                content=json.dumps(CHAT | body),
                headers={"content-type": "application/json"},
            )
        assert answer.status_code == 403
        assert world.events(answer.headers["interlock-decision-id"])
        assert world.received() == []

    def test_another_spelling_of_a_key_slot_does_not_travel_along(
        self, world: World, mode: Mode
    ) -> None:
        """`x_api_key` is `X-Api-Key` to a gateway that speaks CGI."""
        with world.client(mode) as client:
            client.get(f"{world.openai}/v1/models", headers={"x_api_key": "smuggled"})
        (received,) = world.received()
        assert not any(b"smuggled" in value for _, value in received.headers)

    def test_another_spelling_of_a_length_does_not_travel_along(
        self, world: World, mode: Mode
    ) -> None:
        """Nor one of a coding: `Content_Length` is a length to a gateway that speaks CGI."""
        twisted = {"content_length": "3", "transfer_encoding": "chunked", "accept_encoding": "br"}
        with world.client(mode) as client:
            client.post(f"{world.openai}/v1/chat/completions", json=CHAT, headers=twisted)
        (received,) = world.received()
        names = [name.lower() for name, _ in received.headers]
        assert not {name.encode() for name in twisted} & set(names)
        assert names.count(b"content-length") == names.count(b"accept-encoding") == 1


class TestTheCaller:
    """Trust holds at the moment of the call, not when its first byte came."""

    @pytest.mark.parametrize("trust", [Trust.QUARANTINED, Trust.REVOKED], ids=str)
    def test_cut_off_during_an_upload(self, world: World, mode: Mode, trust: Trust) -> None:
        """The last byte of the body comes after the agent was cut off: no key."""
        name = world.join("slow")
        uploaded(
            world,
            mode,
            world.keys[name],
            lambda: world.change(lambda i: i.registry.set_trust(name, trust)),
        )
        assert not any(r.credential for r in world.received())

    def test_a_session_that_ends_during_an_upload(self, world: World, mode: Mode) -> None:
        """By the time that it had, so that nothing in the store changes: no key."""
        name, now = world.join("short"), time.time()
        _, token = world.change(
            lambda i: i.sessions.start(name, Declaration(), ttl=SHORT_S, now=now)
        )
        uploaded(world, mode, token, lambda: wait_for(lambda: time.time() > now + SHORT_S))
        assert not any(r.credential for r in world.received())

    def test_an_agent_key_behind_a_tab_is_still_taken_off(self, world: World) -> None:
        """Our key is nobody else's business, however it is spelled."""
        door = world.doors[Mode.OBSERVE]
        line = f"Authorization: Bearer\t{world.keys[TRUSTED]}"
        exchanged(door.ports[1], door.ca, get(world, "/echo", line, key=False))
        for received in world.received():
            assert world.keys[TRUSTED].encode() not in received.credential


class TestEveryCallHasAnEnd:
    """Whoever goes away, the ledger says what became of the call."""

    def test_the_agent_goes_away_while_we_dial(self, world: World, mode: Mode) -> None:
        """A dial that never completes, and an agent that does not wait for it."""
        with socket.create_server(("127.0.0.1", 0), backlog=1) as silent:
            port = silent.getsockname()[1]
            url = f"https://localhost:{port}/v1/models"
            with world.client(Mode.OBSERVE) as client, pytest.raises(httpx.TimeoutException):
                client.get(url, timeout=1)
        rows = [r for r in world.decisions() if r["body"]["authority"] == f"localhost:{port}"]
        assert [world.outcome(row["decision_id"])["status"] for row in rows] == [None]

    def test_the_front_door_stops_in_the_middle(self, world: World, mode: Mode) -> None:
        """A stream that runs at SIGTERM has its outcome."""
        with world.reading(mode) as door:
            proxy = door.proxy(TRUSTED, world.keys[TRUSTED])
            with (
                httpx.Client(
                    proxy=proxy, verify=world.trust(mode), trust_env=False, timeout=20
                ) as client,
                client.stream("GET", f"{world.openai}/ticks?count=500&interval=20") as stream,
            ):
                events = stream.iter_raw()  # held, because httpx hangs up when it is dropped
                next(events)
                door.process.terminate()
                door.process.wait(30)
            decision_id = stream.headers["interlock-decision-id"]
        assert world.outcome(decision_id)["ended"] == "stopped"

    def test_a_head_without_end_is_cut_off(self, world: World, mode: Mode) -> None:
        """A request head may be 256 KiB; one that goes on costs its connection."""
        door = world.doors[mode]
        got = exchanged(door.ports[1], door.ca, b"GET / HTTP/1.1\r\nX: " + b"a" * (256 << 10))
        assert got.startswith(b"HTTP/1.1 431")
        assert b"interlock_header_bytes" in got

    @pytest.mark.parametrize(
        "begun",
        [
            pytest.param(CHUNKED + b"5;x=", id="the line of a chunk"),
            pytest.param(CHUNKED + b"0\r\n", id="trailers"),
        ],
    )
    def test_framing_without_end_costs_its_connection(
        self, world: World, mode: Mode, begun: bytes
    ) -> None:
        """Nothing of it is part of a body, whose limit would not count it."""
        door, trust = world.doors[mode], world.trust(mode)
        trust.check_hostname = False
        with (
            socket.create_connection(("127.0.0.1", door.ports[1]), 10) as plain,
            trust.wrap_socket(plain) as agent,
        ):
            agent.settimeout(20)
            agent.sendall(begun)
            with pytest.raises(OSError, match=r"(?i)reset|broken|EOF|closed"):
                agent.sendall(b"x: " + b"a" * (64 << 20))
        assert world.received() == []

    @pytest.mark.parametrize("rest", [b"5;x=", b"0\r\nX: "], ids=["a chunk", "trailers"])
    def test_an_answer_whose_framing_has_no_end_is_given_up(
        self, world: World, mode: Mode, rest: bytes
    ) -> None:
        """An upstream cannot fill our memory with that either."""
        begun = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"
        door = world.doors[mode]
        before = door.log.count("interlock_header_bytes")
        with bound(world, begun + rest + b"a" * (1 << 20)) as upstream:
            got = tunnelled(world, mode, upstream.authority)
        assert not got.endswith(b"0\r\n\r\n")
        wait_for(lambda: door.log.count("interlock_header_bytes") > before)

    def test_an_answer_whose_head_has_no_end_is_given_up(self, world: World, mode: Mode) -> None:
        """An upstream cannot fill our memory with it either."""
        answer = b"HTTP/1.1 200 OK\r\nX: {key}" + b"a" * (4 << 20)
        with bound(world, answer) as upstream:
            got = tunnelled(world, mode, upstream.authority)
        assert got.startswith(b"HTTP/1.1 502")
        assert OPENAI_KEY.encode() not in got
        wait_for(lambda: "interlock_header_bytes" in world.doors[mode].log)

    def test_a_trailer_does_not_leave_the_agent_hanging(self, world: World) -> None:
        """An answer with trailers ends, one way or the other, and is recorded."""
        answer = (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"2\r\nok\r\n0\r\nX-Echo: {key}\r\n\r\n"
        )
        with bound(world, answer) as upstream:
            before = len(world.decisions())
            got = tunnelled(world, Mode.OBSERVE, upstream.authority)
        assert OPENAI_KEY.encode() not in got
        (decision,) = world.decisions()[before:]
        assert world.outcome(decision["decision_id"])


def test_a_method_leaves_as_it_was_judged(world: World) -> None:
    """Not as the agent spelled it, where no denial binds: servers tell cases apart."""
    with Scripted(world, OK) as upstream:
        got = tunnelled(world, Mode.OBSERVE, upstream.authority, method="get")
    assert got.startswith(b"HTTP/1.1 200")
    assert [head.split(b" ")[0] for head in upstream.heads] == [b"GET"]


def test_a_mismatch_in_a_tunnel_shows_in_the_ledger(world: World, mode: Mode) -> None:
    """The row names what the agent claimed beside what was judged."""
    host = f"localhost:{world.upstream.port}"
    tunnelled(world, mode, host, sni="localhost", host="evil.test")
    row = world.decisions()[-1]["body"]
    assert (row["authority"], row["host"]) == (host, "evil.test")
