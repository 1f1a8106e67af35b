"""The context encoder: range, start, cost, and that each summary has a say."""

import numpy as np
import pytest
import reference
import torch

from dsp_attention import DynamicContextEncoder


def build(dim: int = 16) -> DynamicContextEncoder:
    torch.manual_seed(0)
    encoder = DynamicContextEncoder(dim, 3, 2).double()
    torch.nn.init.normal_(encoder.out.weight)
    return encoder


def test_exactly_one_at_initialisation() -> None:
    assert (DynamicContextEncoder(24, 3, 2)(torch.randn(2, 9, 24), 3, 3) == 1).all()


@pytest.mark.parametrize("grid", [(3, 3), (8, 8), (9, 12), (1, 20), (16, 16)])
def test_equals_the_reference(grid: tuple[int, int]) -> None:
    encoder = build()
    x = torch.randn(2, grid[0] * grid[1], 16, dtype=torch.double)
    got = encoder(x, *grid).detach()
    p = reference.numbers(encoder.state_dict())
    for sample in range(2):
        want = reference.context(p, x[sample].numpy(), *grid, heads=2).reshape(3, 2, 2)
        np.testing.assert_allclose(got[sample], want, rtol=0, atol=1e-12)


def test_always_within_zero_and_two() -> None:
    encoder = build()
    c = encoder(1e3 * torch.randn(4, 9, 16, dtype=torch.double), 3, 3)
    assert c.shape == (4, 3, 2, 2)
    assert (c >= 0).all()
    assert (c <= 2).all()
    assert c.std() > 0.1


@pytest.mark.parametrize("name", ["global_summary", "lstm_summary", "attention_summary"])
def test_each_summary_has_a_say(name: str) -> None:
    encoder = build()
    x = torch.randn(1, 9, 16, dtype=torch.double)
    before = encoder(x, 3, 3)
    handle = getattr(encoder, name).register_forward_hook(lambda module, inputs, out: out + 1)
    assert not torch.allclose(encoder(x, 3, 3), before)
    handle.remove()


def test_order_matters_to_the_lstm_alone() -> None:
    encoder = build()
    x = torch.randn(1, 9, 16, dtype=torch.double)
    mixed = x[:, torch.randperm(9, generator=torch.Generator().manual_seed(1))]
    summaries = [(encoder.global_summary(t), encoder.attention_summary(t), encoder.lstm_summary(t)) for t in (x, mixed)]
    torch.testing.assert_close(summaries[0][0], summaries[1][0])
    torch.testing.assert_close(summaries[0][1], summaries[1][1])
    assert not torch.allclose(summaries[0][2], summaries[1][2])


def test_sequence_summaries_see_at_most_64_tokens() -> None:
    encoder = build()
    seen = []
    for summary in (encoder.lstm_summary, encoder.attention_summary):
        summary.register_forward_hook(lambda module, inputs, out: seen.append(inputs[0].shape[1]))
    encoder(torch.randn(1, 50 * 3, 16, dtype=torch.double), 50, 3)
    encoder(torch.randn(1, 400, 16, dtype=torch.double), 20, 20)
    assert seen == [24, 24, 64, 64]
