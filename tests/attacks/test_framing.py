"""One request that two servers read differently: what leaves can be read in one way only."""

from tests.attacks.case import BOTH, Case, Setting, Then, attempt, judge, table
from tests.attacks.field import Field, ambiguous
from tests.attacks.test_destination import FIELDS, fields

REFUSED, PASSES, HARMLESS = Then.REFUSED, Then.PASSES, Then.HARMLESS

SMUGGLED = "DELETE /v1/files/f1 HTTP/1.1\r\nHost: {victim}\r\nContent-Length: 0\r\n\r\n"
CHAT = b'{"model":"gpt-4o","messages":[]}'
TYPE = "Content-Type: application/json"


def post(*lines: str, body: str = CHAT.decode(), path: str = "/v1/chat/completions") -> bytes:
    """A POST whose framing is somebody else's idea."""
    head = [f"POST {path} HTTP/1.1", "Host: {victim}", TYPE, *lines]
    return "\r\n".join(head).encode() + b"\r\n{proof}\r\n" + body.encode()


def get(*lines: str, line: str = "GET /v1/models HTTP/1.1") -> bytes:
    """A GET with further lines."""
    return "\r\n".join([line, "Host: {victim}", *lines]).encode() + b"\r\n{proof}\r\n"


def chunked(body: str = CHAT.decode()) -> str:
    """A body in one chunk."""
    return f"{len(body):x}\r\n{body}\r\n0\r\n\r\n"


TE = "Transfer-Encoding: chunked"
LENGTH = f"Content-Length: {len(CHAT)}"
LENGTHS = [
    Case("a body of a known length", PASSES, post(LENGTH)),
    Case("a body in chunks", PASSES, post(TE, body=chunked())),
    Case(
        "CL.TE: a length, and chunks that end early",
        HARMLESS,
        post("Content-Length: 90", TE, body="0\r\n\r\n" + SMUGGLED),
    ),
    Case(
        "TE.CL: chunks, and a length that ends early",
        HARMLESS,
        post(TE, "Content-Length: 4", body=chunked(SMUGGLED)),
    ),
    Case(
        "TE.TE: chunked, and another coding",
        REFUSED,
        post(TE, "Transfer-Encoding: identity", body="0\r\n\r\n" + SMUGGLED),
    ),
    Case("a transfer coding in two words", REFUSED, post("Transfer-Encoding: xchunked", LENGTH)),
    Case(
        "a transfer coding in capitals",
        HARMLESS,
        post("Transfer-Encoding: CHUNKED", body=chunked()),
    ),
    Case(
        "a space before the colon",
        REFUSED,
        post("Transfer-Encoding : chunked", body=chunked(SMUGGLED)),
    ),
    Case(
        "a transfer coding behind a tab",
        HARMLESS,
        post("Transfer-Encoding:\tchunked", LENGTH, body=chunked()),
    ),
    Case("a folded transfer coding", REFUSED, post("Transfer-Encoding:\r\n chunked", LENGTH)),
    Case("a transfer coding spelled with _", HARMLESS, post("Transfer_Encoding: chunked", LENGTH)),
    Case("a transfer coding behind a bare LF", HARMLESS, post(f"X: y\n{TE}", LENGTH)),
    Case("gzip, then chunked", REFUSED, post("Transfer-Encoding: gzip, chunked", body=chunked())),
    Case("two lengths that differ", REFUSED, post(LENGTH, "Content-Length: 0")),
    Case("two lengths that agree", HARMLESS, post(LENGTH, LENGTH)),
    Case("a list of lengths", REFUSED, post(f"Content-Length: {len(CHAT)}, {len(CHAT)}")),
    Case("a negative length", REFUSED, post("Content-Length: -1")),
    Case("a length with a sign", REFUSED, post(f"Content-Length: +{len(CHAT)}")),
    Case("a hexadecimal length", REFUSED, post("Content-Length: 0x20")),
    Case("a length with an underscore", REFUSED, post("Content-Length: 3_2")),
    Case("a length in other digits", REFUSED, post("Content-Length: \u0663\u0662")),
    Case(
        "a length beyond 64 bits", REFUSED, post("Content-Length: 18446744073709551648"), mute=True
    ),
    Case("a length with a NUL", REFUSED, post(f"Content-Length: {len(CHAT)}\0")),
    Case("a chunk with a negative size", REFUSED, post(TE, body="-1\r\nx\r\n0\r\n\r\n")),
    Case("a chunk with 0x", REFUSED, post(TE, body="0x5\r\nhello\r\n0\r\n\r\n")),
    Case(
        "a chunk with an extension",
        HARMLESS,
        post(TE, body=chunked().replace("\r\n", ";x=y\r\n", 1)),
    ),
    Case("a chunk that ends in a bare LF", HARMLESS, post(TE, body="5\nhello\n0\n\n"), mute=True),
    Case("a chunk longer than it says", REFUSED, post(TE, body="1\r\nhello\r\n0\r\n\r\n")),
    Case(
        "trailers",
        HARMLESS,
        post(TE, body=chunked()[:-2] + "Authorization: Bearer x\r\nX-T: y\r\n\r\n"),
    ),
    Case(
        "a request in the body of a GET",
        HARMLESS,
        get(f"Content-Length: {len(SMUGGLED)}") + SMUGGLED.encode(),
    ),
    Case("a body of a GET in chunks", HARMLESS, get(TE) + chunked(SMUGGLED).encode()),
]
HEADERS = [
    Case("a bare CR in a value", REFUSED, get("X-A: a\rX-B: b")),
    Case("a NUL in a value", REFUSED, get("X-A: a\0b")),
    Case("a NUL in a name", REFUSED, get("X-\0A: a")),
    Case("a folded value", REFUSED, get("X-A: a\r\n b")),
    Case("a line that begins with a space", HARMLESS, get(" X-A: a")),
    Case("a line without a colon", REFUSED, get("X-A")),
    Case("a name with a space in it", REFUSED, get("X A: a")),
    Case("an empty name", REFUSED, get(": a")),
    Case("a name that is no ASCII", REFUSED, get("X-\u00e9: a")),
    Case("lines that end in a bare LF", HARMLESS, get().replace(b"\r\n", b"\n"), mute=True),
    Case("an empty line before the request", PASSES, b"\r\n" + get()),
    Case("empty lines before the request", PASSES, b"\r\n\n\r\n" + get()),
    Case("half an empty line before the request", HARMLESS, b"\r" + get()),
    Case("Connection: authorization", PASSES, get("Connection: authorization")),
    Case("Connection: close, Authorization", PASSES, get("Connection: close, Authorization")),
    Case("Proxy-Connection: authorization", HARMLESS, get("Proxy-Connection: authorization")),
    Case("Keep-Alive", HARMLESS, get("Keep-Alive: timeout=5")),
    Case("a second Authorization", PASSES, get("Authorization: Basic eDp5")),
    Case("Authorization in capitals", PASSES, get("AUTHORIZATION: Bearer smuggled")),
    Case("Authorization with a space before the colon", REFUSED, get("Authorization : Bearer x")),
    Case("x-api-key and api-key", PASSES, get("X-Api-Key: smuggled", "Api-Key: smuggled")),
    Case("another slot spelled with _", PASSES, get("x_api_key: smuggled", "x_goog_api_key: s")),
    Case("Proxy-Authorization within", HARMLESS, get("Proxy-Authorization: Basic eDp5")),
    Case("TRACE", REFUSED, get(line="TRACE /v1/models HTTP/1.1")),
    Case("TRACE with Max-Forwards", REFUSED, get("Max-Forwards: 0", line="TRACE / HTTP/1.1")),
    Case("TRACK", REFUSED, get(line="TRACK / HTTP/1.1")),
    Case("a method in lower case", REFUSED, get(line="get /v1/models HTTP/1.1")),
    Case("another method in a header", REFUSED, get("X-HTTP-Method-Override: DELETE")),
    Case("another method, spelled with _", REFUSED, get("X_HTTP_Method-Override: DELETE")),
    Case("another method, in short", REFUSED, get("X_HTTP_METHOD: DELETE")),
    Case("another path in a header", REFUSED, get("X-Original-URL: /v1/files")),
    Case("another path, spelled with _", REFUSED, get("x_rewrite_url: /v1/files")),
    Case("HTTP/9.9", REFUSED, get(line="GET /v1/models HTTP/9.9")),
    Case("HTTP/1.1 and more", REFUSED, get(line="GET /v1/models HTTP/1.1 x")),
    Case("HTTP/2.0 in plain letters", REFUSED, get(line="GET /v1/models HTTP/2.0")),
    Case("an absolute target in HTTP/2.0", REFUSED, get(line="GET https://{stranger}/ HTTP/2.0")),
    Case("HTTP/1.0", HARMLESS, get(line="GET /v1/models HTTP/1.0")),
    Case("HTTP/0.9", REFUSED, b"GET /v1/models\r\n", mute=True),
    Case("two spaces in the request line", HARMLESS, get(line="GET  /v1/models  HTTP/1.1")),
    Case("a tab in the request line", HARMLESS, get(line="GET\t/v1/models\tHTTP/1.1")),
    Case("OPTIONS *", HARMLESS, get(line="OPTIONS * HTTP/1.1")),
    Case("an Interlock header that is none", HARMLESS, get("Interlock-Secret: victim-key")),
]
H2_POST = (
    *fields(method=b"POST", path=b"/v1/chat/completions"),
    (b"content-type", b"application/json"),
)


def h2(*more: tuple[bytes, bytes], body: bytes = b"") -> dict[str, object]:
    """Further fields of a request of HTTP/2, or of one with a body."""
    return {"fields": (*(H2_POST if body else FIELDS), *more), "body": body}


OF_HTTP2 = [
    Case("a body without a length", PASSES, **h2(body=CHAT)),
    Case("a body that is a request", HARMLESS, **h2(body=SMUGGLED.encode())),
    Case("a GET with a body", HARMLESS, fields=FIELDS, body=SMUGGLED.encode()),
    Case("a length that is too small", REFUSED, **h2((b"content-length", b"4"), body=CHAT)),
    Case("a length that is too large", REFUSED, **h2((b"content-length", b"99"), body=CHAT)),
    Case(
        "two lengths",
        REFUSED,
        **h2((b"content-length", b"32"), (b"content-length", b"0"), body=CHAT),
    ),
    Case(
        "a transfer coding",
        HARMLESS,
        **h2((b"transfer-encoding", b"chunked"), body=chunked(SMUGGLED).encode()),
    ),
    Case("CR and LF in a value", REFUSED, **h2((b"x-a", b"a\r\nauthorization: Bearer x"))),
    Case("a request behind a value", REFUSED, **h2((b"x-a", b"a\r\n\r\n" + SMUGGLED.encode()))),
    Case("a bare LF in a value", REFUSED, **h2((b"x-a", b"a\nb: c"))),
    Case("a bare CR in a value", REFUSED, **h2((b"x-a", b"a\rb"))),
    Case("a NUL in a value", REFUSED, **h2((b"x-a", b"a\0b"))),
    Case("CR and LF in a name", REFUSED, **h2((b"x-a: b\r\nx-c", b"d"))),
    Case("a NUL in a name", REFUSED, **h2((b"x-\0a", b"d"))),
    Case("a space in a name", REFUSED, **h2((b"x a", b"d"))),
    Case("a colon in a name", REFUSED, **h2((b"x-a: b", b"d"))),
    Case("a name with capitals", REFUSED, **h2((b"X-A", b"d"))),
    Case("an empty name", REFUSED, **h2((b"", b"d"))),
    Case("a space before a value", HARMLESS, **h2((b"x-a", b" d"))),
    Case("CR and LF in :path", REFUSED, fields=fields(path=b"/v1/models HTTP/1.1\r\nX: y\r\n\r\n")),
    Case("a space in :path", REFUSED, fields=fields(path=b"/v1/models HTTP/1.1")),
    Case("an empty :path", REFUSED, fields=fields(path=b"")),
    Case(
        "CR and LF in :method", REFUSED, fields=fields(method=b"GET / HTTP/1.1\r\nX: y\r\n\r\nGET")
    ),
    Case("a space in :method", REFUSED, fields=fields(method=b"GET /v1/files HTTP/1.1")),
    Case("CR and LF in :authority", REFUSED, fields=fields(authority=b"{victim}\r\nX: y")),
    Case("CR and LF in :scheme", HARMLESS, fields=fields(scheme=b"https\r\nX: y")),
    Case("an unknown pseudo-header", REFUSED, fields=(*FIELDS, (b":protocol", b"websocket"))),
    Case("a pseudo-header behind the others", REFUSED, fields=((b"x-a", b"b"), *FIELDS)),
    Case("two :path", REFUSED, fields=(*FIELDS, (b":path", b"/v1/files"))),
    Case("two :method", REFUSED, fields=(*FIELDS, (b":method", b"DELETE"))),
    Case("no :method", REFUSED, fields=FIELDS[1:]),
    Case("Connection: authorization", HARMLESS, **h2((b"connection", b"authorization"))),
    Case("a second Authorization", PASSES, **h2((b"authorization", b"Basic eDp5"))),
    Case("an Upgrade", REFUSED, **h2((b"upgrade", b"h2c"))),
    Case(
        "Expect twice", HARMLESS, **h2((b"expect", b"100-continue"), (b"expect", b"x"), body=CHAT)
    ),
    Case("TRACE", REFUSED, fields=fields(method=b"TRACE")),
    Case(
        "CONNECT within", REFUSED, fields=((b":method", b"CONNECT"), (b":authority", b"{stranger}"))
    ),
]


@table(LENGTHS, BOTH)
def test_a_length(field: Field, case: Case, setting: Setting) -> None:
    """A body has one end, and is never a request."""
    judge(field, case, setting)
    require_plain(field)


@table(HEADERS, BOTH)
def test_a_head(field: Field, case: Case, setting: Setting) -> None:
    """A head is read in one way, and carries one credential, ours."""
    judge(field, case, setting)
    require_plain(field)


@table(OF_HTTP2, BOTH)
def test_a_head_of_http2(field: Field, case: Case, setting: Setting) -> None:
    """What HTTP/2 can say and HTTP/1.1 cannot does not become something else there."""
    judge(field, case, setting)
    require_plain(field)


def test_a_smuggled_request_is_not_the_next_answer(field: Field, mode: object) -> None:
    """Behind a body that hides a request, the next honest call gets its own answer."""
    setting = Setting(mode)  # type: ignore[arg-type]
    hidden = Case("", HARMLESS, get(f"Content-Length: {len(SMUGGLED)}") + SMUGGLED.encode())
    attempt(field, hidden, setting)
    attempt(field, Case("", PASSES), setting)
    assert [head.split(b" ")[0] for head in field.victim.heads] == [b"GET", b"GET"]


def require_plain(field: Field) -> None:
    """Whatever left has one framing, one host and nothing that is ours."""
    for head in field.heads:
        assert not ambiguous(head), head
        assert b"smuggled" not in head
