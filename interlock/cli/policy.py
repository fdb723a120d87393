"""`interlock policy`: look at policies as the front door would load them, test and compare them."""

from dataclasses import asdict
from difflib import unified_diff
from pathlib import Path
from typing import Annotated

import typer
from rich.cells import cell_len

from interlock.apdp import PolicyFolder
from interlock.apdp.cases import Outcome, load_cases, run_case
from interlock.apdp.check import ERROR, Finding, check
from interlock.apdp.difference import Change, changes
from interlock.apdp.intents import load_intents
from interlock.apdp.policies import shipped
from interlock.calls import Catalogue
from interlock.cli import grants, policy_tools
from interlock.cli.exits import NoError
from interlock.cli.home import settings_of
from interlock.cli.printing import Json, printable, say, say_json, say_styled, say_table
from interlock.coverage import require_coverage
from interlock.errors import PolicyError

app = typer.Typer(help="Policies: what may be done, by whom, and why.")

# Of a line with a mistake in it; longer ones are cut, and what is cut away has no caret.
WIDEST = 200

Folder = Annotated[
    Path | None,
    typer.Argument(metavar="DIR", help="The folder; default: the one that is in force."),
]


@app.command("check")
def look(
    context: typer.Context,
    folder: Folder = None,
    strict: Annotated[bool, typer.Option("--strict", help="Let warnings fail too.")] = False,
    as_json: Json = False,
) -> None:
    """Look for all that is wrong with a folder of policies; exit 1 when it would not load."""
    path = folder or settings_of(context).policies or shipped()
    found = list(check(path))
    loaded = None
    if not any(finding.severity == ERROR for finding in found):
        try:
            loaded = load_as_front_door(path)
        except PolicyError as e:
            said = str(e).removeprefix(f"{path}: ")
            found.append(Finding(str(path), 0, 0, ERROR, "load", said))
    if as_json:
        say_json(_checked(path, loaded) | {"findings": [asdict(finding) for finding in found]})
    else:
        for finding in found:
            _say_finding(finding)
        if loaded:
            _say_policies(loaded)
    failing = [finding for finding in found if strict or finding.severity == ERROR]
    if failing:
        raise NoError(_counted(found))


@app.command("test")
def ask(context: typer.Context, folder: Folder = None, as_json: Json = False) -> None:
    """Ask the cases of DIR/cases/*.yaml; exit 1 when an answer is not the expected one."""
    policies = load_as_front_door(folder or settings_of(context).policies).current
    outcomes = [run_case(policies, case) for case in load_cases(policies.folder)]
    for outcome in outcomes:
        if as_json:
            say_json(_as_json(outcome))
        else:
            _say_outcome(outcome)
    if failed := sum(not outcome.passed for outcome in outcomes):
        raise NoError(f"{failed} of {len(outcomes)} cases failed")
    if not as_json:
        say(f"{len(outcomes)} cases, all as expected")


@app.command()
def diff(
    before: Annotated[Path, typer.Argument(metavar="A", help="The folder before.")],
    after: Annotated[Path, typer.Argument(metavar="B", help="The folder after.")],
    as_json: Json = False,
) -> None:
    """List the policies that were added, removed or changed; exit 1 when there are any."""
    found = changes(before, after)
    for change in found:
        if as_json:
            say_json({"kind": change.kind} | asdict(change))
        else:
            _say_change(change)
    if found:
        raise NoError(f"policies that differ: {len(found)}")


for tool in (
    policy_tools.explain,
    policy_tools.replay,
    policy_tools.suggest,
    grants.link,
    grants.unlink,
    grants.links,
):
    app.command()(tool)


def load_as_front_door(folder: Path | None) -> PolicyFolder:
    """Load a set that can judge every call there is; raises PolicyError."""
    loaded = PolicyFolder(folder)
    require_coverage(loaded.current, Catalogue.shipped())
    load_intents(loaded.folder, loaded.current.action_names)
    return loaded


def _checked(path: Path, loaded: PolicyFolder | None) -> dict[str, object]:
    policies = loaded.current if loaded else None
    listed = policies.by_id.values() if policies else ()
    return {
        "folder": str(path),
        "digest": policies.digest if policies else None,
        "policies": [{"id": p.id, "description": p.description} for p in listed],
    }


def _say_policies(loaded: PolicyFolder) -> None:
    policies = loaded.current
    say(f"{len(policies)} policies, set {policies.digest}, from {loaded.folder}")
    say()
    say_table(("policy", "description"), ((p.id, p.description) for p in policies.by_id.values()))


def _say_finding(finding: Finding) -> None:
    """The place and the message, as compilers print them; then the line, with a caret below."""
    place = f"{finding.file}:{finding.line}:{finding.column}" if finding.line else finding.file
    style = "bold red" if finding.severity == ERROR else "yellow"
    said = f" {finding.message} [{finding.rule}]"
    say_styled((f"{place}: ", "bold"), (f"{finding.severity}:", style), (said, ""))
    if finding.source:
        before = finding.source[: finding.column - 1]
        # The line is printed with its tabs as blanks, and the caret is moved by what is printed.
        say(f"  {_shown(finding.source)}")
        say_styled((f"  {' ' * cell_len(_shown(before))}", ""), ("^", "bold green"))
    say()


def _shown(text: str) -> str:
    return printable(text.replace("\t", "    ")[:WIDEST])


def _counted(found: list[Finding]) -> str:
    errors = sum(finding.severity == ERROR for finding in found)
    warnings = len(found) - errors
    named = ((errors, "error"), (warnings, "warning"))
    return ", ".join(f"{n} {word}{'s' * (n > 1)}" for n, word in named if n)


def _as_json(outcome: Outcome) -> dict[str, object]:
    case = outcome.case
    return {
        "file": case.file,
        "case": case.name,
        "passed": outcome.passed,
        "expected": case.expect,
        "policy": case.policy,
        "got": outcome.effect,
        "reasons": [reason.policy_id for reason in outcome.reasons],
    }


def _say_outcome(outcome: Outcome) -> None:
    name = f"{Path(outcome.case.file).name}: {outcome.case.name}"
    if outcome.passed:
        say_styled(("ok    ", "green"), (name, ""))
        return
    say_styled(("FAILS ", "bold red"), (name, ""))
    say(f"      expected {outcome.expected}, got {outcome.got}")


def _say_change(change: Change) -> None:
    say(change.kind, change.id, style="bold")
    compared = unified_diff(change.before.splitlines(), change.after.splitlines(), n=99)
    for line in list(compared)[3:]:
        say(f"  {line}")
    say()
