"""Official weights: key tables of the published models, what two small ones answered, and what is something else.

The answers are those of the official code with random weights; see ``tests/data/official/README.md``.
"""

import math
from pathlib import Path

import numpy as np
import official_tables
import pytest
import torch
from torch import Tensor

from dsp_attention import HierarchicalClassifier
from dsp_attention.official import from_official, published

DATA = Path(__file__).parent / "data" / "official"
BUFFERS = ("relative_position_index", "attn_mask")


def stored(name: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The official state, and what the official model answered."""
    with np.load(DATA / f"{name}.npz") as arrays:
        tensors = {key: torch.from_numpy(arrays[key]) for key in arrays.files}
    state = {key.removeprefix("state/"): t for key, t in tensors.items() if key.startswith("state/")}
    return state, {key: t for key, t in tensors.items() if not key.startswith("state/")}


def picture(side: int) -> Tensor:
    y, x = torch.meshgrid(torch.arange(side).double(), torch.arange(side).double(), indexing="ij")
    return torch.stack([(0.37 * y + 0.11 * x).sin(), (0.05 * y - 0.23 * x).cos(), (0.013 * y * x).sin()])[None].float()


@pytest.fixture(scope="module")
def pvt() -> dict[str, Tensor]:
    return stored("pvt")[0]


@pytest.fixture(scope="module")
def swin() -> dict[str, Tensor]:
    return stored("swin")[0]


@pytest.mark.parametrize("name", ["pvt", "swin"])
def test_answers_as_the_official_code_stage_by_stage(name: str) -> None:
    state, answers = stored(name)
    arguments, tensors = from_official(state)
    model = HierarchicalClassifier(**arguments).eval()
    model.load_state_dict({key: t.float() for key, t in tensors.items()})
    with torch.no_grad():
        maps = model.forward_features(picture(arguments["image_size"]))
        logits = model.head(model.norm(maps[-1].flatten(2).mT).mean(1))
    for i, got in enumerate(maps):
        want = answers[f"stage{i + 1}"].float()
        error = (got.flatten(2).mT - want).abs().max()
        assert error <= torch.finfo(torch.float16).eps / 2 * want.abs().max() * 1.01
    want = answers["logits"].float()
    assert (logits - want).abs().max() <= 1e-5 * want.abs().max()


def meta(shapes: official_tables.Shapes) -> dict[str, Tensor]:
    return {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}


TABLES = {name: official_tables.pvt(depths) for name, (depths, *_) in official_tables.PVT.items()}
TABLES |= {name: official_tables.swin(*sizes) for name, (sizes, *_) in official_tables.SWIN.items()}


def test_the_tables_have_the_published_counts() -> None:
    counts = {name: (*rest, 0) for name, (_, *rest) in official_tables.PVT.items()}
    counts |= {name: tuple(rest) for name, (_, *rest) in official_tables.SWIN.items()}
    for name, table in TABLES.items():
        parameters = {key: math.prod(shape) for key, shape in table.items() if not key.endswith(BUFFERS)}
        assert (sum(parameters.values()), len(parameters), len(table) - len(parameters)) == counts[name]


@pytest.mark.parametrize("name", TABLES)
def test_each_published_model_is_found_from_its_keys(name: str) -> None:
    arguments, tensors = from_official(meta(TABLES[name]))
    assert published(arguments) == name
    with torch.device("meta"):
        expected = HierarchicalClassifier(**arguments).state_dict()
    assert {key: t.shape for key, t in tensors.items()} == {key: t.shape for key, t in expected.items()}


def test_what_is_not_quite_a_published_model_is_none(pvt: dict[str, Tensor]) -> None:
    assert published(from_official(pvt)[0]) is None
    assert published(from_official(meta(TABLES["pvt_tiny"]), alpha=3.0)[0]) is None
    arguments = from_official(meta(TABLES["swin_tiny"]))[0]
    assert published(arguments | {"num_classes": 10}) == "swin_tiny"
    assert published(arguments | {"window": 14}) is None


def test_rows_of_swin_are_moved_and_nothing_is_computed(swin: dict[str, Tensor]) -> None:
    tensors = from_official(swin)[1]
    for part in ("weight", "bias"):
        q, k, v, g = swin[f"layers.1.blocks.0.attn.qkvg.{part}"].chunk(4)
        assert torch.equal(tensors[f"stages.1.blocks.0.attn.qg.{part}"], torch.cat([q, g]))
        assert torch.equal(tensors[f"stages.1.blocks.0.attn.kv.{part}"], torch.cat([k, v]))


def test_a_prefix_and_buffers_and_the_unused_norm_do_not_count(pvt: dict[str, Tensor], swin: dict[str, Tensor]) -> None:
    for state in (pvt, swin):
        want = from_official(state)[1]
        got = from_official({f"module.{key}": t for key, t in state.items()})[1]
        assert got.keys() == want.keys()
    without = {key: t for key, t in pvt.items() if not key.startswith("norm.")}
    assert from_official(without)[1].keys() == from_official(pvt)[1].keys()
    buffers = {"layers.2.blocks.1.attn_mask": torch.zeros(4, 49, 49)}
    assert from_official(swin | buffers)[1].keys() == from_official(swin)[1].keys()


def test_alpha_is_4_unless_the_config_says_otherwise(pvt: dict[str, Tensor]) -> None:
    assert from_official(pvt)[0]["alpha"] == 4.0
    assert from_official(pvt, alpha=3)[0]["alpha"] == 3.0
    for alpha in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="the range of the power must be positive and finite"):
            from_official(pvt, alpha=alpha)


def test_the_width_of_an_mlp_comes_back_from_its_ratio() -> None:
    """15 / 11 is rounded to a ratio whose product with 11 is less than 15."""
    assert int(11 * (15 / 11)) == 14
    model = HierarchicalClassifier(
        image_size=12, dims=[11], depths=[1], num_heads=[1], mlp_ratios=[15.5 / 11], attention="polaformer"
    )
    ours = {"stages.0.embed.": "patch_embed1.", "stages.0.positions": "pos_embed1", "stages.0.blocks.": "block1."}
    ours |= {".mlp.0.": ".mlp.fc1.", ".mlp.2.": ".mlp.fc2."}
    official = {}
    for key, tensor in model.state_dict().items():
        for own, theirs in ours.items():
            key = key.replace(own, theirs)
        official[key] = tensor
    arguments, tensors = from_official(official)
    assert tensors["stages.0.blocks.0.mlp.0.weight"].shape == (15, 11)
    HierarchicalClassifier(**arguments).load_state_dict(tensors)


def test_stages_are_bounded() -> None:
    """Each doubles the width of a Swin: of 1,200 it is no number any more."""
    many = {f"layers.{i}.blocks.0.attn.power": torch.zeros(1, 1, 1, 1) for i in range(1200)}
    with pytest.raises(ValueError, match="1200 stages; at most 6 are read"):
        from_official(many | {"patch_embed.proj.weight": torch.zeros(4, 3, 4, 4)})


def keys(*names: str) -> dict[str, Tensor]:
    return {name: torch.zeros(2, 2) for name in names}


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (keys("block1.0.attn.q.weight", "block1.0.attn.dwc.weight"), "FLatten's weights, which .* linked by mistake"),
        (keys("layers.0.blocks.0.attn.qkv.weight", "layers.0.blocks.0.attn.dwc.weight"), "FLatten's weights"),
        (keys("pos_embed1", "cls_token", "block1.0.attn.q.weight", "block1.0.attn.sr.weight"), "a PVT v1"),
        (keys("patch_embed1.proj.weight", "block1.0.attn.q.weight", "block1.0.mlp.dwconv.dwconv.weight"), "a PVT v2"),
        (
            keys("layers.0.blocks.0.attn.relative_position_bias_table", "layers.0.downsample.norm.weight"),
            "Microsoft's Swin, windows in all stages",
        ),
        (
            keys("layers.0.blocks.0.attn.relative_position_bias_table", "layers.1.downsample.norm.weight"),
            "timm's Swin, windows in all stages",
        ),
        (keys("layers.0.blocks.0.attn.logit_scale", "layers.0.blocks.0.attn.qkv.weight"), "a Swin v2"),
        (keys("cls_token", "blocks.0.attn.qkv.weight"), "a plain vision transformer"),
        (keys("block1.0.attn.power", "block1.0.attn.sr.weight"), r"reduces keys \(attn.sr\), as no published one does"),
        (keys("stages.0.blocks.0.attn.power"), "have this package's own names already"),
        (keys("backbone.block1.0.attn.qg.weight"), "the keys start with 'backbone.': give the tensors without it"),
        (keys("layer1.0.conv1.weight", "fc.weight"), "no PolaFormer: .*; the first keys are layer1.0.conv1.weight, fc"),
        ({}, "no PolaFormer: .*; the first keys are none"),
        ({"model": {}, "epoch": 3}, "'model' holds dict: a state dict holds tensors by name"),
    ],
)
def test_what_is_something_else_is_named(state: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_official(state)


@pytest.mark.parametrize(
    ("family", "change", "message"),
    [
        ("pvt", {"block2.1.attn.qg.weight": None}, "missing block2.1.attn.qg.weight$"),
        ("pvt", {"block1.0.attn.qg.weight": None}, "missing block1.0.attn.qg.weight$"),
        ("pvt", {"head.weight": None}, "missing head.weight$"),
        ("pvt", {"block1.0.attn.positional_encoding": None}, "missing block1.0.attn.positional_encoding"),
        ("pvt", {"block3.0.mlp.fc1.bias": (7,)}, r"block3.0.mlp.fc1.bias is \(7,\), expected \(320,\)$"),
        ("pvt", {"block1.0.attn.positional_encoding": (1, 200, 16)}, "holds 200 tokens: must be a square"),
        ("pvt", {"block1.0.attn.power": (1, 16)}, r"power is \(1, 16\), expected 4 axes, each 1 or more"),
        ("pvt", {"block1.0.mlp.fc1.weight": (128, 0)}, r"\(128, 0\), expected 2 axes"),
        ("pvt", {"block1.99999999.norm1.weight": (16,)}, "missing block1.1.*(and .* more)"),
        ("pvt", {"patch_embed9.proj.weight": (16, 3, 4, 4)}, "missing patch_embed5.proj.weight"),
        ("pvt", {"extra": (1,)}, "unexpected extra$"),
        ("swin", {"layers.0.downsample.reduction.bias": (24,)}, "unexpected layers.0.downsample.reduction.bias$"),
        ("swin", {"layers.2.blocks.1.attn.relative_position_bias_table": (25, 12)}, r"is \(25, 12\), expected \(169"),
        ("swin", {"layers.3.blocks.0.attn.qkv.bias": None}, "missing layers.3.blocks.0.attn.qkv.bias$"),
    ],
)
def test_tensors_that_do_not_fit_are_named(
    request: pytest.FixtureRequest, family: str, change: dict[str, tuple[int, ...] | None], message: str
) -> None:
    state = dict(request.getfixturevalue(family))
    for key, shape in change.items():
        if shape is None:
            del state[key]
        else:
            state[key] = torch.zeros(shape)
    with pytest.raises(ValueError, match=message):
        from_official(state)


def test_whole_numbers_are_no_weights(pvt: dict[str, Tensor]) -> None:
    with pytest.raises(ValueError, match=r"head.bias is torch.int64, expected a floating-point type"):
        from_official(pvt | {"head.bias": torch.zeros(10, dtype=torch.int64)})
