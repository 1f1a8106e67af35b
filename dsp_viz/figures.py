"""Arrays → plotly figures. Never displays, knows no torch and no gradio.

One colour language throughout: teal for the same-signed stream (and gains above 1), orange for the opposite-signed
one (and gains below 1), nothing for zero. The ramps are single-hued, monotone in lightness and told apart by people
with the common colour-vision deficiencies. Backgrounds are transparent, so the page's light or dark shows through.
"""

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

Array = NDArray[np.floating]

#: Ends of the diverging scale, as (R, G, B).
SAME = (15, 138, 128)
OPPOSITE = (217, 108, 20)
SOFTMAX = (92, 86, 178)
INK = "#7b8794"

#: Scales, finest first: blues, which mean nothing else here.
SCALES = ("#3a6ea5", "#7fa8d1", "#c3d7ea", "#8893a0")

# Opacity carries the magnitude, so larger stands out more on light and on dark alike; zero is almost the page itself.
_DIVERGING = [
    [0.0, "rgba({},{},{},1)".format(*OPPOSITE)],
    [0.5, "rgba(128,140,150,.07)"],
    [1.0, "rgba({},{},{},1)".format(*SAME)],
]


def _layout(height: int, **extra: object) -> go.Layout:
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


def _colour_bar(title: str, ticks: list[float], labels: list[str]) -> dict[str, object]:
    return {
        "title": {"text": title + "<br>", "side": "top", "font": {"size": 12}},
        "orientation": "h",
        "tickvals": ticks,
        "ticktext": labels,
        "outlinewidth": 0,
        "thickness": 10,
        "len": 0.7,
        "y": 0,
        "yref": "container",
        "yanchor": "bottom",
    }


def _stitch(panels: list[list[Array]], gap: int) -> tuple[Array, list[float], list[float]]:
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


def _panel_axes(figure: go.Figure, x: list[float], columns: list[str], y: list[float], rows: list[str]) -> None:
    plain = {"ticks": "", "showgrid": False, "zeroline": False, "constrain": "domain"}
    figure.update_xaxes(tickvals=x, ticktext=columns, side="top", tickangle=0, **plain)
    figure.update_yaxes(
        tickvals=y, ticktext=rows, autorange="reversed", scaleanchor="x", constraintoward="top", **plain
    )


def density(maps: Array) -> Array:
    """Maps ``(…, H_s, W_s)`` in units of the uniform map: 1 is what every key would get if all were alike."""
    return maps * maps.shape[-2] * maps.shape[-1]


def shared_limit(maps: list[Array]) -> float:
    """Upper end of the colour scale that all maps of a panel share, in units of the uniform map; at least 1.

    The 99.5th percentile over the area of all maps: one outstanding token would otherwise bleach all others. What
    lies above keeps the end's colour, and the colour bar says so.
    """
    grid = maps[0].shape[-2:]
    area = [
        grow(density(m[stream, head]), grid) for m in maps for stream in range(m.shape[0]) for head in range(m.shape[1])
    ]
    return max(1.0, float(np.quantile(np.stack(area), 0.995)))


def grow(panel: Array, grid: tuple[int, int]) -> Array:
    """A coarse map ``(H_s, W_s)`` on the full grid ``(H, W)``, each value repeated over the tokens that it pools."""
    rows, columns = panel.shape
    # A scale pools 2^s tokens a side, the last of a row fewer: the shapes alone give the power of two that was meant.
    factor = 1 << (max(-(-grid[0] // rows), -(-grid[1] // columns)) - 1).bit_length()
    return panel.repeat(factor, 0).repeat(factor, 1)[: grid[0], : grid[1]]


def filter_gain(gain: Array, phase: Array, *, among: Array | None = None) -> go.Figure:
    """Gain ``|1 + D|`` of every head and polarity, zero frequency in the middle, log scale around gain 1.

    Args:
        gain, phase: ``(2, h, K, K)``, polarity (+, -); phase in radians; ``K = 2M - 1`` frequencies per axis.
        among: gains that share the colour scale, if more than those shown.
    """
    octaves = np.log2(np.maximum(gain, 1e-6))
    limit = max(0.25, float(np.abs(np.log2(np.maximum(gain if among is None else among, 1e-6))).max()))
    ticks = [-limit, -limit / 2, 0.0, limit / 2, limit]
    bar = _colour_bar("gain |1+D|", ticks, [f"{2**t:.3g}" for t in ticks])
    hover = "gain %{customdata[2]:.3f}<br>phase %{customdata[3]:.2f} rad"
    return _spectrum(octaves, limit, bar, hover, [gain, phase])


def filter_phase(phase: Array) -> go.Figure:
    """Phase of every filter, which shifts a frequency; arguments as of :func:`filter_gain`."""
    limit = max(0.1, float(np.abs(phase).max()))
    ticks = [-limit, 0.0, limit]
    bar = _colour_bar("phase of 1+D, radians", ticks, [f"{t:.2f}" for t in ticks])
    return _spectrum(phase, limit, bar, "phase %{customdata[2]:.3f} rad", [phase])


def _spectrum(values: Array, limit: float, bar: dict[str, object], hover: str, more: list[Array]) -> go.Figure:
    K = values.shape[-1]
    k = np.arange(K) - K // 2
    ky, kx = np.meshgrid(k, k, indexing="ij")
    return _filters(
        values,
        limit,
        bar,
        "kx %{customdata[0]}, ky %{customdata[1]} cycles/image<br>" + hover,
        [np.broadcast_to(kx, values.shape), np.broadcast_to(ky, values.shape), *more],
        f"each panel: kx → and ky ↓ from {-(K // 2)} to {K // 2} cycles per image",
    )


def filter_kernel(kernel: Array) -> go.Figure:
    """What each filter adds to a token from those around it, the token itself in the middle.

    Args:
        kernel: ``(2, h, H, W)``, polarity (+, -), see :func:`dsp_viz.maps.spatial_kernel`.
    """
    H, W = kernel.shape[-2:]
    limit = max(1e-3, float(np.abs(kernel).max()))
    ticks = [-limit, 0.0, limit]
    dy, dx = np.meshgrid(np.arange(H) - H // 2, np.arange(W) - W // 2, indexing="ij")
    return _filters(
        kernel,
        limit,
        _colour_bar("weight of the neighbour", ticks, [f"{t:.3g}" for t in ticks]),
        "%{customdata[0]} right, %{customdata[1]} down<br>weight %{customdata[2]:.4f}",
        [np.broadcast_to(dx, kernel.shape), np.broadcast_to(dy, kernel.shape), kernel],
        f"each panel: the {H}×{W} tokens around one token",
    )


def _filters(
    values: Array, limit: float, bar: dict[str, object], hover: str, numbers: list[Array], axes: str
) -> go.Figure:
    """``values (2, h, rows, columns)`` as one sheet, a row a polarity, a column a head."""
    heads, gap = values.shape[1], 2
    sheet, x, y = _stitch([list(row) for row in values], gap)
    figure = go.Figure(
        go.Heatmap(
            z=sheet,
            customdata=np.stack([_stitch([list(row) for row in n.astype(float)], gap)[0] for n in numbers], -1),
            zmin=-limit,
            zmax=limit,
            colorscale=_DIVERGING,
            colorbar=bar,
            hovertemplate=hover + "<extra></extra>",
            hoverongaps=False,
        ),
        _layout(460),
    )
    _panel_axes(figure, x, [f"head {i + 1}" for i in range(heads)], y, ["filter F⁺", "filter F⁻"])
    figure.add_annotation(text=axes, x=0.5, y=0, xref="paper", yref="paper", yshift=-14, showarrow=False)
    return figure


def power_spectrum(powers: Array, head: int) -> go.Figure:
    """Power of q and k of one head for this picture, before the filters and after each.

    Args:
        powers: ``(3, 2, h, R)``, see :func:`dsp_viz.maps.radial_power`. head: from 0.
    """
    figure = go.Figure(layout=_layout(300, hovermode="x unified"))
    colours = ("#7b8794", f"rgb{SAME}", f"rgb{OPPOSITE}")
    for field, (name, dash) in enumerate((("q", "solid"), ("k", "dot"))):
        for step, (after, colour) in enumerate(zip(("before", "after F⁺", "after F⁻"), colours, strict=True)):
            figure.add_scatter(
                y=powers[step, field, head],
                mode="lines+markers",
                name=f"{name} {after}",
                line={"color": colour, "dash": dash, "width": 2},
                hovertemplate="%{y:.4g}",
            )
    figure.update_xaxes(title={"text": "cycles per image"}, showgrid=False, zeroline=False)
    figure.update_yaxes(
        title={"text": f"power, head {head + 1}"}, type="log", gridcolor="rgba(128,128,128,.25)", nticks=6
    )
    return figure


def summary_influence(values: Array, names: tuple[str, ...]) -> go.Figure:
    """How much each summary moves the coefficients of each block: mean of ``|c - c_without|``.

    Args:
        values: ``(blocks, summaries)``. names: of the summaries.
    """
    figure = go.Figure(layout=_layout(280, barmode="group", bargap=0.3))
    for i, name in enumerate(names):
        figure.add_bar(
            x=[f"block {b + 1}" for b in range(len(values))],
            y=values[:, i],
            name=name,
            marker={"color": SCALES[i % len(SCALES)], "line": {"width": 0}},
            hovertemplate=f"without {name}: %{{y:.3f}}<extra></extra>",
        )
    figure.update_yaxes(title={"text": "mean change of c"}, gridcolor="rgba(128,128,128,.25)", rangemode="tozero")
    return figure


def radial_gain(profile: Array) -> go.Figure:
    """Gain against frequency, averaged over directions: a line per head and polarity.

    Args:
        profile: ``(2, h, M)``, polarity (+, -), entry ``r`` at ``r`` cycles per image.
    """
    figure = go.Figure(layout=_layout(300, hovermode="x unified"))
    for polarity, (label, dash) in enumerate((("F⁺", "solid"), ("F⁻", "dot"))):
        for head, line in enumerate(profile[polarity]):
            shade = 0.35 + 0.65 * head / max(1, profile.shape[1] - 1)
            base = np.array((SAME, OPPOSITE)[polarity]) * shade + 128 * (1 - shade)
            r, g, b = (int(v) for v in base)
            figure.add_scatter(
                y=line,
                mode="lines+markers",
                name=f"{label} head {head + 1}",
                line={"color": f"rgb({r},{g},{b})", "dash": dash, "width": 2},
                hovertemplate="%{y:.3f}",
            )
    figure.update_xaxes(title={"text": "cycles per image"}, showgrid=False, zeroline=False, dtick=1)
    figure.update_yaxes(title={"text": "gain (1 = unchanged)"}, type="log", gridcolor="rgba(128,128,128,.25)", nticks=6)
    figure.add_hline(y=1, line={"color": INK, "width": 1})
    return figure


def coefficients(values: Array, *, among: Array | None = None) -> go.Figure:
    """Dynamic coefficients: a row a stream and head, a column a block and scale.

    Args:
        values: ``(blocks, h, S, 2)``, (same, opposite), within (0, 2); 1 is the value at initialisation.
        among: coefficients that share the colour scale, if more than those shown.
    """
    blocks, heads, scales, _ = values.shape
    sheet, centres, _ = _stitch([[values[b, ..., stream] for b in range(blocks)] for stream in (0, 1)], gap=1)
    spread = max(0.05, float(np.abs((values if among is None else among) - 1).max()))
    ticks = [1 - spread, 1 - spread / 2, 1.0, 1 + spread / 2, 1 + spread]
    columns = np.add.outer(np.arange(blocks) * (scales + 1), np.arange(scales)).ravel()
    rows = [*range(heads), *range(heads + 1, 2 * heads + 1)]
    names = [f"{stream} · head {i + 1}" for stream in ("same", "opposite") for i in range(heads)]
    figure = go.Figure(
        go.Heatmap(
            z=sheet,
            zmin=1 - spread,
            zmax=1 + spread,
            colorscale=_DIVERGING,
            colorbar=_colour_bar("coefficient c (1 = as initialised)", ticks, [f"{t:.3g}" for t in ticks]),
            hovertemplate="scale %{x}, %{y}<br>c = %{z:.3f}<extra></extra>",
            hoverongaps=False,
            xgap=1,
            ygap=1,
        ),
        _layout(180 + 60 * heads),
    )
    for b, centre in enumerate(centres):
        figure.add_annotation(text=f"<b>block {b + 1}</b>", x=centre, y=1, yref="paper", yshift=30, showarrow=False)
    plain = {"ticks": "", "showgrid": False, "zeroline": False}
    figure.update_xaxes(tickvals=columns, ticktext=[f"{2**s}×" for s in range(scales)] * blocks, side="top", **plain)
    figure.update_yaxes(tickvals=rows, ticktext=names, autorange="reversed", **plain)
    figure.update_layout(margin_l=118)
    return figure


def mixer_weights(weights: Array, tracked: Array | None = None) -> go.Figure:
    """Share of each scale in every block and head, as stacked bars; the tracked gradient shares on hover.

    Args:
        weights: ``(blocks, h, S)``, sums to 1 over scales. tracked: same shape, the ``ema`` that informs it, if known.
    """
    blocks, heads, scales = weights.shape
    labels = [
        [f"block {b + 1}" for b in range(blocks) for _ in range(heads)],
        [f"{i + 1}" for _ in range(blocks) for i in range(heads)],
    ]
    figure = go.Figure(
        layout=_layout(
            360, barmode="stack", bargap=0.25, legend={"orientation": "h", "y": 1.14, "traceorder": "normal"}
        )
    )
    for s in range(scales):
        figure.add_bar(
            x=labels,
            y=weights[..., s].ravel(),
            name=f"scale {2**s}×",
            marker={"color": SCALES[s % len(SCALES)], "line": {"width": 0}},
            customdata=None if tracked is None else tracked[..., s].ravel(),
            hovertemplate=f"scale {2**s}×: weight %{{y:.3f}}"
            + ("" if tracked is None else "<br>tracked gradient share %{customdata:.3f}")
            + "<extra></extra>",
        )
    figure.update_yaxes(title={"text": "mixing weight w"}, range=[0, 1], gridcolor="rgba(128,128,128,.25)")
    figure.update_xaxes(title={"text": "head"}, dividerwidth=0)
    return figure
