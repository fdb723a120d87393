"""The recipe of a Docker network: from inside the agent's container only the front door answers."""

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import docker.types
import pytest

from interlock.discovery.written import parse_yaml
from tests.cli.terminal import INTERLOCK
from tests.discovery.engine import Engine, own_engine
from tests.egress.lab import ROOT

RECIPE = parse_yaml((ROOT / "deploy" / "docker" / "compose.yaml").read_bytes())
AGENT = RECIPE["services"]["agent"]
NUMBER = os.getpid() % 200
GATEWAY = f"10.214.{NUMBER}.1"


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """A Docker engine of our own."""
    yield from own_engine()


@contextmanager
def agent_and_door(engine: Engine, options: dict[str, str]) -> Iterator[tuple[int, str]]:
    """Both containers in the recipe's network: the agent's process, and where the door is."""
    described = RECIPE["networks"]["agents"]
    pool = docker.types.IPAMPool(subnet=f"10.214.{NUMBER}.0/24", gateway=GATEWAY)
    network = engine.client.networks.create(
        "egress",
        driver="bridge",
        internal=described["internal"],
        enable_ipv6=described["enable_ipv6"],
        options=options,
        ipam=docker.types.IPAMConfig(pool_configs=[pool]),
    )
    listens = ("nc", "-ll", "-p", "8080", "-e", "/bin/sleep", "1")
    held = {name: AGENT[name] for name in ("cap_drop", "security_opt", "dns")}
    try:
        door = engine.run("door", *listens, network="egress")
        agent = engine.run("agent", network="egress", **held)
        agent.reload()
        door.reload()
        at = door.attrs["NetworkSettings"]["Networks"]["egress"]["IPAddress"]
        yield agent.attrs["State"]["Pid"], f"{at}:8080"
    finally:
        engine.clear()
        network.remove()


def prove(pid: int, door: str) -> tuple[int, list[dict[str, Any]]]:
    """What the doctor finds from where that process is."""
    words = [INTERLOCK, "doctor", "--egress", "--pid", str(pid), "--proxy", door, "--json"]
    words += ["--target", GATEWAY]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def test_from_inside_only_the_front_door_answers(engine: Engine) -> None:
    """No address outside, no resolver, and not the host either."""
    options = dict(RECIPE["networks"]["agents"]["driver_opts"])
    with agent_and_door(engine, options) as (pid, door):
        code, (answers, *others) = prove(pid, door)
    assert answers["open"]
    assert [one for one in others if one["open"]] == []
    assert code == 0
    assert {"dns 127.0.0.11", f"tcp {GATEWAY}:8443"} <= {one["way"] for one in others}


def test_an_internal_network_alone_leaves_the_host_open(engine: Engine) -> None:
    """Why the recipe says more: Docker gives the host an address in there."""
    with (
        agent_and_door(engine, {}) as (pid, door),
        socket.create_server((GATEWAY, 8443)),
    ):
        code, (_, *others) = prove(pid, door)
    assert code == 1
    assert f"tcp {GATEWAY}:8443" in {one["way"] for one in others if one["open"]}
