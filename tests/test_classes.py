"""The class that is explained, one for the page: what a handler makes of it. No browser."""

import json
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
import torch
from conftest import EXAMPLES

import dsp_viz
from dsp_attention import DSPImageClassifier
from dsp_viz.store import Store
from dsp_viz.subject import Preparation
from dsp_viz.ui import views
from dsp_viz.ui.blocks import Blocks
from dsp_viz.ui.kept import Kept
from dsp_viz.ui.layout import Screen
from dsp_viz.ui.results import MOST_PROBABLE, Results

REQUEST: Any = SimpleNamespace(session_hash="one page")


def subject(name: str, *classes: str) -> dsp_viz.Subject:
    torch.manual_seed(len(classes))
    sizes: dict[str, Any] = {"image_size": 24, "patch": 8, "dim": 12, "num_heads": 2, "depth": 2, "num_scales": 2}
    network = DSPImageClassifier(**sizes, num_classes=max(len(classes), 1))
    return dsp_viz.Subject(
        network, Preparation(24, 8, (0.5,) * 3, (0.25,) * 3), classes=classes, name=name, digest="0" * 12
    )


@pytest.fixture
def page() -> tuple[Screen, dict[Any, Any]]:
    """The screen of three models, the last without classes, and what its components hold at first."""
    models = [subject("first", "a", "b <i>", "c"), subject("second", "c", "d", "b <i>", "e"), subject("third")]
    store: Store[Kept] = Store(max_bytes=2**24)
    with Blocks() as demo:
        screen = Screen(Results(models, EXAMPLES, store), EXAMPLES, demo)
    demo.upload_file_set = set()
    return screen, {c: getattr(c, "value", None) for c in demo.blocks.values()}


def told_of(told: dict[Any, Any], values: dict[Any, Any]) -> dict[Any, Any]:
    """What the components hold after an answer."""
    return values | {
        c: v.get("value", values[c]) if isinstance(v, dict) and "__type__" in v else v for c, v in told.items()
    }


def test_a_class_stays_while_models_have_it(page: tuple[Screen, dict[Any, Any]]) -> None:
    screen, values = page
    rail = screen.rail
    told = screen.arrive(values | {screen.address: "class=b+%3Ci%3E"}, REQUEST)
    assert told[rail.target]["value"] == "b <i>"
    assert told[rail.target]["choices"] == [MOST_PROBABLE, "a", "b <i>", "c"]
    assert "explained: " in told[rail.predicted]
    assert 'data-class="b &lt;i&gt;"' in told[rail.predicted]
    values = told_of(told, values) | {rail.model: "second"}
    told = screen.change(values, REQUEST)
    assert told[rail.target]["value"] == "b <i>"
    assert "of 4" in told[rail.predicted]
    values = told_of(told, values) | {rail.target: "d"}
    told = screen.explain(values, REQUEST)
    assert 'data-class="d"' in told[rail.predicted]
    values = told_of(told, values) | {rail.model: "first"}
    told = screen.change(values, REQUEST)  # it has no d
    assert told[rail.target]["value"] == MOST_PROBABLE
    assert "data-class" not in told[rail.predicted]
    values = told_of(told, values) | {rail.model: "third"}
    told = screen.change(values, REQUEST)
    assert told[rail.target]["visible"] is False
    assert "no classes" in told[rail.predicted]
    assert not screen.relevance.fits(screen._results.models["third"])


def test_what_is_no_class_is_the_most_probable(page: tuple[Screen, dict[Any, Any]]) -> None:
    screen, values = page
    for asked in ("class=unicorn", "class=", "", f"class={MOST_PROBABLE}"):
        told = screen.arrive(values | {screen.address: asked}, REQUEST)
        assert told[screen.rail.target]["value"] == MOST_PROBABLE
        assert "data-class" not in told[screen.rail.predicted]
    assert screen.explain(values | {screen.rail.target: ["c"], screen.source: told[screen.source]}, REQUEST)


def test_rank_counts_those_that_are_more_probable() -> None:
    model = subject("first", *"abcdefg")
    result = dsp_viz.analyse(model, EXAMPLES[0])
    for rank, (name, p) in enumerate(result.top(7), 1):
        told = views.prediction(result, result.classes.index(name))
        assert f"explained: {rank} of 7" in told
        assert told.count(f"{100 * p:.1f} %") >= 1 + (rank <= 5)
    assert views.prediction(result).count('class="row"') == 5


def test_judging_and_depth_are_of_the_class(page: tuple[Screen, dict[Any, Any]]) -> None:
    screen, values = page
    told = screen.arrive(values | {screen.address: ""}, REQUEST)
    source = told[screen.source]
    silent: Any = lambda *_, **__: None  # noqa: E731
    *_, last = screen.relevance.judged(source, "c", silent)
    assert '"target": "c"' in last[1]
    assert "Areas under the curves of c" in last[2]
    *_, usual = screen.relevance.judged(source, MOST_PROBABLE, silent)
    best = screen._results.of(screen._results.asked(source)).result.top(1)[0][0]  # type: ignore[arg-type]
    assert f'"target": "{best}"' in usual[1]
    *steps, table = screen.relevance.by_depth(source, "c", silent)
    assert steps == [gr.skip()] * 3
    assert "c (picked)" in table
    *_, (_, ranked) = screen.whatif.matters(source, "b <i>", silent)
    assert json.loads(ranked)["target"] == "b <i>"
