"""The environment variables that bring an unmodified agent to the front door, and their spellings.

Where the key is not known, `${INTERLOCK_AGENT_KEY}` stands for it, which shells and Compose expand.
"""

import json
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePath, PurePosixPath

from interlock.model import Authority

KEY_VARIABLE = "INTERLOCK_AGENT_KEY"
KEY_LATER = f"${{{KEY_VARIABLE}}}"
DEFAULT_PROXY = Authority("127.0.0.1", 8080)
# The files that addons/certificate.py writes, named here too because it loads mitmproxy.
CA_FILE = "interlock-ca.pem"
JAVA_TRUST_STORE = "interlock-ca.p12"
CONTAINER_FOLDER = PurePosixPath("/etc/interlock")
DOCKER_HOST = "host.docker.internal"
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

# Who reads which: Go, OpenSSL and httpx; requests; curl; Deno; git; the AWS SDKs; Node.
CA_VARIABLES = (
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "DENO_CERT",
    "GIT_SSL_CAINFO",
    "AWS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
)
PROXY_VARIABLES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy")
# Node reads the variables above only when told; git sends its key unasked only when told.
PROXY_SWITCHES = {"NODE_USE_ENV_PROXY": "1", "GIT_HTTP_PROXY_AUTHMETHOD": "basic"}
# How the SDK of a service spells its base URL.
BASE_URLS = {"openai": ("OPENAI", "/v1"), "anthropic": ("ANTHROPIC", "")}

type Variables = dict[str, str]


@dataclass(frozen=True, slots=True)
class Way:
    """How one agent reaches the front door: the proxy, or base URLs by service, or both."""

    agent: str
    key: str
    certificate: PurePath
    java_trust_store: PurePath
    proxy: Authority | None = None
    base_urls: tuple[tuple[str, Authority], ...] = ()

    def variables(self) -> Variables:
        """All variables, by name."""
        found: Variables = {}
        for service, authority in self.base_urls:
            name, path = BASE_URLS[service]
            found |= {f"{name}_BASE_URL": f"https://{authority}{path}", f"{name}_API_KEY": self.key}
        if self.proxy:
            url = proxy_url(self.agent, self.key, self.proxy)
            found |= dict.fromkeys(PROXY_VARIABLES, url) | PROXY_SWITCHES
        if self.proxy and self.base_urls:
            direct = ",".join(sorted({authority.host for _, authority in self.base_urls}))
            found |= {"NO_PROXY": direct, "no_proxy": direct}
        found |= dict.fromkeys(CA_VARIABLES, str(self.certificate))
        return found | {"JAVA_TOOL_OPTIONS": " ".join(self._java())}

    def from_container(self) -> "Way":
        """The same way from inside a container, where loopback is another machine."""
        return replace(
            self,
            certificate=CONTAINER_FOLDER / self.certificate.name,
            java_trust_store=CONTAINER_FOLDER / self.java_trust_store.name,
            proxy=self.proxy and _seen_from_container(self.proxy),
            base_urls=tuple((name, _seen_from_container(at)) for name, at in self.base_urls),
        )

    def _java(self) -> Iterable[str]:
        if self.proxy:
            for scheme in ("https", "http"):
                yield f"-D{scheme}.proxyHost={self.proxy.host}"
                yield f"-D{scheme}.proxyPort={self.proxy.port}"
        store = str(self.java_trust_store)
        yield f"-Djavax.net.ssl.trustStore={_java_quoted(store)}"
        yield "-Djavax.net.ssl.trustStoreType=PKCS12"


def proxy_url(agent: str, key: str, proxy: Authority = DEFAULT_PROXY) -> str:
    """The value of HTTPS_PROXY for an agent."""
    return f"http://{agent}:{key}@{proxy}"


def shell(way: Way) -> str:
    """Lines for `eval` in a POSIX shell."""
    return "\n".join(f"export {k}={_quoted(v)}" for k, v in way.variables().items())


def docker(way: Way) -> str:
    """Arguments for `docker run`, with the certificate mounted and the host reachable."""
    inside = way.from_container()
    mounts = _mounts(way, inside)
    arguments = [f"--add-host={DOCKER_HOST}:host-gateway"]
    arguments += [f"--volume={shlex.quote(mount)}" for mount in mounts]
    arguments += [f"--env={k}={_quoted(v)}" for k, v in inside.variables().items()]
    return " \\\n".join(arguments)


def compose(way: Way) -> str:
    """Keys for a service in compose.yaml; a JSON string is a YAML string."""
    inside = way.from_container()
    lines = ["extra_hosts:", f'  - "{DOCKER_HOST}:host-gateway"', "volumes:"]
    lines += [f"  - {_compose_quoted(mount)}" for mount in _mounts(way, inside)]
    lines += ["environment:"]
    lines += [f"  {k}: {_compose_quoted(v)}" for k, v in inside.variables().items()]
    return "\n".join(lines)


def as_object(way: Way) -> str:
    """One JSON object."""
    return json.dumps(way.variables())


FORMATS: Mapping[str, Callable[[Way], str]] = {
    "shell": shell,
    "docker": docker,
    "compose": compose,
    "json": as_object,
}


def _mounts(way: Way, inside: Way) -> list[str]:
    pairs = (
        (way.certificate, inside.certificate),
        (way.java_trust_store, inside.java_trust_store),
    )
    return [f"{Path(here)}:{there}:ro" for here, there in pairs]


def _seen_from_container(authority: Authority) -> Authority:
    return replace(authority, host=DOCKER_HOST) if authority.host in LOOPBACK else authority


def _quoted(value: str) -> str:
    """Quote for the shell all but the place of the key, which the shell fills in."""
    parts = (shlex.quote(part) if part else "" for part in value.split(KEY_LATER))
    return f'"{KEY_LATER}"'.join(parts) or "''"


def _compose_quoted(value: str) -> str:
    parts = (part.replace("$", "$$") for part in value.split(KEY_LATER))
    return json.dumps(KEY_LATER.join(parts))


def _java_quoted(path: str) -> str:
    """The launcher splits at blanks and knows quotes."""
    return f'"{path}"' if any(map(str.isspace, path)) else path
