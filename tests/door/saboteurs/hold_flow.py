"""An addon of the user's that holds every call at each of its steps, as a person in mitmweb may."""

import asyncio

from mitmproxy import http

HELD_S = 0.2


def hold(flow: http.HTTPFlow) -> None:
    """Hold it for a while."""
    flow.intercept()
    asyncio.get_running_loop().call_later(HELD_S, flow.resume)


requestheaders = request = responseheaders = response = hold
