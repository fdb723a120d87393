"""Calls hooks from an index, and turns what a hook raises into a refusal.

mitmproxy walks every addon at every event, which is almost half of what it does for a call, and
forwards a request when a hook raises. This walks only those that have the hook, and refuses.
"""

import gc
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator
from types import CoroutineType
from typing import Any

from mitmproxy import ctx, exceptions, hooks, http
from mitmproxy.addonmanager import AddonManager, traverse
from mitmproxy.flow import Flow
from mitmproxy.proxy.server_hooks import ServerConnectionHookData

from addons import lean, refusals, server
from addons.idle import is_idle
from addons.turn import Rest

log = logging.getLogger(__name__)

type Hook = Callable[..., Any]

# Hooks before an answer exists, and the one in which an answer can still be replaced whole.
ANSWERABLE = ("http_connect", "requestheaders", "request", "response")


class Index(dict[str, tuple[Hook, ...]]):
    """Hook name -> bound functions, in the order of a manager's chain, as they are asked for.

    Who has nothing to do as the options stand is left out until they change.
    """

    def __init__(self, manager: AddonManager) -> None:
        super().__init__()
        self._manager = manager

    def __missing__(self, name: str) -> tuple[Hook, ...]:
        options = self._manager.master.options
        busy = (one for one in traverse(self._manager.chain) if not is_idle(one, name, options))
        hooked = (getattr(addon, name, None) for addon in busy)
        # A module that is imported under the name of a hook is no hook.
        found = self[name] = tuple(hook for hook in hooked if callable(hook))
        return found


class Dispatch(AddonManager):
    """mitmproxy's addon manager with an index of hooks."""

    _index: Index

    @classmethod
    def take_over(cls, plain: Any) -> None:
        """Turn a plain manager into this one; its chain stays as it is."""
        plain.__class__ = cls
        plain._index = Index(plain)

    def begin(self, name: str, arguments: list[Any]) -> Rest | None:
        """Call an event's hooks until one has to wait; what is left is to be awaited.

        Those that follow flows are told, where there are any.
        """
        if self._index["update"] and isinstance(arguments[0], Flow):
            return self._call_and_tell(name, arguments)
        return _begin(name, arguments, iter(self._index[name]))

    async def handle_lifecycle(self, event: hooks.Hook) -> None:
        """Call an event's hooks, and tell those that follow flows."""
        if rest := self.begin(event.name, event.args()):
            await rest

    async def trigger_event(self, event: hooks.Hook) -> None:
        """Call every hook of this event; one that raises takes its flow with it.

        With AddonHalt a script keeps an event from the addons behind it, but never from ours.
        """
        await self._call(event.name, event.args())

    async def _call_and_tell(self, name: str, arguments: list[Any]) -> None:
        await self._call(name, arguments)
        await self._call(hooks.UpdateHook.name, [[arguments[0]]])

    async def _call(self, name: str, arguments: list[Any]) -> None:
        if rest := _begin(name, arguments, iter(self._index[name])):
            await rest

    def has(self, name: str) -> bool:
        """Say whether anybody has a hook of that name."""
        return bool(self._index[name])

    # The chain changes while these run, and nothing is dispatched from the index until they are
    # over: scripts put themselves in order while they are being configured.

    def trigger(self, event: hooks.Hook) -> None:
        """Call an event's hooks where nothing can be awaited."""
        if event.name != "add_log":
            try:
                super().trigger(event)
            finally:
                self._index.clear()
        elif self._index[event.name]:
            super().trigger(event)

    def register(self, addon: Any) -> Any:
        """Take note of an addon; whoever asked for it puts it into its place."""
        self._index.clear()
        return super().register(addon)  # type: ignore[no-untyped-call]

    def remove(self, addon: Any) -> None:
        """Take an addon out."""
        super().remove(addon)  # type: ignore[no-untyped-call]
        self._index.clear()


def _begin(
    name: str, arguments: list[Any], left: Iterator[Hook], *, halted: bool = False
) -> Rest | None:
    """Call the hooks that are left; the first that has to wait, and those behind it, wait."""
    for hook in left:
        if halted and not _is_ours(hook):
            continue
        try:
            answer = hook(*arguments)
        except Exception as e:  # noqa: BLE001 - refused, and said, where it is looked at
            halted |= _is_halt(e, hook, name, arguments)
            continue
        if answer is None:
            continue
        if type(answer) is CoroutineType or inspect.isawaitable(answer):
            return _go_on(name, arguments, left, halted, hook, answer)
    return None


async def _go_on(
    name: str,
    arguments: list[Any],
    left: Iterator[Hook],
    halted: bool,
    hook: Hook,
    answer: Awaitable[Any],
) -> None:
    """Wait for one hook, and then for each that is left."""
    try:
        await answer
    except Exception as e:  # noqa: BLE001 - the same
        halted |= _is_halt(e, hook, name, arguments)
    if rest := _begin(name, arguments, left, halted=halted):
        await rest


def _is_halt(error: Exception, hook: Hook, name: str, arguments: list[Any]) -> bool:
    """Say whether a hook asked for an event to end with it; refuse what any other failed on."""
    if isinstance(error, exceptions.OptionsError):
        raise error
    if isinstance(error, exceptions.AddonHalt):
        return True
    log.error("%s failed", getattr(hook, "__qualname__", hook), exc_info=error)
    refuse(name, *arguments)
    return False


def _is_ours(hook: Hook) -> bool:
    return getattr(hook, "__module__", "").startswith(f"{__package__}.")


class FastDispatch:
    """Gives mitmdump and mitmweb the same dispatch."""

    def configure(self, _: Iterable[str]) -> None:
        """Take over before the first connection; what is already ours stays."""
        chain: Any = ctx.master.addons
        if type(chain) is AddonManager:
            Dispatch.take_over(chain)
        server.take_turns()

    def running(self) -> None:
        """Leave out what nobody asks for; keep the collector off what is there for good."""
        chain: Any = ctx.master.addons
        lean.trim(chain.has)
        gc.collect()
        gc.freeze()


def refuse(name: str, message: Any = None, *_: Any) -> None:
    """Let nothing pass that a hook failed on: an answer of ours, or an end."""
    if isinstance(message, ServerConnectionHookData):
        message.server.error = message.server.error or "Interlock: an addon failed"
    if not isinstance(message, http.HTTPFlow):
        return
    if message.websocket and message.websocket.messages:
        message.websocket.messages[-1].drop()
    elif name in ANSWERABLE:
        message.response = refusals.could_not_decide(message)
    elif message.killable:
        message.kill()
