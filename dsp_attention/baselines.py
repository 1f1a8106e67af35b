"""The two attentions that DSP-Attention is compared with, behind the same call signature."""

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import check_dropout, check_heads
from .convolution import HeadwiseConvolution
from .grid import as_image, as_tokens, check_tokens, resize_positions
from .optim import Role
from .polarity import PolarityLinearAttention, polarity_features


class PolaFormerAttention(nn.Module):
    r"""Polarity-aware linear attention (Meng et al., ICLR 2025, arXiv 2501.15061), the layer of the official PVT.

    ``q, g = W_qg x``; ``k, v = W_kv x``; ``k += positional_encoding``; ``q, k /= softplus(scale)``;
    ``p = 1 + alpha·sigmoid(power)``; ``y = W_o((attend(relu(±q)^p, relu(±k)^p, v) + dwc(v)) ⊙ g)``.

    Attributes are named as in the official layer (``qg``, ``kv``, ``proj``, ``scale``, ``positional_encoding``,
    ``power``, ``dwc``), so its weights load as they are. On another grid than the one it was built for, the
    positional encoding is interpolated; the official layer cannot run there.

    Args:
        dim: ``C``, divisible by ``num_heads``.
        num_tokens: ``N`` that the positional encoding is built for.
        num_heads: ``h``.
        qkv_bias: bias of the projections.
        attn_drop: probability of leaving out a key token.
        proj_drop: dropout at the end.
        alpha: range of the learnable power.
        kernel_size: side of the depthwise convolution, odd.

    Raises:
        ValueError: an argument is outside its range.
    """

    roles: ClassVar[dict[str, Role]] = {
        "qg": "hidden",
        "kv": "hidden",
        "proj": "hidden",
        "power": "structure",
        "scale": "exempt",
        "positional_encoding": "exempt",
    }

    def __init__(
        self,
        dim: int,
        num_tokens: int,
        num_heads: int = 8,
        *,
        qkv_bias: bool = False,
        attn_drop: float = 0.0,
        proj_drop: float = 0.0,
        alpha: float = 4.0,
        kernel_size: int = 5,
    ) -> None:
        super().__init__()
        head_dim = check_heads(dim, num_heads)
        check_dropout(attn_drop=attn_drop, proj_drop=proj_drop)
        if num_tokens < 1:
            raise ValueError(f"num_tokens={num_tokens}: must be 1 or more")
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size={kernel_size}: must be odd and positive, such as 3, 5 or 7")
        self.dim = dim
        self.num_heads = num_heads
        self.alpha = alpha
        self.qg = nn.Linear(dim, 2 * dim, bias=qkv_bias)
        self.kv = nn.Linear(dim, 2 * dim, bias=qkv_bias)
        self.dwc = HeadwiseConvolution(head_dim, kernel_size)
        self.power = nn.Parameter(torch.zeros(1, num_heads, 1, head_dim))
        self.scale = nn.Parameter(torch.zeros(1, 1, dim))
        self.positional_encoding = nn.Parameter(torch.zeros(1, num_tokens, dim))
        self.attention = PolarityLinearAttention(attn_drop)
        self.proj = nn.Linear(dim, dim)
        self.proj_drop = nn.Dropout(proj_drop)

    def forward(self, x: Tensor, H: int | None = None, W: int | None = None) -> Tensor:
        """``(B, N, C) -> (B, N, C)``; arguments, dtypes and errors as for DSP-Attention.

        Raises:
            ValueError: as there; also if the encoding would have to be interpolated and was not built for a square.
        """
        H, W = check_tokens(x, self.dim, H, W)
        B, N, _ = x.shape
        q, g = self.qg(x).chunk(2, dim=-1)
        k, v = self.kv(x).chunk(2, dim=-1)
        k = k + self._positions(N, H, W)
        scale = F.softplus(self.scale)
        qk = torch.stack([q / scale, k / scale]).unflatten(-1, (self.num_heads, -1)).transpose(2, 3)  # (2, B, h, N, d)
        features = polarity_features(qk, self.power, self.alpha)  # (2, 2, B, h, N, d)
        heads = v.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # (B, h, N, d)
        out = self.attention(features, heads, features.new_ones(B, self.num_heads, 2))
        out = out.transpose(1, 2).flatten(2)  # (B, N, C)
        out = (
            out + as_tokens(self.dwc(as_image(v, H, W)))
        ) * g  # float32 from the attention, whatever the layer's dtype
        y: Tensor = self.proj_drop(self.proj(out.to(self.proj.weight.dtype)))
        return y

    def _positions(self, N: int, H: int, W: int) -> Tensor:
        built = self.positional_encoding.shape[1]
        side = math.isqrt(built)
        if side * side == built:  # another grid may hold as many tokens
            return resize_positions(self.positional_encoding, (side, side), (H, W))
        if built == N:
            return self.positional_encoding
        raise ValueError(
            f"the positional encoding holds {built} tokens, no square, so it cannot be interpolated to {H}x{W}; "
            f"build the layer with num_tokens={N}"
        )


class SoftmaxAttention(nn.Module):
    r"""Multi-head softmax attention, ``softmax(q kᵀ/√d) v``, by ``scaled_dot_product_attention``.

    torch's fused kernels have no second derivatives. Where those are needed, call the layer within
    ``torch.nn.attention.sdpa_kernel(SDPBackend.MATH)``, which forms the ``N×N`` maps.

    Args:
        dim: ``C``, divisible by ``num_heads``. num_heads: ``h``. qkv_bias: bias of the projection.
        attn_drop: dropout of the attention map. proj_drop: dropout at the end.

    Raises:
        ValueError: an argument is outside its range.
    """

    roles: ClassVar[dict[str, Role]] = {"qkv": "hidden", "proj": "hidden"}

    def __init__(
        self,
        dim: int,
        num_heads: int = 8,
        *,
        qkv_bias: bool = False,
        attn_drop: float = 0.0,
        proj_drop: float = 0.0,
    ) -> None:
        super().__init__()
        check_heads(dim, num_heads)
        check_dropout(attn_drop=attn_drop, proj_drop=proj_drop)
        self.dim = dim
        self.num_heads = num_heads
        self.attn_drop = attn_drop
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.proj = nn.Linear(dim, dim)
        self.proj_drop = nn.Dropout(proj_drop)

    def forward(self, x: Tensor, H: int | None = None, W: int | None = None) -> Tensor:
        """``(B, N, C) -> (B, N, C)``; arguments, dtypes and errors as for DSP-Attention. The grid plays no part."""
        check_tokens(x, self.dim, H, W)
        q, k, v = self.heads(self.qkv(x))
        out = F.scaled_dot_product_attention(q, k, v, dropout_p=self.attn_drop if self.training else 0.0)
        y: Tensor = self.proj_drop(self.proj(out.transpose(1, 2).flatten(2)))
        return y

    def heads(self, projected: Tensor) -> tuple[Tensor, ...]:
        """``q, k, v``, each ``(B, h, N, d)``, of what ``qkv`` puts out, ``(B, N, 3C)``."""
        heads: tuple[Tensor, ...] = projected.unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        return heads
