"""Says on stderr what keeps a front door from starting, and nothing of it in the log."""

import asyncio
import logging
import sys

from mitmproxy.addons import errorcheck

BAD_INPUT = 2


class Complaint(errorcheck.ErrorCheck):
    """Ends a start that failed; in mitmproxy's place, which would add a line to that."""

    name = "errorcheck"

    def __init__(self) -> None:
        super().__init__()
        self.logger.uninstall()
        self.logger = Complaining()
        self.logger.install()
        self._is_over = False

    def keep_from(self, log: logging.Handler) -> None:
        """Have nothing said twice."""
        log.addFilter(lambda record: self._is_over or record.levelno < logging.ERROR)

    def finish(self) -> None:
        """Leave errors to the log from now on: it has started."""
        self.logger.uninstall()
        self._is_over = True

    async def shutdown_if_errored(self) -> None:
        """Leave when an error was logged."""
        await asyncio.sleep(0)  # every line is written first
        if self.logger.has_errored:
            sys.exit(BAD_INPUT)


class Complaining(errorcheck.ErrorCheckHandler):
    """Writes what is logged as an error as a command says it."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Write it at once: a start may hang after it."""
        super().emit(record)
        sys.stderr.write(f"interlock: {self.format(record).removeprefix('interlock: ')}\n")
