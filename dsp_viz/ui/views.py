"""What each part of the screen shows of an :class:`~dsp_viz.analysis.Analysis`."""

from html import escape
from typing import Any

import numpy as np
import plotly.graph_objects as go
from PIL import Image

from .. import figures, maps
from ..analysis import Analysis
from ..checkpoint import LoadedModel


def prediction(result: Analysis) -> str:
    """The five best classes as bars, and how the numbers came about, as HTML."""
    rows = "".join(
        f'<div class="row"><span>{escape(name)}</span><span class="value">{100 * p:.1f} %</span>'
        f'<span class="bar"><i style="width:{100 * p:.2f}%"></i></span></div>'
        for name, p in result.top(5)
    )
    H, W = result.frame.grid
    return (
        f'<div class="prediction" role="list" aria-label="five best classes">{rows}</div>'
        f'<div class="facts">{escape(result.model)} · weights {escape(result.digest)} · {W}×{H} tokens · '
        f"{1000 * result.seconds:.0f} ms</div>"
    )


def known_classes(model: LoadedModel) -> str:
    """Which classes the model knows, as HTML."""
    names = ", ".join(escape(name) for name in model.config.classes)
    return (
        f'<div class="facts">This model knows {len(model.config.classes)} classes: {names}. '
        "A picture of anything else gets the nearest of them; the maps are the point.</div>"
    )


def polarity(
    result: Analysis, block: int, scale: int, head: int, stream: int, query: maps.Query, opacity: float
) -> tuple[Image.Image, go.Figure, str]:
    """The polarity maps of one block for one query.

    Args:
        result: of an analysis. block, scale, head: indices from 0. stream: 0 same, 1 opposite.
        query: ``(row, column)`` or ``"all"``. opacity: of the overlay, within [0, 1].

    Returns:
        The picture under the chosen map, the panel of all maps on the same scale, and the numbers as HTML.
    """
    tensors = maps.block_maps(result.trace.blocks[block], query)
    entropy = float(maps.entropy(tensors[scale][stream, head]))
    all_maps = [m.numpy() for m in tensors]
    chosen = all_maps[scale][stream, head]
    limit = figures.shared_limit(all_maps)
    token = None if isinstance(query, str) else query
    stage = figures.query_picture(
        result.picture, result.frame.grid, token, chosen, stream=stream, limit=limit, opacity=opacity
    )
    asked = "all queries, averaged" if token is None else f"token row {token[0] + 1}, column {token[1] + 1}"
    peak = np.unravel_index(int(chosen.argmax()), chosen.shape)
    readout = (
        f'<div class="readout" aria-live="polite"><b>{asked}</b> · block {block + 1} · head {head + 1} · '
        f"scale {2**scale}× · {maps.POLARITIES[stream]}<br>"
        f"peak {figures.density(chosen).max():.3g} × uniform (weight {chosen.max():.3g}) at row {peak[0] + 1}, "
        f"column {peak[1] + 1} of {chosen.shape[0]}×{chosen.shape[1]} keys · entropy {entropy:.3f}</div>"
    )
    return stage, figures.map_panel(all_maps), readout


def filters(result: Analysis, block: int) -> tuple[go.Figure, go.Figure]:
    """Gain of both filters of one block, per head, and its radial profile."""
    spectrum = maps.full_spectrum(result.trace.blocks[block].filters)
    gain = spectrum.abs()
    return (
        figures.filter_gain(gain.numpy(), spectrum.angle().numpy()),
        figures.radial_gain(maps.radial_profile(gain).numpy()),
    )


def coefficients(result: Analysis) -> go.Figure:
    """Dynamic coefficients of every block, head, scale and stream for this picture."""
    return figures.coefficients(np.stack([b.coefficients[0].float().numpy() for b in result.trace.blocks]))


def weights(result: Analysis) -> go.Figure:
    """Mixing weights of every block, head and scale, with the tracked gradients."""
    return figures.mixer_weights(
        np.stack([b.weights[0].float().numpy() for b in result.trace.blocks]),
        np.stack([b.ema.float().numpy() for b in result.trace.blocks]),
    )


def summary(result: Analysis) -> dict[str, Any]:
    """What the API answers: plain numbers, blocks and heads in order."""
    H, W = result.frame.grid
    return {
        "model": result.model,
        "digest": result.digest,
        "grid": [H, W],
        "top": [{"class": name, "probability": p} for name, p in result.top(5)],
        "coefficients": [b.coefficients[0].tolist() for b in result.trace.blocks],
        "mixing_weights": [b.weights[0].tolist() for b in result.trace.blocks],
        "seconds": result.seconds,
    }
