"""`@record_arguments`: the only way by which a value of a request gets into the ledger."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from broker import Secret
from interlock.apdp import load_policies
from interlock.apdp.check import check
from interlock.errors import PolicyError
from interlock.governor import Governor
from interlock.installation import Installation
from interlock.model import Agent, Authority, Binding, Mode, Request, Trust
from interlock.settings import Settings

PAY = Authority("pay.example", 443)
KEY = "sk-pay-REAL-0123456789"
RECORDS = '@id("r") @description("d") @record_arguments("amount, payee.country") '
ANYTHING = "permit (principal, action, resource);"
OTHER = '@id("o") @description("d") permit (principal, action == Action::"http_get", resource);'


def row(folder: Path, policies: str, body: bytes, **more: Any) -> dict[str, Any]:
    """What the ledger says of one call under some policies."""
    (folder / "p").mkdir()
    (folder / "p" / "p.cedar").write_text(policies)
    home, agent = folder / "home", Agent("a", trust=Trust.TRUSTED)
    settings = Settings.load(home=home, mode=Mode.ENFORCE, policies=folder / "p")
    with Installation(settings) as installation:
        installation.registry.add(agent)
        binding = Binding("pay-key", PAY, "bearer")
        installation.set_secret("pay-key", Secret(KEY), [binding])
        governor = Governor(installation)
        asked = Request("POST", "https", PAY, "/", body, "application/json", **more)
        verdict = asyncio.run(governor.govern(asked, agent, {}))
        return dict(installation.ledger.of(verdict.decision.id)[0]["body"])


BODY = f'{{"amount": 5, "payee": {{"country": "NZ {KEY}"}}, "note": "CANARY"}}'.encode()


@pytest.mark.parametrize(
    ("policies", "kept"),
    [
        pytest.param(
            RECORDS + ANYTHING, {"amount": 5, "payee.country": "NZ " + "*" * len(KEY)}, id="allow"
        ),
        pytest.param(
            RECORDS + ANYTHING.replace("permit", "forbid"),
            {"amount": 5, "payee.country": "NZ " + "*" * len(KEY)},
            id="deny",
        ),
        pytest.param('@id("p") @description("d") ' + ANYTHING, None, id="a policy that does not"),
        pytest.param(
            OTHER.replace("@description", '@record_arguments("amount") @description')
            + '@id("p") '
            + ANYTHING,
            None,
            id="a policy that did not settle it",
        ),
    ],
)
def test_a_policy_that_settles_a_call_may_keep_fields(
    tmp_path: Path, policies: str, kept: dict[str, Any] | None
) -> None:
    """Those that it names, secrets masked; of all others the names."""
    found = row(tmp_path, policies, BODY)
    assert found.get("arguments") == kept
    assert found["body_fields"] == ["amount", "payee", "note"]
    assert "CANARY" not in str(found)
    assert KEY not in str(found)


@pytest.mark.parametrize(
    "text",
    ["", "a..b", "a b", "a;b", "*", ", ".join(f"f{n}" for n in range(17)), "x" * 41],
    ids=repr,
)
def test_an_annotation_that_says_nothing_clear_refuses_the_load(tmp_path: Path, text: str) -> None:
    """Nobody believes that something is on record which is not; `policy check` says where."""
    file = tmp_path / "p.cedar"
    file.write_text(f'@id("p") @description("d") @record_arguments("{text}") {ANYTHING}')
    with pytest.raises(PolicyError, match="record_arguments"):
        load_policies(tmp_path)
    assert any("record_arguments" in f.message for f in check(tmp_path))


def test_a_misspelt_annotation_is_told(tmp_path: Path) -> None:
    """It means nothing, and the name that was meant is offered."""
    file = tmp_path / "p.cedar"
    file.write_text(f'@id("p") @description("d") @record_argument("a") {ANYTHING}')
    assert any("@record_arguments does" in finding.message for finding in check(tmp_path))
