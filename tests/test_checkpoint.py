"""Checkpoints: what is written comes back; what does not fit is refused with a sentence."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import dsp_viz
from dsp_attention import DSPImageClassifier
from dsp_viz.checkpoint import Config, save

BUILD = {
    "image_size": 24,
    "dim": 12,
    "num_heads": 3,
    "depth": 1,
    "num_classes": 2,
    "spectral_modes": 2,
    "num_scales": 2,
}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    config = Config(BUILD, 24, (0.4, 0.5, 0.6), (0.2, 0.2, 0.2), ("cat", "dog"), ("n1", "n2"), {"note": "test"})
    save(tmp_path / "small.safetensors", DSPImageClassifier(**BUILD), config)
    return tmp_path / "small.safetensors"


def test_round_trip(saved: Path) -> None:
    model = dsp_viz.load(saved)
    assert (model.name, model.config.classes, model.config.mean) == ("small", ("cat", "dog"), (0.4, 0.5, 0.6))
    assert not model.training
    assert not any(p.requires_grad for p in model.parameters())
    torch.manual_seed(0)
    original = DSPImageClassifier(**BUILD).state_dict()
    for key, value in model.classifier.state_dict().items():
        assert value.dtype == original[key].dtype
        torch.testing.assert_close(value, original[key], rtol=1e-3, atol=1e-5)  # stored as float16


def test_what_ships_loads_by_name() -> None:
    assert "dsp_tiny" in dsp_viz.available()
    model = dsp_viz.load("dsp_tiny")
    assert len(model.config.classes) == 10
    assert sum(p.numel() for p in model.parameters()) < 3.2e6


def test_files_that_ship_are_small() -> None:
    sizes = [p.stat().st_size for p in dsp_viz.checkpoint.PRETRAINED.glob("*.safetensors")]
    assert max(sizes) < 8e6


def test_unknown_name_lists_the_known(tmp_path: Path) -> None:
    with pytest.raises(dsp_viz.CheckpointError, match=r"no model 'nothing': give one of .*dsp_tiny"):
        dsp_viz.load("nothing")
    with pytest.raises(dsp_viz.CheckpointError, match="no model"):
        dsp_viz.load(tmp_path / "absent.safetensors")


def test_first_keys_that_differ_are_named(saved: Path) -> None:
    tensors = load_file(saved)
    tensors["extra"] = torch.zeros(1)
    del tensors["model.head.bias"]
    tensors["model.head.weight"] = torch.zeros(3, 12)
    save_file(tensors, saved)
    with pytest.raises(dsp_viz.CheckpointError) as caught:
        dsp_viz.load(saved)
    for part in ("missing model.head.bias", "model.head.weight is (3, 12), expected (2, 12)", "unexpected extra"):
        assert part in str(caught.value)


def test_values_that_are_not_finite_are_refused(saved: Path) -> None:
    tensors = load_file(saved)
    tensors["positions"][0, 0, 0] = float("nan")
    save_file(tensors, saved)
    with pytest.raises(dsp_viz.CheckpointError, match="positions holds values that are not finite"):
        dsp_viz.load(saved)


def test_damaged_weights_are_refused(saved: Path) -> None:
    saved.write_bytes(saved.read_bytes()[:100])
    with pytest.raises(dsp_viz.CheckpointError, match="no readable safetensors file"):
        dsp_viz.load(saved)


def test_a_pickle_is_never_loaded(saved: Path) -> None:
    torch.save({"model.head.bias": torch.zeros(2)}, saved)
    with pytest.raises(dsp_viz.CheckpointError, match="no readable safetensors file"):
        dsp_viz.load(saved)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "no readable model config"),
        ("[]", "no readable model config"),
        ('{"model": {}}', "mean"),
    ],
)
def test_bad_configs_are_refused(saved: Path, text: str, message: str) -> None:
    saved.with_suffix(".json").write_text(text)
    with pytest.raises(dsp_viz.CheckpointError, match=message):
        dsp_viz.load(saved)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("classes", ["cat"], "one name for each class"),
        ("mean", [0.5], "3 numbers each"),
        ("model", {**BUILD, "attention": "magic"}, "describes no model: attention='magic'"),
        ("model", {**BUILD, "colour": 3}, "describes no model"),
    ],
)
def test_configs_that_do_not_fit_are_refused(saved: Path, key: str, value: object, message: str) -> None:
    path = saved.with_suffix(".json")
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(dsp_viz.CheckpointError, match=message):
        dsp_viz.load(saved)


def test_a_failed_save_leaves_the_last_good_file(saved: Path) -> None:
    before = saved.read_bytes()
    saved.with_name(saved.name + ".partial").mkdir()  # the temporary file cannot be written
    with pytest.raises(dsp_viz.CheckpointError, match="the last good file is untouched"):
        save(saved, DSPImageClassifier(**BUILD), dsp_viz.load(saved).config)
    assert saved.read_bytes() == before
