"""Relevance where tokens have no place, and across the stages of a pyramid, against explicit matrices in float64."""

import pytest
import torch
from torch import Tensor, nn
from windowed import TOKENS, TokenReader, Tokens

from dsp_attention import DSPImageClassifier, SoftmaxAttention
from dsp_viz.kinds import KINDS
from dsp_viz.layer import Layer
from dsp_viz.relevance import gradient_times_map, relevances, rollout
from dsp_viz.trace import trace
from dsp_viz.trust import trust

DIM, HEADS = 12, 3


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, TOKENS, TokenReader())


def dense(block: Layer) -> Tensor:
    """The mean of softmax maps over heads, ``(N, N)``."""
    scale = block.scales[0]
    return torch.softmax(scale.left[0, 0] @ scale.right[0, 0].mT, -1).mean(0)


class Two(nn.Module):
    """Two layers with a class token and a register."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = Tokens(DIM, HEADS, "softmax"), Tokens(DIM, HEADS, "softmax")

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.first(x, 5, 3)
        return x + self.second(x, 5, 3)


def test_rollout_starts_at_the_class_token_and_flows_through_registers() -> None:
    torch.manual_seed(0)
    model, x = Two().double().eval(), 2 * torch.randn(1, 17, DIM, dtype=torch.double)
    traced = trace(model, x)
    r = torch.eye(17, dtype=torch.double)[0]
    for block in reversed(traced.blocks):
        r = (r + r @ dense(block)) / 2
    want = r[2:] / r[2:].sum()
    torch.testing.assert_close(rollout(traced).flatten(), want, rtol=1e-10, atol=1e-12)


class Stages(nn.Module):
    """A layer on 4 × 6 tokens, one on 2 × 3, a linear head on the mean."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, DIM, 4, 4)
        self.first, self.second = SoftmaxAttention(DIM, HEADS), SoftmaxAttention(DIM, 2)
        self.head = nn.Linear(DIM, 4)

    def forward(self, image: Tensor) -> Tensor:
        x = self.embed(image).flatten(2).transpose(1, 2)
        x = x + self.first(x, 4, 6)
        x = nn.functional.avg_pool2d(x.transpose(1, 2).unflatten(2, (4, 6)), 2).flatten(2).transpose(1, 2)
        return self.head((x + self.second(x, 2, 3)).mean(1))


def test_rollout_of_a_pyramid_gathers_and_spreads() -> None:
    torch.manual_seed(1)
    model, image = Stages().double().eval(), torch.randn(1, 3, 16, 24, dtype=torch.double)
    traced = trace(model, image)
    assert [(block.stage, block.grid.size) for block in traced.blocks] == [(0, (4, 6)), (1, (2, 3))]
    r = torch.full((6,), 1 / 6, dtype=torch.double)
    r = (r + r @ dense(traced.blocks[1])) / 2
    fine = r.view(2, 3).repeat_interleave(2, 0).repeat_interleave(2, 1).flatten() / 4
    want = (fine + fine @ dense(traced.blocks[0])) / 2
    torch.testing.assert_close(rollout(traced).flatten(), want, rtol=1e-6, atol=1e-9)


def test_all_questions_can_be_asked_of_a_pyramid() -> None:
    torch.manual_seed(1)
    model, image = Stages().eval().requires_grad_(False), torch.randn(1, 3, 16, 24)
    found = trust(model, image)
    assert {name: tuple(each.shape) for name, each in found.relevance.items()} == dict.fromkeys(
        ["received", "rollout", "gradient × map", "gradient", "integrated gradients"], (4, 6)
    )
    assert float(found.relevance["rollout"].sum()) == pytest.approx(1, abs=1e-5)


def test_a_picture_need_not_be_a_whole_number_of_tokens() -> None:
    """Gradients by pixel are shared out among the tokens that a pixel lies in; none is lost."""
    torch.manual_seed(1)
    model, image = Stages().eval().requires_grad_(False), torch.randn(1, 3, 18, 25)  # the last rows are not looked at
    found = relevances(model, image, 2)["gradient"]
    leaf = image.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(leaf)[0, 2], leaf)
    assert found.shape == (4, 6)
    assert float(found.sum()) == pytest.approx(float(gradient.abs().sum()), rel=1e-4)
    trust(model, image)


def test_relevance_can_be_asked_for_in_inference_mode() -> None:
    torch.manual_seed(0)
    model = DSPImageClassifier(image_size=32, dim=8, num_heads=2, depth=1, num_classes=3).eval()
    image = torch.randn(1, 3, 32, 32)
    want = relevances(model, image, 1)
    with torch.inference_mode():
        found = relevances(model, image.clone(), 1)
        product = gradient_times_map(model, image.clone(), 1)
    for name, each in found.items():
        torch.testing.assert_close(each, want[name], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(product, want["gradient × map"], rtol=1e-4, atol=1e-6)
