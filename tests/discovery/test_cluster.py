"""Agents of a cluster: listed once, then watched, whatever the API does in between."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from interlock.discovery.cluster import Cluster
from interlock.discovery.depth import PRESETS
from interlock.discovery.sighting import ScanError, Sighting, Trouble
from tests.discovery.simulated import RECORDED, SimulatedCluster

STANDARD = PRESETS["enterprise-standard"]


@pytest.fixture
def cluster() -> Iterator[SimulatedCluster]:
    """An API server with what was recorded of a real cluster."""
    with SimulatedCluster() as simulated:
        for kind, objects in json.loads((RECORDED / "deployment.json").read_text()).items():
            for one in objects:
                simulated.put(kind, one)
        yield simulated


@pytest.fixture
def scanner(cluster: SimulatedCluster, tmp_path: Path) -> Cluster:
    """A scanner of it."""
    (tmp_path / "config").write_text(cluster.kubeconfig)
    return Cluster(STANDARD, str(tmp_path / "config"))


def seen(scanner: Cluster) -> dict[str, Sighting]:
    """What it sees now, by name."""
    return {one.name: one for one in scanner.scan() if isinstance(one, Sighting)}


class Heard:
    """Counts what a watch tells."""

    def __init__(self) -> None:
        self.count = 0

    def stirred(self, source: str) -> None:
        """Count it."""
        self.count += 1

    def gone(self, container: str) -> None:
        """Nothing of a cluster."""

    def live(self, source: str, *, watching: bool) -> None:
        """Nothing of a cluster."""


@pytest.fixture
def watching(scanner: Cluster) -> Iterator[Heard]:
    """The scanner's watch, under way."""
    heard, stop = Heard(), threading.Event()
    thread = threading.Thread(target=scanner.watch, args=(heard, stop))
    thread.start()
    until(lambda: heard.count >= 3)
    yield heard
    stop.set()
    thread.join(30)
    assert not thread.is_alive()


def until(holds: Callable[[], Any]) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def a_pod(name: str, namespace: str = "default") -> dict[str, Any]:
    """A pod with an agent in it."""
    container = {"name": "c", "image": "x", "env": [{"name": "OPENAI_API_KEY", "value": ""}]}
    return {
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"containers": [container]},
        "status": {"phase": "Running"},
    }


def test_a_deployment_is_one_agent_with_all_that_is_known(scanner: Cluster) -> None:
    """Framework, service, account, labels of both; the value of a key nowhere."""
    found = seen(scanner)
    assert set(found) == {"agents-research", "closed"}
    research = found["agents-research"]
    assert research.place.endswith("/agents/Deployment/research")
    assert research.framework == "LangGraph"
    assert research.endpoints == ("http://research.agents.svc:80",)
    assert research.labels["team"] == "science"
    assert research.facts["service_account"] == "research"
    assert {finding.id for finding in research.findings} == {"raw_provider_key"}
    assert "ANTHROPIC" not in research.findings[0].where, "a reference is no raw key"
    assert "CANARY" not in repr(found)


def test_pods_are_judged_by_the_pod_security_standards(scanner: Cluster) -> None:
    """What was recorded breaks both profiles; what is restricted, neither."""
    found = seen(scanner)
    assert found["closed"].signals == ()
    assert set(found["agents-research"].signals) == {
        "kubernetes_host_path",
        "kubernetes_added_capabilities",
        "kubernetes_privilege_escalation",
        "kubernetes_capabilities_kept",
        "kubernetes_runs_as_root",
        "kubernetes_no_seccomp",
    }


def test_many_pods_are_read_in_pages(cluster: SimulatedCluster, scanner: Cluster) -> None:
    """None is lost at the end of a page."""
    for number in range(1_100):
        cluster.put("pods", a_pod(f"agent-{number}"))
    assert len(seen(scanner)) == 1_102
    assert cluster.asked.count("list pods") == 3


def test_pages_that_expire_are_read_anew(cluster: SimulatedCluster, scanner: Cluster) -> None:
    """410 between two pages, a few times; an API that never gets to the end is named."""
    for number in range(600):
        cluster.put("pods", a_pod(f"agent-{number}"))
    cluster.expiring = 2
    assert len(seen(scanner)) == 602
    cluster.expiring = 1_000
    with pytest.raises(ScanError, match="/api/v1/pods: its pages expire before they are read"):
        seen(scanner)
    assert cluster.expiring > 900


def test_a_watch_hears_of_pods_that_come_and_go(
    cluster: SimulatedCluster, scanner: Cluster, watching: Heard
) -> None:
    """Without listing again: memory is kept up to date."""
    cluster.put("pods", a_pod("late"))
    until(lambda: "late" in seen(scanner))
    cluster.delete("pods", "late")
    until(lambda: "late" not in seen(scanner))
    assert cluster.asked.count("list pods") == 1


def test_a_watch_goes_on_after_its_version_is_gone(
    cluster: SimulatedCluster, scanner: Cluster, watching: Heard
) -> None:
    """410 Gone: it lists again, and misses nothing that happened meanwhile."""
    cluster.forget()
    cluster.put("pods", a_pod("meanwhile"))
    until(lambda: "meanwhile" in seen(scanner))
    cluster.delete("pods", "meanwhile")
    until(lambda: "meanwhile" not in seen(scanner))


def test_what_is_forbidden_is_named_and_the_rest_is_seen(
    cluster: SimulatedCluster, scanner: Cluster
) -> None:
    """Without services there are no endpoints; without pods there is nothing."""
    cluster.forbidden = {"services"}
    told = list(scanner.scan())
    (trouble,) = (one for one in told if isinstance(one, Trouble))
    assert "/api/v1/services is forbidden: allow get, list and watch" in trouble.why
    assert len(told) == 3
    cluster.forbidden = {"pods"}
    with pytest.raises(ScanError, match="/api/v1/pods is forbidden"):
        list(scanner.scan())


def test_a_kubeconfig_that_is_broken_is_one_clear_line(tmp_path: Path) -> None:
    """Whatever its parser thinks of it."""
    for text in ("", "a: [", "apiVersion: v1\nclusters: 7\n"):
        (tmp_path / "config").write_text(text)
        with pytest.raises(ScanError, match="kubernetes: "):
            list(Cluster(STANDARD, str(tmp_path / "config")).scan())
