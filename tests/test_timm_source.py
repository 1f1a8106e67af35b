"""Models of timm by name: preparation, classes, weights, and what is said where there is none such."""

import sys
from functools import partial
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest
import timm
import torch
from hub_server import hub
from PIL import Image
from safetensors.torch import save
from timm_models import randomised

import dsp_viz
from dsp_viz import __main__, export
from dsp_viz.commands import options
from dsp_viz.files import CheckpointError
from dsp_viz.framing import Fitting
from dsp_viz.sources.timm import load_timm
from dsp_viz.ui import views


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    """300×200 of noise."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 300, 3), dtype=np.uint8))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models are built small: a block of few channels."""
    create = timm.create_model

    def less(name: str, **options: object) -> torch.nn.Module:
        return randomised(create(name, **options, depth=1, embed_dim=24, num_heads=3))

    monkeypatch.setattr(timm, "create_model", less)


def test_weights_come_from_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, picture: Image.Image) -> None:
    """timm's smallest ViT with other weights, from a hub on this machine; then none, and what was fetched is kept."""
    network = randomised(timm.create_model("test_vit"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with hub({"timm/test_vit.r160_in1k": {"model.safetensors": save(network.state_dict())}}) as address:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", address)
        monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE",
                            address + "/{repo_id}/resolve/{revision}/{filename}")  # fmt: skip
        subject = dsp_viz.load("timm/test_vit.r160_in1k")
    assert subject.name == "timm/test_vit.r160_in1k"
    prepared = subject.prepare(picture).input
    with torch.inference_mode():
        torch.testing.assert_close(subject(prepared), network(prepared))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    again = dsp_viz.load("timm/test_vit.r160_in1k")
    assert again.digest == subject.digest
    with pytest.raises(
        CheckpointError, match=r"^timm/test_vit2.r160_in1k cannot be loaded \(\w+: .*\. Its weights come from"
    ):
        dsp_viz.load("timm/test_vit2.r160_in1k")


def test_pictures_are_prepared_as_timm_does(picture: Image.Image) -> None:
    subject = load_timm("test_vit", pretrained=False)
    told = timm.data.resolve_model_data_config(subject.network)
    want = timm.data.create_transform(**told, is_training=False)(picture)
    torch.testing.assert_close(subject.prepare(picture).input[0], want, rtol=0, atol=1e-6)
    assert subject.preparation.fitting == Fitting("shorter", 0.95, "bicubic")


def test_a_squash_is_taken_from_the_configuration(picture: Image.Image, small: None) -> None:
    subject = load_timm("vit_base_patch16_clip_224.laion2b_ft_in1k", pretrained=False)
    assert subject.preparation.fitting.way == "shorter"
    subject = load_timm("vit_base_patch16_clip_384.laion2b_ft_in12k_in1k", pretrained=False)
    told = timm.data.resolve_model_data_config(subject.network)
    assert told["crop_mode"] == "squash"
    want = timm.data.create_transform(**told, is_training=False)(picture)
    torch.testing.assert_close(subject.prepare(picture).input[0], want, rtol=0, atol=1e-6)


def test_classes_have_the_names_of_imagenet_each_once() -> None:
    subject = load_timm("test_vit", pretrained=False)
    assert len(set(subject.classes)) == 1000
    assert subject.classes[0] == "tench"
    assert {subject.classes[134], subject.classes[517]} == {"crane (n02012849)", "crane (n03126707)"}


def test_other_classes_are_numbered(small: None) -> None:
    """CLIP's image tower has 512 outputs."""
    subject = load_timm("vit_base_patch16_clip_224.openai", pretrained=False)
    assert subject.classes[::511] == ("class 1", "class 512")


def test_a_vit_takes_pictures_of_any_size_and_shape(picture: Image.Image) -> None:
    subject = load_timm("test_vit", pretrained=False)
    result = dsp_viz.analyse(subject, picture, side=96, whole=True)
    assert (result.grid, result.trace.blocks[0].prefix) == ((4, 6), ("class",))
    assert result.verified is not None
    assert result.verified < 1e-4


def test_windows_are_of_one_size(monkeypatch: pytest.MonkeyPatch) -> None:
    less = partial(timm.create_model, depths=(1,), embed_dim=12, num_heads=(2,))
    monkeypatch.setattr(timm, "create_model", less)
    subject = load_timm("swin_tiny_patch4_window7_224", pretrained=False)
    assert (subject.preparation.fixed, subject.preparation.side) == (True, 224)
    with pytest.raises(ValueError, match="side=448: the model takes 224 pixels only"):
        subject.preparation.checked(448)


def test_a_model_without_classes_has_maps_and_no_prediction(
    small: None, picture: Image.Image, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    subject = load_timm("vit_small_patch14_reg4_dinov2.lvd142m", pretrained=False)
    assert (subject.classes, subject.preparation.side) == ((), 518)
    result = dsp_viz.analyse(subject, picture, side=70)
    (block,) = result.trace.blocks
    assert block.prefix == ("class", *(f"register {i}" for i in range(1, 5)))
    assert (result.probabilities, result.top(5)) == ((), [])
    assert "This model has no classes" in views.prediction(result)
    assert views.known_classes(subject) == ""
    assert export.settings(result)["classes"] == []
    monkeypatch.setattr(options, "load", lambda *_, **__: subject)
    with pytest.raises(SystemExit):
        __main__.main(["trust", str(Path(__file__).parent), "--model", subject.name])
    assert "dinov2.lvd142m has no classes: relevance is that for a class" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("vit_tinny_patch16_224", r"has no model 'vit_tinny_patch16_224': near are vit_tiny_patch16_224, "),
        ("hf-hub:someone/model", r"has no model 'hf-hub:someone/model': timm\.list_models\(\) gives all$"),
        ("../etc/passwd", r"has no model '': timm\.list_models\(\) gives all$"),
        (
            "efficientvit_b0.r256_in1k",
            r"has no weights 'efficientvit_b0\.r256_in1k': there are efficientvit_b0\.r224_in1k$",
        ),
    ],
)
def test_what_timm_does_not_have_is_told_with_what_is_near(name: str, sentence: str) -> None:
    with pytest.raises(CheckpointError, match=sentence):
        dsp_viz.load(f"timm/{name}")


def test_a_model_without_known_attention_is_refused_when_it_is_loaded() -> None:
    with pytest.raises(ValueError, match="ResNet has no attention layer that is known here; known are "):
        load_timm("test_resnet", pretrained=False)


def test_without_timm_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(
        CheckpointError, match=r"need timm, which is not installed: pip install 'dsp-attention\[models\]'"
    ):
        dsp_viz.load("timm/test_vit")
