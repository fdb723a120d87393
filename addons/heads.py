"""Reads the plain heads of HTTP/1.1, which almost all are; mitmproxy reads any other.

A plain one has one space where one is due, names that are tokens, a colon behind each, and lines
that end with CR and LF (RFC 9112, 3 to 5).
"""

import re
import time

from mitmproxy import http

from addons.headers import of_fields

# Possessive (`++`, `*+`): nothing is ever looked at a second time.
_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_FIELDS = rb"((?:" + _TOKEN + rb":[^\r\n]*+\r\n)*+)\r\n"
_REQUEST = re.compile(rb"(" + _TOKEN + rb") (/\S*+) (HTTP/1\.1)\r\n" + _FIELDS)
_ANSWER = re.compile(rb"(HTTP/1\.1) ([0-9]{3}) (\S[^\r\n]*+|)\r\n" + _FIELDS)
_FIELD = re.compile(rb"([^:]++):([^\r]*+)\r\n")


def request_in(data: bytes) -> tuple[http.Request, int] | None:
    """The head of a request that begins here, as mitmproxy reads it, and where it ends."""
    if not (found := _REQUEST.match(data)):
        return None
    method, path, version, fields = found.groups()
    headers, now = _headers(fields), time.time()
    request = http.Request(
        "", 0, method, b"", b"", path, version, headers, None, None, now, None
    )  # where it is for, its stream finds out
    return request, found.end()


def answer_in(data: bytes) -> tuple[http.Response, int] | None:
    """The head of an answer that begins here, as mitmproxy reads it, and where it ends."""
    if not (found := _ANSWER.match(data)):
        return None
    version, status, reason, fields = found.groups()
    headers, now = _headers(fields), time.time()
    return http.Response(version, int(status), reason, headers, None, None, now, None), found.end()


def _headers(lines: bytes) -> http.Headers:
    return of_fields(tuple([(name, value.strip()) for name, value in _FIELD.findall(lines)]))
