"""The shape of the house: imports point one way, and a few rules that keep the rooms small."""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import interlock

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("addons", "broker", "interlock")
LONGEST = 500

# From top to bottom: a room may import what stands below it, never what stands above.
ORDER = (
    ("interlock.cli", "interlock.demo", "interlock.dashboard", "interlock.api"),
    ("addons",),
    (
        "interlock.governor",
        "interlock.recorder",
        "interlock.case",
        "interlock.declaration",
        "interlock.refusal",
        "interlock.batch",
        "interlock.coverage",
        "interlock.offers",
        "interlock.hold",
        "interlock.inventory",
        "interlock.home_inventory",
        "interlock.remote_inventory",
        "interlock.patrol",
        "interlock.forgetting",
        "interlock.shadow",
        "interlock.verdict",
        "interlock.installation",
        "interlock.alerts",
        "interlock.custody",
        "interlock.federation",
        "interlock.minting",
        "interlock.plan",
        "interlock.purse",
        "interlock.rates",
        "interlock.safe",
        "interlock.own_key",
    ),
    (
        "interlock.calls",
        "interlock.registry",
        "interlock.apdp",
        "interlock.ledger",
        "interlock.discovery",
    ),
    ("interlock.store", "interlock.settings"),
    ("interlock.client",),
    ("interlock.delegation",),
    (
        "broker",
        "interlock.model",
        "interlock.pattern",
        "interlock.errors",
        "interlock.steps",
        "interlock",
    ),
)
FLOOR = {room: floor for floor, rooms in enumerate(ORDER) for room in rooms}
# Rooms that share a floor and yet do not know each other.
STRANGERS = frozenset(ORDER[3])


@dataclass(frozen=True, slots=True)
class Source:
    """One parsed file; `name` is the module's dotted name, or that of the package it opens."""

    path: Path
    name: str
    tree: ast.Module

    def imports(self) -> Iterator[tuple[int, str]]:
        """Yield line and dotted name of everything imported, inside functions too."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((node.lineno, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def sources(root: Path, *packages: str) -> list[Source]:
    """Parse every file of the packages that exist under root."""
    found = []
    for path in sorted(p for package in packages for p in (root / package).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found.append(Source(path.relative_to(root), name, ast.parse(path.read_bytes(), path.name)))
    return found


def room_of(name: str) -> str | None:
    """Return the room that a dotted name lies in; None if it is none of ours."""
    parts = name.split(".")
    prefixes = (".".join(parts[:end]) for end in range(len(parts), 0, -1))
    return next((prefix for prefix in prefixes if prefix in FLOOR), None)


def may_import(room: str, other: str) -> bool:
    """Say whether the first room may know the second."""
    if room == other:
        return True
    if room == "broker":
        return False
    if FLOOR[room] == FLOOR[other]:
        return room not in STRANGERS
    return FLOOR[room] < FLOOR[other]


def wrong_arrows(root: Path) -> list[str]:
    """List the imports that run back, one line each."""
    return [
        f"{source.path}:{line}: {room} imports {other} ({name})"
        for source in sources(root, *PACKAGES)
        for line, name in source.imports()
        if (room := room_of(source.name)) and (other := room_of(name))
        if not may_import(room, other)
    ]


def test_imports_point_one_way() -> None:
    """No import runs from a lower room to a higher one, or between the rooms of the core."""
    assert wrong_arrows(ROOT) == []


@pytest.mark.parametrize(
    ("importer", "statement"),
    [
        pytest.param("interlock/store/x.py", "import interlock.governor", id="up two floors"),
        pytest.param("interlock/apdp/x.py", "import interlock.ledger.chain", id="to a stranger"),
        pytest.param("interlock/apdp/x.py", "from interlock import ledger", id="by its package"),
        pytest.param("interlock/governor.py", "from addons import gate", id="core to front door"),
        pytest.param("interlock/model.py", "def f():\n  import interlock.store", id="hidden in f"),
        pytest.param("addons/x.py", "from interlock.cli import app", id="front door to command"),
        pytest.param("broker/x.py", "from interlock.model import Call", id="broker to anything"),
    ],
)
def test_finds_an_arrow_that_runs_back(tmp_path: Path, importer: str, statement: str) -> None:
    """A forbidden import is found, wherever and however it is written."""
    _write(tmp_path / importer, statement)
    assert len(wrong_arrows(tmp_path)) == 1


@pytest.mark.parametrize(
    ("importer", "statement"),
    [
        pytest.param("interlock/governor.py", "from interlock import apdp, ledger", id="down one"),
        pytest.param("interlock/apdp/x.py", "from interlock.apdp.y import z", id="own room"),
        pytest.param("interlock/cli/x.py", "from interlock.demo import run", id="top neighbours"),
        pytest.param("interlock/store/x.py", "from broker import Spent", id="to the broker"),
        pytest.param("broker/x.py", "import json, nacl.signing", id="other people's packages"),
        pytest.param("addons/x.py", "import interlockish", id="a name that only begins alike"),
    ],
)
def test_lets_an_arrow_that_runs_down_pass(tmp_path: Path, importer: str, statement: str) -> None:
    """An allowed import is no finding."""
    _write(tmp_path / importer, statement)
    assert wrong_arrows(tmp_path) == []


def test_every_file_lies_in_a_room() -> None:
    """A new module of the core gets a place in ORDER before it is written."""
    placed = ("interlock", *PACKAGES)
    homeless = [
        str(source.path)
        for source in sources(ROOT, "interlock")
        if room_of(source.name) in placed and source.name not in placed
    ]
    assert homeless == []


def test_only_the_front_door_knows_mitmproxy() -> None:
    """The core and the broker run without mitmproxy."""
    found = [
        f"{source.path}:{line}"
        for source in sources(ROOT, "broker", "interlock")
        for line, name in source.imports()
        if name.split(".")[0] == "mitmproxy"
    ]
    assert found == []


def test_the_entry_script_holds_no_logic() -> None:
    """addons/governance.py repairs the path and lists the addons, nothing else."""
    for source in sources(ROOT, "addons"):
        if source.name == "addons.governance":
            assert [ast.unparse(node) for node in source.tree.body if not _belongs(node)] == []
            assert [_is_the_list(node) for node in source.tree.body].count(True) == 1


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("def request(flow): ...", id="a hook"),
        pytest.param("for a in x: print(a)", id="a loop"),
        pytest.param("if x: import y", id="a condition that is not about the path"),
        pytest.param("addons = build(mode)", id="a list that depends on something"),
        pytest.param("_ = [start() for start in x]", id="work behind a private name"),
    ],
)
def test_finds_logic_in_the_entry_script(statement: str) -> None:
    """Anything that decides is found."""
    assert not _belongs(ast.parse(statement).body[0])


def test_no_file_is_too_long() -> None:
    """A file of more than 500 lines is two files."""
    lengths = {
        str(source.path): len((ROOT / source.path).read_bytes().splitlines())
        for source in sources(ROOT, *PACKAGES, "tests", "benchmarks")
    }
    assert {path: lines for path, lines in lengths.items() if lines > LONGEST} == {}


def test_no_addon_hides_a_standard_module() -> None:
    """mitmproxy puts addons/ first on the path, so addons/types.py would be everybody's `types`."""
    stems = {path.stem for path in (ROOT / "addons").glob("*")}
    assert stems & (sys.stdlib_module_names - {"__init__"}) == set()


def test_imports_are_absolute() -> None:
    """An entry script has no package, so relative imports never work in it; nobody uses them."""
    found = [
        f"{source.path}:{node.lineno}"
        for source in sources(ROOT, *PACKAGES)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert found == []


def test_only_the_commands_print() -> None:
    """Everything else logs."""
    found = [
        f"{source.path}:{node.lineno}"
        for source in sources(ROOT, *PACKAGES)
        if room_of(source.name) != "interlock.cli"
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "print"
    ]
    assert found == []


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(text)


def _belongs(node: ast.stmt) -> bool:
    """Say whether a statement may stand in the entry script."""
    if isinstance(node, ast.Import | ast.ImportFrom | ast.Delete):
        return True
    if _is_the_list(node) or _is_the_door(node):
        return True
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True
    about_path = "sys.path" in ast.unparse(node) or "__file__" in ast.unparse(node)
    return about_path and isinstance(node, ast.Assign | ast.Expr | ast.If)


def _is_the_list(node: ast.stmt) -> bool:
    """Say whether a statement is `addons = [...]`."""
    match node:
        case ast.Assign(targets=[ast.Name("addons")], value=ast.List()):
            return True
    return False


def _is_the_door(node: ast.stmt) -> bool:
    """Say whether a statement is `door = Door()`, which the addons share."""
    return ast.unparse(node) == "door = Door()"


def test_no_module_hides_a_name_of_the_client() -> None:
    """A submodule that was imported goes before what the package hands out lazily."""
    modules = {path.stem for path in (ROOT / "interlock").iterdir()}
    assert not modules & set(interlock._OF_THE_CLIENT)
