"""What is left out of mitmproxy is not missed: headers answer as they did."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy import http
from mitmproxy.coretypes.multidict import MultiDict
from mitmproxy.optmanager import _Option

from addons import lean

NAMES = st.sampled_from([b"Host", b"host", b"HOST", b"Accept", b"x-\xe9", b"X-\xc9"])
FIELDS = st.lists(st.tuples(NAMES, st.binary(max_size=4)), max_size=6).map(tuple)
ASKED = st.one_of(NAMES, st.sampled_from(["host", "Host", "accept", "none", "x-\udce9", "X-é"]))


@given(FIELDS, ASKED)
def test_a_header_is_found_as_mitmproxy_finds_it(
    fields: tuple[tuple[bytes, bytes], ...], name: str | bytes
) -> None:
    """Whatever its case, its bytes, and however often it is there."""
    headers = http.Headers(fields)
    assert lean.values_of(headers, name) == headers.get_all(name)
    assert lean.holds(headers, name) == MultiDict.__contains__(headers, name)
    assert lean.get(headers, name) == headers.get(name)
    ours, theirs = headers.copy(), headers.copy()
    assert lean.pop(ours, name, 0) == theirs.pop(name, 0)
    assert ours.fields == theirs.fields
    for values in ([], ["a"], ["a", b"b", "c"]):
        ours, theirs = headers.copy(), headers.copy()
        lean.put(ours, name, values)
        theirs.set_all(name, values)
        assert ours.fields == theirs.fields
        assert lean.values_of(ours, name) == theirs.get_all(name)
    if headers.get_all(name):
        assert lean.value_of(headers, name) == MultiDict.__getitem__(headers, name)
    else:
        for find in (lean.value_of, lean.pop):
            with pytest.raises(KeyError):
                find(headers, name)


@pytest.mark.parametrize("value", [None, True, 3, "text", ["a"], []])
def test_an_option_has_the_value_that_mitmproxy_says(value: object) -> None:
    """Set or by default, and never one that could be changed in its place."""
    option = _Option("name", Any, value, "help", None)
    assert lean.current(option) == option.current() == value
    option.set(value)
    assert lean.current(option) == option.current() == value
    if isinstance(value, list):
        assert lean.current(option) is not value
