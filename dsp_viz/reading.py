"""Any picture file → upright RGB. Imports Pillow and nothing heavier, so that a process of its own can do it."""

import io
import os
import stat
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, cast

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from . import structure

if TYPE_CHECKING:
    import numpy as np

#: Largest picture that is decoded: 25 megapixels, 75 MB as RGB.
MAX_PIXELS = 25_000_000

#: Largest file that is read.
MAX_BYTES = 32 * 2**20

#: The formats, each with the part of Pillow that reads it. A name that Pillow does not know would make it load all 40.
_READERS = {
    "JPEG": JpegImagePlugin,
    "PNG": PngImagePlugin,
    "WEBP": WebPImagePlugin,
    "AVIF": AvifImagePlugin,
    "GIF": GifImagePlugin,
    "BMP": BmpImagePlugin,
    "TIFF": TiffImagePlugin,
}
FORMATS = tuple(_READERS)

ALLOWED = "JPEG, PNG, WebP, AVIF, GIF, BMP and TIFF pictures of at most 25 megapixels and 32 MB"

#: Pixels that are converted at a time: what a conversion needs besides the picture and its result.
_STRIP = 2**20


class ImageError(ValueError):
    """A picture that cannot be used. The message says what was wrong, what is allowed, and what to do."""


class Reading(NamedTuple):
    """A picture as it was read.

    Attributes:
        picture: RGB, upright, without metadata.
        note: what whoever looks at it should know, a sentence; "" if nothing.
    """

    picture: Image.Image
    note: str


def read(source: str | os.PathLike[str] | bytes | BinaryIO | Image.Image, *, stretch: bool = False) -> Reading:
    """Read a picture, see :func:`dsp_viz.images.read_image`."""
    if isinstance(source, Image.Image):
        return _decode(ImageOps.exif_transpose, source, stretch)
    data = _bytes(source)
    if not data:
        raise ImageError(f"The file is empty. Choose another file; allowed are {ALLOWED}.")
    if len(data) > MAX_BYTES:
        raise ImageError(f"The file is larger than 32 MB. Allowed are {ALLOWED}: scale it down first.")
    if fault := structure.fault(data):
        raise ImageError(f"The picture {fault}. Save it again as an ordinary JPEG or PNG, or choose another.")
    with _open(structure.without_large_exif(data)) as picture:
        return _decode(_turn, picture, stretch)


def _bytes(source: Any) -> bytes:
    """What a source holds, and one byte more than is allowed at most."""
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source)
    try:
        if isinstance(source, str | os.PathLike):
            return _file(source)
        if not hasattr(source, "read"):
            raise ImageError(
                f"{type(source).__name__} is no picture. Allowed are a path, the bytes of a file, an open binary "
                "file, a PIL image, and an array or tensor."
            )
        data = source.read(MAX_BYTES + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ImageError(f"The file cannot be opened ({reason}). Choose another picture.") from error
    except ValueError as error:
        if isinstance(error, ImageError):
            raise
        # A file that is closed, bytes that are not text in a file opened as text, a path with a NUL in it.
        raise ImageError(
            f"The file cannot be read ({error}). Allowed are files opened in binary mode, and paths."
        ) from error
    if not isinstance(data, bytes):
        raise ImageError(
            f"The file gives {type(data).__name__} instead of bytes. Open it in binary mode, open(path, 'rb')."
        )
    return data


def _file(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a regular file. Opening anything else must not block (a pipe), nor reading it never end."""
    with open(path, "rb", buffering=0, opener=_opener) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ImageError(f"The path is not of an ordinary file. Choose a picture; allowed are {ALLOWED}.")
        data = bytearray()
        while len(data) <= MAX_BYTES and (more := file.read(MAX_BYTES + 1 - len(data))):
            data += more
    return bytes(data)


def _opener(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)


def _open(data: bytes) -> Image.Image:
    heic = structure.is_heic(data)
    try:
        return _open_heic(data) if heic else Image.open(io.BytesIO(data), formats=FORMATS)
    except ImportError as error:
        raise ImageError(
            "The picture is HEIC, which needs another package: `pip install pillow-heif`, or save the picture as JPEG."
        ) from error
    except UnidentifiedImageError as error:
        raise ImageError(f"The file is not a picture that can be read. Allowed are {ALLOWED}.") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        # Pillow looks at the size before us; where warnings are errors, its warning ends up here too.
        raise ImageError(f"The picture is too large. Allowed are {ALLOWED}: scale it down first.") from error
    except MemoryError as error:
        raise ImageError(_TOO_MUCH) from error
    except Exception as error:  # decoders raise what they like on hostile bytes
        raise ImageError(f"The picture is damaged. Allowed are {ALLOWED}: save it again, or choose another.") from error


def _open_heic(data: bytes) -> Image.Image:
    import pillow_heif

    pillow_heif.options.DECODE_THREADS = 1
    return pillow_heif.HeifImageFile(io.BytesIO(data))


_TOO_MUCH = (
    "The picture needs more memory to decode than there is for one picture. "
    "Save it as an ordinary JPEG or PNG, or scale it down first."
)


def _turn(picture: Image.Image) -> Image.Image:
    """A picture of our own, turned upright without a copy."""
    for key, limit in (("exif", structure.MAX_EXIF), ("Raw profile type exif", 3 * structure.MAX_EXIF)):  # in hex
        if len(picture.info.get(key) or "") > limit:
            del picture.info[key]
    ImageOps.exif_transpose(picture, in_place=True)
    return picture


def _decode(turn: Callable[[Image.Image], Image.Image], picture: Image.Image, stretch: bool) -> Reading:
    width, height = picture.size
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"The picture has {width}×{height} pixels ({width * height / 1e6:.0f} megapixels). "
            f"Allowed are {ALLOWED}: scale it down first."
        )
    if width < 1 or height < 1:
        raise ImageError(f"The picture has {width}×{height} pixels: there is nothing to see. Choose another picture.")
    depth = _depth(picture)
    try:
        picture.load()
        upright, note = _to_rgb(turn(picture), depth, stretch)
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageError(_TOO_MUCH) from error
    except Exception as error:  # decoders raise what they like on hostile bytes
        raise ImageError(
            "The picture is damaged or incomplete and cannot be decoded. Save or download it again, or choose another."
        ) from error
    upright.info.clear()  # no metadata goes further
    return Reading(upright, note)


def _depth(picture: Image.Image) -> int:
    """Bits of each value in the file: 16, 12, or 8 for all that are not more than a byte (or floats)."""
    tiles = getattr(picture, "tile", None)
    if not tiles:  # decoded already, or made in memory
        return 16 if picture.mode.startswith("I") else 8
    raw = tiles[0].args if isinstance(tiles[0].args, str) else str(tiles[0].args[0] if tiles[0].args else "")
    return 12 if raw.endswith(";12") else 16 if ";16" in raw or picture.mode.startswith("I") else 8


def _to_rgb(picture: Image.Image, depth: int, stretch: bool) -> tuple[Image.Image, str]:
    if picture.mode.startswith(("I", "F")):
        return _gray_to_rgb(picture, depth, stretch)
    note = ""
    if depth == 16 and picture.mode in ("RGB", "RGBA"):  # Pillow keeps the upper eight
        picture, note = _shallow(picture, stretch)
    if picture.has_transparency_data:
        return _in_strips(picture, _on_white), note
    if picture.mode in ("LAB", "La"):
        raise ImageError(f"The picture's colours ({picture.mode}) cannot be shown. Save it again as RGB.")
    return picture.copy() if picture.mode == "RGB" else picture.convert("RGB"), note


def _on_white(strip: Image.Image) -> Image.Image:
    coloured = strip.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", coloured.size, "white"), coloured).convert("RGB")


def _shallow(picture: Image.Image, stretch: bool) -> tuple[Image.Image, str]:
    """A colour picture of the upper eight of 16 bits, and what to say if few of those are used."""
    bands = cast("tuple[tuple[int, int], ...]", picture.getextrema())
    used = max(high for _, high in bands[:3]).bit_length()
    if not stretch or used in (0, 8):
        return picture, _dark(8 + used if used else 0)
    top = 2**used - 1
    wider = [min(255, round(value * 255 / top)) for value in range(256)]
    return picture.point(wider * 3 + (list(range(256)) if picture.mode == "RGBA" else [])), ""


def _dark(bits: int) -> str:
    """What to say of 16-bit values that use at most an eighth of their range."""
    if not 0 < bits <= 13:
        return ""
    return (
        f"The picture has 16 bits per value but uses only the lowest {bits}, 0 to {2**bits - 1:,} of 65,535, "
        "so it is very dark. Stretch it to see more."
    )


def _gray_to_rgb(picture: Image.Image, depth: int, stretch: bool) -> tuple[Image.Image, str]:
    """Gray of more than 8 bits → RGB. 16-bit values keep their scale; anything else is stretched to its range."""
    ranges = [(float(values.min()), float(values.max())) for _, values in _values(picture)]
    low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
    note = ""
    if picture.mode.startswith("I") and low >= 0 and high <= 65535:
        bits = int(high).bit_length()
        low, high = 0.0, 2.0 ** (max(1, bits) if stretch else depth) - 1
        note = "" if stretch or depth < 16 else _dark(bits)
    elif low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    scale = 255 / (high - low) if high > low else 0.0

    gray = Image.new("L", picture.size)
    for box, values in _values(picture):
        gray.paste(Image.fromarray(((values - low) * scale).round().astype("uint8")), box)
    return gray.convert("RGB"), note


def _values(picture: Image.Image) -> "Iterator[tuple[tuple[int, int, int, int], np.ndarray]]":
    import numpy as np  # few pictures need it, and it is as heavy as all of Pillow

    for box in _boxes(picture.size):
        values = np.asarray(picture.crop(box)).astype(np.float64)
        yield box, np.nan_to_num(values, posinf=0.0, neginf=0.0)


def _in_strips(picture: Image.Image, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """A conversion of pixels to RGB, a part of the picture after the other, so that what it needs stays small."""
    result = Image.new("RGB", picture.size)
    for box in _boxes(picture.size):
        result.paste(convert(picture.crop(box)), box)
    return result


def _boxes(size: tuple[int, int]) -> Iterator[tuple[int, int, int, int]]:
    width, height = size
    rows = max(1, _STRIP // width)
    for top in range(0, height, rows):
        yield 0, top, width, min(top + rows, height)
