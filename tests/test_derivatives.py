"""First and second derivatives, by finite differences; torch.func on the power."""

import math
from collections.abc import Callable

import pytest
import torch
from layers import build, shaken
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck
from torch.func import grad, jacrev, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from dsp_attention import DynamicContextEncoder, PolaFormerAttention, SoftmaxAttention
from dsp_attention.polarity import PolarityPower

SIGN = torch.tensor([1.0, -1.0], dtype=torch.double).view(2, 1, 1, 1)


def power(x: Tensor, p: Tensor) -> Tensor:
    return PolarityPower.apply(x, SIGN, p)[0]


def slow_power(x: Tensor, p: Tensor) -> Tensor:
    """The same by ``torch.pow``, of positive numbers only: autograd has no derivatives of ``0^p``."""
    base = x * SIGN
    return torch.where(base > 0, torch.where(base > 0, base, 1.0) ** p, 0.0)


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.double, generator=torch.Generator().manual_seed(seed))


def powers(*shape: int) -> Tensor:
    return 1.5 + 3 * torch.rand(shape, dtype=torch.double, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (3, 4, 5)])  # a field for each polarity, or one for both
def test_derivatives_of_the_power(shape: tuple[int, ...]) -> None:
    x, p = numbers(*shape).requires_grad_(), powers(4, 5).requires_grad_()
    assert gradcheck(power, (x, p))
    assert gradgradcheck(power, (x, p))


def test_second_derivatives_are_finite_where_the_power_is_zero() -> None:
    """At zero, on the wrong side of it, and where the power is too small for its dtype."""
    x = torch.tensor([0.0, -1.0, 1e-30, 2.0], requires_grad=True)
    p = torch.tensor(3.0, requires_grad=True)
    out, _ = PolarityPower.apply(x, torch.tensor(1.0), p)
    (first,) = torch.autograd.grad(1e6 * out.sum(), x, create_graph=True)
    second, mixed = torch.autograd.grad(first.sum(), (x, p))
    torch.testing.assert_close(first, torch.tensor([0.0, 0.0, 0.0, 12e6]))  # 3·x²
    torch.testing.assert_close(second, torch.tensor([0.0, 0.0, 0.0, 12e6]))  # 6·x
    torch.testing.assert_close(mixed, torch.tensor(1e6 * (4 + 12 * math.log(2))))  # x² + 3·x²·log x


def test_grad_and_hessian_of_the_power() -> None:
    x, p = numbers(3, 4, 5), powers(4, 5)

    def loss(f: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
        return lambda x, p: f(x, p).square().sum()

    torch.testing.assert_close(grad(loss(power), (0, 1))(x, p), grad(loss(slow_power), (0, 1))(x, p))
    torch.testing.assert_close(jacrev(power, (0, 1))(x, p), jacrev(slow_power, (0, 1))(x, p))
    hessian, slow_hessian = (jacrev(jacrev(loss(f), (0, 1)), (0, 1))(x, p) for f in (power, slow_power))
    torch.testing.assert_close(hessian, slow_hessian)


@pytest.mark.parametrize("axes", [(0, None), (None, 0), (0, 0), (2, 1), (1, None)])
def test_vmap_of_the_power(axes: tuple[int | None, int | None]) -> None:
    shapes = (3, 4, 5), (4, 5)
    inputs = []
    for make, shape, axis in zip((numbers, powers), shapes, axes, strict=True):
        inputs.append(make(*shape) if axis is None else make(7, *shape).movedim(0, axis))
    torch.testing.assert_close(vmap(power, axes)(*inputs), vmap(slow_power, axes)(*inputs))
    gradients, slow = (
        vmap(grad(lambda x, p, f=f: f(x, p).square().sum(), (0, 1)), axes)(*inputs) for f in (power, slow_power)
    )
    torch.testing.assert_close(gradients, slow)


LAYERS = {
    "dsp": lambda: build(6, 2, spectral_modes=2, num_scales=2),
    "polaformer": lambda: PolaFormerAttention(6, 6, 2),
    "softmax": lambda: SoftmaxAttention(6, 2),
}


@pytest.mark.parametrize("name", LAYERS)
def test_second_derivatives_of_a_layer(name: str) -> None:
    layer = shaken(LAYERS[name]().double()).eval()
    x = numbers(1, 6, 6).requires_grad_()
    chosen = [SDPBackend.MATH] if name == "softmax" else [SDPBackend.FLASH_ATTENTION]  # no way round in the others
    with sdpa_kernel(chosen):
        assert gradgradcheck(lambda x: layer(x, 2, 3), x)


@pytest.mark.parametrize("name", LAYERS)
def test_second_derivatives_reach_every_parameter_in_float32(name: str) -> None:
    """The gradient of a gradient penalty: what the LSTM's float32 kernel and the rest put out, against float64."""

    def penalty(layer: nn.Module) -> Tensor:
        parameters = list(layer.parameters())
        x = numbers(1, 6, 6).to(parameters[0].dtype).requires_grad_()
        (first,) = torch.autograd.grad(layer(x, 2, 3).square().sum(), x, create_graph=True)
        return torch.cat([g.double().flatten() for g in torch.autograd.grad(first.square().sum(), [x, *parameters])])

    layer = shaken(LAYERS[name]()).eval()
    with sdpa_kernel([SDPBackend.MATH] if name == "softmax" else [SDPBackend.FLASH_ATTENTION]):
        got, want = penalty(layer), penalty(layer.double())
    assert (got - want).norm() <= 1e-4 * want.norm()


def test_second_derivatives_of_the_context() -> None:
    torch.manual_seed(0)
    encoder = shaken(DynamicContextEncoder(16, 2, 2).double())  # two heads of its own
    assert gradgradcheck(lambda x: encoder(x, 2, 3), numbers(1, 6, 16).requires_grad_())
