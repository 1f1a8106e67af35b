"""Any picture file → upright RGB → model input; token grid ↔ pixels."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

#: Largest picture that is decoded: 25 megapixels, 75 MB as RGB.
MAX_PIXELS = 25_000_000

#: Raster formats that Pillow decodes itself; none that runs an interpreter (EPS) or that needs another program.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "ICO", "PPM", "AVIF", "JPEG2000")

_ALLOWED = "JPEG, PNG, WebP, AVIF, GIF, BMP and TIFF pictures of at most 25 megapixels"


class ImageError(ValueError):
    """A picture that cannot be used. The message says what was wrong, what is allowed, and what to do."""


def read_image(source: str | Path | bytes | BinaryIO | Image.Image) -> Image.Image:
    """Read a picture as upright RGB.

    Judged by content, not by name. The size is checked before anything is decoded. EXIF orientation is applied,
    transparency lies on white, 16-bit gray is scaled (not clipped) to 8 bits, of an animation the first frame counts.

    Args:
        source: path, the bytes of a file, an open binary file, or a PIL image (which is left as it is).

    Returns:
        A new picture in mode RGB, without metadata.

    Raises:
        ImageError: no picture, a damaged or truncated one, or one of more than :data:`MAX_PIXELS`.
    """
    if isinstance(source, Image.Image):
        return _decode(source)
    try:
        if isinstance(source, str | Path):
            data = Path(source).read_bytes()
        else:
            data = source if isinstance(source, bytes) else source.read()
    except OSError as error:
        raise ImageError(f"The file cannot be opened ({error.strerror}). Choose another picture.") from error
    if not data:
        raise ImageError(f"The file is empty. Choose another file; allowed are {_ALLOWED}.")
    try:
        picture = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise ImageError(f"The file is not a picture that can be read. Allowed are {_ALLOWED}.") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        # Pillow looks at the size before us; where warnings are errors, its warning ends up here too.
        raise ImageError(f"The picture is too large. Allowed are {_ALLOWED}: scale it down first.") from error
    except Exception as error:  # decoders raise what they like on hostile bytes
        raise ImageError(
            f"The picture is damaged. Allowed are {_ALLOWED}: save it again, or choose another."
        ) from error
    with picture:
        return _decode(picture)


def _decode(picture: Image.Image) -> Image.Image:
    width, height = picture.size
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"The picture has {width}×{height} pixels ({width * height / 1e6:.0f} megapixels). "
            f"Allowed are {_ALLOWED}: scale it down first."
        )
    if width < 1 or height < 1:
        raise ImageError(f"The picture has {width}×{height} pixels: there is nothing to see. Choose another picture.")
    try:
        upright = _to_rgb(ImageOps.exif_transpose(picture))
    except Exception as error:  # decoders raise what they like on hostile bytes
        raise ImageError(
            "The picture is damaged or incomplete and cannot be decoded. Save or download it again, or choose another."
        ) from error
    upright.info.clear()  # no metadata goes further
    return upright


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith(("I", "F")):
        return Image.fromarray(_to_bytes(np.asarray(picture))).convert("RGB")
    if picture.has_transparency_data:
        coloured = picture.convert("RGBA")
        white = Image.new("RGBA", coloured.size, "white")
        return Image.alpha_composite(white, coloured).convert("RGB")
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def _to_bytes(values: np.ndarray) -> np.ndarray:
    """Gray of more than 8 bits → 8 bits. 16-bit values keep their scale; anything else is stretched to its range."""
    numbers = np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)
    low, high = float(numbers.min()), float(numbers.max())
    if np.issubdtype(values.dtype, np.integer) and low >= 0 and high <= 65535:
        low, high = 0.0, 65535.0
    elif low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    scaled = (numbers - low) * (255 / (high - low)) if high > low else np.zeros_like(numbers)
    return np.rint(scaled).astype(np.uint8)


@dataclass(frozen=True)
class Frame:
    """How a picture became model input.

    Attributes:
        size: (width, height) of the upright original in pixels.
        box: (left, top, right, bottom) of the part that was used, in the original's pixels.
        input_size: (width, height) of the model's input in pixels.
        patch: side of a token in pixels of the input.
    """

    size: tuple[int, int]
    box: tuple[float, float, float, float]
    input_size: tuple[int, int]
    patch: int

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of tokens, ``(H, W)``."""
        return self.input_size[1] // self.patch, self.input_size[0] // self.patch


def fit(image: Image.Image, *, side: int, patch: int, whole: bool = False) -> tuple[Image.Image, Frame]:
    """The largest centred square of a picture, or all of it, resized to whole tokens.

    Args:
        image: RGB. side: of the result in pixels, the longer one where it is not square; a multiple of ``patch``.
        patch: side of a token in pixels.
        whole: keep all of the picture; its shorter side becomes the nearest multiple of ``patch``, so the aspect
            ratio changes by less than half a token.

    Returns:
        The result and how it came about.
    """
    width, height = image.size
    if whole:
        tokens = side // patch
        longer = max(width, height)
        columns, rows = (max(1, round(tokens * length / longer)) for length in (width, height))
        box, size = (0.0, 0.0, float(width), float(height)), (columns * patch, rows * patch)
    else:
        short = min(width, height)
        left, top = (width - short) / 2, (height - short) / 2
        box, size = (left, top, left + short, top + short), (side, side)
    # Cropping and resizing in one step: a strip of 4000×8 never becomes 64000×128.
    fitted = image.resize(size, Image.Resampling.LANCZOS, box=box, reducing_gap=3.0)
    return fitted, Frame((width, height), box, size, patch)


def to_tensor(image: Image.Image, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Model input of a picture: ``(1, 3, height, width)`` float32, ``(value - mean) / std`` per channel, white is 1."""
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255
    return (pixels - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(std).view(1, 3, 1, 1)
