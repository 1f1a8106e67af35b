"""Files that are built to keep a decoder busy: none is large, each holds a plain Pillow for seconds to minutes."""

import io
import struct
import zlib
from collections.abc import Callable

from PIL import Image


def _small(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), (200, 30, 30)).save(buffer, kind)
    return buffer.getvalue()


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def with_segments(segments: bytes) -> bytes:
    """A good JPEG with more segments at its start."""
    good = _small("JPEG")
    return good[:2] + segments + good[2:]


def scans(count: int, side: int = 5000) -> bytes:
    """A progressive JPEG whose every scan is empty, and yet goes over all blocks."""
    tables = segment(0xDB, b"\0" + b"\1" * 64)
    tables += segment(0xC2, struct.pack(">BHHB", 8, side, side, 3) + bytes([1, 17, 0, 2, 17, 0, 3, 17, 0]))
    tables += segment(0xC4, bytes([0, 1, *[0] * 15, 0])) + segment(0xC4, bytes([16, 1, *[0] * 15, 0]))
    first = segment(0xDA, bytes([3, 1, 0, 2, 0, 3, 0, 0, 0, 0])) + bytes(16)
    more = (segment(0xDA, bytes([1, 1 + i % 3, 0, 1, 63, 0])) + bytes(16) for i in range(count - 1))
    return b"\xff\xd8" + tables + first + b"".join(more) + b"\xff\xd9"


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def with_chunks(chunks: bytes, *, behind: bool = False) -> bytes:
    """A good PNG with more chunks after its header, or behind its pixels."""
    good = _small("PNG")
    at = len(good) - 12 if behind else 33
    return good[:at] + chunks + good[at:]


def with_prelude(prelude: bytes) -> bytes:
    """A good GIF with something before its first frame."""
    good = _small("GIF")
    at = 13 + 3 * 2 ** ((good[10] & 7) + 1)
    return good[:at] + prelude + good[at:]


def tiff(fields: list[tuple[int, int, int, int]], content: bytes) -> bytes:
    """A TIFF of these (tag, type, count, value or place) fields; the content follows them."""
    entries = b"".join(struct.pack("<HHII", *field) for field in fields)
    return b"II*\0" + struct.pack("<IH", 8, len(fields)) + entries + bytes(4) + content


def overlapping_fields() -> bytes:
    """60,000 fields of a megabyte each, all the same megabyte: 60 GB once Pillow has read them."""
    return tiff([(1000 + i, 7, 10**6, 8) for i in range(60_000)], bytes(10**6))


def strips(count: int = 500_000) -> bytes:
    """Strips of one pixel each."""
    size = [(256, 4, 1, 1), (257, 4, 1, count), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    start = 8 + 2 + 9 * 12 + 4
    fields = [*size, (273, 4, count, start), (277, 3, 1, 1), (278, 4, 1, 1), (279, 4, count, start + 4 * count)]
    return tiff(fields, struct.pack("<I", 8) * count + struct.pack("<I", 1) * count)


def runs(pairs: int) -> bytes:
    """A BMP of runs of one pixel, which Pillow expands in Python: about a microsecond each. No structure shows it."""
    side = 5000
    body = b"\1\1" * pairs
    header = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, len(body), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, 54 + 1024) + header + bytes(1024) + body


#: What each is, how it is made, and a part of what the person is told.
REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "150 scans": (lambda: scans(150), "more than 64 scans"),
    "5,000 scans": (lambda: scans(5000), "more than 64 scans"),
    "a million segments": (lambda: with_segments(segment(0xFE, b"a") * 10**6), "more than 2,000 segments"),
    "JPEG, EXIF repeats its header": (lambda: with_segments(segment(0xE1, b"Exif\0\0" * 10_000) * 100), "repeats"),
    "PNG, EXIF repeats its header": (lambda: with_chunks(chunk(b"eXIf", b"Exif\0\0" * 2_000_000)), "repeats"),
    "a million chunks": (lambda: with_chunks(chunk(b"aaAa", b"") * 10**6), "more than 20,000 chunks"),
    "a million chunks behind": (lambda: with_chunks(chunk(b"aaAa", b"") * 10**6, behind=True), "20,000 chunks"),
    "long GIF comment": (lambda: with_prelude(b"!\xfe" + (b"\xff" + b"a" * 255) * 10**5 + b"\0"), "1 MB before"),
    "many GIF comments": (lambda: with_prelude(b"!\xfe\1a\0" * 5_000_000), "1 MB before its first frame"),
    "GIF extension of single bytes": (lambda: with_prelude(b"!\xf9" + b"\1a" * 10**7 + b"\0"), "1 MB before"),
    "GIF junk": (lambda: with_prelude(b"\1" * 30_000_000), "1 MB before its first frame"),
    "PPM comments": (lambda: b"P6\n" + b"#a\n" * 10**7 + b"1 1\n255\n\0\0\0", "not a picture"),
    "overlapping TIFF fields": (overlapping_fields, "fields that hold more than the file"),
    "TIFF strips": (strips, "more than 100,000 strips"),
    "33 MB": (lambda: with_prelude(b"").ljust(33_000_000 + 2**20, b"\0"), "larger than 32 MB"),
}
