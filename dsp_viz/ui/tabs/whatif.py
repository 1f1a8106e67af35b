"""The tab that takes parts away: predictions and maps before and after, and what each part is worth."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import gradio as gr
import numpy as np

from ...analysis import Analysis
from ...faults import ModelError
from ...figures import predictions
from ...images import ImageError
from ...importance import Importance, importance_steps
from ...interventions import InterventionError, Restrict, from_json, to_json
from ...layer import Layer
from ...subject import Subject
from .. import views
from ..kept import Kept
from ..results import MOST_PROBABLE, Results
from ..stages import block_names
from ..theme import MATTER_JAVASCRIPT, MATTER_MARKUP
from . import Shown, Values, drawn
from .compare import CompareView
from .controls import InterventionControls, region_of
from .stepping import Asked, in_turns

_log = logging.getLogger("dsp_viz")

ABOUT = """<div class="aside">What if a part of the model did something else? No weight is changed: the interventions
below act on one pass over this picture, in their order. A coefficient of 0 leaves out what it multiplies: a head's
maps, a scale, a stream; what is no part of the maps, such as a convolution of the values, stays. Within a region,
queries see only keys that lie there.</div>"""

ABOUT_MATTER = """<div class="aside"><b>Which part matters?</b> Each head, scale and stream of each block is left out in
turn, and the change for one class is measured: the class to explain, where one was picked, else the most probable
one. This test takes the model as it is, without the interventions.</div>"""

ASK_AGAIN = "Ask for the parts again."


class MatterView(gr.HTML):
    """What each part is worth; a click shows the part's maps. Its value is JSON: Gradio (6.31) writes what is sent next
    into an object that was sent before, also where the page has not shown that yet."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(html_template=MATTER_MARKUP, js_on_load=MATTER_JAVASCRIPT, **arguments)


class WhatIf:
    """Contents of the tab.

    Args:
        results: see :class:`Results`.
    """

    name, title = "whatif", "What if"

    def __init__(self, results: Results) -> None:
        self._results = results
        self._comparing, self._ranking = Asked(), Asked()
        gr.HTML(ABOUT)
        self.controls = InterventionControls(results)
        with gr.Row():
            self.run = gr.Button("Run", variant="primary", elem_id="run")
            self.clear = gr.Button("Clear")
        self.message = gr.HTML(elem_id="whatif-message")
        self.bars = gr.Plot(label="Prediction before and after", visible=False, elem_id="before-after")
        self.view = CompareView(elem_id="whatif", visible=False)
        with gr.Column() as self.classed:
            gr.HTML(ABOUT_MATTER)
            with gr.Row():
                self.rank = gr.Button("Which part matters here?", elem_id="rank")
                self.stop = gr.Button("Stop", interactive=False)
            self.unranked = gr.HTML()
            self.matter = MatterView(elem_id="matter")
        # The list that the answers are of: another class is another row of the bars.
        self.ran = gr.Textbox("", visible="hidden", container=False)
        self.inputs = [self.controls.text, *self.controls.chosen]
        self.outputs = [*self.controls.offered, self.controls.region, self.controls.text, self.classed]

    def fits(self, model: Subject, kept: Kept | None = None) -> bool:
        return True

    def follow(self, model: Subject) -> Values:
        """Parts are ranked by what they do for a class."""
        return self.controls.follow(model) | {self.classed: gr.update(visible=bool(model.classes))}

    def show(self, shown: Shown, values: Values) -> Values:
        """What can be chosen, and the picture that a region is drawn on; what does not fit its grid leaves the list."""
        told = self.controls.show(shown, values)
        manifest, text = shown.kept.manifest, values[self.controls.text]
        block = told[self.controls.block].get("value", values[self.controls.block])
        try:
            interventions = from_json(text)
        except InterventionError:
            return told | {self.controls.region: region_of(manifest, (), block)}  # it is being written: leave it
        fitting = [i for i in interventions if not (isinstance(i, Restrict) and i.grid != manifest.grid)]
        told |= {self.controls.region: region_of(manifest, fitting, block)}
        return told if len(fitting) == len(interventions) else told | {self.controls.text: to_json(fitting)}

    def compare(self, page: str, text: str, choice: str = MOST_PROBABLE) -> Values:
        """Before and after: the maps, and of a model with classes what it says."""
        hidden = gr.update(visible=False)
        current = self._results.asked(page)
        if current is None:
            return gr.skip()
        try:
            interventions = from_json(text)
            if not interventions:
                raise InterventionError("Add at least one intervention above.")
            before = self._results.of(current)
            after = self._results.of(current._replace(interventions=interventions))
        except (InterventionError, ImageError, ModelError) as error:
            _log.warning("refused an intervention: %.300s", error)
            # What stands there is of another list.
            return {self.message: views.notice(str(error)), self.bars: hidden, self.view: hidden, self.ran: ""}
        sides = {"a": before.manifest.json(), "b": after.manifest.json(), "names": ["before", "after"]}
        return {
            self.message: "",
            self.bars: self._bars(before, after, choice),
            self.view: gr.update(value=sides, visible=True),
            self.ran: text,
        }

    def _bars(self, before: Kept, after: Kept, choice: str) -> Any:
        if not before.result.classes:
            return gr.update(visible=False)
        return drawn(_bars(before.result, after.result, self._results.target(before.source.model, choice)))

    def rebar(self, page: str, ran: str, choice: str) -> Any:
        """Before and after once more, with another class among the bars."""
        current = self._results.asked(page)
        if current is None or not ran:
            return gr.skip()
        try:
            before, after = (self._results.of(current._replace(interventions=i)) for i in ((), from_json(ran)))
        except (InterventionError, ImageError, ModelError):
            return gr.update(visible=False)  # said where it was asked for
        return self._bars(before, after, choice)

    def matters(self, page: str, choice: str, progress: gr.Progress) -> Iterator[tuple[Any, ...]]:
        """What each part is worth for a class; each step may be the last."""
        current = self._results.asked(page)
        if current is None:
            return
        model = self._results.models[current.model]
        try:
            steps = importance_steps(
                model, self._results.prepared(current).input, target=self._results.target(current.model, choice)
            )
            found = yield from in_turns(self._results, steps, progress, lambda: (gr.skip(), gr.skip()))
        except ValueError as error:
            yield views.notice(str(error)), gr.skip()
            return
        blocks = self._results.of(current).result.trace.blocks
        told = {"target": model.classes[found.target], "logit": found.logit}
        told |= {"rows": [_row(found, i, block) for i, block in enumerate(blocks)], "names": block_names(blocks)}
        yield "", json.dumps(told)

    def listen(self, page: gr.Textbox, target: gr.Dropdown, busy: dict[str, Any]) -> None:
        """Connect the controls; ``page`` holds what is on the screen, ``target`` the class that is explained, ``busy``
        options of what may run a model."""
        own: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        self.controls.listen(page, self.clear, own, busy)
        asked, told = [page, self.controls.text, target], [self.message, self.bars, self.view, self.ran]

        def compare(page: str, text: str, choice: str, request: gr.Request) -> Values:
            found = self.compare(page, text, choice)
            return found if self._comparing.awaits(request, page) else gr.skip()

        self.run.click(compare, asked, told, **own, **busy)
        self.view.lost(compare, asked, told, **own, **busy)
        answers = [self.unranked, self.matter]
        ranking = [page, target]
        left = [views.left(ASK_AGAIN), None]
        self._ranking.listen(self.rank, self.stop, self.matters, ranking, answers, left, show_progress_on=[self.matter])
        hidden = gr.update(visible=False)
        emptied: Values = {self.message: "", self.bars: hidden, self.view: hidden, self.ran: ""}
        self.clear.click(lambda: emptied, None, told, **own)
        # Another picture, size or model is on the screen: answers for the last one go, and its computation stops.

        def again(page: str, ran: str, message: str, request: gr.Request) -> Values:
            self._comparing.show(request, page)
            return emptied | {self.message: views.left("Run the interventions again.", ran, message)}

        def unranked(page: str, choice: str, matter: Any, message: str, request: gr.Request) -> Values:
            self._ranking.show(request, page, choice)
            return {self.unranked: views.left(ASK_AGAIN, matter, message), self.matter: None}

        page.change(again, [page, self.ran, self.message], told, **own)
        ranked = [*ranking, self.matter, self.unranked]
        gr.on([page.change, target.change], unranked, ranked, answers, **own)
        target.change(self.rebar, [page, self.ran, target], self.bars, **own, **busy, trigger_mode="always_last")


def _bars(before: Analysis, after: Analysis, target: int | None) -> Any:
    """The best classes of either, and the one that was picked."""
    picked = [] if target is None else [(before.classes[target], 0.0)]
    chosen = list(dict.fromkeys(name for name, _ in [*before.top(4), *after.top(4), *picked]))
    old, new = (dict(zip(r.classes, r.probabilities, strict=True)) for r in (before, after))
    return predictions.before_after(
        chosen, np.array([old[name] for name in chosen]), np.array([new[name] for name in chosen])
    )


def _row(found: Importance, index: int, block: Layer) -> list[dict[str, Any]]:
    """The parts of a block, each with its name and what leaving it out changes."""
    names = {
        "head": [f"head {h + 1}" for h in range(block.coefficients.shape[1])],
        "scale": [f"{scale.pooled}×" for scale in block.scales],
        "stream": [stream.name for stream in block.streams],
    }
    changes = {"head": found.heads[index], "scale": found.scales[index], "stream": found.streams[index]}
    return [
        {"part": part, "index": i, "name": names[part][i], "change": change}
        for part, values in changes.items()
        for i, change in enumerate(values.tolist())
    ]
