"""Turns a broken hook into a refusal: mitmproxy forwards a request when a hook raises."""

import functools
import logging
from collections.abc import Awaitable, Callable

from mitmproxy import http

from addons import refusals

log = logging.getLogger(__name__)

# A hook that need not wait answers None, so that nobody else has to wait for it.
type FlowHook[A] = Callable[[A, http.HTTPFlow], Awaitable[None] | None]


def fail_closed[A](hook: FlowHook[A]) -> FlowHook[A]:
    """Wrap a deciding hook so that whatever it raises ends in a refusal of its flow.

    Even without this the call would not leave: the wire boundary lets nothing pass that the
    gate did not clear. The wrapper gives the agent an answer that says so.
    """

    @functools.wraps(hook)
    def guarded(addon: A, flow: http.HTTPFlow) -> Awaitable[None] | None:
        try:
            rest = hook(addon, flow)
        except Exception:
            log.exception(_FAILED, hook.__qualname__)
            flow.response = refusals.could_not_decide(flow)
            return None
        return None if rest is None else waiting(rest, flow)

    async def waiting(rest: Awaitable[None], flow: http.HTTPFlow) -> None:
        try:
            await rest
        except Exception:
            log.exception(_FAILED, hook.__qualname__)
            flow.response = refusals.could_not_decide(flow)

    return guarded


_FAILED = "%s failed; the call is refused"
