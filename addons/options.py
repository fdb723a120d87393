"""Declares our options, refuses those of mitmproxy that lead around us, and opens the governor."""

import asyncio
import contextlib
import logging
import os
import signal
import sqlite3
from collections.abc import Iterable
from functools import partial
from typing import Any

from mitmproxy import ctx, exceptions
from mitmproxy.addonmanager import Loader
from mitmproxy.proxy.mode_specs import (
    LocalMode,
    ProxyMode,
)

from addons import hangup
from addons.background import Background
from addons.certificate import export_ca
from addons.destination import ROUTES, parse_mode, parse_routes, serves_routes
from addons.door import Door
from addons.local import require_local
from broker import BrokerError
from broker.secrecy import leave_nothing
from interlock.errors import InterlockError, SettingsError
from interlock.governor import Governor
from interlock.installation import Installation
from interlock.rates import Rates
from interlock.settings import Settings, parse_allow_private
from interlock.store.run import Run

log = logging.getLogger(__name__)

MITMPROXY_CONFDIR = "~/.mitmproxy"
WATCH_S = 0.5

# What we set where the user said nothing.
PRESET = {
    "connection_strategy": "lazy",
    "rawtcp": False,
    "http3": False,
    "onboarding": False,
    "body_size_limit": "64m",
}

# Options with the only value they may have, because any other lets bytes pass ungoverned, changes
# a request after it was judged, leaves a peer unverified, or writes secrets to the log.
REQUIRED: dict[str, Any] = {
    "connection_strategy": "lazy",
    "rawtcp": False,
    "http3": False,
    "onboarding": False,
    "websocket": True,
    "ignore_hosts": [],
    "allow_hosts": [],
    "tcp_hosts": [],
    "udp_hosts": [],
    "map_remote": [],
    "map_local": [],
    "modify_headers": [],
    "modify_body": [],
    "stickycookie": None,
    "stickyauth": None,
    "stream_large_bodies": None,
    "client_replay": [],
    "server_replay": [],
    "proxyauth": None,
    "upstream_auth": None,
    "ssl_insecure": False,
    "keep_host_header": False,
    "validate_inbound_headers": True,
    "add_upstream_certs_to_client_chain": False,
    "proxy_debug": False,
}

# What a running front door keeps.
FIXED = (
    *("home", "store", "policies", "shadow", "secret_cache", "broker", "broker_tls"),
    *("client_ca", "client_crl"),
)

OPTIONAL_TEXT: Any = str | None

HELP = {
    "home": "Where Interlock keeps its state (default ~/.interlock).",
    "mode": "observe: record every decision and deny nothing (default). enforce: refuse with 403.",
    "store": "Path of the SQLite database (default interlock.db in the home).",
    "policies": "Folder of Cedar policies (default: the shipped ones).",
    "shadow": "Folder of candidate policies: decide by them too, and record where they differ.",
    "require_identity": "Refuse callers without a valid agent key, in both modes: true or false. "
    "Always on for callers from anywhere but this machine.",
    "allow_private": "Hosts, addresses or CIDRs, comma separated, that may resolve to private "
    "or loopback addresses (default: none).",
    "secret_cache": "Seconds for which a secret that was fetched from a store outside is kept in "
    "memory: 0 to 3600 (default 60; 0: fetch it for every call).",
    "broker": "Where the broker that has the secrets listens: the path of its socket, or "
    "tls://HOST:PORT (default: none, this process opens them itself).",
    "broker_tls": "Folder with ca.pem, cert.pem and key.pem, for a broker at tls://HOST:PORT.",
    "client_ca": "File of the authorities, in PEM, whose client certificates prove an agent "
    "(default: none, no certificate is asked for).",
    "client_crl": "File of their revocation lists, in PEM; a certificate then needs a current one.",
    "routes": "What a listener of reverse:https://routes serves, by the name that the agent uses: "
    "NAME=https://HOST[:PORT], comma separated.",
    "parent_secret": "The stored secret (user:password) that proves us to the parent proxy of "
    "upstream mode (default: none).",
    "header_bytes": "The most bytes that the head of a request may have (default 262144).",
    "header_count": "The most headers that a request may have (default 256).",
    "decompression_ratio": "How many times an encoded answer may grow by decoding, beyond its "
    "first MiB (default 100).",
    "message_bytes": "The most bytes of one WebSocket or gRPC message (default 16777216).",
    "message_rate": "The most messages a second that an agent may send over one WebSocket or "
    "gRPC stream (default 200).",
    "stream_bytes": "The most bytes that an agent may send over one WebSocket or gRPC call in all "
    "(default 1073741824).",
    "control_rate": "The most frames a second of one HTTP/2 connection that ask for nothing, such "
    "as resets, pings and settings, after a burst of as many (default 1000).",
    "max_rate": "The most requests a second of one agent, over all workers, after a burst of as "
    "many (default 2000).",
    "max_connections": "The most connections of one agent at once, in each worker (default 1000).",
    "header_timeout": "Seconds within which the first head of a connection and of a tunnel has to "
    "come, and every later one to its end (default 60).",
    "body_timeout": "Seconds within which the body of a request has to come (default 300).",
    "idle_timeout": "Seconds after which a connection ends on which nothing moves (default 600).",
}


class Options:
    """Owns the governor: opened when the options are known, closed when the proxy ends."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._poll, self._follow = Background(), Background()
        self._look = asyncio.Event()
        self._configured = False
        self._run: Run | None = None

    def load(self, loader: Loader) -> None:
        """Declare `interlock_*`; None means: not said on the command line.

        mitmproxy drops a script silently, and serves on without it, when one of its options is
        given twice. So we look in a moment whether we were configured, and stop if not.
        """
        hangup.outlive()
        asyncio.get_running_loop().call_soon(self._stop_unless_configured)
        for name, text in HELP.items():
            loader.add_option(f"interlock_{name}", OPTIONAL_TEXT, None, text)
        ctx.options.update(**{name: value for name, value in PRESET.items() if _unset(name)})

    def configure(self, updated: Iterable[str]) -> None:
        """Check the options; at the start open the governor too.

        A later change that is not allowed raises OptionsError, which mitmproxy rolls back. At
        the start one line is logged, upon which mitmproxy exits; until then all is refused.
        """
        self._configured = True
        try:
            check_required()
            settings = read_settings()
            if self._door.governor is None:
                self._door.governor = self._open(settings)
                # This calls us again, so the governor must be in its place by now.
                if ctx.options.confdir == MITMPROXY_CONFDIR:
                    ctx.options.update(confdir=str(settings.ca))
            elif any(name.startswith("interlock_") for name in updated):
                self._change(settings, self._door.governor)
            self._door.routes = parse_routes(settings.routes)
            check_modes(settings)
            check_parent(settings)
            self._door.parent_secret_name = settings.parent_secret
            self._door.require_identity = settings.require_identity
            self._door.limits = settings.limits
            if ctx.options.tcp_timeout != settings.idle_timeout:
                ctx.options.update(tcp_timeout=settings.idle_timeout)
            self._door.private = parse_allow_private(settings.allow_private)
        except (InterlockError, BrokerError, sqlite3.Error, exceptions.OptionsError) as e:
            if self._door.governor is not None:
                raise exceptions.OptionsError(str(e)) from e
            log.error("interlock: %s", e)

    def running(self) -> None:
        """Hand out the CA certificate, watch policies and keys; SIGHUP looks at once."""
        governor = self._door.governor
        if governor is None:
            return
        settings = governor.installation.settings
        export_ca(settings)
        self._poll.begin(partial(self._watch, governor))
        self._follow.begin(governor.custody.follow)
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._look.set)
        log.info("interlock: %s mode, home %s", governor.mode, settings.home)

    def done(self) -> None:
        """Close the store. When the script alone is unloaded, stop the proxy: I5."""
        self._poll.stop()
        self._follow.stop()
        if self._door.governor:
            self._door.governor.custody.close()
            self._door.governor.installation.close()
            self._door.governor = None
        if self._door.rates:
            self._door.rates.close()
            self._door.rates = None
        if self._run:
            self._run.close()
        if not ctx.master.should_exit.is_set():
            log.error("interlock: the governance script was unloaded; the proxy stops")
            ctx.master.shutdown()

    def _stop_unless_configured(self) -> None:
        if not self._configured:
            log.error("interlock: not loaded, so the proxy stops: is an option given twice?")
            # At the start mitmproxy exits with 1 by itself, because an error was logged.
            asyncio.get_running_loop().call_later(1, ctx.master.shutdown)

    def _open(self, settings: Settings) -> Governor:
        leave_nothing(os.environ)
        installation = Installation(settings)
        try:
            self._run = Run(settings.runs)
            self._door.rates = Rates(settings.rates)
            return Governor(installation, self._run.id)
        except OSError as e:
            installation.close()
            raise SettingsError(f"{e.filename or settings.home}: {e.strerror}") from e
        except Exception:
            installation.close()
            raise

    def _change(self, settings: Settings, governor: Governor) -> None:
        """Take over what may change while running; raise OptionsError for what may not."""
        was = governor.installation.settings
        for name in FIXED:
            if getattr(settings, name) != getattr(was, name):
                raise exceptions.OptionsError(f"interlock_{name} cannot change while running")
        if settings.mode is not governor.mode:
            governor.change_mode(settings.mode)

    async def _watch(self, governor: Governor) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._look.wait(), WATCH_S)
            self._look.clear()
            try:
                await asyncio.to_thread(governor.reload_policies)
            except Exception:
                log.exception("policies NOT loaded, the last good set stays in force")
            try:
                await asyncio.to_thread(governor.renew_keys)
            except BrokerError as e:
                log.error("keys NOT renewed, the last good ones stay in force: %s", e)


def read_settings() -> Settings:
    """Read the settings with what the options say on top; raises SettingsError."""
    given = {name: getattr(ctx.options, f"interlock_{name}") for name in HELP}
    return Settings.load(**given)


def check_required() -> None:
    """Raise OptionsError for an option or mode that would lead around governance."""
    for name, required in REQUIRED.items():
        value = getattr(ctx.options, name, required)
        if value != required and not (required == [] and not value):
            raise exceptions.OptionsError(
                f"option {name}={value!r} is refused: it would let calls pass ungoverned; "
                f"the only value here is {required!r}"
            )
    for text in ctx.options.mode:
        try:
            mode = parse_mode(text)
        except ValueError as e:
            raise exceptions.OptionsError(f"mode {e}") from None
        if isinstance(mode, LocalMode):
            try:
                require_local()
            except ValueError as e:
                raise exceptions.OptionsError(f"mode {text!r} cannot be served here: {e}") from None


def check_modes(settings: Settings) -> None:
    """Raise SettingsError for a mode that lacks a setting."""
    modes = [ProxyMode.parse(text) for text in ctx.options.mode]
    if any(map(serves_routes, modes)) and not settings.routes:
        raise SettingsError(
            f"mode reverse:https://{ROUTES} serves what interlock_routes says: nothing"
        )


def check_parent(settings: Settings) -> None:
    """Raise SettingsError for a proof to the parent proxy that could not be read here."""
    if settings.parent_secret and settings.broker:
        raise SettingsError("interlock_parent_secret: not beside a broker, which keeps the secrets")


def _unset(name: str) -> bool:
    """True for an option that this program has, and that nobody set."""
    return name in ctx.options and getattr(ctx.options, name) == ctx.options.default(name)
