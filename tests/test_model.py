"""The models: Quick Start, public names, resolutions."""

import inspect

import pytest
import torch

import dsp_attention
from dsp_attention import DSPImageClassifier, DSPModel, DynamicSpectralPolarityAttention, create_dsp_model
from dsp_attention.model import ATTENTIONS


def test_quick_start() -> None:
    attn = DynamicSpectralPolarityAttention(dim=384, num_heads=6, spectral_modes=16, num_scales=3)
    x = torch.randn(2, 196, 384)
    assert attn(x).shape == (2, 196, 384)
    model = create_dsp_model(dim=384, num_heads=6, depth=12, num_classes=1000, spectral_modes=16, num_scales=3)
    assert model(x).shape == (2, 1000)


def test_public_names_and_defaults() -> None:
    for name in dsp_attention.__all__:
        assert getattr(dsp_attention, name).__doc__
    parameters = inspect.signature(DynamicSpectralPolarityAttention).parameters
    assert {name: p.default for name, p in parameters.items() if name != "dim"} == {
        "num_heads": 8,
        "qkv_bias": False,
        "attn_drop": 0.0,
        "proj_drop": 0.0,
        "alpha": 4.0,
        "kernel_size": 5,
        "spectral_modes": 16,
        "num_scales": 3,
        "adaptive_beta": 0.1,
    }
    pola = inspect.signature(dsp_attention.PolaFormerAttention).parameters
    assert list(pola)[:3] == ["dim", "num_tokens", "num_heads"]
    assert pola["num_heads"].default == 8
    assert {n: p.default for n, p in inspect.signature(create_dsp_model).parameters.items() if n != "options"} == {
        "dim": 384,
        "num_heads": 6,
        "depth": 12,
        "num_classes": 1000,
        "spectral_modes": 16,
        "num_scales": 3,
        "backbone": None,
        "attention": "dsp",
    }


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_a_block_is_pre_norm_with_residuals(attention: str) -> None:
    model = DSPModel(16, 2, depth=2, num_classes=3, attention=attention, num_tokens=9).eval()
    x = torch.randn(2, 9, 16)
    tokens = x
    for block in model.blocks:
        tokens = tokens + block.attn(block.norm1(tokens), 3, 3)
        tokens = tokens + block.mlp(block.norm2(tokens))
    torch.testing.assert_close(model(x), model.head(model.norm(tokens.mean(1))))


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("size", [(64, 64), (96, 40), (8, 8)])
def test_any_picture_of_whole_patches_can_be_classified(attention: str, size: tuple[int, int]) -> None:
    model = DSPImageClassifier(image_size=64, dim=16, num_heads=2, depth=1, num_classes=4, attention=attention).eval()
    assert model(torch.randn(2, 3, *size)).shape == (2, 4)


def test_a_token_sees_its_patch_first() -> None:
    """A token of the embedding lies where its patch lies: only those near a changed pixel change."""
    model = DSPImageClassifier(image_size=64, dim=16, num_heads=2, depth=1).eval()
    x = torch.zeros(1, 3, 64, 64)
    y = x.clone()
    y[..., 20, 44] = 1
    changed = (model.embed(x) - model.embed(y)).abs().sum(1)[0] > 0
    rows, columns = changed.nonzero().T
    assert changed[20 // 8, 44 // 8]
    assert ((rows - 20 // 8).abs() <= 1).all()
    assert ((columns - 44 // 8).abs() <= 1).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"attention": "flash"}, "attention='flash': must be one of dsp, polaformer, softmax"),
        ({"patch": 6}, "patch=6: must be a power of two"),
        ({"patch": 1}, "patch=1"),
        ({"image_size": 60}, "image_size=60: must be a multiple of patch=8"),
        ({"image_size": 0}, "image_size=0"),
        ({"depth": 0}, "depth=0"),
        ({"num_classes": 0}, "num_classes=0"),
        ({"mlp_ratio": 0.0}, "mlp_ratio=0.0"),
    ],
)
def test_bad_arguments_say_what_is_allowed(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DSPImageClassifier(**{"image_size": 64, "dim": 16, "num_heads": 2, "depth": 1} | arguments)


def test_unknown_option_is_refused() -> None:
    with pytest.raises(TypeError, match="spectral_modes"):
        DSPModel(16, 2, depth=1, num_classes=3, attention="softmax", spectral_modes=4)


@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 1, 64, 64), (1, 3, 60, 64), (1, 3, 0, 64)])
def test_bad_pictures_say_what_is_allowed(shape: tuple[int, ...]) -> None:
    model = DSPImageClassifier(image_size=64, dim=16, num_heads=2, depth=1)
    with pytest.raises(ValueError, match=r"expected \(B, 3, height, width\) with height and width multiples of 8"):
        model(torch.randn(shape))
