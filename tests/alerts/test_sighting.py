"""Where a planted key stands in a request, told without telling it."""

import gzip
import zlib

import pytest

from broker import Secret
from broker.detector import Detector
from interlock.alerts.planting import KINDS, Kind, imitate
from interlock.alerts.sighting import MOST_DECODED, look_in_body, look_in_head

VALUE = b"sk_live_51KJ8s7dfh3kjh4kjhdf8sHJKhkjsdf"
DETECTOR = Detector({"wiki": Secret(VALUE)})
RAW = zlib.compressobj(wbits=-15)


@pytest.mark.parametrize(
    ("target", "headers", "where"),
    [
        pytest.param([("path", b"/x/" + VALUE)], [], "path", id="in the path"),
        pytest.param([("query", b"k=%73" + VALUE[1:])], [], "query", id="half of it encoded"),
        pytest.param([], [(b"X-Any", b"k " + VALUE)], "header x-any", id="in a header"),
        pytest.param([], [(VALUE, b"1")], "header name", id="as the name of a header"),
        pytest.param([], [(b"A\x1b[b", VALUE)], "header a??b", id="a name with control codes"),
    ],
)
def test_says_where_it_stood(
    target: list[tuple[str, bytes]], headers: list[tuple[bytes, bytes]], where: str
) -> None:
    """The place in words of ours, or the header's name; never the value."""
    sighting = look_in_head(DETECTOR, target, headers)
    assert sighting
    assert (sighting.honeytoken, sighting.where) == ("wiki", where)


@pytest.mark.parametrize(
    ("body", "coding"),
    [
        pytest.param(VALUE, "", id="as it is"),
        pytest.param(VALUE, "gzip", id="plain, said to be gzip"),
        pytest.param(gzip.compress(b"a" * 200_000 + VALUE), "gzip", id="gzip"),
        pytest.param(gzip.compress(b"a") + gzip.compress(VALUE), "gzip", id="a second member"),
        pytest.param(zlib.compress(VALUE), "deflate", id="deflate"),
        pytest.param(RAW.compress(VALUE) + RAW.flush(), "deflate", id="deflate without a head"),
        pytest.param(gzip.compress(VALUE)[:-8], "gzip", id="gzip whose end is missing"),
    ],
)
def test_reads_compressed_bodies(body: bytes, coding: str) -> None:
    """What the upstream would unpack is unpacked here too."""
    assert look_in_body(DETECTOR, body, coding)


def test_a_bomb_is_read_so_far_and_no_further() -> None:
    """Decompression ends at its limit, in bounded memory."""
    bomb = gzip.compress(bytes(MOST_DECODED + (1 << 20)), 9) + gzip.compress(VALUE)
    assert look_in_body(DETECTOR, bomb, "gzip") is None


@pytest.mark.parametrize("kind", KINDS)
def test_an_imitation_is_new_and_can_be_planted(kind: Kind) -> None:
    """Each is random, long enough, and begins as its kind does."""
    one, other = imitate(kind), imitate(kind)
    assert one != other
    assert 16 <= len(one) <= 512
    assert one.startswith(str(KINDS[kind][0]))
