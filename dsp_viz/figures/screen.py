"""Arrays → plotly figures. Opens no window, and imports neither torch nor gradio.

One colour language throughout: teal for the same-signed stream (and gains above 1), orange for the opposite-signed
one (and gains below 1), nothing for zero. The ramps are single-hued, monotone in lightness and told apart by people
with the common colour-vision deficiencies. Backgrounds are transparent, so that the light or dark page shows through.
"""

import re
from collections.abc import Callable, Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

Array = NDArray[np.floating]

#: Ends of the diverging scale, as (R, G, B).
SAME = (15, 138, 128)
OPPOSITE = (217, 108, 20)
ONLY = (92, 86, 178)
INK = "#7b8794"

#: Line around what is looked at, seen on light and on dark.
FRAME = {"color": "#c2255c", "width": 2}

#: Scales, finest first: blues, which mean nothing else here. A grid of 64 tokens a side has no more scales than these.
SCALES = ("#3a6ea5", "#7fa8d1", "#c3d7ea", "#8893a0", "#1d3a5c", "#5d7f8f", "#b4c3c7")

#: Heads: of 3:1 contrast on the light and on the dark page, and told apart (CIE ΔE of 20 and more) with all cones and
#: without those for red, green or blue.
HEADS = ("#5588ff", "#dd7777", "#447722", "#bb00bb", "#00aa00", "#9900ff", "#aa88bb", "#cc0077")

#: Share of the values that a colour scale covers: a few outstanding ones would otherwise bleach all others.
COVERED = 0.995

# Opacity carries the magnitude, so larger stands out more on light and on dark alike; zero is almost the page itself.
DIVERGING = [
    [0.0, "rgba({},{},{},1)".format(*OPPOSITE)],
    [0.5, "rgba(128,140,150,.07)"],
    [1.0, "rgba({},{},{},1)".format(*SAME)],
]


def layout(height: int, **extra: object) -> go.Layout:
    """Transparent, quiet, ``height`` pixels tall."""
    return go.Layout(
        template=None,
        height=height,
        margin={"l": 58, "r": 12, "t": 56, "b": 64},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "IBM Plex Sans, sans-serif", "size": 12, "color": INK},
        hoverlabel={"font": {"family": "IBM Plex Mono, monospace"}},
        **extra,
    )


def robust_limit(values: Array, least: float) -> float:
    """End of a colour scale around 0 that covers :data:`COVERED` of the values or more; no smaller than ``least``."""
    return max(least, float(np.quantile(np.abs(values), COVERED, method="higher")))


def diverging_bar(
    title: str, values: Array, limit: float, write: Callable[[float], str], *, ticks: int = 3
) -> dict[str, object]:
    """The bar of a scale from ``-limit`` to ``limit``, whose ends say where values that are shown lie beyond.

    Args:
        title: of the bar. values: that are shown. write: what a number is called. ticks: how many are written.
    """
    at = np.linspace(-limit, limit, ticks).tolist()
    labels = [write(tick) for tick in at]
    beyond = limit * (1 + 1e-6)  # by more than rounding
    if values.min() < -beyond:
        labels[0] = f"≤ {labels[0]}"
    if values.max() > beyond:
        labels[-1] = f"≥ {labels[-1]}"
    return colour_bar(title, at, labels)


def colour_bar(title: str, ticks: list[float], labels: list[str]) -> dict[str, object]:
    """A horizontal bar below the figure."""
    return {
        "title": {"text": title + "<br>", "side": "top", "font": {"size": 12}},
        "orientation": "h",
        "tickvals": ticks,
        "ticktext": labels,
        "tickangle": 0,
        "outlinewidth": 0,
        "thickness": 10,
        "len": 0.9,
        "y": 0,
        "yref": "container",
        "yanchor": "bottom",
    }


def stitch(panels: list[list[Array]], gap: int) -> tuple[Array, list[float], list[float]]:
    """Panels of equal size in one array with NaN between them, and the centres of its columns and rows."""
    height, width = panels[0][0].shape
    rows, columns = len(panels), len(panels[0])
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap), np.nan)
    for r, row in enumerate(panels):
        for c, panel in enumerate(row):
            top, left = r * (height + gap), c * (width + gap)
            sheet[top : top + height, left : left + width] = panel
    centres_x = [c * (width + gap) + (width - 1) / 2 for c in range(columns)]
    centres_y = [r * (height + gap) + (height - 1) / 2 for r in range(rows)]
    return sheet, centres_x, centres_y


def density(maps: Array) -> Array:
    """Maps ``(…, H_s, W_s)`` in units of the uniform map: 1 is what every key would get if all were alike."""
    return maps * maps.shape[-2] * maps.shape[-1]


def shared_limit(maps: list[Array]) -> float:
    """Upper end of the colour scale that all maps of a panel share, in units of the uniform map; at least 1.

    It covers :data:`COVERED` of the area of all maps, whatever their sign: a map counts alike whatever its grid. What
    lies above keeps the end's colour; the colour bar says so.
    """
    values = np.concatenate([np.abs(density(m)).ravel() for m in maps])
    area = np.concatenate([np.full(m.size, 1 / (m.shape[-2] * m.shape[-1])) for m in maps])
    return max(1.0, float(np.quantile(values, COVERED, weights=area, method="inverted_cdf")))


def summary_influence(values: Array, names: tuple[str, ...], blocks: Sequence[str]) -> go.Figure:
    """How much each summary moves the coefficients of each block: mean of ``|c - c_without|``.

    Args:
        values: ``(blocks, summaries)``. names: of the summaries. blocks: names of the blocks.
    """
    figure = go.Figure(layout=layout(280, barmode="group", bargap=0.3))
    for i, name in enumerate(names):
        figure.add_bar(
            x=[_two_lines(block) for block in blocks],
            y=values[:, i],
            name=name,
            marker={"color": SCALES[i % len(SCALES)], "line": {"width": 0}},
            hovertemplate=f"without {name}: %{{y:.3f}}<extra></extra>",
        )
    figure.update_yaxes(title={"text": "mean change of c"}, gridcolor="rgba(128,128,128,.25)", rangemode="tozero")
    return figure


def coefficients(
    values: Sequence[Array],
    blocks: Sequence[str],
    *,
    chosen: tuple[int, int] | None = None,
    among: Sequence[Array] | None = None,
) -> go.Figure:
    """Dynamic coefficients: a row a stream and head, a column a block and scale.

    Args:
        values: of each block, ``(h, S, 2)``, (same, opposite), within (0, 2); 1 is the value at initialisation.
        blocks: their names. chosen: block and head that are looked at, framed.
        among: coefficients that share the colour scale, if more than those shown.
    """
    heads = max(len(block) for block in values)
    starts = np.cumsum([0, *(block.shape[1] + 1 for block in values)])  # a column is left between blocks
    sheet = np.full((2 * heads + 1, starts[-1] - 1), np.nan)
    for block, left in zip(values, starts[:-1], strict=True):
        for stream in (0, 1):
            top = stream * (heads + 1)
            sheet[top : top + len(block), left : left + block.shape[1]] = block[..., stream]
    spread = max(0.05, *(float(np.abs(block - 1).max()) for block in (values if among is None else among)))
    ticks = [1 - spread, 1 - spread / 2, 1.0, 1 + spread / 2, 1 + spread]
    several = max(block.shape[1] for block in values) > 1  # else the only scale goes without saying
    scales = [
        (left + s, str(2**s) if several else "")
        for block, left in zip(values, starts[:-1], strict=True)
        for s in range(block.shape[1])
    ]
    rows = [*range(heads), *range(heads + 1, 2 * heads + 1)]
    names = [f"{stream} · head {i + 1}" for stream in ("same", "opposite") for i in range(heads)]
    figure = go.Figure(
        go.Heatmap(
            z=sheet,
            zmin=1 - spread,
            zmax=1 + spread,
            colorscale=DIVERGING,
            colorbar=colour_bar("coefficient c (1 = as initialised)", ticks, [f"{t:.3g}" for t in ticks]),
            hovertemplate=f"{'scale %{x}, ' * several}%{{y}}<br>c = %{{z:.3f}}<extra></extra>",
            hoverongaps=False,
            xgap=1,
            ygap=1,
        ),
        layout(180 + 60 * heads),
    )
    if chosen:
        edges = starts[chosen[0]] - 0.5, starts[chosen[0] + 1] - 1.5
        for upper in (chosen[1] - 0.5, heads + chosen[1] + 0.5):
            figure.add_shape(type="rect", x0=edges[0], x1=edges[1], y0=upper, y1=upper + 1, line=FRAME)
    for name, left, right in zip(blocks, starts[:-1], starts[1:], strict=True):
        at = {"x": (left + right) / 2 - 1, "y": 1, "yref": "paper", "yanchor": "bottom", "yshift": 20}
        figure.add_annotation(text=f"<b>{_two_lines(name)}</b>", showarrow=False, **at)
    scale_title = {"x": 0, "xref": "paper", "xanchor": "right", "y": 1, "yref": "paper", "yanchor": "bottom"}
    if several:
        figure.add_annotation(text="scale ×", showarrow=False, xshift=-6, **scale_title)
    plain = {"ticks": "", "showgrid": False, "zeroline": False, "tickangle": 0}
    figure.update_xaxes(tickvals=[at for at, _ in scales], ticktext=[name for _, name in scales], side="top", **plain)
    figure.update_yaxes(tickvals=rows, ticktext=names, autorange="reversed", **plain)
    figure.update_layout(margin_l=118, margin_t=76 if any("·" in name for name in blocks) else 56)
    return figure


def _two_lines(name: str) -> str:
    """A block's name, its stage above it."""
    return name.replace(" · ", "<br>")


def mixer_weights(
    weights: Sequence[Array],
    blocks: Sequence[str],
    *,
    tracked: Sequence[Array] | None = None,
    chosen: tuple[int, int] | None = None,
) -> go.Figure:
    """Share of each scale in every block and head, as stacked bars; the tracked gradient shares on hover.

    Args:
        weights: of each block, ``(h, S)``, sums to 1 over scales. blocks: their names.
        tracked: same shapes, the ``ema`` that informs them, if known.
        chosen: block and head that are looked at, framed.
    """
    heads = [(b, i) for b, block in enumerate(weights) for i in range(len(block))]
    staged = any("·" in name for name in blocks)  # a block of one head is too narrow for words
    called = [".".join(re.findall(r"\d+", name)) if staged else name for name in blocks]
    labels = [[called[b] for b, _ in heads], [f"{i + 1}" for _, i in heads]]
    scales = max(block.shape[1] for block in weights)

    def of_scale(values: Sequence[Array], s: int) -> Array:
        """A head of a block with fewer scales has no bar there."""
        return np.concatenate([b[:, s] if s < b.shape[1] else np.full(len(b), np.nan) for b in values])

    figure = go.Figure(
        layout=layout(
            360,
            barmode="stack",
            bargap=0.25,
            legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "traceorder": "normal"},
        )
    )
    framed = [chosen == head for head in heads]
    for s in range(scales):
        figure.add_bar(
            x=labels,
            y=of_scale(weights, s),
            name=f"scale {2**s}×",
            marker={
                "color": SCALES[s % len(SCALES)],
                "line": FRAME | {"width": [2 * f for f in framed]},
            },
            customdata=None if tracked is None else of_scale(tracked, s),
            hovertemplate=f"scale {2**s}×: weight %{{y:.3f}}"
            + ("" if tracked is None else "<br>tracked gradient share %{customdata:.3f}")
            + "<extra></extra>",
        )
    figure.update_yaxes(title={"text": "mixing weight w"}, range=[0, 1], gridcolor="rgba(128,128,128,.25)")
    title = "head, and below it stage.block" if staged else "head"
    figure.update_xaxes(title={"text": title}, dividerwidth=0, tickangle=0)
    return figure
