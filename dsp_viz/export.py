"""What can be taken away of an analysis: arrays, settings, a figure for paper, a fragment for notebooks."""

import base64
import io
import json
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from . import __version__, maps
from .analysis import UNSURE, Analysis
from .files import replacing
from .layer import Grid, Layer, Scale

if TYPE_CHECKING:
    from .figures.print import PrintFigure

#: Pixels per inch of figures that are written as PNG.
DPI = 150


def numbers(result: Analysis) -> dict[str, np.ndarray]:
    r"""Everything worth keeping of an analysis, by name. Axes as in :mod:`dsp_viz.layer`, without the batch.

    A row of a map follows from ``left`` and ``right``: with ``s_ij = Σ_p l_ip·r_jp`` it is finished by the layer's
    rule, see docs/format.md. The part ``p`` of a stream's left factor is ``l_{p + turn}``.

    Args:
        result: of :func:`dsp_viz.analyse`.

    Returns:
        float32 unless stated; blocks ``b`` and scales ``s`` count from 0. What a result no longer holds is left out:

        - ``probabilities`` ``(num_classes,)`` float64;
        - ``block{b}/coefficients`` ``(h, S, streams)``; ``block{b}/mixing_weights`` ``(h, S)``;
          ``block{b}/grid`` ``(2,)`` int64;
        - of DSP-Attention ``block{b}/ema`` ``(h, S)`` and ``block{b}/filters`` ``(2, h, 2M-1, M)`` complex64;
        - ``block{b}/scale{s}/left`` ``(P, h, N_queries, r)``, ``block{b}/scale{s}/right`` ``(P, h, N_keys, r)``;
          ``block{b}/scale{s}/values`` ``(h, N_keys, d)``; ``block{b}/scale{s}/queries`` and ``…/keys``, their grids,
          ``(2,)`` int64;
          ``block{b}/scale{s}/maps`` ``(streams, h, H_keys, W_keys)``, see :func:`dsp_viz.maps.streams`, averaged over
          all queries; ``block{b}/scale{s}/entropies`` ``(streams, h)``: of those, where they have no sign, see
          :func:`dsp_viz.maps.entropy`;
        - where a layer has tokens without a place, which then come first among queries and keys,
          ``block{b}/scale{s}/prefix_shares`` ``(streams, h, prefix)``: what they get of the same rows;
        - where queries see windows, ``block{b}/scale{s}/window`` ``(4,)`` int64: rows, columns, and how far both are
          shifted; ``block{b}/scale{s}/bias``, see :class:`dsp_viz.layer.Window`;
          where a region was left out, of the rule ``softmax`` ``block{b}/scale{s}/kept`` ``(N_keys,)``.
    """
    arrays = {"probabilities": np.array(result.probabilities)}
    for b, block in enumerate(result.trace.blocks):
        arrays[f"block{b}/coefficients"] = _array(block.coefficients[0])
        arrays[f"block{b}/mixing_weights"] = _array(block.weights[0])
        arrays[f"block{b}/grid"] = np.array(block.grid.size, dtype=np.int64)
        if block.parts is not None:
            arrays[f"block{b}/ema"] = _array(block.parts.ema)
            arrays[f"block{b}/filters"] = block.parts.filters.to(torch.complex64).numpy()
        found = zip(block.scales, maps.block_maps(block, "all"), maps.prefix_shares(block, "all"), strict=True)
        for s, (scale, averages, shares) in enumerate(found):
            held = {"left": scale.left[:, 0], "right": scale.right[:, 0], "maps": averages}
            if block.prefix:
                held["prefix_shares"] = shares
            if scale.kept is not None:
                held["kept"] = scale.kept
            if scale.window is not None:
                window = (*scale.window.size, *scale.window.shift)
                arrays[f"block{b}/scale{s}/window"] = np.array(window, dtype=np.int64)
                if scale.window.bias is not None:
                    held["bias"] = scale.window.bias
            if scale.values.numel():
                held["values"] = scale.values[0]
            if block.finish != "product":
                held["entropies"] = maps.entropy(averages)
            arrays |= {f"block{b}/scale{s}/{name}": _array(values) for name, values in held.items()}
            for name, grid in (("queries", scale.queries), ("keys", scale.keys)):
                arrays[f"block{b}/scale{s}/{name}"] = np.array(grid.size, dtype=np.int64)
    return arrays


def settings(result: Analysis) -> dict[str, Any]:
    """How the numbers came about, as plain values that JSON knows.

    Args:
        result: of :func:`dsp_viz.analyse`.

    Returns:
        ``name`` of the picture; ``model`` and ``digest``; ``versions`` of dsp-attention, torch and numpy;
        ``classes``, each with its probability, in the order of the logits; ``temperature`` of these, ``threshold``, and
        ``unsure``: see :class:`dsp_viz.Analysis`; ``grid`` (rows, columns); ``frame``: see
        :class:`dsp_viz.images.Frame`; ``seconds`` of the forward pass; ``interventions`` in it; ``verified``: how far
        the maps were off from what the layers put out, see :mod:`dsp_viz.proof`; ``rounded``: to which type coarser
        than float32 that was, or ""; ``refused``: layers that are not there, and why; ``layers``: of each its
        ``name``, ``kind``, ``stage``, ``prefix``, rule (``finish``), ``epsilon`` and ``streams``.
    """
    frame = result.frame
    return {
        "name": result.name,
        "model": result.model,
        "digest": result.digest,
        "versions": {"dsp-attention": __version__, "torch": str(torch.__version__), "numpy": np.__version__},
        "classes": [
            {"class": name, "probability": p} for name, p in zip(result.classes, result.probabilities, strict=True)
        ],
        "temperature": result.temperature,
        "threshold": result.threshold,
        "unsure": result.unsure,
        "grid": list(result.grid),
        "frame": {
            "size": list(frame.size),
            "box": list(frame.box),
            "input_size": list(frame.input_size),
            "patch": frame.patch,
        },
        "seconds": result.seconds,
        "verified": result.verified,
        "rounded": result.trace.rounded,
        "refused": list(result.trace.refused),
        "layers": [
            {
                "name": block.name,
                "kind": block.kind,
                "stage": block.stage,
                "prefix": list(block.prefix),
                "finish": block.finish,
                "epsilon": block.epsilon,
                "streams": [{"name": s.name, "role": s.role, "turn": s.turn} for s in block.streams],
            }
            for block in result.trace.blocks
        ],
        "interventions": [
            intervention.model_dump(mode="json", exclude_none=True) for intervention in result.interventions
        ],
    }


def save_npz(result: Analysis, file: str | Path | BinaryIO, *, compressed: bool = True) -> None:
    """Write :func:`numbers` as NPZ, with :func:`settings` as JSON under ``settings``; no pickle in it.

    Args:
        result: of :func:`dsp_viz.analyse`. file: path of it, or an open one; what is there is overwritten.
        compressed: which takes longer.

    Raises:
        OSError: the file cannot be written; what was there before is untouched.
    """
    arrays = {"settings": np.array(json.dumps(settings(result), ensure_ascii=False)), **numbers(result)}
    if isinstance(file, str | Path):
        # Opened here, because numpy would append `.npz` to any other name.
        with replacing(Path(file)) as opened:
            save_npz(result, opened, compressed=compressed)
        return
    (np.savez_compressed if compressed else np.savez)(file, allow_pickle=False, **arrays)


def maps_figure(result: Analysis, *, block: int, query: maps.Query) -> "PrintFigure":
    """A figure for paper: the picture with the query framed, and all maps of one block on one colour scale.

    Args:
        result: of :func:`dsp_viz.analyse`. block: index from 0.
        query: ``(row, column)`` on the grid, from 0, ``"all"`` for the average over all queries, or the name of a token
            without a place.

    Returns:
        A figure that pyplot knows nothing of: ``figure.savefig(path, dpi=…)`` writes PNG, SVG or PDF. Its caption tells
        the picture's name, the model and its weights, what tokens without a place get, the interventions and the scale
        of the colours. Of a window only the keys in it are drawn.

    Raises:
        ValueError: the model has no such block, the query lies outside the grid, or the layer has no such token.
    """
    from .figures.print import maps_sheet  # imports matplotlib, which only figures need

    query = tuple(query) if isinstance(query, list) else query
    blocks = result.trace.blocks
    if not 0 <= block < len(blocks):
        raise ValueError(f"block={block!r}: must be within 0 and {len(blocks) - 1}")
    chosen = blocks[block]
    own = maps.place(query, result.trace.grid, chosen.grid)
    drawn = [_seen(chosen, own, scale, m) for scale, m in zip(chosen.scales, maps.block_maps(chosen, own), strict=True)]
    token = query if isinstance(query, tuple) else None
    asked = "averaged over all queries" if query == "all" else f"the {query} token asks"
    if token is not None:
        asked = f"query at row {token[0] + 1}, column {token[1] + 1}"
    H, W = result.grid
    made = f"{result.model} · weights {result.digest} · {H}×{W} tokens"
    if count := len(result.interventions):
        made += f" · {count} intervention{'s' * (count > 1)}"
    return maps_sheet(
        result.sharp or result.picture,
        [array for array, _ in drawn],
        token,
        grid=result.grid,
        keys=[(keys, scale.pooled) for (_, keys), scale in zip(drawn, chosen.scales, strict=True)],
        streams=chosen.streams,
        signed=chosen.finish == "product",
        title=f"Block {block + 1} of {len(blocks)}, {asked}",
        caption=(*([_short(result.name)] if result.name else []), made, *_others(chosen, own)),
    )


def _seen(block: Layer, query: maps.Query, scale: Scale, found: Tensor) -> tuple[np.ndarray, Grid]:
    """Maps of a scale and their grid, or what lies in the window of the query; multiplied so that the uniform map is
    that over all keys which the query sees, those without a place among them."""
    keys = scale.keys
    if scale.window is not None and isinstance(query, tuple):
        rows, columns = next(b for b in scale.window.boxes(keys) if query[0] in b[0] and query[1] in b[1])
        found = found[..., rows.start : rows.stop, columns.start : columns.stop]
        keys = keys.part(rows, columns)
    placed = keys.rows * keys.columns
    return _array(found) * ((placed + len(block.prefix)) / placed), keys


def _others(block: Layer, query: maps.Query) -> list[str]:
    """What tokens without a place get, a line if there are any."""
    shares = maps.prefix_shares(block, query)[0].mean((0, 1))  # of the streams and heads
    told = [f"{name} {100 * share:.1f} %" for name, share in zip(block.prefix, shares.tolist(), strict=True)]
    return [f"tokens without a place, mean of the heads: {', '.join(told)}"] if told else []


def _short(name: str) -> str:
    """A name that fits under the narrowest figure; its end tells the kind of file."""
    return name if len(name) <= 60 else f"{name[:44]}…{name[-15:]}"


def default_view(depth: int, grid: tuple[int, int]) -> tuple[int, tuple[int, int]]:
    """The block and the query that are shown where nobody chose: the third block, or the last of fewer; the centre.

    The centre token is in row ``⌊H/2⌋`` and column ``⌊W/2⌋`` from 0: where a side is even, the later one of two.

    Args:
        depth: number of blocks. grid: ``(H, W)`` tokens.

    Returns:
        Index of the block from 0, and ``(row, column)`` from 0.
    """
    return min(depth, 3) - 1, (grid[0] // 2, grid[1] // 2)


def html(result: Analysis, *, block: int, query: maps.Query) -> str:
    """An HTML fragment for notebooks, light or dark: the five best classes as bars, whether the model is sure, and
    :func:`maps_figure`.

    Args:
        result: of :func:`dsp_viz.analyse`. block, query: see :func:`maps_figure`.

    Returns:
        HTML with inline styles and the figure as PNG within; it loads nothing.

    Raises:
        ValueError: see :func:`maps_figure`.
    """
    png = io.BytesIO()
    maps_figure(result, block=block, query=query).savefig(png, format="png", dpi=DPI)
    picture = base64.b64encode(png.getvalue()).decode()
    bars = "".join(_bar(name, probability) for name, probability in result.top(5))
    H, W = result.grid
    unsure = f'<div style="font-weight:700;margin-bottom:4px">{UNSURE}</div>' if result.unsure else ""
    facts = f"{result.model} · weights {result.digest} · {H}×{W} tokens · {1000 * result.seconds:.0f} ms"
    return (
        f'<div style="font:13px/1.5 system-ui,sans-serif;max-width:1040px">{unsure}'
        f'<div style="display:grid;grid-template-columns:max-content minmax(60px,280px) max-content;gap:3px 12px;'
        f'align-items:center">{bars}</div>'
        f'<div style="opacity:.7;margin:6px 0 10px">{escape(facts)}</div>'
        # White under the figure whatever the notebook's colours: its ramps start at white.
        f'<img alt="Polarity maps of block {block + 1}" src="data:image/png;base64,{picture}" '
        'style="width:100%;background:#fff;border-radius:8px"></div>'
    )


def _bar(name: str, probability: float) -> str:
    share = f"{100 * probability:.1f}"
    return (
        f'<span>{escape(name)}</span><span style="height:8px;border-radius:4px;background:rgba(128,128,128,.25)">'
        f'<span style="display:block;height:8px;border-radius:4px;background:#0f8a80;width:{share}%"></span></span>'
        f'<span style="text-align:right;font-variant-numeric:tabular-nums">{share} %</span>'
    )


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.float().numpy()
