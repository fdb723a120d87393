"""What holds wherever the secrets are: in this process, behind a socket, behind mutual TLS."""

import base64
import json
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from broker import (
    Grant,
    Secret,
    SecretUnavailableError,
    TokenForgedError,
    TokenReplayedError,
    parse_recipe,
)
from interlock.custody import RemoteCustody
from interlock.custody.speech import said_of
from interlock.governor import Governor
from interlock.ledger.ledger import new_id
from interlock.model import Authority, Binding, Mode
from interlock.store.writer import Transaction
from interlock.verdict import Credential, grant_for
from tests.broker.test_exchange import CLIENT, TokenServer, server
from tests.custody.stage import BOUND, KEY, NAME, OPENAI, WAYS, WIRE, Stage, staged

NEW = "sk-NEW-0a1b2c3d4e5f6a7b"
QUESTIONS: list[tuple[str, dict[str, Any]]] = [
    ("ready", said_of(BOUND)),
    ("mask", {"authority": str(OPENAI)}),
    ("bindings", {"change": -1}),
]


__all__ = ["server"]


@pytest.fixture(params=WAYS)
async def stage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stage]:
    """One stage for each way."""
    async with staged(request.param, tmp_path) as stage:
        yield stage


async def test_a_token_is_worth_its_secret_once(stage: Stage) -> None:
    """For the request that was judged, and no other; recorded where the call is governed."""
    verdict = await stage.call()
    with pytest.raises(TokenForgedError):
        stage.redeem(verdict, replace(WIRE, path="/v1/files"))
    assert stage.redeem(verdict) == Secret(KEY)
    with pytest.raises(TokenReplayedError):
        stage.redeem(verdict)
    kinds = [event["kind"] for event in stage.door.ledger.of(verdict.decision.id)]
    assert kinds == ["decision", "secret_access"]


async def test_answers_are_scrubbed_of_every_value_that_was_in_use(stage: Stage) -> None:
    """Another may have left it with the upstream; a rotation leaves the old value masked too."""
    await stage.call()
    assert KEY.encode() in stage.governor.mask_at(OPENAI).forms
    stage.broker.rotate_secret(NAME, Secret(NEW))
    await stage.look()
    verdict = await stage.call()
    assert stage.redeem(verdict) == Secret(NEW)
    assert {KEY.encode(), NEW.encode()} <= set(stage.governor.mask_at(OPENAI).forms)


async def test_what_is_asked_without_a_grant_gives_no_secret(stage: Stage) -> None:
    """A front door that was taken over reads only what it has had: not a key that was never
    released to it, nor one that was put in the place of such a key."""
    if stage.door is stage.broker:
        return
    custody = stage.governor.custody
    assert isinstance(custody, RemoteCustody)

    async def told() -> str:
        said = [await custody._client.ask(what, **question) for what, question in QUESTIONS]
        known = {base64.b64decode(form) for form in said[1]["forms"]}
        return f"{said} {known}"

    assert KEY not in await told()
    await stage.call()
    assert KEY in await told()
    stage.broker.rotate_secret(NAME, Secret(NEW))
    assert NEW not in await told()


async def test_what_is_exchanged_stays_and_its_token_travels(
    stage: Stage, server: TokenServer
) -> None:
    """Masked like any other value, the one before it too."""
    grant = {"token_url": f"{server.url}/token"} | CLIENT
    bound = replace(BOUND, recipe="oauth2:client_credentials")
    stage.broker.set_secret(NAME, Secret(json.dumps(grant)), [bound])
    await stage.look()
    token = stage.redeem(await stage.call())
    assert token.reveal().startswith(b"minted-token-")
    assert stage.redeem(await stage.call()) == token
    await stage.governor.custody.know(OPENAI)
    assert token.reveal() in stage.governor.mask_at(OPENAI).forms


async def test_a_second_process_of_a_front_door_scrubs_what_the_first_has_had(
    stage: Stage,
) -> None:
    """Its workers share no memory; the broker knows what it gave to whom."""
    await stage.call()
    other = Governor(stage.door)
    await stage.look()
    if isinstance(other.custody, RemoteCustody):
        await other.custody.look()
    await other.custody.know(OPENAI)
    assert KEY.encode() in other.mask_at(OPENAI).forms
    other.custody.close()


@pytest.mark.parametrize("gone", ["removed", "bound elsewhere"])
async def test_what_was_taken_away_is_not_given(stage: Stage, gone: str) -> None:
    """Between decision and wire too."""
    verdict = await stage.call()
    if gone == "removed":
        stage.broker.remove_secret(NAME)
    else:
        elsewhere = replace(BOUND, authority=Authority("elsewhere.example", 443))
        stage.broker.set_secret(NAME, Secret(KEY), [elsewhere])
    await stage.look()
    with pytest.raises(SecretUnavailableError):
        stage.redeem(verdict)
    assert (await stage.call()).capability is None


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("way", WAYS)
async def test_a_secret_that_does_not_open_is_a_refusal(
    tmp_path: Path, way: str, mode: Mode
) -> None:
    """In both modes, recorded with its reason; no token exists."""
    async with staged(way, tmp_path, mode) as stage:
        stage.broker.database.write(lambda c: c.execute("update secrets set sealed = x'00'"))
        await stage.look()
        verdict = await stage.call()
        assert verdict.decision.refused
        assert verdict.decision.reasons[0].policy_id == "secret_unavailable"
        assert verdict.capability is None


@pytest.mark.parametrize("way", [way for way in WAYS if way != "local"])
async def test_a_secret_crosses_for_what_is_on_disk_alone(
    tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the disk takes: another connection can read the decision before."""
    execute, seen = Transaction.execute, []

    def slow(connection: Transaction, sql: str, *values: Any) -> sqlite3.Cursor:
        if sql == "commit":
            time.sleep(0.2)
        return execute(connection, sql, *values)

    async with staged(way, tmp_path) as stage:
        release = stage.governor.custody.release

        async def watched(grant: Grant, binding: Binding) -> Secret:
            with closing(sqlite3.connect(stage.door.database.path)) as other:
                sql = "select kind from events where decision_id = ?"
                seen.extend(other.execute(sql, [grant.decision_id]).fetchall())
            return await release(grant, binding)

        monkeypatch.setattr(stage.governor.custody, "release", watched)
        monkeypatch.setattr(Transaction, "execute", slow)
        assert stage.redeem(await stage.call()) == Secret(KEY)
    assert seen == [("decision",), ("secret_access",)]


async def test_nothing_is_released_twice_or_to_another_host(stage: Stage) -> None:
    """By the broker's own word: the id is spent on its disk, and bindings are looked up there."""
    if stage.door is stage.broker:
        return  # in one process the right to redeem is what there is once
    custody, verdict = stage.governor.custody, await stage.call()
    grant = grant_for(verdict, Credential(BOUND, parse_recipe(BOUND.recipe), None), 30)
    assert await custody.release(grant, BOUND) == Secret(KEY)
    with pytest.raises(SecretUnavailableError, match="spent already"):
        await custody.release(grant, BOUND)
    elsewhere = Authority("evil.example", 443)
    bent = replace(grant, id=new_id("sct"), authority=str(elsewhere))
    for binding in (BOUND, replace(BOUND, authority=elsewhere)):
        with pytest.raises(SecretUnavailableError, match=r"for another|not bound"):
            await custody.release(bent, binding)
    for change in ({"recipe": "query:key"}, {"secret": "another"}):
        other = replace(BOUND, **change)
        with pytest.raises(SecretUnavailableError, match="not bound"):
            await custody.release(replace(grant, id=new_id("sct"), secret=other.secret), other)
    # An id is forgotten as spent some minutes later: by then it is too old.
    for moment in (time.time() - 301, time.time() + 61):
        other_time = f"sct_{int(moment * 1000):012x}{grant.id[-20:]}"
        with pytest.raises(SecretUnavailableError, match="not of now"):
            await custody.release(replace(grant, id=other_time), BOUND)
    released = [e["body"] for e in stage.broker.ledger.tail(10) if e["kind"] == "secret_access"]
    assert [body["token"] for body in released][-1] == grant.id
    assert released[-1]["released_to"]


async def test_the_front_door_holds_no_master_key(stage: Stage) -> None:
    """Neither as a file nor as rows that its own key opens."""
    if stage.door is stage.broker:
        return
    await stage.call()
    keys = {path.name for path in stage.door.settings.keys.iterdir()}
    assert keys == {"door.key", "sct-0001.key"}
    assert stage.door.database.one("select count(*) from secrets")[0] == 0
