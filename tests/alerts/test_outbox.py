"""The outbox: news stands in it exactly when its event stands in the ledger."""

import asyncio
import json
import sqlite3
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from interlock.alerts import outbox
from interlock.alerts.outbox import Outbox, State, newest, subject_of
from interlock.errors import InterlockError
from interlock.installation import Installation
from interlock.ledger import Event
from interlock.model import Agent, Mode, Trust
from interlock.store.modes import ModeRule
from interlock.store.turns import give_back, take

URL = "http://127.0.0.1:9/hook"
EVERYTHING = ("secret_access", "denial", "quarantine", "mode_change", "alert")


@pytest.mark.parametrize(
    ("kind", "body", "subject"),
    [
        pytest.param("secret_access", {}, "secret_access", id="access to a secret"),
        pytest.param("decision", {"effect": "deny"}, "denial", id="denied, or would be"),
        pytest.param("decision", {"effect": "allow"}, "", id="allowed"),
        pytest.param("outcome", {}, "", id="an outcome"),
        pytest.param("mode_change", {}, "mode_change", id="the mode of the front door"),
        pytest.param("admin", {"action": "mode.set"}, "mode_change", id="the mode of an agent"),
        pytest.param("alert", {}, "alert", id="an alert"),
        pytest.param(
            "admin", {"action": "agent.trust", "after": "quarantined"}, "quarantine", id="cut off"
        ),
        pytest.param("admin", {"action": "agent.trust", "after": "trusted"}, "", id="trusted"),
        pytest.param("admin", {"action": "webhook.drop"}, "", id="our own news"),
    ],
)
def test_what_is_told(kind: str, body: dict[str, str], subject: str) -> None:
    """Each event is of one subject or of none."""
    assert subject_of(Event("evt_1", 1.0, kind, body=body)) == subject


def test_news_goes_to_who_listens(home: Installation) -> None:
    """In the words of the ledger, and only to webhooks of its subject."""
    home.webhooks.add(URL, ("denial",))
    listening, _ = home.webhooks.add(URL, ("quarantine", "mode_change"))
    home.registry.add(Agent("one"))
    home.registry.set_trust("one", Trust.QUARANTINED, "odd")
    home.modes.set(ModeRule("agent", "one", Mode.ENFORCE, ""))
    cut_off, mode = newest(home.database, 10)
    assert {cut_off.webhook, mode.webhook} == {listening.id}
    news = json.loads(cut_off.body)
    (event,) = home.ledger.of(cut_off.event)
    assert (news["id"], news["ts"], news["data"]) == (event["id"], event["ts"], event["body"])
    assert (news["type"], news["kind"], news["agent"]) == ("quarantine", "admin", "one")


def test_who_begins_to_listen_within_a_commit_hears_the_rest_of_it(home: Installation) -> None:
    """Who listens is read once a transaction, and again when that changes in it."""
    begun, go = threading.Event(), threading.Event()

    def hold(_: sqlite3.Connection) -> None:
        begun.set()
        go.wait(5)

    def tell(number: int) -> Future[None]:
        event = Event(f"alr_{number}", float(number), "alert")
        return home.database.submit(lambda connection: home.ledger.append(connection, [event]))

    with ThreadPoolExecutor() as pool:
        home.database.submit(hold)
        assert begun.wait(5)
        parts: list[Future[Any]] = [tell(1), pool.submit(home.webhooks.add, URL, EVERYTHING)]
        while home.database.waiting < len(parts):
            time.sleep(0.001)
        parts.append(tell(2))
        go.set()
        for part in parts:
            part.result(5)
    (told,) = newest(home.database, 10)
    assert told.event == "alr_2"


def test_what_did_not_happen_is_not_told(home: Installation) -> None:
    """A transaction that is undone takes its news with it."""
    home.webhooks.add(URL, EVERYTHING)

    def fail(_: sqlite3.Connection) -> None:
        raise InterlockError("undone")

    event = Event("alr_1", 1.0, "alert")
    with pytest.raises(InterlockError):
        asyncio.run(home.ledger.decide([event], also=fail))
    assert newest(home.database, 10) == []
    asyncio.run(home.ledger.decide([event]))
    assert [delivery.event for delivery in newest(home.database, 10)] == ["alr_1"]


def test_the_oldest_are_dropped_and_counted(
    home: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits for a dead receiver is bounded; the ledger says how many were dropped."""
    monkeypatch.setattr(outbox, "MOST_WAITING", 3)
    webhook, _ = home.webhooks.add(URL, EVERYTHING)
    for number in range(5):
        home.ledger.note(Event(f"alr_{number}", 1.0, "alert"))
        home.ledger.flush()
    home.database.write(Outbox(home.database, home.ledger.admin).sweep(now=2.0))
    assert [d.event for d in newest(home.database, 10)] == ["alr_2", "alr_3", "alr_4"]
    last = home.ledger.tail(1)[0]["body"]
    assert (last["action"], last["webhook"], last["count"]) == ("webhook.drop", webhook.id, 2)


def test_what_is_settled_goes_after_a_day(home: Installation) -> None:
    """And what waits stays, however old."""
    home.webhooks.add(URL, EVERYTHING)
    for number in range(2):
        home.ledger.note(Event(f"alr_{number}", 1.0, "alert"))
        home.ledger.flush()
    box = Outbox(home.database, home.ledger.admin)
    home.database.write(box.delivered(1, "200", now=1.0))
    home.database.write(box.sweep(now=outbox.KEEP_S))
    assert newest(home.database, 10)[0].state is State.DELIVERED
    home.database.write(box.sweep(now=outbox.KEEP_S + 2))
    assert [d.event for d in newest(home.database, 10)] == ["alr_1"]


def test_a_webhook_that_is_removed_takes_its_news_along(home: Installation) -> None:
    """Nobody is left to post it to."""
    webhook, _ = home.webhooks.add(URL, EVERYTHING)
    home.ledger.note(Event("alr_1", 1.0, "alert"))
    home.ledger.flush()
    home.webhooks.remove(webhook.id)
    assert newest(home.database, 10) == []


def test_a_turn_has_one_holder(home: Installation) -> None:
    """Until it ends, or is given back by whoever holds it."""

    def taken(holder: str, now: float) -> bool:
        return home.database.write(lambda c: take(c, "x", holder, now, now + 10))

    assert taken("one", 0.0)
    assert not taken("two", 9.0)
    assert taken("one", 9.0)
    assert taken("two", 19.0)
    home.database.write(lambda c: give_back(c, "x", "one"))
    assert not taken("one", 20.0)
    home.database.write(lambda c: give_back(c, "x", "two"))
    assert taken("one", 20.0)
