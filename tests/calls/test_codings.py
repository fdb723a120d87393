"""Codings are undone whatever way they are cut; bombs and lies are broken off early."""

import gzip
import random
import tracemalloc
import zlib
from collections.abc import Callable
from functools import partial

import brotli
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.calls.codings import FREE, CodingError, Decoder, parse_codings

RATIO = 100


def raw_deflate(data: bytes) -> bytes:
    """RFC 1951 without the header, as many servers understand `deflate`."""
    packed = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packed.compress(data) + packed.flush()


def zstd(data: bytes) -> bytes:
    """A frame whose header does not say how long it is, as servers stream it."""
    packed = zstandard.ZstdCompressor().compressobj()
    return packed.compress(data) + packed.flush()


ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": partial(brotli.compress, quality=3),
    "zstd": zstd,
}
SEVERAL = ["gzip", "br", "zstd", "gzip, br", "deflate, zstd", "gzip, br, zstd"]


def encoded(data: bytes, text: str) -> bytes:
    """Apply codings in their order."""
    for name in text.split(", "):
        data = ENCODERS[name](data)
    return data


def decoded(data: bytes, text: str, size: int = 1 << 20, ratio: int = RATIO) -> bytes:
    """Undo them, fed `size` bytes at a time."""
    decoder = Decoder(parse_codings(text), ratio)
    pieces = [data[i : i + size] for i in range(0, len(data), size)]
    shown = b"".join(out for piece in pieces for out in decoder.feed(piece))
    decoder.close()
    return shown


@pytest.mark.parametrize("text", ["gzip", "x-gzip", "deflate", "br", "zstd", *SEVERAL[3:]])
@settings(max_examples=25)
@given(st.binary(max_size=2000), st.integers(1, 64))
def test_decodes_what_is_cut_anywhere(text: str, data: bytes, size: int) -> None:
    """Every coding, stacked ones too, a few bytes at a time."""
    assert decoded(encoded(data, text), text, size) == data


def test_decodes_deflate_without_its_header() -> None:
    """Both meanings of `deflate` that are in use, byte by byte."""
    assert decoded(raw_deflate(b"hello" * 9), "deflate", 1) == b"hello" * 9


@pytest.mark.parametrize("text", ["gzip", "zstd"])
def test_decodes_several_members(text: str) -> None:
    """gzip and zstd may be concatenated; nothing behind the first is lost."""
    both = encoded(b"first ", text) + encoded(b"second", text)
    assert decoded(both, text) == decoded(both, text, 1) == b"first second"


@pytest.mark.parametrize("text", ["gzip", "deflate", "br", "zstd"])
def test_decodes_megabytes(text: str) -> None:
    """More than one piece, in one go."""
    data = random.Random(7).randbytes(3 << 20)
    assert decoded(encoded(data, text), text, len(data) * 2) == data


@pytest.mark.parametrize("wbits", [16 | zlib.MAX_WBITS, zlib.MAX_WBITS], ids=["gzip", "deflate"])
def test_delivers_a_live_event_at_once(wbits: int) -> None:
    """What the sender has flushed is there, whatever may follow."""
    packed = zlib.compressobj(wbits=wbits)
    decoder = Decoder(["gzip" if wbits > zlib.MAX_WBITS else "deflate"], RATIO)
    for number in range(3):
        event = b"data: %d\n\n" % number
        sent = packed.compress(event) + packed.flush(zlib.Z_SYNC_FLUSH)
        assert b"".join(decoder.feed(sent)) == event


@pytest.mark.parametrize("text", SEVERAL)
def test_breaks_a_bomb_off(text: str) -> None:
    """A few hundred bytes that make 16 MiB stop at the first MiB, in little memory."""
    bomb, shown = encoded(bytes(16 << 20), text), 0

    def decode() -> None:
        nonlocal shown
        for piece in Decoder(parse_codings(text), 10).feed(bomb[:20_000]):
            shown += len(piece)

    tracemalloc.start()
    with pytest.raises(CodingError, match="interlock_decompression_ratio"):
        decode()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert shown <= FREE
    assert most < 8 << 20


@pytest.mark.parametrize("text", SEVERAL)
def test_finds_what_is_cut_off(text: str) -> None:
    """An answer that ends in the middle is no answer."""
    with pytest.raises(CodingError, match="cut off"):
        decoded(encoded(b"a long enough text " * 50, text)[:-1], text)


@pytest.mark.parametrize("text", ["gzip", "deflate", "br", "zstd", "gzip, br"])
def test_finds_a_lie(text: str) -> None:
    """Plain text is in no coding, nor is what follows the end of one."""
    with pytest.raises(CodingError):
        decoded(b"\xffplain text, never compressed", text)
    with pytest.raises(CodingError):
        decoded(encoded(b"text", text) + b"and more", text)


@pytest.mark.parametrize("text", SEVERAL)
def test_an_empty_body_is_no_lie(text: str) -> None:
    """Servers say how they would have encoded what they do not send."""
    assert decoded(b"", text) == b""


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("compress", id="a coding that nobody uses"),
        pytest.param("gzip, aws-chunked", id="one of two is unknown"),
        pytest.param("br, br, br, br", id="four of them"),
        pytest.param("gzip;q=1", id="a parameter"),
    ],
)
def test_refuses_what_it_cannot_undo(text: str) -> None:
    """The error never quotes what the upstream wrote."""
    with pytest.raises(CodingError) as refused:
        parse_codings(text)
    assert text not in str(refused.value)


@pytest.mark.parametrize("text", ["", "identity", "Identity, ", "identity,identity"])
def test_knows_when_there_is_no_coding(text: str) -> None:
    """The usual case costs nothing."""
    assert parse_codings(text) == ()
