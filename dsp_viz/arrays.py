"""Arrays and tensors as pictures. What could be read in more than one way is refused."""

from typing import Any

import numpy as np
import torch
from PIL import Image

from .reading import ALLOWED, MAX_PIXELS, ImageError

_FORMS = "(H, W), (H, W, 3) or (3, H, W), of uint8, or of floats from 0 to 1"


def to_picture(values: np.ndarray | torch.Tensor) -> Image.Image:
    """An array or tensor as an RGB picture.

    Args:
        values: ``(H, W)``, ``(H, W, 3)`` or ``(3, H, W)``; uint8, or floats within 0 and 1, which are rounded to the
            nearest of 256 steps.

    Raises:
        ImageError: another shape or type, both first and last axis of three, no pixels, or a value out of range.
    """
    array = _array(values)
    if array.ndim == 3 and array.shape[0] == 3 and array.shape[2] == 3:
        raise ImageError(f"An array of shape {array.shape} may mean two pictures: pass it as a PIL image.")
    if array.ndim == 3 and array.shape[0] == 3:
        array = array.transpose(1, 2, 0)
    if array.ndim != 2 and (array.ndim != 3 or array.shape[2] != 3):
        hint = ": of a batch, pass one picture, x[0]" if array.ndim == 4 else ""
        raise ImageError(f"An array of shape {np.shape(values)} is no picture. Allowed are {_FORMS}{hint}.")
    height, width = array.shape[:2]
    if not height * width:
        raise ImageError(f"The picture has {width}×{height} pixels: there is nothing to see. Choose another picture.")
    if height * width > MAX_PIXELS:
        raise ImageError(f"The picture has {width}×{height} pixels. Allowed are {ALLOWED}: scale it down first.")
    return Image.fromarray(np.ascontiguousarray(_bytes(array))).convert("RGB")


def _array(values: Any) -> np.ndarray:
    if not isinstance(values, torch.Tensor):
        return np.asarray(values)
    try:
        values = values.detach().cpu()
        return np.asarray((values.float() if values.dtype == torch.bfloat16 else values).numpy())
    except Exception as error:  # a tensor without values (meta), a sparse or quantised one
        raise ImageError(f"The tensor has no plain values to show. Allowed are {_FORMS}.") from error


def _bytes(array: np.ndarray) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    if not np.issubdtype(array.dtype, np.floating):
        raise ImageError(f"An array of {array.dtype} is no picture. Allowed are {_FORMS}.")
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 1):  # NaN is neither
        raise ImageError(
            f"The array's values go from {low:.4g} to {high:.4g}. Allowed are floats from 0 to 1 (divide by 255 what "
            "goes to 255; undo a normalisation), or uint8."
        )
    return np.rint(array.astype(np.float32) * 255).astype(np.uint8)
