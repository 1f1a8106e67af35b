"""What each part is worth: each left out alone, in one batch for each layer."""

import pytest
import torch
from conftest import EXAMPLES

import dsp_viz
from dsp_viz import images
from dsp_viz.hooks import changed
from dsp_viz.importance import _left_out, importance, importance_steps, worth
from dsp_viz.interventions import SetCoefficient, applied
from dsp_viz.kinds import values
from dsp_viz.trace import trace


def test_importance_is_each_part_left_out_alone() -> None:
    model = dsp_viz.load("dsp_tiny")
    cut, _ = images.fit(images.read_image(EXAMPLES[2]), side=128, patch=8)
    x = model.preparation.tensor(cut)
    assert [(step.done, step.total) for step in importance_steps(model, x)] == [(i, 6) for i in range(1, 7)]
    result = importance(model, x)
    plain = model(x)[0]
    assert result.target == int(plain.argmax())
    assert result.logit == pytest.approx(float(plain.max()), abs=1e-5)
    for part, (block, where) in {
        result.heads[3][1]: (3, {"head": 1}),
        result.scales[0][2]: (0, {"scale": 2}),
        result.streams[5][1]: (5, {"stream": "opposite"}),
        result.streams[1][0]: (1, {"stream": "same"}),
    }.items():
        with torch.inference_mode(), applied(model, [SetCoefficient(value=0, block=block, **where)]):
            want = float(model(x)[0, result.target]) - result.logit
        assert float(part) == pytest.approx(want, abs=1e-4)
    assert [part.shape for part in result.heads] == [(4,)] * 6
    assert torch.stack(result.heads).abs().max() > 0.01
    other = importance(model, x, target=7)
    assert other.logit == pytest.approx(float(plain[7]), abs=1e-5)
    with torch.inference_mode(), applied(model, [SetCoefficient(value=0, block=3, head=1)]):
        without = model(x)[0]
        again = importance(model, x, target=7)
    assert float(other.heads[3][1]) == pytest.approx(float(without[7] - plain[7]), abs=1e-4)
    # What is taken away already is worth nothing more, and all else is measured from there.
    assert again.logit == pytest.approx(float(without[7]), abs=1e-5)
    assert float(again.heads[3][1]) == pytest.approx(0, abs=1e-5)
    both = [SetCoefficient(value=0, block=3, head=1), SetCoefficient(value=0, block=5, stream="same")]
    with torch.inference_mode(), applied(model, both):
        assert float(again.streams[5][0]) == pytest.approx(float(model(x)[0, 7] - without[7]), abs=1e-4)


def test_importance_needs_one_picture_and_the_layer() -> None:
    with pytest.raises(ValueError, match="one is needed"):
        importance(dsp_viz.load("dsp_tiny"), torch.zeros(2, 3, 128, 128))
    with pytest.raises(ValueError, match="target=10: must be within 0 and 9"):
        importance(dsp_viz.load("dsp_tiny"), torch.zeros(1, 3, 128, 128), target=10)
    with pytest.raises(ValueError, match="no attention layer that is known"):
        importance(torch.nn.Conv2d(3, 4, 1), torch.zeros(1, 3, 128, 128))


@pytest.mark.parametrize("name", ["polaformer_everyday", "softmax_everyday"])
def test_every_attention_can_be_taken_apart(name: str) -> None:
    """Against the part's own columns of what enters the projection: without its maps, the convolution's stay."""
    model = dsp_viz.load(name)
    cut, _ = images.fit(images.read_image(EXAMPLES[1]), side=128, patch=8)
    x = images.to_tensor(cut, model.config.mean, model.config.std)
    result = importance(model, x)
    block = trace(model, x).blocks[4]
    h = block.weights.shape[1]
    assert [len(result.heads[4]), len(result.scales[4]), len(result.streams[4])] == [h, 0, 2 * (len(block.streams) > 1)]
    d = block.output.shape[-1] // h
    local = torch.zeros_like(block.output) if block.local is None else block.local
    gate = torch.ones_like(block.output) if block.gate is None else block.gate

    def without(columns: list[int]) -> float:
        def replaced(module: torch.nn.Module, inputs: tuple) -> tuple:
            changed = inputs[0].clone()
            changed[..., columns] = (local * gate)[..., columns]
            return (changed,)

        handle = model.get_submodule(f"{block.name}.proj").register_forward_pre_hook(replaced)
        with torch.inference_mode():
            logit = float(model(x)[0, result.target])
        handle.remove()
        return logit - result.logit

    assert float(result.heads[4][2]) == pytest.approx(without(list(range(2 * d, 3 * d))), abs=1e-4)
    assert result.heads[4].abs().max() > 1e-3
    if len(block.streams) > 1:
        second = [head * d + i for head in range(h) for i in range((d + 1) // 2, d)]
        assert float(result.streams[4][1]) == pytest.approx(without(second), abs=1e-4)


@pytest.mark.parametrize("name", ["dsp_tiny", "polaformer_everyday", "softmax_everyday"])
def test_worth_is_the_slope_of_the_logit(name: str) -> None:
    """Against leaving out a little of each part, in float64, of two pictures at once."""
    model = dsp_viz.load(name)
    x = torch.stack(
        [model.preparation.tensor(images.fit(images.read_image(e), side=64, patch=8)[0])[0] for e in EXAMPLES[:2]]
    )
    network = model.network.double()
    x = x.double()
    layers = trace(network, x).blocks
    found = worth(network, x, layers)
    assert [one.shape for one in found] == [(2, *b.weights.shape[1:], len(b.streams)) for b in layers]
    target = network(x).argmax(-1)
    for index, layer in ((1, layers[1]), (4, layers[4])):
        for part in [(0, 0, 0), tuple(n - 1 for n in found[index].shape[1:])]:
            logits = []
            for step in (-1e-4, 1e-4):
                masks = torch.ones(found[index].shape, dtype=torch.double)
                masks[:, *part] += step
                with torch.inference_mode(), changed(network, _left_out(layer, values(network)[layer.name], masks)):
                    logits.append(network(x).gather(1, target[:, None])[:, 0])
            slope = (logits[1] - logits[0]) / 2e-4
            torch.testing.assert_close(found[index][:, *part], slope, rtol=1e-5, atol=1e-8)
