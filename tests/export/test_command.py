"""`interlock audit export`, as a person and as a service runs it."""

import csv
import json
import shutil
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from interlock.cli import app
from interlock.installation import Installation
from interlock.ledger import Event
from interlock.ledger.chain import append
from interlock.ledger.export.source import PAGE
from interlock.settings import Settings
from tests.cli.terminal import INTERLOCK, Answer, Terminal
from tests.export.receivers import Collector

MANY = 5 * PAGE + 7
EXPORT = ("audit", "export")


@pytest.fixture(scope="session")
def _full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("full") / "home"
    with Installation(Settings.load(home=home)) as installation:
        write(installation, MANY)
    return home


def write(installation: Installation, count: int, first: int = 0) -> None:
    """Put events into a ledger, a second apart, in one transaction."""
    node = installation.database.node
    events = [
        Event(f"evt_{n}", 1e9 + n, "decision", "research-agent", f"dec_{n}", {"label": "allow"})
        for n in range(first, first + count)
    ]
    installation.ledger.change(lambda c: [append(c, node, event) for event in events])


@pytest.fixture
def full(_full: Path, tmp_path: Path) -> Terminal:
    """A home whose ledger fills several pages."""
    shutil.copytree(_full, tmp_path / "home")
    return Terminal(tmp_path / "home")


def ids_of(terminal: Terminal) -> list[str]:
    """Every event of a ledger in its order."""
    with Installation(Settings.load(home=terminal.home)) as installation:
        return [row["id"] for row in installation.ledger.tail(100_000)]


def typed(terminal: Terminal, *words: str) -> Answer:
    """What a command says that runs within the test, which is faster than a process."""
    done = CliRunner().invoke(app, ["--home", str(terminal.home), *words])
    return Answer(done.exit_code, done.stdout, done.stderr)


def started(terminal: Terminal, *words: str) -> subprocess.Popen[bytes]:
    """A command that runs beside the test."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([INTERLOCK, *words], env=terminal.variables(), **pipes)


def test_everything_goes_to_the_screen_by_default(full: Terminal) -> None:
    """As JSON Lines; nothing is left in the home."""
    before = full.snapshot()
    assert [event["id"] for event in typed(full, *EXPORT).objects] == ids_of(full)
    assert full.snapshot() == before


def test_a_cursor_goes_on_where_it_was(full: Terminal, tmp_path: Path) -> None:
    """The second run sends what is new, and nothing again."""
    to = ("--to", str(tmp_path / "out.jsonl"), "--cursor", "siem")
    said = typed(full, *EXPORT, *to, "--json").object
    assert said["events"] == len(ids_of(full))
    assert (full.home / "exports").stat().st_mode & 0o777 == 0o700
    with Installation(Settings.load(home=full.home)) as installation:
        write(installation, 3, MANY)
    assert typed(full, *EXPORT, *to, "--json").object["events"] == 3
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == ids_of(full)


def test_a_cursor_that_is_ahead_of_the_ledger_is_told(full: Terminal, tmp_path: Path) -> None:
    """After an older file was put back: what comes next would be taken for exported already."""
    to = ("--to", str(tmp_path / "out.jsonl"), "--cursor", "siem")
    shutil.copytree(full.home, tmp_path / "older")
    with Installation(Settings.load(home=full.home)) as installation:
        write(installation, 3, MANY)
    assert typed(full, *EXPORT, *to).code == 0
    for name in ("interlock.db", "interlock.db-wal", "interlock.db-shm"):
        (full.home / name).unlink(missing_ok=True)
    shutil.copy(tmp_path / "older" / "interlock.db", full.home)
    said = typed(full, *EXPORT, *to)
    assert said.code == 2
    assert "an older file was put back" in said.err
    assert len(said.err.splitlines()) == 1
    assert typed(full, *EXPORT, "--to", str(tmp_path / "new.jsonl"), "--cursor", "new").code == 0


def test_a_cursor_stays_with_its_destination_and_format(full: Terminal, tmp_path: Path) -> None:
    """Another receiver would miss what this one has; a cursor of an older version takes what comes.

    A token in the query may change, and neither that nor the path of a URL is kept in clear.
    """
    kept = full.home / "exports" / "siem.json"
    to = ("--to", str(tmp_path / "out"), "--cursor", "siem")
    assert typed(full, *EXPORT, *to).code == 0
    before = kept.read_bytes()
    other = ("--to", str(tmp_path / "other"), "--cursor", "siem")
    for words in (other, (*to, "--format", "csv"), other[2:]):
        refused = typed(full, *EXPORT, *words)
        assert (refused.code, refused.out, kept.read_bytes()) == (2, "", before)
        assert f"is for jsonl to {tmp_path / 'out'}: give another --cursor name" in refused.err
        assert refused.err.count("\n") == 1
    assert not (tmp_path / "other").exists()
    older = {name: value for name, value in json.loads(before).items() if name != "use"}
    kept.write_text(json.dumps(older))
    with Collector() as collector:
        for token in ("t1", "t2"):
            url = f"{collector.url}/hook-key?token={token}"
            words = (*EXPORT, "--format", "otlp", "--to", url, "--cursor", "siem")
            assert typed(full, *words).code == 0
    assert not any(word in kept.read_text() for word in ("hook-key", "token"))
    assert "give another --cursor name" in typed(full, *EXPORT, *to).err


def test_killed_in_the_middle_it_repeats_one_batch_at_most(full: Terminal) -> None:
    """kill -9 between the receiver's having a batch and its answer: that one alone comes again."""
    with Collector() as collector:
        words = (*EXPORT, "--format", "otlp", "--to", collector.url, "--cursor", "siem")
        with started(full, *words) as process:
            collector.before_answering = lambda n: n == 3 and (process.kill(), process.wait())
            process.wait(120)
        assert process.returncode == -signal.SIGKILL
        collector.before_answering = lambda _: None
        assert typed(full, *words).code == 0
    arrived = Counter(collector.ids())
    assert set(arrived) == set(ids_of(full))
    again = [id_ for id_, times in arrived.items() if times > 1]
    assert again == collector.ids()[2 * PAGE : 3 * PAGE]
    assert max(arrived.values()) == 2


def test_killed_anywhere_a_file_holds_every_event_once(full: Terminal, tmp_path: Path) -> None:
    """kill -9 at any moment while more is written: nothing is lost, torn or there twice."""
    path = tmp_path / "out.csv"
    words = (*EXPORT, "--format", "csv", "--to", str(path), "--cursor", "siem", "--follow")
    for round_ in range(2):
        with Installation(Settings.load(home=full.home)) as installation:
            write(installation, 2 * PAGE, MANY + round_ * 2 * PAGE)
        before = path.stat().st_size if path.exists() else 0
        with started(full, *words) as process:
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline and process.poll() is None:
                if path.exists() and path.stat().st_size > before:
                    break
                time.sleep(0.001)  # it needs a core to get there
            process.kill()
    assert typed(full, *words[:-1]).code == 0
    rows = list(csv.DictReader(path.read_text().splitlines(), strict=True))
    assert [row["id"] for row in rows] == ids_of(full)


def test_pruned_events_are_exported_too(full: Terminal, tmp_path: Path) -> None:
    """What a prune moved away while an export slept is read from the archive."""
    expected = ids_of(full)
    assert typed(full, "audit", "prune", "--keep", "1d").code == 0
    now = [event["id"] for event in typed(full, *EXPORT).objects]
    assert now[: len(expected)] == expected
    assert len(now) > len(expected)
    shutil.move(full.home / "archive", tmp_path / "elsewhere")
    assert "are not in the database" in typed(full, *EXPORT).err
    moved = typed(full, *EXPORT, "--archive", str(tmp_path / "elsewhere")).objects
    assert [event["id"] for event in moved] == now
    assert len(typed(full, *EXPORT, "--since", "1h").objects) > 0


def test_two_exports_do_not_share_a_cursor(full: Terminal, tmp_path: Path) -> None:
    """They would lose and repeat; the second is refused."""
    words = (*EXPORT, "--cursor", "siem", "--to", str(tmp_path / "out"))
    with started(full, *words, "--follow") as process:
        deadline = time.monotonic() + 60
        while not (full.home / "exports" / "siem.json").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert "another export is using this cursor" in typed(full, *words).err
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, b"")


def test_following_outlives_a_receiver_that_is_down(full: Terminal) -> None:
    """It says so once, tries again, and goes on when the receiver is back."""
    with Collector() as collector:
        collector.status = 503
        to = ("--format", "otlp", "--to", collector.url, "--cursor", "siem")
        with started(full, *EXPORT, *to, "--follow") as process:
            wait_for(lambda: len(collector.headers) > 2)
            collector.status = 200
            wait_for(lambda: len(collector.ids()) >= MANY)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
    assert collector.ids() == ids_of(full)
    (line,) = err.decode().splitlines()
    assert "answered 503: trying again" in line


def wait_for(true: object) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + 60
    while not true():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_only_some_kinds(full: Terminal) -> None:
    """The others are passed by."""
    found = typed(full, *EXPORT, "--kind", "decision").objects
    assert {event["kind"] for event in found} == {"decision"}
    assert len(found) == MANY


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(("--kind", "decisions"), "is no kind", id="a kind that is none"),
        pytest.param(("--cursor", "../x"), "is not a name", id="a cursor outside the home"),
        pytest.param(("--to", "ftp://h/"), "is not one of", id="another protocol"),
        pytest.param(("--to", "/no/such/folder/x"), "No such file", id="no such folder"),
        pytest.param(("--header", "Authorization: x"), "is not like", id="a value in a header"),
        pytest.param(("--header", "A=NO_SUCH"), "NO_SUCH is empty", id="a variable not set"),
        pytest.param(("--header", "A=PATH"), "that is posted to", id="a header on the screen"),
        pytest.param(
            ("--header", "A=PATH", "--to", "http://siem.example/"),
            "use https://",
            id="a header in the clear",
        ),
        pytest.param(("--json",), "give --to", id="json on the screen"),
        pytest.param(("--ca", "/no/such.pem", "--to", "https://h/"), "such.pem", id="no such CA"),
    ],
)
def test_bad_input_is_one_line(full: Terminal, words: tuple[str, ...], said: str) -> None:
    """It names the option; nothing is written."""
    before = full.snapshot()
    answer = typed(full, *EXPORT, *words)
    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err
    assert answer.err.count("\n") == 1
    assert full.snapshot() == before


def test_a_cursor_that_is_broken_says_so(full: Terminal) -> None:
    """Neither all again nor nothing at all."""
    (full.home / "exports").mkdir()
    (full.home / "exports" / "siem.json").write_text("{}")
    answer = typed(full, *EXPORT, "--cursor", "siem")
    assert (answer.code, answer.out) == (2, "")
    assert "siem.json: is no cursor" in answer.err


def test_a_reader_that_leaves_ends_it(full: Terminal) -> None:
    """`| head` is no crash."""
    with started(full, *EXPORT) as process:
        assert process.stdout
        process.stdout.readline()
        process.stdout.close()
        err = process.stderr.read() if process.stderr else b""
        process.wait(60)
    assert (process.returncode, err) == (2, b"interlock: standard output: Broken pipe\n")
