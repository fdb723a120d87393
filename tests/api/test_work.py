"""Goals, approvals, delegations and the ledger over HTTP."""

import asyncio
import time

from nacl.signing import SigningKey

from broker import Keyring
from interlock.delegation import Scope, format_public_key, grant
from interlock.ledger import Archive, Event
from interlock.ledger.ledger import new_id
from interlock.ledger.retention import prune
from interlock.model import Entity
from interlock.store.approvals import Approval, ask
from tests.api.service import Service

SCOPE = Scope(("chat",), ("*",), ("*",), ("*",), 0.0, 4_000_000_000.0, depth=1)


def test_a_goal_is_set_moved_extended_and_closed(service: Service) -> None:
    """By the rules of goals."""
    body = {"id": "g1", "title": "Report", "agents": ["one"], "max_actions": 5, "expires_in_s": 60}
    assert service.post("/goals", body, "operator")["status"] == "Active"
    assert service.post("/goals/g1/pause", {"reason": "late"}, "operator")["status"] == "Paused"
    assert (
        service.ask("PATCH", "/goals/g1", "operator", {"max_actions": 9}).json()["max_actions"] == 9
    )
    assert service.post("/goals/g1/cancel", {}, "operator")["status"] == "Cancelled"
    assert service.ask("POST", "/goals/g1/activate", "operator", {}).status_code == 409
    assert service.ask("POST", "/goals", "operator", body).status_code == 409
    assert service.ask("GET", "/goals/g2").status_code == 404
    unknown = {"id": "g3", "agents": ["nobody"]}
    assert service.ask("POST", "/goals", "operator", unknown).status_code == 409


def test_an_approval_is_answered_once(service: Service) -> None:
    """In the name of the token."""
    now = time.time()
    waiting = Approval("apr_1", "dec_1", "one", "chat", 'Model::"m"', "00", now, now + 600)
    service.records.database.write(lambda connection: ask(connection, waiting))
    assert [one["id"] for one in service.get("/approvals")] == ["apr_1"]
    said = service.post("/approvals/apr_1/approve", {"reason": "fine"}, "operator")
    assert (said["status"], said["decided_by"]) == ("Approved", "token:operator")
    assert service.ask("POST", "/approvals/apr_1/deny", "operator", {}).status_code == 409
    assert service.get("/approvals") == []
    assert len(service.get("/approvals?all=true")) == 1
    assert service.ask("GET", "/approvals/apr_2").status_code == 404


def test_a_chain_is_verified_and_taken_back(service: Service) -> None:
    """By a registered key; an agent asks of its own."""
    key = SigningKey.generate()
    public = {"holder": 'User::"ada"', "public": format_public_key(key.verify_key)}
    kid = service.post("/delegations/keys", public)["kid"]
    assert [one["kid"] for one in service.get("/delegations/keys")] == [kid]
    chain = grant(key, Entity("User", "ada"), Entity("Agent", "one"), SCOPE, 1.0)
    verified = service.post("/delegations/verify", {"chain": chain}, "one")
    assert (verified["valid"], verified["delegated_by"]) == (True, 'User::"ada"')
    other = {"chain": chain, "agent": "two"}
    assert service.ask("POST", "/delegations/verify", "one", other).status_code == 403
    service.post(f"/delegations/{verified['ids'][0]}/revoke", {}, "operator")
    assert "revoked" in service.post("/delegations/verify", {"chain": chain}, "one")["problem"]
    assert service.post(f"/delegations/keys/{kid}/revoke", {})["ok"]
    assert service.ask("POST", f"/delegations/keys/{kid}/revoke", "admin", {}).status_code == 404
    bad = {"holder": 'Model::"m"', "public": "x"}
    assert service.ask("POST", "/delegations/keys", "admin", bad).status_code == 400


def test_the_ledger_is_read(service: Service) -> None:
    """Events, decisions by a question, and one story."""
    events = service.get("/ledger/events?limit=3", "viewer")
    assert len(events) == 3
    assert service.get(f"/ledger/{events[0]['id']}")[0]["hash"] == events[0]["hash"]
    assert service.get("/ledger/decisions?agent=one&decision=deny") == []
    assert service.ask("GET", "/ledger/decisions?limit=0").status_code == 400
    assert service.ask("GET", "/ledger/nothing").status_code == 404


def test_what_was_pruned_is_read_from_the_archive(service: Service) -> None:
    """A story as if it had never left, decisions when asked for; a changed file is not believed."""
    ledger, archive = service.records.ledger, Archive(service.records.settings.archive)
    decided, body = new_id("dec"), {"label": "deny", "effect": "deny"}
    call = Event(new_id("evt"), time.time(), "decision", "one", decided, body)
    asyncio.run(ledger.decide([call]))
    ledger.change(lambda c: ledger.admin(c, "test", {}))  # the newest row stays
    story = service.get(f"/ledger/{decided}")
    keyring = Keyring.open(service.records.settings.keys, "checkpoint")
    (seal,) = prune(ledger, archive, keyring, time.time() + 9)
    assert service.get("/ledger/decisions") == []
    assert service.get("/ledger/decisions?pruned=true") == story
    assert service.get(f"/ledger/{decided}") == story
    (path,) = archive.folder.glob(f"*{seal.last}*.gz")
    path.write_bytes(b"changed")
    refused = service.ask("GET", f"/ledger/{decided}")
    assert refused.status_code == 503
    assert refused.json()["error"]["message"] == f"{path}: was changed"


def test_the_status_tells_how_much_there_is(service: Service) -> None:
    """To those who may look."""
    status = service.get("/status", "viewer")
    policies = len(service.get("/policies", "viewer"))
    assert (status["agents"], status["policies"], status["mode"]) == (2, policies, "observe")
