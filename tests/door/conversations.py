"""What an agent may say, and what an upstream may answer: one of each kind."""

import base64
import gzip
from collections.abc import Iterable
from dataclasses import dataclass

import brotli

KEY = b"sk-openai-REAL-4f9a8b7c6d5e4f3a2b1c0d9e"
CHAT = b'{"model":"gpt-4o","messages":[{"role":"user","content":"hello"}]}'
TYPE = b"Content-Type: application/json"
LENGTH = b"Content-Length: %d" % len(CHAT)
CHUNKED = b"Transfer-Encoding: chunked"


@dataclass(frozen=True, slots=True, repr=False)
class Ask:
    """Bytes of an agent; `{at}`, `{tag}` and `{key}` stand for where, which run and whose.

    `open_`: it is not the whole of a request, and the agent says no more.
    """

    said: str
    sent: bytes
    head_only: bool = False
    open_: bool = False

    def __repr__(self) -> str:
        return self.said


@dataclass(frozen=True, slots=True, repr=False)
class Reply:
    """Bytes of an upstream; `{key}` stands for the credential that it got. Then it `ends` so.

    `stray`: they go on behind the end of the answer.
    """

    said: str
    sent: bytes
    ends: str = ""
    stray: bool = False

    def __repr__(self) -> str:
        return self.said


def get(*lines: bytes, line: bytes = b"GET /v1/models/{tag} HTTP/1.1", body: bytes = b"") -> bytes:
    """A request without a body, unless one is given."""
    fields = [line, b"Host: {at}", b"Authorization: Bearer {key}", *lines]
    return b"\r\n".join(fields) + b"\r\n\r\n" + body


def post(*lines: bytes, body: bytes = CHAT, method: bytes = b"POST") -> bytes:
    """A request framed by `lines`; the ledger keeps its intent, and no query."""
    line = method + b" /v1/chat/completions?{tag} HTTP/1.1"
    return get(TYPE, b"Interlock-Intent: {tag}", *lines, line=line, body=body)


def chunks(*pieces: bytes, last: bytes = b"0\r\n\r\n") -> bytes:
    """A body in chunks."""
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + last


def told(name: bytes, value: bytes) -> bytes:
    """A line of a head."""
    return name + b": " + value


LARGE = CHAT.replace(b"hello", b"hello " * 20_000)
ASKS = (
    Ask("GET", get()),
    Ask("POST with a length", post(LENGTH)),
    Ask("POST in one chunk", post(CHUNKED, body=chunks(CHAT))),
    Ask("POST in chunks", post(CHUNKED, body=chunks(CHAT[:1], CHAT[1:9], CHAT[9:]))),
    Ask("chunks with trailers", post(CHUNKED, body=chunks(CHAT, last=b"0\r\nX-T: y\r\n\r\n"))),
    Ask(
        "chunks with extensions", post(CHUNKED, body=chunks(CHAT).replace(b"\r\n", b";x=y\r\n", 1))
    ),
    Ask("chunks that are none", post(CHUNKED, body=b"5x\r\nhello\r\n0\r\n\r\n")),
    Ask("a chunk longer than it says", post(CHUNKED, body=b"1\r\nhello\r\n0\r\n\r\n")),
    Ask("a transfer coding in capitals", post(b"Transfer-Encoding: CHUNKED", body=chunks(CHAT))),
    Ask("a transfer coding twice", post(CHUNKED, CHUNKED, body=chunks(CHAT))),
    Ask("gzip, then chunked", post(b"Transfer-Encoding: gzip, chunked", body=chunks(CHAT))),
    Ask("POST with nothing", post(b"Content-Length: 0", body=b"")),
    Ask("POST without a length", post(body=b"")),
    Ask("an empty length", post(b"Content-Length:", body=b"")),
    Ask("a large POST", post(b"Content-Length: %d" % len(LARGE), body=LARGE)),
    Ask("a large POST in chunks", post(CHUNKED, body=chunks(LARGE[:70_000], LARGE[70_000:]))),
    Ask(
        "a coded POST",
        post(
            b"Content-Encoding: gzip", b"Content-Length: 25", body=gzip.compress(b"hello", mtime=0)
        ),
    ),
    Ask("PUT", post(LENGTH, method=b"PUT")),
    Ask("HEAD", get(line=b"HEAD /v1/models/{tag} HTTP/1.1"), head_only=True),
    Ask("a denied HEAD", get(line=b"HEAD /v1/files/{tag} HTTP/1.1"), head_only=True),
    Ask("OPTIONS", get(line=b"OPTIONS /v1/models/{tag} HTTP/1.1")),
    Ask("OPTIONS *", get(b"X-Tag: {tag}", line=b"OPTIONS * HTTP/1.1")),
    Ask("a denied DELETE", get(line=b"DELETE /v1/files/{tag} HTTP/1.1")),
    Ask(
        "a denied DELETE with a body",
        post(LENGTH, method=b"DELETE").replace(b"chat/completions?", b"files/"),
    ),
    Ask("TRACE", get(line=b"TRACE /v1/models/{tag} HTTP/1.1")),
    Ask("GET with a body", get(b"Content-Length: 5", body=b"hello")),
    Ask("GET in chunks", get(CHUNKED, body=chunks(b"hello"))),
    Ask("Expect", post(b"Expect: 100-continue", LENGTH)),
    Ask("Expect in chunks", post(b"Expect: 100-continue", CHUNKED, body=chunks(CHAT))),
    Ask("Expect something else", post(b"Expect: a-miracle", LENGTH)),
    Ask("Connection: close", get(b"Connection: close")),
    Ask("Connection: keep-alive", get(b"Connection: keep-alive")),
    Ask("Connection: close, te", post(b"Connection: close, te", b"TE: trailers", LENGTH)),
    Ask("Connection: authorization", get(b"Connection: authorization")),
    Ask("HTTP/1.0", get(line=b"GET /v1/models/{tag} HTTP/1.0")),
    Ask(
        "HTTP/1.0 that goes on",
        get(b"Connection: keep-alive", line=b"GET /v1/models/{tag} HTTP/1.0"),
    ),
    Ask("HTTP/1.0 with a body", post(LENGTH).replace(b"HTTP/1.1", b"HTTP/1.0")),
    Ask("HTTP/9.9", get(line=b"GET /v1/models/{tag} HTTP/9.9")),
    Ask("absolute form", get(line=b"GET https://{at}/v1/models/{tag} HTTP/1.1")),
    Ask(
        "absolute form of elsewhere", get(line=b"GET https://localhost:9/v1/models/{tag} HTTP/1.1")
    ),
    Ask("no line", b"\0\1\2\3\r\n\r\n"),
    Ask("HTTP/0.9", b"GET /v1/models/{tag}\r\n\r\n"),
    Ask("a line without a colon", get(b"X-A")),
    Ask("a space before the colon", get(b"X-A : b")),
    Ask("a name with a space", get(b"X A: b")),
    Ask("a folded value", get(b"X-A: b\r\n c")),
    Ask("a bare CR", get(b"X-A: b\rX-B: c")),
    Ask("a NUL", get(b"X-A: b\0c")),
    Ask("lines that end in LF", get().replace(b"\r\n", b"\n")),
    Ask("one line that ends in LF", post(LENGTH).replace(b"json\r\n", b"json\n")),
    Ask("a head that ends in LF LF", get().replace(b"\r\n\r\n", b"\r\n\n")),
    Ask("an empty line before", b"\r\n" + get()),
    Ask("empty lines before", b"\r\n\n\r\n" + post(LENGTH)),
    Ask("two spaces in the line", get(line=b"GET  /v1/models/{tag}  HTTP/1.1")),
    Ask("two lengths", post(LENGTH, b"Content-Length: 3")),
    Ask("the same length twice", post(LENGTH, LENGTH)),
    Ask("a length with a sign", post(b"Content-Length: +%d" % len(CHAT))),
    Ask("a length and chunks", post(LENGTH, CHUNKED, body=chunks(CHAT))),
    Ask(
        "names in lower case",
        post(LENGTH).replace(b"Content-", b"content-").replace(b"Host", b"host"),
    ),
    Ask(
        "names in upper case",
        post(LENGTH).replace(b"Content-", b"CONTENT-").replace(b"Auth", b"AUTH"),
    ),
    Ask("names with _", get(b"x_api_key: smuggled", b"Transfer_Encoding: chunked")),
    Ask("no space behind the colon", post(b"Content-Length:%d" % len(CHAT), b"X:  a \t")),
    Ask("a value that is no ASCII", get(b"X-A: \xc3\xa9\xff")),
    Ask("a long head", get(*(told(b"X-%d" % at, b"a" * 900) for at in range(30)))),
    Ask("a longer head", get(*(told(b"X-%d" % at, b"a" * 900) for at in range(90)))),
    Ask("many headers", get(*(told(b"X-%d" % at, b"") for at in range(500)))),
    Ask("no Host", get().replace(b"Host: {at}\r\n", b"")),
    Ask("two Hosts", get(b"Host: {at}")),
    Ask("another Host", get().replace(b"Host: {at}", b"Host: stranger.test")),
    Ask("a second Authorization", get(b"Authorization: Basic eDp5")),
    Ask("an unknown key", get().replace(b"{key}", b"ilk_" + b"0" * 43)),
    Ask("no key", get().replace(b"Authorization: Bearer {key}\r\n", b"")),
    Ask("another method in a header", get(b"X-HTTP-Method-Override: DELETE")),
    Ask("a header of ours", get(b"Interlock-Intent: to look", b"Interlock-Secret: victim")),
    Ask("a goal", post(LENGTH, b"Interlock-Goal: g1")),
    Ask("an upgrade", get(b"Connection: Upgrade", b"Upgrade: h2c")),
    Ask("codings", get(b"Accept-Encoding: gzip, br", b"Range: bytes=1-", b"If-None-Match: x")),
    Ask(
        "a secret in the body",
        post(LENGTH, body=b"[%s]" % KEY.ljust(len(CHAT) - 2)),
    ),
    Ask("half a head", b"GET /v1/models/{tag} HTTP/1.1\r\nHost: {at}\r\n", open_=True),
    Ask("half a body", post(b"Content-Length: 900"), open_=True),
    Ask("half a chunk", post(CHUNKED, body=b"20\r\nhello"), open_=True),
    Ask("chunks without an end", post(CHUNKED, body=chunks(CHAT, last=b"")), open_=True),
)


def ok(*lines: bytes, body: bytes = b"your key is {key}", line: bytes = b"200 OK") -> bytes:
    """An answer of a known length."""
    length = b"Content-Length: %d" % (len(body) + KEY_MORE * body.count(b"{key}"))
    fields = [b"HTTP/1.1 " + line, *lines, length]
    return b"\r\n".join(fields) + b"\r\n\r\n" + body


# How much longer the key is than its place.
KEY_MORE = len(KEY) - len(b"{key}")
PLAIN = b"HTTP/1.1 200 OK\r\n"
OF_EVENTS = b"Content-Type: text/event-stream"
USAGE = b'{"prompt_tokens":5,"completion_tokens":4,"total_tokens":9}'
JSON = b'{"id":"x","model":"gpt-4o","usage":%s}' % USAGE
EVENTS = b"".join(b"data: " + JSON + b"\n\n" for _ in range(3)) + b"data: {key}\n\ndata: [DONE]\n\n"


def split(*pieces: bytes, lines: Iterable[bytes] = (), last: bytes = b"0\r\n\r\n") -> bytes:
    """An answer in chunks."""
    said = [piece.replace(b"{key}", KEY) for piece in pieces]
    return PLAIN + b"\r\n".join([CHUNKED, *lines]) + b"\r\n\r\n" + chunks(*said, last=last)


CODED = b"Content-Encoding: "
BARE = b"HTTP/1.1 200 OK\r\nX-A: b\r\n\r\nyour key is {key}"
REPLIES = (
    Reply("a length", ok()),
    Reply("JSON", ok(TYPE, body=JSON)),
    Reply("nothing of a known length", ok(body=b"")),
    Reply("chunks", split(b"your key ", b"is {key}")),
    Reply("no chunks", split()),
    Reply("chunks with the key over two", split(KEY[:9], KEY[9:])),
    Reply("chunks with trailers", split(b"{key}", last=b"0\r\nX-T: {key}\r\n\r\n")),
    Reply(
        "chunks with announced trailers",
        split(b"a", lines=[b"Trailer: X-T"], last=b"0\r\nX-T: y\r\n\r\n"),
    ),
    Reply("chunks with extensions", split(b"{key}").replace(b"27\r\n", b"27;x=y\r\n", 1)),
    Reply("chunks that are none", split(b"a", last=b"xyz\r\n"), "cut"),
    Reply("chunks that end early", split(b"a", last=b""), "farewell"),
    Reply("till it closes", BARE, "farewell"),
    Reply("till it is cut off", BARE, "cut"),
    Reply("till it closes, and says so", BARE.replace(b"X-A: b", b"Connection: close"), "farewell"),
    Reply("a length, and closes", ok(), "farewell"),
    Reply("a length, and says that it closes", ok(b"Connection: close"), "farewell"),
    Reply("a length, and says that it closes, and does not", ok(b"Connection: close")),
    Reply("204", b"HTTP/1.1 204 No Content\r\nX-A: {key}\r\n\r\n"),
    Reply("304", b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\nContent-Length: 20\r\n\r\n'),
    Reply("404", ok(TYPE, body=b'{"error":"{key}"}', line=b"404 Not Found")),
    Reply("500 in chunks", split(b"{key}").replace(b"200 OK", b"500 Oh")),
    Reply("302", ok(b"Location: https://x/?k={key}", line=b"302 Found")),
    Reply("100 before", b"HTTP/1.1 100 Continue\r\n\r\n" + ok(), "farewell"),
    Reply("103 before", b"HTTP/1.1 103 Early Hints\r\nLink: {key}\r\n\r\n" + ok(), "farewell"),
    Reply(
        "101",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
        "farewell",
    ),
    Reply("too short", ok().replace(b"Length: ", b"Length: 1"), "farewell"),
    Reply("too short, and cut off", ok().replace(b"Length: ", b"Length: 1"), "cut"),
    Reply("half a head", b"HTTP/1.1 200 OK\r\nX-A: {key}", "farewell"),
    Reply("nothing", b"", "farewell"),
    Reply("no HTTP", b"SSH-2.0-OpenSSH_9.2\r\n", "farewell"),
    Reply("no status", b"HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n", "farewell"),
    Reply("a line without a colon", ok(b"X-A"), "farewell"),
    Reply("a space before the colon", ok(b"X-A : {key}")),
    Reply("a folded value", ok(b"X-A: b\r\n {key}")),
    Reply("lines that end in LF", ok().replace(b"\r\n", b"\n")),
    Reply("no words behind the status", ok(line=b"200")),
    Reply("events of a known length", ok(OF_EVENTS, body=EVENTS)),
    Reply("events in chunks", split(*EVENTS.split(b"\n\n"), lines=[OF_EVENTS])),
    Reply("events till it closes", PLAIN + OF_EVENTS + b"\r\n\r\n" + EVENTS, "farewell"),
    Reply("events that break off", split(EVENTS, lines=[OF_EVENTS], last=b"5\r\nda"), "farewell"),
    Reply("gzip", ok(CODED + b"gzip", body=gzip.compress(b"is " + KEY, mtime=0))),
    Reply("brotli in chunks", split(brotli.compress(KEY), lines=[CODED + b"br"])),
    Reply("gzip that is none", ok(CODED + b"gzip"), "farewell"),
    Reply("gzip that breaks off", ok(CODED + b"gzip", body=gzip.compress(KEY)[:-9]), "farewell"),
    Reply("gzipped events", ok(OF_EVENTS, CODED + b"gzip", body=gzip.compress(EVENTS, mtime=0))),
    Reply("base64", ok(body=base64.b64encode(b"abc" + KEY))),
    Reply("the key in a head", ok(b"X-Key: {key}", b"Set-Cookie: k={key}")),
    Reply("cookies", ok(*(b"Set-Cookie: c%d=%d; Path=/" % (at, at) for at in range(20)))),
    Reply("HTTP/1.0", ok().replace(b"HTTP/1.1", b"HTTP/1.0"), "farewell"),
    Reply("HTTP/1.0 that goes on", ok(b"Connection: keep-alive").replace(b"HTTP/1.1", b"HTTP/1.0")),
    Reply("two lengths", ok(b"Content-Length: 1"), "farewell"),
    Reply("a length twice", ok(b"Content-Length: 51").replace(b"51", b"%d" % (12 + len(KEY)))),
    Reply("a length and chunks", split(b"{key}", lines=[b"Content-Length: 4"])),
    Reply(
        "a transfer coding that nobody knows", split(b"a").replace(b"chunked", b"xch"), "farewell"
    ),
    Reply(
        "headers of ours", ok(b"Interlock-Decision: deny", b"Alt-Svc: h3", b"Proxy-Authenticate: x")
    ),
    Reply("a large one", ok(body=b"0123456789" * 20_000 + b"{key}")),
    Reply("one that is too large to keep", ok(body=b"0123456789" * 120_000 + b"{key}")),
    Reply("one in chunks that is too large", split(*[b"0123456789" * 6_000] * 20, b"{key}")),
    Reply("a long head", ok(*(told(b"X-%d" % at, b"a" * 900) for at in range(30)))),
    Reply("a second answer behind it", ok(body=b"mine") + ok(body=b"a stranger's"), stray=True),
    Reply("more than it says", ok(body=b"mine") + b"more", stray=True),
    Reply("a body of a 204", ok(line=b"204 No Content"), stray=True),
)
