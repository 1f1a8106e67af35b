"""DSP-Attention: two streams of linear attention at several scales, with filters, coefficients and mixing weights."""

from torch import nn

from dsp_attention import DynamicSpectralPolarityAttention
from dsp_attention.polarity import EPS

from ..hooks import Point
from ..layer import Grid, Layer, Parts, Scale
from .around import placed
from .kind import Entries, Seen
from .polaformer import streams

_SUMMARIES = ("global", "lstm", "attention")


def points(layer: DynamicSpectralPolarityAttention) -> list[Point]:
    """See :class:`dsp_viz.kinds.kind.Kind`."""
    scales = range(len(layer.factors))
    return [
        Point("context"),
        *(Point(f"context.{name}_summary") for name in _SUMMARIES),
        Point("spectral", 0),
        Point("spectral.filters"),
        *(Point(f"polarity.{s}") for s in scales),
        *(Point(f"attention.{s}", 1) for s in scales),
        Point("mixer.weights"),
        Point("convolution"),
        Point("norm", 0),
    ]


def read(name: str, layer: DynamicSpectralPolarityAttention, seen: Seen) -> Layer:
    """See :class:`dsp_viz.kinds.kind.Kind`."""
    count = len(layer.factors)
    # One mixer serves all scales, one after the other.
    fields = tuple(seen("spectral", s - count) for s in range(count))  # (B, H_s, W_s, 2, h, d)
    grid = placed(seen, *fields[0].shape[1:3])
    scales = []
    for s, factor in enumerate(layer.factors):
        features = seen(f"polarity.{s}")  # (2, 2, B, h, N_s, d)
        keys = grid.pooled(factor)
        # The layer stretches what the coarse queries found over the whole grid.
        queries = Grid(*keys.size, grid.box)
        scales.append(Scale(queries, keys, features[:, 0], features[:, 1], seen(f"attention.{s}"), pooled=factor))
    return Layer(
        name=name,
        kind="DSP-Attention",
        grid=grid,
        streams=streams(scales[0].values.shape[-1]),
        finish="ratio",
        epsilon=EPS,
        scales=tuple(scales),
        coefficients=seen("context"),
        weights=seen("mixer.weights"),
        output=seen("norm"),
        local=seen("convolution"),
        dynamic=True,
        parts=Parts(
            fields=fields,
            summaries={summary: seen(f"context.{summary}_summary") for summary in _SUMMARIES},
            filters=seen("spectral.filters"),
            ema=layer.mixer.weights.ema.clone(),
        ),
    )


def values(layer: DynamicSpectralPolarityAttention) -> list[Entries]:
    """See :class:`dsp_viz.kinds.kind.Kind`."""
    return [Entries(Point(f"attention.{s}", 1), lambda v: v, scale=s) for s in range(len(layer.factors))]


def output(layer: DynamicSpectralPolarityAttention) -> Entries:
    """See :class:`dsp_viz.kinds.kind.Kind`."""
    return Entries(Point("norm", 0), lambda y: y)


def dsp_layers(model: nn.Module) -> dict[str, DynamicSpectralPolarityAttention]:
    """The DSP-Attention layers of a model by module path; none for a model with another attention."""
    return {n: m for n, m in model.named_modules() if isinstance(m, DynamicSpectralPolarityAttention)}
