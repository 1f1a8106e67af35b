"""What a head does: against dense maps, row by row from :mod:`dsp_viz.maps`, and loops over queries, in float64."""

import math
from collections.abc import Callable
from dataclasses import fields, replace

import pytest
import torch
from layers import shaken
from torch import Tensor
from windowed import TOKENS, WINDOWS, TokenReader, Tokens, WindowReader, Windows

from dsp_attention import DynamicSpectralPolarityAttention
from dsp_viz import heads, maps
from dsp_viz.heads import HeadNumbers
from dsp_viz.kinds import KINDS
from dsp_viz.layer import Finish, Grid, Layer, Scale, Stream
from dsp_viz.trace import trace

HEADS, DIM, SAMPLES = 3, 15, 2
H, W = 5, 7


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, WINDOWS, WindowReader())
    monkeypatch.setitem(KINDS, TOKENS, TokenReader())


def drawn(*shape: int, seed: int = 5) -> Tensor:
    return torch.randn(*shape, dtype=torch.double, generator=torch.Generator().manual_seed(seed))


def dsp() -> Layer:
    """Two streams, three scales whose keys are pooled, the last of them cut."""
    torch.manual_seed(3)
    layer = shaken(DynamicSpectralPolarityAttention(DIM, HEADS, spectral_modes=3).double().eval())
    return trace(layer, drawn(SAMPLES, H * W, DIM), H, W).blocks[0]


def windows() -> Layer:
    torch.manual_seed(1)
    layer = Windows(DIM, HEADS, (10, 9), (5, 3), (2, 1)).double().eval()
    return trace(layer, 2 * drawn(SAMPLES, 90, DIM)).blocks[0]


def tokens(finish: Finish) -> Layer:
    torch.manual_seed(2)
    layer = Tokens(DIM, HEADS, finish).double().eval()
    return trace(layer, 2 * drawn(SAMPLES, 2 + H * W, DIM), H, W).blocks[0]


def pooled() -> Layer:
    """All tokens ask, keys are pooled and end beyond the picture; class token; part of the picture; a key left out."""
    grid = Grid(H, W, (0.0, 0.1, 0.9, 0.7))
    keys = grid.pooled(3)
    kept = torch.tensor([1, 1, 0, 0.5, 1, 1, 1], dtype=torch.double)
    left, right = drawn(1, SAMPLES, HEADS, 1 + H * W, 4), drawn(1, SAMPLES, HEADS, 7, 4, seed=6)
    scale = Scale(grid, keys, left, right, torch.zeros(SAMPLES, HEADS, 7, 2), pooled=3, kept=kept)
    return of_one(grid, scale, "softmax", prefix=("class",))


def of_one(grid: Grid, scale: Scale, finish: Finish, prefix: tuple[str, ...] = ()) -> Layer:
    samples, count = scale.right.shape[1:3]
    ones = torch.ones(samples, count, 1, dtype=torch.double)
    stream = (Stream("only"),)
    return Layer("layer", "any", grid, stream, finish, (scale,), ones[..., None], ones, torch.zeros(1), prefix=prefix)


def positive() -> Layer:
    """Of the rule product, no entry negative; rows sum to anything."""
    block = tokens("product")
    scale = block.scales[0]
    return replace(block, scales=(replace(scale, left=scale.left.abs(), right=scale.right.abs()),))


BLOCKS: dict[str, Callable[[], Layer]] = {
    "dsp": dsp,
    "windows": windows,
    "ratio": lambda: tokens("ratio"),
    "softmax": lambda: tokens("softmax"),
    "product": positive,
    "pooled": pooled,
}


def dense(block: Layer, s: int, sample: int) -> tuple[Tensor, Tensor]:
    """``(T, h, N_queries, H_keys, W_keys)`` of the scale's own queries, and what prefix tokens get of each."""
    scale = block.scales[s]
    # A layer of these queries alone: each asks for itself.
    own = replace(block, grid=scale.queries, scales=(scale,))
    places = [(row, column) for row in range(scale.queries.rows) for column in range(scale.queries.columns)]
    found = [maps.block_maps(own, place, sample=sample)[0] for place in places]
    beside = [maps.prefix_shares(own, place, sample=sample)[0] for place in places]
    return torch.stack(found, 2), torch.stack(beside, 2)


def cells(grid: Grid, within: Grid) -> list[tuple[float, float]]:
    """Middles of the parts of its cells that lie within another grid, as shares of the picture."""
    top, left, bottom, right = grid.box
    tall, wide = (bottom - top) / grid.rows, (right - left) / grid.columns
    end, edge = within.box[2:]
    return [
        (
            (top + r * tall + min(top + (r + 1) * tall, end)) / 2,
            (left + c * wide + min(left + (c + 1) * wide, edge)) / 2,
        )
        for r in range(grid.rows)
        for c in range(grid.columns)
    ]


def slowly(block: Layer) -> dict[str, Tensor]:
    """The same numbers, query by query."""
    T, S = len(block.streams), len(block.scales)
    result = {f.name: torch.full((SAMPLES, HEADS, S, T), math.nan).double() for f in fields(HeadNumbers)}
    top, left, bottom, right = block.grid.box
    # Tokens are square: the picture is so many of them high and wide.
    high, wide = block.grid.rows / (bottom - top), block.grid.columns / (right - left)
    longer = max(high, wide)
    for s, scale in enumerate(block.scales):
        asking, keys = cells(scale.queries, block.grid), cells(scale.keys, block.grid)
        y0, x0, y1, x1 = scale.keys.box
        N = len(asking)
        amounts = amounts_of(scale.queries, block.grid)
        for b in range(SAMPLES):
            A, beside = dense(block, s, b)
            for t in range(T):
                for h in range(HEADS):
                    square = own = prefix = seeing = weight = 0.0
                    for i, (y, x) in enumerate(asking):
                        row, share = A[t, h, i].flatten(), amounts[i]
                        whole = row.sum() + beside[t, h, i].sum()
                        if not whole:  # a query without features
                            continue
                        if row.sum():
                            seeing += share
                            square += (
                                share
                                / row.sum()
                                * sum(
                                    a * (((y - v) * high / longer) ** 2 + ((x - u) * wide / longer) ** 2)
                                    for a, (v, u) in zip(row, keys, strict=True)
                                )
                            )
                        r = math.floor((y - y0) / (y1 - y0) * scale.keys.rows + 1e-9)
                        c = math.floor((x - x0) / (x1 - x0) * scale.keys.columns + 1e-9)
                        own += share * A[t, h, i, r, c] / whole
                        prefix += share * beside[t, h, i].sum() / whole
                        weight += share
                    mean = sum(share * A[t, h, i] for i, share in enumerate(amounts))
                    found = {
                        "distance": math.sqrt(square / seeing),
                        "self_share": own / weight,
                        "prefix_share": prefix / weight,
                        "received_entropy": maps.entropy(mean),
                        "centre_row": sum(a * v for a, (v, _) in zip(mean.flatten(), keys, strict=True)) / mean.sum(),
                        "centre_column": sum(a * u for a, (_, u) in zip(mean.flatten(), keys, strict=True))
                        / mean.sum(),
                        "entropy": maps.entropy(A[t, h, sampled(scale.queries, N)]).mean(),
                    }
                    for name, value in found.items():
                        result[name][b, h, s, t] = value
    result["same_share"] = torch.full((SAMPLES, HEADS, S), math.nan, dtype=torch.double)
    if T == 2:
        shares = [maps.same_share(block, "all", sample=b) for b in range(SAMPLES)]
        result["same_share"] = torch.stack(shares)
    return result


def amounts_of(queries: Grid, tokens: Grid) -> list[float]:
    """How much all tokens ask each query, by linear interpolation with half-pixel centres."""

    def along(coarse: int, fine: int) -> Tensor:
        at = ((torch.arange(fine) + 0.5).double() * coarse / fine - 0.5).clamp(0, coarse - 1)
        return (1 - (at[:, None] - torch.arange(coarse)).abs()).clamp_min(0).mean(0)

    rows, columns = (along(*sides) for sides in zip(queries.size, tokens.size, strict=True))
    return torch.outer(rows, columns).flatten().tolist()


def sampled(grid: Grid, count: int) -> list[int]:
    """By hand, for the grids here."""
    if count <= 16:
        return list(range(count))
    rows, columns = {
        (5, 7): ([0, 1, 3, 4], [0, 2, 4, 6]),
        (10, 9): ([1, 3, 6, 8], [1, 3, 5, 7]),
    }[grid.size]
    return [row * grid.columns + column for row in rows for column in columns]


@pytest.mark.parametrize("name", BLOCKS)
def test_numbers_are_those_of_the_dense_maps(name: str) -> None:
    block = BLOCKS[name]()
    found, want = heads.numbers(block), slowly(block)
    for field in fields(HeadNumbers):
        got = getattr(found, field.name)
        torch.testing.assert_close(
            got, want[field.name], rtol=1e-9, atol=1e-12, equal_nan=True, msg=lambda m, f=field: f"{f.name}: {m}"
        )
    assert found.self_share.shape == (SAMPLES, HEADS, len(block.scales), len(block.streams))
    assert found.same_share.isnan().all() == (name != "dsp")
    assert (found.prefix_share > 0).all() == bool(block.prefix)


@pytest.mark.parametrize("name", BLOCKS)
def test_in_float32_they_are_as_exact_as_that(name: str) -> None:
    block = BLOCKS[name]()
    scales = tuple(replace(s, left=s.left.float(), right=s.right.float()) for s in block.scales)
    found, want = heads.numbers(replace(block, scales=scales)), heads.numbers(block)
    for field in fields(HeadNumbers):
        got = getattr(found, field.name)
        assert got.dtype == torch.float32
        torch.testing.assert_close(got.double(), getattr(want, field.name), rtol=1e-4, atol=1e-5, equal_nan=True)


@pytest.mark.parametrize("entries", [1, 100, 300])
@pytest.mark.parametrize("name", ["windows", "softmax", "pooled"])
def test_how_many_weights_at_a_time_does_not_matter(monkeypatch: pytest.MonkeyPatch, name: str, entries: int) -> None:
    block = BLOCKS[name]()
    want, alike = heads.numbers(block), heads.similarity(block, sample=1)
    monkeypatch.setattr(heads, "_ENTRIES", entries * SAMPLES * HEADS)
    found = heads.numbers(block)
    for field in fields(HeadNumbers):
        torch.testing.assert_close(getattr(found, field.name), getattr(want, field.name), equal_nan=True)
    torch.testing.assert_close(heads.similarity(block, sample=1), alike)


def test_signed_maps_have_no_shares() -> None:
    """Head by head: one whose factors are not negative has."""
    block = tokens("product")
    scale = block.scales[0]
    left, right = scale.left.clone(), scale.right.clone()
    left[:, :, 1], right[:, :, 1] = left[:, :, 1].abs(), right[:, :, 1].abs()
    found = heads.numbers(replace(block, scales=(replace(scale, left=left, right=right),)))
    for field in fields(HeadNumbers):
        if field.name != "same_share":
            assert getattr(found, field.name).isnan()[0, :, 0, 0].tolist() == [True, False, True]


def test_distances_by_hand() -> None:
    """Three queries in a row, a picture twice as wide as it is high; each looks at the first alone, or at itself."""
    grid = Grid(1, 3, (0.0, 0.0, 0.5, 0.75))  # 2 tokens high, 4 wide
    onto = 50 * torch.tensor([[1.0, 0, 0], [1, 0, 0], [1, 0, 0]]), 50 * torch.eye(3)
    left = torch.stack(onto)[None, None]  # (1, 1, 2, 3, 3)
    right = torch.eye(3).expand(1, 1, 2, 3, 3)
    scale = Scale(grid, grid, left, right, torch.zeros(1, 2, 3, 1))
    found = heads.numbers(of_one(grid, scale, "softmax"))
    # 0, 1 and 2 tokens of a quarter each: the root of their mean square.
    torch.testing.assert_close(found.distance[0, :, 0, 0], torch.tensor([math.sqrt(5 / 3) / 4, 0]), atol=1e-3, rtol=0)
    torch.testing.assert_close(found.self_share[0, :, 0, 0], torch.tensor([1 / 3, 1]))
    torch.testing.assert_close(found.centre_column[0, :, 0, 0], torch.tensor([0.125, 0.375]))
    torch.testing.assert_close(found.centre_row[0, :, 0, 0], torch.tensor([0.25, 0.25]))
    torch.testing.assert_close(found.received_entropy[0, :, 0, 0], torch.tensor([0.0, 1.0]), atol=1e-6, rtol=0)
    torch.testing.assert_close(found.entropy[0, :, 0, 0], torch.zeros(2), atol=1e-6, rtol=0)


def test_queries_without_features_do_not_count() -> None:
    block = tokens("ratio")
    scale = block.scales[0]
    left = scale.left.clone()
    left[..., 2 + 4, :] = 0
    left[:, :, 2] = 0
    found = heads.numbers(replace(block, scales=(replace(scale, left=left),)))
    assert found.distance.isnan()[0, :, 0, 0].tolist() == [False, False, True]
    A, beside = dense(block, 0, 1)
    whole = A[0, 0].sum((1, 2)) + beside[0, 0].sum(-1)
    own = [A[0, 0, i].flatten()[i] / whole[i] for i in range(H * W) if i != 4 and whole[i]]
    torch.testing.assert_close(found.self_share[1, 0, 0, 0], torch.stack(own).mean())


@pytest.mark.parametrize("name", [*BLOCKS, "signed"])
def test_similarity_is_the_correlation_of_the_dense_maps(name: str) -> None:
    block = tokens("product") if name == "signed" else BLOCKS[name]()
    for s in range(len(block.scales)):
        maps_of, _ = dense(block, s, 1)
        A = maps_of.flatten(3)
        A = (A - A.mean(-1, keepdim=True)).transpose(0, 1).flatten(1)  # (h, T·N_queries·N_keys)
        want = torch.tensor([[float(a @ b / a.norm() / b.norm()) for b in A] for a in A], dtype=torch.double)
        torch.testing.assert_close(heads.similarity(block, scale=s, sample=1), want, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("grid", [(1, 1), (1, 40), (31, 1), (3, 5), (4, 4), (2, 9), (6, 3), (13, 17)])
def test_sampled_queries_lie_all_over_the_grid(grid: tuple[int, int]) -> None:
    found = heads._sampled(Grid(*grid)).tolist()
    assert len(set(found)) == len(found)
    assert min(16, grid[0] * grid[1]) * 3 // 4 <= len(found) <= 16
    assert len(found) == grid[0] * grid[1] or grid[0] * grid[1] > 16
    middle = [sum(divmod(i, grid[1])[axis] for i in found) / len(found) for axis in (0, 1)]
    assert [abs(at - (n - 1) / 2) <= 0.5 for at, n in zip(middle, grid, strict=True)] == [True, True]
