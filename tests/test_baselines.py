"""PolaFormer's layer against its slow reference and official names; softmax attention against a dense one."""

import numpy as np
import pytest
import reference
import torch

from dsp_attention import PolaFormerAttention, SoftmaxAttention
from dsp_attention.grid import resize_positions


@pytest.mark.parametrize(("grid", "bias", "kernel"), [((4, 4), False, 5), ((3, 5), True, 3)])
def test_polaformer_equals_the_reference(grid: tuple[int, int], bias: bool, kernel: int) -> None:
    torch.manual_seed(0)
    layer = PolaFormerAttention(12, grid[0] * grid[1], 3, qkv_bias=bias, alpha=3.0, kernel_size=kernel).double().eval()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    x = torch.randn(2, grid[0] * grid[1], 12, dtype=torch.double)
    got = layer(x, *grid).detach()
    p = reference.numbers(layer.state_dict())
    for sample in range(2):
        want = reference.polaformer(p, x[sample].numpy(), *grid, heads=3, alpha=3.0)
        np.testing.assert_allclose(got[sample], want, rtol=0, atol=1e-10)


def test_official_weights_load_as_they_are() -> None:
    """Names and shapes of the attention in the official PVT model without spatial reduction."""
    official = {
        "power": (1, 4, 1, 8),
        "scale": (1, 1, 32),
        "positional_encoding": (1, 49, 32),
        "qg.weight": (64, 32),
        "kv.weight": (64, 32),
        "proj.weight": (32, 32),
        "proj.bias": (32,),
        "dwc.weight": (8, 1, 5, 5),
        "dwc.bias": (8,),
    }
    layer = PolaFormerAttention(32, 49, 4)
    assert {key: tuple(value.shape) for key, value in layer.state_dict().items()} == official


def test_positional_encoding_is_interpolated_to_other_grids() -> None:
    layer = PolaFormerAttention(8, 16, 2).eval()
    torch.nn.init.normal_(layer.positional_encoding)
    x = torch.randn(1, 30, 8)
    y = layer(x, 5, 6)
    with torch.no_grad():
        layer.positional_encoding.zero_()
    assert not torch.allclose(layer(x, 5, 6), y)
    with pytest.raises(ValueError, match=r"holds 15 tokens, no square.*num_tokens=16"):
        PolaFormerAttention(8, 15, 2)(torch.randn(1, 16, 8))


def test_as_many_tokens_on_another_grid_lie_elsewhere() -> None:
    torch.manual_seed(0)
    layer = PolaFormerAttention(12, 16, 3).double().eval()
    torch.nn.init.normal_(layer.positional_encoding)
    x = torch.randn(1, 16, 12, dtype=torch.double)
    p = reference.numbers(layer.state_dict())
    p["positional_encoding"] = resize_positions(layer.positional_encoding, (4, 4), (2, 8)).detach().numpy()
    want = reference.polaformer(p, x[0].numpy(), 2, 8, heads=3, alpha=4.0)
    np.testing.assert_allclose(layer(x, 2, 8)[0].detach(), want, rtol=0, atol=1e-10)


def test_softmax_equals_a_dense_one() -> None:
    torch.manual_seed(0)
    layer = SoftmaxAttention(12, 3, qkv_bias=True).double().eval()
    x = torch.randn(2, 9, 12, dtype=torch.double)
    got = layer(x).detach()
    p = reference.numbers(layer.state_dict())
    for sample in range(2):
        q, k, v = np.split(reference.linear(x[sample].numpy(), p["qkv.weight"], p["qkv.bias"]), 3, axis=1)
        heads = [
            reference.softmax(q[:, s] @ k[:, s].T / 2) @ v[:, s] for s in (slice(4 * i, 4 * i + 4) for i in range(3))
        ]
        want = reference.linear(np.concatenate(heads, 1), p["proj.weight"], p["proj.bias"])
        np.testing.assert_allclose(got[sample], want, rtol=0, atol=1e-12)


@pytest.mark.parametrize("layer", [PolaFormerAttention(8, 4, 2), SoftmaxAttention(8, 2)])
def test_bad_input_is_refused_as_by_dsp(layer: torch.nn.Module) -> None:
    for shape, grid, message in (
        ((1, 12, 8), (), "do not form a square grid"),
        ((1, 4, 7), (), "with C = 8"),
        ((1, 4, 8), (3, 2), "hold 6 tokens, but x has 4"),
    ):
        with pytest.raises(ValueError, match=message):
            layer(torch.randn(shape), *grid)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_tokens": 0}, "num_tokens=0: must be 1 or more"),
        ({"kernel_size": 2}, "kernel_size=2: must be odd"),
        ({"num_heads": 3}, "num_heads must divide dim"),
        ({"attn_drop": 1.0}, "attn_drop=1.0"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PolaFormerAttention(**{"dim": 8, "num_tokens": 4, "num_heads": 2} | arguments)
    if "num_tokens" not in arguments and "kernel_size" not in arguments:
        with pytest.raises(ValueError, match=message):
            SoftmaxAttention(**{"dim": 8, "num_heads": 2} | arguments)


@pytest.mark.parametrize("name", ["attn_drop", "proj_drop"])
def test_dropout_acts_in_training_alone(name: str) -> None:
    x = torch.randn(1, 16, 8)
    for layer in (PolaFormerAttention(8, 16, 2, **{name: 0.5}), SoftmaxAttention(8, 2, **{name: 0.5})):
        assert not torch.allclose(layer(x), layer(x))
        layer.eval()
        torch.testing.assert_close(layer(x), layer(x), rtol=0, atol=0)
