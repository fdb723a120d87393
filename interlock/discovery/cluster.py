"""Finds agents in a Kubernetes cluster: lists once, then watches what changes."""

import contextlib
import json
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from interlock.discovery.depth import Depth
from interlock.discovery.pods import SOURCE, sightings_of
from interlock.discovery.sighting import ScanError, Sighting, Trouble, Watch
from interlock.discovery.words import clean

PAGE = 500
PATIENCE_S = 10.0
TRIES = 5
# A watch that hears nothing for so long asks anew; servers end theirs after 5 to 10 minutes.
SILENCE_S = 330.0
LONGEST_LINE = 8_000_000
INSTALL = "kubernetes: its client is not installed: pip install 'interlock[kubernetes]'"

type Object = Mapping[str, Any]


class Expired(Exception):
    """The version that we know is too old to go on from (410 Gone): list again."""


@dataclass(slots=True)
class Collection:
    """All objects of one kind, by their uid, as of one version of the cluster."""

    path: str
    objects: dict[str, Object] = field(default_factory=dict)
    version: str = ""
    followed: bool = False

    def take(self, event: Object) -> bool:
        """Take up one event of a watch, and say whether it is news. Raises Expired."""
        kind, found = event.get("type"), event.get("object") or {}
        if kind == "ERROR":
            if found.get("code") == 410:
                raise Expired
            raise ScanError(f"kubernetes: the watch was ended: {clean(found.get('message'))}")
        meta = found.get("metadata") or {}
        self.version = str(meta.get("resourceVersion") or self.version)
        if kind == "BOOKMARK":
            return False
        if kind == "DELETED":
            return self.objects.pop(_uid(found), None) is not None
        self.objects[_uid(found)] = found
        return True


class Cluster:
    """The pods, deployments and services of the cluster that a kubeconfig names."""

    source = SOURCE

    def __init__(self, depth: Depth, kubeconfig: str = "", context: str = "") -> None:
        self._depth = depth
        self._kubeconfig, self._context = kubeconfig, context
        self._lock = threading.Lock()
        self._held = {
            "pods": Collection("/api/v1/pods"),
            "deployments": Collection("/apis/apps/v1/deployments"),
            "services": Collection("/api/v1/services"),
        }

    def scan(self) -> Iterator[Sighting | Trouble]:
        """Tell what runs now, from memory while a watch keeps it; raises ScanError."""
        client = self._client()
        troubles = []
        for name, held in self._held.items():
            if held.followed:
                continue
            try:
                self._list(client, held)
            except ScanError as e:
                if name == "pods":
                    raise
                troubles.append(Trouble(f"{SOURCE}:{name}", str(e)))
        with self._lock:
            pods = list(self._held["pods"].objects.values())
            services = list(self._held["services"].objects.values())
            deployments = list(self._held["deployments"].objects.values())
        host = client.configuration.host.partition("://")[2]
        yield from troubles
        depth = self._depth
        yield from sightings_of(
            host, pods, services, deployments, depth.threshold, generic=depth.generic_ai
        )

    def watch(self, watch: Watch, stop: threading.Event) -> None:
        """Keep all objects up to date, and tell `watch` of what is news, until `stop` is set."""
        threads = [
            threading.Thread(target=self._keep, args=(held, watch, stop), daemon=True)
            for held in self._held.values()
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _keep(self, held: Collection, watch: Watch, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                client = self._client()
                self._list(client, held)
                held.followed = True
                watch.stirred(SOURCE)
                while not stop.is_set():
                    self._follow(client, held, watch, stop)
            except Expired:
                continue
            except ScanError:
                held.followed = False
                stop.wait(1)

    def _list(self, client: Any, held: Collection) -> None:
        """Read all objects, page by page; from the start when the pages have expired.

        Raises ScanError, also for an API whose pages always do.
        """
        for _ in range(TRIES):
            with contextlib.suppress(Expired):
                objects, version = self._pages(client, held.path)
                with self._lock:
                    held.objects, held.version = objects, version
                return
        raise ScanError(f"kubernetes: {held.path}: its pages expire before they are read")

    def _pages(self, client: Any, path: str) -> tuple[dict[str, Object], str]:
        found: dict[str, Object] = {}
        cursor = ""
        while True:
            query = [("limit", str(PAGE)), *([("continue", cursor)] if cursor else ())]
            page = _parsed(_get(client, path, query, PATIENCE_S).read())
            found |= {_uid(item): item for item in page.get("items") or ()}
            meta = page.get("metadata") or {}
            cursor = str(meta.get("continue") or "")
            if not cursor:
                return found, str(meta.get("resourceVersion") or "")

    def _follow(self, client: Any, held: Collection, watch: Watch, stop: threading.Event) -> None:
        """Take up what changes, until the server ends the watch, as it does every few minutes."""
        query = [
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", held.version),
        ]
        began = time.monotonic()
        answer = _get(client, held.path, query, SILENCE_S)
        threading.Thread(target=_close_when, args=(stop, answer), daemon=True).start()
        try:
            for line in _lines(answer):
                with self._lock:
                    news = held.take(_parsed(line))
                if news:
                    watch.stirred(SOURCE)
        finally:
            answer.close()
        if time.monotonic() - began < 1:
            stop.wait(1)

    def _client(self) -> Any:
        try:
            import kubernetes.client
            import kubernetes.config
        except ImportError:
            raise ScanError(INSTALL) from None
        try:
            return kubernetes.config.new_client_from_config(
                self._kubeconfig or None, self._context or None
            )
        except kubernetes.config.ConfigException as outside:
            try:
                kubernetes.config.load_incluster_config()
            except kubernetes.config.ConfigException:
                raise ScanError(f"kubernetes: {clean(outside)}") from None
            return kubernetes.client.ApiClient()
        except Exception as e:  # noqa: BLE001 - a broken kubeconfig raises whatever its parser does
            raise ScanError(f"kubernetes: the kubeconfig cannot be read: {clean(e)}") from None


def _get(client: Any, path: str, query: list[tuple[str, str]], patience_s: float) -> Any:
    """Ask the API; raises Expired, or ScanError with one line that says what to do."""
    import kubernetes.client
    import urllib3.exceptions

    try:
        answer = client.call_api(
            path,
            "GET",
            query_params=query,
            header_params={"Accept": "application/json"},
            auth_settings=["BearerToken"],
            _preload_content=False,
            _request_timeout=(PATIENCE_S, patience_s),
        )
    except kubernetes.client.ApiException as e:
        if e.status == 410:
            raise Expired from None
        if e.status in (401, 403):
            raise ScanError(
                f"kubernetes: {path} is forbidden: allow get, list and watch there, "
                "in a ClusterRole (docs/discovery.md has one)"
            ) from None
        raise ScanError(f"kubernetes: {path}: {e.status} {clean(e.reason, 80)}") from None
    except (urllib3.exceptions.HTTPError, OSError) as e:
        raise ScanError(f"kubernetes: the API does not answer: {clean(e, 120)}") from None
    return answer


def _lines(answer: Any) -> Iterator[bytes]:
    """The lines of an answer as they come; raises ScanError when it breaks off."""
    import urllib3.exceptions

    rest = b""
    try:
        for chunk in answer.stream(65_536, decode_content=True):
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > LONGEST_LINE:
                raise ScanError("kubernetes: an object is too long to be one")
            yield from filter(None, lines)
    except (urllib3.exceptions.HTTPError, OSError, AttributeError) as e:
        raise ScanError(f"kubernetes: the watch broke off: {clean(e, 120)}") from None


def _parsed(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise ScanError("kubernetes: the API answered with what is no JSON") from None
    if not isinstance(found, dict):
        raise ScanError("kubernetes: the API answered with what is no object")
    return found


def _uid(found: Object) -> str:
    meta = found.get("metadata") or {}
    return str(meta.get("uid") or f"{meta.get('namespace')}/{meta.get('name')}")


def _close_when(stop: threading.Event, answer: Any) -> None:
    """End a read that waits in another thread, as closing alone does not."""
    stop.wait()
    with contextlib.suppress(OSError, ValueError, RuntimeError):
        answer.shutdown()
