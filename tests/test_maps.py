"""The maps are rebuilt exactly: against explicit N×N products in float64."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from dsp_attention import DynamicSpectralPolarityAttention
from dsp_viz import maps, spectrum
from dsp_viz.influence import SUMMARIES, summary_influence
from dsp_viz.layer import Grid, Layer
from dsp_viz.trace import trace

# Prime and unequal: C = 21 = 3 heads × 7 channels (odd d), grid 5 × 7, two scales with cut windows.
H, W, HEADS, DIM, SCALES = 5, 7, 3, 21, 3


@pytest.fixture(scope="module")
def layer() -> DynamicSpectralPolarityAttention:
    torch.manual_seed(3)
    layer = DynamicSpectralPolarityAttention(DIM, HEADS, spectral_modes=3, num_scales=SCALES).double().eval()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return layer


@pytest.fixture(scope="module")
def block(layer: DynamicSpectralPolarityAttention) -> Layer:
    x = torch.randn(2, H * W, DIM, dtype=torch.double, generator=torch.Generator().manual_seed(5))
    return trace(layer, x, H, W).blocks[0]


def dense(block: Layer, scale: int, sample: int) -> Tensor:
    """Explicit maps ``(2, h, N_s, N_s)`` from the definition, without factorising."""
    left, right = block.scales[scale].left[:, sample], block.scales[scale].right[:, sample]
    q, k = torch.cat([left[0], left[1]], -1), torch.cat([right[0], right[1]], -1)
    q_opposite = torch.cat([left[1], left[0]], -1)
    products = torch.stack([q @ k.mT, q_opposite @ k.mT])
    n = products.shape[-1]
    return products / (products.sum(-1, keepdim=True) + n * 1e-6)


def interpolation(coarse: int, fine: int) -> Tensor:
    """Bilinear weights along one axis, written out: half-pixel centres, edges repeated."""
    result = torch.zeros(fine, coarse, dtype=torch.double)
    for i in range(fine):
        position = max(0.0, (i + 0.5) * coarse / fine - 0.5)
        low = min(int(position), coarse - 1)
        high = min(low + 1, coarse - 1)
        result[i, low] += 1 - (position - low)
        result[i, high] += position - low
    return result


def lifted(block: Layer, scale: int, sample: int) -> Tensor:
    """``U_s A_s`` ``(2, h, N, N_s)``."""
    h, w = block.scales[scale].queries.size
    lift = torch.kron(interpolation(h, H), interpolation(w, W))
    return lift @ dense(block, scale, sample)


@pytest.mark.parametrize("query", [(0, 0), (2, 3), (4, 6)])
@pytest.mark.parametrize("sample", [0, 1])
def test_rows_equal_the_dense_maps(block: Layer, query: tuple[int, int], sample: int) -> None:
    got = maps.block_maps(block, query, sample=sample)
    for scale in range(SCALES):
        want = lifted(block, scale, sample)[:, :, query[0] * W + query[1]]
        torch.testing.assert_close(got[scale].flatten(2), want, rtol=1e-11, atol=1e-14)


def test_average_over_queries_equals_the_mean_of_all_rows(block: Layer) -> None:
    got = maps.block_maps(block, "all")
    for scale in range(SCALES):
        torch.testing.assert_close(got[scale].flatten(2), lifted(block, scale, 0).mean(2), rtol=1e-11, atol=1e-14)


def test_layer_map_equals_the_weighted_dense_maps(block: Layer) -> None:
    want = torch.zeros(2, HEADS, H * W, dtype=torch.double)
    for scale in range(SCALES):
        f, (h, w) = 2**scale, block.scales[scale].keys.size
        pooling = torch.zeros(h * w, H * W, dtype=torch.double)
        for y in range(H):
            for x in range(W):
                pooling[(y // f) * w + x // f, y * W + x] = 1
        pooling /= pooling.sum(1, keepdim=True)
        row = lifted(block, scale, 1)[:, :, 3 * W + 5] @ pooling
        want += (block.weights[1, :, scale] * block.coefficients[1, :, scale].T)[..., None] * row
    got = maps.layer_map(block, (3, 5), sample=1)
    torch.testing.assert_close(got.flatten(2), want, rtol=1e-11, atol=1e-14)


def test_one_map_is_the_same_as_in_the_block(layer: DynamicSpectralPolarityAttention) -> None:
    x = torch.randn(1, H * W, DIM, dtype=torch.double)
    traced = trace(layer, x, H, W)
    everything = maps.block_maps(traced.blocks[0], (1, 6))
    one = maps.query_map(traced, block=0, scale=1, head=2, stream="opposite", query=(1, 6))
    assert one.shape == (3, 4)
    assert torch.equal(one, everything[1][1, 2])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"block": 1}, "block=1: must be within 0 and 0"),
        ({"scale": -1}, "scale=-1"),
        ({"head": 3}, "head=3: must be within 0 and 2"),
        ({"stream": "negative"}, "stream='negative': must be one of same, opposite"),
        ({"query": (5, 0)}, "rows 0…4 and columns 0…6"),
        ({"query": "some"}, "must be \\(row, column\\) or 'all'"),
        ({"sample": 2}, "sample=2"),
    ],
)
def test_bad_arguments_say_what_is_allowed(
    layer: DynamicSpectralPolarityAttention, change: dict[str, object], message: str
) -> None:
    traced = trace(layer, torch.randn(2, H * W, DIM, dtype=torch.double), H, W)
    good: dict[str, object] = {"block": 0, "scale": 0, "head": 0, "stream": "same", "query": (0, 0)}
    with pytest.raises(ValueError, match=message):
        maps.query_map(traced, **{**good, **change})  # type: ignore[arg-type]


def test_entropy_by_hand() -> None:
    spike = torch.zeros(2, 3, dtype=torch.double)
    spike[1, 2] = 5.0
    halves = torch.tensor([[0.5, 0.0, 0.0], [0.5, 0.0, 0.0]], dtype=torch.double)
    stacked = torch.stack([spike, halves, torch.full((2, 3), 7.0, dtype=torch.double), torch.zeros(2, 3).double()])
    want = torch.tensor([0.0, 0.38685280723454163, 1.0, 1.0], dtype=torch.double)  # ln 2 / ln 6
    torch.testing.assert_close(maps.entropy(stacked), want, rtol=1e-12, atol=1e-12)
    assert maps.entropy(torch.tensor([[[-1.0, 2.0]], [[-1.0, 0.5]], [[-1.0, -2.0]]])).isnan().all()


def test_full_spectrum_is_that_of_a_real_kernel(block: Layer) -> None:
    full = spectrum.full_spectrum(block.parts.filters)
    assert full.shape == (2, HEADS, 5, 5)
    torch.testing.assert_close(full, full.flip(-1, -2).conj())
    torch.testing.assert_close(full[..., 2:], 1 + block.parts.filters)


def test_radial_profile_by_hand() -> None:
    gain = torch.arange(25, dtype=torch.double).view(5, 5)
    # Radius 0: the middle. Rounded radius 1: the eight around it. 2: all others but the corners (2.83 → 3).
    around = [6, 7, 8, 11, 13, 16, 17, 18]
    outer = [1, 2, 3, 5, 9, 10, 14, 15, 19, 21, 22, 23]
    want = torch.tensor([12.0, sum(around) / 8, sum(outer) / 12], dtype=torch.double)
    torch.testing.assert_close(spectrum.radial_profile(gain), want)


def test_radial_power_is_that_of_the_fields(layer: DynamicSpectralPolarityAttention, block: Layer) -> None:
    """Parseval before the filters; after them against the fields that the layer itself filtered."""
    powers = spectrum.radial_power(block, sample=1)
    field = block.parts.fields[0][1]
    torch.testing.assert_close(powers[0].sum(-1), field.square().mean((0, 1, 4)))
    with torch.inference_mode():
        filtered = layer.spectral(block.parts.fields[0])  # (2, F, B, h, N, d)
    for polarity in range(2):
        torch.testing.assert_close(powers[1 + polarity].sum(-1), filtered[polarity, :, 1].square().mean((-1, -2)))
    assert powers.shape == (3, 2, HEADS, 5)  # the corner of 5×7 lies at hypot(2, 3) ≈ 4


def test_radial_power_of_a_wave_lies_at_its_frequency(block: Layer) -> None:
    y = (torch.arange(H, dtype=torch.double) + 0.5) / H
    wave = torch.cos(2 * torch.pi * 2 * y)[:, None].expand(H, W)
    field = wave[None, :, :, None, None, None].expand(1, H, W, 2, HEADS, 7)
    power = spectrum.radial_power(replace(block, parts=replace(block.parts, fields=(field,))))[0]
    torch.testing.assert_close(power, torch.tensor([0, 0, 0.5, 0, 0], dtype=torch.double).expand_as(power))


@pytest.mark.parametrize("grid", [(5, 7), (8, 8), (2, 3)])
def test_spatial_kernel_is_the_filter(layer: DynamicSpectralPolarityAttention, grid: tuple[int, int]) -> None:
    """An impulse in the middle comes out as itself plus the kernel."""
    rows, columns = grid
    impulse = torch.zeros(1, rows, columns, 1, HEADS, 1, dtype=torch.double)
    impulse[0, rows // 2, columns // 2] = 1
    with torch.inference_mode():
        out = layer.spectral(impulse)[:, 0, 0, :, :, 0].unflatten(-1, grid)
        kernel = spectrum.spatial_kernel(layer.spectral.filters(), rows, columns)
    torch.testing.assert_close(kernel, out - impulse[0, ..., 0, 0, 0])


def test_summary_influence_is_what_a_hook_finds(layer: DynamicSpectralPolarityAttention) -> None:
    x = torch.randn(2, H * W, DIM, dtype=torch.double)
    whole = trace(layer, x, H, W).blocks[0]
    for i, name in enumerate(SUMMARIES):
        handle = layer.context.get_submodule(f"{name}_summary").register_forward_hook(lambda m, a, out: out * 0)
        without = trace(layer, x, H, W).blocks[0].coefficients
        handle.remove()
        change = whole.coefficients - without
        torch.testing.assert_close(summary_influence(layer, whole)[i], change)
        assert change.abs().max() > 1e-3


def test_a_query_is_a_place_in_the_picture() -> None:
    fine, coarse = Grid(5, 7), Grid(2, 3)
    # The middle of row 2 of 5 lies at half of the height, which is where row 1 of 2 begins.
    assert [maps.place((row, 0), fine, coarse)[0] for row in range(5)] == [0, 0, 1, 1, 1]
    assert [maps.place((0, column), fine, coarse)[1] for column in range(7)] == [0, 0, 1, 1, 1, 2, 2]
    assert [maps.place((row, 0), coarse, fine)[0] for row in range(2)] == [1, 3]
    assert maps.place("all", fine, coarse) == "all"
    with pytest.raises(ValueError, match="rows 0…4"):
        maps.place((5, 0), fine, coarse)


def test_spread_by_hand() -> None:
    """Three keys over two tokens: the middle one lies half in each. Beyond the picture's edge nothing is seen."""
    values = torch.tensor([[3.0], [4.0], [5.0]], dtype=torch.double)
    got = maps.spread(values, Grid(3, 1), Grid(2, 1))
    torch.testing.assert_close(got, torch.tensor([[5.0], [7.0]], dtype=torch.double))
    # Keys of 2 tokens on 3: the second covers one token only, and gives it all.
    got = maps.spread(values[:2], Grid(3, 1).pooled(2), Grid(3, 1))
    torch.testing.assert_close(got, torch.tensor([[1.5], [1.5], [4.0]], dtype=torch.double))
    # A window: the lower half of the picture.
    got = maps.spread(values[:2], Grid(2, 1, (0.5, 0.0, 1.0, 1.0)), Grid(4, 1))
    torch.testing.assert_close(got, torch.tensor([[0.0], [0.0], [3.0], [4.0]], dtype=torch.double))


def test_the_former_name_of_a_stream_is_read(layer: DynamicSpectralPolarityAttention) -> None:
    traced = trace(layer, torch.randn(1, H * W, DIM, dtype=torch.double), H, W)
    where: dict = {"block": 0, "scale": 1, "head": 2, "query": (1, 6)}
    with pytest.warns(DeprecationWarning, match="polarity= is called stream= now"):
        former = maps.query_map(traced, polarity="opposite", **where)
    assert torch.equal(former, maps.query_map(traced, stream="opposite", **where))
