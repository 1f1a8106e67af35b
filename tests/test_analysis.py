"""The public names, and that an analysis is the model's own forward pass."""

import inspect
import io
import math

import pytest
import torch
from conftest import EXAMPLES
from PIL import Image

import dsp_viz
from dsp_viz import images
from dsp_viz.config import read_config
from dsp_viz.sources.checkpoint import PRETRAINED


def test_errors_and_arguments_are_these() -> None:
    assert issubclass(dsp_viz.ImageError, ValueError)
    assert issubclass(dsp_viz.CheckpointError, ValueError)
    assert list(inspect.signature(dsp_viz.load).parameters) == ["name_or_path", "device"]
    assert list(inspect.signature(dsp_viz.analyse).parameters) == [
        "model",
        "picture",
        "side",
        "whole",
        "stretch",
        "interventions",
    ]
    assert next(iter(inspect.signature(images.read_image).parameters)) == "source"
    assert list(inspect.signature(dsp_viz.trace.trace).parameters)[:2] == ["model", "x"]
    parameters = inspect.signature(dsp_viz.maps.query_map).parameters
    named = [n for n, p in parameters.items() if p.kind is inspect.Parameter.KEYWORD_ONLY]
    assert named[:5] == ["block", "scale", "head", "query", "stream"]


def test_analysis_is_the_plain_forward_pass(model: dsp_viz.Subject) -> None:
    result = dsp_viz.analyse(model, EXAMPLES[0])
    config = read_config(PRETRAINED / "dsp_tiny.json")
    cut, _ = images.fit(images.read_image(EXAMPLES[0]), side=config.image_size, patch=8)
    with torch.inference_mode():
        logits = model.network(images.to_tensor(cut, config.mean, config.std))[0]
    torch.testing.assert_close(
        torch.tensor(result.probabilities).double(), logits.double().softmax(0), rtol=1e-6, atol=1e-9
    )
    assert result.frame.grid == result.trace.blocks[0].grid.size
    assert len(result.trace.blocks) == config.model["depth"]


@pytest.mark.parametrize("temperature", [0.7, 1.9])
def test_probabilities_are_those_of_the_temperature(model: dsp_viz.Subject, temperature: float) -> None:
    """By definition, in float64; and the model is unsure just where the largest is below its threshold."""
    plain = dsp_viz.analyse(model, EXAMPLES[0])
    powers = [math.exp(y / temperature) for y in plain.trace.output[0].tolist()]
    want = [power / sum(powers) for power in powers]
    for threshold, unsure in ((0.0, False), (max(want) - 1e-6, False), (max(want) + 1e-6, True)):
        other = dsp_viz.Subject(
            model.network,
            model.preparation,
            classes=model.classes,
            name="warm",
            digest="0",
            temperature=temperature,
            unsure=threshold,
        )
        result = dsp_viz.analyse(other, EXAMPLES[0])
        assert result.probabilities == pytest.approx(want, rel=1e-9, abs=1e-12)
        assert (result.unsure, result.temperature, result.threshold) == (unsure, temperature, threshold)
    assert result.probabilities != pytest.approx(plain.probabilities, abs=1e-3)
    assert (plain.unsure, plain.temperature, plain.threshold) == (False, 1, 0)


def test_a_model_without_classes_is_never_unsure(model: dsp_viz.Subject) -> None:
    features = dsp_viz.Subject(model.network, model.preparation, classes=(), name="f", digest="0", unsure=1.0)
    assert not dsp_viz.analyse(features, EXAMPLES[0]).unsure


def test_best_classes_come_first(model: dsp_viz.Subject) -> None:
    result = dsp_viz.analyse(model, EXAMPLES[0])
    top = result.top(10)
    assert [p for _, p in top] == sorted(result.probabilities, reverse=True)
    assert dict(top) == dict(zip(result.classes, result.probabilities, strict=True))
    assert result.top() == top[:5]


def test_path_bytes_and_picture_give_the_same(model: dsp_viz.Subject) -> None:
    data = EXAMPLES[2].read_bytes()
    with Image.open(io.BytesIO(data)) as picture:
        results = [dsp_viz.analyse(model, source) for source in (EXAMPLES[2], str(EXAMPLES[2]), data, picture)]
    assert len({r.probabilities for r in results}) == 1


def test_maps_of_a_real_picture_are_distributions(model: dsp_viz.Subject) -> None:
    result = dsp_viz.analyse(model, EXAMPLES[0])
    for block in result.trace.blocks:
        for maps in dsp_viz.maps.block_maps(block, (3, 12)):
            assert (maps >= 0).all()
            sums = maps.sum((-1, -2))
            assert (sums <= 1 + 1e-5).all()
            assert sums.min() > 0.9  # ε in the normaliser takes the rest


def test_a_picture_that_cannot_be_read_is_an_image_error(model: dsp_viz.Subject) -> None:
    with pytest.raises(dsp_viz.ImageError):
        dsp_viz.analyse(model, b"no picture")


@pytest.mark.parametrize(
    ("side", "whole", "grid"), [(256, False, (32, 32)), (64, True, (5, 8)), (None, True, (11, 16))]
)
def test_other_sizes_and_whole_pictures(
    model: dsp_viz.Subject, side: int | None, whole: bool, grid: tuple[int, int]
) -> None:
    picture = Image.open(EXAMPLES[0]).resize((300, 200))
    result = dsp_viz.analyse(model, picture, side=side, whole=whole)
    assert result.frame.grid == result.trace.blocks[0].grid.size == grid
    assert result.picture.size == (8 * grid[1], 8 * grid[0])


@pytest.mark.parametrize("side", [0, 100, -8])
def test_sides_must_be_whole_patches(model: dsp_viz.Subject, side: int) -> None:
    with pytest.raises(ValueError, match=f"side={side}: must be a multiple of the model's patch, 8 pixels"):
        dsp_viz.analyse(model, EXAMPLES[0], side=side)
