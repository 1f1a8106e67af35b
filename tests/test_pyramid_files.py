"""Hierarchical models in files: what is written comes back; what an enemy would write ends in a sentence."""

import inspect
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hostile_checkpoints import refused

import dsp_viz
from dsp_attention import HierarchicalClassifier
from dsp_viz.builds import Pyramid
from dsp_viz.config import Config, read_config, to_json
from dsp_viz.sources.checkpoint import save

BUILD: Any = {
    "image_size": 48,
    "dims": [6, 12],
    "depths": [1, 2],
    "num_heads": [1, 3],
    "mlp_ratios": [2, 1.5],
    "attention": ["dsp", "polaformer"],
    "patches": [4, 3],
    "num_classes": 2,
    "window": 3,
}


@pytest.fixture
def pyramid(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    config = Config(
        BUILD, 48, (0.4, 0.5, 0.6), (0.2, 0.2, 0.2), ("cat", "dog"), ("n1", "n2"), fit={"way": "squash", "share": 0.8}
    )
    save(tmp_path / "small.safetensors", HierarchicalClassifier(**BUILD), config)
    return tmp_path / "small.safetensors"


def test_round_trip(pyramid: Path) -> None:
    subject = dsp_viz.load(pyramid)
    assert isinstance(subject.network, HierarchicalClassifier)
    how = subject.preparation
    assert (how.side, how.patch, how.fitting.way, how.fixed) == (48, 12, "squash", False)
    assert subject(torch.randn(2, 3, 36, 60)).shape == (2, 2)
    path = pyramid.with_suffix(".json")
    assert json.loads(path.read_text())["format"] == 2
    assert to_json(read_config(path)) == path.read_bytes()
    result = dsp_viz.analyse(subject, torch.rand(3, 50, 70), side=60)
    assert [layer.grid.size for layer in result.trace.blocks] == [(15, 15), (5, 5), (5, 5)]


def test_every_argument_is_bounded() -> None:
    """A new argument of the model belongs into the config's bounds."""
    assert set(Pyramid.__annotations__) == set(inspect.signature(HierarchicalClassifier).parameters)


SIZES = ("image_size", "num_classes", "window", "kernel_size", "spectral_modes", "num_scales")
LISTS = ("dims", "depths", "num_heads", "mlp_ratios", "patches", "spectral_modes", "num_scales")


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        *((key, value, f"model.{key}") for key in SIZES for value in (-1, 0, 10**9, "8", 1.5, True)),
        *((key, value, f"model.{key}") for key in LISTS for value in ([], [0, 1], [1, -1], ["1", 2], [[1], 1])),
        *((key, [2] * 7, "at most 6") for key in LISTS),
        *((key, [2] * 3, key) for key in LISTS),
        *((key, [10**9] * 2, "less than or equal to") for key in LISTS),
        ("attention", ["dsp", "magic"], "attention='magic': must be one of dsp, polaformer, softmax, window"),
        ("attention", ["dsp"], "must have one entry for each of the 2 stages"),
        ("attention", "x" * 99, "at most 60"),
        ("attention", 3, "model.attention"),
        ("stem", "magic", "stem='magic': must be one of patch, convolutions"),
        ("downsampling", "merging", "all but the first must be 2"),
        ("final_norm", 1, "valid boolean"),
        ("norm_eps", 0, "greater than 0"),
        ("dims", None, "model.dims=None"),
        ("dims", [6, 13], "num_heads must divide dim"),
        ("dims", [8190, 8190], "parameters; at most 500,000,000 are built"),
        ("depths", [64, 37], "it would have 101 blocks; at most 100 are built"),
        ("patches", [5, 3], "image_size=48: must be a multiple of the model's patch=15"),
        ("window", 33, "window=33: Input should be less than or equal to 32"),
        ("colour", 3, "model.colour=3: there is no such field; fields are image_size, dims, depths"),
        ("patch", 8, "model.patch=8: there is no such field; fields are image_size, dims"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_values(pyramid: Path, key: str, value: Any, sentence: str) -> None:
    path = pyramid.with_suffix(".json")
    raw = json.loads(path.read_text())
    raw["model"][key] = value
    path.write_text(json.dumps(raw))
    refused(pyramid, "small.json", sentence)


@pytest.mark.parametrize("key", ["dims", "depths", "num_heads", "mlp_ratios", "num_classes"])
def test_fields_that_are_missing(pyramid: Path, key: str) -> None:
    path = pyramid.with_suffix(".json")
    raw = json.loads(path.read_text())
    del raw["model"][key]
    path.write_text(json.dumps(raw))
    refused(pyramid, f"small.json is no readable model config: model.{key}: Field required")


def test_tokens_are_bounded_on_the_finest_grid() -> None:
    with pytest.raises(ValueError, match="image_size=1548: at most 1024, 65,536 tokens"):
        Config(BUILD, 1548, (0, 0, 0), (1, 1, 1), ("cat", "dog"), ("n1", "n2"))
