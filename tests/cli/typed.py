"""Runs commands in processes that have the program loaded already.

Loading takes ten times as long as most commands do; the process, its files, its environment and
its exit code are as real. `tests/test_wheel.py` starts the installed program itself.
"""

import multiprocessing
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from multiprocessing.context import ForkServerContext
from pathlib import Path

LIMIT_S = 60


def run(words: Sequence[str], stdin: bytes, environ: Mapping[str, str]) -> tuple[int, bytes, bytes]:
    """Exit code, stdout and stderr of one command; raises TimeoutError after a minute."""
    with ExitStack() as stack:
        given, out, err = [stack.enter_context(tempfile.NamedTemporaryFile()) for _ in range(3)]
        given.write(stdin)
        given.flush()
        files = [one.name for one in (given, out, err)]
        whole = (list(words), dict(environ), str(Path.cwd()), files)
        process = _context().Process(target=_type, args=whole)
        process.start()
        process.join(LIMIT_S)
        if process.exitcode is None:
            process.kill()
            raise TimeoutError(f"interlock {' '.join(words)}")
        return process.exitcode, out.read(), err.read()


def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["interlock.cli", "interlock.cli.home"])
    return context


def _type(words: list[str], environ: dict[str, str], folder: str, files: list[str]) -> None:
    from interlock.cli import app

    for number, path in enumerate(files):
        os.dup2(os.open(path, os.O_WRONLY if number else os.O_RDONLY), number)
    sys.stdin = os.fdopen(0)
    os.environ.clear()
    os.environ.update(environ)
    os.chdir(folder)
    sys.path[:0] = filter(None, [environ.get("PYTHONPATH")])
    sys.argv = ["interlock", *words]
    app()
