"""PolaFormer's attention: two streams of linear attention, a convolution of the values, a gate."""

from dsp_attention import PolaFormerAttention
from dsp_attention.grid import as_tokens, grid_size
from dsp_attention.polarity import EPS

from ..hooks import ALL, Point
from ..layer import Layer, Scale, Stream
from .around import placed
from .kind import Entries, Seen


def streams(d: int) -> tuple[Stream, ...]:
    """Same-signed attention on the first half of a head's ``d`` values, opposite-signed on the second."""
    first = (d + 1) // 2
    return (
        Stream("same", role="same", columns=(0, first)),
        Stream("opposite", role="opposite", turn=1, columns=(first, d)),
    )


def points(layer: PolaFormerAttention) -> list[Point]:
    """See :class:`dsp_viz.kinds.kind.Kind`."""
    return [Point("", ALL), Point("qg"), Point("dwc"), Point("attention", ALL), Point("proj", 0)]


def read(name: str, layer: PolaFormerAttention, seen: Seen) -> Layer:
    """See :class:`dsp_viz.kinds.kind.Kind`."""
    x, *size = seen("")
    N = x.shape[1]
    grid = placed(seen, *grid_size(N, *size))
    features, v, ones = seen("attention")  # (2, 2, B, h, N, d), (B, h, N, d), (B, h, 2)
    return Layer(
        name=name,
        kind="PolaFormer attention",
        grid=grid,
        streams=streams(v.shape[-1]),
        finish="ratio",
        epsilon=EPS,
        scales=(Scale(grid, grid, features[:, 0], features[:, 1], v),),
        coefficients=ones[:, :, None],
        weights=ones.new_ones(*ones.shape[:2], 1),
        output=seen("proj"),
        local=as_tokens(seen("dwc")),
        gate=seen("qg").chunk(2, dim=-1)[1],
    )


def values(layer: PolaFormerAttention) -> list[Entries]:
    """See :class:`dsp_viz.kinds.kind.Kind`."""
    return [Entries(Point("attention", 1), lambda v: v)]


def output(layer: PolaFormerAttention) -> Entries:
    """See :class:`dsp_viz.kinds.kind.Kind`."""
    return Entries(Point("proj", 0), lambda y: y)
