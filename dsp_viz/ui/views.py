"""What each part of the screen shows of an :class:`~dsp_viz.analysis.Analysis`."""

import io
from dataclasses import dataclass, replace
from html import escape
from typing import Any

import numpy as np
import plotly.graph_objects as go

from .. import factors, figures, filter_figures, spectrum
from ..analysis import Analysis
from ..checkpoint import LoadedModel
from ..influence import summary_influence
from ..kinds.dsp import dsp_layers
from ..layer import Layer, Parts
from ..trust import Trust


def prediction(result: Analysis) -> str:
    """The five best classes as bars, and how the numbers came about, as HTML."""
    rows = "".join(
        f'<div class="row" role="listitem"><span>{escape(name)}</span><span class="value">{100 * p:.1f} %</span>'
        f'<span class="bar"><i style="width:{100 * p:.2f}%"></i></span></div>'
        for name, p in result.top(5)
    )
    H, W = result.frame.grid
    (width, height), (left, top, right, bottom) = result.frame.size, result.frame.box
    part = (
        "all"
        if (right - left, bottom - top) == (width, height)
        else f"the middle {right - left:.0f}×{bottom - top:.0f}"
    )
    return (
        f'<div class="prediction" role="list" aria-label="five best classes">{rows}</div>'
        # What was used of the original, drawn to scale.
        f'<div class="made"><svg class="crop" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{part} of {width}×{height} pixels"><rect width="{width}" height="{height}"/>'
        f'<rect class="used" x="{left}" y="{top}" width="{right - left}" height="{bottom - top}"/></svg>'
        f'<div class="facts">{part} of {width}×{height} pixels · {escape(result.model)} · '
        f"weights {escape(result.digest)} · {W}×{H} tokens · {1000 * result.seconds:.0f} ms</div></div>"
    )


def notice(message: str) -> str:
    """A sentence that the person should read, as HTML."""
    return f'<div class="notice" role="alert">{escape(message)}</div>'


def known_classes(model: LoadedModel) -> str:
    """Which classes the model knows, as HTML."""
    names = ", ".join(escape(name) for name in model.config.classes)
    return (
        f'<div class="facts">This model knows {len(model.config.classes)} classes: {names}. '
        "A picture of anything else gets the nearest of them; the maps are the point.</div>"
    )


def is_dsp(model: LoadedModel) -> bool:
    """Whether there are filters, coefficients and mixing weights to look at, and to intervene on."""
    return bool(dsp_layers(model))


def pieces(result: Analysis) -> dict[str, bytes]:
    """What the polarity view fetches: the factors of each block, by its index, and the picture as the model saw it."""
    buffer = io.BytesIO()
    result.picture.save(buffer, "PNG", compress_level=1)
    return {str(i): factors.encode(block) for i, block in enumerate(result.trace.blocks)} | {
        "picture": buffer.getvalue()
    }


@dataclass(frozen=True)
class Kept:
    """What is kept for every visitor: small, whatever the number of tokens.

    Attributes:
        result: without the tensors that hold tokens. powers: of each block, see :func:`dsp_viz.spectrum.radial_power`.
        influence: ``(blocks, 3)``, mean change of the coefficients without each summary. Both are empty or None for a
            model without DSP-Attention.
    """

    result: Analysis
    powers: tuple[np.ndarray, ...]
    influence: np.ndarray | None


def keep(result: Analysis, model: LoadedModel) -> Kept:
    """Take from a result what the tabs show."""
    blocks = [b for b in result.trace.blocks if b.parts is not None]
    changes = [
        summary_influence(layer, b).abs().mean((1, 2, 3, 4)).numpy()
        for layer, b in zip(dsp_layers(model).values(), blocks, strict=True)
    ]
    return Kept(
        replace(result, trace=replace(result.trace, blocks=tuple(map(factors.without_tokens, result.trace.blocks)))),
        tuple(spectrum.radial_power(b).numpy() for b in blocks),
        np.stack(changes) if changes else None,
    )


def which(block: int, head: int) -> str:
    """Which block and head the filters are of, as HTML."""
    return f'<div class="facts">Block {block + 1}, head {head + 1}, as chosen on the first tab.</div>'


def dsp_blocks(kept: Kept) -> list[tuple[Layer, Parts]]:
    """The blocks with DSP-Attention, and what only they have."""
    return [(b, b.parts) for b in kept.result.trace.blocks if b.parts is not None]


def filters(kept: Kept, block: int, head: int) -> tuple[go.Figure, ...]:
    """Filters of one block: gain, radial profile, phase, spatial kernel; and what they did to q and k of one head."""
    traced, parts = dsp_blocks(kept)[block]
    spectra = spectrum.full_spectrum(parts.filters)
    gain, phase = spectra.abs(), spectra.angle().numpy()
    return (
        filter_figures.filter_gain(gain.numpy(), phase, head=head),
        filter_figures.radial_gain(spectrum.radial_profile(gain).numpy(), head=head),
        filter_figures.power_spectrum(kept.powers[block], head),
        filter_figures.filter_phase(phase, head=head),
        filter_figures.filter_kernel(spectrum.spatial_kernel(parts.filters, *traced.grid.size).numpy(), head=head),
    )


def coefficients(kept: Kept, block: int, head: int) -> go.Figure:
    """Dynamic coefficients of every block, head, scale and stream for this picture."""
    values = np.stack([b.coefficients[0].float().numpy() for b, _ in dsp_blocks(kept)])
    return figures.coefficients(values, chosen=(block, head))


def weights(kept: Kept, block: int, head: int) -> go.Figure:
    """Mixing weights of every block, head and scale, with the tracked gradients."""
    blocks = dsp_blocks(kept)
    return figures.mixer_weights(
        np.stack([b.weights[0].float().numpy() for b, _ in blocks]),
        np.stack([parts.ema.float().numpy() for _, parts in blocks]),
        chosen=(block, head),
    )


def influence(kept: Kept) -> go.Figure:
    """What moves the coefficients."""
    assert kept.influence is not None
    return figures.summary_influence(kept.influence, ("global mean", "LSTM", "self-attention"))


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


def areas(found: Trust, classes: tuple[str, ...]) -> str:
    """Areas under the curves of one picture as a table, the best of each column marked, as HTML."""
    rows, rises = found.areas(), found.rise()
    best = (min(d for d, _ in rows.values()), max(i for _, i in rows.values()))

    def cell(value: float, top: float) -> str:
        return f"<td><b>{value:.3f}</b></td>" if value == top else f"<td>{value:.3f}</td>"

    cells = "".join(
        f'<tr><th scope="row">{escape(name)}</th>{cell(pair[0], best[0])}{cell(pair[1], best[1])}'
        f"<td>{rises[name]:+.3f}</td></tr>"
        for name, pair in rows.items()
    )
    return (
        f'<div class="aside">Areas under the curves of {escape(classes[found.target])}: small is good for deletion, '
        "large for insertion. The last column is the change of its probability when the first tenth of the tokens is "
        "taken away: if opposite-signed maps marked what speaks against a class, theirs would rise above random "
        "order's. One picture proves little; <code>python -m dsp_viz trust DIR</code> judges many.</div>"
        '<table class="areas"><thead><tr><th scope="col">order of tokens</th><th scope="col">deletion</th>'
        '<th scope="col">insertion</th><th scope="col">first tenth</th></tr></thead>'
        f"<tbody>{cells}</tbody></table>"
    )
