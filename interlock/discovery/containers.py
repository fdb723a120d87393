"""Finds agents in the containers of a Docker engine, in four tiers of which each costs more."""

import contextlib
import ipaddress
import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from interlock.discovery.container_risk import security_of, signals_of
from interlock.discovery.depth import Depth
from interlock.discovery.plain import HIDDEN, hide, is_provider_key, is_secret, plain_arguments
from interlock.discovery.sighting import Address, Finding, ScanError, Sighting, Trouble, Watch
from interlock.discovery.signs import Look, Match, recognise
from interlock.discovery.words import clean, digest, name_of

SOURCE = "docker"
PATIENCE_S = 10.0
AT_ONCE = 4
LONGEST_ANSWER = 1_000_000
# What is longer is looked at from its beginning only.
LONGEST, MOST_WORDS = 4_000, 100
PIP = ("pip", "list", "--format=json", "--disable-pip-version-check")
INSTALL = "docker: the Docker SDK is not installed: pip install 'interlock[docker]'"
BEGIN = ("start", "connect", "rename", "update")
END = ("die", "destroy", "disconnect")


@dataclass(frozen=True, slots=True)
class Containers:
    """The running containers of one engine; `host` is empty for what DOCKER_HOST says."""

    depth: Depth
    host: str = ""
    source: str = SOURCE

    def scan(self) -> Iterator[Sighting | Trouble]:
        """Look at every running container; raises ScanError when the engine does not answer."""
        with self._engine() as engine, ThreadPoolExecutor(AT_ONCE, "docker") as pool:
            listed = _ask(engine.containers)
            bridges = {n["Id"] for n in _ask(engine.networks) if n.get("Driver") == "bridge"}
            looked = pool.map(lambda one: self._inspect(engine, str(one["Id"])), listed)
            seen = [pair for pair in looked if pair]
            here = engine.base_url.startswith("http+docker")
        shared = {_lender(container) for container, _ in seen}
        for container, match in seen:
            if match.score >= self.depth.threshold:
                bound = here and container["Id"] not in shared
                addresses = tuple(_addresses(container, bridges)) if bound else ()
                yield replace(_sighting(container, match), addresses=addresses)

    def watch(self, watch: Watch, stop: threading.Event) -> None:
        """Follow the engine's events until `stop` is set; a broken stream is taken up again."""
        while not stop.is_set():
            with contextlib.suppress(ScanError), self._engine(forever=True) as engine:
                self._follow(engine, watch, stop)
            watch.live(SOURCE, watching=False)
            stop.wait(1)

    def _follow(self, engine: Any, watch: Watch, stop: threading.Event) -> None:
        wanted = {"type": ["container", "network"], "event": [*BEGIN, *END]}
        events = _ask(lambda: engine.events(decode=True, filters=wanted))
        threading.Thread(target=_close_when, args=(stop, events), daemon=True).start()
        watch.live(SOURCE, watching=True)
        watch.stirred(SOURCE)
        try:
            _ask(lambda: _tell_all(events, watch))
        finally:
            _hang_up(events)

    def _inspect(self, engine: Any, id_: str) -> tuple[Mapping[str, Any], Match] | None:
        """What the engine says of a container, and what we make of it; None for one that went."""
        try:
            container = _ask(lambda: engine.inspect_container(id_))
        except ScanError:
            return None
        return container, self._match(engine, container)

    def _match(self, engine: Any, container: Mapping[str, Any]) -> Match:
        look = _look(container, self.depth)
        match = recognise(look)
        settled = match.score >= self.depth.threshold and match.framework
        if self.depth.process_inspection and not settled:
            look = replace(look, processes=_processes(engine, container["Id"]))
            match = recognise(look)
        if self.depth.package_inspection:
            match = recognise(replace(look, packages=_packages(engine, container["Id"])))
        return match

    @contextlib.contextmanager
    def _engine(self, *, forever: bool = False) -> Iterator[Any]:
        try:
            import docker
        except ImportError:
            raise ScanError(INSTALL) from None
        patience = None if forever else PATIENCE_S
        client = _ask(
            lambda: (
                docker.DockerClient(self.host, timeout=patience, version="auto")
                if self.host
                else docker.from_env(timeout=patience, version="auto")
            )
        )
        try:
            yield client.api
        finally:
            client.close()


def _look(container: Mapping[str, Any], depth: Depth) -> Look:
    config = container.get("Config") or {}
    labels = config.get("Labels") or {}
    service = str(labels.get("com.docker.compose.service") or "")
    return Look(
        image=str(config.get("Image") or "")[:500],
        command=" ".join(_words(container))[:LONGEST],
        variables=sorted(_variables(container)),
        names=(str(container.get("Name") or "")[:500], service[:500]),
        generic=depth.generic_ai,
    )


def _variables(container: Mapping[str, Any]) -> dict[str, str]:
    """The environment, for looking at names, and at whether a value is one of ours."""
    entries = (container.get("Config") or {}).get("Env") or ()
    pairs = (str(entry).partition("=") for entry in entries)
    return {name[:LONGEST]: value[:LONGEST] for name, _, value in pairs}


def _words(container: Mapping[str, Any]) -> list[str]:
    """The command that was started, with its arguments."""
    config = container.get("Config") or {}
    words = [*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ())]
    return [str(word)[:LONGEST] for word in words[:MOST_WORDS]]


def _sighting(container: Mapping[str, Any], match: Match) -> Sighting:
    config = container.get("Config") or {}
    name = str(container.get("Name") or "").lstrip("/")
    words = _words(container)
    # The same name, image, command and user are the same agent, however often it is made anew.
    same = digest(name, container.get("Image"), words, config.get("User"))
    addresses = (n.get("IPAddress") for n in _networks(container).values())
    return Sighting(
        source=SOURCE,
        place=f"{SOURCE}:{name_of(name)}@{same}",
        kind=match.kind,
        name=name_of(name),
        type="container",
        framework=match.framework,
        version=clean(match.version, 40),
        confidence=match.score,
        evidence=tuple(clean(one) for one in match.evidence),
        signals=tuple(signals_of(container)),
        findings=tuple(_findings(container, name, words)),
        marks=frozenset(
            {f"container:{container['Id']}"} | {f"address:{ip}" for ip in addresses if ip}
        ),
        command=clean(words[0] if words else ""),
        args=tuple(clean(word) for word in hide(words[1:33])),
        env=tuple(clean(variable, 128) for variable in sorted(_variables(container))[:200]),
        labels=_labels(config.get("Labels") or {}),
        facts=security_of(container) | {"image": clean(config.get("Image") or "")},
    )


def _findings(container: Mapping[str, Any], name: str, words: Sequence[str]) -> Iterator[Finding]:
    shown = clean(name, 64)
    for variable, value in sorted(_variables(container).items()):
        if is_provider_key(variable, value):
            yield Finding(
                "raw_provider_key",
                f"variable {clean(variable, 128)} of container {shown}",
                "store it with `interlock secret set`, give the container an agent key "
                "(`interlock env --agent NAME --format docker`), and revoke this one",
            )
    if plain_arguments(words):
        yield Finding(
            "secret_in_arguments",
            f"command line of container {shown}",
            "anybody who may list processes can read it: pass it another way, and revoke it",
        )


def _labels(labels: Mapping[str, Any]) -> dict[str, str]:
    kept = sorted(labels.items())[:50]
    pairs = ((k[:LONGEST], str(v)[:LONGEST]) for k, v in kept)
    return {clean(k, 128): HIDDEN if is_secret(k, v) else clean(v) for k, v in pairs}


def _networks(container: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    found = (container.get("NetworkSettings") or {}).get("Networks") or {}
    return {name: one or {} for name, one in found.items()}


def _lender(container: Mapping[str, Any]) -> str:
    """The id of the container whose address this one uses too; empty for none."""
    kind, _, lender = str((container.get("HostConfig") or {}).get("NetworkMode")).partition(":")
    return lender if kind == "container" else ""


def _addresses(container: Mapping[str, Any], bridges: set[str]) -> Iterator[Address]:
    """Where its calls come from: its address in each bridge network of this machine."""
    for network in _networks(container).values():
        if network.get("NetworkID") not in bridges:
            continue
        for ip, bits in (
            ("IPAddress", "IPPrefixLen"),
            ("GlobalIPv6Address", "GlobalIPv6PrefixLen"),
        ):
            with contextlib.suppress(ValueError):
                interface = ipaddress.ip_interface(f"{network.get(ip)}/{network.get(bits)}")
                yield Address(str(interface.ip), str(interface.network), container["Id"])


def _processes(engine: Any, id_: str) -> list[str]:
    try:
        answer = _ask(lambda: engine.top(id_, "-eo pid,args"))
    except ScanError:
        return []
    return [str(line[-1])[:4000] for line in (answer.get("Processes") or ())[:500] if line]


def _packages(engine: Any, id_: str) -> list[tuple[str, str]]:
    """What pip says is installed; no shell reads anything, and the answer is bounded."""
    try:
        run = _ask(lambda: engine.exec_create(id_, list(PIP), stderr=False))
        found = json.loads(_ask(lambda: _output(engine.exec_start(run["Id"], socket=True))))
        return [(str(one["name"]).lower(), str(one["version"])) for one in found]
    except (ScanError, ValueError, TypeError, KeyError, RecursionError):
        return []


def _output(answer: Any) -> bytes:
    """What a command in a container writes, if it ends in time and is not too long."""
    from docker.utils.socket import frames_iter

    text, deadline = b"", time.monotonic() + PATIENCE_S
    try:
        for _, chunk in frames_iter(answer, tty=False):
            text += chunk
            if len(text) > LONGEST_ANSWER or time.monotonic() > deadline:
                return b""
        return text
    finally:
        _hang_up(answer)


def _hang_up(answer: Any) -> None:
    """Close the connection that an answer took over; the SDK leaves that to the collector."""
    with contextlib.suppress(OSError, AttributeError):
        answer._response.close()
    with contextlib.suppress(OSError, AttributeError):
        answer.close()


def _ask[T](question: Callable[[], T]) -> T:
    """Ask the engine; raises ScanError with one line that says what to do."""
    import docker.errors
    import requests.exceptions
    import urllib3.exceptions

    try:
        return question()
    except docker.errors.APIError as e:
        raise ScanError(f"docker: the engine refuses: {clean(e.explanation or e)}") from None
    except (
        docker.errors.DockerException,
        requests.exceptions.RequestException,
        urllib3.exceptions.HTTPError,
        OSError,
        ValueError,
        AttributeError,
    ) as e:
        hint = "is it running, and may you use it (group docker, DOCKER_HOST)?"
        raise ScanError(f"docker: the engine does not answer ({clean(e, 120)}): {hint}") from None


def _tell_all(events: Iterable[Mapping[str, Any]], watch: Watch) -> None:
    for event in events:
        actor = event.get("Actor") or {}
        container = (actor.get("Attributes") or {}).get("container") or actor.get("ID")
        if event.get("Action") in END:
            watch.gone(str(container))
        watch.stirred(SOURCE)


def _close_when(stop: threading.Event, events: Any) -> None:
    stop.wait()
    with contextlib.suppress(OSError, AttributeError):
        events.close()
