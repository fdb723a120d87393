"""A policy may take an agent's trust away: the decision says so, the governor does it."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from broker.stores import parse_reference
from interlock.apdp import load_policies
from interlock.errors import PolicyError
from interlock.governor import Governor
from interlock.installation import Installation
from interlock.model import UNIDENTIFIED, Agent, Authority, Binding, Mode, Request, Trust
from interlock.settings import Settings
from interlock.verdict import Verdict

POLICIES = """permit(principal, action, resource);
@id("no-tampering") @description("Nobody deletes models.") @effect("quarantine")
forbid(principal, action in Action::"delete", resource);
@id("too-big") @effect("quarantine") forbid(principal, action == Action::"chat", resource)
when { context.body_bytes * 9223372036854775807 > 1 };
"""
DELETE = Request("DELETE", "https", Authority("api.openai.com", 443), "/v1/models/m")


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "a.cedar").write_text(POLICIES)
    settings = Settings.load(home=tmp_path / "home", policies=tmp_path / "p")
    with Installation(settings) as installation:
        installation.registry.add(Agent("one", trust=Trust.TRUSTED))
        yield installation


def govern(
    installation: Installation, mode: Mode, agent: Agent | None = None, request: Request = DELETE
) -> Verdict:
    """Judge one call of the agent."""
    governor = Governor(installation)
    governor.mode = mode
    known = agent or installation.registry.get("one")
    return asyncio.run(governor.govern(request, known, {}))


def moves(installation: Installation) -> list[dict[str, object]]:
    """The trust events of the ledger."""
    bodies = (row["body"] for row in installation.ledger.tail(50))
    return [body for body in bodies if body.get("action") == "agent.trust"]


def test_a_denial_that_binds_puts_into_quarantine(installation: Installation) -> None:
    """At once, with an event that names policy and decision, in the decision's transaction."""
    verdict = govern(installation, Mode.ENFORCE)
    assert installation.registry.get("one").trust is Trust.QUARANTINED
    (move,) = moves(installation)
    assert (move["actor"], move["before"]) == ("policy:no-tampering", "trusted")
    assert verdict.decision.id in str(move["reason"])
    (row,) = installation.ledger.of(verdict.decision.id)
    assert row["body"]["quarantine"] == "no-tampering"
    again = govern(installation, Mode.ENFORCE)
    assert again.decision.reasons[0].policy_id == "agent-quarantined"
    assert len(moves(installation)) == 1


def test_observe_mode_only_says_what_it_would_have_done(installation: Installation) -> None:
    """The row names the policy, and the agent keeps its trust."""
    verdict = govern(installation, Mode.OBSERVE)
    (row,) = installation.ledger.of(verdict.decision.id)
    assert (row["body"]["quarantine"], row["body"]["enforced"]) == ("no-tampering", False)
    assert installation.registry.get("one").trust is Trust.TRUSTED
    assert moves(installation) == []


def test_a_refusal_for_another_reason_does_not_make_it_real(installation: Installation) -> None:
    """A store that is down refuses in observe mode too; policies bind no more by that."""
    binding = Binding("openai-api-key", DELETE.authority, "bearer", service="openai")
    nowhere = parse_reference("env:NOWHERE_TO_BE_FOUND")
    installation.set_secret(binding.secret, nowhere, [binding])
    verdict = govern(installation, Mode.OBSERVE)
    assert verdict.decision.reasons[0].policy_id == "secret_unavailable"
    assert installation.registry.get("one").trust is Trust.TRUSTED
    assert moves(installation) == []


def test_a_policy_that_cannot_be_evaluated_holds_with_its_effect(
    installation: Installation,
) -> None:
    """What errs counts as holding, so an agent cannot evade by making it err."""
    request = replace(
        DELETE,
        method="POST",
        path="/v1/chat/completions",
        body=b'{"model":"m"}',
        content_type="application/json",
    )
    verdict = govern(installation, Mode.ENFORCE, request=request)
    assert verdict.decision.quarantine == "too-big"
    assert installation.registry.get("one").trust is Trust.QUARANTINED


def test_nobody_in_particular_cannot_be_quarantined(installation: Installation) -> None:
    """Who gave no proof is refused, and that is all."""
    verdict = govern(installation, Mode.ENFORCE, UNIDENTIFIED)
    assert verdict.decision.refused
    assert verdict.decision.quarantine == ""
    assert moves(installation) == []


def test_an_agent_that_was_revoked_meanwhile_stays_revoked(installation: Installation) -> None:
    """The last word of a person is not softened by a policy."""
    before = installation.registry.get("one")
    installation.registry.set_trust("one", Trust.REVOKED)
    assert govern(installation, Mode.ENFORCE, before).decision.refused
    assert installation.registry.get("one").trust is Trust.REVOKED


def test_a_permit_cannot_put_into_quarantine(tmp_path: Path) -> None:
    """It is refused at load, with file and policy."""
    text = '@id("p") @effect("quarantine") permit(principal, action, resource);'
    (tmp_path / "a.cedar").write_text(text)
    with pytest.raises(PolicyError, match=r"a.cedar:1:32: policy 'p': .* only a forbid"):
        load_policies(tmp_path)
