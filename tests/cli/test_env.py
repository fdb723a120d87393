"""`interlock env`."""

import json
import re
import subprocess
from pathlib import Path, PurePosixPath

import pytest

from addons import certificate
from interlock.cli.environment import CA_FILE, JAVA_TRUST_STORE, KEY_LATER, Way, compose, shell
from interlock.model import Authority
from tests.cli.terminal import Terminal

ENV = ("env", "--agent", "research-agent")
PROXY = Authority("127.0.0.1", 8080)


def evaluated(lines: str, *names: str) -> dict[str, str]:
    """What a POSIX shell makes of the lines, with the key k1 in its environment."""
    script = "\n".join([lines, *(f"printf '%s\\n' \"${name}\"" for name in names)])
    environ = {"INTERLOCK_AGENT_KEY": "k1"}
    done = subprocess.run(["/bin/sh", "-euc", script], env=environ, capture_output=True, check=True)
    return dict(zip(names, done.stdout.decode().splitlines(), strict=True))


def test_a_shell_can_evaluate_it(lived_in: Terminal) -> None:
    """The key comes from the environment, the certificate from the home."""
    answer = lived_in.does(*ENV)
    ca = str(lived_in.home / "ca" / "interlock-ca.pem")
    files = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")
    more = ("DENO_CERT", "GIT_SSL_CAINFO", "AWS_CA_BUNDLE")
    found = evaluated(answer.out, "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", *files, *more)
    assert {found[name] for name in (*files, *more)} == {ca}
    assert found["HTTPS_PROXY"] == "http://research-agent:k1@127.0.0.1:8080"
    assert found["HTTPS_PROXY"] == found["https_proxy"] == found["HTTP_PROXY"]
    assert "set INTERLOCK_AGENT_KEY" in answer.err


def test_the_key_of_the_environment_is_proven_and_used(lived_in: Terminal) -> None:
    """A key that the agent does not have is refused instead of printed."""
    key = lived_in.does("agent", "rotate", "research-agent", "--json").object["key"]
    said = lived_in.does(*ENV, "--json", INTERLOCK_AGENT_KEY=key)
    assert said.object["HTTPS_PROXY"] == f"http://research-agent:{key}@127.0.0.1:8080"
    assert said.err == ""
    lived_in.fails(2, *ENV, INTERLOCK_AGENT_KEY="ilk_" + "0" * 43)


def test_an_expired_key_is_refused(lived_in: Terminal) -> None:
    """It says so, as the front door would."""
    key = lived_in.does("agent", "rotate", "research-agent", "--json").object["key"]
    lived_in.tamper("update agent_keys set expires_at = 1000")
    assert "has expired" in lived_in.fails(2, *ENV, INTERLOCK_AGENT_KEY=key)
    assert "(over)" in lived_in.does("agent", "show", "research-agent").out


def test_base_urls(lived_in: Terminal) -> None:
    """The SDKs call us in place of the provider, with the agent's key in the provider's slot."""
    urls = (
        "--base-url",
        "openai=https://127.0.0.1:9443",
        "--base-url",
        "anthropic=https://h:9444/",
    )
    said = lived_in.does(*ENV, *urls, "--format", "json").object
    assert said["OPENAI_BASE_URL"] == "https://127.0.0.1:9443/v1"
    assert said["ANTHROPIC_BASE_URL"] == "https://h:9444"
    assert said["OPENAI_API_KEY"] == said["ANTHROPIC_API_KEY"] == KEY_LATER
    assert "HTTPS_PROXY" not in said
    both = lived_in.does(*ENV, *urls, "--proxy", "localhost:8888", "--json").object
    assert both["HTTPS_PROXY"].endswith("@localhost:8888")
    assert both["NO_PROXY"] == "127.0.0.1,h"


@pytest.mark.parametrize("spelling", ["docker", "compose"])
def test_containers_get_the_certificate_and_never_the_key_of_the_authority(
    lived_in: Terminal, spelling: str
) -> None:
    """Files are mounted one by one, and loopback becomes the host."""
    out = lived_in.does(*ENV, "--format", spelling).out
    assert set(re.findall(r"[\w-]+\.(?:pem|p12)(?=:)", out)) == {CA_FILE, JAVA_TRUST_STORE}
    assert "@host.docker.internal:8080" in out
    assert "127.0.0.1" not in out


def test_missing_certificate(lived_in: Terminal) -> None:
    """No lines that would not work."""
    (lived_in.home / "ca" / "interlock-ca.pem").unlink()
    assert "run `interlock init`" in lived_in.fails(2, *ENV)


@pytest.mark.parametrize(
    "folder",
    [
        pytest.param("/home/o'neill/a b", id="a quote and a blank"),
        pytest.param("/home/$(touch x)`id`", id="commands"),
        pytest.param("/home/\\n;rm", id="a backslash and a semicolon"),
    ],
)
def test_strange_homes_stay_what_they_are(folder: str) -> None:
    """Whatever the home is called, shell and Compose read one value."""
    pem = PurePosixPath(folder) / CA_FILE
    way = Way("a1", KEY_LATER, pem, pem.with_name(JAVA_TRUST_STORE), PROXY)
    found = evaluated(shell(way), "SSL_CERT_FILE", "HTTPS_PROXY", "JAVA_TOOL_OPTIONS")
    assert found["SSL_CERT_FILE"] == str(pem)
    assert found["HTTPS_PROXY"] == "http://a1:k1@127.0.0.1:8080"
    assert f"{folder}/" in found["JAVA_TOOL_OPTIONS"]
    mount = next(line for line in compose(way).splitlines() if CA_FILE in line)
    assert json.loads(mount.strip(" -")).replace("$$", "$").startswith(f"{pem}:")


def test_names_the_files_that_the_front_door_writes() -> None:
    """The two rooms agree on names that only one of them can import cheaply."""
    assert (CA_FILE, JAVA_TRUST_STORE) == (certificate.CA_FILE, certificate.JAVA_TRUST_STORE)
    assert Path(CA_FILE).suffix == ".pem"
