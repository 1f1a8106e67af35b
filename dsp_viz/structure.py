"""Checks of how a picture file is built, before any decoder sees it: some files are made to keep a decoder busy.

Each check takes milliseconds and looks only at lengths and markers. They bound what reading costs without a separate
process; :mod:`dsp_viz.decoding` has one, which can be ended.
"""

import re
import struct
from collections.abc import Iterator

#: Largest EXIF block that is looked at. One segment of a JPEG holds no more; all a camera writes fits.
MAX_EXIF = 64 * 1024

#: Passes over the picture in a JPEG, each over all of its pixels. Usual are 10, the most elaborate encoders reach 20.
MAX_SCANS = 64

#: Segments of a JPEG and chunks of a PNG: fifty, and some thousands in a picture of 25 megapixels.
MAX_SEGMENTS = 2_000
MAX_CHUNKS = 20_000

#: What a GIF may hold before its first frame: comments, profiles.
MAX_GIF_PRELUDE = 2**20

_AVIF = {b"avif", b"avis"}
_HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}

#: Of a JPEG, in or after coded data: there 0xFF 0x00 is a value and 0xFF 0xD0–0xD7 a place to resume.
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")

#: Strips or tiles of a TIFF: tiles of 16 pixels square fill 25 megapixels.
MAX_STRIPS = 100_000

#: Bytes of one value of each type of a TIFF field.
_TIFF_TYPES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}


def is_heic(data: bytes) -> bool:
    """Whether a file says that it is HEIC (HEIF with HEVC); AVIF, its sibling, says so too, and is not."""
    if data[4:8] != b"ftyp":
        return False
    box = data[8 : min(int.from_bytes(data[:4]), 1024)]
    brands = {box[i : i + 4] for i in range(0, len(box), 4)}
    return not brands & _AVIF and bool(brands & _HEIC)


def fault(data: bytes) -> str:
    """What is wrong with how a file is built, as the rest of a sentence about it; "" if nothing is."""
    if b"Exif\0\0" * 16 in data:
        return "has an EXIF block that repeats its own header"
    if data.startswith(b"\xff\xd8"):
        return _jpeg_fault(data)
    if data.startswith(b"\x89PNG"):
        return f"has more than {MAX_CHUNKS:,} chunks" if _has_too_many_chunks(data) else ""
    if data.startswith(b"GIF8"):
        return "has more than 1 MB before its first frame" if _gif_prelude(data) > MAX_GIF_PRELUDE else ""
    if data.startswith((b"II", b"MM")):
        return _tiff_fault(data)
    return ""


def without_large_exif(data: bytes) -> bytes:
    """A JPEG whose EXIF segments no parser takes for such if they hold more than :data:`MAX_EXIF` in all.

    Pillow joins and parses them when it opens the file, so they must not be there any more by then. Of other formats
    it parses EXIF later, when asked for it.
    """
    if not data.startswith(b"\xff\xd8"):
        return data
    exif = [(start, end) for _, start, end in _segments(data) if data.startswith(b"Exif\0\0", start)]
    if sum(end - start for start, end in exif) <= MAX_EXIF:
        return data
    changed = bytearray(data)
    for start, _ in exif:
        changed[start : start + 4] = b"none"
    return bytes(changed)


def _jpeg_fault(data: bytes) -> str:
    scans = 0
    for count, (marker, _, _) in enumerate(_segments(data), 1):
        scans += marker == 0xDA
        if scans > MAX_SCANS:
            return f"is built up in more than {MAX_SCANS} scans"
        if count > MAX_SEGMENTS:
            return f"has more than {MAX_SEGMENTS:,} segments"
    return ""


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, and start and end of the content, of each segment of a JPEG, up to the end of its first picture."""
    end = 2
    while found := _MARKER.search(data, end):
        marker, start = data[found.end() - 1], found.end()
        if marker == 0xD9:
            return
        has_length = marker not in (0x01, 0xD8)
        end = start + max(2, int.from_bytes(data[start : start + 2])) if has_length else start
        yield marker, start + 2, end


def _has_too_many_chunks(data: bytes) -> bool:
    at = 8
    for _ in range(MAX_CHUNKS):
        at += 12 + int.from_bytes(data[at : at + 4])
        if at >= len(data):
            return False
    return True


def _gif_prelude(data: bytes) -> int:
    """Bytes before the first frame of a GIF; those over :data:`MAX_GIF_PRELUDE` are not all counted."""
    at = 13 + (3 * 2 ** ((data[10] & 7) + 1) if len(data) > 10 and data[10] & 0x80 else 0)
    stop = min(len(data), at + MAX_GIF_PRELUDE + 1)
    while at < stop and data[at] not in b",;":
        if data[at] == ord("!"):
            at += 2
            while at < stop and data[at]:
                at += 1 + data[at]
        at += 1
    return at - 13


def _tiff_fault(data: bytes) -> str:
    held = 0
    for tag, kind, values in _tiff_fields(data):
        held += _TIFF_TYPES.get(kind, 0) * values  # Pillow reads each, though they may overlap
        if tag in (273, 324) and values > MAX_STRIPS:
            return f"has more than {MAX_STRIPS:,} strips or tiles"
    return "has fields that hold more than the file" if held > 2 * len(data) else ""


def _tiff_fields(data: bytes) -> list[tuple[int, int, int]]:
    """Tag, type and number of values of each field in a TIFF's first directory."""
    order = "<" if data.startswith(b"II") else ">"
    big = data[2:4] in (b"\x2b\0", b"\0\x2b")
    head, count, entry = ("8xQ", "Q", "HHQ8x") if big else ("4xI", "H", "HHI4x")
    try:
        (offset,) = struct.unpack_from(order + head, data)
        (entries,) = struct.unpack_from(order + count, data, offset)
    except struct.error:
        return []  # cut short: the decoder says so
    start, size = offset + struct.calcsize(order + count), struct.calcsize(order + entry)
    stop = min(start + entries * size, len(data))
    return list(struct.iter_unpack(order + entry, data[start : stop - (stop - start) % size]))
