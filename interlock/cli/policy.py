"""`interlock policy`: look at policies as the front door would load them, test and compare them."""

from dataclasses import asdict
from difflib import unified_diff
from pathlib import Path
from typing import Annotated

import typer

from interlock.apdp import PolicyFolder
from interlock.apdp.cases import Outcome, load_cases, run_case
from interlock.apdp.difference import Change, changes
from interlock.apdp.intents import load_intents
from interlock.calls import Catalogue
from interlock.cli import grants, policy_tools
from interlock.cli.exits import NoError
from interlock.cli.home import settings_of
from interlock.cli.printing import Json, say, say_json, say_styled, say_table
from interlock.errors import PolicyError
from interlock.governor import require_coverage

app = typer.Typer(help="Policies: what may be done, by whom, and why.")

Folder = Annotated[
    Path | None,
    typer.Argument(metavar="DIR", help="The folder; default: the one that is in force."),
]


@app.command()
def check(context: typer.Context, folder: Folder = None, as_json: Json = False) -> None:
    """Load a folder of policies as the front door does; exit 1 when it would not load."""
    try:
        checked = load_as_front_door(folder or settings_of(context).policies)
    except PolicyError as e:
        raise NoError(str(e)) from None
    policies = checked.current
    if as_json:
        listed = [{"id": p.id, "description": p.description} for p in policies.by_id.values()]
        say_json({"folder": str(checked.folder), "digest": policies.digest, "policies": listed})
        return
    say(f"{len(policies)} policies, set {policies.digest}, from {checked.folder}")
    say()
    say_table(("policy", "description"), ((p.id, p.description) for p in policies.by_id.values()))


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
