"""The DSP-Attention layer, put together from its parts."""

from typing import ClassVar

from torch import Tensor, nn

from .context import DynamicContextEncoder
from .convolution import MultiModalConvolution
from .grid import check_tokens, pool, pooled_size
from .mixing import GradientInformedMixer
from .optim import Role
from .polarity import HierarchicalPolarityProcessor, PolarityLinearAttention
from .spectral import SpectralPolarityMixer

#: Initial gain of the LayerNorm: the branch then starts as large as PolaFormer's (a standard deviation of 0.18 for a
#: normalised input). At 1 it would start three times as large, which trains more slowly (docs/design.md).
BRANCH_GAIN = 0.3


class DynamicSpectralPolarityAttention(nn.Module):
    r"""Dynamic Spectral-Polarity Linear Attention (DSP-Attention).

    .. math:: y = W_o\,\mathrm{LN}\Bigl(K * v^0 +
              \sum_s w_s\,U_s\,[c_{s,1} A^s_\mathrm{same} v^s_1,\ c_{s,2} A^s_\mathrm{opp} v^s_2]\Bigr)

    per head: each scale ``s`` pools the tokens ``2^s × 2^s``, projects its own q, k, v, filters q and k over the
    grid for both polarities, and attends same- and opposite-signed; a context encoder sets the coefficients ``c``
    from the picture, a gradient-informed mixer the weights ``w``. With one scale and initial values, what enters
    the LayerNorm is PolaFormer's attention (Meng et al., ICLR 2025, arXiv 2501.15061) with its gate at 1.
    The residual is the block's.

    Every quantity worth looking at is the input or output of a named submodule, so a forward hook reads it and a
    returned value replaces it: ``context`` (c), ``spectral`` (q±, k±), ``polarity.{s}`` (φ), ``attention.{s}``,
    ``mixer.weights`` (w), ``mixer``, ``convolution``, ``norm``.

    Args:
        dim: ``C``, divisible by ``num_heads``.
        num_heads: ``h``.
        qkv_bias: whether the QKV projections have a bias.
        attn_drop: probability of leaving out a key token, within [0, 1).
        proj_drop: dropout after the output projection, within [0, 1).
        alpha: range of the learnable power, ``p = 1 + alpha·sigmoid(w)``; positive.
        kernel_size: side of the smallest convolution kernel; odd.
        spectral_modes: ``M``, learnable frequencies per axis (cycles per image); 1 or more.
        num_scales: ``S``, scale factors 1, 2, 4, …; 1 or more.
        adaptive_beta: rate of the gradient tracking, within [0, 1].

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
        alpha: float = 4.0,
        kernel_size: int = 5,
        spectral_modes: int = 16,
        num_scales: int = 3,
        adaptive_beta: float = 0.1,
    ) -> None:
        super().__init__()
        head_dim = check_heads(dim, num_heads)
        check_dropout(attn_drop=attn_drop, proj_drop=proj_drop)
        if num_scales < 1:
            raise ValueError(f"num_scales={num_scales}: must be 1 or more")
        self.dim = dim
        self.num_heads = num_heads
        self.factors = [2**s for s in range(num_scales)]
        self.context = DynamicContextEncoder(dim, num_heads, num_scales)
        self.qkv = nn.ModuleList([nn.Linear(dim, 3 * dim, bias=qkv_bias) for _ in self.factors])
        self.spectral = SpectralPolarityMixer(num_heads, spectral_modes)
        self.polarity = nn.ModuleList(
            [HierarchicalPolarityProcessor(num_heads, head_dim, alpha=alpha, scale_factor=f) for f in self.factors]
        )
        self.attention = nn.ModuleList([PolarityLinearAttention(attn_drop) for _ in self.factors])
        self.mixer = GradientInformedMixer(num_heads, num_scales, adaptive_beta)
        self.convolution = MultiModalConvolution(dim, kernel_size=kernel_size, num_kernels=num_scales)
        self.norm = nn.LayerNorm(dim)
        nn.init.constant_(self.norm.weight, BRANCH_GAIN)
        self.proj = nn.Linear(dim, dim)
        self.proj_drop = nn.Dropout(proj_drop)

    def forward(self, x: Tensor, H: int | None = None, W: int | None = None) -> Tensor:
        """Attend over a grid of tokens.

        Args:
            x: ``(B, N, C)``. H: rows. W: columns; without both the grid is square.

        Returns:
            ``(B, N, C)`` in the dtype of ``x``, which is that of the layer: float32, float64, bfloat16 or float16.
            Under autocast in autocast's dtype, as from any ``nn.Linear``. LSTM, filters, attention and mixing run in
            float32 (float64 for float64) in either case.

        Raises:
            ValueError: ``x`` is not ``(B, N, C)``, ``H·W != N``, or ``N`` is not a square and no grid is given.
        """
        H, W = check_tokens(x, self.dim, H, W)
        c = self.context(x, H, W)  # (B, h, S, 2)
        outputs, grids = [], []
        for s, factor in enumerate(self.factors):
            grid = pooled_size(H, W, factor)
            qkv = self.qkv[s](pool(x, H, W, factor))  # (B, N_s, 3C)
            qk, v = qkv.split([2 * self.dim, self.dim], dim=-1)
            field = qk.unflatten(-1, (2, self.num_heads, -1)).unflatten(1, grid)  # (B, H_s, W_s, 2, h, d)
            heads = v.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # (B, h, N_s, d)
            features = self.polarity[s](self.spectral(field))
            outputs.append(self.attention[s](features, heads, c[:, :, s]))
            grids.append(grid)
            if s == 0:
                local = self.convolution(v, H, W)
        mixed = self.mixer(outputs, grids).flatten(2) + local  # (B, N, C)
        # The attention runs in float32 whatever the layer's dtype.
        y: Tensor = self.proj_drop(self.proj(self.norm(mixed.to(self.norm.weight.dtype))))
        return y


def check_heads(dim: int, num_heads: int) -> int:
    """``d = C/h``.

    Raises:
        ValueError: ``dim`` or ``num_heads`` is below 1, or ``num_heads`` does not divide ``dim``.
    """
    if dim < 1 or num_heads < 1 or dim % num_heads:
        raise ValueError(f"dim={dim}, num_heads={num_heads}: num_heads must divide dim, both 1 or more")
    return dim // num_heads


def check_dropout(**rates: float) -> None:
    """Refuse a dropout rate outside [0, 1).

    Raises:
        ValueError: names the rate and what is allowed.
    """
    for name, rate in rates.items():
        if not 0.0 <= rate < 1.0:
            raise ValueError(f"{name}={rate}: must be within 0 and 1, below 1")
