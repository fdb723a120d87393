"""mitmproxy's handler of one connection, which works through an event where it stands."""

import asyncio
import logging
import time
from typing import Any

from mitmproxy.proxy import commands, events, mode_servers
from mitmproxy.proxy.server import ConnectionIO
from mitmproxy.utils import asyncio_utils

from addons.turn import Rest, Turn


class Handler(mode_servers.ProxyConnectionHandler):
    """mitmproxy's handler of one connection, which takes turns (addons/turn.py)."""

    # Whether somebody may not have read yet what was written to him.
    is_behind = False

    async def handle_client(self) -> None:
        """Serve the connection."""
        top: Any = Turn(self, self.layer)
        self.layer = top
        await super().handle_client()

    def is_free(self) -> bool:
        """Say whether no event is being worked through, and none waits for that."""
        lock: Any = self._server_event_lock
        return not (lock._locked or lock._waiters)

    async def server_event(self, event: events.Event) -> None:
        """Work through an event, after those that came before it."""
        if self.is_free():
            self.work_through(event)
        else:
            await super().server_event(event)

    def work_through(self, event: events.Event) -> None:
        """`server_event` of a connection that is free, for which nothing has to wait."""
        lock: Any = self._server_event_lock
        lock._locked = True
        self.timeout_watchdog.last_activity = time.time()
        try:
            for command in self.layer.handle_event(event):
                self._carry_out(command)
        except Exception:  # noqa: BLE001 - whatever a layer raises ends no more than its event
            self.log("mitmproxy has crashed!", logging.ERROR, exc_info=True)
        finally:
            lock._locked = False
            if lock._waiters:
                lock._wake_up_first()

    def _carry_out(self, command: commands.Command) -> None:
        """Do what a turn does not do itself."""
        if isinstance(command, commands.OpenConnection):
            task = self._start(self.open_connection(command))
            self.transports[command.connection] = ConnectionIO(handler=task)
        elif isinstance(command, commands.RequestWakeup):
            self.wakeup_timer.add(self._start(self.wakeup(command)))
        elif isinstance(command, commands.Log):
            self.log(command.message, command.level)
        elif not isinstance(command, commands.CloseConnection):
            raise RuntimeError(f"Unexpected command: {command}")
        elif command.connection in self.transports:
            is_half = isinstance(command, commands.CloseTcpConnection) and command.half_close
            self.close_connection(command.connection, is_half)

    def _start(self, course: Rest) -> asyncio.Task[None]:
        return asyncio_utils.create_task(
            course, name="", keep_ref=False, client=self.client.peername
        )

    async def handle_hook(self, hook: commands.StartHook) -> None:
        """Call a hook of the connection itself, outside of any turn."""
        self.busy()
        try:
            await self.call(hook)
        finally:
            self.idle()

    def begin(self, hook: commands.StartHook) -> Rest | None:
        """Call a hook until something has to wait; what is left is to be awaited."""
        chain: Any = self.master.addons
        arguments = hook.args()
        rest = chain.begin(hook.name, arguments)
        message = arguments[0]
        # A flow may be held by a person, and nothing else.
        if rest is None and not getattr(message, "intercepted", False):
            return None
        return self._finish(rest, message)

    async def _finish(self, rest: Rest | None, message: Any) -> None:
        if rest:
            await rest
        if getattr(message, "intercepted", False):
            await message.wait_for_resume()

    async def call(self, hook: commands.StartHook) -> None:
        """Call a hook, however long it takes."""
        if rest := self.begin(hook):
            await rest

    def busy(self) -> None:
        """Let no time-out count from now on: a connection on which a hook waits is not idle."""
        self.timeout_watchdog.can_timeout.clear()
        self.timeout_watchdog.blocker += 1

    def idle(self) -> None:
        """Let it count again, from now, once no hook waits any more."""
        watchdog = self.timeout_watchdog
        watchdog.blocker -= 1
        if not watchdog.blocker:
            watchdog.last_activity = time.time()
            watchdog.can_timeout.set()


def take_turns() -> None:
    """Have every connection from now on handled so."""
    servers: Any = mode_servers
    servers.ProxyConnectionHandler = Handler
