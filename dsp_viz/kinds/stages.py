"""Where the tokens of ``dsp_attention.pyramid.HierarchicalClassifier`` lie, stage by stage.

Each stage pads what it gets with zeros at the right and the bottom, so the cells of its grid may reach beyond the
picture.
"""

from dsp_attention.pyramid import HierarchicalClassifier

from ..hooks import Point
from ..layer import Grid
from .around import Tokens
from .kind import Seen


def points(module: HierarchicalClassifier) -> list[Point]:
    """See :class:`dsp_viz.kinds.around.Around`. The first stage gets the picture."""
    return [Point("stages.0", 0)]


def read(module: HierarchicalClassifier, seen: Seen) -> Tokens:
    """See :class:`dsp_viz.kinds.around.Around`."""
    pixels = Grid(*seen("stages.0").shape[-2:])
    finest, *later = (pixels.pooled(int(stage["reduction"])) for stage in module.feature_info)
    return Tokens(finest, later=tuple(later))
