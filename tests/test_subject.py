"""What is looked at: one place makes a picture the network's input, whoever decodes it."""

import copy
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import EXAMPLES
from PIL import Image
from torch import nn

import dsp_viz
from dsp_viz import images
from dsp_viz.decoding import Decoder
from dsp_viz.subject import MAX_SIDE, Preparation, Subject

HOW = Preparation(side=39, patch=13, mean=(0.1, 0.2, 0.3), std=(0.5, 0.4, 0.25))


class Means(nn.Module):
    """Logits are the means of the three channels."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scale * x.mean((2, 3))


@pytest.fixture
def subject() -> Subject:
    return Subject(Means().train(), HOW, classes=("red", "green", "blue"), name="means", digest="0")


def test_a_network_of_any_kind_is_ready_to_be_looked_at(subject: Subject) -> None:
    assert not subject.network.training
    assert not any(p.requires_grad for p in subject.parameters())
    assert (subject.history, subject.config, subject.device) == ({}, None, torch.device("cpu"))
    prepared = subject.prepare(Image.new("RGB", (50, 41), (255, 51, 0)))
    want = [(1 - 0.1) / 0.5, (0.2 - 0.2) / 0.4, (0 - 0.3) / 0.25]
    torch.testing.assert_close(subject(prepared.input)[0], torch.tensor(want), rtol=1e-5, atol=1e-6)
    assert (prepared.picture.size, prepared.frame.grid, prepared.note) == ((39, 39), (3, 3), "")
    assert prepared.frame.box == (4.5, 0, 45.5, 41)


@pytest.mark.parametrize(
    ("side", "whole", "size"), [(None, False, (39, 39)), (26, False, (26, 26)), (65, True, (65, 39))]
)
def test_whoever_decodes_the_file_the_input_is_the_same(
    subject: Subject, side: int | None, whole: bool, size: tuple[int, int]
) -> None:
    with Decoder() as decoder:
        there = subject.prepare(EXAMPLES[4], side=side, whole=whole, decoder=decoder)
        with pytest.raises(TypeError, match="a decoder reads files: give a path, not Image"):
            subject.prepare(Image.new("RGB", (50, 41)), decoder=decoder)
    here = subject.prepare(EXAMPLES[4], side=side, whole=whole)
    assert here.picture.size == there.picture.size == size
    assert here.frame == there.frame
    assert torch.equal(here.input, there.input)
    by_hand = np.asarray(here.picture)[5, 7] / 255
    assert here.input[0, :, 5, 7].tolist() == pytest.approx((by_hand - HOW.mean) / HOW.std, abs=1e-5)
    cut, frame = HOW.fit(images.read_image(EXAMPLES[4]), side=side, whole=whole)
    assert (cut.tobytes(), frame) == (here.picture.tobytes(), here.frame)


def test_what_decoding_tells_comes_along(subject: Subject, tmp_path: Path) -> None:
    dark = Image.fromarray(np.full((40, 40), 4095, np.uint16))
    path = tmp_path / "dark.png"
    dark.save(path)
    with Decoder() as decoder:
        assert "uses only the lowest 12" in subject.prepare(path, decoder=decoder).note
        assert subject.prepare(path, decoder=decoder, stretch=True).picture.getpixel((9, 9)) == (255, 255, 255)


@pytest.mark.parametrize("side", [0, -13, 12, 40, MAX_SIDE + 13])
def test_sides_are_whole_patches_and_bounded(subject: Subject, side: int) -> None:
    """Said before the picture is looked for."""
    sentence = f"side={side}: must be a multiple of the model's patch, 13 pixels, up to {MAX_SIDE}"
    for ask in (lambda: HOW.checked(side), lambda: subject.prepare("/nonexistent", side=side)):
        with pytest.raises(ValueError, match=sentence):
            ask()
    assert (HOW.checked(None), HOW.checked(13), HOW.checked(2041)) == (39, 13, 2041)
    with pytest.raises(FrozenInstanceError):
        HOW.side = 26  # type: ignore[misc]


def test_a_network_of_one_size_takes_no_other() -> None:
    how = replace(HOW, fixed=True)
    assert (how.checked(None), how.checked(39)) == (39, 39)
    with pytest.raises(ValueError, match="side=26: the model takes 39 pixels only"):
        how.checked(26)
    with pytest.raises(ValueError, match="whole: the model takes squares of 39 pixels only, so the middle is cut out"):
        how.fit(Image.new("RGB", (50, 41)), whole=True)


def test_old_names_warn(subject: Subject) -> None:
    with pytest.warns(DeprecationWarning, match=r"dsp_viz\.LoadedModel is called dsp_viz\.Subject now"):
        assert dsp_viz.LoadedModel is Subject
    with pytest.warns(DeprecationWarning, match=r"Subject\.classifier is called Subject\.network now"):
        assert subject.classifier is subject.network
    with pytest.raises(AttributeError, match="no attribute 'Model'"):
        _ = dsp_viz.Model
    assert copy.deepcopy(subject).name == "means"  # nothing of the usual ways warns
