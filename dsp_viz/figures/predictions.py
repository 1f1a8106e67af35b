"""Probabilities of classes → plotly figures, in the colours of :mod:`dsp_viz.figures.screen`."""

import numpy as np
import plotly.graph_objects as go

from .screen import INK, OPPOSITE, SAME, Array, layout

#: Orders of tokens: the streams in their colours, then what else ranks tokens.
ORDERS = (f"rgb{SAME}", f"rgb{OPPOSITE}", "#3a8fd9", "#b8960b", "#d6336c", "#7b8794", "#9c5fd0")


def before_after(names: list[str], before: Array, after: Array) -> go.Figure:
    """Probabilities of classes in pairs, with the difference beside each.

    Args:
        names: of the classes, the first uppermost. before, after: ``(classes,)``, within 0 and 1.
    """
    # Above the bars: below, it and the axis's title would share a line on a phone.
    legend = {"orientation": "h", "x": 1, "xanchor": "right", "y": 1, "yanchor": "bottom"}
    figure = go.Figure(layout=layout(120 + 44 * len(names), barmode="group", bargap=0.3, legend=legend))
    difference = [f"{100 * d:+.1f} points".replace("-", "−") for d in after - before]
    for label, values, colour, text in (("before", before, INK, None), ("after", after, f"rgb{SAME}", difference)):
        figure.add_bar(
            x=100 * values,
            y=names,
            name=label,
            orientation="h",
            text=text,
            textposition="outside",
            marker={"color": colour, "line": {"width": 0}},
            hovertemplate=f"{label} %{{x:.2f}} %<extra></extra>",
        )
    figure.update_xaxes(title={"text": "probability, %"}, range=[0, 118], dtick=20, gridcolor="rgba(128,128,128,.25)")
    figure.update_yaxes(autorange="reversed", ticks="")
    figure.update_layout(margin_l=120)
    return figure


def score_curves(names: list[str], values: Array, band: tuple[Array, Array], title: str) -> go.Figure:
    """Score of a class against the share of tokens, a line for each order, and the band of random orders.

    Args:
        names: of the orders. values: ``(orders, points)``, within 0 and 1. band: its edges, ``(points,)`` each.
        title: of the horizontal axis.
    """
    share = np.linspace(0, 100, values.shape[1])
    end = max(0.01, min(1, 1.1 * max(float(values.max()), float(band[1].max()))))  # of an improbable class all is low
    figure = go.Figure(layout=layout(380, hovermode="x unified", legend={"orientation": "h", "y": -0.28}))
    for edge, fill in ((band[1], None), (band[0], "tonexty")):
        figure.add_scatter(
            x=share,
            y=100 * edge,
            mode="lines",
            name="random order",
            line={"width": 0, "color": INK},
            fill=fill,
            fillcolor="rgba(128,140,150,.25)",
            showlegend=fill is not None,
            hoverinfo="skip",
        )
    for name, curve, colour in zip(names, values, ORDERS, strict=False):
        figure.add_scatter(
            x=share,
            y=100 * curve,
            mode="lines",
            name=name,
            line={"color": colour, "width": 2},
            hovertemplate="%{y:.1f} %",
        )
    figure.update_xaxes(title={"text": title}, showgrid=False, zeroline=False)
    figure.update_yaxes(title={"text": "probability, %"}, range=[0, 100 * end], gridcolor="rgba(128,128,128,.25)")
    figure.update_layout(margin_b=120)
    return figure
