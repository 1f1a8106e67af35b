"""Polarity features and the linear attention between them."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from .optim import Role

#: Added to the mean of the normaliser, as in PolaFormer.
EPS = 1e-6


class PolarityPower(torch.autograd.Function):
    """``relu(s·x)^p`` for ``p > 1``, of shapes that broadcast; can be differentiated any number of times, and vmapped.

    Forward as ``2^(p·log₂ x)``: on a CPU ten times faster than ``torch.pow`` with a tensor of powers, to a relative
    error of some 1e-6 in float32. Backward with one logarithm more and no power; autograd's rule for ``pow`` takes two.

    ``apply(x, s, p)`` returns the power and ``relu(s·x)`` itself, with the smallest normal number in place of zero. The
    backward pass needs both, and only outputs can be differentiated again.
    """

    @staticmethod
    def forward(x: Tensor, sign: Tensor, power: Tensor) -> tuple[Tensor, Tensor]:
        tiny = torch.finfo(x.dtype).tiny
        base = (x * sign).clamp_min_(tiny)  # instead of zero: its logarithm is finite
        # Zero up to the smallest normal number: the clamped values, and those that would slow down products.
        return torch.threshold_(base.log2().mul_(power).exp2_(), tiny, 0.0), base

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: tuple[Tensor, Tensor]) -> None:
        x, sign, power = inputs
        ctx.shape = x.shape
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(sign, power, *output)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, None, Tensor | None]:
        sign, power, out, base = ctx.saved_tensors
        grad, grad_base = grads
        grad_x = grad_power = None
        if grad_base is not None:  # in second derivatives only
            positive = base > torch.finfo(base.dtype).tiny
            grad_x = torch.where(positive, grad_base * sign, 0.0).sum_to_size(ctx.shape)
        again = torch.is_grad_enabled()  # to be differentiated again: where out is zero, 1/base may be infinite
        if again:
            base = torch.where(out > 0, base, 1.0)
        if grad is not None:
            weighted = grad * out  # zero where the base was, and with it both gradients
            grad_power = (weighted * base.log()).sum_to_size(power.shape)
            slope = weighted / base if again else weighted.div_(base)
            through = slope.mul_(power * sign).sum_to_size(ctx.shape)
            grad_x = through if grad_x is None else grad_x + through
        return grad_x, None, grad_power

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Tensor) -> tuple[tuple[Tensor, Tensor], int]:
        # Elementwise: the mapped axis leads, the others are aligned from the right.
        rank = max(t.dim() - (dim is not None) for t, dim in zip(inputs, in_dims, strict=True))
        mapped = [t[None] if dim is None else t.movedim(dim, 0) for t, dim in zip(inputs, in_dims, strict=True)]
        x, sign, power = (t.view(t.shape[0], *[1] * (rank + 1 - t.dim()), *t.shape[1:]) for t in mapped)
        return PolarityPower.apply(x.expand(info.batch_size, *x.shape[1:]), sign, power), 0


def polarity_features(x: Tensor, power: Tensor, alpha: float) -> Tensor:
    r"""``[relu(x)^p, relu(-x)^p]`` with ``p = 1 + alpha·sigmoid(w)``.

    Args:
        x: ``(2, F, B, h, N, d)``, a field for each polarity, or one field ``(F, B, h, N, d)`` for both.
        power: ``w``, ``(h, 1, d)`` or with leading axes of size 1. alpha: range of the power.

    Returns:
        ``(2, F, B, h, N, d)``, non-negative; float64 for float64, else float32 whatever the autocast: a power of up to
        5 leaves the range of float16.
    """
    dtype = torch.promote_types(x.dtype, torch.float32)
    with torch.autocast(x.device.type, enabled=False):
        x = x.to(dtype)
        sign = x.new_tensor([1.0, -1.0]).view(2, 1, 1, 1, 1, 1)
        features: Tensor = PolarityPower.apply(x, sign, 1 + alpha * torch.sigmoid(power.to(dtype)))[0]
        return features


class HierarchicalPolarityProcessor(nn.Module):
    r"""Turns filtered fields of one scale into non-negative polarity features.

    .. math:: \varphi^+ = \mathrm{relu}(q^+)^p,\quad \varphi^- = \mathrm{relu}(-q^-)^p,\quad p = 1 + \alpha\,\sigma(w)

    (PolaFormer, Meng et al., ICLR 2025, arXiv 2501.15061: a power above 1 lowers the entropy of the maps.)

    Args:
        num_heads: ``h``.
        head_dim: ``d``.
        alpha: range of the learnable power, ``p`` within (1, 1 + alpha); positive.
        scale_factor: ``f``, how many tokens of the full grid one token of this scale spans per axis.

    Raises:
        ValueError: ``alpha`` is not positive or ``scale_factor`` is below 1.
    """

    roles: ClassVar[dict[str, Role]] = {"power": "structure"}

    def __init__(self, num_heads: int, head_dim: int, *, alpha: float = 4.0, scale_factor: int = 1) -> None:
        super().__init__()
        if not alpha > 0:
            raise ValueError(f"alpha={alpha}: the range of the power must be positive")
        if scale_factor < 1:
            raise ValueError(f"scale_factor={scale_factor}: must be 1 or more")
        self.alpha = alpha
        self.scale_factor = scale_factor
        self.power = nn.Parameter(torch.zeros(num_heads, head_dim))

    def forward(self, filtered: Tensor) -> Tensor:
        """Features of both polarities.

        Args:
            filtered: ``(2, F, B, h, N_s, d)``, the fields filtered for the positive and for the negative polarity.

        Returns:
            ``(2, F, B, h, N_s, d)``, non-negative; float64 for float64, else float32.
        """
        return polarity_features(filtered, self.power[:, None], self.alpha)


def feature_product(phi_k: Tensor, v: Tensor) -> Tensor:
    """What every query takes from the keys: ``φ(k)ᵀ[v₁, v₂, 1]`` averaged over tokens, streams arranged.

    Args:
        phi_k: features of the keys ``(2, B, h, N, d)``. v: values ``(B, h, N, d)``.

    Returns:
        ``(2, B, h, d, d + 2)``. Contracted with ``[φ⁺(q); φ⁻(q)]`` over both polarities and ``d`` it gives the
        numerators of the same-signed stream (``⌈d/2⌉`` columns) and of the opposite-signed one (``⌊d/2⌋``), and
        the two normalisers. The opposite stream is the same product with the polarities of the keys exchanged.
    """
    N, d = v.shape[-2:]
    first = (d + 1) // 2
    v = v / N
    kv = torch.stack([phi.mT @ v for phi in phi_k.unbind(0)])  # (2, B, h, d, d); one product would copy v for each
    mean = phi_k.mean(-2).unsqueeze(-1)  # (2, B, h, d, 1)
    return torch.cat([kv[..., :first], kv.flip(0)[..., first:], mean, mean.flip(0)], dim=-1)


class PolarityLinearAttention(nn.Module):
    r"""Same- and opposite-signed linear attention, linear in the number of tokens. Has no parameters.

    With ``φ(q)_same = [φ⁺(q); φ⁻(q)]``, ``φ(q)_opp = [φ⁻(q); φ⁺(q)]``, ``φ(k) = [φ⁺(k); φ⁻(k)]`` and ``v = [v₁, v₂]``:

    .. math:: A_{ij} = \frac{\varphi(q_i)\cdot\varphi(k_j)}{\sum_{j'} \varphi(q_i)\cdot\varphi(k_{j'}) + N\epsilon}

    .. math:: O = [c_\mathrm{same}\,A_\mathrm{same} v_1,\ c_\mathrm{opp}\,A_\mathrm{opp} v_2]

    computed as ``φ(q)·(φ(k)ᵀ v)``, never as ``N×N`` (PolaFormer, arXiv 2501.15061, section 4). ``ε = 1e-6``.

    Args:
        attn_drop: probability with which a key token of a head is left out, in numerator and normaliser alike.
    """

    def __init__(self, attn_drop: float = 0.0) -> None:
        super().__init__()
        self.attn_drop = nn.Dropout(attn_drop)

    def forward(self, features: Tensor, v: Tensor, coefficients: Tensor) -> Tensor:
        """Attend.

        Args:
            features: ``(2, 2, B, h, N, d)``: polarity, (q, k), then the tokens' features.
            v: values ``(B, h, N, d)``.
            coefficients: ``c`` ``(B, h, 2)``, (same, opposite).

        Returns:
            ``(B, h, N, d)`` in the dtype of ``features``: the same-signed half, then the opposite-signed one.
        """
        phi_q, phi_k = features.unbind(1)  # (2, B, h, N, d) each
        if self.training and self.attn_drop.p > 0:
            # One draw for each key token; what dropout rescales by cancels in the normaliser.
            phi_k = phi_k * self.attn_drop(torch.ones_like(phi_k[:1, ..., :1]))
        with torch.autocast(features.device.type, enabled=False):
            product = feature_product(phi_k, v.to(features.dtype))
            left, right = phi_q.flatten(1, 2), product.flatten(1, 2)
            joined = torch.baddbmm(left[0] @ right[0], left[1], right[1])  # both polarities, without a sum of its own
            joined = joined.unflatten(0, v.shape[:2])  # (B, h, N, d + 2)
            d = v.shape[-1]
            same, opposite, normalisers = joined.split([(d + 1) // 2, d // 2, 2], dim=-1)
            scales = (coefficients.to(features.dtype).unsqueeze(-2) / (normalisers + EPS)).split(1, dim=-1)
            return torch.cat([same * scales[0], opposite * scales[1]], dim=-1)
