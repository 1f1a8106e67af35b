"""What the screen does where a model fails, refuses layers, or has no classes. No browser: the handlers as they are."""

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
import torch
from conftest import EXAMPLES
from torch import Tensor, nn

import dsp_viz
from dsp_attention import DSPImageClassifier
from dsp_viz.faults import ModelError
from dsp_viz.interventions import SetCoefficient, to_json
from dsp_viz.store import Store
from dsp_viz.subject import Preparation
from dsp_viz.ui.blocks import Blocks
from dsp_viz.ui.kept import Kept, Source
from dsp_viz.ui.layout import MAPS, Screen
from dsp_viz.ui.links import Links
from dsp_viz.ui.results import Results

REQUEST: Any = SimpleNamespace(session_hash="one page")
SIZES: dict[str, Any] = {"image_size": 24, "patch": 8, "dim": 12, "num_heads": 2, "depth": 2, "num_scales": 2}


class Fixed(nn.Module):
    """A network that fails at any size but its own, as many do."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = DSPImageClassifier(**SIZES, num_classes=3)

    def forward(self, image: Tensor) -> Tensor:
        if image.shape[-1] != 24:
            raise AssertionError("Input height (48) does not match model (24).\nMore of it.")
        return self.inner(image)


def subject(network: nn.Module, classes: tuple[str, ...] = ("a", "b", "c")) -> dsp_viz.Subject:
    torch.manual_seed(0)
    how = Preparation(24, 8, (0.5,) * 3, (0.25,) * 3)
    return dsp_viz.Subject(network, how, classes=classes, name="mine", digest="0" * 12)


def screen_of(model: dsp_viz.Subject) -> tuple[Screen, dict[Any, Any]]:
    """The screen, and what its components hold at first."""
    store: Store[Kept] = Store(max_bytes=2**24)
    results = Results([model], EXAMPLES, store)
    with Blocks() as demo:
        screen = Screen(results, EXAMPLES, demo)
    demo.upload_file_set = set()
    return screen, {c: getattr(c, "value", None) for c in demo.blocks.values()}


def arrived(screen: Screen, values: dict[Any, Any], address: str) -> dict[Any, Any]:
    return screen.arrive(values | {screen.address: address}, REQUEST)


def test_a_model_that_fails_at_a_size_says_so_and_the_page_stays() -> None:
    screen, values = screen_of(subject(Fixed()))
    told = arrived(screen, values, "side=48")
    assert (
        "mine fails at 48 px (AssertionError: Input height (48) does not match model (24).)"
        in told[screen.rail.message]
    )
    assert "It was made for 24 px" in told[screen.rail.message].replace("&#x27;", "'")
    assert told[screen.view]["side"] == 24  # no empty page
    assert told[screen.rail.side]["value"] == "24 px"
    values |= {screen.source: told[screen.source], screen.rail.side: "48 px"}
    told = screen.change(values, REQUEST)
    assert "fails at 48 px" in told[screen.rail.message]
    assert screen.view not in told
    assert told[screen.rail.side]["value"] == "24 px"


def test_what_fails_at_its_own_size_has_a_sentence_too() -> None:
    network = Fixed()
    network.inner = nn.Linear(2, 2)  # type: ignore[assignment]
    screen, values = screen_of(subject(network))
    told = arrived(screen, values, "")
    assert "mine fails at 24 px" in told[screen.rail.message]
    assert screen.view not in told
    with pytest.raises(ModelError, match="mine fails at 24 px"):
        screen._results.of(Source(str(EXAMPLES[0]), 24, False, "mine"))


def test_tabs_of_refused_layers_do_not_fit() -> None:
    model = subject(DSPImageClassifier(**SIZES, num_classes=3))
    screen, values = screen_of(model)
    kept = screen._results.of(Source(str(EXAMPLES[0]), 24, False, "mine"))
    filters = screen.tabs["filters"]
    assert filters.fits(model)
    assert filters.fits(model, kept)
    softmax = tuple(replace(block, parts=None) for block in kept.result.trace.blocks)  # what is left beside them
    refused = replace(kept, result=replace(kept.result, trace=replace(kept.result.trace, blocks=softmax)))
    assert not filters.fits(model, refused)
    screen._results.of = lambda source: refused  # type: ignore[method-assign]
    told = arrived(screen, values, "tab=filters")
    assert told[screen.opened] == MAPS
    assert '[data-tab-id="filters"]' in told[screen.fitting]


def test_a_model_without_classes_has_interventions_and_no_ranking() -> None:
    model = subject(DSPImageClassifier(**SIZES, num_classes=3), classes=())
    screen, values = screen_of(model)
    told = arrived(screen, values, 'tab=whatif&interventions=[{"kind":"set_coefficient","value":0}]')
    assert told[screen.opened] == "whatif"
    text = to_json([SetCoefficient(value=0)])
    assert told[screen.whatif.controls.text] == text
    assert told[screen.whatif.classed]["visible"] is False
    run = screen.whatif.compare(told[screen.source], text)
    assert run[screen.whatif.message] == ""
    assert run[screen.whatif.bars]["visible"] is False
    sides = run[screen.whatif.view]["value"]
    assert [sides[side]["changed"] for side in "ab"] == [False, True]


def test_examples_of_equal_names_are_told_apart(tmp_path: Path) -> None:
    paths = [tmp_path / folder / "0001.jpg" for folder in ("a", "b")]
    for path, example in zip(paths, EXAMPLES, strict=False):
        path.parent.mkdir()
        shutil.copy(example, path)
    results = Results([subject(DSPImageClassifier(**SIZES, num_classes=3))], paths, Store(max_bytes=1))
    assert results.examples == {"0001": str(paths[0]), "0001-2": str(paths[1])}
    with gr.Blocks() as demo:
        links = Links(results, paths, demo)
    for name, path in ((None, paths[0]), ("0001", paths[0]), ("0001-2", paths[1])):
        found, note = links.source({} if name is None else {"picture": name})
        assert (found.path, note) == (str(path), "")
        assert results.name_of(found.path) == (name or "0001")
