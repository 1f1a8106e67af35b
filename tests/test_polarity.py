"""Polarity features and the linear attention between them, by hand and against dense maps."""

import numpy as np
import pytest
import reference
import torch

from dsp_attention import HierarchicalPolarityProcessor, PolarityLinearAttention
from dsp_attention.polarity import polarity_features


def test_features_by_hand() -> None:
    processor = HierarchicalPolarityProcessor(1, 2, alpha=4.0)  # p = 1 + 4·½ = 3
    filtered = torch.tensor([[2.0, -1.0], [2.0, -1.0]]).view(2, 1, 1, 1, 1, 2)
    torch.testing.assert_close(processor(filtered).flatten(), torch.tensor([8.0, 0.0, 0.0, 1.0]))


def test_power_stays_between_one_and_one_plus_alpha() -> None:
    processor = HierarchicalPolarityProcessor(1, 2, alpha=2.0)
    with torch.no_grad():
        processor.power.copy_(torch.tensor([[-100.0, 100.0]]))
    filtered = torch.full((2, 1, 1, 1, 1, 2), 3.0)
    torch.testing.assert_close(processor(filtered)[0].flatten(), torch.tensor([3.0, 27.0]))


def test_gradients_are_right() -> None:
    processor = HierarchicalPolarityProcessor(2, 3).double()
    torch.manual_seed(0)
    filtered = torch.randn(2, 2, 1, 2, 4, 3, dtype=torch.double, requires_grad=True)
    power = torch.randn(2, 3, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda f, w: torch.func.functional_call(processor, {"power": w}, (f,)), (filtered, power)
    )


def test_gradient_at_zero_is_zero() -> None:
    processor = HierarchicalPolarityProcessor(1, 2)
    filtered = torch.zeros(2, 1, 1, 1, 3, 2, requires_grad=True)
    processor(filtered).sum().backward()
    assert filtered.grad is not None
    assert processor.power.grad is not None
    assert (filtered.grad == 0).all()
    assert (processor.power.grad == 0).all()


def test_powers_in_float32_are_close_to_those_in_float64() -> None:
    torch.manual_seed(0)
    filtered = 4 * torch.randn(2, 2, 8, 4, 64, 16) ** 3  # from 1e-9 to 100
    for alpha, w in ((4.0, 0.0), (4.0, 8.0), (1e-6, -20.0)):  # powers 3, 5, and almost 1
        processor = HierarchicalPolarityProcessor(4, 16, alpha=alpha)
        with torch.no_grad():
            processor.power.fill_(w)
            features = processor(filtered)
        base = (filtered.double() * torch.tensor([1.0, -1.0]).view(2, 1, 1, 1, 1, 1)).clamp_min(0)
        want = base ** (1 + alpha * torch.sigmoid(torch.tensor(w, dtype=torch.double)))
        torch.testing.assert_close(features.double(), want, rtol=1e-5, atol=1e-30)
        assert ((features == 0) == (base == 0)).float().mean() > 0.999  # zeros are exact: none is almost zero
        assert not ((features > 0) & (features < torch.finfo(torch.float32).tiny)).any()


def test_a_field_that_polarities_share() -> None:
    """As in PolaFormer: both polarities of the same field, without filters."""
    torch.manual_seed(0)
    x = torch.randn(2, 3, 2, 4, 3, dtype=torch.double)
    w = torch.randn(1, 2, 1, 3, dtype=torch.double)
    want = torch.stack([x.relu(), (-x).relu()]) ** (1 + 2.5 * w.sigmoid())
    torch.testing.assert_close(polarity_features(x, w, 2.5), want)


@pytest.mark.parametrize("d", [1, 4, 5])
def test_attention_equals_dense_maps(d: int) -> None:
    torch.manual_seed(d)
    features = torch.rand(2, 2, 2, 3, 7, d, dtype=torch.double)
    v, c = torch.randn(2, 3, 7, d, dtype=torch.double), torch.rand(2, 3, 2, dtype=torch.double)
    got = PolarityLinearAttention()(features, v, c)
    for b in range(2):
        for h in range(3):
            q, k = ((features[0, i, b, h].numpy(), features[1, i, b, h].numpy()) for i in range(2))
            want = reference.attend(q, k, v[b, h].numpy(), tuple(c[b, h].tolist()))
            np.testing.assert_allclose(got[b, h], want, rtol=0, atol=1e-12)


def test_two_tokens_by_hand() -> None:
    """Query + looks at key + in the same-signed stream and at key - in the opposite-signed one."""
    positive, negative = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])  # tokens: +, -
    features = torch.stack([positive, negative])[:, None, None, None, :, None].repeat(1, 2, 1, 1, 1, 2)
    v = torch.tensor([[10.0, 1.0], [20.0, 2.0]]).view(1, 1, 2, 2)
    out = PolarityLinearAttention()(features, v, torch.ones(1, 1, 2))
    torch.testing.assert_close(out[0, 0], torch.tensor([[10.0, 2.0], [20.0, 1.0]]), rtol=1e-4, atol=0)


def test_coefficients_scale_their_half() -> None:
    features, v = torch.rand(2, 2, 1, 2, 5, 4), torch.randn(1, 2, 5, 4)
    attention = PolarityLinearAttention()
    plain = attention(features, v, torch.ones(1, 2, 2))
    scaled = attention(features, v, torch.tensor([0.5, 2.0]).expand(1, 2, 2))
    torch.testing.assert_close(scaled, plain * torch.tensor([0.5, 0.5, 2.0, 2.0]))


@pytest.mark.parametrize("scale_factor", [0, -2])
def test_scale_factor_must_be_positive(scale_factor: int) -> None:
    with pytest.raises(ValueError, match=f"scale_factor={scale_factor}: must be 1 or more"):
        HierarchicalPolarityProcessor(1, 2, scale_factor=scale_factor)
