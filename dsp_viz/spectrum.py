"""What the filters of DSP-Attention do, as numbers: spectra, profiles over frequency, kernels in space."""

import torch
from torch import Tensor

from .layer import Layer


def full_spectrum(filters: Tensor) -> Tensor:
    """The filters ``F = 1 + D`` over both signs of ``kx``, zero frequency in the middle.

    Args:
        filters: ``D`` ``(…, 2M-1, M)`` complex.

    Returns:
        ``(…, 2M-1, 2M-1)`` complex; the last axes are ``ky`` and ``kx``, ``-(M-1)…M-1`` cycles per image.
    """
    mirrored = filters[..., 1:].flip(-1).flip(-2).conj()  # D(-k) = conj D(k): the field is real
    return 1 + torch.cat([mirrored, filters], dim=-1)


def radial_profile(gain: Tensor) -> Tensor:
    """Mean over directions, ``(…, 2M-1, 2M-1)`` → ``(…, M)``: entry ``r`` is that of ``|k|`` rounded to ``r``."""
    M = (gain.shape[-1] + 1) // 2
    k = torch.arange(1 - M, M, device=gain.device)
    radius = torch.hypot(k[:, None].double(), k[None].double()).round().long()
    return torch.stack([gain[..., radius == r].mean(-1) for r in range(M)], dim=-1)


def radial_power(block: Layer, *, sample: int = 0) -> Tensor:
    r"""Power of q and k against frequency, before the filters and after each.

    .. math:: P(r) = \sum_{\lvert k\rvert \approx r} \frac{1}{d}\sum_d \lvert \mathcal F q\rvert^2 / N^2

    with ``|k|`` in cycles per image rounded to ``r``; by Parseval's theorem the sum over ``r`` is the mean square. What
    a filter makes of a frequency is ``|1 + D|²`` times its power.

    Args:
        block: of a trace, of DSP-Attention. sample: index in the batch.

    Returns:
        ``(3, 2, h, R)`` float64: before, after ``F⁺``, after ``F⁻``; q, k; head; ``r``.
    """
    assert block.parts is not None
    field = block.parts.fields[0][sample]  # (H, W, 2, h, d)
    field = field.to(torch.promote_types(field.dtype, torch.float32))
    H, W = field.shape[:2]
    power = torch.fft.fft2(field, dim=(0, 1)).abs().square().mean(-1) / (H * W) ** 2  # (H, W, 2, h)
    power = power.permute(2, 3, 0, 1).double()
    gain = (1 + _on_grid(block.parts.filters, H, W)).abs().double()  # (2, h, H, W)
    powers = torch.stack([power, power * gain[0].square(), power * gain[1].square()])
    y, x = (torch.fft.fftfreq(n, 1 / n, dtype=torch.double, device=field.device) for n in (H, W))
    radius = torch.hypot(y[:, None], x[None]).round().long().flatten()
    result = powers.new_zeros(*powers.shape[:3], int(radius.max()) + 1)
    return result.index_add_(-1, radius, powers.flatten(-2))


def spatial_kernel(filters: Tensor, H: int, W: int) -> Tensor:
    """What the filters add to a field around each token: the inverse transform of ``D`` on a grid.

    Args:
        filters: ``D`` ``(2, h, 2M-1, M)`` complex. H, W: of the grid.

    Returns:
        ``(2, h, H, W)``; the token itself lies at ``(H // 2, W // 2)``. The filtered field is the field plus its
        circular convolution with this.
    """
    return torch.fft.ifft2(_on_grid(filters, H, W)).real.roll((H // 2, W // 2), (-2, -1))


def _on_grid(filters: Tensor, H: int, W: int) -> Tensor:
    """``D`` at every bin of an ``H×W`` grid's discrete Fourier transform, ``(2, h, H, W)``; zero beyond the modes."""
    M = filters.shape[-1]
    ky, kx = (torch.arange(-min(M - 1, (n - 1) // 2), min(M - 1, (n - 1) // 2) + 1) for n in (H, W))
    D = full_spectrum(filters) - 1
    result = D.new_zeros(*D.shape[:2], H, W)
    result[:, :, (ky % H)[:, None], kx % W] = D[:, :, (ky + M - 1)[:, None], kx + M - 1]
    return result
