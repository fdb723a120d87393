"""Servers that behave like an engine and a cluster, with as many objects as a test wants."""

import copy
import json
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from typing import Any, ClassVar, Self
from urllib.parse import parse_qs, urlsplit


class Answers(BaseHTTPRequestHandler):
    """HTTP/1.1 with answers in JSON, whole or in chunks."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def address_string(self) -> str:
        """A UNIX socket has no address."""
        return "here"

    def whole(self, value: Any, status: int = 200) -> None:
        """Answer with one value."""
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def begin(self) -> None:
        """Begin an answer in chunks."""
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def chunk(self, data: bytes) -> None:
        """Send one chunk; an empty one ends the answer."""
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()


class Serving:
    """A server in a thread of its own."""

    server: Any

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


class _Unix(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True
    request_queue_size = 64


class SimulatedEngine(Serving):
    """Docker's API over a UNIX socket: list, inspect, top, networks, from what a test gives it."""

    def __init__(self, path: Path, containers: list[dict[str, Any]]) -> None:
        by_id = {one["Id"]: one for one in containers}

        class Handler(Answers):
            def do_GET(self) -> None:
                parts = urlsplit(self.path).path.split("/")
                if parts[-1] == "version":
                    self.whole({"ApiVersion": "1.41", "Version": "20.10"})
                elif parts[-2:] == ["containers", "json"]:
                    self.whole([{"Id": id_} for id_ in by_id])
                elif parts[-1] == "networks":
                    self.whole([{"Id": "net1", "Driver": "bridge"}])
                elif parts[-1] == "top":
                    self.whole({"Titles": ["PID", "COMMAND"], "Processes": [["1", "sleep 1"]]})
                else:
                    self.whole(by_id[parts[-2]])

        self.server = _Unix(str(path), Handler)
        self.host = f"unix://{path}"


def container(number: int, **more: Any) -> dict[str, Any]:
    """What `docker inspect` says of a small agent."""
    config = {
        "Image": "acme/crewai-worker:2",
        "Env": ["OPENAI_API_KEY=ilk_x", "PATH=/bin"],
        "Cmd": ["python", "-m", "crewai"],
        "User": "1000",
        "Labels": {"team": "a"},
    }
    network = {"NetworkID": "net1", "IPAddress": f"10.9.{number // 250}.{number % 250 + 1}"}
    return {
        "Id": f"{number:064x}",
        "Name": f"/worker-{number}",
        "Image": "sha256:" + "a" * 64,
        "Created": "2026-11-25T16:10:10.164576604Z",
        "State": {"Status": "running", "StartedAt": "2026-11-25T16:10:10.468592751Z"},
        "Config": config | more.pop("Config", {}),
        "HostConfig": {"NetworkMode": "default", "ReadonlyRootfs": True},
        "NetworkSettings": {"Networks": {"agents": network | {"IPPrefixLen": 16}}},
        "Mounts": [],
    } | more


RECORDED = Path(__file__).with_name("recorded")


class SimulatedCluster(Serving):
    """Kubernetes' list and watch: pages, chunks, resource versions, bookmarks, 410 Gone, 403.

    What it holds and what it says was recorded of kube-apiserver 1.20 with etcd behind it; the
    status of pods is what a node would have reported.
    """

    def __init__(self) -> None:
        self.version = 100
        self.oldest = 0
        self.objects: dict[str, dict[str, dict[str, Any]]] = {
            "pods": {},
            "services": {},
            "deployments": {},
        }
        self.history: list[tuple[int, str, dict[str, Any]]] = []
        self.forbidden: set[str] = set()
        # So many lists expire after their first page.
        self.expiring = 0
        self.said = json.loads((RECORDED / "answers.json").read_text())
        self.asked: list[str] = []
        self.stopped = False
        self._news = threading.Condition()
        cluster = self

        class Handler(Answers):
            def do_GET(self) -> None:
                cluster.answer(self)

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            handlers: ClassVar[list[Callable[..., Any]]] = []

        self.server = Server(("127.0.0.1", 0), Handler)

    def __exit__(self, *_: object) -> None:
        self.stopped = True
        with self._news:
            self._news.notify_all()
        super().__exit__()

    @property
    def kubeconfig(self) -> str:
        """The text of a kubeconfig that leads here."""
        server = f"http://127.0.0.1:{self.server.server_port}"
        here = {"cluster": "sim", "user": "sim"}
        return json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "sim", "cluster": {"server": server}}],
                "users": [{"name": "sim", "user": {"token": "t"}}],
                "contexts": [{"name": "sim", "context": here}],
                "current-context": "sim",
            }
        )

    def put(self, kind: str, found: dict[str, Any]) -> None:
        """Create or change an object; every watch hears of it."""
        with self._news:
            self.version += 1
            meta = found.setdefault("metadata", {})
            meta["resourceVersion"] = str(self.version)
            uid = meta.setdefault("uid", f"uid-{meta['name']}")
            event = "MODIFIED" if uid in self.objects[kind] else "ADDED"
            self.objects[kind][uid] = found
            self.history.append((self.version, kind, {"type": event, "object": found}))
            self._news.notify_all()

    def delete(self, kind: str, name: str) -> None:
        """Delete an object; every watch hears of it."""
        with self._news:
            self.version += 1
            found = self.objects[kind].pop(f"uid-{name}")
            found["metadata"]["resourceVersion"] = str(self.version)
            self.history.append((self.version, kind, {"type": "DELETED", "object": found}))
            self._news.notify_all()

    def forget(self) -> None:
        """Compact: versions up to now are too old to watch from, and running watches end."""
        with self._news:
            self.version += 1
            self.oldest = self.version
            self.history.clear()
            self._news.notify_all()

    def answer(self, handler: Answers) -> None:
        """Answer one request."""
        url = urlsplit(handler.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        kind = url.path.rpartition("/")[2]
        self.asked.append(f"{'watch' if 'watch' in query else 'list'} {kind}")
        if kind in self.forbidden:
            handler.whole(self.said["forbidden"], 403)
        elif "watch" in query:
            self._watch(handler, kind, int(query["resourceVersion"]))
        else:
            self._list(handler, kind, query)

    def _list(self, handler: Answers, kind: str, query: dict[str, str]) -> None:
        if "continue" in query and self.expiring:
            self.expiring -= 1
            handler.whole(self.said["pages_expired"], 410)
            return
        objects = list(self.objects[kind].values())
        start, limit = int(query.get("continue", "0")), int(query.get("limit", "500"))
        meta = {"resourceVersion": str(self.version)}
        if start + limit < len(objects):
            meta["continue"] = str(start + limit)
        handler.whole({"kind": "List", "metadata": meta, "items": objects[start : start + limit]})

    def _watch(self, handler: Answers, kind: str, version: int) -> None:
        handler.begin()
        if version < self.oldest:
            self._send(handler, self.said["too_old"])
        else:
            self._follow(handler, kind, version)
        handler.chunk(b"")

    def _follow(self, handler: Answers, kind: str, version: int) -> None:
        oldest, end = self.oldest, time.monotonic() + 60
        while not self.stopped and self.oldest == oldest and time.monotonic() < end:
            with self._news:
                news = [one for one in self.history if one[0] > version]
                if not news:
                    self._news.wait(0.2)
                    continue
            for number, of, event in news:
                version = number
                if of == kind:
                    self._send(handler, event)
            mark = copy.deepcopy(self.said["bookmark"])
            mark["object"]["metadata"]["resourceVersion"] = str(version)
            self._send(handler, mark)

    def _send(self, handler: Answers, event: dict[str, Any]) -> None:
        """An event in two chunks, because the real one cuts wherever it likes."""
        line = json.dumps(event).encode() + b"\n"
        half = len(line) // 2
        handler.chunk(line[:half])
        handler.chunk(line[half:])


def listening() -> tuple[socket.socket, int]:
    """A port on which somebody listens and never answers."""
    deaf = socket.create_server(("127.0.0.1", 0))
    return deaf, deaf.getsockname()[1]
