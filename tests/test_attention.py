"""The DSP-Attention layer against its slow reference, and what it promises: linear, exact, every option an effect."""

import numpy as np
import pytest
import reference
import torch
from layers import build, shaken
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from dsp_attention import DynamicSpectralPolarityAttention, PolaFormerAttention
from dsp_viz import maps
from dsp_viz.trace import trace


@pytest.mark.parametrize(
    ("dim", "heads", "grid", "options"),
    [
        (12, 3, (4, 4), {}),
        (12, 3, (5, 7), {"qkv_bias": True, "alpha": 2.5, "kernel_size": 3}),
        (15, 3, (6, 5), {"num_scales": 3, "spectral_modes": 4}),  # d = 5 splits into 3 and 2
        (20, 1, (9, 10), {"num_scales": 4, "spectral_modes": 16}),  # fewer tokens than modes
        (6, 6, (1, 1), {"num_scales": 3}),
        (16, 4, (1, 9), {"num_scales": 3}),
        (16, 4, (10, 1), {"num_scales": 1}),
    ],
)
def test_equals_the_reference(dim: int, heads: int, grid: tuple[int, int], options: dict) -> None:
    layer = shaken(build(dim, heads, **options).double()).eval()
    x = torch.randn(2, grid[0] * grid[1], dim, dtype=torch.double)
    got = layer(x, *grid)
    p = reference.numbers(layer.state_dict())
    for sample in range(2):
        expected = reference.dsp(
            p, x[sample].numpy(), *grid, heads=heads, alpha=options.get("alpha", 4.0), inner_heads=2 if dim >= 16 else 1
        )
        np.testing.assert_allclose(got[sample].detach(), expected["y"], rtol=0, atol=1e-9)


def test_every_map_is_the_reference_map() -> None:
    layer = shaken(build().double()).eval()
    x = torch.randn(1, 35, 12, dtype=torch.double)
    block = trace(layer, x, 5, 7).blocks[0]
    expected = reference.dsp(
        reference.numbers(layer.state_dict()), x[0].numpy(), 5, 7, heads=3, alpha=4.0, inner_heads=1
    )
    np.testing.assert_allclose(block.coefficients[0], expected["c"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(block.weights[0], expected["w"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(block.output[0], expected["mixed"], rtol=0, atol=1e-10)
    for scale, (coarse, size) in enumerate((((5, 7), 35), ((3, 4), 12))):
        U = reference.lift_matrix(coarse, (5, 7))
        for row, column in ((0, 0), (2, 3), (4, 6)):
            got = maps.block_maps(block, (row, column))[scale]
            for head in range(3):
                for stream in range(2):
                    want = U[row * 7 + column] @ expected["maps"][scale * 3 + head][stream]
                    np.testing.assert_allclose(got[stream, head].reshape(size), want, rtol=0, atol=1e-13)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("grid", [(14, 14), (5, 9)])
def test_contains_polaformer(dtype: torch.dtype, tolerance: float, grid: tuple[int, int]) -> None:
    """One scale, initial values: what enters the LayerNorm is PolaFormer's attention with its gate at 1."""
    dim, heads, N = 48, 4, grid[0] * grid[1]
    torch.manual_seed(0)
    dsp = DynamicSpectralPolarityAttention(dim, heads, num_scales=1).to(dtype).eval()
    pola = PolaFormerAttention(dim, N, heads, qkv_bias=True).to(dtype).eval()
    scale = torch.nn.functional.softplus(torch.zeros((), dtype=torch.double)).item()
    with torch.no_grad():
        q, k, v = dsp.qkv[0].weight.chunk(3)
        pola.qg.weight.copy_(torch.cat([q * scale, torch.zeros_like(q)]))  # PolaFormer divides by softplus(0)
        pola.qg.bias.copy_(torch.cat([torch.zeros(dim), torch.ones(dim)]))
        pola.kv.weight.copy_(torch.cat([k * scale, v]))
        pola.kv.bias.zero_()
        # PolaFormer shares one kernel set between heads, DSP has one for each channel.
        dsp.convolution.kernels[0].copy_(pola.dwc.weight.repeat(heads, 1, 1, 1))
        dsp.convolution.bias.copy_(pola.dwc.bias.repeat(heads))
        pola.proj.weight.copy_(torch.eye(dim))
        pola.proj.bias.zero_()
    x = torch.randn(2, N, dim, dtype=dtype)
    mixed = trace(dsp, x, *grid).blocks[0].output
    torch.testing.assert_close(mixed, pola(x, *grid), rtol=0, atol=tolerance)


def test_branch_starts_as_large_as_polaformer_s() -> None:
    torch.manual_seed(0)
    x = nn.functional.layer_norm(torch.randn(4, 256, 128) + torch.randn(4, 1, 128), (128,))
    with torch.no_grad():
        ours = DynamicSpectralPolarityAttention(128, 4, spectral_modes=8)(x).std()
        theirs = PolaFormerAttention(128, 256, 4)(x).std()
    assert 0.8 < ours / theirs < 1.25


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_maps_rebuild_what_the_layer_computed(dtype: torch.dtype, tolerance: float) -> None:
    """``Σ w c U A v + conv(v)``, a row at a time, from hooked tensors alone."""
    layer = shaken(build(24, 3, num_scales=3, spectral_modes=5), 0.1).to(dtype).eval()
    H, W = 9, 7
    block = trace(layer, torch.randn(2, H * W, 24, dtype=dtype), H, W).blocks[0]
    for sample, row, column in ((0, 0, 0), (0, 8, 6), (1, 4, 3), (1, 0, 5)):
        rebuilt = block.local[sample, row * W + column].clone().unflatten(0, (3, 8))
        for s, rows in enumerate(maps.block_maps(block, (row, column), sample=sample)):
            v = block.scales[s].values[sample]  # (h, N_s, d)
            w = block.weights[sample, :, s, None]
            c = block.coefficients[sample, :, s, :, None]
            same, opposite = rows.flatten(-2)
            rebuilt[:, :4] += w * c[:, 0] * torch.einsum("hn,hnd->hd", same, v[..., :4])
            rebuilt[:, 4:] += w * c[:, 1] * torch.einsum("hn,hnd->hd", opposite, v[..., 4:])
        torch.testing.assert_close(
            rebuilt.flatten(), block.output[sample, row * W + column], rtol=tolerance, atol=tolerance
        )


class Largest(TorchDispatchMode):
    """The most elements that any tensor of a computation has."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        out = function(*args, **(kwargs or {}))
        for tensor in torch.utils._pytree.tree_leaves(out):
            if isinstance(tensor, Tensor):
                self.elements = max(self.elements, tensor.untyped_storage().nbytes() // tensor.element_size())
        return out


def test_no_tensor_of_n_by_n_elements() -> None:
    layer = build(16, 2, num_scales=3)
    largest = []
    for side in (32, 64):
        x = torch.randn(1, side * side, 16)
        with Largest() as seen:
            layer(x).sum().backward()
        assert seen.elements < side**4 / 4
        largest.append(seen.elements)
    assert largest[1] <= 4 * largest[0]  # linear: four times the tokens, at most four times the elements
    with Largest() as dense:
        torch.ones(1024, 1) @ torch.ones(1, 1024)
    assert dense.elements == 1024**2  # the measure itself sees one


CHANGES = {
    "num_heads": {"heads": 4},
    "qkv_bias": {"qkv_bias": True},
    "alpha": {"alpha": 2.0},
    "kernel_size": {"kernel_size": 7},
    "spectral_modes": {"spectral_modes": 2},
    "num_scales": {"num_scales": 3},
}


@pytest.mark.parametrize("name", CHANGES)
def test_every_parameter_changes_the_output(name: str) -> None:
    x = torch.randn(2, 36, 12, generator=torch.Generator().manual_seed(1))
    options = CHANGES[name]
    outputs = []
    for chosen in ({}, options):
        layer = shaken(build(**{"dim": 12, "heads": 3} | chosen)).eval()  # type: ignore[arg-type]
        for key, value in shaken(build()).state_dict().items():  # same weights wherever they fit
            target = layer.state_dict().get(key)
            if target is not None and target.shape == value.shape:
                target.copy_(value)
        outputs.append(layer(x))
    assert (outputs[0] - outputs[1]).abs().max() > 1e-3


@pytest.mark.parametrize("name", ["attn_drop", "proj_drop"])
def test_dropout_acts_in_training_alone(name: str) -> None:
    layer = build(**{name: 0.5})
    x = torch.randn(2, 36, 12)
    assert not torch.allclose(layer(x), layer(x))
    layer.eval()
    torch.testing.assert_close(layer(x), layer(x), rtol=0, atol=0)
    torch.testing.assert_close(layer(x), build().eval()(x), rtol=0, atol=0)


def test_attn_drop_leaves_out_keys_in_numerator_and_normaliser() -> None:
    """With values of one every output stays one whatever keys are left out; a plain dropout would scatter it."""
    attention = build(attn_drop=0.5).attention[0].train()
    features = torch.rand(2, 2, 3, 2, 40, 6, dtype=torch.double)
    ones = torch.ones(3, 2, 40, 6, dtype=torch.double)
    out = attention(features, ones, torch.ones(3, 2, 2, dtype=torch.double))
    torch.testing.assert_close(out, ones, rtol=0, atol=1e-5)
    v = torch.randn(3, 2, 40, 6, dtype=torch.double)
    assert not torch.allclose(attention(features, v, torch.ones(3, 2, 2)), attention(features, v, torch.ones(3, 2, 2)))


def test_adaptive_beta_sets_how_fast_the_weights_move() -> None:
    moved = []
    for beta in (0.0, 0.1, 0.5):
        layer = build(adaptive_beta=beta).train()
        x = torch.randn(4, 36, 12, generator=torch.Generator().manual_seed(1))
        before = layer(x)
        before.square().sum().backward()
        moved.append((layer(x) - before).abs().max().item())
    assert moved[0] == 0
    assert 0 < moved[1] < moved[2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dim": 10, "heads": 3}, "dim=10, num_heads=3: num_heads must divide dim"),
        ({"dim": 12, "heads": 0}, "num_heads=0"),
        ({"dim": 0, "heads": 1}, "dim=0"),
        ({"kernel_size": 4}, "kernel_size=4: must be odd"),
        ({"kernel_size": -1}, "kernel_size=-1: must be odd and positive"),
        ({"num_scales": 0}, "num_scales=0: must be 1 or more"),
        ({"spectral_modes": 0}, "spectral_modes=0: at least 1"),
        ({"adaptive_beta": 1.5}, "adaptive_beta=1.5: must lie within 0 and 1"),
        ({"adaptive_beta": float("nan")}, "adaptive_beta=nan"),
        ({"alpha": 0.0}, "alpha=0.0: the range of the power must be positive"),
        ({"alpha": float("nan")}, "alpha=nan"),
        ({"attn_drop": 1.5}, "attn_drop=1.5: must be within"),
        ({"attn_drop": 1.0}, "attn_drop=1.0: must be within"),
        ({"proj_drop": -0.1}, "proj_drop=-0.1: must be within"),
    ],
)
def test_bad_arguments_say_what_is_allowed(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(**options)


@pytest.mark.parametrize(
    ("shape", "grid", "message"),
    [
        ((2, 12, 12), (), "12 tokens do not form a square grid; pass the grid as H and W"),
        ((2, 16, 12), (4, 5), r"H=4, W=5 hold 20 tokens, but x has 16"),
        ((2, 16, 12), (-4, -4), "H=-4, W=-4"),
        ((2, 16, 12), (4,), "pass both or neither"),
        ((2, 16, 11), (), r"expected \(B, N, C\) with C = 12"),
        ((16, 12), (), r"x has shape \(16, 12\)"),
        ((2, 0, 12), (), "at least 1 token"),
    ],
)
def test_bad_input_says_what_is_allowed(shape: tuple[int, ...], grid: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()(torch.randn(shape), *grid)
