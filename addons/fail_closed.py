"""Turns a broken hook into a refusal: mitmproxy forwards a request when a hook raises."""

import functools
import logging
from collections.abc import Awaitable, Callable

from mitmproxy import http

from addons import refusals

log = logging.getLogger(__name__)

type FlowHook[A] = Callable[[A, http.HTTPFlow], Awaitable[None]]


def fail_closed[A](hook: FlowHook[A]) -> FlowHook[A]:
    """Wrap a deciding hook so that whatever it raises ends in a refusal of its flow.

    Even without this the call would not leave: the wire boundary lets nothing pass that the
    gate did not clear. The wrapper gives the agent an answer that says so.
    """

    @functools.wraps(hook)
    async def guarded(addon: A, flow: http.HTTPFlow) -> None:
        try:
            await hook(addon, flow)
        except Exception:
            log.exception("%s failed; the call is refused", hook.__qualname__)
            flow.response = refusals.could_not_decide(flow)

    return guarded
