"""`openbao:PATH#FIELD`: OpenBao or HashiCorp Vault, key/value version 2 and dynamic secrets."""

import math
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from broker.errors import StoreRefusalError
from broker.stores.openbao_session import Session
from broker.stores.reference import Reference
from broker.stores.renewals import Renewals
from broker.stores.store import Fetched, Store, fetched, field_or_why

_SEGMENT = r"(?!\.{1,2}(?:/|#))[A-Za-z0-9_.@=+~-]+"


@dataclass(slots=True)
class Lease:
    """What a dynamic engine made for us, and until when it works; shows no field."""

    id: str
    seconds: float
    ends: float  # on the monotonic clock
    fields: Mapping[str, object] = field(repr=False)

    @property
    def left(self) -> float:
        return self.ends - time.monotonic()


class OpenBao(Store):
    """Read a field of any path. What is leased is kept, renewed, and given back at the end."""

    name: ClassVar = "openbao"
    form: ClassVar = "openbao:PATH#FIELD or vault:PATH#FIELD"
    pattern: ClassVar = re.compile(rf"(?P<path>{_SEGMENT}(?:/{_SEGMENT})*)#(?P<field>.+)")
    needs: ClassVar = (
        "`pip install 'interlock[vault]'`, `BAO_ADDR`, and `BAO_TOKEN` or "
        "`BAO_ROLE_ID` with `BAO_SECRET_ID`"
    )

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._renewals = Renewals()
        self._session = Session(environ, self._renewals, self._drop_all)
        self._lock = threading.Lock()
        self._leases: dict[str, Lease] = {}

    def fetch(self, reference: Reference) -> Fetched:
        with self._lock:
            lease = self._leases.get(reference.path)
        if lease is None or lease.left <= 0:
            lease = _lease(self._session.request("get", reference.path))
            if lease.id:
                lease = self._keep(reference.path, lease)
        return fetched(field_or_why(lease.fields, reference.field), lease.left)

    def forget(self, reference: Reference) -> None:
        """Drop the lease of a path; calls under way may still use it until its time is over."""
        with self._lock:
            self._drop(reference.path)

    def close(self) -> None:
        """Give back the leases and the token that a login has made."""
        self._renewals.close()
        with self._lock:
            leases, self._leases = list(self._leases.values()), {}
        if not self._session.end():
            for lease in leases:
                self._revoke(lease)

    def _keep(self, path: str, lease: Lease) -> Lease:
        with self._lock:
            kept = self._leases.get(path)
            first = kept is None or kept.left <= 0
            if first:
                self._leases[path] = lease
                self._renewals.keep(path, lease.seconds, lambda: self._renew(path, lease))
        if first or kept is None:
            return lease
        self._revoke(lease)  # two threads asked at once, and the other was faster
        return kept

    def _renew(self, path: str, lease: Lease) -> float:
        """Ask for as much time as there was at first; answer what is left, 0 to give up.

        Where the end comes close all the same (max_ttl), or the lease is not renewable, the next
        fetch takes a new lease while the old one still works.
        """
        body = {"lease_id": lease.id, "increment": int(lease.seconds)}
        try:
            answer = self._session.request("put", "sys/leases/renew", body)
            granted = float(answer.get("lease_duration") or 0)
        except StoreRefusalError as e:
            if not e.final and lease.left > 1:
                return lease.left  # the server may come back while the lease still stands
            granted = 0.0
        if granted:
            lease.ends = time.monotonic() + granted
        if granted > lease.seconds / 2:
            return granted
        with self._lock:
            if self._leases.get(path) is lease:
                del self._leases[path]
        return 0

    def _drop(self, path: str) -> None:
        self._leases.pop(path, None)
        self._renewals.drop(path)

    def _drop_all(self) -> None:
        with self._lock:
            for path in list(self._leases):
                self._drop(path)

    def _revoke(self, lease: Lease) -> None:
        try:
            self._session.request("put", "sys/leases/revoke", {"lease_id": lease.id})
        except StoreRefusalError:
            return  # it ends by itself


def _lease(answer: Mapping[str, Any]) -> Lease:
    """Read an answer; what is not leased has no id and no end."""
    seconds = float(answer.get("lease_duration") or 0)
    if not (seconds and answer.get("lease_id")):
        return Lease("", math.inf, math.inf, _fields(answer))
    return Lease(str(answer["lease_id"]), seconds, time.monotonic() + seconds, _fields(answer))


def _fields(answer: Mapping[str, Any]) -> Mapping[str, object]:
    """Return the fields of an answer; key/value version 2 has them one level deeper."""
    data = answer.get("data")
    if not isinstance(data, dict):
        return {}
    inner = data.get("data")
    return inner if isinstance(inner, dict) and isinstance(data.get("metadata"), dict) else data
