"""Checkpoints: what is written comes back; what does not fit is refused with a sentence."""

import inspect
import json
import resource
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

import dsp_viz
from dsp_attention import (
    DSPImageClassifier,
    DSPModel,
    DynamicSpectralPolarityAttention,
    PolaFormerAttention,
    SoftmaxAttention,
)
from dsp_viz.config import FORMAT, Build, Config, read_config, to_json
from dsp_viz.framing import Fitting
from dsp_viz.sources.checkpoint import PRETRAINED, save

BUILD: Any = {
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
    assert (model.name, model.classes, model.config.mean) == ("small", ("cat", "dog"), (0.4, 0.5, 0.6))
    assert not model.training
    assert not any(p.requires_grad for p in model.parameters())
    torch.manual_seed(0)
    original = DSPImageClassifier(**BUILD).state_dict()
    for key, value in model.network.state_dict().items():
        assert value.dtype == original[key].dtype
        torch.testing.assert_close(value, original[key], rtol=1e-3, atol=1e-5)  # stored as float16


def test_what_ships_loads_by_name() -> None:
    assert "dsp_tiny" in dsp_viz.available()
    model = dsp_viz.load("dsp_tiny")
    assert len(model.classes) == 10
    assert sum(p.numel() for p in model.parameters()) < 3.2e6


def test_files_that_ship_are_small() -> None:
    sizes = [p.stat().st_size for p in PRETRAINED.glob("*.safetensors")]
    assert max(sizes) < 9.1e6
    assert sum(sizes) < 30e6


def test_unknown_name_lists_the_known(tmp_path: Path) -> None:
    with pytest.raises(dsp_viz.CheckpointError, match=r"no model 'nothing': give one of .*dsp_tiny"):
        dsp_viz.load("nothing")
    with pytest.raises(dsp_viz.CheckpointError, match=r"no model .*absent\.safetensors': there is no such file"):
        dsp_viz.load(tmp_path / "absent.safetensors")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("/nonexistent/dsp_tiny", "no model '/nonexistent/dsp_tiny': the path does not end in .safetensors"),
        ("./dsp_tiny", "no model './dsp_tiny': the path does not end in .safetensors"),
        ("dsp_tiny/", "the path does not end in .safetensors"),
        ("dsp_tiny.json", "the path does not end in .safetensors"),
        ("dsp_tiny.safetensors", "no model 'dsp_tiny.safetensors': there is no such file"),
        ("mine", "no model 'mine': give one of dsp_"),
        ("mine", "such as ./mine.safetensors"),
        ("", "no model ''"),
        ("..", "no model '..'"),
        ("a\0b", "no model"),
        ("/a\0b.safetensors", "there is no such file"),
        ("x" * 10**6, "no model 'xxx"),
        ("/" + "x" * 10**6 + ".safetensors", "there is no such file"),
        *((f"dsp_tiny.{ending}", "opening a pickle runs the code in it") for ending in ("pth", "pt", "bin", "ckpt")),
    ],
    ids=lambda v: v[:40],
)
def test_a_path_is_never_taken_for_a_name(
    given: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    with pytest.raises(dsp_viz.CheckpointError) as caught:
        dsp_viz.load(given)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 700


def test_a_path_without_a_folder(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(saved.parent)
    assert dsp_viz.load("small.safetensors").name == "small"
    assert dsp_viz.load(Path("dsp_tiny")).digest == dsp_viz.load("dsp_tiny").digest


def test_the_device_is_chosen() -> None:
    assert {t.device.type for t in dsp_viz.load("softmax_everyday").state_dict().values()} == {"cpu"}
    model = dsp_viz.load("softmax_everyday", device=torch.device("meta"))
    assert {t.device.type for t in model.state_dict().values()} == {"meta"}
    assert model(torch.zeros(1, 3, 128, 128, device="meta")).shape == (1, 152)


@pytest.mark.parametrize("device", ["abacus", "cuda:99", "x" * 10**6])
def test_a_device_that_is_not_there_is_named(device: str) -> None:
    with pytest.raises(ValueError, match=f"device='{device[:9]}.*: there is no such device here") as caught:
        dsp_viz.load("dsp_tiny", device=device)
    assert len(str(caught.value)) < 200


def test_the_format_is_written(saved: Path) -> None:
    assert (json.loads(saved.with_suffix(".json").read_text())["format"], FORMAT) == (1, 3)
    for path in PRETRAINED.glob("*.json"):
        assert to_json(read_config(path)) == path.read_bytes()


def test_how_pictures_are_fitted_is_kept(saved: Path) -> None:
    """A file that says so is of the second format: an older version would feed the model otherwise."""
    assert "fit" not in json.loads(saved.with_suffix(".json").read_text())
    assert dsp_viz.load(saved).preparation.fitting == Fitting()
    fit = {"way": "squash", "share": 0.875, "interpolation": "bicubic"}
    config = replace(read_config(saved.with_suffix(".json")), fit=fit)
    saved.with_suffix(".json").write_bytes(to_json(config))
    assert json.loads(saved.with_suffix(".json").read_text())["format"] == 2
    assert dsp_viz.load(saved).preparation.fitting == Fitting(**fit)
    assert to_json(read_config(saved.with_suffix(".json"))) == to_json(config)


@pytest.mark.parametrize("fields", [{"temperature": 1.25}, {"unsure": 0.5}, {"temperature": 0.8, "unsure": 1}])
def test_temperature_and_threshold_are_kept(saved: Path, fields: dict[str, float]) -> None:
    """A file with one of them is of the third format: an older version would give other probabilities."""
    path = saved.with_suffix(".json")
    plain = path.read_bytes()
    assert not {"temperature", "unsure"} & set(json.loads(plain))
    assert (dsp_viz.load(saved).temperature, dsp_viz.load(saved).unsure) == (1, 0)
    path.write_bytes(to_json(replace(read_config(path), **fields)))
    both = {"temperature": 1, "unsure": 0} | fields
    assert json.loads(path.read_text()) == json.loads(plain) | both | {"format": 3}
    subject = dsp_viz.load(saved)
    assert (subject.temperature, subject.unsure) == (both["temperature"], both["unsure"])
    path.write_bytes(to_json(replace(read_config(path), temperature=1, unsure=0)))
    assert path.read_bytes() == plain


def test_older_configs_and_those_of_other_editors_are_read(saved: Path) -> None:
    path = saved.with_suffix(".json")
    raw = json.loads(path.read_text())
    del raw["format"], raw["card"]
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(raw).encode())  # with a byte-order mark
    config = dsp_viz.load(saved).config
    assert (config.format, config.card, config.model) == (1, {}, BUILD)


def test_a_newer_format_is_told_before_its_unknown_fields(saved: Path) -> None:
    path = saved.with_suffix(".json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 4, "colours": "gold"}))
    with pytest.raises(dsp_viz.CheckpointError, match=r"has format=4, .* made by a newer dsp-attention, update"):
        dsp_viz.load(saved)


def test_configs_are_checked_where_they_are_made(saved: Path) -> None:
    config = dsp_viz.load(saved).config
    assert replace(config, image_size=32).image_size == 32
    with pytest.raises(ValidationError, match="must be a multiple of the model's patch=8"):
        replace(config, image_size=20)
    with pytest.raises(FrozenInstanceError):
        config.image_size = 32  # type: ignore[misc]


def test_every_argument_of_a_model_is_bounded() -> None:
    """A new argument of the model or its layers belongs into the config's bounds."""
    parts = DSPImageClassifier, DSPModel, DynamicSpectralPolarityAttention, PolaFormerAttention, SoftmaxAttention
    arguments = {name for part in parts for name in inspect.signature(part).parameters}
    assert set(Build.__annotations__) == arguments - {"options", "num_tokens"}


def test_shapes_take_no_memory() -> None:
    """As large as is built: the tensors that would be large are on the meta device, the rest is a few numbers."""
    config = dsp_viz.load("dsp_tiny").config
    small = replace(config, model={**BUILD, "num_classes": 10}, image_size=24)
    large = replace(config, model={**BUILD, "num_classes": 10, "dim": 1536, "depth": 11}, image_size=24)
    held = []
    for each in (small, large):
        real = [t for t in each.shapes().state_dict().values() if not t.is_meta]
        held.append(sum(t.nbytes for t in real) / each.model["depth"])
    assert max(held) < 200
    assert sum(t.numel() for t in large.shapes().state_dict().values()) > 2e8
    loaded = dsp_viz.load("dsp_tiny").network.state_dict()
    assert {k: t.shape for k, t in config.shapes().state_dict().items()} == {k: t.shape for k, t in loaded.items()}
    assert not any(t.is_meta for t in loaded.values())


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
        ("mean", [0.5], "3 numbers are needed"),
        ("model", {**BUILD, "attention": "magic"}, "describes no model: attention='magic'"),
        ("model", {**BUILD, "colour": 3}, "model.colour=3: there is no such field"),
    ],
)
def test_configs_that_do_not_fit_are_refused(saved: Path, key: str, value: object, message: str) -> None:
    path = saved.with_suffix(".json")
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(dsp_viz.CheckpointError, match=message):
        dsp_viz.load(saved)


def test_a_failed_save_leaves_the_last_good_file(saved: Path) -> None:
    before = saved.read_bytes()
    config, files = dsp_viz.load(saved).config, sorted(saved.parent.iterdir())
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))  # as on a disk that is full
    try:
        with pytest.raises(dsp_viz.CheckpointError, match="the last good file is untouched"):
            save(saved, DSPImageClassifier(**BUILD), config)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert saved.read_bytes() == before
    assert sorted(saved.parent.iterdir()) == files
