"""The token grid: its size, its layout, and the two linear maps between resolutions.

Tokens are stored ``(B, N, C)`` with ``N = H·W`` in row-major order. Seen as ``(B, C, H, W)`` the same memory is
exactly PyTorch's *channels-last* format, so none of the views below copies.
"""

import math

import torch.nn.functional as F
from torch import Tensor


def grid_size(num_tokens: int, H: int | None = None, W: int | None = None) -> tuple[int, int]:
    """Height and width of the grid that ``num_tokens`` tokens lie on.

    Args:
        num_tokens: ``N ≥ 1``.
        H: rows of the grid; without ``H`` and ``W`` the grid is square.
        W: columns of the grid.

    Returns:
        ``(H, W)`` with ``H·W == num_tokens``.

    Raises:
        ValueError: there is no token, only one of ``H``, ``W`` is given, ``H·W != num_tokens``, or neither is given and
            ``num_tokens`` is not a square.
    """
    if num_tokens < 1:
        raise ValueError("x has no tokens; at least 1 token is needed")
    if (H is None) != (W is None):
        raise ValueError(f"H={H} and W={W}: pass both or neither")
    if H is None or W is None:
        side = math.isqrt(num_tokens)
        if side * side != num_tokens:
            raise ValueError(
                f"{num_tokens} tokens do not form a square grid; pass the grid as H and W with H*W == {num_tokens}"
            )
        return side, side
    if min(H, W) < 1 or num_tokens != H * W:
        raise ValueError(f"H={H}, W={W} hold {H * W} tokens, but x has {num_tokens}; H*W must equal {num_tokens}")
    return H, W


def check_tokens(x: Tensor, dim: int, H: int | None, W: int | None) -> tuple[int, int]:
    """The grid of a token tensor, after checking that it is ``(B, N, dim)``.

    Raises:
        ValueError: ``x`` is not ``(B, N, dim)`` or does not fit ``H`` and ``W`` (see :func:`grid_size`).
    """
    if x.dim() != 3 or x.shape[-1] != dim:
        raise ValueError(f"x has shape {tuple(x.shape)}; expected (B, N, C) with C = {dim}")
    return grid_size(x.shape[1], H, W)


def as_image(x: Tensor, H: int, W: int) -> Tensor:
    """Tokens ``(B, N, C)`` as a channels-last image ``(B, C, H, W)``, without a copy."""
    image: Tensor = x.unflatten(1, (H, W)).permute(0, 3, 1, 2)
    return image


def as_tokens(x: Tensor) -> Tensor:
    """Image ``(B, C, H, W)`` as tokens ``(B, H·W, C)``; no copy if it is channels-last."""
    return x.flatten(2).transpose(1, 2)


def pooled_size(H: int, W: int, factor: int) -> tuple[int, int]:
    """Size of a grid after pooling ``factor × factor`` windows: ``(⌈H/f⌉, ⌈W/f⌉)``."""
    return -(-H // factor), -(-W // factor)


def pool(x: Tensor, H: int, W: int, factor: int) -> Tensor:
    """Average pooling on the grid. A window cut by the border divides by the tokens it holds.

    Args:
        x: tokens ``(B, H·W, C)``.
        H: rows. W: columns. factor: window side and stride, 1 or more.

    Returns:
        Tokens ``(B, ⌈H/f⌉·⌈W/f⌉, C)``.
    """
    if factor == 1:
        return x
    return as_tokens(F.avg_pool2d(as_image(x, H, W), factor, ceil_mode=True))


def lift(x: Tensor, grid: tuple[int, int], full: tuple[int, int]) -> Tensor:
    """Bilinear interpolation ``U_s`` of tokens from their grid to a finer one (half-pixel centres).

    Args:
        x: tokens ``(B, H_s·W_s, C)``. grid: ``(H_s, W_s)``. full: ``(H, W)``.

    Returns:
        Tokens ``(B, H·W, C)``.
    """
    if grid == full:
        return x
    return as_tokens(F.interpolate(as_image(x, *grid), size=full, mode="bilinear", align_corners=False))


def resize_positions(positions: Tensor, grid: tuple[int, int], full: tuple[int, int]) -> Tensor:
    """Bicubic interpolation of a position embedding ``(1, H₀·W₀, C)`` to another grid ``(1, H·W, C)``."""
    if grid == full:
        return positions
    return as_tokens(F.interpolate(as_image(positions, *grid), size=full, mode="bicubic", align_corners=False))
