"""Mixing weights, and what the gradient tells them: computed by hand."""

import math

import numpy as np
import pytest
import reference
import torch

from dsp_attention.mixing import GradientInformedMixer, MixingWeights


def test_initial_shares_are_those_of_the_tokens_and_one_scale_is_exactly_one() -> None:
    tokens = torch.tensor([16.0, 4.0, 1.0]) / 21
    torch.testing.assert_close(MixingWeights(2, 3)(4), (0.95 * tokens + 0.05 / 3).expand(4, 2, 3))
    weights = MixingWeights(2, 1)
    torch.nn.init.normal_(weights.theta)
    assert (weights(4) == 1).all()


def test_weights_by_hand() -> None:
    weights = MixingWeights(1, 2)
    with torch.no_grad():
        weights.theta.copy_(torch.tensor([[math.log(3.0), 0.0]]))
        weights.ema.copy_(torch.tensor([[0.25, 0.75]]))
    # softmax(log 3 + log ½, log 3/2) = (½, ½)
    torch.testing.assert_close(weights(1)[0, 0], torch.tensor([0.5, 0.5]))


def test_no_scale_starves() -> None:
    weights = MixingWeights(1, 4)
    with torch.no_grad():
        weights.theta.copy_(torch.tensor([[100.0, 0.0, 0.0, 0.0]]))
        weights.ema.copy_(torch.tensor([[1.0, 0.0, 0.0, 0.0]]))
    w = weights(1)[0, 0]
    torch.testing.assert_close(w, torch.tensor([0.9625, 0.0125, 0.0125, 0.0125]))


def test_tracking_by_hand() -> None:
    """``t`` is the root mean square of ``∂L/∂w`` over the batch, normalised over scales."""
    weights = MixingWeights(2, 2, adaptive_beta=0.25).train()
    grad = torch.tensor([[[7.0, 0.0], [1.0, 1.0]], [[1.0, 5.0], [-1.0, 1.0]]])  # (B, h, S)
    (weights(2) * grad).sum().backward()
    # head 0: rms (√25, √12.5) → (2 - √2, √2 - 1); head 1: (1, 1) → (½, ½)
    expected = [[0.375 + 0.25 * (2 - 2**0.5), 0.375 + 0.25 * (2**0.5 - 1)], [0.5, 0.5]]
    torch.testing.assert_close(weights.ema, torch.tensor(expected))


@pytest.mark.parametrize("factor", [1e-8, 1.0, 1e8])
def test_the_loss_scale_does_not_matter(factor: float) -> None:
    weights = MixingWeights(1, 2, adaptive_beta=1.0).train()
    (weights(1) * torch.tensor([1.0, 3.0]) * factor).sum().backward()
    torch.testing.assert_close(weights.ema, torch.tensor([[0.25, 0.75]]))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 0.0])
def test_useless_gradients_are_skipped(bad: float) -> None:
    weights = MixingWeights(2, 2, adaptive_beta=1.0).train()
    weights(1).backward(torch.tensor([[[bad, bad], [1.0, 3.0]]]))
    torch.testing.assert_close(weights.ema, torch.tensor([[0.5, 0.5], [0.25, 0.75]]))


def test_nothing_is_tracked_in_evaluation_or_without_gradients() -> None:
    weights = MixingWeights(1, 2).eval()
    (weights(1) * torch.tensor([1.0, 3.0])).sum().backward()
    weights.train()
    with torch.no_grad():
        weights(1)
    torch.testing.assert_close(weights.ema, torch.tensor([[0.5, 0.5]]))


def test_accumulated_gradients_each_count() -> None:
    weights = MixingWeights(1, 2, adaptive_beta=0.5).train()
    for _ in range(2):
        (weights(1) * torch.tensor([1.0, 3.0])).sum().backward()
    torch.testing.assert_close(weights.ema, torch.tensor([[0.3125, 0.6875]]))  # ½ → ⅜ → 5/16


def test_the_gradient_is_that_of_the_weight_itself() -> None:
    """A scale that is hardly used asks for more if the loss wants it, however small its weight."""
    mixer = GradientInformedMixer(1, 2, adaptive_beta=1.0).train()
    with torch.no_grad():
        mixer.weights.theta.copy_(torch.tensor([[5.0, -5.0]]))
    outputs = [torch.ones(1, 1, 4, 2), 3 * torch.ones(1, 1, 1, 2)]
    mixer(outputs, [(2, 2), (1, 1)]).sum().backward()
    torch.testing.assert_close(mixer.weights.ema, torch.tensor([[0.25, 0.75]]))


@pytest.mark.parametrize("grid", [(4, 4), (5, 7), (1, 3)])
def test_mixes_what_was_lifted(grid: tuple[int, int]) -> None:
    H, W = grid
    mixer = GradientInformedMixer(2, 3).double()
    torch.nn.init.normal_(mixer.weights.theta)
    grids = [grid, (-(-H // 2), -(-W // 2)), (-(-H // 4), -(-W // 4))]
    outputs = [torch.randn(2, 2, h * w, 3, dtype=torch.double) for h, w in grids]
    got = mixer(outputs, grids).detach()
    w = reference.mixing_weights(mixer.weights.theta.detach().numpy(), mixer.weights.ema.numpy())
    for b in range(2):
        for head in range(2):
            want = sum(
                w[head, s] * reference.lift_matrix(grids[s], grid) @ outputs[s][b, head].numpy() for s in range(3)
            )
            np.testing.assert_allclose(got[b, :, head], want, rtol=0, atol=1e-12)
