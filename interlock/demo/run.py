"""`interlock demo`: plays the story, measures how it went, and fails when it went otherwise."""

import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from rich.console import Console

from interlock.demo import report
from interlock.demo.heard import Heard
from interlock.demo.stage import Stage, set_up
from interlock.demo.story import STORY, Ending, Result, Scene, difference
from interlock.errors import InterlockError
from interlock.ledger import Ledger
from interlock.ledger.verification import Verification
from interlock.model import Mode

INTERRUPTED = 130
UNDECIDED = {"agent": "", "body": {"label": "", "reasons": [], "action": "", "resource": ""}}
FAILURES = (InterlockError, OSError, RuntimeError, ValueError, subprocess.SubprocessError)


@dataclass(frozen=True, slots=True)
class Take:
    """One scene as it was played."""

    mode: Mode
    scene: Scene
    call_id: str
    heard: Heard


def demo(as_json: bool, scenes: Sequence[Scene] = STORY) -> int:
    """Play the scenes and show what happened, as a table or as one JSON object on stdout.

    Answers the exit code: 0 when all came out as the story says, 1 when not, 130 on Ctrl-C.
    """
    console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    try:
        with console.status("setting the stage") as status, set_up() as stage:
            takes = list(play(stage, scenes, status.update))
            results, ledger = review(stage, takes)
    except KeyboardInterrupt:
        return INTERRUPTED
    except FAILURES as e:
        console.print(f"interlock demo: {e}")
        return 1
    (report.show_json if as_json else report.show_tables)(results, ledger)
    expected = [take.scene.expected(take.mode) for take in takes]
    problems = [*filter(None, map(difference, expected, results)), *filter(None, [ledger.problem])]
    if problems:
        more = f" (and {len(problems) - 1} more)" if problems[1:] else ""
        console.print(f"interlock demo: not as the story says: {problems[0]}{more}")
    return 1 if problems else 0


def play(stage: Stage, scenes: Sequence[Scene], say: Callable[[str], None]) -> Iterator[Take]:
    """Let every agent call, first in observe mode, then in enforce mode."""
    for mode in Mode:
        say(f"{mode} mode: starting the front door")
        with stage.front_door(mode) as door:
            for scene in scenes:
                say(f"{mode} mode: {scene.agent} calls")
                call_id = str(uuid4())
                yield Take(mode, scene, call_id, stage.call(door, scene.agent, scene.task, call_id))


def review(stage: Stage, takes: Sequence[Take]) -> tuple[list[Result], Verification]:
    """Hold what was heard against upstream and ledger, now that nothing is under way any more."""
    with stage.installation() as installation:
        results = [measure(stage, take, installation.ledger) for take in takes]
        return results, installation.ledger.verify()


def measure(stage: Stage, take: Take, ledger: Ledger) -> Result:
    """Find out how one call ended."""
    heard, arrived = take.heard, stage.arrived(take.call_id)
    rows = ledger.of(heard.decision_id)
    decided: dict[str, Any] = next((row for row in rows if row["kind"] == "decision"), UNDECIDED)
    said = decided["body"]
    ending = Ending(
        decision=said["label"],
        status=heard.status,
        why=tuple(policy_id for policy_id, _ in said["reasons"]),
        arrived=len(arrived),
        outcomes=sum(row["kind"] == "outcome" for row in rows),
        streamed=heard.streamed,
        upstream_saw_secret=any(map(stage.holds_secret, arrived)),
        agent_saw_secret=stage.holds_secret(heard.raw),
        masked=stage.holds_mask(heard.raw, take.scene.task.provider),
    )
    who, what, on = decided["agent"], said["action"], said["resource"]
    return Result(take.mode, who, what, on, ending, heard.decision_id)
