"""Interventions against the slow reference, changed in the same place; and that none outlives its request."""

import copy
import gc
import json
import threading
from typing import Any

import numpy as np
import pytest
import reference
import torch
from conftest import EXAMPLES
from pydantic import ValidationError
from torch import Tensor

import dsp_viz
from dsp_attention import DynamicSpectralPolarityAttention, SoftmaxAttention
from dsp_viz import export, images, maps
from dsp_viz.interventions import (
    KINDS,
    InterventionError,
    LeaveOutFilter,
    LeaveOutSummary,
    Restrict,
    SetCoefficient,
    SetMixingWeights,
    applied,
    from_json,
    schema,
    to_json,
)
from dsp_viz.trace import trace

H, W, HEADS, DIM, SCALES = 5, 7, 3, 12, 3


@pytest.fixture(scope="module")
def layer() -> DynamicSpectralPolarityAttention:
    torch.manual_seed(4)
    layer = DynamicSpectralPolarityAttention(DIM, HEADS, spectral_modes=3, num_scales=SCALES).double().eval()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return layer


@pytest.fixture(scope="module")
def x() -> Tensor:
    return torch.randn(1, H * W, DIM, dtype=torch.double, generator=torch.Generator().manual_seed(5))


def slow(layer: DynamicSpectralPolarityAttention, x: Tensor) -> np.ndarray:
    p = reference.numbers(layer.state_dict())
    return reference.dsp(p, x[0].numpy(), H, W, heads=HEADS, alpha=4.0, inner_heads=1)["y"]


def quick(layer: DynamicSpectralPolarityAttention, x: Tensor, *interventions: Any) -> np.ndarray:
    with torch.inference_mode(), applied(layer, interventions):
        return layer(x, H, W)[0].numpy()


def picture(model: dsp_viz.Subject) -> Tensor:
    cut, _ = images.fit(images.read_image(EXAMPLES[0]), side=128, patch=8)
    return model.preparation.tensor(cut)


def test_no_interventions_give_equal_bits(layer: DynamicSpectralPolarityAttention, x: Tensor) -> None:
    plain = layer(x, H, W).detach()
    quick(layer, x, SetCoefficient(value=0))
    assert np.array_equal(quick(layer, x), plain[0].numpy())
    model = dsp_viz.load("dsp_tiny")
    with torch.inference_mode():
        never_hooked = model(picture(model))
    dsp_viz.analyse(model, EXAMPLES[0], interventions=[LeaveOutFilter()])
    assert torch.equal(dsp_viz.analyse(model, EXAMPLES[0], interventions=[]).trace.output, never_hooked)


def test_leaving_out_a_scale_is_a_mixing_weight_of_zero(
    layer: DynamicSpectralPolarityAttention, x: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = reference.mixing_weights

    def without(theta: np.ndarray, ema: np.ndarray) -> np.ndarray:
        w = weights(theta, ema)
        w[:, 1] = 0
        return w

    plain = slow(layer, x)
    monkeypatch.setattr(reference, "mixing_weights", without)
    want = slow(layer, x)
    assert np.abs(want - plain).max() > 1e-2
    np.testing.assert_allclose(quick(layer, x, SetCoefficient(value=0, scale=1)), want, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("where", "intervention"),
    [
        ((1, slice(None), slice(None)), SetCoefficient(value=0, head=1)),
        ((slice(None), slice(None), 1), SetCoefficient(value=0, stream="opposite")),
        ((2, 0, 0), SetCoefficient(value=1.75, head=2, scale=0, stream="same", block=0)),
        ((0, 2, slice(None)), SetCoefficient(value=0.5, head=0, scale=2, relative=True)),
    ],
)
def test_coefficients(
    layer: DynamicSpectralPolarityAttention,
    x: Tensor,
    monkeypatch: pytest.MonkeyPatch,
    where: tuple,
    intervention: SetCoefficient,
) -> None:
    context = reference.context

    def changed(*arguments: Any) -> np.ndarray:
        c = context(*arguments).reshape(HEADS, SCALES, 2)
        c[where] = c[where] * intervention.value if intervention.relative else intervention.value
        return c.ravel()

    monkeypatch.setattr(reference, "context", changed)
    np.testing.assert_allclose(quick(layer, x, intervention), slow(layer, x), rtol=0, atol=1e-10)


def test_mixing_weights_are_fixed(
    layer: DynamicSpectralPolarityAttention, x: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = reference.mixing_weights

    def fixed(theta: np.ndarray, ema: np.ndarray) -> np.ndarray:
        w = weights(theta, ema)
        w[1] = (0.2, 0.5, 0.1)
        return w

    monkeypatch.setattr(reference, "mixing_weights", fixed)
    got = quick(layer, x, SetMixingWeights(weights=(0.2, 0.5, 0.1), head=1))
    np.testing.assert_allclose(got, slow(layer, x), rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    "intervention",
    [
        LeaveOutFilter(),
        LeaveOutFilter(head=2, polarity="negative"),
        LeaveOutFilter(low=1, high=1, polarity="positive"),
        LeaveOutFilter(low=2),
    ],
)
def test_filters(layer: DynamicSpectralPolarityAttention, x: Tensor, intervention: LeaveOutFilter) -> None:
    """The same as a layer whose weights are zero in the band."""
    other = copy.deepcopy(layer)
    D = other.spectral.filters.weight.data  # (2, h, 2M-1, M, 2)
    for which in range(2):
        for head in range(HEADS):
            for ky in range(-2, 3):
                for kx in range(3):
                    inside = intervention.low <= round(np.hypot(ky, kx)) <= (intervention.high or 9)
                    named = intervention.polarity in (None, ("positive", "negative")[which])
                    if inside and named and intervention.head in (None, head):
                        D[which, head, ky + 2, kx] = 0
    assert not torch.equal(D, layer.spectral.filters.weight)
    np.testing.assert_allclose(quick(layer, x, intervention), slow(other, x), rtol=0, atol=1e-10)


@pytest.mark.parametrize("summary", ["global", "lstm", "attention"])
def test_summaries(layer: DynamicSpectralPolarityAttention, x: Tensor, summary: Any) -> None:
    """The same as a layer whose hidden weights for that summary are zero."""
    other = copy.deepcopy(layer)
    width = (other.context.hidden.in_features - DIM) // 2
    starts = {"global": (0, DIM), "lstm": (DIM, DIM + width), "attention": (DIM + width, DIM + 2 * width)}
    other.context.hidden.weight.data[:, slice(*starts[summary])] = 0
    np.testing.assert_allclose(quick(layer, x, LeaveOutSummary(summary=summary)), slow(other, x), rtol=0, atol=1e-10)


def test_restriction_to_a_region(
    layer: DynamicSpectralPolarityAttention, x: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = tuple((r, c) for r in range(1, 4) for c in range(2, 5))
    inside = np.zeros((H * W, 1))
    inside[[r * W + c for r, c in tokens]] = 1
    shares = [reference.average_pool(inside, H, W, 2**s)[0] for s in range(SCALES)]
    attend = reference.attend

    def restricted(q: tuple, k: tuple, v: np.ndarray, c: tuple) -> np.ndarray:
        share = next(s for s in shares if len(s) == len(v))
        return attend(q, (k[0] * share, k[1] * share), v, c)

    monkeypatch.setattr(reference, "attend", restricted)
    intervention = Restrict(grid=(H, W), tokens=tokens)
    np.testing.assert_allclose(quick(layer, x, intervention), slow(layer, x), rtol=0, atol=1e-10)
    with applied(layer, [intervention]):
        block = trace(layer, x, H, W).blocks[0]
    seen = maps.block_maps(block, (0, 0))[0]
    assert (seen.flatten(2)[..., inside[:, 0] == 0] == 0).all()
    torch.testing.assert_close(seen.sum((-1, -2)), torch.ones(2, HEADS, dtype=torch.double), rtol=1e-3, atol=0)


def test_a_region_of_another_grid_is_refused_before_it_takes_memory(
    layer: DynamicSpectralPolarityAttention, x: Tensor
) -> None:
    """What an address on the web may ask for: 64 regions of a million tokens are a few bytes of JSON."""

    def held() -> int:
        # Subclasses are those without memory that torch keeps of exported programs; of sparse ones nbytes fails.
        own = [o for o in gc.get_objects() if type(o) in (Tensor, torch.nn.Parameter)]
        return sum(t.nbytes for t in own if t.layout is torch.strided)

    before = held()
    with applied(layer, [Restrict(grid=(1024, 1024), tokens=((0, 0),))] * 64):
        assert held() - before < 2**20
        with pytest.raises(InterventionError, match="another grid"):
            layer(x, H, W)


def test_later_interventions_act_on_earlier_ones(layer: DynamicSpectralPolarityAttention, x: Tensor) -> None:
    both = quick(layer, x, SetCoefficient(value=0.5), SetCoefficient(value=3, relative=True))
    np.testing.assert_array_equal(both, quick(layer, x, SetCoefficient(value=1.5)))
    assert not np.allclose(both, quick(layer, x, SetCoefficient(value=3, relative=True), SetCoefficient(value=0.5)))


def test_contexts_nest_and_belong_to_one_model(layer: DynamicSpectralPolarityAttention, x: Tensor) -> None:
    with applied(layer, [SetCoefficient(value=0.5)]):
        both = quick(layer, x, SetCoefficient(value=3, relative=True))
        twin = copy.deepcopy(layer)
        untouched = twin(x, H, W)[0].detach().numpy()
        once = quick(layer, x)
    np.testing.assert_array_equal(both, quick(layer, x, SetCoefficient(value=1.5)))
    np.testing.assert_array_equal(untouched, quick(layer, x))
    np.testing.assert_array_equal(once, quick(layer, x, SetCoefficient(value=0.5)))


def test_values_that_overflow_are_an_error() -> None:
    model = dsp_viz.load("dsp_tiny")
    with pytest.raises(InterventionError, match="too large"):
        dsp_viz.analyse(model, EXAMPLES[0], interventions=[SetCoefficient(value=1000, relative=True)] * 30)


def test_nothing_outlives_a_request_nor_changes_a_weight() -> None:
    model = dsp_viz.load("dsp_tiny")
    state = copy.deepcopy(model.state_dict())
    plain = dsp_viz.analyse(model, EXAMPLES[0])
    interventions = [SetCoefficient(value=0, block=2), LeaveOutFilter(), SetMixingWeights(weights=(1, 0, 0), block=5)]
    changed = dsp_viz.analyse(model, EXAMPLES[0], interventions=interventions)
    assert not torch.allclose(changed.trace.output, plain.trace.output)
    assert torch.equal(changed.trace.blocks[2].coefficients, torch.zeros(1, 4, 3, 2))  # the trace tells what was done
    assert export.settings(changed)["interventions"] == json.loads(to_json(interventions))
    with pytest.raises(ZeroDivisionError), applied(model, interventions):
        raise ZeroDivisionError
    assert torch.equal(dsp_viz.analyse(model, EXAMPLES[0]).trace.output, plain.trace.output)
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


def test_two_threads_never_mix(layer: DynamicSpectralPolarityAttention, x: Tensor) -> None:
    jobs: list[tuple] = [(SetCoefficient(value=0, head=0),), (LeaveOutFilter(),), ()]
    alone = [quick(layer, x, *job) for job in jobs]
    wrong: list[int] = []
    barrier = threading.Barrier(len(jobs))

    def work(i: int) -> None:
        barrier.wait()
        for _ in range(40):
            if not np.array_equal(quick(layer, x, *jobs[i]), alone[i]):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_json_goes_there_and_back() -> None:
    interventions = (
        SetCoefficient(value=0.25, block=1, stream="same"),
        LeaveOutFilter(high=3),
        LeaveOutSummary(summary="lstm"),
        SetMixingWeights(weights=(1, 0, 0)),
        Restrict(grid=(4, 4), tokens=((0, 1), (2, 3))),
    )
    assert from_json(to_json(interventions)) == interventions
    assert from_json('[{"kind": "set_coefficient", "value": 0}]') == (SetCoefficient(value=0),)
    kinds = schema()["$defs"].values()
    assert {d["properties"]["kind"]["const"] for d in kinds} == set(KINDS)
    assert all("kind" in d["required"] for d in kinds)


@pytest.mark.parametrize("given", [[{"kind": "leave_out_filter"}], "[]", SetCoefficient(value=0)])
def test_what_is_no_value_is_named(given: Any) -> None:
    model = dsp_viz.load("dsp_tiny")
    with pytest.raises(InterventionError, match="is no intervention: give values such as"), applied(model, given):
        pass


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "interventions: Invalid JSON"),
        ('{"kind": "set_coefficient"}', "interventions: Input should be a valid"),
        ('[{"kind": "drop_head"}]', "'set_coefficient', 'leave_out_filter', 'leave_out_summary', 'set_mixing_weights'"),
        (
            '[{"kind": "set_coefficient", "value": 0, "heads": 1}]',
            "heads: Extra inputs are not permitted; fields are kind, value, block, head, scale, stream, relative",
        ),
        ('[{"kind": "set_coefficient"}]', "0.set_coefficient.value: Field required"),
        ('[{"kind": "set_coefficient", "value": -1}]', "greater than or equal to 0"),
        ('[{"kind": "set_coefficient", "value": 1, "stream": 3}]', "stream: Input should be a valid string"),
        ('[{"kind": "leave_out_summary", "summary": "mean"}]', "'global', 'lstm' or 'attention'"),
        ('[{"kind": "restrict", "grid": [4], "tokens": []}]', "grid"),
        (
            '[{"value": 0}]',
            "kinds are set_coefficient, leave_out_filter, leave_out_summary, set_mix",
        ),
        ('[{"kind": "set_coefficient", "value": "0.5"}]', "should be a valid number"),
        ('[{"kind": "set_coefficient", "value": 0, "block": true}]', "should be a valid integer"),
        ('[{"kind": "set_coefficient", "value": 1e39}]', "less than or equal to 1000"),
        ('[{"kind": "set_mixing_weights", "weights": [1e39, 0, 0]}]', "less than or equal to 1000"),
        ('[{"kind": "restrict", "grid": [30000, 30000], "tokens": [[0, 0]]}]', "less than or equal to 1024"),
        ('[{"kind": "leave_out_filter", "low": 7, "high": 3}]', "low=7 is above high=3"),
        ('[{"kind": "leave_out_filter", "low": 100000000000000000000000000}]', "low"),
        ("[" + ",".join(['{"kind": "leave_out_filter"}'] * 257) + "]", "at most 256 items"),
    ],
)
def test_bad_json_is_an_error_that_says_what_is_allowed(text: str, message: str) -> None:
    with pytest.raises(InterventionError) as error:
        from_json(text)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("intervention", "message"),
    [
        (SetCoefficient(value=0, block=1), "block=1: must be within 0 and 0"),
        (SetCoefficient(value=0, head=3), "head=3: must be within 0 and 2"),
        (SetCoefficient(value=0, scale=-1), "scale=-1: must be within 0 and 2"),
        (SetMixingWeights(weights=(1, 0)), "one for each of the 3 scales"),
        (Restrict(grid=(5, 7), tokens=()), "at least one is needed"),
        (Restrict(grid=(5, 7), tokens=((5, 0),)), "within the grid of 5×7"),
        (Restrict(grid=(4, 4), tokens=((0, 0),)), "form another grid"),
        (Restrict(grid=(7, 5), tokens=((0, 0),)), "form another grid"),  # of as many tokens
    ],
)
def test_parts_that_do_not_exist_are_refused(
    layer: DynamicSpectralPolarityAttention, x: Tensor, intervention: Any, message: str
) -> None:
    with pytest.raises(InterventionError, match=message):
        quick(layer, x, intervention)


def test_models_without_the_layer_are_refused(x: Tensor) -> None:
    with pytest.raises(InterventionError, match="DSP-Attention"), applied(SoftmaxAttention(12, 3), [LeaveOutFilter()]):
        pass


def test_values_are_immutable() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        SetCoefficient(value=0).value = 1  # type: ignore[misc]


def test_the_former_name_of_a_stream_is_read() -> None:
    text = '[{"kind": "set_coefficient", "value": 0, "polarity": "opposite"}]'
    with pytest.warns(FutureWarning, match="called stream now"):
        assert from_json(text) == (SetCoefficient(value=0, stream="opposite"),)
