"""One numbering of layers, that of a trace: those that are not shown do not count, here in a Swin that pads a stage."""

import json
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm_models import randomised
from torch import Tensor, nn

import dsp_viz
from dsp_viz.__main__ import main
from dsp_viz.interventions import InterventionError, SetCoefficient, applied
from dsp_viz.trace import shown, trace

PATHS = tuple(f"layers.{stage}.blocks.0" for stage in (0, 1, 3))


def network(size: tuple[int, int]) -> nn.Module:
    """Windows of 4×4; a grid of 4×6 or 6×6 in the third stage is padded, and that of the last is one window."""
    options = {"embed_dim": 12, "depths": (1, 1, 1, 1), "num_heads": (2, 2, 3, 3), "num_classes": 5}
    return randomised(timm.create_model("swin_tiny_patch4_window7_224", img_size=size, window_size=4, **options))


def subject() -> dsp_viz.Subject:
    """For the command line."""
    return dsp_viz.wrap(network((96, 96)), size=96, mean=[0.5] * 3, std=[0.5] * 3, name="swin")


@pytest.fixture
def model() -> nn.Module:
    return network((64, 96))


@pytest.fixture
def x() -> Tensor:
    return torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(2))


def test_a_block_is_that_of_the_trace(model: nn.Module, x: Tensor) -> None:
    plain = trace(model, x)
    assert shown(model, x) == tuple(block.name for block in plain.blocks) == PATHS
    assert plain.refused[0].startswith("layers.2.blocks.0 is not shown: its grid of 4×6 is padded")
    with applied(model, [SetCoefficient(value=0, block=2)], shown(model, x)):
        found = trace(model, x)
    assert [bool(block.output.any()) for block in found.blocks] == [True, True, False]
    with (
        pytest.raises(InterventionError, match="block=3: must be within 0 and 2"),
        applied(model, [SetCoefficient(value=0, block=3)], shown(model, x)),
    ):
        pass


def test_every_block_is_every_one_that_is_shown(model: nn.Module, x: Tensor) -> None:
    with applied(model, [SetCoefficient(value=0)], shown(model, x)):
        found = trace(model, x)
    assert [block.name for block in found.blocks] == list(PATHS)
    assert not any(block.output.any() for block in found.blocks)
    assert found.refused == trace(model, x).refused


def test_what_is_shown_is_remembered_of_passes_without_changes(model: nn.Module, x: Tensor) -> None:
    assert shown(model, x) == PATHS
    runs: list[int] = []
    model.register_forward_pre_hook(lambda *_: runs.append(1))
    assert shown(model, torch.zeros_like(x)) == PATHS
    assert runs == []


def test_an_analysis_counts_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "noise.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)).save(picture)
    out, command = tmp_path / "out", ["analyse", str(picture), "--model", f"{__name__}:subject", "--figures", "png"]
    given = ["--interventions", '[{"kind": "set_coefficient", "value": 0, "block": 2}]', "--out", str(out)]
    assert main([*command, *given]) == 0  # the default is the third block
    written = json.loads((out / "noise.json").read_text())
    assert written["coefficients"][2] == [[[0.0]]] * 3
    assert (out / "noise.png").stat().st_size > 0
    for wrong, told in ((["--block", "4"], "--block 4: swin has blocks 1…3"), ([*given[:1], "[{}]"], "kind")):
        with pytest.raises(SystemExit) as ended:
            main([*command, *wrong, "--out", str(tmp_path / "none")])
        assert ended.value.code == 2
        assert told in capsys.readouterr().err.splitlines()[-1]
