"""The context encoder: how much of each stream each head uses at each scale, computed from the picture."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .grid import as_image, as_tokens

#: Largest side of the pooled grid that the recurrent and the self-attention summary read.
POOLED_SIDE = 8


class GlobalSummary(nn.Module):
    """Mean over all tokens: ``(B, N, C) -> (B, C)``."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(1)


class LSTMSummary(nn.Module):
    """Bidirectional LSTM over the pooled tokens, averaged: ``(B, T, C) -> (B, width)``; ``width`` is even.

    Runs in float32 (float64 for float64) whatever the autocast or the dtype of the layer: many CPUs have no LSTM in
    bfloat16 or float16.
    """

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(dim, width // 2, batch_first=True, bidirectional=True)

    def forward(self, tokens: Tensor) -> Tensor:
        dtype = torch.promote_types(tokens.dtype, torch.float32)
        # Not the module's own call: that cannot take its weights in another dtype.
        weights = [weight.to(dtype) for weight in self.lstm.parameters()]
        state = tokens.new_zeros(2, tokens.shape[0], self.lstm.hidden_size, dtype=dtype)
        with torch.autocast(tokens.device.type, enabled=False):
            hidden, _, _ = torch.lstm(
                tokens.to(dtype),
                (state, state),
                weights,
                has_biases=True,
                num_layers=1,
                dropout=0.0,
                train=torch.is_grad_enabled(),  # whether a backward pass may follow
                bidirectional=True,
                batch_first=True,
            )
        return hidden.mean(1).to(tokens.dtype)


class SelfAttentionSummary(nn.Module):
    """Multi-head softmax self-attention over the pooled tokens, averaged: ``(B, T, C) -> (B, width)``."""

    def __init__(self, dim: int, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        q, k, v = self.qkv(tokens).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        # Maps of at most 64 tokens are small enough to form; unlike the fused attention's, their gradient can be
        # differentiated again. The mean over queries commutes with what follows, so that runs on one token, not on T.
        maps = torch.softmax(q @ k.mT / math.sqrt(q.shape[-1]), dim=-1)  # (B, heads, T, T)
        summary: Tensor = self.proj((maps.mean(2, keepdim=True) @ v).flatten(1))
        return summary


class DynamicContextEncoder(nn.Module):
    r"""Per-picture coefficients of every head, scale and stream.

    .. math:: c = 2\,\sigma\bigl(W_2\,\mathrm{GELU}(W_1 [\bar x;\ \mathrm{LSTM}(x_p);\ \mathrm{MHA}(x_p)])\bigr)

    ``x_p`` is the input pooled to at most 8×8 tokens, so the cost of the two sequence summaries does not grow with
    ``N``. ``W_2`` and its bias are zero at initialisation: ``c = 1`` exactly; always ``0 < c < 2``.

    Args:
        dim: ``C``.
        num_heads: ``h`` of the layer that uses the coefficients.
        num_scales: ``S``.
    """

    def __init__(self, dim: int, num_heads: int, num_scales: int) -> None:
        super().__init__()
        self.shape = (num_heads, num_scales, 2)
        heads = 2 if dim >= 16 else 1
        width = max(2 * heads, dim // 4 // (2 * heads) * 2 * heads)
        self.global_summary = GlobalSummary()
        self.lstm_summary = LSTMSummary(dim, width)
        self.attention_summary = SelfAttentionSummary(dim, width, heads)
        self.hidden = nn.Linear(dim + 2 * width, width)
        self.out = nn.Linear(width, num_heads * num_scales * 2)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, H: int, W: int) -> Tensor:
        """Coefficients ``c`` of a batch.

        Args:
            x: tokens ``(B, N, C)``. H: rows. W: columns of the grid.

        Returns:
            ``(B, h, S, 2)``, last axis (same, opposite), within (0, 2), in the dtype of ``x``; under autocast in
            autocast's.
        """
        side = (min(H, POOLED_SIDE), min(W, POOLED_SIDE))
        tokens = x if side == (H, W) else as_tokens(F.adaptive_avg_pool2d(as_image(x, H, W), side))
        joined = torch.cat([self.global_summary(x), self.lstm_summary(tokens), self.attention_summary(tokens)], dim=-1)
        c: Tensor = 2 * torch.sigmoid(self.out(F.gelu(self.hidden(joined)))).unflatten(-1, self.shape)
        return c
