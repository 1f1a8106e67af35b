"""Small layers, one of each form, whose bytes and rows are kept: ``python tests/golden.py`` wrote them.

Numbers come from a formula, so that no release of a library draws others. Rows are computed entry by entry in float64.
What heads do is what :mod:`dsp_viz.heads` says of it, in float64, null where it says NaN.
"""

import json
import math
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dsp_viz import factors, heads
from dsp_viz.layer import Finish, Grid, Layer, Scale, Stream, Window

FOLDER = Path(__file__).parent / "data" / "layers"

#: Asked of each: two tokens and the average of all; besides these its prefix tokens.
QUERIES = ("0,0", "4,2", "all")

_TOKENS = Grid(5, 3)


def _numbers(*shape: int, start: int, positive: bool) -> Tensor:
    """Numbers that look like none in particular, within -1 and 1, or 0 and 1."""
    steps = torch.arange(start, start + math.prod(shape)) * 7919 % 1009  # whole numbers: the same on every machine
    values = steps.double() / 1009
    return (values if positive else 2 * values - 1).view(shape)


def _layer(
    name: str,
    finish: Finish,
    streams: tuple[Stream, ...],
    grids: list[tuple[Grid, Grid, int]],
    *,
    width: int,
    parts: int = 1,
    prefix: tuple[str, ...] = (),
) -> Layer:
    heads, scales = 2, []
    for s, (queries, keys, pooled) in enumerate(grids):
        sizes = [len(prefix) + grid.rows * grid.columns for grid in (queries, keys)]
        left, right = (
            _numbers(parts, 1, heads, n, width, start=1000 * s + 7 * i, positive=finish == "ratio").float()
            for i, n in enumerate(sizes)
        )
        scales.append(Scale(queries, keys, left, right, torch.zeros(1, heads, sizes[1], 2), pooled=pooled))
    shape = (1, heads, len(scales), len(streams))
    return Layer(
        name=f"blocks.1.{name}",
        kind=f"{finish} attention",
        grid=grids[0][0],
        streams=streams,
        finish=finish,
        scales=tuple(scales),
        coefficients=_numbers(*shape, start=11, positive=True).float(),
        weights=_numbers(*shape[:3], start=13, positive=True).float(),
        output=torch.zeros(1, sizes[0], 4),
        epsilon=1e-6 if finish == "ratio" else 0.0,
        stage=1,
        prefix=prefix,
        dynamic=finish == "ratio",
    )


def _with(block: Layer, **changes: object) -> Layer:
    return replace(block, scales=tuple(replace(scale, **changes) for scale in block.scales))


def records() -> dict[str, Layer]:
    """By the name of their files."""
    both = (Stream("same", "same"), Stream("opposite", "opposite", turn=1))
    coarse = _TOKENS.pooled(2)
    one = (Stream("softmax"),)
    # One number each, as its positive and its negative part.
    signed = _layer("signed", "ratio", both, [(_TOKENS, _TOKENS, 1)], parts=2, width=3)
    numbers = [2 * factor[:1] - 1 for factor in (signed.scales[0].left, signed.scales[0].right)]
    left, right = (torch.cat([number.relu(), (-number).relu()]) for number in numbers)
    # All tokens ask, keys are pooled; a key and a half are left out.
    softmax = _layer("softmax", "softmax", one, [(_TOKENS, coarse, 2)], width=5, prefix=("class", "register 1"))
    kept = torch.tensor([1, 1, 0, 0.5, 1, 1, 1, 1])
    window = _layer("window", "softmax", one, [(Grid(6, 4), Grid(6, 4), 1)], width=5)
    bias = _numbers(2, 5, 3, start=17, positive=False).float()
    return {
        "ratio": _layer(
            "ratio", "ratio", both, [(_TOKENS, _TOKENS, 1), (Grid(*coarse.size), coarse, 2)], parts=2, width=3
        ),
        "signed": _with(signed, left=left, right=right),
        "product": _layer("product", "product", (Stream("coat"),), [(_TOKENS, _TOKENS, 1)], width=5, prefix=("class",)),
        "softmax": _with(softmax, kept=kept),
        "window": _with(window, window=Window((3, 2), (1, 1), bias)),
    }


def _weights(query: str, tokens: tuple[int, int], grid: tuple[int, int]) -> np.ndarray:
    """How much of each query of a grid is asked: linear interpolation with half-pixel centres, written out."""

    def along(coarse: int, fine: int, at: int) -> np.ndarray:
        x = min(max((at + 0.5) * coarse / fine - 0.5, 0), coarse - 1)
        return np.maximum(0, 1 - np.abs(np.arange(coarse) - x))

    rows, columns = (range(n) for n in tokens) if query == "all" else ([int(at)] for at in query.split(","))
    asked = [
        np.outer(along(grid[0], tokens[0], r), along(grid[1], tokens[1], c)).ravel() for r in rows for c in columns
    ]
    return np.mean(asked, 0)


def _seen(window: Window | None, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """``(N, N)`` which keys queries see, ``(h, N, N)`` what is added to their scores."""
    N = grid.rows * grid.columns
    if window is None:
        return np.ones((1, 1), bool), np.zeros((1, 1, 1))
    sees, added = np.zeros((N, N), bool), np.zeros((len(window.bias), N, N))
    for i, (r, c) in enumerate(np.ndindex(*grid.size)):
        for j, (y, x) in enumerate(np.ndindex(*grid.size)):
            places = [
                [((at - shift) % n // side, at < shift) for at in pair]
                for pair, shift, n, side in zip(((r, y), (c, x)), window.shift, grid.size, window.size, strict=True)
            ]
            sees[i, j] = all(query == key for query, key in places)
            if sees[i, j]:
                added[:, i, j] = window.bias[:, r - y + window.size[0] - 1, c - x + window.size[1] - 1]
    return sees, added


def _rows(block: Layer, query: str) -> list[list]:
    """For each scale ``[stream][head][key]``, prefix tokens first."""
    found = []
    for scale in block.scales:
        left, right = (factor[:, 0].double().numpy() for factor in (scale.left, scale.right))  # (P, h, N, r)
        if query in block.prefix:
            asked = np.arange(left.shape[2]) == block.prefix.index(query)
        else:
            placed = _weights(query, block.grid.size, scale.queries.size)
            asked = np.concatenate([np.zeros(len(block.prefix)), placed])
        sees, added = _seen(scale.window, scale.keys)
        maps = []
        for stream in block.streams:
            s = np.einsum("phir,phjr->hij", np.roll(left, -stream.turn, 0), right)
            if block.finish == "ratio":
                s = s / (s.sum(-1, keepdims=True) + s.shape[-1] * block.epsilon)
            elif block.finish == "softmax":
                s = np.exp(s + added) * sees * (1 if scale.kept is None else scale.kept.double().numpy())
                s = s / s.sum(-1, keepdims=True)
            maps.append(np.einsum("i,hij->hj", asked, s).tolist())
        found.append(maps)
    return found


def told_of_heads(block: Layer) -> dict[str, list]:
    """Each number ``[head][scale][stream]``, ``same_share`` ``[head][scale]``, and ``similarity`` ``[head][head]``."""
    precise = [replace(scale, left=scale.left.double(), right=scale.right.double()) for scale in block.scales]
    block = replace(block, scales=tuple(precise))
    found = heads.numbers(block)
    told = {field.name: getattr(found, field.name)[0] for field in fields(found)}
    told["similarity"] = heads.similarity(block)
    return {name: json.loads(json.dumps(values.tolist()).replace("NaN", "null")) for name, values in told.items()}


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, block in records().items():
        (FOLDER / f"{name}.bin").write_bytes(factors.encode(block))
        rows = {query: _rows(block, query) for query in (*QUERIES, *block.prefix)}
        (FOLDER / f"{name}.json").write_text(json.dumps({"rows": rows, "heads": told_of_heads(block)}) + "\n")
