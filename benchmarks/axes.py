"""What grows: how much of each there is in a home, and how it comes to be there."""

import contextlib
import itertools
import multiprocessing
import shutil
import sqlite3
import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.bench import AGENT, CHAT_PATH, ENFORCE, Bench, Variant
from benchmarks.decision import others
from benchmarks.load import HEAD_END, Target, connect
from benchmarks.past import fill
from broker import Secret
from interlock.apdp.policies import shipped
from interlock.installation import Installation
from interlock.model import Agent, Authority, Binding, Trust
from interlock.registry.keys import digest, new_key
from interlock.settings import Settings
from interlock.store import Database
from interlock.store.bindings import bind

KB, MB = 1 << 10, 1 << 20
# Callers that take turns where there are many agents: the first, the last and those between.
CALLERS = 4
ENDLESS = b'{"model": "gpt-4o", "stream": true, "messages": [{"role": "user", "content": "hi"}]}'
FILES_PATH = "/v1/files"
UPLOADS = (
    '@id("uploads") permit(principal is Agent, action == Action::"upload_file", resource) '
    'when { principal.trust == "trusted" };'
)
# More connections than an agent may have by default.
ROOM = ("--set", "interlock_max_connections=100000", "--set", "interlock_idle_timeout=86400")


@dataclass(frozen=True, slots=True)
class Axis:
    """One thing of which there is more and more.

    `start` makes a front door that has so much of it. Where `by_size`, the sizes are bytes of one
    call. Where `changes`, running front doors have to read it again when something changes.
    """

    name: str
    sizes: tuple[int, ...]
    start: Callable[[Bench, int], Variant]
    by_size: bool = False
    changes: bool = False


def policies(bench: Bench, number: int) -> Variant:
    """Beside the shipped policies, so many about other agents."""
    home = bench.home(f"home-{number}")
    return bench.door(str(number), home, *ENFORCE, *more_policies(bench, number, others(number)))


def more_policies(bench: Bench, number: int, lines: Iterable[str]) -> list[str]:
    """A folder of the shipped policies and of these, as files of a thousand: options to use it."""
    folder = bench.folder / f"policies-{number}"
    shutil.copytree(shipped(), folder, ignore=shutil.ignore_patterns("cases"))
    for at, some in enumerate(itertools.batched(lines, 1000)):
        (folder / f"more-{at:06}.cedar").write_text("\n".join(some))
    return ["--set", f"interlock_policies={folder}"]


def agents(bench: Bench, number: int) -> Variant:
    """So many trusted agents with a key each; calls come from a few of them."""
    home = bench.home(f"home-{number}")
    made = [(f"agent-{n:06}", new_key()) for n in range(number - 1)]

    def work(connection: sqlite3.Connection) -> None:
        now = time.time()
        connection.executemany(
            "insert into agents values (?, 'ada', '[]', ?, '', '', '', ?)",
            [(name, Trust.TRUSTED, now) for name, _ in made],
        )
        connection.executemany(
            "insert into agent_keys values (?, ?, ?, null, null)",
            [(digest(key), name, now) for name, key in made],
        )

    with Database(home.folder / "interlock.db") as database:
        database.submit(work).result()
    known = [(AGENT, home.key), *made]
    picked = [known[n * (number - 1) // (CALLERS - 1)] for n in range(CALLERS)]
    door = bench.door(str(number), home, *ENFORCE)
    crowd = tuple(f"{name}:{key}" for name, key in picked)
    return replace(door, target=replace(door.target, crowd=crowd))


def bindings(bench: Bench, number: int) -> Variant:
    """So many secrets, each bound to a host of its own; one of them is called."""
    home = bench.home(f"home-{number}")
    with Installation(Settings.load(home=home.folder)) as installation:

        def work(connection: sqlite3.Connection) -> None:
            vault = installation.safe.vault(connection)
            for n in range(number - 1):
                vault.seal(f"key-{n}", Secret(f"sk-other-{n:012}"))
                bind(
                    connection,
                    Binding(f"key-{n}", Authority(f"api-{n}.example.com", 443), "bearer"),
                )

        installation.database.submit(work).result()
    return bench.door(str(number), home, *ENFORCE)


def rows(bench: Bench, number: int) -> Variant:
    """A ledger that has so many rows, with a whole chain."""
    folder = bench.folder / f"home-{number}"
    with Database(folder / "interlock.db") as database:
        if number:
            fill(database, number)
    return bench.door(str(number), bench.home(folder.name), *ENFORCE)


def streams(bench: Bench, number: int) -> Variant:
    """So many streams are open; to all of them together come a steady number of events."""
    door = bench.door(str(number), bench.home(f"home-{number}"), *ENFORCE, *ROOM)
    bench.stack.enter_context(held(door.asking(bench.ask(CHAT_PATH, ENDLESS)).target, number))
    return door


def long_request(bench: Bench, size: int) -> bytes:
    """A request whose body has so many bytes."""
    begin, end = b'{"model": "gpt-4o", "messages": [{"role": "user", "content": "', b'"}]}'
    body = begin + b"word " * ((size - len(begin) - len(end)) // 5) + end
    return bench.ask(CHAT_PATH, body)


def long_answer(bench: Bench, size: int) -> bytes:
    """A request that is answered with so many bytes."""
    return bench.ask(CHAT_PATH, X_Answer_Bytes=str(size))


def upload(bench: Bench, size: int) -> bytes:
    """A file of so many bytes, which nobody reads on the way."""
    return bench.ask(FILES_PATH, b"\x00" * size, Content_Type="application/octet-stream")


def bodies(request: Callable[[Bench, int], bytes], bench: Bench, size: int) -> Variant:
    """A front door for calls of one size, so that its memory is that of such calls."""
    options = more_policies(bench, size, [UPLOADS])
    door = bench.door(str(size), bench.home(f"home-{size}"), *ENFORCE, *options)
    return door.asking(request(bench, size))


BODIES = (KB, 64 * KB, MB, 10 * MB, 50 * MB)
# What a model is asked is read, and at most 16 MB of it.
READ = BODIES[:-1]
AXES = [
    Axis("policies", (10, 100, 1_000, 10_000), policies),
    Axis("agents", (10, 1_000, 10_000, 100_000), agents, changes=True),
    Axis("bindings", (1, 50, 500, 5_000), bindings, changes=True),
    Axis("ledger rows", (0, 10_000, 100_000, 1_000_000), rows),
    Axis("open streams", (1, 50, 500, 2_000), streams),
    Axis("bytes asked", READ, partial(bodies, long_request), by_size=True),
    Axis("bytes uploaded", BODIES, partial(bodies, upload), by_size=True),
    Axis("bytes answered", BODIES, partial(bodies, long_answer), by_size=True),
]


@contextlib.contextmanager
def held(target: Target, number: int) -> Iterator[None]:
    """Open so many streams in a process of its own, which reads what comes."""
    ours, theirs = multiprocessing.Pipe()
    spawn = multiprocessing.get_context("spawn")
    process = spawn.Process(target=_hold, args=(target, number, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        if (opened := ours.recv()) != number:
            raise OSError(f"only {opened} of {number} streams could be opened")
        yield
    finally:
        process.kill()
        process.join()


def _hold(target: Target, number: int, ready: Connection) -> None:
    trust = ssl.create_default_context(cafile=target.ca)
    streams = []
    try:
        for _ in range(number):
            streams.append(connect(target, trust))
            streams[-1].sendall(target.request)
            head = b""
            while HEAD_END not in head:
                head += streams[-1].recv(65536)
            if b" 200 " not in head:
                raise OSError(f"an answer was {head[:300]!r}")
    finally:
        ready.send(len(streams))
    # What comes is little: the buffers of the sockets have room for it.
    time.sleep(86_400)


def change(home: Path) -> None:
    """Change something that every running front door has to read again: one more agent."""
    with Installation(Settings.load(home=home)) as installation:
        installation.registry.add(Agent(f"agent-of-{time.time_ns()}", owner="ada"))
