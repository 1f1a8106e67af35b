"""Two learnable spectral filters per head, one for each polarity, applied over the token grid."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from .optim import Role


def kept_frequencies(size: int, modes: int) -> int:
    """How many non-negative frequencies of an axis have a learnable gain: ``min(M, ⌈size/2⌉)``.

    Frequencies count cycles per image, from 0; the Nyquist frequency ``size/2`` of an even axis is never among them.
    """
    return min(modes, (size + 1) // 2)


class SpectralFilters(nn.Module):
    r"""The learnable part ``D`` of the filters ``F = 1 + D``.

    ``D`` is indexed by integer frequency in cycles per image, so one filter serves every resolution. A real field
    has a conjugate-symmetric spectrum; the half-plane ``kx ≥ 0`` describes it, and on its edge ``kx = 0`` the
    symmetry ``D(-ky) = conj D(ky)`` is enforced by averaging the two sides. ``D = 0`` at initialisation.

    Args:
        num_heads: ``h``.
        modes: ``M ≥ 1``; ``|ky| < M`` and ``0 ≤ kx < M`` are learnable.
    """

    roles: ClassVar[dict[str, Role]] = {"weight": "structure"}

    def __init__(self, num_heads: int, modes: int) -> None:
        super().__init__()
        self.modes = modes
        # A real tensor (…, re/im): optimisers, EMA and float16 storage treat it like any other parameter.
        self.weight = nn.Parameter(torch.zeros(2, num_heads, 2 * modes - 1, modes, 2))

    def forward(self) -> Tensor:
        """``D`` as a complex tensor ``(2, h, 2M-1, M)``: polarity (+, -), head, ``ky = -(M-1)…M-1``, ``kx = 0…M-1``."""
        D = self.weight.to(torch.promote_types(self.weight.dtype, torch.float32))
        edge = D[..., :1, :]
        edge = (edge + edge.flip(-3) * edge.new_tensor([1.0, -1.0])) / 2
        return torch.view_as_complex(torch.cat([edge, D[..., 1:, :]], dim=-2))


class SpectralPolarityMixer(nn.Module):
    r"""Filters a field over the token grid, once for each polarity.

    .. math:: q^\pm = \mathcal F^{-1}\bigl[(1 + D^\pm)\,\mathcal F q\bigr] = q + \mathcal F^{-1}[D^\pm\,\mathcal F q]

    with the 2-D discrete Fourier transform over ``(H, W)``. ``D`` is zero but for ``|ky| < M``, ``0 ≤ kx < M``
    (and their mirror images), so only those modes are transformed: the truncated DFT is two small matrix products
    per direction, exact, in ``O(N·M)``, and needs no copy into an FFT's layout. All other modes pass unchanged.
    Runs in float32 (float64 for float64 input) whatever the autocast dtype.

    Args:
        num_heads: ``h``.
        modes: ``M``, learnable frequencies per axis, in cycles per image.

    Raises:
        ValueError: ``modes`` is below 1.
    """

    def __init__(self, num_heads: int, modes: int) -> None:
        super().__init__()
        if modes < 1:
            raise ValueError(f"spectral_modes={modes}: at least 1 frequency per axis is needed")
        self.num_heads = num_heads
        self.filters = SpectralFilters(num_heads, modes)

    def forward(self, field: Tensor) -> Tensor:
        """Filter ``F`` fields (such as q and k) with both filters.

        Args:
            field: ``(B, H, W, F, h, d)``.

        Returns:
            ``(2, F, B, h, H·W, d)``, float32 or float64: the field filtered by ``F⁺``, then by ``F⁻``. Polarity
            leads so that the features of one polarity are one contiguous block.
        """
        with torch.autocast(field.device.type, enabled=False):
            return self._filter(field.to(torch.promote_types(field.dtype, torch.float32)))

    def _filter(self, field: Tensor) -> Tensor:
        # In real arithmetic, as fast as complex on a CPU and understood by every exporter: (re, im) is an axis.
        _, H, W, _, h, d = field.shape
        M = self.filters.modes
        Ky, Kx = kept_frequencies(H, M), kept_frequencies(W, M)
        ky = torch.arange(1 - Ky, Ky, device=field.device, dtype=field.dtype)
        kx = torch.arange(Kx, device=field.device, dtype=field.dtype)

        # Along x from a real field, then along y over few modes.
        cos, sin = _waves(W, kx)  # (Kx, W)
        columns = torch.cat([cos, -sin])  # (2Kx, W)
        cos, sin = _waves(H, ky)  # (2Ky-1, H)
        rows = torch.cat([torch.stack([cos, sin], -1), torch.stack([-sin, cos], -1)]).flatten(1)  # (2(2Ky-1), 2H)
        X = columns @ field.flatten(3)  # (B, H, 2Kx, F·h·d)
        Z = rows @ X.reshape(-1, 2 * H, Kx * X.shape[-1])  # (B, 2(2Ky-1), Kx·F·h·d)
        Z = Z.unflatten(1, (2, -1)).unflatten(3, (Kx, -1, h, d))  # (B, 2, 2Ky-1, Kx, F, h, d)
        Z = Z.permute(4, 0, 5, 1, 2, 3, 6).contiguous()  # (F, B, h, 2, 2Ky-1, Kx, d)

        # Modes kx > 0 stand for their mirror images too.
        share = torch.where(kx > 0, 2.0, 1.0).to(field.dtype) / (H * W)
        D = torch.view_as_real(self.filters())[..., M - Ky : M + Ky - 1, :Kx, :].to(field.device)
        # Repeated for each channel: so their gradient sums over leading axes first, at once, and over channels last.
        D = (D * share[:, None])[:, None, None, ..., None].expand(*[-1] * 7, d)
        re, im = D.unbind(-2)  # (2, 1, 1, h, 2Ky-1, Kx, d)
        Z = (Z * re.unsqueeze(4)).addcmul_(Z.flip(3), torch.stack([-im, im], 4))  # (2, F, B, h, 2, 2Ky-1, Kx, d)

        # Back by the transposed matrices; the last product leaves the real part.
        Y = rows.mT @ Z.flatten(-2).flatten(-3, -2)  # (2, F, B, h, 2H, Kx·d)
        Y = Y.unflatten(-2, (H, 2)).unflatten(-1, (Kx, d)).flatten(-3, -2)  # (2, F, B, h, H, 2Kx, d)
        y: Tensor = columns.mT @ Y  # (2, F, B, h, H, W, d)
        # In place: the product needs nothing of its own output for its gradient.
        return y.add_(field.permute(3, 0, 4, 1, 2, 5)).flatten(4, 5)


def _waves(size: int, frequencies: Tensor) -> tuple[Tensor, Tensor]:
    """``cos`` and ``sin`` of ``2π·k·n/size``, each ``(len(frequencies), size)``."""
    n = torch.arange(size, device=frequencies.device, dtype=frequencies.dtype)
    # k·n mod size keeps the angle small, hence exact in float32 at any size.
    angle = torch.outer(frequencies, n).remainder(size) * (2 * torch.pi / size)
    return angle.cos(), angle.sin()
