"""Types commands the way a person does: the real program, a home of its own, nothing inherited."""

import json
import os
import sqlite3
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.cli import typed

INTERLOCK = str(Path(sys.executable).parent / "interlock")


@dataclass(frozen=True)
class Answer:
    """What came back."""

    code: int
    out: str
    err: str

    @property
    def objects(self) -> list[dict[str, Any]]:
        """One JSON object a line."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def object(self) -> dict[str, Any]:
        """The one JSON object."""
        (one,) = self.objects
        return one


@dataclass
class Terminal:
    """A person at a shell whose INTERLOCK_HOME is `home`."""

    home: Path
    environ: dict[str, str] = field(default_factory=dict)

    def run(self, *words: str, stdin: bytes = b"", **environ: str) -> Answer:
        """Type a command and wait for its end."""
        code, out, err = typed.run(words, stdin, self.variables() | environ)
        return Answer(code, out.decode(), err.decode())

    def does(self, *words: str, stdin: bytes = b"", **environ: str) -> Answer:
        """Type a command that must succeed."""
        answer = self.run(*words, stdin=stdin, **environ)
        assert answer.code == 0, answer.err
        return answer

    def fails(self, code: int, *words: str, stdin: bytes = b"", **environ: str) -> str:
        """Type a command that must fail with one clear line, which is the answer."""
        answer = self.run(*words, stdin=stdin, **environ)
        assert (answer.code, answer.out) == (code, "")
        assert "Traceback" not in answer.err
        assert answer.err.startswith("interlock: ")
        (line,) = answer.err.splitlines()
        return line

    def variables(self) -> dict[str, str]:
        """The environment: ours without anything of Interlock, and HOME where nobody lives."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("INTERLOCK_", "COV"))}
        own = {"HOME": str(self.home.parent), "INTERLOCK_HOME": str(self.home)}
        return kept | own | self.environ

    def events(self) -> int:
        """How many rows the ledger has; none without a database."""
        path = self.home / "interlock.db"
        if not path.exists():
            return 0
        connection = sqlite3.connect(path)
        try:
            return int(connection.execute("select count(*) from events").fetchone()[0])
        finally:
            connection.close()

    def tamper(self, *statements: str) -> None:
        """Change the database like an attacker who has the file."""
        connection = sqlite3.connect(self.home / "interlock.db")
        with connection:
            for statement in statements:
                connection.execute(statement)
        connection.close()

    def snapshot(self) -> dict[str, bytes]:
        """Every file of the home, by name, with its content."""
        files = (path for path in self.home.rglob("*") if path.is_file())
        return {str(path): path.read_bytes() for path in files}
