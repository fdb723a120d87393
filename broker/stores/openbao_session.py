"""One logged-in connection to OpenBao: by token or AppRole, kept alive, refusals in our words."""

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from broker.errors import StoreRefusalError
from broker.stores.address import require_private_wire
from broker.stores.renewals import Renewals
from broker.stores.store import TIME_LIMIT_S, hush

_PREFIXES = ("BAO_", "VAULT_")
_TOKEN = "token"  # noqa: S105 - the name of a renewal
_STATUS = {
    400: "it refuses the request",
    403: "permission denied: is the token valid, and may it read this path?",
    404: "there is nothing at this path",
    429: "it is throttling: too many requests",
    503: "it is sealed, or not ready",
}


class Session:
    """Send requests as the environment says: BAO_ADDR, BAO_TOKEN, ..., or VAULT_ in their place.

    Each may also be the name of a file: BAO_TOKEN_FILE. Nothing is opened before it is needed.
    """

    def __init__(
        self, environ: Mapping[str, str], renewals: Renewals, token_ends: Callable[[], None]
    ) -> None:
        """`token_ends` is called when a token goes, and with it all that was leased to it."""
        self._environ = environ
        self._renewals = renewals
        self._token_ends = token_ends
        self._lock = threading.Lock()  # held while logging in, so that one login serves all
        self._adapter: Any = None
        self._logged_in = False  # by AppRole, so that the token is ours to revoke

    def request(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """Return the answer; raises StoreRefusalError. A token that has ended is replaced once."""
        adapter = self._connected()
        try:
            return _send(adapter, method, path, body)
        except StoreRefusalError as e:
            if not e.denied or not self._replaced(adapter):
                raise
        return _send(self._connected(), method, path, body)

    def end(self) -> bool:
        """Revoke the token of a login and with it all its leases; False when there was none."""
        with self._lock:
            adapter, self._adapter = self._adapter, None
        if adapter is None:
            return True  # nothing was ever asked for
        try:
            if self._logged_in:
                _send(adapter, "put", "auth/token/revoke-self", None)
        except StoreRefusalError:
            return False
        return self._logged_in

    def _connected(self) -> Any:
        with self._lock:
            if self._adapter is None:
                self._adapter = self._log_in()
            return self._adapter

    def _replaced(self, denied: Any) -> bool:
        """Log in again where the token itself has ended; False where it is good, but not enough."""
        with self._lock:
            if self._adapter is not denied:
                return True  # another thread did
            if _alive(denied):
                return False
            if not self._given("ROLE_ID") and self._given("TOKEN") == denied.token:
                return False
            self._adapter = None
        self._token_ends()
        return True

    def _log_in(self) -> Any:
        adapter = self._open()
        role, token = self._given("ROLE_ID"), self._given("TOKEN")
        if role:
            login = {"role_id": role, "secret_id": self._given("SECRET_ID")}
            mount = self._given("APPROLE_PATH").strip("/") or "approle"
            try:
                auth = _send(adapter, "put", f"auth/{mount}/login", login).get("auth") or {}
            except StoreRefusalError as e:
                raise StoreRefusalError(_REFUSED if e.final else e.why) from None
            adapter.token, self._logged_in = auth.get("client_token"), True
            self._keep(adapter, auth.get("lease_duration"), auth.get("renewable"))
        elif token:
            adapter.token = token
            data = _about(adapter)
            self._keep(adapter, data.get("ttl"), data.get("renewable"))
        else:
            raise StoreRefusalError("set BAO_TOKEN, or BAO_ROLE_ID and BAO_SECRET_ID")
        return adapter

    def _keep(self, adapter: Any, seconds: Any, renewable: Any) -> None:
        if seconds and renewable:
            first = float(seconds)
            self._renewals.keep(_TOKEN, first, lambda: self._renew(adapter, first))

    def _renew(self, adapter: Any, seconds: float) -> float:
        """Prolong the token; a login whose end comes close (max_ttl) makes way for a new one."""
        try:
            auth = _send(adapter, "put", "auth/token/renew-self", {}).get("auth") or {}
        except StoreRefusalError as e:
            return 0 if e.final else min(seconds, _RETRY_S)
        granted = float(auth.get("lease_duration") or 0)
        if granted > seconds / 2 or not self._logged_in:
            return granted
        with self._lock:
            self._adapter = None
        self._token_ends()
        return 0

    def _open(self) -> Any:
        try:
            from hvac.adapters import JSONAdapter  # type: ignore[import-untyped]
            from requests import Session as Http
        except ImportError:
            raise StoreRefusalError("run: pip install 'interlock[vault]'") from None
        hush("hvac", "requests", "urllib3")
        address = self._given("ADDR")
        if not address:
            raise StoreRefusalError("set BAO_ADDR to the address of OpenBao or Vault")
        require_private_wire(address, "BAO_ADDR")
        http = Http()
        http.trust_env = False  # no proxy, and no .netrc, ever sees a token
        http.verify = self._given("CACERT") or True
        return JSONAdapter(
            base_uri=address,
            timeout=TIME_LIMIT_S,
            allow_redirects=False,  # a redirect would carry the token to another host
            session=http,
            namespace=self._given("NAMESPACE") or None,
        )

    def _given(self, name: str) -> str:
        """Read BAO_<name>, else VAULT_<name>, else the file that either with _FILE names."""
        for prefix in _PREFIXES:
            variable = prefix + name
            if value := self._environ.get(variable):
                return value.strip()
            if path := self._environ.get(f"{variable}_FILE"):
                try:
                    return Path(path).read_text().strip()
                except (OSError, UnicodeDecodeError):
                    raise StoreRefusalError(f"the file of {variable}_FILE is not there") from None
        return ""


_REFUSED = "the AppRole login is refused: are BAO_ROLE_ID and BAO_SECRET_ID right?"
_FINAL = frozenset(range(400, 500)) - {429}
_RETRY_S = 15.0  # two thirds of it pass before a token is renewed again that could not be now


def _alive(adapter: Any) -> bool:
    try:
        _send(adapter, "get", "auth/token/lookup-self", None)
    except StoreRefusalError as e:
        return not e.denied
    return True


def _about(adapter: Any) -> dict[str, Any]:
    """Look up our own token; a token that may not do so works, but is not renewed."""
    try:
        return _send(adapter, "get", "auth/token/lookup-self", None).get("data") or {}
    except StoreRefusalError as e:
        if e.denied:
            return {}
        raise


def _send(adapter: Any, method: str, path: str, body: object) -> dict[str, Any]:
    """Send one request; raises StoreRefusalError, outside of every frame that saw an answer."""
    answer, why, status = _answer(adapter, method, path, body)
    if answer is None:
        raise StoreRefusalError(why, denied=status == 403, final=status in _FINAL)
    return answer


def _answer(
    adapter: Any, method: str, path: str, body: object
) -> tuple[dict[str, Any] | None, str, int]:
    from requests import exceptions

    try:
        answer = adapter.request(method, f"/v1/{path}", json=body, raise_exception=False)
    except exceptions.SSLError:
        return None, "its certificate is not trusted; BAO_CACERT names the authority", 0
    except exceptions.Timeout:
        return None, f"no answer within {TIME_LIMIT_S:g} seconds", 0
    except exceptions.ConnectionError:
        return None, "it cannot be reached", 0
    except (exceptions.RequestException, OSError) as e:
        return None, f"the request failed: {type(e).__name__}", 0
    if isinstance(answer, dict):
        return answer, "", 200
    status = answer.status_code
    if status == 204:
        return {}, "", status
    return None, _STATUS.get(status, f"HTTP status {status}, which is no answer"), status
