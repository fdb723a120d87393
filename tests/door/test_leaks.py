"""Wherever mitmproxy shows or keeps what passed, it shows tokens and stars, never a key (I4)."""

import asyncio
import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from tornado.websocket import websocket_connect

from broker import forms_of
from interlock.demo.front_door import FrontDoor
from interlock.demo.ports import free_ports
from interlock.model import Mode
from tests.door.world import (
    ANTHROPIC_KEY,
    CHAT,
    MESSAGE,
    OPENAI_KEY,
    TRUSTED,
    UNVERIFIED,
    WRONG_KEY,
    World,
)

PASSWORD = "open-sesame"
XSRF = "ab" * 16  # the page sends what it finds in its cookie; any value will do
TOKEN = b"v4.public."
STARS = b"*" * min(len(OPENAI_KEY), len(ANTHROPIC_KEY))


@dataclass
class Evidence:
    """Everything that one front door showed or wrote, by the place where it did."""

    decisions: dict[str, str] = field(default_factory=dict)
    places: dict[str, bytes] = field(default_factory=dict)
    flows: list[dict[str, Any]] = field(default_factory=list)
    replayed: int = 0

    def take(self, place: str, content: bytes) -> None:
        """Add to what a place showed."""
        self.places[place] = self.places.get(place, b"") + content


def leaks(world: World, content: bytes) -> list[str]:
    """The names of all keys that stand in `content`, in any spelling that we know."""
    hidden = {"openai": OPENAI_KEY, "anthropic": ANTHROPIC_KEY, "wrong": WRONG_KEY, **world.keys}
    return [
        name
        for name, key in hidden.items()
        if any(form in content for form in forms_of(key.encode()))
    ]


def call_all(world: World, door: FrontDoor, evidence: Evidence) -> None:
    """Make every kind of call, each as a trusted, an unverified and an impostor's."""
    trust = ssl.create_default_context(cafile=door.ca)
    known = [(name, world.keys[name]) for name in (TRUSTED, UNVERIFIED)]
    for name, key in [*known, ("impostor", WRONG_KEY)]:
        whole = {"verify": trust, "trust_env": False, "timeout": 20}
        with httpx.Client(proxy=door.proxy(name, key), **whole) as client:
            _call(client, world.openai, world.anthropic, evidence)
        own = {"authorization": f"Bearer {key}"}
        bases = [f"https://127.0.0.1:{port}" for port in door.ports[1:]]
        with httpx.Client(headers=own, **whole) as client:
            _call(client, *bases, evidence)
        with httpx.Client(headers={"x-api-key": key}, **whole) as client:
            _call(client, *bases, evidence)


def _call(client: httpx.Client, openai: str, anthropic: str, evidence: Evidence) -> None:
    for method, url, body in (
        ("POST", f"{openai}/v1/chat/completions", CHAT),
        ("POST", f"{openai}/v1/chat/completions", CHAT | {"stream": True}),
        ("POST", f"{anthropic}/v1/messages", MESSAGE),
        ("POST", f"{anthropic}/v1/messages", MESSAGE | {"stream": True}),
        ("GET", f"{openai}/echo", None),
        ("GET", f"{anthropic}/echo", None),
        ("GET", f"{openai}/stream-echo?chunk=3", None),
        ("GET", f"{anthropic}/ticks?count=2&interval=1", None),
        ("GET", f"{openai}/status/500", None),
    ):
        with suppress(httpx.ProxyError):
            answer = client.request(method, url, json=body)
            evidence.take("the agent", str(answer.headers).encode() + answer.content)
            if decision_id := answer.headers.get("interlock-decision-id"):
                evidence.decisions[decision_id] = answer.headers["interlock-decision"]


class Web:
    """The API behind mitmweb's page, as a person who logged in uses it."""

    def __init__(self, port: int) -> None:
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{port}",
            headers={"Authorization": f"Bearer {PASSWORD}"},
            cookies={"_mitmproxy_xsrf": XSRF},
            trust_env=False,
            timeout=20,
        )

    def __enter__(self) -> Self:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with suppress(httpx.TransportError):
                self.client.get("/").raise_for_status()
                return self
            time.sleep(0.1)
        raise RuntimeError("mitmweb shows no page")

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def collect(self, evidence: Evidence) -> None:
        """Read every page of every flow."""
        flows = self._get("/flows")
        evidence.take("mitmweb /flows", flows)
        evidence.flows = evidence.flows or json.loads(flows)
        for flow in evidence.flows:
            for side in ("request", "response"):
                base = f"/flows/{flow['id']}/{side}"
                # The body of a stream was not kept, which mitmweb answers with an error page.
                content = self.client.get(f"{base}/content.data").content
                evidence.take("mitmweb contents", content)
                for view in ("auto", "raw", "json", "hex"):
                    page = self._get(f"{base}/content/{view}.json")
                    evidence.take("mitmweb contents", page)
        evidence.take("mitmweb /flows/dump", self._get("/flows/dump"))
        for page in ("/events", "/options", "/state"):
            evidence.take("mitmweb other pages", self._get(page))

    def replay(self, flow_id: str) -> None:
        """Press the button that sends a recorded request again."""
        url = f"/flows/{flow_id}/replay"
        self.client.post(url, headers={"X-XSRFToken": XSRF}).raise_for_status()

    def _get(self, path: str) -> bytes:
        answer = self.client.get(path)
        answer.raise_for_status()
        return answer.content


@contextmanager
def updates(port: int, evidence: Evidence) -> Iterator[None]:
    """Keep all that mitmweb pushes to an open page, from the first header of each flow on."""
    listening, stop = threading.Event(), threading.Event()

    async def listen() -> None:
        socket = await websocket_connect(f"ws://127.0.0.1:{port}/updates?token={PASSWORD}")
        listening.set()
        while not stop.is_set():
            with suppress(TimeoutError):
                message = await asyncio.wait_for(socket.read_message(), 0.2)
                evidence.take("mitmweb updates", str(message).encode() + b"\n")
        socket.close()

    thread = threading.Thread(target=lambda: asyncio.run(listen()), daemon=True)
    thread.start()
    assert listening.wait(30)
    try:
        yield
        time.sleep(0.3)
    finally:
        stop.set()
        thread.join(10)


@pytest.fixture(scope="module")
def web(_world: World) -> Evidence:
    """What mitmweb shows, in enforce mode, where trusted agents may read anything."""
    evidence = Evidence()
    (port,) = free_ports(1)
    options = ("web_open_browser=false", f"web_password={PASSWORD}", f"web_port={port}")
    words = [word for option in options for word in ("--set", option)]
    with _world.reading(Mode.ENFORCE, *words, program="mitmweb") as door:
        with Web(port) as page:
            with updates(port, evidence):
                call_all(_world, door, evidence)
            page.collect(evidence)
            _world.upstream.clear()
            for flow in evidence.flows:
                if TOKEN in json.dumps(flow).encode():
                    page.replay(flow["id"])
            time.sleep(0.5)
            evidence.replayed = len(_world.received())
            page.collect(evidence)
        evidence.take("mitmweb log", door.log.encode())
        evidence.take("process of mitmweb", _process(door))
    return evidence


@pytest.fixture(scope="module")
def loud(_world: World, tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """What mitmdump writes when it is told to write all it can, in observe mode."""
    evidence = Evidence()
    folder = tmp_path_factory.mktemp("recorded")
    flows, har = folder / "all.flows", folder / "all.har"
    options = ("termlog_verbosity=debug", "flow_detail=4", f"hardump={har}")
    words = ["-w", str(flows), *(word for option in options for word in ("--set", option))]
    with _world.door(Mode.OBSERVE, *words) as door:
        call_all(_world, door, evidence)
        time.sleep(0.3)
        evidence.take("log at full verbosity", door.log.encode())
        evidence.take("process of mitmdump", _process(door))
        evidence.take("home while running", _home(_world))
    evidence.take("flow file", flows.read_bytes())
    evidence.take("HAR file", har.read_bytes())
    evidence.take("home after the end", _home(_world))
    return evidence


def _process(door: FrontDoor) -> bytes:
    """What every other process of this user can read about a process."""
    proc = Path(f"/proc/{door.process.pid}")
    if not proc.is_dir():
        pytest.skip("needs /proc, which Linux has")
    return (proc / "cmdline").read_bytes() + (proc / "environ").read_bytes()


def _home(world: World) -> bytes:
    """Every file of the home, database and write-ahead log included, and every name."""
    files = sorted(path for path in world.home.rglob("*") if path.is_file())
    return b"\n".join(str(path).encode() + b"\n" + path.read_bytes() for path in files)


# The place, and something that must be there: a place that saw nothing would prove nothing.
WEB_PLACES = [
    ("the agent", STARS),
    ("mitmweb /flows", TOKEN),
    ("mitmweb contents", STARS),
    ("mitmweb /flows/dump", TOKEN),
    ("mitmweb updates", TOKEN),
    ("mitmweb other pages", b"interlock_mode"),
    ("mitmweb log", b"allow research-agent"),
    ("process of mitmweb", b"interlock_home"),
]
LOUD_PLACES = [
    ("the agent", STARS),
    ("log at full verbosity", TOKEN),
    ("flow file", TOKEN),
    ("HAR file", TOKEN),
    ("home while running", b"interlock.db-wal"),
    ("home after the end", TRUSTED.encode()),
    ("process of mitmdump", b"interlock_home"),
]


def _place(value: str | bytes) -> str:
    return value if isinstance(value, str) else ""


@pytest.mark.parametrize(("place", "shown"), WEB_PLACES, ids=_place)
def test_mitmweb_never_shows_a_key(world: World, web: Evidence, place: str, shown: bytes) -> None:
    """Pages, contents, downloads and live updates hold neither provider's nor agent's keys."""
    content = web.places[place]
    assert shown in content
    assert leaks(world, content) == []


@pytest.mark.parametrize(("place", "shown"), LOUD_PLACES, ids=_place)
def test_nothing_written_holds_a_key(
    world: World, loud: Evidence, place: str, shown: bytes
) -> None:
    """Flow file, HAR, log and home hold no key in any spelling, however talkative we are."""
    content = loud.places[place]
    assert shown in content
    assert leaks(world, content) == []


def test_the_shared_doors_log_no_key(world: World, mode: Mode) -> None:
    """Nor does the log of the doors that all other tests call through."""
    assert leaks(world, world.doors[mode].log.encode()) == []


def test_a_key_would_be_found(world: World) -> None:
    """The search itself works: planted keys are found, whatever they are wrapped in."""
    for name, key in (("openai", OPENAI_KEY), (TRUSTED, world.keys[TRUSTED])):
        for form in forms_of(key.encode()):
            assert name in leaks(world, b"innocent " + form + b" text")


def test_every_flow_says_what_was_decided(world: World, web: Evidence) -> None:
    """Comment and marker of a flow tell label, agent, and why, with the id of the decision."""
    told = {flow["comment"]: flow["marked"] for flow in web.flows if flow["comment"]}
    markers = {"allow": "\N{LARGE GREEN CIRCLE}", "deny": "\N{LARGE RED CIRCLE}"}
    assert set(web.decisions.values()) == set(markers)
    for decision_id, label in web.decisions.items():
        (comment,) = [comment for comment in told if decision_id in comment]
        body = world.events(decision_id)[0]["body"]
        assert comment.startswith(label)
        assert body["resource"] in comment
        assert all(policy_id in comment for policy_id, _ in body["reasons"])
        assert told[comment] == markers[label]


def test_a_recorded_call_cannot_be_sent_again(web: Evidence) -> None:
    """The replay button of mitmweb reaches nobody: the token in the flow is spent."""
    assert any(TOKEN in json.dumps(flow).encode() for flow in web.flows)
    assert web.replayed == 0


def test_flow_file_and_log_tell_the_decisions(loud: Evidence) -> None:
    """What is hidden is the key alone: each decision stands in the file and in the log."""
    assert set(loud.decisions.values()) == {"allow", "would_deny"}
    for decision_id in loud.decisions:
        for place in ("flow file", "log at full verbosity", "home after the end"):
            assert decision_id.encode() in loud.places[place], place


def test_the_home_is_for_its_owner_alone(world: World, loud: Evidence) -> None:
    """Nobody else may list the home or read a private key in it."""
    assert loud.places
    assert world.home.stat().st_mode & 0o777 == 0o700
    private = [path for path in world.home.rglob("*") if path.is_file() and _is_private(path)]
    assert private
    assert [path for path in private if path.stat().st_mode & 0o077] == []


def _is_private(path: Path) -> bool:
    return path.parent.name == "keys" or b"PRIVATE KEY" in path.read_bytes()


def test_both_doors_saw_every_kind_of_call(web: Evidence, loud: Evidence) -> None:
    """Nine calls by two agents, by proxy and by both key slots of a base URL."""
    for evidence in (web, loud):
        assert len(evidence.decisions) == 9 * 2 * 3
