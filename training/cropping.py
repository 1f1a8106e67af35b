"""Parts of pictures, resized: one by one, or many at once by matrix products."""

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as TF


def cropped(image: Tensor, box: Tensor, size: int) -> Tensor:
    """A part of a picture, resized to a square by antialiased bilinear interpolation.

    Args:
        image: ``(…, height, width)``. box: top, left, height and width as shares of the picture, ``(4,)``, rounded to
            whole pixels, one at least. size: side of the square.

    Returns:
        ``(…, size, size)`` in the dtype of the picture.
    """
    H, W = image.shape[-2:]
    top, left = round(float(box[0]) * H), round(float(box[1]) * W)
    height, width = max(1, round(float(box[2]) * H)), max(1, round(float(box[3]) * W))
    return TF.resized_crop(image, top, left, height, width, [size, size], antialias=True)


def cropped_together(images: Tensor, boxes: Tensor, size: int) -> Tensor:
    r"""What :func:`cropped` makes of each picture of a batch, in few operations: for a GPU, where each one counts.

    Resizing is linear along each axis, so a crop is ``A X Bᵀ``. With ``r = length/size`` pixels to one of the result,

    .. math:: A_{ij} \propto \max\bigl(0,\ 1 - |j + \tfrac12 - (i + \tfrac12)\,r| / \max(1, r)\bigr)

    for the pixels ``j`` of the part, counted from its first; rows sum to 1.

    Args:
        images: ``(B, channels, height, width)`` uint8. boxes: of each, ``(B, 4)``. size: side of the squares.

    Returns:
        ``(B, channels, size, size)`` uint8. torchvision's weights are rounded, so one value
        in seven, or so, is 1 off its.
    """
    sides = boxes.new_tensor(images.shape[-2:])
    start = (boxes[:, :2] * sides).round()
    length = (boxes[:, 2:] * sides).round().clamp_min(1)
    rows = _weights(start[:, 0], length[:, 0], images.shape[-2], size)
    columns = _weights(start[:, 1], length[:, 1], images.shape[-1], size)
    made = rows[:, None] @ images.to(rows.dtype) @ columns[:, None].mT
    return made.round_().clamp_(0, 255).to(torch.uint8)


def _weights(start: Tensor, length: Tensor, side: int, size: int) -> Tensor:
    """How much of each of ``side`` pixels each of ``size`` has, ``(B, size, side)``."""
    start, length = start[:, None, None], length[:, None, None]
    ratio = length / size
    pixel = torch.arange(side, device=start.device) - start
    centre = (torch.arange(size, device=start.device)[:, None] + 0.5) * ratio
    weights = (1 - (pixel + 0.5 - centre).abs() / ratio.clamp_min(1)).clamp_min(0)
    weights = weights * ((pixel >= 0) & (pixel < length))
    return weights / weights.sum(-1, keepdim=True)
