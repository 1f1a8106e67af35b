"""See what attention layers do with a picture: exact attention maps; filters, coefficients, weights of DSP-Attention.

>>> import dsp_viz
>>> model = dsp_viz.load("dsp_tiny")
>>> result = dsp_viz.analyse(model, "photo.jpg")
>>> result.top(1)
"""

__version__ = "0.1.0"

import warnings as _warnings

try:
    from . import images, layer, maps, trace
    from .analysis import Analysis, analyse
    from .exploring import explore
    from .files import CheckpointError
    from .images import ImageError
    from .kinds import register
    from .sources import load
    from .sources.checkpoint import available
    from .sources.own import wrap
    from .subject import Subject
except ModuleNotFoundError as error:
    if not error.name or error.name.startswith("dsp_"):
        raise
    # `pip install .` brings what the layer needs, which is only torch.
    raise ModuleNotFoundError(
        f"dsp_viz needs {error.name}, which is not installed: pip install 'dsp-attention[viz]'", name=error.name
    ) from error

__all__ = [
    "Analysis",
    "CheckpointError",
    "ImageError",
    "Subject",
    "analyse",
    "available",
    "explore",
    "images",
    "layer",
    "load",
    "maps",
    "register",
    "trace",
    "wrap",
]


def __getattr__(name: str) -> type[Subject]:
    """What had another name until 0.1."""
    if name == "LoadedModel":
        _warnings.warn("dsp_viz.LoadedModel is called dsp_viz.Subject now", DeprecationWarning, stacklevel=2)
        return Subject
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
