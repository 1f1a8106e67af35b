"""Window attention against a loop over windows; grids that no window divides; what a reader asks of it."""

import copy
import pickle

import numpy as np
import pytest
import reference
import torch
from layers import shaken

from dsp_attention import WindowAttention


def build(window: int, shift: int = 0, **options: bool) -> WindowAttention:
    torch.manual_seed(0)
    return shaken(WindowAttention(6, 2, window=window, shift=shift, **options).double(), 0.7).eval()


GRIDS = {
    "whole windows": (3, 0, (6, 9)),
    "shifted": (3, 1, (6, 9)),
    "shifted by an even window": (4, 2, (8, 12)),
    "padded": (3, 0, (5, 7)),
    "shifted and padded": (3, 1, (5, 7)),
    "shifted and padded by one": (4, 2, (7, 5)),
    "no larger than the window": (5, 2, (3, 7)),
    "one window": (5, 2, (5, 5)),
    "one token": (3, 1, (1, 1)),
}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("case", GRIDS)
def test_equals_a_loop_over_windows(case: str, bias: bool) -> None:
    window, shift, (H, W) = GRIDS[case]
    layer = build(window, shift, qkv_bias=bias)
    x = torch.randn(2, H * W, 6, dtype=torch.double)
    got, p = layer(x, H, W).detach(), reference.numbers(layer.state_dict())
    for sample in range(2):
        want = reference.window(p, x[sample].numpy(), H, W, heads=2, window=window, shift=shift)
        np.testing.assert_allclose(got[sample], want, rtol=0, atol=1e-12)


def test_names_and_shapes_are_the_official_ones_without_what_can_be_derived() -> None:
    assert {
        key: tuple(value.shape) for key, value in WindowAttention(8, 2, window=7, shift=3).state_dict().items()
    } == {
        "relative_position_bias_table": (169, 2),
        "qkv.weight": (24, 8),
        "qkv.bias": (24,),
        "proj.weight": (8, 8),
        "proj.bias": (8,),
    }


def test_window_and_shift_of_a_grid() -> None:
    layer = build(7, 3)
    assert [layer.window_of(*grid) for grid in ((14, 14), (8, 21), (7, 7), (7, 10), (2, 9))] == [
        (7, 3),
        (7, 3),
        (7, 0),
        (7, 0),
        (2, 0),
    ]


def test_bias_is_ordered_by_how_far_the_query_lies_below_and_right_of_the_key() -> None:
    layer = build(3)
    table = layer.relative_position_bias_table.detach()
    bias = layer.bias().detach()
    for below in range(-2, 3):
        for right in range(-2, 3):
            assert torch.equal(bias[:, 2 + below, 2 + right], table[(below + 2) * 5 + right + 2])
    assert torch.equal(layer.bias(2).detach(), bias[:, 1:4, 1:4])


def test_what_enters_the_projection_lies_on_the_grid() -> None:
    """A hook at ``qkv`` and one at ``proj`` see the tokens in the same order: without other keys, out is v."""
    layer = build(3, 1)
    seen = {}
    layer.qkv.register_forward_hook(lambda _m, _i, y: seen.update(qkv=y))
    layer.proj.register_forward_pre_hook(lambda _m, inputs: seen.update(out=inputs[0]))
    torch.nn.init.zeros_(layer.relative_position_bias_table)
    with torch.no_grad():
        layer.relative_position_bias_table[12] = 1e6  # the token itself
        layer(torch.randn(2, 35, 6, dtype=torch.double), 5, 7)
    _, _, v = layer.heads(seen["qkv"])
    assert v.shape == (2, 2, 35, 3)
    torch.testing.assert_close(seen["out"], v.transpose(1, 2).flatten(2), rtol=0, atol=1e-12)


def test_padding_gets_no_gradient_and_gives_none_that_is_not_finite() -> None:
    layer = build(3, 1)
    x = torch.randn(1, 35, 6, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: layer(x, 5, 7), x)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_halves(dtype: torch.dtype) -> None:
    layer = build(3, 1).float()
    x = torch.randn(2, 35, 6)
    want = layer(x, 5, 7)
    with torch.autocast("cpu", dtype):
        mixed = layer(x, 5, 7)
    cast = copy.deepcopy(layer).to(dtype)(x.to(dtype), 5, 7)
    for got in (mixed, cast):
        assert got.dtype == dtype
        assert (got - want).abs().max() <= 8 * torch.finfo(dtype).eps * want.abs().max()


def test_copies_and_compiles() -> None:
    layer = build(3, 1)
    x = torch.randn(2, 35, 6, dtype=torch.double)
    want = layer(x, 5, 7)
    again = pickle.loads(pickle.dumps(layer))
    torch.testing.assert_close(again(x, 5, 7), want)
    torch.testing.assert_close(torch.compile(layer, backend="eager", fullgraph=True)(x, 5, 7), want)


@pytest.mark.parametrize("name", ["attn_drop", "proj_drop"])
def test_dropout_acts_in_training_alone(name: str) -> None:
    layer = WindowAttention(8, 2, window=3, **{name: 0.5})
    x = torch.randn(1, 36, 8)
    assert not torch.allclose(layer(x), layer(x))
    torch.testing.assert_close(layer.eval()(x), layer(x))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"window": 0}, "window=0, shift=0: window must be 1 or more"),
        ({"window": 4, "shift": 4}, "shift=4: window must be 1 or more, shift within 0 and 3"),
        ({"shift": -1}, "shift=-1"),
        ({"num_heads": 3}, "num_heads must divide dim"),
        ({"attn_drop": 1.0}, "attn_drop=1.0"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WindowAttention(**{"dim": 8, "num_heads": 2} | arguments)


@pytest.mark.parametrize(("window", "shift"), [(2, 0), (2, 1), (8, 0)])
def test_no_picture_is_no_picture(window: int, shift: int) -> None:
    layer = WindowAttention(8, 2, window=window, shift=shift)
    assert layer(torch.zeros(0, 15, 8), 3, 5).shape == (0, 15, 8)
