"""The attentions that DSP-Attention is compared with: traced, mapped and stored, against dense float64 references."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import EXAMPLES
from torch import Tensor

import dsp_viz
from dsp_attention import DynamicSpectralPolarityAttention, PolaFormerAttention, SoftmaxAttention
from dsp_viz import __main__ as cli
from dsp_viz import export, factors, maps
from dsp_viz.trace import names, trace

H, W, HEADS, DIM = 5, 7, 3, 21


@pytest.fixture(scope="module")
def x() -> Tensor:
    return torch.randn(2, H * W, DIM, dtype=torch.double, generator=torch.Generator().manual_seed(5))


@pytest.fixture(scope="module")
def softmax() -> SoftmaxAttention:
    torch.manual_seed(1)
    return SoftmaxAttention(DIM, HEADS).double().eval()


@pytest.fixture(scope="module")
def polaformer() -> PolaFormerAttention:
    torch.manual_seed(1)
    layer = PolaFormerAttention(DIM, H * W, HEADS).double().eval()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return layer


def softmax_rows(layer: SoftmaxAttention, x: Tensor) -> tuple[Tensor, Tensor]:
    """Maps ``(B, h, N, N)`` and values, written out head by head."""
    d = DIM // HEADS
    projected = x @ layer.qkv.weight.T
    q, k, v = (projected[..., i * DIM : (i + 1) * DIM] for i in range(3))
    rows, values = [], []
    for h in range(HEADS):
        part = slice(h * d, (h + 1) * d)
        rows.append(torch.softmax(q[..., part] @ k[..., part].mT / math.sqrt(d), -1))
        values.append(v[..., part])
    return torch.stack(rows, 1), torch.stack(values, 1)


@torch.inference_mode()
def test_softmax_maps_are_the_layer(softmax: SoftmaxAttention, x: Tensor) -> None:
    result = trace(softmax, x, H, W)
    block = result.blocks[0]
    assert (block.finish, block.grid.size, block.scales[0].keys) == ("softmax", (H, W), block.grid)
    assert maps.streams(block) == ("softmax",)
    rows, values = softmax_rows(softmax, x)
    for query in ((0, 0), (4, 6), (2, 3)):
        (got,) = maps.block_maps(block, query, sample=1)
        torch.testing.assert_close(got[0].flatten(1), rows[1, :, query[0] * W + query[1]], rtol=1e-12, atol=1e-12)
    (average,) = maps.block_maps(block, "all", sample=1)
    torch.testing.assert_close(average[0].flatten(1), rows[1].mean(1), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(maps.layer_map(block, (1, 2)), maps.block_maps(block, (1, 2))[0], rtol=0, atol=0)
    joined = (rows @ values).transpose(1, 2).flatten(2)
    torch.testing.assert_close(softmax.proj(joined), result.output, rtol=1e-12, atol=1e-12)


def test_averages_over_many_queries_are_taken_in_parts() -> None:
    """More tokens than rows are computed at a time."""
    torch.manual_seed(0)
    layer = SoftmaxAttention(4, 1).double().eval()
    with torch.no_grad():
        layer.qkv.weight.mul_(4)
    x = torch.randn(1, 18 * 18, 4, dtype=torch.double)
    block = trace(layer, x).blocks[0]
    q, k, _ = layer.qkv(x).detach().chunk(3, -1)
    want = torch.softmax(q[0] @ k[0].T / 2, -1).mean(0)
    torch.testing.assert_close(maps.block_maps(block, "all")[0][0, 0].flatten(), want, rtol=1e-12, atol=1e-12)


@torch.inference_mode()
def test_polaformer_maps_are_the_layer(polaformer: PolaFormerAttention, x: Tensor) -> None:
    """Maps, values, convolution, gate and projection give the layer's output."""
    result = trace(polaformer, x, H, W)
    block = result.blocks[0]
    assert (block.finish, block.kind, block.parts) == ("ratio", "PolaFormer attention", None)
    assert torch.equal(block.coefficients, torch.ones(2, HEADS, 1, 2, dtype=torch.double))
    d, first = DIM // HEADS, (DIM // HEADS + 1) // 2
    queries = [(r, c) for r in range(H) for c in range(W)]
    rows = torch.stack([maps.block_maps(block, q, sample=1)[0].flatten(2) for q in queries], 2)  # (2, h, N, N)
    v = block.scales[0].values[1]
    attended = torch.cat([rows[0] @ v[..., :first], rows[1] @ v[..., first:]], -1).transpose(0, 1).flatten(1)
    _, g = (x[1] @ polaformer.qg.weight.T).chunk(2, -1)
    image = v.transpose(-1, -2).reshape(HEADS, d, H, W)
    local = polaformer.dwc(image).reshape(DIM, H * W).T
    torch.testing.assert_close(polaformer.proj((attended + local) * g), result.output[1], rtol=1e-10, atol=1e-10)


def test_same_share_by_definition(polaformer: PolaFormerAttention, x: Tensor) -> None:
    dsp = DynamicSpectralPolarityAttention(DIM, HEADS, spectral_modes=3, num_scales=2).double().eval()
    for layer in (polaformer, dsp):
        block = trace(layer, x, H, W).blocks[0]
        left, right = block.scales[0].left[:, 0], block.scales[0].right[:, 0]
        for query in ((0, 0), (3, 5)):
            q = left[:, :, query[0] * W + query[1]]  # (2, h, d)
            for head in range(HEADS):
                same = sum(float(q[p, head] @ right[p, head, j]) for p in (0, 1) for j in range(H * W))
                opposite = sum(float(q[1 - p, head] @ right[p, head, j]) for p in (0, 1) for j in range(H * W))
                got = maps.same_share(block, query)[head, 0]
                assert float(got) == pytest.approx(same / (same + opposite), rel=1e-12)
        every = [maps.same_share(block, (r, c))[:, 0] for r in range(H) for c in range(W)]
        torch.testing.assert_close(maps.same_share(block, "all")[:, 0], torch.stack(every).mean(0), rtol=1e-12, atol=0)


def test_streams_have_their_names(softmax: SoftmaxAttention, polaformer: PolaFormerAttention, x: Tensor) -> None:
    where = {"block": 0, "scale": 0, "head": 0, "query": (0, 0)}
    with pytest.raises(ValueError, match="stream='same': must be one of softmax"):
        maps.query_map(trace(softmax, x, H, W), stream="same", **where)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="stream='softmax': must be one of same, opposite"):
        maps.query_map(trace(polaformer, x, H, W), stream="softmax", **where)  # type: ignore[arg-type]


def test_hook_names(softmax: SoftmaxAttention, polaformer: PolaFormerAttention) -> None:
    assert names(torch.nn.Sequential(softmax)) == ["0", "0.qkv", "0.proj"]
    assert names(torch.nn.Sequential(polaformer)) == ["0", "0.qg", "0.dwc", "0.attention", "0.proj"]


@pytest.mark.parametrize("scale", [1.0, 6.0])
def test_softmax_from_the_factors_is_close(scale: float) -> None:
    """also where maps are sharp: within 1/255 of each map's largest value."""
    torch.manual_seed(2)
    layer = SoftmaxAttention(64, 2).eval()
    with torch.no_grad():
        layer.qkv.weight.mul_(scale)
    block = trace(layer, torch.randn(1, 256, 64) + 2 * torch.randn(64)).blocks[0]
    data = factors.encode(block)
    header, (decoded,) = factors.decode(data)
    assert (header["finish"], header["scales"][0]["width"], header["heads"]) == ("softmax", 32, 2)
    scores = np.einsum("hid,hjd->hij", decoded.left.astype(np.float64), decoded.right)
    rows = np.exp(scores - scores.max(-1, keepdims=True))
    rows /= rows.sum(-1, keepdims=True)
    for i in range(0, 256, 5):
        want = maps.block_maps(block, (i // 16, i % 16))[0][0].flatten(1).double().numpy()
        assert (np.abs(rows[:, i] - want).max(1) <= want.max(1) / 255).all()
    np.testing.assert_allclose(decoded.average[0], maps.block_maps(block, "all")[0][0].flatten(1), rtol=1e-6)


@pytest.mark.parametrize("name", ["polaformer_everyday", "softmax_everyday"])
def test_numbers_and_figures_without_a_browser(name: str, tmp_path: Path) -> None:
    assert cli.main(["analyse", str(EXAMPLES[0]), "--out", str(tmp_path), "--model", name, "--query", "4,12"]) == 0
    result = dsp_viz.analyse(dsp_viz.load(name), EXAMPLES[0])
    block = result.trace.blocks[2]
    with np.load(tmp_path / f"{EXAMPLES[0].stem}.npz") as kept:
        averages = maps.block_maps(block, "all")[0]
        np.testing.assert_allclose(kept["block2/scale0/maps"], averages, rtol=1e-4, atol=1e-7)
        inside = {key.rsplit("/", 1)[-1] for key in kept if key.startswith("block2/")}
    told = {"coefficients", "mixing_weights", "grid"}
    assert inside == told | {"queries", "keys", "left", "right", "values", "maps", "entropies"}
    title = (tmp_path / f"{EXAMPLES[0].stem}.svg").read_text()
    assert title.startswith("<?xml")
    assert name in export.html(result, block=2, query=(3, 11))
    figure = export.maps_figure(result, block=2, query=(3, 11))
    words = {text.get_text() for text in figure.texts}
    assert set(maps.streams(block)) <= words
