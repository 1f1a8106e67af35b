"""Hooks: names, that every one fires, isolation between threads, and no trace after an error."""

import copy
import threading

import pytest
import torch

from dsp_attention import DSPImageClassifier
from dsp_viz import hooks
from dsp_viz import trace as tracing
from dsp_viz.layer import Grid
from dsp_viz.submodules import submodules

SMALL = {
    "image_size": 40,
    "dim": 12,
    "num_heads": 3,
    "depth": 2,
    "num_classes": 5,
    "spectral_modes": 3,
    "num_scales": 2,
}

#: Frozen: people address hooks, and checkpoints their keys, by these paths.
LAYER_NAMES = [
    "context",
    "context.global_summary",
    "context.lstm_summary",
    "context.attention_summary",
    "spectral",
    "spectral.filters",
    "polarity.0",
    "polarity.1",
    "attention.0",
    "attention.1",
    "mixer.weights",
    "convolution",
    "norm",
]


@pytest.fixture
def model() -> DSPImageClassifier:
    torch.manual_seed(0)
    return DSPImageClassifier(**SMALL).eval()


def test_hook_names_are_frozen(model: DSPImageClassifier) -> None:
    want = [f"model.blocks.{b}.attn.{name}" for b in range(2) for name in LAYER_NAMES]
    assert tracing.names(model) == want


def test_every_hook_fires_once_per_scale_or_layer(model: DSPImageClassifier) -> None:
    with tracing.recording(model) as calls:
        model(torch.randn(1, 3, 40, 24))
    assert sorted(calls) == sorted(tracing.names(model))
    shared = {n for n in calls if n.endswith(("spectral", "spectral.filters"))}  # one mixer serves both scales
    assert {n: len(c) for n, c in calls.items()} == {n: 2 if n in shared else 1 for n in calls}


def test_trace_holds_what_the_layer_computed(model: DSPImageClassifier) -> None:
    x = torch.randn(2, 3, 40, 24)
    result = tracing.trace(model, x)
    with torch.inference_mode():
        torch.testing.assert_close(result.output, model(x), rtol=0, atol=0)
    block = result.blocks[1]
    assert block.name == "model.blocks.1.attn"
    assert block.grid == result.grid == Grid(5, 3)
    assert [scale.queries.size for scale in block.scales] == [(5, 3), (3, 2)]
    assert [scale.keys.size for scale in block.scales] == [(5, 3), (3, 2)]
    assert block.scales[1].keys.box == pytest.approx((0, 0, 6 / 5, 4 / 3))  # the last row and column are cut
    assert [scale.pooled for scale in block.scales] == [1, 2]
    for name in ("left", "right"):
        assert [tuple(getattr(s, name).shape) for s in block.scales] == [(2, 2, 3, 15, 4), (2, 2, 3, 6, 4)]
    assert [tuple(s.values.shape) for s in block.scales] == [(2, 3, 15, 4), (2, 3, 6, 4)]
    assert block.parts is not None
    assert [tuple(f.shape) for f in block.parts.fields] == [(2, 5, 3, 2, 3, 4), (2, 3, 2, 2, 3, 4)]
    assert block.coefficients.shape == (2, 3, 2, 2)
    assert block.weights.shape == (2, 3, 2)
    assert block.parts.filters.shape == (2, 3, 5, 3)
    assert set(block.parts.summaries) == {"global", "lstm", "attention"}
    assert block.local is not None
    assert block.output.shape == block.local.shape == (2, 15, 12)
    assert (block.kind, block.finish, block.dynamic, block.gate) == ("DSP-Attention", "ratio", True, None)


def test_tracing_changes_nothing(model: DSPImageClassifier) -> None:
    x = torch.randn(1, 3, 40, 40)
    before, state = model(x), copy.deepcopy(model.state_dict())
    tracing.trace(model, x)
    assert not model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert torch.equal(model(x), before)
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


def test_unknown_name_is_refused(model: DSPImageClassifier) -> None:
    wrong = "model.blocks.0.attn.contexts"
    with pytest.raises(ValueError, match=r"unknown hook name 'model\.blocks\.0\.attn\.contexts'; known are"):
        tracing.recording(model, [wrong]).__enter__()


def test_hook_that_never_fired_is_an_error(model: DSPImageClassifier) -> None:
    with pytest.raises(RuntimeError, match="never fired"), tracing.recording(model):
        model.embed(torch.randn(1, 3, 40, 40))


def test_model_without_the_layer_is_refused() -> None:
    with pytest.raises(
        ValueError,
        match="Linear has no attention layer that is known here; known are DynamicSpectralPolarityAttention, ",
    ):
        tracing.trace(torch.nn.Linear(12, 3), torch.randn(1, 4, 12))


def test_nothing_is_recorded_after_an_error(model: DSPImageClassifier) -> None:
    kept = []

    def fail() -> None:
        with tracing.recording(model) as calls:
            kept.append(calls)
            model(torch.randn(1, 3, 40, 40))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    recorded = {name: len(c) for name, c in kept[0].items()}
    assert recorded
    model(torch.randn(1, 3, 40, 40))
    assert {name: len(c) for name, c in kept[0].items()} == recorded
    assert hooks._reads.get() is None


def test_hooks_are_installed_once_and_survive_a_copy(model: DSPImageClassifier) -> None:
    tracing.trace(model, torch.randn(1, 3, 40, 40))
    twin = copy.deepcopy(model)
    for network in (model, twin):
        with tracing.recording(network) as calls:
            network(torch.randn(1, 3, 40, 40))
        assert len(calls["model.blocks.0.attn.context"]) == 1


def test_a_hook_may_replace_what_it_reads(model: DSPImageClassifier) -> None:
    x = torch.randn(1, 3, 40, 40)
    before = model(x)
    handle = model.model.blocks[0].attn.context.register_forward_hook(lambda m, i, out: out * 0)
    assert not torch.allclose(model(x), before)
    handle.remove()
    torch.testing.assert_close(model(x), before, rtol=0, atol=0)


def test_two_threads_never_mix(model: DSPImageClassifier) -> None:
    pictures = [torch.randn(1, 3, 40, 40, generator=torch.Generator().manual_seed(i)) for i in range(2)]
    alone = [tracing.trace(model, x) for x in pictures]
    wrong: list[int] = []
    barrier = threading.Barrier(2)

    def work(i: int) -> None:
        barrier.wait()
        for _ in range(25):
            got = tracing.trace(model, pictures[i])
            same = all(
                torch.equal(a.scales[0].left, b.scales[0].left) and torch.equal(a.coefficients, b.coefficients)
                for a, b in zip(got.blocks, alone[i].blocks, strict=True)
            )
            if not (same and torch.equal(got.output, alone[i].output)):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_recordings_nest(model: DSPImageClassifier) -> None:
    with tracing.recording(model, ["model.blocks.0.attn.context"]) as calls:
        tracing.trace(model, torch.randn(1, 3, 40, 40))
    assert len(calls["model.blocks.0.attn.context"]) == 1


def test_submodules_are_those_of_torch_a_shared_one_by_its_first_path_and_read_at_both() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Sequential(torch.nn.GELU()))
    model.append(model[0])
    model[0].register_module("none", None)
    assert submodules(model) == dict(model.named_modules())
    assert list(submodules(model)) == ["", "0", "1", "1.0"]
    classifier = DSPImageClassifier(**SMALL)
    assert list(submodules(classifier).items()) == list(classifier.named_modules())
    points = [hooks.Point("0"), hooks.Point("2", 0)]
    with hooks.reading(model, points) as calls:
        model(torch.zeros(1, 2))
    assert [len(calls[point]) for point in points] == [2, 2]
