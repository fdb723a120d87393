"""Candidate policies decide beside the live ones, bind nobody, and tell where they differ."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from interlock.governor import Governor
from interlock.installation import Installation
from interlock.model import Agent, Authority, Effect, Mode, Request, Trust
from interlock.settings import Settings

AGENT = Agent("research-agent", trust=Trust.TRUSTED)
CHAT = Request(
    "POST",
    "https",
    Authority("api.openai.com", 443),
    "/v1/chat/completions",
    b'{"model":"gpt-4o"}',
    content_type="application/json",
)
PERMIT = '@id("all") permit (principal, action, resource);'
FORBID = '@id("no-chat") forbid (principal, action == Action::"chat", resource);'


@contextmanager
def governed(folder: Path, live: str, shadow: str = "") -> Iterator[Governor]:
    """A governor over live policies and, where given, candidates."""
    for name, text in (("live", live), ("shadow", shadow)):
        (folder / name).mkdir()
        (folder / name / "p.cedar").write_text(text or PERMIT)
    settings = Settings.load(
        home=folder / "home",
        mode=Mode.ENFORCE,
        policies=folder / "live",
        shadow=folder / "shadow" if shadow else None,
    )
    with Installation(settings) as installation:
        yield Governor(installation)


async def recorded(governor: Governor) -> tuple[Effect, Any]:
    """Decide one call; answer what held and what the ledger says of the others."""
    verdict = await governor.govern(CHAT, AGENT, {})
    row = governor.installation.ledger.of(verdict.decision.id)[0]
    return verdict.decision.effect, row["body"].get("shadow")


async def test_candidates_bind_nobody(tmp_path: Path) -> None:
    """The live set answers; the row says what the candidates would have."""
    with governed(tmp_path, PERMIT, PERMIT + FORBID) as governor:
        effect, shadow = await recorded(governor)
    assert effect is Effect.ALLOW
    assert [(s["effect"], s["reasons"][0][0]) for s in shadow] == [("deny", "no-chat")]


async def test_candidates_that_agree_leave_no_trace(tmp_path: Path) -> None:
    """Only differences are recorded."""
    with governed(tmp_path, PERMIT, PERMIT) as governor:
        assert await recorded(governor) == (Effect.ALLOW, None)


async def test_candidates_cannot_permit_either(tmp_path: Path) -> None:
    """A shadow that allows does not open what the live set denies."""
    with governed(tmp_path, FORBID, PERMIT) as governor:
        effect, shadow = await recorded(governor)
    assert effect is Effect.DENY
    assert shadow[0]["effect"] == "allow"


async def test_one_policy_can_be_observed_in_the_live_set(tmp_path: Path) -> None:
    """`@effect("observe")` does the same for that policy."""
    observed = FORBID.replace("forbid", '@effect("observe") forbid')
    with governed(tmp_path, PERMIT + observed) as governor:
        effect, shadow = await recorded(governor)
    assert effect is Effect.ALLOW
    assert shadow[0]["effect"] == "deny"
    assert shadow[0]["policy_set"].endswith("+observed")


async def test_changed_candidates_are_taken_up(tmp_path: Path) -> None:
    """A good file is; a broken one leaves the candidates that were there."""
    with governed(tmp_path, PERMIT, PERMIT) as governor:
        file = tmp_path / "shadow" / "p.cedar"
        file.write_text("permit (")
        governor.reload_policies()
        assert await recorded(governor) == (Effect.ALLOW, None)
        file.write_text(PERMIT + FORBID)
        governor.reload_policies()
        _, shadow = await recorded(governor)
    assert shadow[0]["effect"] == "deny"
