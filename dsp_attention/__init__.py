"""DSP-Attention: Dynamic Spectral-Polarity Linear Attention, an extension of PolaFormer (ICLR 2025, arXiv 2501.15061).

Axes, used in every file of this package:

====  =====================================================================
B     batch
N     tokens of the grid, ``N = H·W``, row-major
C     channels
h     heads
d     channels of a head, ``d = C/h``
S     scales; scale ``s`` pools ``2^s × 2^s`` tokens, ``N_s = H_s·W_s``
M     spectral modes: learnable frequencies per axis, in cycles per image
====  =====================================================================

Polarity is an axis of size 2 in the order (+, -); streams are in the order (same-signed, opposite-signed).
"""

from .attention import DynamicSpectralPolarityAttention
from .backbones import create_dsp_model
from .baselines import PolaFormerAttention, SoftmaxAttention
from .context import DynamicContextEncoder
from .convolution import MultiModalConvolution
from .mixing import GradientInformedMixer
from .model import DSPImageClassifier, DSPModel, DSPTransformerBlock
from .polarity import HierarchicalPolarityProcessor, PolarityLinearAttention
from .pyramid import HierarchicalClassifier
from .spectral import SpectralPolarityMixer
from .window import WindowAttention

__all__ = [
    "DSPImageClassifier",
    "DSPModel",
    "DSPTransformerBlock",
    "DynamicContextEncoder",
    "DynamicSpectralPolarityAttention",
    "GradientInformedMixer",
    "HierarchicalClassifier",
    "HierarchicalPolarityProcessor",
    "MultiModalConvolution",
    "PolaFormerAttention",
    "PolarityLinearAttention",
    "SoftmaxAttention",
    "SpectralPolarityMixer",
    "WindowAttention",
    "create_dsp_model",
]
