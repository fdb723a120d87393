"""The front door as a program of its own: the addons that a governed proxy needs, and no others."""

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from mitmproxy import exceptions, log, options
from mitmproxy.addons import (
    core,
    disable_h2c,
    next_layer,
    proxyserver,
    save,
    script,
    tlsconfig,
)
from mitmproxy.master import Master

from addons import governance
from addons.complaint import BAD_INPUT, Complaint
from addons.dispatch import Dispatch
from addons.drain import Drain
from addons.plan import METRICS_FOLDER, Plan


class ProxyMaster(Master):
    """mitmproxy's core under our dispatch, governed from the first byte.

    Scripts of the user come before governance, so that what is judged is what they made of a
    request.
    """

    def __init__(self, opts: options.Options) -> None:
        super().__init__(opts, with_termlog=True)
        Dispatch.take_over(self.addons)
        self.addons.add(
            core.Core(),
            disable_h2c.DisableH2C(),
            proxyserver.Proxyserver(),
            script.ScriptLoader(),
            next_layer.NextLayer(),
            save.Save(),
            tlsconfig.TlsConfig(),
            *_metrics(),
            *governance.addons,
            Complaint(),
        )


class JsonLines(log.MitmLogHandler):
    """Log lines as JSON, for programs."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one object on one line."""
        said = {"time": record.created, "level": record.levelname.lower()}
        sys.stdout.write(json.dumps(said | {"message": record.getMessage()}) + "\n")
        sys.stdout.flush()


async def serve(
    plan: Plan,
    master_class: type[Master] = ProxyMaster,
    ready: Callable[[], None] = lambda: None,
) -> int:
    """Run a front door until a signal ends it; answer the exit code.

    SIGTERM and SIGINT let calls under way end, a second one stops at once. `ready` is called
    when it serves.
    """
    logging.getLogger().setLevel(logging.INFO)
    opts = options.Options()
    master: Any = master_class(opts)
    shown = _json_log(master) if plan.as_json else master._termlog_addon.logger
    master.addons.get("errorcheck").keep_from(shown)
    drain = Drain(plan.drain_s)
    master.addons.add(drain, Announcement(ready))
    try:
        _configure(opts, plan)
    except (exceptions.OptionsError, ValueError) as e:
        sys.stderr.write(f"interlock: {e}\n")
        return BAD_INPUT
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, drain.begin)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    await master.run()
    return 0


class Announcement:
    """Says that the front door serves."""

    def __init__(self, ready: Callable[[], None]) -> None:
        self._ready = ready

    def running(self) -> None:
        """Everything is up."""
        self._ready()


def _configure(opts: options.Options, plan: Plan) -> None:
    """Set the options of a plan at once; raises OptionsError for one unknown or misspelled."""
    said = [f"mode={mode}" for mode in plan.modes] + [f"scripts={one}" for one in plan.scripts]
    said += [f"save_stream_file={plan.save}"] if plan.save else []
    opts.set(f"listen_host={plan.listen_host}", *said, *plan.options, defer=True)
    if unknown := opts.deferred:
        raise exceptions.OptionsError(f"--set {', '.join(unknown)}: there is no such option")


def _metrics() -> list[Any]:
    """Count for a supervisor that shows what is counted."""
    if METRICS_FOLDER not in os.environ:
        return []
    from addons.metrics import Metrics

    return [Metrics(governance.door)]


def _json_log(master: Any) -> logging.Handler:
    master._termlog_addon.uninstall()
    lines: Any = JsonLines
    made: JsonLines = lines()
    made.install()
    return made
