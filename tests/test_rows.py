"""Rows of windows and of tokens without a place: against every score written out, and what the layers put out."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from windowed import TOKENS, WINDOWS, TokenReader, Tokens, WindowReader, Windows

from dsp_attention.window import WindowAttention
from dsp_viz import maps, proof
from dsp_viz.kinds import KINDS
from dsp_viz.layer import Finish, Grid, Layer, Window
from dsp_viz.trace import trace

HEADS, DIM = 3, 15
GRID, SIZE = (10, 9), (5, 3)


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, WINDOWS, WindowReader())
    monkeypatch.setitem(KINDS, TOKENS, TokenReader())


def windowed(shift: tuple[int, int]) -> Layer:
    torch.manual_seed(1)
    layer = Windows(DIM, HEADS, GRID, SIZE, shift).double().eval()
    traced = trace(layer, 2 * torch.randn(2, 90, DIM, dtype=torch.double))
    assert traced.verified < 1e-12
    return traced.blocks[0]


def of_window(block: Layer, row: int, column: int, sample: int) -> Tensor:
    """``(h, H, W)``: the row of a query, key by key from the definition."""
    (H, W), (R, C) = GRID, SIZE
    window = block.scales[0].window
    left, right = block.scales[0].left[0, sample], block.scales[0].right[0, sample]
    down, across = window.shift

    def at(i: int, shift: int, n: int, side: int) -> tuple[int, bool]:
        return (i - shift) % n // side, i < shift  # which window, and whether it came around the edge

    weights = torch.zeros(HEADS, H, W, dtype=torch.double)
    for r in range(H):
        for c in range(W):
            if (at(r, down, H, R), at(c, across, W, C)) == (at(row, down, H, R), at(column, across, W, C)):
                scores = (left[:, row * W + column] * right[:, r * W + c]).sum(-1)
                weights[:, r, c] = (scores + window.bias[:, row - r + R - 1, column - c + C - 1]).exp()
    return weights / weights.sum((1, 2), keepdim=True)


@pytest.mark.parametrize("shift", [(0, 0), (2, 1), (3, 0)])
def test_a_query_sees_its_window_on_the_whole_grid(shift: tuple[int, int]) -> None:
    block = windowed(shift)
    for query in ((0, 0), (9, 8), (2, 4), (7, 1)):
        (got,) = maps.block_maps(block, query, sample=1)
        torch.testing.assert_close(got[0], of_window(block, *query, 1), rtol=1e-11, atol=1e-14)
    mean = torch.stack([of_window(block, r, c, 0) for r in range(GRID[0]) for c in range(GRID[1])]).mean(0)
    torch.testing.assert_close(maps.block_maps(block, "all")[0][0], mean, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("shift", [(0, 0), (2, 1)])
def test_boxes_hold_each_token_once(shift: tuple[int, int]) -> None:
    for grid in (Grid(10, 9), Grid(7, 4), Grid(5, 3), Grid(3, 2)):  # windows at the end may be cut
        found = [(r, c) for rows, columns in Window(SIZE, shift).boxes(grid) for r in rows for c in columns]
        assert sorted(found) == [(r, c) for r in range(grid.rows) for c in range(grid.columns)]


def test_wrong_windows_do_not_pass_the_check() -> None:
    block = windowed((2, 1))
    scale = block.scales[0]
    assert proof.error(block) < 1e-12
    wrong = (
        replace(scale.window, shift=(1, 2)),
        replace(scale.window, bias=None),
        replace(scale.window, bias=scale.window.bias.flip(1)),
        replace(scale.window, size=(3, 5), bias=None),
        None,
    )
    for window in wrong:
        assert proof.error(replace(block, scales=(replace(scale, window=window),))) > 1e-2


@pytest.mark.parametrize("grid", [(8, 12), (10, 7), (3, 9)])
def test_windows_of_this_project_on_any_grid(grid: tuple[int, int]) -> None:
    """Where no window divides it, it is padded; where it is no longer than a window, that is as long as its side."""
    torch.manual_seed(1)
    layer = WindowAttention(DIM, HEADS, window=4, shift=2).double().eval()
    with torch.no_grad():
        layer.relative_position_bias_table.normal_()
    tokens = grid[0] * grid[1]
    traced = trace(layer, 2 * torch.randn(1, tokens, DIM, dtype=torch.double), *grid)
    assert traced.verified < 1e-12
    (block,) = traced.blocks
    rows = [maps.block_maps(block, divmod(i, grid[1]))[0][0].flatten(1) for i in range(tokens)]
    out = torch.stack(rows, 1) @ block.scales[0].values[0]
    torch.testing.assert_close(out.transpose(0, 1).flatten(1), block.output[0], rtol=1e-10, atol=1e-12)


def test_windows_need_softmax_and_one_grid() -> None:
    block = windowed((0, 0))
    for change in ({"finish": "ratio"}, {"prefix": ("class",)}, {"grid": Grid(9, 10)}):
        with pytest.raises(ValueError, match="windows need the rule softmax, one grid"):
            replace(block, **change)


H, W = 5, 3


def tokens(finish: Finish) -> Layer:
    torch.manual_seed(2)
    layer = Tokens(DIM, HEADS, finish).double().eval()
    traced = trace(layer, 2 * torch.randn(2, 2 + H * W, DIM, dtype=torch.double), H, W)
    assert traced.verified < 1e-12
    return traced.blocks[0]


def dense(block: Layer, sample: int) -> Tensor:
    """``(h, 2 + N, 2 + N)``, entry by entry."""
    left, right = block.scales[0].left[0, sample], block.scales[0].right[0, sample]
    n = left.shape[1]
    result = torch.zeros(HEADS, n, n, dtype=torch.double)
    for h in range(HEADS):
        for i in range(n):
            scores = [float(left[h, i] @ right[h, j]) for j in range(n)]
            if block.finish == "ratio":
                scores = [s / (sum(scores) + 1e-3) for s in scores]
            elif block.finish == "softmax":
                scores = [math.exp(s) / sum(map(math.exp, scores)) for s in scores]
            result[h, i] = torch.tensor(scores, dtype=torch.double)
    return result


@pytest.mark.parametrize("finish", ["ratio", "product", "softmax"])
def test_prefix_tokens_are_keys_beside_the_map_and_can_ask(finish: Finish) -> None:
    block = tokens(finish)
    want = dense(block, 1)
    queries: dict = {"class": want[:, 0], "register 1": want[:, 1], "all": want[:, 2:].mean(1)}
    queries |= {(row, column): want[:, 2 + row * W + column] for row, column in ((0, 0), (4, 2), (3, 1))}
    for query, row in queries.items():
        (placed,), (shares,) = (find(block, query, sample=1) for find in (maps.block_maps, maps.prefix_shares))
        torch.testing.assert_close(placed[0].flatten(1), row[:, 2:], rtol=1e-11, atol=1e-13)
        torch.testing.assert_close(shares[0], row[:, :2], rtol=1e-11, atol=1e-13)
    with pytest.raises(ValueError, match="must be \\(row, column\\) or 'all', 'class', 'register 1'"):
        maps.block_maps(block, "register 2")


@pytest.mark.parametrize("finish", ["ratio", "product", "softmax"])
def test_a_wrong_row_of_a_prefix_token_does_not_pass(finish: Finish) -> None:
    block = tokens(finish)
    assert proof.error(block) < 1e-12
    for token in (0, 1):
        left = block.scales[0].left.clone()
        left[..., token, :] = left[..., 2, :]
        assert proof.error(replace(block, scales=(replace(block.scales[0], left=left),))) > 1e-3


def test_what_is_left_of_a_key_multiplies_its_exponential() -> None:
    block = tokens("softmax")
    kept = torch.tensor([1, 1] + [0, 0.25, 1] * 5, dtype=torch.double)
    want = dense(block, 0) * kept
    want = want / want.sum(-1, keepdim=True)
    scale = replace(block.scales[0], kept=kept)
    (got,) = maps.block_maps(replace(block, scales=(scale,)), (3, 1))
    torch.testing.assert_close(got[0].flatten(1), want[:, 2 + 10, 2:], rtol=1e-11, atol=1e-14)
    nothing = replace(scale, kept=torch.zeros(17, dtype=torch.double))
    assert not maps.block_maps(replace(block, scales=(nothing,)), (3, 1))[0].any()
    # What is left out may hold the largest score by far.
    large = replace(scale, left=1000 * scale.left)
    rows = maps.block_maps(replace(block, scales=(large,)), "all")[0]
    assert torch.isfinite(rows).all()
    assert not rows[..., 0].any()
