"""Headers answer as mitmproxy's do, however they are found."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy import http
from mitmproxy.coretypes.multidict import MultiDict

from addons import headers as index

NAMES = st.sampled_from([b"Host", b"host", b"HOST", b"Accept", b"x-\xe9", b"X-\xc9"])
FIELDS = st.lists(st.tuples(NAMES, st.binary(max_size=4)), max_size=6).map(tuple)
ASKED = st.one_of(NAMES, st.sampled_from(["host", "Host", "accept", "none", "x-\udce9", "X-é"]))


@given(FIELDS, ASKED)
def test_a_header_is_found_as_mitmproxy_finds_it(
    fields: tuple[tuple[bytes, bytes], ...], name: str | bytes
) -> None:
    """Whatever its case, its bytes, and however often it is there."""
    headers = http.Headers(fields)
    assert index.values_of(headers, name) == headers.get_all(name)
    assert index.holds(headers, name) == MultiDict.__contains__(headers, name)
    assert index.get(headers, name) == headers.get(name)
    assert index.block_of(headers) == _bytes(headers)
    ours, theirs = headers.copy(), headers.copy()
    assert index.pop(ours, name, 0) == theirs.pop(name, 0)
    assert ours.fields == theirs.fields
    for values in ([], ["a"], ["a", b"b", "c"]):
        ours, theirs = headers.copy(), headers.copy()
        index.put(ours, name, values)
        theirs.set_all(name, values)
        assert ours.fields == theirs.fields
        assert index.values_of(ours, name) == theirs.get_all(name)
    if headers.get_all(name):
        assert index.value_of(headers, name) == MultiDict.__getitem__(headers, name)
    else:
        for find in (index.value_of, index.pop):
            with pytest.raises(KeyError):
                find(headers, name)


def test_headers_begin_as_mitmproxy_begins_them() -> None:
    """With fields and with names, and never with text among the fields."""
    for fields, named in (([], {}), ([(b"a", b"b")], {}), ([(b"a", b"b")], {"A": "c", "x_y": "z"})):
        made = object.__new__(http.Headers)
        index.begin(made, fields, **named)
        assert made.fields == http.Headers(fields, **named).fields
    with pytest.raises(TypeError):
        index.begin(object.__new__(http.Headers), [("a", b"b")])  # type: ignore[list-item]


_bytes = http.Headers.__bytes__
