"""Under CI a skipped test is a failure: what a machine lacks there is installed instead."""

import os
import sys

import pytest
from hypothesis import HealthCheck, settings

# Tests start hundreds of processes, which would each compile all that they import: half their time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Other processes may load the machine: no example has to be fast. `make fuzz` tries many more.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("patient", PATIENT)
settings.register_profile("fuzz", PATIENT, max_examples=3000)
settings.load_profile("patient")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Turn a green session with skips into a red one when CI is set."""
    if _skipped(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Name the tests that CI does not let pass over."""
    if skipped := _skipped(config):
        terminalreporter.section("skipped under CI, which is a failure", red=True, bold=True)
        for report in skipped:
            why = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
            terminalreporter.line(f"{report.nodeid}: {why}")


def _skipped(config: pytest.Config) -> list[pytest.TestReport]:
    if os.environ.get("CI", "").lower() in {"", "0", "false"}:
        return []
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return list(reporter.stats.get("skipped", ())) if reporter else []
