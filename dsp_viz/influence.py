"""Which of the context encoder's three summaries moves the coefficients: each is left out in turn."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dsp_attention import DynamicSpectralPolarityAttention

from .device import device_of
from .layer import Layer

#: The context encoder's summaries, in the order in which it joins them.
SUMMARIES = ("global", "lstm", "attention")


@torch.inference_mode()
def summary_influence(layer: DynamicSpectralPolarityAttention, block: Layer) -> Tensor:
    """How much the coefficients change when a summary is replaced by zeros, the other two as they were.

    Args:
        layer: that the block was traced in. block: of a trace.

    Returns:
        ``c - c_without``, ``(3, B, h, S, 2)``, in the order of :data:`SUMMARIES`; on the CPU, as the block is.
    """
    assert block.parts is not None
    context, device = layer.context, device_of(layer)
    differences = []
    for left_out in SUMMARIES:
        parts = [(block.parts.summaries[n] * (n != left_out)).to(device) for n in SUMMARIES]
        without = 2 * torch.sigmoid(context.out(F.gelu(context.hidden(torch.cat(parts, dim=-1)))))
        differences.append(block.coefficients - without.cpu().view_as(block.coefficients))
    return torch.stack(differences)
