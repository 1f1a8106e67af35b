"""The mixing weights: how much each scale counts, informed by the gradient of the loss."""

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from .grid import lift
from .optim import Role

#: Share that is spread evenly over the scales, so that no weight falls to zero.
FLOOR = 0.05


class MixingWeights(nn.Module):
    r"""The share of each scale in each head.

    .. math:: w = (1 - \rho)\,\mathrm{softmax}_s\bigl(\theta + \log(S \cdot \mathrm{ema})\bigr) + \rho / S

    with ``ρ = 0.05``, so ``w ≥ 0.05/S`` and ``Σ_s w = 1``; with one scale ``w`` is exactly 1. ``ema`` tracks, only in
    training, the gradient of the loss with respect to ``w`` itself: root mean square over the batch, normalised over
    scales (so the loss scale cancels), ``ema ← (1-β)·ema + β·t``. Heads whose gradient is zero or not finite are
    skipped. ``torch.func`` does not let a buffer change, so there the layer must be in evaluation, as a batch norm
    must. At first ``θ_s = -s·log 4``: the shares are those of the tokens.

    Args:
        num_heads: ``h``.
        num_scales: ``S``.
        adaptive_beta: ``β`` within [0, 1].

    Raises:
        ValueError: ``adaptive_beta`` is outside [0, 1].
    """

    roles: ClassVar[dict[str, Role]] = {"theta": "structure"}
    ema: Tensor

    def __init__(self, num_heads: int, num_scales: int, adaptive_beta: float = 0.1) -> None:
        super().__init__()
        if not 0.0 <= adaptive_beta <= 1.0:
            raise ValueError(f"adaptive_beta={adaptive_beta}: must lie within 0 and 1")
        self.adaptive_beta = adaptive_beta
        # At first w ∝ 4^-s, the numbers of tokens: equal shares would hide the finest maps behind blurred ones.
        self.theta = nn.Parameter(-math.log(4) * torch.arange(num_scales).float().repeat(num_heads, 1))
        self.register_buffer("ema", torch.full((num_heads, num_scales), 1.0 / num_scales))

    def forward(self, batch: int) -> Tensor:
        """Weights ``(B, h, S)``; a row for each sample, so that its gradient can be told apart.

        They are float64 for a layer in float64, else float32: gradients are squared, which leaves the range of float16.
        """
        S = self.theta.shape[1]
        dtype = torch.promote_types(self.theta.dtype, torch.float32)
        informed = self.theta.to(dtype) + torch.log((S * self.ema.to(dtype)).clamp_min(1e-6))
        w = (1 - FLOOR) * torch.softmax(informed, dim=-1) + FLOOR / S
        w = w.expand(batch, -1, -1)
        if self.training and w.requires_grad:
            w.register_hook(self._track)
        return w

    @torch.no_grad()
    def _track(self, grad: Tensor) -> None:
        # Gradients per sample carry 1/B of a mean loss; any common factor cancels in the normalisation.
        rms = grad.square().mean(0).sqrt()  # (h, S)
        total = rms.sum(-1, keepdim=True)
        usable = torch.isfinite(total) & (total > 0)
        ema = self.ema.to(grad.dtype)
        target = torch.where(usable, rms / total, ema)
        self.ema.copy_(ema.lerp(target, self.adaptive_beta))


class GradientInformedMixer(nn.Module):
    """``Σ_s w_{h,s} · U_s O_s``: lifts the output of every scale to the full grid and adds them up.

    Args:
        num_heads: ``h``. num_scales: ``S``. adaptive_beta: see :class:`MixingWeights`.
    """

    def __init__(self, num_heads: int, num_scales: int, adaptive_beta: float = 0.1) -> None:
        super().__init__()
        self.weights = MixingWeights(num_heads, num_scales, adaptive_beta)

    def forward(self, outputs: list[Tensor], grids: list[tuple[int, int]]) -> Tensor:
        """Mix.

        Args:
            outputs: for each scale ``(B, h, N_s, d)``.
            grids: for each scale ``(H_s, W_s)``; the first is the full grid.

        Returns:
            ``(B, N, h, d)`` in the dtype of ``outputs``.
        """
        B = outputs[0].shape[0]
        w: Tensor = self.weights(B).to(outputs[0].dtype)[..., None, None]  # (B, h, S, 1, 1)
        full = outputs[0].transpose(1, 2)  # (B, N, h, d)
        if len(outputs) == 1:
            return full * w[:, :, 0].transpose(1, 2)
        # Weighting before lifting: both are linear, and the coarse grids are the smaller.
        lifted = [
            lift((o * w[:, :, s]).transpose(1, 2).flatten(2), grids[s], grids[0])
            for s, o in enumerate(outputs)
            if s > 0
        ]
        return torch.addcmul(sum(lifted[1:], lifted[0]).view_as(full), full, w[:, :, 0].transpose(1, 2))
