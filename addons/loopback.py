"""Listens on this machine only, unless a mode or `listen_host` says otherwise."""

from typing import Any

from mitmproxy import ctx
from mitmproxy.addonmanager import Loader
from mitmproxy.proxy.mode_specs import ProxyMode

from addons.background import Background
from addons.plan import DEFAULT_HOST


class Loopback:
    """Presets `listen_host`, for which mitmproxy has every interface."""

    def __init__(self) -> None:
        self._move = Background()

    def load(self, loader: Loader) -> None:
        """Set it where nobody did. mitmproxy loads a script when it listens already."""
        if ctx.options.listen_host:
            return
        ctx.options.update(listen_host=DEFAULT_HOST)
        proxyserver: Any = ctx.master.addons.get("proxyserver")
        if proxyserver and proxyserver.servers.is_updating:
            self._move.begin(lambda: move(proxyserver.servers))

    def done(self) -> None:
        """End what is under way."""
        self._move.stop()


async def move(servers: Any) -> None:
    """Have what listens on every interface for want of a host listen on this machine only."""
    modes = [ProxyMode.parse(text) for text in ctx.options.mode]
    await servers.update(modes)  # changes nothing, and waits for what is under way
    if all(one.is_running for one in servers):
        await servers.update(filter(_stays, modes))
        await servers.update(modes)


def _stays(mode: ProxyMode) -> bool:
    return mode.listen_port() is None or mode.custom_listen_host is not None
