"""The invariants I1 to I7 (architecture, section 4), each over real sockets, in both modes.

Every docstring says how its invariant was broken on purpose to see the test fail.
"""

import shutil
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from interlock.demo.front_door import FrontDoor
from interlock.demo.upstream import Upstream
from interlock.model import Authority, Binding, Mode
from tests.door.patience import wait_for
from tests.door.raw import Scripted, tunnelled
from tests.door.world import CHAT, OPENAI_KEY, SECRETS, TRUSTED, UNVERIFIED, World

SABOTEURS = Path(__file__).parent / "saboteurs"
EVERYTHING = "permit (principal, action, resource);\n"


@pytest.fixture
def permissive(tmp_path: Path) -> Path:
    """A folder with a policy that permits everything: what is refused then is no policy's doing."""
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "all.cedar").write_text(EVERYTHING)
    return tmp_path / "policies"


@pytest.fixture(scope="module")
def permitting(
    _world: World, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[Mode, FrontDoor]]:
    """Front doors that permit everything, with an addon behind that changes what was judged."""
    folder = tmp_path_factory.mktemp("permitting")
    (folder / "all.cedar").write_text(EVERYTHING)
    words = ("-s", str(SABOTEURS / "change_request.py"), "--set", f"interlock_policies={folder}")
    with ExitStack() as stack:
        yield {mode: stack.enter_context(_world.door(mode, *words, reverse=())) for mode in Mode}


@contextmanager
def sabotaged(world: World, mode: Mode, script: str, *options: str) -> Iterator[httpx.Client]:
    """A client of a front door with one more addon behind ours."""
    door = world.door(mode, "-s", str(SABOTEURS / script), *options, reverse=())
    with door, world.through(door) as client:
        yield client


class TestI1OneDestination:
    """A secret goes only to the host it is bound to, over verified TLS."""

    @pytest.mark.parametrize(
        ("host", "sni"),
        [
            pytest.param("localhost:{bound}", "localhost", id="Host names the bound port"),
            pytest.param("localhost:{other}", "elsewhere.test", id="SNI names another host"),
            pytest.param("elsewhere.test", "localhost", id="Host names another host"),
            pytest.param("api.openai.com", "api.openai.com", id="both name a famous host"),
        ],
    )
    def test_claims_about_the_destination_do_not_move_the_secret(
        self, world: World, mode: Mode, host: str, sni: str, tmp_path: Path
    ) -> None:
        """CONNECT decides; a Host or SNI that says otherwise gets no secret anywhere.

        Broken by taking the authority from the Host header in `wire.authority_of`, and taking
        out what stands behind it: the comparison in `check_unchanged`, the addresses in
        `is_verified` and in the Wire, and the dial's list; with any of them it still holds.
        """
        with Upstream(world.certificates) as other:
            names = {"bound": world.upstream.port, "other": other.port}
            tunnelled(world, mode, f"localhost:{other.port}", sni=sni, host=host.format(**names))
            seen = [*world.received(), *other.received]
        assert not any(OPENAI_KEY.encode() in value for r in seen for _, value in r.headers)

    def test_a_mismatch_where_a_secret_is_bound_is_refused(self, world: World, mode: Mode) -> None:
        """CONNECT to the bound host with a foreign Host is refused in both modes.

        Broken by leaving `doubt` out of the Request.
        """
        answer = tunnelled(
            world, mode, f"localhost:{world.upstream.port}", sni="localhost", host="evil.test"
        )
        assert b"403" in answer.split(b"\r\n")[0]
        assert b"authority_mismatch" in answer
        assert world.received() == []

    def test_plain_http_to_a_bound_host_carries_no_secret(self, world: World, mode: Mode) -> None:
        """Without TLS the wire refuses, whatever policy says, and says why; of no token.

        Broken by answering True in `is_verified`.
        """
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
        with Scripted(world, answer, tls=False) as upstream:
            authority = Authority("localhost", upstream.port)
            world.also_bind(Binding("openai-api-key", authority, "bearer", service="openai"))
            with world.client(mode) as client:
                answered = client.get(f"http://{authority}/v1/models")
        assert answered.status_code == 502
        told = answered.json()
        assert told["error"]["message"] == "Interlock: no credential goes over plain http"
        assert told["interlock"]["decision_id"] == answered.headers["interlock-decision-id"]
        assert "sct_" not in answered.text
        assert upstream.heads == []

    def test_a_binding_that_ends_after_the_decision_lets_nothing_out(
        self, world: World, mode: Mode
    ) -> None:
        """The wire looks again: what a person took away in between does not leave.

        Broken by leaving `_require_unchanged` out of `Governor.redeem`.
        """
        with Upstream(world.certificates) as other:
            world.keep("short-lived", "sk-short-lived-0123456789", other.port)
            with sabotaged(world, mode, "unbind_secret.py") as client:
                answer = client.get(f"https://localhost:{other.port}/v1/models")
            assert answer.status_code == (502 if mode is Mode.OBSERVE else 403)
            assert other.received == []


class TestI2DurableFirst:
    """No call that carries a credential leaves before its decision is durable."""

    def test_the_decision_is_on_disk_before_the_first_byte_leaves(
        self, world: World, mode: Mode
    ) -> None:
        """Another connection can read the decision when the upstream is dialled.

        Broken by not awaiting `Pending.settled` in `Gate._decide`.
        """
        before = world.count("decisions")
        with sabotaged(world, mode, "read_ledger.py") as client:
            answer = client.post(f"{world.openai}/v1/chat/completions", json=CHAT)
        assert int(answer.headers["x-decisions"]) == before + 1

    @pytest.mark.parametrize("word", ["go", "fail"])
    def test_what_is_written_and_not_on_disk_lets_nothing_out(
        self, world: World, mode: Mode, word: str
    ) -> None:
        """Its token is made while the disk is at it; without the disk, nothing comes of that.

        Broken by not awaiting `Pending.settled` in `Gate._decide`, and, for a disk that fails, by
        answering the verdict unchanged in `Recorder._unrecorded`.
        """
        written, says = world.home / "written", world.home / "word"
        try:
            with sabotaged(world, mode, "hold_commit.py") as client, ThreadPoolExecutor(1) as pool:
                calling = pool.submit(client.post, f"{world.openai}/v1/chat/completions", json=CHAT)
                wait_for(written.exists)
                time.sleep(0.3)
                assert not calling.done()
                assert world.received() == []
                says.write_text(word)
                answer = calling.result(30)
        finally:
            says.write_text("go")
            written.unlink(missing_ok=True)
            says.unlink()
        if word == "go":
            assert answer.status_code == 200
            assert len(world.received()) == 1
            return
        assert answer.status_code == 503
        assert "ledger_unavailable" in answer.text
        assert world.received() == []

    def test_a_store_that_takes_no_writes_lets_no_credential_out(
        self, world: World, mode: Mode
    ) -> None:
        """While the database is locked the call is refused; afterwards service resumes.

        Broken by returning the verdict unchanged on LedgerUnavailableError.
        """
        lock = sqlite3.connect(world.home / "interlock.db", isolation_level=None)
        lock.execute("begin immediate")
        try:
            with world.client(mode) as client:
                answer = client.post(f"{world.openai}/v1/chat/completions", json=CHAT)
        finally:
            lock.execute("rollback")
            lock.close()
        assert answer.status_code == 503
        assert "ledger_unavailable" in answer.text
        assert world.received() == []
        with world.client(mode) as client:
            again = client.post(f"{world.openai}/v1/chat/completions", json=CHAT)
        assert again.status_code == 200

    def test_what_the_upstream_saw_is_in_the_ledger_after_kill_9(
        self, world: World, mode: Mode
    ) -> None:
        """Killed in the middle of traffic, the ledger still holds every call that left.

        Broken by `pragma synchronous = off` together with not awaiting the commit.
        """
        door = world.door(mode, reverse=())
        sent = 0
        with door:

            def call() -> None:
                nonlocal sent
                with world.through(door) as client:
                    while True:
                        sent += 1
                        client.get(f"{world.openai}/v1/models/m{sent}")

            def until_killed() -> None:
                try:
                    call()
                except httpx.HTTPError:
                    return

            thread = threading.Thread(target=until_killed)
            thread.start()
            wait_for(lambda: len(world.received()) > 10)
            door.process.kill()
            door.process.wait()
            thread.join()
        arrived = {received.path for received in world.received()}
        recorded = {row["body"]["path"] for row in world.decisions()}
        assert len(arrived) > 3
        assert arrived <= recorded
        assert world.change(lambda installation: installation.ledger.verify()).intact


class TestI3SpentOnce:
    """A token is spent at most once."""

    def test_a_token_that_comes_back_opens_nothing(self, world: World, mode: Mode) -> None:
        """The first use works; the same token in a second call is refused at the wire.

        Broken by not taking the right out of the broker's memory in `redeem`.
        """
        with sabotaged(world, mode, "replay_token.py") as client:
            first = client.get(f"{world.openai}/v1/models")
            second = client.get(f"{world.openai}/v1/models")
        assert first.status_code == 200
        assert second.status_code == 502
        assert len(world.received()) == 1

    def test_a_token_is_spent_in_the_transaction_of_its_decision(self, world: World) -> None:
        """As many ids are spent as accesses were recorded, each once.

        Broken by leaving `spend` out of the decision's transaction.
        """
        spent = world.count("spent_tokens")
        accesses = world.count("secret_accesses")
        with world.client(Mode.OBSERVE) as client:
            client.get(f"{world.openai}/v1/models")
            client.get(f"{world.openai}/v1/models")
        assert world.count("secret_accesses") == accesses + 2
        assert world.count("spent_tokens") >= min(spent, 1) + 1


class TestI4NoSecretShown:
    """A secret never shows; test_leaks.py looks in every other place."""

    def test_no_addon_behind_ours_ever_holds_the_secret(self, world: World, mode: Mode) -> None:
        """What other addons, and so all of mitmproxy, see in the flow is the token.

        Broken by writing the secret into `flow.request` in `Gate._ready`.
        """
        door = world.door(mode, "-v", "--set", "flow_detail=4", reverse=())
        with door, world.through(door) as client:
            client.post(f"{world.openai}/v1/chat/completions", json=CHAT)
            client.get(f"{world.openai}/v1/models")
            log = door.log
        assert "v4.public." in log
        assert not any(secret in log for secret in SECRETS)
        assert world.keys[TRUSTED] not in log


class TestI5FailClosed:
    """Whatever fails ends in a refusal or in the last good state."""

    def test_a_hook_that_raises_is_a_refusal(self, world: World, mode: Mode) -> None:
        """A crash in deciding is 503, and nothing leaves.

        Broken by taking `@fail_closed` off AND letting the wire pass without a clearance;
        either of them alone still holds.
        """
        with sabotaged(world, mode, "break_governor.py") as client:
            answer = client.get(f"{world.openai}/v1/models")
        assert answer.status_code == 503
        assert world.received() == []

    @pytest.mark.parametrize("what", ["path", "method", "body", "host", "scheme"])
    def test_what_is_changed_after_judgement_does_not_leave(
        self, world: World, mode: Mode, what: str, permitting: dict[Mode, FrontDoor]
    ) -> None:
        """An addon behind ours cannot turn an allowed request into another one.

        Broken by making `check_unchanged` return early.
        """
        with world.through(permitting[mode]) as client:
            answer = client.post(f"{world.openai}/v1/sabotage/{what}", content=b"{}")
        assert answer.status_code == 502
        assert world.received() == []

    @pytest.mark.parametrize(
        ("what", "said"),
        [
            pytest.param("token", "Interlock: the token", id="a malformed token"),
            pytest.param("no-token", "the token is missing from authorization", id="no token"),
        ],
    )
    def test_a_token_that_is_none_is_said_to_be(
        self,
        world: World,
        mode: Mode,
        what: str,
        said: str,
        permitting: dict[Mode, FrontDoor],
    ) -> None:
        """The answer says what is wrong with the token, and nothing leaves.

        Broken by taking the token from the clearance in place of the flow.
        """
        with world.through(permitting[mode]) as client:
            answer = client.get(f"{world.openai}/v1/sabotage/{what}")
        assert answer.status_code == 502
        assert said in answer.text
        assert world.received() == []

    def test_a_refusal_that_is_taken_away_is_still_a_refusal(self, world: World) -> None:
        """An addon that drops our 403 does not let the call out.

        Broken by giving the clearance before the decision was looked at.
        """
        with sabotaged(world, Mode.ENFORCE, "change_request.py") as client:
            answer = client.post(f"{world.openai}/v1/sabotage/response-dropped")
        assert answer.status_code == 502
        assert world.received() == []

    def test_a_broken_policy_file_keeps_the_last_good_set(
        self, world: World, mode: Mode, permissive: Path
    ) -> None:
        """It says so loudly, and goes on deciding as before; a good file is taken up.

        Broken by setting `current` before the load in PolicyFolder.reload.
        """
        door = world.door(mode, "--set", f"interlock_policies={permissive}", reverse=())
        with door, world.through(door, UNVERIFIED) as client:
            (permissive / "all.cedar").write_text("permit (principal, acti")
            wait_for(lambda: "NOT loaded" in door.log)
            still = client.get(f"{world.openai}/v1/models")
            (permissive / "all.cedar").write_text("forbid (principal, action, resource);")
            wait_for(lambda: "policies loaded" in door.log)
            then = client.get(f"{world.openai}/v1/models")
        assert still.headers["interlock-decision"] == "allow"
        assert then.headers["interlock-decision"] in ("deny", "would_deny")

    def test_deleting_the_script_stops_the_proxy(self, world: World, tmp_path: Path) -> None:
        """mitmproxy would unload it and serve on; ours stops instead.

        Broken by leaving the shutdown out of `Options.done`.
        """
        root = Path(sys.modules["addons"].__file__ or "").parent.parent
        shutil.copytree(root / "addons", tmp_path / "addons")
        door = world.door(Mode.OBSERVE, reverse=())
        door.command[2] = str(tmp_path / "addons" / "governance.py")
        with door:
            (tmp_path / "addons" / "governance.py").unlink()
            assert door.process.wait(30) is not None


class TestI6NoProofNoCredential:
    """An unidentified caller gets no credential, in either mode."""

    @pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/models", "/echo"])
    def test_a_caller_without_proof_gets_no_key(
        self, world: World, mode: Mode, path: str, permitting: dict[Mode, FrontDoor]
    ) -> None:
        """Even where policy permits everyone everything.

        Broken by leaving `agent.identified` out of `Bindings.choose`.
        """
        with world.through(permitting[mode], agent="") as client:
            answer = client.get(f"{world.openai}{path}")
        (received,) = world.received()
        assert received.values(b"authorization") == []
        assert answer.headers["interlock-decision"] == "allow"


class TestI7EveryInjectionIsJudged:
    """Every host that a recipe can inject into is covered by policy."""

    def test_a_schema_that_cannot_speak_of_secrets_is_refused_at_load(
        self, world: World, permissive: Path
    ) -> None:
        """Without `access_secret` no policy could forbid an injection, so nothing starts.

        Broken by leaving the check out of `Governor._adopt`.
        """
        shipped = Path(__file__).parents[2] / "policies" / "schema.cedarschema"
        text = shipped.read_text().replace("action access_secret", "action access_nothing")
        (permissive / "schema.cedarschema").write_text(text)
        with pytest.raises(RuntimeError, match="does not declare access_secret"):
            world.door(Mode.OBSERVE, "--set", f"interlock_policies={permissive}").__enter__()

    def test_no_credential_without_a_recorded_access(self, world: World, mode: Mode) -> None:
        """Each key that the upstream saw has its `secret_access` row.

        Broken by leaving `_access_event` out of the decision's events.
        """
        before = world.count("secret_accesses")
        with world.client(mode) as client:
            for _ in range(3):
                client.get(f"{world.openai}/v1/models")
        keys = [value for r in world.received() for value in r.values(b"authorization")]
        assert len(keys) == world.count("secret_accesses") - before == 3
