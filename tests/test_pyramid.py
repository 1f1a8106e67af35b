"""The hierarchical classifier against a slow one; sizes, names and groups that others build on."""

import copy
import json
import math
import pickle

import numpy as np
import pytest
import reference
import torch
import torch.nn.functional as F
from layers import shaken
from torch import Tensor, nn

from benchmarks.attention import LargestTensor
from dsp_attention import HierarchicalClassifier
from dsp_attention.grid import as_image, as_tokens, lift
from dsp_attention.optim import parameter_roles
from dsp_attention.pyramid import STAGE_ATTENTIONS

#: Four stages of 16 × 16 to 2 × 2 tokens, each of another attention.
MIXED = {
    "image_size": 64,
    "dims": [6, 10, 14, 22],
    "depths": [1, 2, 1, 1],
    "num_heads": [1, 2, 2, 2],
    "mlp_ratios": [2, 3, 1.5, 2],
    "attention": ["dsp", "window", "polaformer", "softmax"],
    "num_classes": 3,
    "window": 5,
    "spectral_modes": 3,
    "num_scales": 2,
    "kernel_size": 3,
}


def small(attention: str, **options: object) -> dict:
    """Two stages of one attention, of 8 × 8 and 4 × 4 tokens."""
    sizes = {"image_size": 32, "dims": [6, 10], "depths": [2, 1], "num_heads": [2, 2], "mlp_ratios": [2, 3]}
    return sizes | {"attention": attention, "num_classes": 3, "window": 3, "spectral_modes": 3} | options


def build(**arguments: object) -> HierarchicalClassifier:
    torch.manual_seed(0)
    return shaken(HierarchicalClassifier(**arguments), 0.3).eval()


def pictures(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


def attended(p: dict, x: np.ndarray, H: int, W: int, attn: nn.Module, kind: str) -> np.ndarray:
    """One attention layer of one sample by its slow reference."""
    heads = attn.num_heads
    if kind == "dsp":
        inner = 2 if attn.dim >= 16 else 1
        return reference.dsp(p, x, H, W, heads=heads, alpha=4.0, inner_heads=inner)["y"]
    if kind == "window":
        return reference.window(p, x, H, W, heads=heads, window=attn.window, shift=attn.shift)
    if kind == "softmax":
        return reference.softmax_attention(p, x, heads=heads)
    return reference.polaformer(p, x, H, W, heads=heads, alpha=4.0)  # on the grid that its encodings are made for


def padded(x: np.ndarray, patch: int) -> np.ndarray:
    """``(H, W, C)`` with zeros up to whole patches."""
    return np.pad(x, ((0, -x.shape[0] % patch), (0, -x.shape[1] % patch), (0, 0)))


def embedded(p: dict, x: np.ndarray, patch: int, merging: bool) -> np.ndarray:
    """The next coarser ``(H, W, C)``, patch by patch."""
    x = padded(x, patch)
    rows = []
    for r in range(0, x.shape[0], patch):
        row = []
        for c in range(0, x.shape[1], patch):
            tile = x[r : r + patch, c : c + patch]
            if merging:
                four = np.concatenate([tile[0, 0], tile[1, 0], tile[0, 1], tile[1, 1]])
                row.append(
                    reference.linear(reference.layer_norm(reference.part(p, "norm"), four), p["reduction.weight"])
                )
            else:
                dot = np.einsum("yxc,ocyx->o", tile, p["proj.weight"]) + p["proj.bias"]
                row.append(reference.layer_norm(reference.part(p, "norm"), dot))
        rows.append(row)
    return np.array(rows)


def classified(model: HierarchicalClassifier, image: np.ndarray, arguments: dict) -> tuple[list, np.ndarray]:
    """Maps of all stages ``(H, W, C)`` and logits of one picture ``(3, height, width)``."""
    p = reference.numbers(model.state_dict())
    eps, merging = arguments.get("norm_eps", 1e-5), arguments.get("downsampling") == "merging"
    x, maps = image.transpose(1, 2, 0), []
    for i, stage in enumerate(model.stages):
        own = reference.part(p, f"stages.{i}")
        x = embedded(reference.part(own, "embed"), x, 2 if i else 4, merging and i > 0)
        H, W, C = x.shape
        x = x.reshape(H * W, C)
        if "positions" in own:
            side = math.isqrt(own["positions"].shape[1])
            x = x + reference.lift_matrix((side, side), (H, W)) @ own["positions"][0]
        for j, block in enumerate(stage.blocks):
            q = reference.part(own, f"blocks.{j}")
            kind = arguments["attention"] if isinstance(arguments["attention"], str) else arguments["attention"][i]
            normal = reference.layer_norm(reference.part(q, "norm1"), x, eps)
            x = x + attended(reference.part(q, "attn"), normal, H, W, block.attn, kind)
            normal = reference.layer_norm(reference.part(q, "norm2"), x, eps)
            hidden = reference.gelu(reference.linear(normal, q["mlp.0.weight"], q["mlp.0.bias"]))
            x = x + reference.linear(hidden, q["mlp.2.weight"], q["mlp.2.bias"])
        x = x.reshape(H, W, C)
        maps.append(x)
    tokens = x.reshape(H * W, C)
    if "norm.weight" in p:
        tokens = reference.layer_norm(reference.part(p, "norm"), tokens, eps)
    return maps, reference.linear(tokens.mean(0), p["head.weight"], p["head.bias"])


CASES = {
    **{f"{kind} in PVT": (small(kind, final_norm=False, norm_eps=1e-6), (32, 32)) for kind in STAGE_ATTENTIONS},
    **{
        f"{kind} in Swin": (small(kind, downsampling="merging", position_embedding=False), (32, 32))
        for kind in STAGE_ATTENTIONS
    },
    **{f"{kind} at another size": (small(kind), (21, 38)) for kind in ("dsp", "softmax", "window")},
    "four stages": (MIXED, (64, 64)),
    "four stages of Swin": (MIXED | {"downsampling": "merging"}, (64, 64)),
}


@pytest.mark.parametrize("case", CASES)
def test_equals_a_slow_one(case: str) -> None:
    arguments, size = CASES[case]
    model = build(**arguments).double()
    image = pictures(2, 3, *size, dtype=torch.double)
    with torch.no_grad():
        maps, logits = model.forward_features(image), model(image)
    want_maps, want = classified(model, image[1].numpy(), arguments)
    for got, expected in zip(maps, want_maps, strict=True):
        np.testing.assert_allclose(got[1].permute(1, 2, 0), expected, rtol=0, atol=1e-12 * np.abs(expected).max())
    np.testing.assert_allclose(logits[1], want, rtol=0, atol=1e-12 * max(1.0, np.abs(want).max()))


@pytest.mark.parametrize("size", [(64, 64), (128, 128), (96, 40), (61, 77), (1, 1)])
@pytest.mark.parametrize("downsampling", ["patch", "merging"])
def test_four_maps_of_any_picture(size: tuple[int, int], downsampling: str) -> None:
    model = build(**MIXED | {"downsampling": downsampling})
    image = pictures(2, 3, *size)
    with torch.no_grad():
        maps = model.forward_features(image)
        assert model(image).shape == (2, 3)
    for got, info, stride in zip(maps, model.feature_info, (4, 8, 16, 32), strict=True):
        assert got.shape == (2, info["num_chs"], -(-size[0] // stride), -(-size[1] // stride))
        assert got.is_contiguous(memory_format=torch.channels_last)
        assert torch.isfinite(got).all()


def test_encodings_stay_as_they_are_on_the_grid_they_were_made_for() -> None:
    """The official code interpolates there too, which changes nothing."""
    positions = pictures(1, 49, 5)
    for mode in ("bilinear", "bicubic"):
        again = as_tokens(F.interpolate(as_image(positions, 7, 7), size=(7, 7), mode=mode))
        torch.testing.assert_close(again, positions, rtol=0, atol=1e-6)
    assert lift(positions, (7, 7), (7, 7)) is positions


def test_a_picture_is_padded_at_the_right_and_the_bottom() -> None:
    model = build(**small("dsp"))
    image = pictures(1, 3, 30, 33)
    with torch.no_grad():
        torch.testing.assert_close(model(image), model(F.pad(image, (0, 3, 0, 2))))


def test_a_small_stem_of_convolutions() -> None:
    model = build(**small("dsp", stem="convolutions"))
    assert [type(layer).__name__ for layer in model.stages[0].embed.layers] == [
        "Conv2d",
        "BatchNorm2d",
        "GELU",
        "Conv2d",
    ]
    with torch.no_grad():
        assert [tuple(m.shape) for m in model.forward_features(pictures(1, 3, 30, 45))] == [
            (1, 6, 8, 12),
            (1, 10, 4, 6),
        ]


@pytest.mark.parametrize("stages", [1, 2, 3, 4])
def test_any_number_of_stages(stages: int) -> None:
    lists = {k: v[:stages] if isinstance(v, list) else v for k, v in MIXED.items()}
    model = build(**lists)
    assert [info["reduction"] for info in model.feature_info] == [4, 8, 16, 32][:stages]
    assert model.patch == 2 ** (stages + 1)
    assert model(pictures(1, 3, 64, 64)).shape == (1, 3)


def test_names_that_users_of_timm_expect() -> None:
    model = build(**MIXED)
    assert (model.num_features, model.num_classes) == (22, 3)
    assert model.feature_info[2] == {"num_chs": 14, "reduction": 16, "module": "stages.2"}
    for info, got in zip(model.feature_info, model.forward_features(pictures(1, 3, 64, 64)), strict=True):
        seen = []
        hook = model.get_submodule(info["module"]).register_forward_hook(lambda _m, _i, y, seen=seen: seen.append(y))
        model(pictures(1, 3, 64, 64))
        hook.remove()
        torch.testing.assert_close(seen[0], got)
    model.reset_classifier(7)
    assert model.num_classes == 7
    assert model(pictures(2, 3, 64, 64)).shape == (2, 7)
    model.reset_classifier(0)
    assert model(pictures(2, 3, 64, 64)).shape == (2, 22)


def test_what_a_stage_takes_when_none_is_given() -> None:
    """At 8 × 8 and 4 × 4 tokens: frequencies below half the side, scales that leave four tokens along a side."""
    model = HierarchicalClassifier(**small("dsp", spectral_modes=16))
    layers = [stage.blocks[0].attn for stage in model.stages]
    assert [layer.spectral.filters.modes for layer in layers] == [4, 2]
    assert [len(layer.factors) for layer in layers] == [2, 1]


def test_a_window_is_no_larger_than_the_grid_it_is_built_for() -> None:
    model = HierarchicalClassifier(**small("window", window=5))
    assert [[(b.attn.window, b.attn.shift) for b in stage.blocks] for stage in model.stages] == [
        [(5, 0), (5, 2)],
        [(4, 0)],
    ]


def test_arguments_are_values_of_json() -> None:
    again = json.loads(json.dumps(MIXED))
    assert build(**again).state_dict().keys() == build(**MIXED).state_dict().keys()


def test_roles_of_what_is_new() -> None:
    model = HierarchicalClassifier(**MIXED | {"downsampling": "merging"})
    roles = parameter_roles(model)
    assert {
        name: roles[model.get_parameter(name)]
        for name in (
            "stages.0.embed.proj.weight",
            "stages.0.positions",
            "stages.0.blocks.0.mlp.0.weight",
            "stages.1.embed.reduction.weight",
            "stages.1.blocks.0.attn.qkv.weight",
            "stages.1.blocks.0.attn.relative_position_bias_table",
            "stages.2.blocks.0.attn.power",
            "stages.2.blocks.0.attn.positional_encoding",
            "head.weight",
        )
    } == {
        "stages.0.embed.proj.weight": "other",
        "stages.0.positions": "exempt",
        "stages.0.blocks.0.mlp.0.weight": "hidden",
        "stages.1.embed.reduction.weight": "other",
        "stages.1.blocks.0.attn.qkv.weight": "hidden",
        "stages.1.blocks.0.attn.relative_position_bias_table": "exempt",
        "stages.2.blocks.0.attn.power": "structure",
        "stages.2.blocks.0.attn.positional_encoding": "exempt",
        "head.weight": "other",
    }


def test_every_parameter_gets_a_gradient() -> None:
    model = build(**MIXED).train()
    model(pictures(2, 3, 64, 64)).square().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []


@pytest.mark.parametrize("attention", ["dsp", "polaformer", "window"])
def test_no_tensor_is_as_large_as_a_map_of_all_tokens(attention: str) -> None:
    model = build(**small(attention, image_size=64, num_heads=[1, 1]))
    with torch.no_grad(), LargestTensor() as largest:
        model(pictures(1, 3, 64, 64))
    assert largest.elements < 256**2


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_halves(dtype: torch.dtype) -> None:
    model = build(**MIXED)
    image = pictures(2, 3, 61, 77)
    with torch.no_grad():
        want = model(image)
        with torch.autocast("cpu", dtype):
            mixed = model(image)
        cast = copy.deepcopy(model).to(dtype)(image.to(dtype))
    for got in (mixed, cast):
        assert got.dtype == dtype
        assert (got - want).abs().max() <= 24 * torch.finfo(dtype).eps * want.abs().max()


def test_copies() -> None:
    model = build(**MIXED)
    image = pictures(3, 3, 61, 77)
    with torch.no_grad():
        torch.testing.assert_close(pickle.loads(pickle.dumps(model))(image), model(image))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dims": []}, "dims is empty"),
        ({"depths": [1]}, r"depths=\[1\]: must have one entry for each of the 2 stages"),
        ({"patches": [4, 2, 2]}, r"patches=\[4, 2, 2\]: must have one entry"),
        ({"spectral_modes": [4]}, r"spectral_modes=\[4\]: must have one entry"),
        ({"spectral_modes": 0}, "spectral_modes=0: at least 1 frequency"),
        ({"num_scales": 0}, "num_scales=0: must be 1 or more"),
        ({"depths": [0, 1]}, r"depths=\[0, 1\], .*each must be 1 or more"),
        ({"image_size": 0}, "image_size=0"),
        ({"num_classes": -1}, "num_classes=-1: 0 or more"),
        ({"attention": "flash"}, "attention='flash': must be one of dsp, polaformer, softmax, window"),
        ({"attention": ["dsp", "flash"]}, "attention='flash'"),
        ({"stem": "conv"}, "stem='conv': must be one of patch, convolutions"),
        ({"downsampling": "pool"}, "downsampling='pool': must be one of patch, merging"),
        ({"stem": "convolutions", "patches": [3, 2]}, r"patches\[0\]=3: must be a power of two"),
        ({"downsampling": "merging", "patches": [4, 3]}, "all but the first must be 2"),
        ({"num_heads": [4, 2]}, "num_heads must divide dim"),
    ],
)
def test_bad_arguments_say_what_is_allowed(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HierarchicalClassifier(**small("dsp") | arguments)


@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 1, 64, 64), (1, 3, 0, 64)])
def test_bad_pictures_say_what_is_allowed(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected \(B, 3, height, width\)"):
        build(**small("dsp"))(torch.randn(shape))
