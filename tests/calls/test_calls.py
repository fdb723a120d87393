"""A request becomes a call, and what can be read in two ways is said to be in doubt."""

import gzip
from urllib.parse import unquote

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.calls import Catalogue, describe, parse_authority
from interlock.calls.authority import canonical_host
from interlock.calls.catalogue import parse_providers
from interlock.calls.path import canonical_target, path_doubt
from interlock.errors import CatalogueError
from interlock.model import Authority, Request
from interlock.pattern import path_fits

CATALOGUE = Catalogue.shipped()


def call(
    service: str, method: str, path: str, body: bytes = b"", **more: str
) -> tuple[str, str, str]:
    """Describe one request to a provider."""
    provider = CATALOGUE.named(service)
    host = provider.hosts[0] if provider else "example.com"
    request = Request(
        method,
        "https",
        Authority(host, 443),
        path,
        body,
        content_type=more.get("content_type", "application/json"),
        content_encoding=more.get("content_encoding", ""),
    )
    described = describe(request, provider)
    return described.action, str(described.resource), described.doubt


@pytest.mark.parametrize(
    ("service", "method", "path", "expected"),
    [
        ("openai", "POST", "/v1/chat/completions", ("chat", 'Model::"m"')),
        ("openai", "POST", "/v1/responses?x=1", ("chat", 'Model::"m"')),
        ("openai", "POST", "/v1/embeddings", ("embed", 'Model::"m"')),
        ("openai", "GET", "/v1/models", ("list_models", 'Service::"openai"')),
        ("openai", "DELETE", "/v1/files/f-1", ("delete_file", 'Service::"openai"')),
        ("openai", "GET", "/v1/admin", ("http_get", 'Endpoint::"api.openai.com"')),
        ("openai", "GET", "/v1/chat/completions", ("http_get", 'Endpoint::"api.openai.com"')),
        ("openai", "POST", "/v1/chat/completionsx", ("http_post", 'Endpoint::"api.openai.com"')),
        ("anthropic", "POST", "/v1/messages", ("chat", 'Model::"m"')),
        ("nobody", "PUT", "/x", ("http_put", 'Endpoint::"example.com"')),
        ("nobody", "BREW", "/x", ("http_other", 'Endpoint::"example.com"')),
    ],
)
def test_a_request_has_one_name(
    service: str, method: str, path: str, expected: tuple[str, str]
) -> None:
    """Service, action and resource follow from the catalogue; the rest is generic HTTP."""
    assert call(service, method, path, b'{"model":"m"}') == (*expected, "")


TOOL = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x"}}'


@pytest.mark.parametrize(
    ("body", "coding", "in_doubt"),
    [
        pytest.param(gzip.compress(TOOL), "gzip", True, id="a call of a tool in gzip"),
        pytest.param(brotli.compress(gzip.compress(TOOL)), "gzip, br", True, id="in two codings"),
        pytest.param(gzip.compress(TOOL.decode().encode("utf-16")), "gzip", True, id="in UTF-16"),
        pytest.param(gzip.compress(b" " * (17 << 20) + TOOL), "gzip", True, id="behind 17 MiB"),
        pytest.param(gzip.compress(TOOL)[:-9], "gzip", True, id="cut off"),
        pytest.param(gzip.compress(b'{"jsonrpc":"2.0"'), "gzip", True, id="what may be one"),
        pytest.param(gzip.compress(b'{"resourceSpans":[]}'), "gzip", False, id="other JSON"),
        pytest.param(
            gzip.compress(TOOL.replace(b"tools/call", b"eth_call")), "gzip", False, id="other RPC"
        ),
        pytest.param(gzip.compress(b"\0" * (17 << 20)), "gzip", False, id="a large file"),
        pytest.param(b"\x93\x01" + TOOL, "aws-chunked", False, id="a coding nobody undoes"),
        pytest.param(TOOL, "none", True, id="no coding at all"),
        pytest.param(b" \n" + TOOL, "gzip", True, id="a coding that is not there"),
        pytest.param(TOOL.decode().encode("utf-16"), "br", True, id="nor there, in UTF-16"),
        pytest.param(TOOL, "gzip, gzip, gzip, gzip", True, id="four that are not there"),
    ],
)
def test_a_coding_does_not_hide_a_message_of_mcp(body: bytes, coding: str, in_doubt: bool) -> None:
    """At a host that nobody registered: what a server may read as one is in doubt, the rest not."""
    action, _, doubt = call("nobody", "POST", "/any", body, content_encoding=coding)
    assert (action, bool(doubt)) == ("http_post", in_doubt)
    assert not in_doubt or doubt == f"ambiguous_body: the body is encoded as {coding!r}"


def test_a_provider_lives_at_its_own_hosts_only() -> None:
    """A host that merely looks like it is not it."""
    assert CATALOGUE.at("api.openai.com") is CATALOGUE.named("openai")
    assert CATALOGUE.at("api.openai.com.evil.test") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("service = ", "x.toml:", id="not TOML"),
        pytest.param("service = 'a'", "missing or unknown field", id="a field is missing"),
    ],
)
def test_a_broken_provider_file_is_named(text: str, said: str) -> None:
    """The line names the file and the field."""
    with pytest.raises(CatalogueError, match=said):
        parse_providers({"x.toml": text})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("API.OpenAI.com", "api.openai.com:443"),
        ("api.openai.com.", "api.openai.com:443"),
        ("api.openai.com:8443", "api.openai.com:8443"),
        ("[::1]:80", "[::1]:80"),
        ("bücher.example", "xn--bcher-kva.example:443"),
        ("127.0.0.1", "127.0.0.1:443"),
        ("127.0.0.1.", "127.0.0.1:443"),
        ("１２７.0.0.1", "127.0.0.1:443"),  # noqa: RUF001
        ("[::FFFF:7f00:1]", "127.0.0.1:443"),
        ("[2001:DB8:0::1]", "[2001:db8::1]:443"),
        ("STRASSE.example.", "strasse.example:443"),
    ],
)
def test_one_destination_has_one_spelling(text: str, expected: str) -> None:
    """Case, trailing dot, IDNA and default port are normalised away."""
    assert str(parse_authority(text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "a b",
            "user@host",
            "host:0",
            "host:99999",
            "host:000443",
            "host:00000110000",
            "host:x",
            "a..b",
            "[::1",
            "a/b",
            "a\x00b",
        ),
        *("2130706433", "0x7f000001", "0x7f.1", "127.1", "0177.0.0.1", "1.2.3.4.5", "a.0x", "a.."),
        *(".", "[fe80::1%eth0]", "fe80::1%25eth0", "\u2488.example", "-a.example", "a_.x-"),
    ],
)
def test_what_is_no_destination_is_refused(text: str) -> None:
    """One line, a ValueError."""
    with pytest.raises(ValueError, match=r"host name|port|HOST"):
        parse_authority(text)


@given(st.text(max_size=40))
def test_the_canonical_form_is_its_own_canonical_form(text: str) -> None:
    """Canonicalising twice is canonicalising once, for whatever is accepted."""
    try:
        once = canonical_host(text)
    except ValueError:
        return
    assert canonical_host(once) == once


@pytest.mark.parametrize(
    "path",
    [
        "/a/../b",
        "/a/./b",
        "/..",
        "//a",
        "/a//b",
        "/%2e%2e/a",
        "/a%2fb",
        "/a\\b",
        "/a;x=1",
        "/%252e",
        "/a%00",
        "/a%5cb",
        "/%zz",
        "/v1/%63ompletions",
        "/v1/models#x",
        "/a?b c",
        "/" + "a" * 9000,
        "a",
        "/a\x01b",
        "/ä",
        "/%c0%ae%c0%ae/a",
        "/a%c0%afb",
        "/a%e0%80%af",
        "/a%ff",
        "/a%0d%0ab",
        "/a%7f",
        "/a%c2%85",
        "/a%3bb",
        "/%ef%bc%8e%ef%bc%8e/a",
        "/a%ef%bc%8fb",
        "/a%e2%88%95b",
        "/a%e2%80%a6",
        "/a%ed%a0%80",
        "/a%",
        "/a%2",
        "/a%u002f",
    ],
)
def test_a_path_with_two_readings_is_in_doubt(path: str) -> None:
    """Servers differ on each of these."""
    assert path_doubt(path).startswith("ambiguous_path")


@pytest.mark.parametrize(
    "path", ["/", "/v1/models", "/a.b/c-d_e~f", "/a%20b", "/%C3%A9", "/a?x=../y;z", "*"]
)
def test_a_plain_path_is_not_in_doubt(path: str) -> None:
    """Nor is anything behind the question mark."""
    assert path_doubt(path) == ""


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        pytest.param(b'{"model":"a","model":"b"}', "application/json", id="a key twice"),
        pytest.param(b'{"model":"a"}', "text/plain", id="another type"),
        pytest.param(b'{"model":"a"}', "application/json; charset=utf-16", id="another charset"),
        pytest.param(b"[]", "application/json", id="no object"),
        pytest.param(b"", "application/json", id="empty"),
        pytest.param(b'{"model":1}', "application/json", id="a model that is a number"),
        pytest.param(b'{"tools":["x"]}', "application/json", id="a tool that is a string"),
        pytest.param(b'{"max_tokens":-1}', "application/json", id="less than no tokens"),
        pytest.param(b"\xff{}", "application/json", id="not UTF-8"),
    ],
)
def test_a_body_with_two_readings_is_in_doubt(body: bytes, content_type: str) -> None:
    """What policy read must be what the upstream reads."""
    _, _, doubt = call("openai", "POST", "/v1/chat/completions", body, content_type=content_type)  # type: ignore[misc]
    assert doubt.startswith("ambiguous_body")


@pytest.mark.parametrize(
    ("target", "normal"),
    [
        ("/a%c3%a9?b=%c3", "/a%C3%A9?b=%c3"),
        ("/a%3ab", "/a%3Ab"),
        ("/v1/models", "/v1/models"),
        ("*", "*"),
    ],
)
def test_a_path_that_is_accepted_has_one_spelling(target: str, normal: str) -> None:
    """Escapes in upper case; the query is the server's own business."""
    assert canonical_target(target) == normal


SEGMENT = st.text("ab/.;%\\?#2f5c ~é", max_size=12)


@given(st.builds("/{}".format, st.one_of(SEGMENT, st.text(max_size=30))))
def test_the_normal_form_is_its_own_normal_form_and_means_the_same(target: str) -> None:
    """Whatever is accepted, once is as good as twice, and every server decodes it alike."""
    once = canonical_target(target)
    assert canonical_target(once) == once
    assert path_doubt(once) == path_doubt(target) or path_doubt(target)
    if not path_doubt(target):
        assert unquote(once.partition("?")[0]) == unquote(target.partition("?")[0])
        assert ".." not in unquote(once.partition("?")[0]).split("/")


def test_a_prefix_ends_at_a_segment() -> None:
    """`/v1` is no prefix of `/v1extra`, however either is written."""
    assert path_fits("/v1", "/v1/models")
    assert not path_fits("/v1", "/v1extra")
    assert path_doubt("/v1%2fmodels")
