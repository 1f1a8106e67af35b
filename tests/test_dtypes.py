"""Every layer and model in float64, bfloat16 and float16: cast whole, and under autocast."""

import copy

import pytest
import torch
from layers import build, shaken
from torch import Tensor, nn

from dsp_attention import (
    DSPImageClassifier,
    DSPModel,
    DSPTransformerBlock,
    DynamicContextEncoder,
    GradientInformedMixer,
    HierarchicalPolarityProcessor,
    MultiModalConvolution,
    PolaFormerAttention,
    PolarityLinearAttention,
    SoftmaxAttention,
    SpectralPolarityMixer,
)
from dsp_attention.model import ATTENTIONS

HALVES = (torch.bfloat16, torch.float16)


def pictures(attention: str) -> nn.Module:
    """A classifier; on pictures of 24 × 40 its position embedding is interpolated."""
    return DSPImageClassifier(image_size=32, dim=16, num_heads=2, depth=2, num_classes=3, attention=attention)


TOKENS = {
    "dsp": lambda: build(16, 2, num_scales=3),
    "polaformer": lambda: PolaFormerAttention(16, 15, 2),
    "polaformer interpolated": lambda: PolaFormerAttention(16, 16, 2),
    "softmax": lambda: SoftmaxAttention(16, 2),
    "block": lambda: DSPTransformerBlock(build(16, 2), 16),
    "context": lambda: DynamicContextEncoder(16, 2, 3),
    "convolution": lambda: MultiModalConvolution(16),
    **{f"model of {a}": lambda a=a: DSPModel(16, 2, depth=2, num_classes=3, attention=a) for a in ATTENTIONS},
    **{f"classifier of {a}": lambda a=a: pictures(a) for a in ATTENTIONS},
}


def case(name: str) -> tuple[nn.Module, tuple]:
    torch.manual_seed(0)
    module = shaken(TOKENS[name](), 0.2)
    if name.startswith("classifier"):
        return module, (torch.randn(3, 3, 24, 40),)
    return module, (torch.randn(3, 15, 16), 3, 5)


def step(module: nn.Module, inputs: tuple) -> tuple[Tensor, Tensor]:
    """Output and the gradient of every parameter, as one vector, of one training step in float32 or float64."""
    y = module(*inputs)
    y.to(torch.promote_types(y.dtype, torch.float32)).square().mean().backward()
    return y.detach(), torch.cat([p.grad.double().flatten() for p in module.parameters()])


def close(got: Tensor, want: Tensor, tolerance: float) -> None:
    assert (got.double() - want.double()).abs().max() <= tolerance * want.abs().max()


# In units of the dtype's epsilon: some ten roundings of the largest value, and what they come to in a gradient.
VALUES, GRADIENTS = 8, 40


@pytest.mark.parametrize("dtype", [torch.float64, *HALVES])
@pytest.mark.parametrize("name", TOKENS)
def test_cast_whole(name: str, dtype: torch.dtype) -> None:
    module, (x, *grid) = case(name)
    cast = copy.deepcopy(module).to(dtype)
    want, want_gradient = step(module, (x, *grid))
    got, gradient = step(cast, (x.to(dtype), *grid))
    assert got.dtype == dtype
    assert {t.dtype for t in cast.state_dict().values() if t.is_floating_point()} == {dtype}
    eps = max(torch.finfo(dtype).eps, torch.finfo(torch.float32).eps)
    close(got, want, VALUES * eps)
    assert (gradient - want_gradient).norm() <= GRADIENTS * eps * want_gradient.norm()
    for key, buffer in module.named_buffers():
        if key.endswith("ema"):
            close(cast.get_buffer(key), buffer, GRADIENTS * eps)


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("name", TOKENS)
def test_under_autocast(name: str, dtype: torch.dtype) -> None:
    module, inputs = case(name)
    other = copy.deepcopy(module)
    want, want_gradient = step(module, inputs)
    with torch.autocast("cpu", dtype):
        got, gradient = step(other, inputs)
    assert got.dtype == (torch.float32 if name == "block" else dtype)  # a block's residual path stays as it is
    close(got, want, VALUES * torch.finfo(dtype).eps)
    assert (gradient - want_gradient).norm() <= GRADIENTS * torch.finfo(dtype).eps * want_gradient.norm()
    for key, buffer in other.named_buffers():
        if key.endswith("ema"):
            close(buffer, module.get_buffer(key), GRADIENTS * torch.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", HALVES)
def test_what_stays_in_float32(dtype: torch.dtype) -> None:
    field = torch.randn(2, 3, 5, 2, 2, 3, dtype=dtype)
    filtered = SpectralPolarityMixer(2, 3).to(dtype)(field)
    features = HierarchicalPolarityProcessor(2, 3).to(dtype)(filtered.to(dtype))
    assert filtered.dtype == features.dtype == torch.float32
    assert GradientInformedMixer(2, 2).to(dtype).weights(4).dtype == torch.float32


def test_a_power_that_leaves_the_range_of_float16() -> None:
    processor = HierarchicalPolarityProcessor(1, 1).half()  # a power of 3
    filtered = torch.full((2, 1, 1, 1, 1, 1), 100.0, dtype=torch.float16)
    assert processor(filtered)[0].item() == pytest.approx(1e6, rel=1e-5)


@pytest.mark.parametrize("dtype", HALVES)
def test_attention_and_mixer_keep_the_dtype_of_what_they_are_given(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    features, v, c = torch.rand(2, 2, 3, 2, 15, 4), torch.randn(3, 2, 15, 4), torch.rand(3, 2, 2)
    attention = PolarityLinearAttention()
    got = attention(features.to(dtype), v.to(dtype), c.to(dtype))
    assert got.dtype == dtype
    close(got, attention(features, v, c), VALUES * torch.finfo(dtype).eps)
    mixer = GradientInformedMixer(2, 2)
    outputs, grids = [v, v[:, :, :6]], [(3, 5), (2, 3)]
    mixed = copy.deepcopy(mixer).to(dtype)([o.to(dtype) for o in outputs], grids)
    assert mixed.dtype == dtype
    close(mixed, mixer(outputs, grids).detach(), VALUES * torch.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", HALVES)
def test_the_lstm_runs_in_float32(dtype: torch.dtype) -> None:
    """Many CPUs have no other: those without AVX-512, or with ``ONEDNN_MAX_CPU_ISA=AVX2``."""
    torch.manual_seed(0)
    summary = DynamicContextEncoder(16, 2, 3).lstm_summary
    tokens = torch.randn(3, 15, 16)
    want = summary(tokens)
    with torch.autocast("cpu", dtype):
        torch.testing.assert_close(summary(tokens), want, rtol=0, atol=0)
    exact = copy.deepcopy(summary).to(dtype)
    rounded = copy.deepcopy(exact).float()
    torch.testing.assert_close(exact(tokens.to(dtype)), rounded(tokens.to(dtype).float()).to(dtype), rtol=0, atol=0)


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("factor", [1e-4, 1e3])
def test_gradients_are_tracked_that_float16_could_not_square(dtype: torch.dtype, factor: float) -> None:
    weights = GradientInformedMixer(1, 2, adaptive_beta=1.0).to(dtype).train().weights
    (weights(1) * torch.tensor([1.0, 3.0]) * factor).sum().backward()
    torch.testing.assert_close(weights.ema, torch.tensor([[0.25, 0.75]], dtype=dtype))
