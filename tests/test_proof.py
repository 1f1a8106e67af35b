"""What is not finite is never taken for true, and takes nothing else away."""

import math
from dataclasses import replace

import pyramid
import pytest
import torch
from PIL import Image
from timm_models import build, pictures
from torch import Tensor, nn

import dsp_viz
from dsp_attention import SoftmaxAttention
from dsp_viz import export, proof
from dsp_viz.interventions import Restrict, SetCoefficient, applied
from dsp_viz.kinds import KINDS, softmax
from dsp_viz.kinds.kind import Seen
from dsp_viz.layer import Layer
from dsp_viz.proof import checked, error
from dsp_viz.trace import trace
from dsp_viz.ui.kept import Manifest

H, W, DIM = 5, 3, 6


class Two(nn.Module):
    """Two layers, side by side; tokens or a picture of one pixel each."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = SoftmaxAttention(DIM, 3), SoftmaxAttention(DIM, 2)
        self.read = nn.Conv2d(3, DIM, 1)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.read(x).flatten(2).mT
        return (self.first(tokens, H, W) + self.second(tokens, H, W)).mean(1)


@pytest.fixture
def model() -> Two:
    return Two().double().eval().requires_grad_(False)


@pytest.fixture
def x() -> Tensor:
    return torch.randn(1, 3, H, W, dtype=torch.double, generator=torch.Generator().manual_seed(1))


class Endless:
    """A reader whose maps are no numbers, of the layers with two heads."""

    points, values, output = map(staticmethod, (softmax.points, softmax.values, softmax.output))

    def read(self, name: str, layer: SoftmaxAttention, seen: Seen) -> Layer:
        record = softmax.read(name, layer, seen)
        factor = math.nan if name.endswith("second") else 1.0
        return replace(record, scales=(replace(record.scales[0], left=factor * record.scales[0].left),))


def test_maps_that_are_no_numbers_are_not_true(model: Two, x: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    record = trace(model, x).blocks[0]
    scale = replace(record.scales[0], left=math.nan * record.scales[0].left)
    assert error(replace(record, scales=(scale,))) == math.inf
    assert checked(replace(record, scales=(scale,)))[1].startswith("its maps do not rebuild what it puts out")
    monkeypatch.setitem(KINDS, "dsp_attention.baselines.SoftmaxAttention", Endless())
    found = trace(model, x)
    assert [block.name for block in found.blocks] == ["first"]
    assert found.refused[0].startswith("second is not shown: its maps do not rebuild")
    assert found.verified < 1e-12


def test_a_layer_that_is_not_finite_takes_no_proof_away(model: Two, x: Tensor) -> None:
    model.second.qkv.weight[-1] = math.inf
    for _ in range(2):
        found = trace(model, x)
        assert [block.name for block in found.blocks] == ["first"]
        assert found.refused[0].startswith("second is not shown: what it puts out is not finite")
        assert found.verified < 1e-12


def test_what_an_intervention_made_endless_is_no_fault_of_the_maps(model: Two, x: Tensor) -> None:
    model.second.qkv.weight[-1] *= 1e306
    assert trace(model, x).refused == ()
    with applied(model, [SetCoefficient(value=1000, block=1)]):
        found = trace(model, x)
    assert not torch.isfinite(found.blocks[1].output).all()
    assert found.refused == ()
    assert found.verified < 1e-12  # of the other


def test_a_model_that_gives_no_numbers_is_refused(model: Two) -> None:
    model.first.proj.bias[0] = math.nan
    model.float()
    with pytest.raises(ValueError, match=r"Two gives numbers that are not finite for a picture \(1, 3, 5, 5\): check"):
        dsp_viz.wrap(_Square(model), size=5, mean=[0.5] * 3, std=[0.5] * 3, name="Two")


class _Square(nn.Module):
    def __init__(self, model: Two) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x[..., :W])


def test_a_layer_that_is_used_twice_can_be_changed() -> None:
    """What was seen around it, once, holds for both of its calls."""
    network, x = build("vit"), pictures("vit")
    network.blocks[1].attn = network.blocks[0].attn
    plain = network(x)
    grid = trace(network, x).grid.size
    every = tuple((r, c) for r in range(grid[0]) for c in range(grid[1]))
    with applied(network, [Restrict(grid=grid, tokens=every)]):
        for _ in range(2):
            torch.testing.assert_close(network(x), plain)
    with applied(network, [Restrict(grid=grid, tokens=every[:2])]):
        assert not torch.allclose(network(x), plain)


@pytest.mark.parametrize(("dtype", "rounded"), [(torch.bfloat16, "bfloat16"), (torch.float32, "")])
def test_what_is_rounded_is_said(dtype: torch.dtype, rounded: str) -> None:
    """Then much less is verified: scores that are 1.2 times as large may pass in bfloat16."""
    subject = pyramid.subject()
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        found = dsp_viz.analyse(subject, Image.new("RGB", (64, 64), "teal"))
    assert found.trace.rounded == rounded
    assert export.settings(found)["rounded"] == rounded
    assert Manifest.of(found).rounded == rounded


def test_the_release_of_a_library_is_looked_up_once(model: Two, x: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes half a second; a model may have many layers that are refused, in each of its passes."""
    asked: list[int] = []

    def counted() -> dict[str, list[str]]:
        asked.append(1)
        return {}

    monkeypatch.setattr(proof, "packages_distributions", counted)
    proof._released.cache_clear()
    model.second.qkv.weight[-1] = math.inf
    for _ in range(3):
        assert len(trace(model, x).refused) == 1
    proof._released.cache_clear()
    assert len(asked) == 1
