"""Keeps the processes of one front door alive, and ends them together."""

import asyncio
import json
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from prometheus_client.multiprocess import mark_process_dead

from addons import listeners
from addons.admin import Admin, AdminServer
from addons.complaint import BAD_INPUT
from addons.plan import METRICS_FOLDER, Plan
from addons.worker import READY

log = logging.getLogger(__name__)

START_S = 60.0
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 30.0
# Who lived so long was sound; its end says nothing about the next.
SOUND_S = 60.0
# Beyond what draining may take, to close the ledger.
GRACE_S = 10.0


@dataclass(slots=True)
class Worker:
    """One process, and our end of the channel to it."""

    process: Process
    channel: socket.socket
    ready: asyncio.Event = field(default_factory=asyncio.Event)


class Supervisor:
    """Starts workers that share listening sockets, and replaces one that dies."""

    def __init__(self, plan: Plan, count: int) -> None:
        self._plan = plan
        self._count = count
        self._sockets: listeners.Sockets = {}
        self._workers: dict[int, Worker] = {}
        self._stopping = asyncio.Event()
        self._folder = tempfile.mkdtemp(prefix="interlock-metrics-")

    @property
    def ready(self) -> int:
        """How many workers serve now."""
        return sum(worker.ready.is_set() for worker in self._workers.values())

    @property
    def count(self) -> int:
        """How many workers should serve."""
        return self._count

    @property
    def stopping(self) -> bool:
        """True from the first signal to end."""
        return self._stopping.is_set()

    async def run(self) -> int:
        """Run until a signal ends it; answer the exit code. Raises OSError when nothing listens.

        The first worker has to serve before the others are started, so that what is wrong with
        the settings is said once.
        """
        self._sockets = listeners.open_sockets(self._plan.modes, self._plan.listen_host)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)
        try:
            if not await self._start(0):
                return 0 if self.stopping else BAD_INPUT
            async with self._administration():
                await asyncio.gather(*(self._keep(slot) for slot in range(self._count)))
            return 0
        finally:
            listeners.close(self._sockets)
            shutil.rmtree(self._folder, ignore_errors=True)

    @asynccontextmanager
    async def _administration(self) -> AsyncIterator[None]:
        """Serve the pages for operators meanwhile, if there is a port for them."""
        if not self._plan.admin:
            yield
            return
        server = AdminServer(Admin(self, self._folder), self._plan.admin)
        serving = asyncio.create_task(server.serve())
        try:
            yield
        finally:
            server.should_exit = True
            await serving

    async def _keep(self, slot: int) -> None:
        """Keep one place filled."""
        loop = asyncio.get_running_loop()
        pause = FIRST_PAUSE_S
        while not self.stopping:
            began = loop.time()
            if slot not in self._workers:
                await self._start(slot)
            if worker := self._workers.get(slot):
                code = await worker.process.wait()
                self._forget(slot)
                if not self.stopping:
                    log.error("worker %s ended with %s; starting another", slot, code)
            pause = FIRST_PAUSE_S if loop.time() - began > SOUND_S else pause * 2
            if not self.stopping:
                await self._sleep(min(pause, LONGEST_PAUSE_S))

    async def _start(self, slot: int) -> bool:
        """Start a worker and wait until it serves; False when it did not."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *command(self._plan, self._sockets, theirs.fileno()),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), *_handles(self._sockets)),
                env=self._environ(),
                # Ctrl-C at a terminal reaches the whole group; the workers are told by us.
                start_new_session=True,
            )
        worker = self._workers[slot] = Worker(process, ours)
        ours.setblocking(False)
        loop = asyncio.get_running_loop()
        try:
            said = await asyncio.wait_for(loop.sock_recv(ours, len(READY)), START_S)
        except TimeoutError:
            said = b"nothing"
        except OSError:
            said = b""
        if said == READY:
            worker.ready.set()
            return True
        if said and process.returncode is None:  # one that is ending has hung up
            process.kill()
        code = await process.wait()
        self._forget(slot)
        if code < 0 and not self.stopping:
            log.error("worker %s ended with %s before it served", slot, code)
        return False

    def _environ(self) -> dict[str, str]:
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        if self._plan.admin:
            environ[METRICS_FOLDER] = self._folder
        return environ

    async def _sleep(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return

    def _forget(self, slot: int) -> None:
        if worker := self._workers.pop(slot, None):
            worker.channel.close()
            mark_process_dead(worker.process.pid, path=self._folder)

    def _end(self) -> None:
        """Have every worker drain; asked again, or when that takes too long, cut it short."""
        again = self.stopping
        self._stopping.set()
        self._forward(signal.SIGKILL if again else signal.SIGTERM)
        limit = self._plan.drain_s + GRACE_S
        asyncio.get_running_loop().call_later(limit, self._forward, signal.SIGKILL)

    def _hang_up(self) -> None:
        """Have every worker look at the policies; one that starts does so by itself."""
        for worker in self._workers.values():
            if worker.ready.is_set() and worker.process.returncode is None:
                worker.process.send_signal(signal.SIGHUP)

    def _forward(self, number: signal.Signals) -> None:
        for worker in self._workers.values():
            if worker.process.returncode is None:
                worker.process.send_signal(number)


def command(plan: Plan, sockets: listeners.Sockets, channel: int) -> Sequence[str]:
    """The command line of a worker.

    With `-P`, for Python would look for modules in the folder that we were started in first, where
    anybody may have put some.
    """
    handles = json.dumps(listeners.handles_of(sockets))
    return (sys.executable, "-P", "-m", "addons.worker", plan.dump(), handles, str(channel))


def _handles(sockets: listeners.Sockets) -> list[int]:
    return [one.fileno() for listening in sockets.values() for one in listening]
