"""The recipe of a network namespace: from inside, nothing but the front door answers."""

import socket
import subprocess
import threading
from collections.abc import Iterator
from functools import partial

import pytest

from interlock.cli import egress
from tests.cli.terminal import INTERLOCK
from tests.egress.lab import DOOR, DOOR_PORT, Lab, needed

SHOWN_OPEN = (
    *("tcp 1.1.1.1:443", "tcp [2606:4700:4700::1111]:443", "metadata 169.254.169.254"),
    *("udp 1.1.1.1:33434", "udp [2606:4700:4700::1111]:33434"),
    *("dns 1.1.1.1", "dns 2606:4700:4700::1111", "icmp 1.1.1.1", "icmp 2606:4700:4700::1111"),
    f"tcp {DOOR}:9080",
)


@pytest.fixture
def lab() -> Iterator[Lab]:
    """Host, agent and outside, with an agent that routes whatever it wants."""
    needed()
    with Lab() as made:
        made.let_agent_route()
        yield made


def test_the_rules_and_nothing_else_close_every_way(lab: Lab) -> None:
    """With them only the front door answers, to root with routes too; without them all do."""
    code, (door, *others) = lab.prove()
    assert (door["way"], door["open"]) == ("front door", True)
    assert [one["way"] for one in others if one["open"] and "socket" not in one["way"]] == []
    assert {one["way"] for one in others} >= set(SHOWN_OPEN)
    assert code == int(any(one["open"] for one in others))

    lab.drop_rules()
    code, (_, *others) = lab.prove()
    assert code == 1
    assert {one["way"] for one in others if one["open"]} >= set(SHOWN_OPEN)


def test_a_question_that_got_lost_is_asked_again() -> None:
    """One packet may be lost on a way that is open; a way that is closed stays so."""
    needed()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as resolver:
        resolver.bind(("127.0.0.153", 53))
        resolver.settimeout(10)

        def forgetful() -> None:
            resolver.recv(512)
            asked, sender = resolver.recvfrom(512)
            resolver.sendto(asked[:2] + b"\x81\x80" + asked[4:], sender)

        answering = threading.Thread(target=forgetful)
        answering.start()
        tried = egress._tried("dns", partial(egress._dns, "127.0.0.153"))
        answering.join()
        assert tried.open
        tried = egress._tried("dns", partial(egress._dns, "127.0.0.153"))
    assert (tried.open, tried.found) == (False, "no answer")


def test_a_command_inside_is_no_root_and_has_no_resolver(lab: Lab) -> None:
    """It runs as the user that was said, cannot become another, and root is refused."""
    script = "id -u; grep -c nameserver /etc/resolv.conf; grep NoNewPrivs /proc/self/status"
    said = lab.recipe("exec", lab.agent, "sh", "-c", script, AGENT_UID="65534").stdout.split()
    assert said == ["65534", "0", "NoNewPrivs:", "1"]
    with pytest.raises(subprocess.CalledProcessError) as refused:
        lab.recipe("exec", lab.agent, "true", AGENT_UID="0")
    assert "root can leave any network" in refused.value.stderr


def test_what_was_set_up_is_taken_down(lab: Lab) -> None:
    """Twice up is refused, down leaves nothing, and what cannot be is one line."""
    with pytest.raises(subprocess.CalledProcessError) as refused:
        lab.recipe("up", lab.agent, str(DOOR_PORT), "77")
    assert "is there already" in refused.value.stderr
    lab.recipe("down", lab.agent)
    assert "interlock" not in lab.run(lab.host, "nft", "list", "tables").stdout
    assert f"interlock-{lab.agent}" not in lab.run(lab.host, "ip", "netns", "list").stdout
    with pytest.raises(subprocess.CalledProcessError) as refused:
        lab.recipe("up", "a;b")
    assert refused.value.returncode == 2


def test_a_process_that_is_not_there_is_one_line() -> None:
    """Exit 2, and nothing was tried."""
    words = (INTERLOCK, "doctor", "--egress", "--pid", str(2**30))
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("interlock: --pid 1073741824: ")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
