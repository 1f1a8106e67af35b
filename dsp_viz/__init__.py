"""See what DSP-Attention does with a picture: exact maps of linear attention, filters, coefficients, weights.

>>> import dsp_viz
>>> model = dsp_viz.load("dsp_tiny")
>>> result = dsp_viz.analyse(model, "photo.jpg")
>>> result.top(1)
"""

__version__ = "0.1.0"

from . import images, layer, maps, trace
from .analysis import Analysis, analyse
from .checkpoint import CheckpointError, LoadedModel, available, load
from .images import ImageError

__all__ = [
    "Analysis",
    "CheckpointError",
    "ImageError",
    "LoadedModel",
    "analyse",
    "available",
    "images",
    "layer",
    "load",
    "maps",
    "trace",
]
