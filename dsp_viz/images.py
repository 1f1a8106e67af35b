"""Any picture → upright RGB → model input; token grid ↔ pixels."""

import os
import warnings
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from . import arrays, reading
from .framing import Fitting, Frame, fit, preview
from .reading import FORMATS, MAX_BYTES, MAX_PIXELS, ImageError

__all__ = [
    "FORMATS",
    "MAX_BYTES",
    "MAX_PIXELS",
    "Fitting",
    "Frame",
    "ImageError",
    "Source",
    "fit",
    "preview",
    "read_image",
    "to_tensor",
]

#: What is accepted as a picture.
Source = str | os.PathLike[str] | bytes | BinaryIO | Image.Image | np.ndarray | Tensor


def read_image(source: Source, *, stretch: bool = False) -> Image.Image:
    """Read a picture as upright RGB.

    Judged by content, not by name. The size is checked before anything is decoded, and files that are built to keep a
    decoder busy are refused where that shows, see :mod:`dsp_viz.structure`; :class:`dsp_viz.decoding.Decoder` bounds
    the others. EXIF orientation is applied (from at most 64 KB of EXIF), transparency lies on white, 16-bit gray is
    scaled (not clipped) to 8 bits, of an animation the first frame counts.

    Args:
        source: path of an ordinary file, the bytes of one, an open binary file, a PIL image (which is left as it is),
            or an array or tensor: ``(H, W)``, ``(H, W, 3)`` or ``(3, H, W)``, uint8 or floats within 0 and 1.
            JPEG, PNG, WebP, AVIF, GIF, BMP and TIFF; HEIC where the package pillow-heif is installed.
        stretch: of 16-bit values, take the fewest bits that hold the largest for all there are: 12-bit values in a
            file of 16 bits, nearly black without it, get their full range. Of colours Pillow keeps only the upper
            eight bits, so theirs come out in steps.

    Returns:
        A new picture in mode RGB, without metadata.

    Raises:
        ImageError: no picture, a damaged or truncated one, or one of more than :data:`MAX_PIXELS` or
            :data:`MAX_BYTES`.

    Warns:
        UserWarning: 16-bit values use at most an eighth of their range.
    """
    if isinstance(source, np.ndarray | Tensor):
        return arrays.to_picture(source)
    picture, note = reading.read(source, stretch=stretch)
    if note:
        warnings.warn(note, stacklevel=2)
    return picture


def to_tensor(image: Image.Image, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Model input of a picture: ``(1, 3, height, width)`` float32, ``(value - mean) / std`` per channel, white is 1."""
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255
    return (pixels - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(std).view(1, 3, 1, 1)
