"""The documentation is complete and true: what can be typed, set or sent is written down.

`python tests/test_docs.py > docs/commands.md` writes the reference of the commands anew.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from addons.options import HELP
from interlock.cli import app
from interlock.ledger.kinds import KINDS
from interlock.settings import Settings
from interlock.store.views import VIEWS

ROOT = Path(__file__).resolve().parent.parent
LEDGER = ROOT / "docs" / "ledger.md"
COMMANDS = ROOT / "docs" / "commands.md"
SETTINGS = ROOT / "docs" / "settings.md"

TOP = """\
# Commands

Every command takes `--json` (one object, or one object a line for lists) and `--help`.
`interlock --home PATH COMMAND` works on another home than `INTERLOCK_HOME` or `~/.interlock`.
What an agent said is printed with control characters escaped; output into a pipe is plain and
never cut.

Exit codes: 0 fine, 1 the answer is no, 2 bad usage or bad input (one line on stderr says what),
130 interrupted. Durations are `45s`, `30m`, `8h` or `90d`.

This page is written by `python tests/test_docs.py > docs/commands.md` from what `--help` says.
"""


def commands(command: Any = None, path: str = "interlock") -> Iterator[tuple[str, Any]]:
    """Every command that does something, with the words that lead to it."""
    command = command or typer.main.get_command(app)
    if not hasattr(command, "commands"):
        yield path, command
        return
    for name, inner in command.commands.items():
        yield from commands(inner, f"{path} {name}")


def reference() -> str:
    """The page about all commands."""
    return "\n".join([TOP, *(section(path, command) for path, command in commands())])


def section(path: str, command: Any) -> str:
    """The part about one command."""
    context = command.make_context(path, [], resilient_parsing=True)
    arguments = [typed(p) for p in command.params if p.param_type_name == "argument"]
    lines = [f"## {' '.join([path, *arguments])}", "", command.help, ""]
    described = [(term(p, context), p.help) for p in command.params if "--json" not in p.opts]
    if described:
        lines += ["| | |", "|---|---|"]
        lines += [f"| `{name}` | {text} |" for name, text in described]
        lines += [""]
    return "\n".join(lines)


def term(param: Any, context: Any) -> str:
    """An argument or option as one types it."""
    if param.param_type_name == "argument":
        return str(param.metavar)
    names = ", ".join(param.opts)
    if param.is_flag:
        return names
    metavar = param.metavar or param.display_type(context).strip("<>").replace("|", " or ")
    default = f" ({param.default})" if param.default and not param.multiple else ""
    return f"{names} {metavar}{default}"


def typed(argument: Any) -> str:
    """An argument in the line of its command."""
    return argument.metavar if argument.required else f"[{argument.metavar}]"


def mentions(page: str, word: str) -> bool:
    """Say whether a page has this word as code."""
    return re.search(rf"`[^`\n]*(?<![\w-]){re.escape(word)}(?![\w-])[^`\n]*`", page) is not None


def code(folder: str) -> str:
    """The text of all modules of a package."""
    return "\n".join(path.read_text() for path in sorted((ROOT / folder).rglob("*.py")))


def headers() -> set[str]:
    """Every header of ours that the front door reads or writes."""
    found = re.findall(r'"(interlock(?:-[a-z]+)+)"', code("addons"), re.IGNORECASE)
    return {"-".join(map(str.capitalize, header.split("-"))) for header in found}


def environment() -> set[str]:
    """Every variable of ours that the code reads, the settings' own included."""
    found = re.findall(r"\bINTERLOCK_[A-Z][A-Z_]*[A-Z]", code("interlock") + code("broker"))
    return set(found) | {f"INTERLOCK_{name.upper()}" for name in Settings.model_fields}


def written() -> Iterator[tuple[str, ast.AST]]:
    """Every construction of an event of the ledger, with the kind that it is of."""
    kinds = ast.parse((ROOT / "interlock" / "ledger" / "notary.py").read_text())
    constant = {n.targets[0].id: n.value for n in ast.walk(kinds) if _is_name(n)}
    for path in [*(ROOT / "interlock").rglob("*.py"), *(ROOT / "addons").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Event":
                kind = node.args[2] if len(node.args) > 2 else None
                kind = constant.get(getattr(kind, "id", ""), kind)
                if isinstance(kind, ast.Constant):
                    yield str(kind.value), node


def _is_name(node: ast.AST) -> bool:
    return isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)


def fields() -> set[str]:
    """Every field of a decision, an outcome, an access, an alert and a gap, as the code has it."""
    rows = {
        "interlock/verdict.py": ("decision_event", "access_event"),
        "interlock/apdp/facts.py": ("facts_of",),
        "interlock/calls/fields.py": ("names_of",),
        "interlock/governor.py": ("close",),
        "interlock/ledger/announce.py": ("work", "announce_policies", "announce_failure"),
        "interlock/ledger/knocks.py": ("_tell",),
        "interlock/hold.py": ("_ask",),
        "interlock/alerts/alarm.py": ("_alert",),
        "interlock/ledger/gap.py": ("_event",),
        "interlock/ledger/notary.py": ("_event",),
        "interlock/ledger/settlement.py": ("_unknown",),
        "addons/outcome.py": ("_outcome", "_seen", "_note"),
    }
    return {key for path, names in rows.items() for key in _keys(ROOT / path, names)}


def _keys(path: Path, names: tuple[str, ...]) -> Iterator[str]:
    """The keys of the dictionaries that some functions of a file write."""
    for function in ast.walk(ast.parse(path.read_text())):
        if isinstance(function, ast.FunctionDef) and function.name in names:
            for node in ast.walk(function):
                keys = node.keys if isinstance(node, ast.Dict) else ()
                if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
                    keys = (node.slice,)
                yield from (str(k.value) for k in keys if isinstance(k, ast.Constant))


def vocabulary() -> Iterator[str]:
    """Every action and every attribute of the context in the schema."""
    schema = re.sub(r"//.*", "", (ROOT / "policies" / "schema.cedarschema").read_text())
    for names in re.findall(r"\baction ([\w,\s]+?)\s*(?:in \[|appliesTo)", schema):
        yield from (name.strip() for name in names.split(","))
    why = re.search(r"type Why = \{(.*?)\};", schema, re.DOTALL)
    assert why
    yield from re.findall(r"(\w+)\??:", why[1])


def test_the_page_of_commands_is_up_to_date() -> None:
    """docs/commands.md says what the commands themselves say."""
    assert COMMANDS.read_text() == reference(), "python tests/test_docs.py > docs/commands.md"


@pytest.mark.parametrize(
    ("path", "command"), [pytest.param(*pair, id=pair[0]) for pair in commands()]
)
def test_help_names_every_option_of_the_page(
    path: str, command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--help works everywhere, and it and the page name the same options and arguments."""
    monkeypatch.setenv("COLUMNS", "200")
    shown = CliRunner().invoke(app, [*path.split()[1:], "--help"])
    page = COMMANDS.read_text()
    part = page[page.index(f"## {path}") :].split("\n## ")[0]
    for name in re.findall(r"^\| `(--?[\w-]+|[A-Z]+)", part, re.MULTILINE):
        assert name in shown.stdout
    assert shown.exit_code == 0
    options = {opt for p in command.params for opt in p.opts if opt.startswith("-")}
    assert [opt for opt in options - {"--json"} if not mentions(part, opt)] == []


def test_the_shared_options_are_documented() -> None:
    """What every command takes is said once, at the top."""
    assert all(mentions(TOP, option) for option in ("--home", "--json", "--help"))


def test_every_command_speaks_json() -> None:
    """There is no command that a program cannot read."""
    assert [path for path, c in commands() if not any("--json" in p.opts for p in c.params)] == []


@pytest.mark.parametrize("name", sorted({*HELP, *Settings.model_fields}))
def test_every_setting_is_documented(name: str) -> None:
    """A setting has a row with its option, its variable and its key."""
    row = re.search(rf"^\| `interlock_{name}` .*$", SETTINGS.read_text(), re.MULTILINE)
    assert row
    assert mentions(row[0], f"INTERLOCK_{name.upper()}") or name == "home"
    assert mentions(row[0], name) or name == "home"


@pytest.mark.parametrize("name", sorted(environment()))
def test_every_variable_is_documented(name: str) -> None:
    """Whatever we read from the environment is written down."""
    assert mentions(SETTINGS.read_text(), name)


@pytest.mark.parametrize("name", sorted(headers()))
def test_every_header_is_documented(name: str) -> None:
    """Whatever we read from a request or put on an answer is written down."""
    assert mentions(SETTINGS.read_text(), name)


@pytest.mark.parametrize("word", list(vocabulary()))
def test_every_word_of_the_policies_is_documented(word: str) -> None:
    """An action or attribute that a policy may use is named and explained."""
    pages = [*(ROOT / "docs").glob("*.md"), ROOT / "policies" / "README.md"]
    assert any(mentions(page.read_text(), word) for page in pages if page.is_file())


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_of_event_is_documented(kind: str) -> None:
    """A kind has a row of its own on the page of the ledger."""
    assert re.search(rf"^\| `{kind}` \|", LEDGER.read_text(), re.MULTILINE)


def test_every_kind_that_is_written_is_known() -> None:
    """What the code writes can be asked for by `--kind`, and stands on the page."""
    found = {kind for kind, _ in written()}
    assert {"decision", "outcome", "alert", "gap", "checkpoint", "admin"} <= found
    assert found - {"test"} <= KINDS.keys()  # the test of a webhook is sent, not recorded


@pytest.mark.parametrize("name", sorted(fields()))
def test_every_field_of_an_event_is_documented(name: str) -> None:
    """Whoever reads a row finds its words on the page."""
    assert mentions(LEDGER.read_text(), name), f"docs/ledger.md: add `{name}` to the table"


@pytest.mark.parametrize("name", sorted(VIEWS))
def test_every_view_is_documented(name: str) -> None:
    """So that it is found by those who do not read schemas."""
    assert mentions(LEDGER.read_text(), name)


PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "policies").glob("*.md")),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    """A page that is linked exists."""
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[\w-]+)?\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_page_is_in_the_list_of_the_readme() -> None:
    """Nobody has to look into folders to know what there is to read."""
    readme = (ROOT / "README.md").read_text()
    pages = sorted(path.name for path in (ROOT / "docs").glob("*.md"))
    assert [name for name in pages if f"\n- [docs/{name}](docs/{name}): " not in readme] == []


def test_records_of_decisions_are_numbered_in_order() -> None:
    """A number names one record, in its file name and in its title."""
    records = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    numbers = [f"{number:04}" for number in range(1, len(records) + 1)]
    assert [record.name[:4] for record in records] == numbers
    assert [record.read_text()[2:6] for record in records] == numbers


def test_no_line_of_the_changelog_stands_twice() -> None:
    """It merges by union, which doubles what two people moved."""
    lines = [line for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if line[:2] == "- "]
    assert [line for line in lines if lines.count(line) > 1] == []


if __name__ == "__main__":
    sys.stdout.write(reference())
