"""Small DSP-Attention layers for tests."""

import torch
from torch import nn

from dsp_attention import DynamicSpectralPolarityAttention


def shaken(layer: nn.Module, amount: float = 0.3) -> nn.Module:
    """Every parameter and buffer away from its initial value, so that none can be forgotten unseen."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter += amount * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
        for module in layer.modules():
            if hasattr(module, "ema"):
                module.ema.uniform_(0.2, 0.6, generator=generator)
                module.ema /= module.ema.sum(-1, keepdim=True)
    return layer


def build(dim: int = 12, heads: int = 3, **options: object) -> DynamicSpectralPolarityAttention:
    torch.manual_seed(0)
    return DynamicSpectralPolarityAttention(dim, heads, **{"spectral_modes": 3, "num_scales": 2} | options)
