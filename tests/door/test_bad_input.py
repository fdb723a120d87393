"""What bad input gets at the front door: one clear line, never a traceback, nothing half done."""

import os
import socket
import subprocess
import time
from pathlib import Path

import httpx
import pytest
from mitmproxy import exceptions, options
from mitmproxy.tools.dump import DumpMaster

from addons.options import PRESET, REQUIRED, check_required
from broker.secrecy import KEY_LOGS
from interlock.demo.front_door import FrontDoor
from interlock.model import Mode
from tests.door.world import CHAT, TRUSTED, World

START_S = 30


def fails_to_start(world: World, *given: str, home: Path | None = None) -> str:
    """Start a front door that must not start; answer what it said."""
    command = FrontDoor(home or world.home, *given).command
    done = subprocess.run(command, capture_output=True, text=True, timeout=START_S, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    assert "Traceback" not in said
    return said


class TestAtTheStart:
    """What keeps the front door from starting, and the line that it says."""

    @pytest.mark.parametrize(
        ("option", "line"),
        [
            pytest.param("interlock_mode=enforced", "interlock_mode: Input", id="a mode misspelt"),
            pytest.param(
                "interlock_allow_private=10.0.0.0/99", "interlock_allow_private:", id="no network"
            ),
            pytest.param(
                "interlock_store=postgresql://db", "interlock_store: this version", id="a store"
            ),
            pytest.param("interlock_home=/elsewhere", "is an option given twice", id="twice"),
            pytest.param("ssl_insecure=true", "option ssl_insecure=True is refused", id="insecure"),
            pytest.param("proxy_debug=true", "option proxy_debug=True is refused", id="debug"),
        ],
    )
    def test_a_bad_option_is_named(self, world: World, option: str, line: str) -> None:
        """The line names the option and says what is wrong with it."""
        assert line in fails_to_start(world, "--set", option)

    def test_an_unreadable_database_is_named(self, world: World, tmp_path: Path) -> None:
        """A file that is no database is left as it is."""
        broken = tmp_path / "interlock.db"
        broken.write_text("this is not a database, but it is somebody's file\n" * 20)
        before = broken.read_bytes()
        said = fails_to_start(world, "--set", f"interlock_store={broken}")
        assert f"{broken}: cannot open the database" in said
        assert broken.read_bytes() == before

    def test_a_bad_policy_names_file_and_policy(self, world: World, tmp_path: Path) -> None:
        """The first start has no last good set, so there is no start."""
        (tmp_path / "mine.cedar").write_text(
            '@id("typo") permit (principal, action, resource) when { context.intend == "x" };'
        )
        said = fails_to_start(world, "--set", f"interlock_policies={tmp_path}")
        assert f"{tmp_path / 'mine.cedar'}:1:" in said
        assert "policy 'typo': " in said

    def test_a_folder_without_policies_is_refused(self, world: World, tmp_path: Path) -> None:
        """An empty set would deny everything, which nobody means."""
        said = fails_to_start(world, "--set", f"interlock_policies={tmp_path}")
        assert f"{tmp_path}: there is no *.cedar file" in said

    def test_a_broken_toml_is_named(self, world: World, tmp_path: Path) -> None:
        """The settings file is read by the same rules."""
        (tmp_path / "interlock.toml").write_text("mode = \n")
        said = fails_to_start(world, home=tmp_path)
        assert "interlock.toml" in said

    @pytest.mark.parametrize("name", KEY_LOGS)
    def test_a_file_for_the_keys_of_connections_is_refused(
        self, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        """Whoever records the wire would read the secrets with it."""
        monkeypatch.setenv(name, str(tmp_path / "keys.log"))
        assert f"unset {name}" in fails_to_start(world)

    def test_a_mode_that_is_not_governed_is_refused(self, world: World) -> None:
        """SOCKS would let anything pass; it is refused by name."""
        said = fails_to_start(world, "--mode", "socks5@0")
        assert "mode 'socks5@0' is refused" in said

    def test_a_port_in_use_is_named(self, world: World) -> None:
        """mitmproxy says which, and exits."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            said = fails_to_start(world, "--mode", f"regular@127.0.0.1:{port}")
        assert str(port) in said

    def test_a_key_file_that_others_can_read_is_refused(self, world: World, tmp_path: Path) -> None:
        """A signing key must be 0600; the line says which file and what to do."""
        home = tmp_path / "home"
        with world.door(Mode.OBSERVE, home=home, reverse=()):
            pass
        key = next((home / "keys").glob("sct*"))
        key.chmod(0o644)
        assert str(key) in fails_to_start(world, home=home)


class TestOptionsThatLeadAroundUs:
    """Every option in REQUIRED is refused with any other value, at the start and later."""

    @pytest.mark.parametrize("name", sorted(REQUIRED))
    async def test_is_refused(self, name: str) -> None:
        """The one line names the option; mitmproxy rolls the change back."""
        master = DumpMaster(options.Options(), with_termlog=False, with_dumper=False)
        try:
            assert name in master.options
            master.options.update(**PRESET)
            check_required()
            master.options.update(**{name: other_value(name)})
            with pytest.raises(exceptions.OptionsError, match=name):
                check_required()
        finally:
            await master.done()


class TestDuringACall:
    """What an agent gets for a bad proof."""

    @pytest.mark.parametrize(
        ("agent", "key"),
        [
            pytest.param(TRUSTED, "ilk_" + "x" * 43, id="a wrong key"),
            pytest.param(TRUSTED, "nonsense", id="no key at all"),
            pytest.param("nobody", "ilk_" + "x" * 43, id="an unknown agent"),
            pytest.param("a'; drop table agents; --", "ilk_x", id="a hostile name"),
        ],
    )
    def test_a_bad_proof_is_407_and_says_no_more(
        self, world: World, mode: Mode, agent: str, key: str
    ) -> None:
        """All alike, in both modes, so that a guesser learns nothing."""
        door = world.doors[mode]
        proxy = httpx.Proxy(door.proxy(), auth=(agent, key))
        with (
            httpx.Client(
                proxy=proxy, verify=world.trust(mode), trust_env=False, timeout=20
            ) as client,
            pytest.raises(httpx.ProxyError, match="407"),
        ):
            client.post(f"{world.openai}/v1/chat/completions", json=CHAT)
        assert world.received() == []

    def test_an_expired_key_is_no_key(self, world: World, mode: Mode) -> None:
        """A key past its time is refused like a wrong one."""
        name = world.join("expired", ttl=0.0)
        with world.client(mode, name) as client, pytest.raises(httpx.ProxyError, match="407"):
            client.get(f"{world.openai}/v1/models")
        assert world.received() == []

    @pytest.mark.parametrize("later_s", [0, 0.6], ids=["at once", "later"])
    def test_a_revoked_key_ends_an_open_connection(
        self, world: World, mode: Mode, later_s: float
    ) -> None:
        """The next request on a kept-alive tunnel is refused, or finds the tunnel cut."""
        name = world.join("rotated")
        with world.client(mode, name) as client:
            assert client.get(f"{world.openai}/v1/models").status_code == 200
            world.change(lambda i: i.registry.rotate_key(name))
            time.sleep(later_s)
            assert ending(client, f"{world.openai}/v1/models") in ("401", "407", "cut")
        assert len(world.received()) == 1


def ending(client: httpx.Client, url: str) -> str:
    """What one more request of an agent comes to whose key does not hold any more.

    Cut a moment before, its connection is made anew, with a CONNECT that is refused.
    """
    try:
        return str(client.get(url).status_code)
    except httpx.ProxyError as e:
        return str(e)[:3]
    except (httpx.NetworkError, httpx.RemoteProtocolError):
        return "cut"


def other_value(name: str) -> object:
    """A value of the option's type that is not the required one."""
    required = REQUIRED[name]
    if isinstance(required, bool):
        return not required
    if name.endswith("_replay"):
        return [os.devnull]
    if name == "map_local":
        return [f":~all:{os.devnull}"]
    if isinstance(required, list):
        return ["/flow/~u x/y"] if name == "modify_headers" else [":~u x:a:b"]
    return {"connection_strategy": "eager", "stream_large_bodies": "1m"}.get(name, "user:pass")
