"""Muon in float32, against the polar factor and against torch's, which iterates in bfloat16."""

import pytest
import torch
from torch import Tensor, nn

from training.muon import QUINTIC, STEPS, Muon, orthogonalised


def iterated(matrix: Tensor) -> Tensor:
    """The iteration as it is published, on the matrix itself."""
    a, b, c = QUINTIC
    X = matrix / matrix.norm()
    for _ in range(STEPS):
        G = X @ X.T
        X = a * X + (b * G + c * G @ G) @ X
    return X


@pytest.mark.parametrize("shape", [(7, 31), (31, 7), (13, 13), (1, 5)])
def test_orthogonalised_is_the_published_iteration(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    matrix = torch.randn(shape, dtype=torch.float64)
    expected = iterated(matrix) if shape[0] <= shape[1] else iterated(matrix.T).T
    assert torch.allclose(orthogonalised(matrix), expected, atol=1e-9)
    assert torch.allclose(orthogonalised(matrix.float()).double(), expected, atol=1e-4)


def test_orthogonalised_is_near_the_polar_factor() -> None:
    torch.manual_seed(0)
    matrix = torch.randn(29, 97)
    S = torch.linalg.svdvals(orthogonalised(matrix))
    assert S.min() > 0.65
    assert S.max() < 1.25
    L, _, R = torch.linalg.svd(matrix, full_matrices=False)
    # The same directions: what is left of the polar factor within it is diagonal and positive.
    inner = (L @ R) @ orthogonalised(matrix).T
    assert torch.linalg.eigvals(inner).real.min() > 0.65


def test_orthogonalised_of_nothing_is_nothing() -> None:
    assert torch.equal(orthogonalised(torch.zeros(3, 5)), torch.zeros(3, 5))


@pytest.mark.parametrize("shape", [(11, 37), (37, 11)])
def test_steps_are_those_of_torch(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    ours = nn.Parameter(torch.randn(shape))
    theirs = nn.Parameter(ours.detach().clone())
    one = Muon([ours], lr=0.02, weight_decay=0.1)
    other = torch.optim.Muon([theirs], lr=0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    start = ours.detach().clone()
    for _ in range(5):
        ours.grad = torch.randn(shape)
        theirs.grad = ours.grad.clone()
        one.step()
        other.step()
    moved = (ours - start).abs().mean()
    assert moved > 0.004
    assert (ours - theirs).abs().mean() < 0.06 * moved  # bfloat16 has 8 bits


def test_only_matrices_are_taken() -> None:
    with pytest.raises(ValueError, match="matrices alone"):
        Muon([nn.Parameter(torch.zeros(3))])


def test_a_parameter_without_a_gradient_stays() -> None:
    parameter = nn.Parameter(torch.ones(2, 3))
    Muon([parameter], lr=0.1).step()
    assert torch.equal(parameter, torch.ones(2, 3))
