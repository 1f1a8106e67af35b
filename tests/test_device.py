"""Where a model runs: what is asked for, and that everything comes out as it does on the CPU."""

from collections.abc import Mapping
from typing import Any

import gradio as gr
import numpy as np
import pytest
import torch
from conftest import EXAMPLES
from far import FarTensor, far_device, moved

import dsp_viz
from dsp_attention import DSPImageClassifier
from dsp_viz import export, factors, maps
from dsp_viz.device import resolve_device
from dsp_viz.importance import importance
from dsp_viz.interventions import Restrict, SetCoefficient, SetMixingWeights, from_json
from dsp_viz.store import Store
from dsp_viz.trust import trust
from dsp_viz.ui import takeaway
from dsp_viz.ui.kept import Kept, Source
from dsp_viz.ui.results import Results
from dsp_viz.ui.tabs import Shown
from dsp_viz.ui.tabs.parts import Coefficients, Filters, Weights


@pytest.fixture(scope="module", params=dsp_viz.available())
def near(request: pytest.FixtureRequest) -> dsp_viz.Subject:
    return dsp_viz.load(request.param)


@pytest.fixture(scope="module")
def far(near: dsp_viz.Subject) -> dsp_viz.Subject:
    return moved(dsp_viz.load(near.name))


def test_the_device_refuses_what_a_gpu_refuses() -> None:
    here = torch.ones(3)
    with far_device() as device:
        there = here.to(device)
        assert there.device == device
        assert float((there + there).sum()) == 6
        assert np.array_equal((2 * there).cpu().numpy(), [2, 2, 2])
        with pytest.raises(RuntimeError):
            there.numpy()
        with pytest.raises(RuntimeError, match="same device"):
            there + here
        with pytest.raises(TypeError, match="has no"):
            there.double()


def test_everything_that_is_shown_is_that_of_the_cpu(near: dsp_viz.Subject, far: dsp_viz.Subject) -> None:
    assert isinstance(next(far.parameters()), FarTensor)
    want = dsp_viz.analyse(near, EXAMPLES[3], side=64)
    with far_device():
        got = dsp_viz.analyse(far, EXAMPLES[3], side=64)
    numbers = export.numbers(got)
    for name, array in export.numbers(want).items():
        np.testing.assert_allclose(numbers[name], array, rtol=1e-3, atol=1e-5, err_msg=name)
    assert export.settings(got)["classes"][0]["probability"] == pytest.approx(want.probabilities[0], abs=1e-5)
    assert "<img" in export.html(got, block=2, query=(4, 4))
    for b, block in zip(want.trace.blocks, got.trace.blocks, strict=True):
        _, decoded = factors.decode(factors.encode(block))
        for mine, theirs in zip(decoded, factors.decode(factors.encode(b))[1], strict=True):
            np.testing.assert_allclose(mine.left, theirs.left, rtol=2e-3, atol=1e-4)
            np.testing.assert_allclose(mine.right, theirs.right, rtol=2e-3, atol=1e-4)
        query = (block.grid.rows - 1, 0)
        torch.testing.assert_close(maps.layer_map(block, query), maps.layer_map(b, query), rtol=1e-3, atol=1e-6)


def test_so_does_the_app(near: dsp_viz.Subject, far: dsp_viz.Subject) -> None:
    def shown(model: dsp_viz.Subject) -> tuple[Kept, Mapping[str, bytes]]:
        store = Store[Kept](max_bytes=2**26)
        kept = Results([model], EXAMPLES, store).of(Source(str(EXAMPLES[3]), 64, False, model.name))
        return kept, (store.get(kept.manifest.token) or ({}, None))[0]

    kept, _ = shown(near)
    with far_device():
        mine, pieces = shown(far)
        assert takeaway.npz(mine, pieces)
        assert takeaway.page(mine, pieces)
        assert mine.manifest.best[0] == kept.manifest.best[0]
        if not kept.influence:
            return
        np.testing.assert_allclose(mine.influence[1], kept.influence[1], rtol=1e-3, atol=1e-6)
        np.testing.assert_allclose(mine.powers[1], kept.powers[1], rtol=1e-3, atol=1e-8)
        for kind in (Filters, Coefficients, Weights):
            with gr.Blocks():
                tab = kind(Results([far], EXAMPLES, Store(max_bytes=2**26)))
            drawn = tab.show(Shown(mine, 1, 0), {})
            assert all(drawn[component] is not None for component in tab.outputs)


@pytest.mark.parametrize("attention", ["dsp", "polaformer", "softmax"])
def test_so_do_the_questions(attention: str) -> None:
    """Asked on the device, wherever the picture lies."""
    torch.manual_seed(0)
    options: dict[str, Any] = {"spectral_modes": 2, "num_scales": 2} if attention == "dsp" else {}
    near = DSPImageClassifier(
        image_size=32, dim=12, num_heads=2, depth=2, num_classes=4, attention=attention, **options
    )
    near.eval().requires_grad_(False)
    x = torch.randn(1, 3, 32, 32)
    want = trust(near, x)
    weight = importance(near, x)
    far = moved(near)
    with far_device() as device:
        for there in (x, x.to(device)):
            got = trust(far, there)
            for name, relevance in want.relevance.items():
                torch.testing.assert_close(got.relevance[name], relevance, rtol=1e-3, atol=1e-5)
            torch.testing.assert_close(got.curves.deletion, want.curves.deletion, rtol=1e-3, atol=1e-5)
            torch.testing.assert_close(got.curves.insertion, want.curves.insertion, rtol=1e-3, atol=1e-5)
            for mine, theirs in zip(importance(far, there).heads, weight.heads, strict=True):
                torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-5)


def test_so_do_interventions(model: dsp_viz.Subject) -> None:
    far = moved(dsp_viz.load("dsp_tiny"))
    changes = (
        SetCoefficient(value=0.5, head=1, relative=True),
        SetMixingWeights(weights=(1, 0, 0), block=5),
        Restrict(grid=(8, 8), tokens=((2, 2), (2, 3), (7, 7)), block=1),
        *from_json('[{"kind": "leave_out_filter", "low": 2}, {"kind": "leave_out_summary", "summary": "lstm"}]'),
    )
    want = dsp_viz.analyse(model, EXAMPLES[3], side=64, interventions=changes)
    with far_device():
        got = dsp_viz.analyse(far, EXAMPLES[3], side=64, interventions=changes)
    assert got.probabilities == pytest.approx(want.probabilities, abs=1e-4)
    assert want.probabilities != pytest.approx(dsp_viz.analyse(model, EXAMPLES[3], side=64).probabilities, abs=1e-3)


def test_auto_is_what_the_machine_has(monkeypatch: pytest.MonkeyPatch) -> None:
    for cuda, mps, want in ((True, True, "cuda"), (True, False, "cuda"), (False, True, "mps"), (False, False, "cpu")):
        monkeypatch.setattr("torch.cuda.is_available", lambda here=cuda: here)
        monkeypatch.setattr("torch.backends.mps.is_available", lambda here=mps: here)
        assert resolve_device() == torch.device(want)
        assert resolve_device("cpu") == torch.device("cpu")
        for name, here in (("cuda", cuda), ("mps", mps)):
            if here:
                assert resolve_device(name) == torch.device(name)
            else:
                with pytest.raises(ValueError, match=f"device '{name}' is not available here: give auto or one of"):
                    resolve_device(name)
    with pytest.raises(ValueError, match="device 'tpu' is no device: give auto or one of cpu"):
        resolve_device("tpu")
