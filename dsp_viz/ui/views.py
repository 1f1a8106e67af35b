"""What each part of the screen shows of an :class:`~dsp_viz.analysis.Analysis`."""

import io
from dataclasses import replace
from html import escape
from typing import Any

import numpy as np
import plotly.graph_objects as go
import torch

from .. import factors, figures, maps
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


def pieces(result: Analysis) -> dict[str, bytes]:
    """What the polarity view fetches: the factors of each block, by its index, and the picture as the model saw it."""
    buffer = io.BytesIO()
    result.picture.save(buffer, "PNG", compress_level=1)
    return {str(i): factors.encode(block) for i, block in enumerate(result.trace.blocks)} | {
        "picture": buffer.getvalue()
    }


def without_tokens(result: Analysis) -> Analysis:
    """The same result without what grows with the number of tokens: small enough to keep for every visitor."""
    none = torch.empty(0)
    blocks = tuple(
        replace(block, fields=(), features=(), values=(), local=none, mixed=none) for block in result.trace.blocks
    )
    return replace(result, trace=replace(result.trace, blocks=blocks))


def which(block: int) -> str:
    """Which block the filters are of, as HTML."""
    return f'<div class="facts">Block {block + 1}, as chosen on the first tab.</div>'


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
