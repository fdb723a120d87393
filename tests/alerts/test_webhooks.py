"""Webhooks: which URLs are taken, and what of them can be read."""

import pytest

from interlock.alerts.webhooks import MOST, listed, parse_url
from interlock.errors import AlertError
from interlock.installation import Installation

HIDDEN = "https://hooks.example/services/T0/B0/very-hidden"


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        pytest.param(HIDDEN, "https://hooks.example", id="a path that is a key"),
        pytest.param("https://h.example:8443/x?y=z", "https://h.example:8443", id="a port"),
        pytest.param("http://127.0.0.1:9/x", "http://127.0.0.1:9", id="plain to this machine"),
        pytest.param("http://[::1]:9/x", "http://[::1]:9", id="the same in IPv6"),
        pytest.param("https://[2001:db8::1]/x", "https://[2001:db8::1]", id="IPv6"),
    ],
)
def test_takes(url: str, origin: str) -> None:
    """https anywhere, http where it does not leave the machine."""
    assert parse_url(url) == origin


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("http://hooks.example/x", id="plain http"),
        pytest.param("http://169.254.169.254/x", id="plain http to an address"),
        pytest.param("http://127.0.0.1.evil.example/x", id="a name that begins like loopback"),
        pytest.param("http://localhost.evil.example/x", id="a name that begins like localhost"),
        pytest.param("file:///etc/passwd", id="a file"),
        pytest.param("ftp://h.example/", id="another scheme"),
        pytest.param("https://", id="no host"),
        pytest.param("https:///x", id="no host but a path"),
        pytest.param("https://user:pw@h.example/", id="a password"),
        pytest.param("https://@h.example/", id="an empty user"),
        pytest.param("https://h.example/#x", id="a fragment"),
        pytest.param("https://h.example:99999/", id="an impossible port"),
        pytest.param("https://[::1/", id="a bracket that does not close"),
        pytest.param("https://h.example/a b", id="a blank"),
        pytest.param("https://h.example/\n", id="a line break"),
        pytest.param("https://h\u00e4.example/", id="not ASCII"),
        pytest.param("https://h.example/" + "x" * 3000, id="too long"),
        pytest.param("", id="nothing"),
    ],
)
def test_refuses(url: str) -> None:
    """Everything else, with one line that names the URL."""
    with pytest.raises(AlertError, match="webhook URL: ") as caught:
        parse_url(url)
    assert "\n" not in str(caught.value)


def test_neither_url_nor_secret_can_be_read_from_the_file(home: Installation) -> None:
    """Both are sealed; what is listed and recorded is the origin."""
    webhook, key = home.webhooks.add(HIDDEN, ("alert",))
    assert listed(home.database) == [webhook]
    assert home.webhooks.address(webhook.id).key == key
    assert home.webhooks.find(HIDDEN) == webhook.id == home.webhooks.find(webhook.id)
    path = home.settings.database
    files = [file.read_bytes() for file in path.parent.glob(f"{path.name}*")]
    assert not any(b"very-hidden" in file or key.reveal() in file for file in files)
    assert "very-hidden" not in str(home.ledger.tail(10))


def test_there_is_a_limit(home: Installation) -> None:
    """Each has a task of its own, so their number is bounded."""
    for number in range(MOST):
        home.webhooks.add(f"https://h{number}.example/", ("alert",))
    with pytest.raises(AlertError, match="limit"):
        home.webhooks.add("https://more.example/", ("alert",))


@pytest.mark.parametrize("reference", ["whk_none", "https://no.example/"])
def test_what_is_not_there_cannot_be_found(home: Installation, reference: str) -> None:
    """By neither id nor URL."""
    with pytest.raises(AlertError, match="there is no webhook"):
        home.webhooks.find(reference)
