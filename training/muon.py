"""Muon in float32: steps of hidden matrices along the nearest matrix whose rows, or columns, are orthonormal.

torch's own, :class:`torch.optim.Muon`, iterates in bfloat16, which a CPU without instructions for it only imitates:
there its step takes longer than the forward and backward pass of a batch.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

#: Coefficients of the quintic, and how often it is applied (Jordan et al., 2024, kellerjordan.github.io/posts/muon).
QUINTIC, STEPS = (3.4445, -4.7750, 2.0315), 5


def orthogonalised(matrix: Tensor) -> Tensor:
    r"""``U S' Vᵀ`` of a matrix ``U S Vᵀ``: every ``S`` that is not all but zero becomes ``S'`` within 0.65 and 1.25.

    Newton–Schulz: ``X ← p(XXᵀ)X``, ``p(G) = a + bG + cG²``, from ``X = matrix/‖matrix‖``. All that multiplies ``X`` is
    a polynomial of the first ``G = XXᵀ``, and so commutes: it is collected in ``Q``, ``G ← p(G)² G``, and ``X`` itself
    is multiplied once. For a matrix with ``m`` rows and ``4m`` columns that takes 28 products of ``m³``, not 45.
    """
    wide = matrix.mT if matrix.shape[0] > matrix.shape[1] else matrix
    X = wide / wide.norm().clamp_min(torch.finfo(matrix.dtype).tiny)
    a, b, c = QUINTIC
    G = X @ X.mT
    Q = torch.eye(len(G), device=G.device, dtype=G.dtype)
    for step in range(STEPS):
        P = torch.addmm(G, G, G, beta=b, alpha=c)
        P.diagonal().add_(a)
        Q = P @ Q if step else P
        if step < STEPS - 1:
            G = P @ (G @ P)
    X = Q @ X
    return X.mT if matrix.shape[0] > matrix.shape[1] else X


class Muon(torch.optim.Optimizer):
    r"""Momentum, orthogonalised, for matrices alone.

    .. math:: M \leftarrow \mu M + (1-\mu)\,g,\qquad
              W \leftarrow (1 - \eta\lambda) W - 0.2\,\eta\sqrt{\max(m, n)}\;\mathrm{orth}\bigl((1-\mu)\,g + \mu M\bigr)

    (Jordan et al., 2024; the factor gives a step the root mean square of AdamW's: Liu et al., 2025, arXiv 2502.16982.)

    Args:
        params: matrices, or groups of them. lr: ``η``. weight_decay: ``λ``. momentum: ``μ``, within [0, 1).

    Raises:
        ValueError: a parameter is no matrix.
    """

    def __init__(self, params: Any, *, lr: float = 1e-3, weight_decay: float = 0.0, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})
        for parameter in self._parameters():
            if parameter.dim() != 2:
                raise ValueError(f"a parameter of shape {tuple(parameter.shape)}: Muon takes matrices alone")

    def _parameters(self) -> list[nn.Parameter]:
        return [parameter for group in self.param_groups for parameter in group["params"]]

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # no closure: nothing here needs one
        for group in self.param_groups:
            lr, kept = group["lr"], group["momentum"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum_buffer"] = torch.zeros_like(parameter.grad)
                momentum = state["momentum_buffer"].lerp_(parameter.grad, 1 - kept)
                step = orthogonalised(parameter.grad.lerp(momentum, kept))
                parameter.mul_(1 - lr * group["weight_decay"])
                parameter.add_(step, alpha=-0.2 * lr * math.sqrt(max(parameter.shape)))
