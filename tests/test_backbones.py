"""The published sizes by name: parameter counts, attention of each stage, what other attentions make of them."""

import pytest
import torch

from dsp_attention import DSPModel, HierarchicalClassifier, create_dsp_model
from dsp_attention.backbones import BACKBONES, backbone_arguments


def build(backbone: str, attention: str | list[str], **options: object) -> HierarchicalClassifier:
    """Without numbers: no memory, however large."""
    with torch.device("meta"):
        return create_dsp_model(backbone=backbone, attention=attention, **options)


def kinds(model: HierarchicalClassifier) -> list[str]:
    """The attention of the last block of each stage."""
    return [type(stage.blocks[-1].attn).__name__ for stage in model.stages]


@pytest.mark.parametrize(
    ("backbone", "parameters"),
    [
        ("pvt_tiny", 12_924_648),
        ("pvt_small", 23_157_224),
        ("pvt_medium", 39_965_672),
        ("pvt_large", 54_366_568),
        ("swin_tiny", 29_285_696),
        ("swin_small", 50_603_600),
        ("swin_base", 89_137_864),
        ("swin_base_384", 91_599_304),
    ],
)
def test_polaformer_has_the_published_parameters(backbone: str, parameters: int) -> None:
    model = build(backbone, "polaformer")
    unused = 2 * 512 if backbone.startswith("pvt") else 0  # the official PVT keeps a last norm that it never uses
    assert sum(p.numel() for p in model.parameters()) == parameters - unused
    linear = 4 if backbone.startswith("pvt") else 2
    assert kinds(model) == ["PolaFormerAttention"] * linear + ["WindowAttention"] * (4 - linear)


def test_windows_and_shifts_of_the_published_swin() -> None:
    model = build("swin_tiny", "polaformer")
    used = [
        [block.attn.window_of(side, side) for block in stage.blocks]
        for stage, side in zip(model.stages[2:], (14, 7), strict=True)
    ]
    assert used == [[(7, 0), (7, 3)] * 3, [(7, 0), (7, 0)]]
    assert build("swin_base_384", "polaformer").stages[2].blocks[1].attn.window_of(24, 24) == (12, 6)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_dsp_fills_all_stages_with_modes_and_scales_that_their_grids_hold(backbone: str) -> None:
    model = build(backbone, "dsp")
    assert kinds(model) == ["DynamicSpectralPolarityAttention"] * 4
    layers = [stage.blocks[0].attn for stage in model.stages]
    modes, scales = ([16, 16, 12, 6], [3, 3, 3, 2]) if backbone == "swin_base_384" else ([16, 14, 7, 4], [3, 3, 2, 1])
    assert [layer.spectral.filters.modes for layer in layers] == modes
    assert [len(layer.factors) for layer in layers] == scales
    assert all(stage.positions is not None for stage in model.stages)


def test_a_number_is_the_most_that_a_stage_gets_and_a_list_is_taken_as_it_is() -> None:
    model = build("pvt_tiny", "dsp", spectral_modes=8, num_scales=2)
    layers = [stage.blocks[0].attn for stage in model.stages]
    assert [layer.spectral.filters.modes for layer in layers] == [8, 8, 7, 4]
    assert [len(layer.factors) for layer in layers] == [2, 2, 2, 1]
    model = build("pvt_tiny", "dsp", spectral_modes=[3, 5, 7, 9], num_scales=[4, 3, 2, 1])
    layers = [stage.blocks[0].attn for stage in model.stages]
    assert [layer.spectral.filters.modes for layer in layers] == [3, 5, 7, 9]
    assert [len(layer.factors) for layer in layers] == [4, 3, 2, 1]


def test_swin_keeps_a_position_embedding_out_only_where_something_else_tells_places_apart() -> None:
    assert [
        backbone_arguments("swin_tiny", attention)["position_embedding"]
        for attention in ("polaformer", "window", "dsp", "softmax", ["polaformer", "dsp", "window", "window"])
    ] == [False, False, True, True, True]
    assert kinds(build("swin_tiny", ["dsp", "polaformer", "softmax", "window"])) == [
        "DynamicSpectralPolarityAttention",
        "PolaFormerAttention",
        "SoftmaxAttention",
        "WindowAttention",
    ]


def test_without_a_backbone_it_is_a_model_over_tokens() -> None:
    assert isinstance(create_dsp_model(16, 2, 1, 3), DSPModel)
    for attention in ("dsp", "polaformer", "softmax"):
        assert isinstance(create_dsp_model(16, 2, 1, 3, attention=attention, mlp_ratio=2), DSPModel)


def test_the_published_sizes_stay_as_they_are() -> None:
    for attention in ("polaformer", "dsp"):
        arguments = backbone_arguments("pvt_tiny", attention)
        arguments["num_classes"] = 3
        arguments["dims"].append(1024)
    assert "num_classes" not in BACKBONES["pvt_tiny"]
    assert BACKBONES["pvt_tiny"]["dims"] == [64, 128, 320, 512]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"backbone": "pvt_huge"}, "backbone='pvt_huge': must be one of pvt_tiny, .*, swin_base_384"),
        (
            {"backbone": "pvt_tiny", "dim": 96},
            "dim=96, num_heads=6, depth=12: backbone='pvt_tiny' has sizes of its own",
        ),
        ({"backbone": "pvt_tiny", "attention": "flash"}, "attention='flash': must be one of dsp, .*, window"),
        ({"backbone": "pvt_tiny", "attention": ["dsp"]}, r"attention=\['dsp'\]: must have one entry for each of the 4"),
    ],
)
def test_bad_arguments_say_what_is_allowed(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message), torch.device("meta"):
        create_dsp_model(**arguments)
