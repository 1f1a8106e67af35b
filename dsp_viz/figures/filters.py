"""Spectral filters → plotly figures, in the colours of :mod:`dsp_viz.figures.screen`.

Colour scales are those of :func:`dsp_viz.figures.screen.robust_limit`: a few frequencies that a filter all but removes
would otherwise bleach all others. What lies beyond keeps the end's colour, the bar says so, and hovering shows the
number.
"""

import numpy as np
import plotly.graph_objects as go

from .screen import DIVERGING, HEADS, INK, OPPOSITE, SAME, Array, diverging_bar, layout, robust_limit, stitch


def filter_gain(gain: Array, phase: Array, *, head: int | None = None, among: Array | None = None) -> go.Figure:
    """Gain ``|1 + D|`` of every head and polarity, zero frequency in the middle, log scale around gain 1.

    Args:
        gain, phase: ``(2, h, K, K)``, polarity (+, -); phase in radians; ``K = 2M - 1`` frequencies per axis.
        head: that is looked at, from 0; its name is marked.
        among: gains that share the colour scale, if more than those shown.
    """
    octaves, shared = (np.log2(np.maximum(g, 1e-6)) for g in (gain, gain if among is None else among))
    limit = robust_limit(shared, 0.25)
    bar = diverging_bar("gain |1+D|", octaves, limit, lambda t: f"{2**t:.3g}", ticks=5)
    hover = "gain %{customdata[2]:.3f}<br>phase %{customdata[3]:.2f} rad"
    return _spectrum(octaves, limit, bar, hover, [gain, phase], head)


def filter_phase(phase: Array, *, head: int | None = None) -> go.Figure:
    """Phase of every filter, which shifts a frequency; arguments as of :func:`filter_gain`."""
    limit = robust_limit(phase, 0.1)
    bar = diverging_bar("phase of 1+D, radians", phase, limit, "{:.2f}".format)
    return _spectrum(phase, limit, bar, "phase %{customdata[2]:.3f} rad", [phase], head)


def _spectrum(
    values: Array, limit: float, bar: dict[str, object], hover: str, more: list[Array], head: int | None
) -> go.Figure:
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
        head,
    )


def filter_kernel(kernel: Array, *, head: int | None = None) -> go.Figure:
    """What each filter adds to a token from those around it, the token itself in the middle.

    Args:
        kernel: ``(2, h, H, W)``, polarity (+, -), see :func:`dsp_viz.spectrum.spatial_kernel`.
        head: see :func:`filter_gain`.
    """
    H, W = kernel.shape[-2:]
    limit = robust_limit(kernel, 1e-3)
    dy, dx = np.meshgrid(np.arange(H) - H // 2, np.arange(W) - W // 2, indexing="ij")
    return _filters(
        kernel,
        limit,
        diverging_bar("weight of the neighbour", kernel, limit, "{:.3g}".format),
        "%{customdata[0]} right, %{customdata[1]} down<br>weight %{customdata[2]:.4f}",
        [np.broadcast_to(dx, kernel.shape), np.broadcast_to(dy, kernel.shape), kernel],
        f"each panel: the {H}×{W} tokens around one token",
        head,
    )


def _filters(
    values: Array, limit: float, bar: dict[str, object], hover: str, numbers: list[Array], axes: str, head: int | None
) -> go.Figure:
    """``values (2, h, rows, columns)`` as one sheet, a row a polarity, a column a head."""
    heads, gap = values.shape[1], 2
    sheet, x, y = stitch([list(row) for row in values], gap)
    figure = go.Figure(
        go.Heatmap(
            z=sheet,
            customdata=np.stack([stitch([list(row) for row in n.astype(float)], gap)[0] for n in numbers], -1),
            zmin=-limit,
            zmax=limit,
            colorscale=DIVERGING,
            colorbar=bar,
            hovertemplate=hover + "<extra></extra>",
            hoverongaps=False,
        ),
        layout(460),
    )
    _panel_axes(
        figure,
        x,
        [f"<b>▸ head {i + 1}</b>" if i == head else f"head {i + 1}" for i in range(heads)],
        y,
        ["filter F⁺", "filter F⁻"],
    )
    figure.add_annotation(text=axes, x=0.5, y=0, xref="paper", yref="paper", yshift=-14, showarrow=False)
    figure.update_layout(margin_b=84)
    return figure


def power_spectrum(powers: Array, head: int) -> go.Figure:
    """Power of q and k of one head for this picture, before the filters and after each.

    Args:
        powers: ``(3, 2, h, R)``, see :func:`dsp_viz.spectrum.radial_power`. head: from 0.
    """
    figure = go.Figure(layout=layout(300, hovermode="x unified"))
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


def radial_gain(profile: Array, *, head: int | None = None) -> go.Figure:
    """Gain against frequency, averaged over directions: a line per head and polarity, a colour per head.

    Args:
        profile: ``(2, h, M)``, polarity (+, -), entry ``r`` at ``r`` cycles per image.
        head: that is looked at, from 0; its lines are bold and lie on the others.
    """
    figure = go.Figure(layout=layout(300, hovermode="x unified"))
    for own, (label, dash) in zip(profile, (("F⁺", "solid"), ("F⁻", "dot")), strict=True):
        for i, line in enumerate(own):
            name = f"{label} head {i + 1}"
            figure.add_scatter(
                y=line,
                mode="lines+markers",
                name=f"<b>▸ {name}</b>" if i == head else name,
                zorder=int(i == head),
                line={"color": HEADS[i % len(HEADS)], "dash": dash, "width": 4 if i == head else 1.5},
                marker={"symbol": i // len(HEADS), "size": 8 if i == head else 5},
                hovertemplate="%{y:.3f}",
            )
    figure.update_xaxes(title={"text": "cycles per image"}, showgrid=False, zeroline=False, dtick=1)
    figure.update_yaxes(title={"text": "gain (1 = unchanged)"}, type="log", gridcolor="rgba(128,128,128,.25)", nticks=6)
    figure.add_hline(y=1, line={"color": INK, "width": 1})
    return figure


def _panel_axes(figure: go.Figure, x: list[float], columns: list[str], y: list[float], rows: list[str]) -> None:
    plain = {"ticks": "", "showgrid": False, "zeroline": False, "constrain": "domain"}
    figure.update_xaxes(tickvals=x, ticktext=columns, side="top", tickangle=0, **plain)
    figure.update_yaxes(
        tickvals=y, ticktext=rows, autorange="reversed", scaleanchor="x", constraintoward="top", **plain
    )
