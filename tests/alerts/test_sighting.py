"""Where a planted key stands in a request, told without telling it."""

import gzip
import zlib

import brotli
import pytest
import zstandard

from broker import Secret
from broker.detector import Detector
from interlock.alerts import sighting
from interlock.alerts.planting import KINDS, Kind, imitate
from interlock.alerts.sighting import look_in_body, look_in_head

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
    found = look_in_head(DETECTOR, target, headers)
    assert found
    assert (found.honeytoken, found.where) == ("wiki", where)


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
        pytest.param(brotli.compress(b"a" * 200_000 + VALUE), "br", id="br"),
        pytest.param(zstandard.compress(b"a" * 200_000 + VALUE), "zstd", id="zstd"),
        pytest.param(zstandard.compress(b"a") + zstandard.compress(VALUE), "zstd", id="two frames"),
        pytest.param(gzip.compress(brotli.compress(VALUE)), "br, gzip", id="two codings"),
        pytest.param(gzip.compress(gzip.compress(VALUE)), "gzip, gzip", id="one coding twice"),
    ],
)
def test_reads_compressed_bodies(body: bytes, coding: str) -> None:
    """What the upstream would unpack is unpacked here too."""
    assert look_in_body(DETECTOR, body, coding)


def test_a_bomb_is_read_so_far_and_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decompression ends at its limit, in bounded memory."""
    assert sighting.MOST_DECODED == 64 << 20
    monkeypatch.setattr(sighting, "MOST_DECODED", 1 << 20)
    bomb = gzip.compress(bytes(2 << 20), 9) + gzip.compress(VALUE)
    assert look_in_body(DETECTOR, bomb, "gzip") is None
    nested = gzip.compress(brotli.compress(bytes(2 << 20) + VALUE))
    assert look_in_body(DETECTOR, nested, "br, gzip") is None
    monkeypatch.undo()
    assert look_in_body(DETECTOR, bomb, "gzip")
    assert look_in_body(DETECTOR, nested, "br, gzip")


@pytest.mark.parametrize("coding", ["br", "zstd", "compress", "gzip, br, zstd, gzip", ",;"])
def test_a_body_that_is_not_what_it_says_is_no_crash(coding: str) -> None:
    """What nobody can read, no server can either."""
    assert look_in_body(DETECTOR, b"plain and innocent", coding) is None


@pytest.mark.parametrize("kind", KINDS)
def test_an_imitation_is_new_and_can_be_planted(kind: Kind) -> None:
    """Each is random, long enough, and begins as its kind does."""
    one, other = imitate(kind), imitate(kind)
    assert one != other
    assert 16 <= len(one) <= 512
    assert one.startswith(str(KINDS[kind][0]))
