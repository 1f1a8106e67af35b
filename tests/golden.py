"""Small layers, one of each rule, whose bytes and rows are kept: ``python tests/golden.py`` wrote them.

Numbers come from a formula, so that no release of a library draws others. Rows are computed entry by entry in float64.
"""

import json
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dsp_viz import factors
from dsp_viz.layer import Finish, Grid, Layer, Scale, Stream

FOLDER = Path(__file__).parent / "data" / "layers"

#: Asked of each: two tokens and the average of all.
QUERIES = ("0,0", "4,2", "all")

_TOKENS = Grid(5, 3)


def _numbers(*shape: int, start: int, positive: bool) -> Tensor:
    """Numbers that look like none in particular, within -1 and 1, or 0 and 1."""
    steps = torch.arange(start, start + math.prod(shape)) * 7919 % 1009  # whole numbers: the same on every machine
    values = steps.double() / 1009
    return (values if positive else 2 * values - 1).view(shape)


def _layer(
    finish: Finish, streams: tuple[Stream, ...], grids: list[tuple[Grid, Grid, int]], parts: int, width: int
) -> Layer:
    heads, scales = 2, []
    for s, (queries, keys, pooled) in enumerate(grids):
        sizes = [grid.rows * grid.columns for grid in (queries, keys)]
        left, right = (
            _numbers(parts, 1, heads, n, width, start=1000 * s + 7 * i, positive=finish == "ratio").float()
            for i, n in enumerate(sizes)
        )
        scales.append(Scale(queries, keys, left, right, torch.zeros(1, heads, sizes[1], 2), pooled=pooled))
    shape = (1, heads, len(scales), len(streams))
    return Layer(
        name=f"blocks.1.{finish}",
        kind=f"{finish} attention",
        grid=_TOKENS,
        streams=streams,
        finish=finish,
        scales=tuple(scales),
        coefficients=_numbers(*shape, start=11, positive=True).float(),
        weights=_numbers(*shape[:3], start=13, positive=True).float(),
        output=torch.zeros(1, 15, 4),
        epsilon=1e-6 if finish == "ratio" else 0.0,
        stage=1,
        dynamic=finish == "ratio",
    )


def records() -> dict[str, Layer]:
    """By the name of their files."""
    both = (Stream("same", "same"), Stream("opposite", "opposite", turn=1))
    coarse = _TOKENS.pooled(2)
    return {
        "ratio": _layer("ratio", both, [(_TOKENS, _TOKENS, 1), (Grid(*coarse.size), coarse, 2)], parts=2, width=3),
        "product": _layer("product", (Stream("inline"),), [(_TOKENS, _TOKENS, 1)], parts=1, width=5),
        # All tokens ask, keys are pooled.
        "softmax": _layer("softmax", (Stream("softmax"),), [(_TOKENS, coarse, 2)], parts=1, width=5),
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


def _rows(block: Layer, query: str) -> list[list]:
    """For each scale ``[stream][head][key]``."""
    found = []
    for scale in block.scales:
        left, right = (factor[:, 0].double().numpy() for factor in (scale.left, scale.right))  # (P, h, N, r)
        asked = _weights(query, block.grid.size, scale.queries.size)
        maps = []
        for stream in block.streams:
            s = np.einsum("phir,phjr->hij", np.roll(left, -stream.turn, 0), right)
            if block.finish == "ratio":
                s = s / (s.sum(-1, keepdims=True) + s.shape[-1] * block.epsilon)
            elif block.finish == "softmax":
                s = np.exp(s) / np.exp(s).sum(-1, keepdims=True)
            maps.append(np.einsum("i,hij->hj", asked, s).tolist())
        found.append(maps)
    return found


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, block in records().items():
        (FOLDER / f"{name}.bin").write_bytes(factors.encode(block))
        rows = {query: _rows(block, query) for query in QUERIES}
        (FOLDER / f"{name}.json").write_text(json.dumps({"rows": rows}) + "\n")
