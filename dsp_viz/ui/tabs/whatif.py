"""The tab that takes parts away: predictions and maps before and after, and what each part is worth."""

import logging
from collections.abc import Generator, Iterator
from typing import Any, TypeVar

import gradio as gr
import numpy as np

from ...analysis import Analysis
from ...figures import predictions
from ...images import ImageError
from ...importance import Importance, importance_steps
from ...interventions import InterventionError, Restrict, from_json, to_json
from ...layer import Layer
from ...steps import Steps
from ...subject import Subject
from ...trust import trust_steps
from .. import views
from ..kept import Kept
from ..results import ModelError, Results
from ..stages import block_names
from ..theme import MATTER_JAVASCRIPT, MATTER_MARKUP
from . import Shown, Values, drawn
from .compare import CompareView
from .controls import InterventionControls, region_of

_log = logging.getLogger("dsp_viz")

T = TypeVar("T")

#: Name of the queue of what takes long.
STEPS = "steps"

ABOUT = """<div class="aside">What if a part of the model did something else? No weight is changed: the interventions
below act on one pass over this picture, in their order. A coefficient of 0 leaves out what it multiplies: a head's
maps, a scale, a stream; what is no part of the maps, such as a convolution of the values, stays. Within a region,
queries see only keys that lie there.</div>"""

ABOUT_MATTER = """<div class="aside"><b>Which part matters?</b> Each head, scale and stream of each block is left out in
turn, and the change for the class that the model chose is measured. This test and the next one take the model as it is,
without the interventions.</div>"""

ABOUT_TRUST = """<div class="aside"><b>Does a map tell the truth?</b> Attention is not explanation. Here tokens of the
picture are replaced by the mean colour, or given back to an empty picture, in the order of a map. If the map marks what
matters, the deletion curve falls early and the insertion curve rises early. At each point, one more random order would
lie within the band 95 times in 100.</div>"""


class MatterView(gr.HTML):
    """What each part is worth; a click shows the part's maps."""

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
            self.rank = gr.Button("Which part matters here?", elem_id="rank")
            self.unranked = gr.HTML()
            self.matter = MatterView(elem_id="matter")
            gr.HTML(ABOUT_TRUST)
            with gr.Row():
                self.judge = gr.Button("Judge the maps of this picture", elem_id="judge")
                self.stop = gr.Button("Stop")
            self.verdict = gr.HTML(elem_id="verdict")
            with gr.Row(equal_height=False):
                self.deletion = gr.Plot(label="Deletion: the most relevant first", visible=False, elem_id="deletion")
                self.insertion = gr.Plot(label="Insertion: the most relevant first", visible=False, elem_id="insertion")
        self.inputs = [self.controls.text, *self.controls.chosen]
        self.outputs = [*self.controls.offered, self.controls.region, self.controls.text, self.classed]

    def fits(self, model: Subject, kept: Kept | None = None) -> bool:
        return True

    def follow(self, model: Subject) -> Values:
        """Parts are ranked, and maps judged, by what they do for a class."""
        return self.controls.follow(model) | {self.classed: gr.update(visible=bool(model.classes))}

    def show(self, shown: Shown, values: Values) -> Values:
        """What can be chosen, and the picture that a region is drawn on; what does not fit its grid leaves the list."""
        told = self.controls.show(shown, values)
        manifest, text, block = shown.kept.manifest, values[self.controls.text], told[self.controls.block]["value"]
        try:
            interventions = from_json(text)
        except InterventionError:
            return told | {self.controls.region: region_of(manifest, (), block)}  # it is being written: leave it
        fitting = [i for i in interventions if not (isinstance(i, Restrict) and i.grid != manifest.grid)]
        told |= {self.controls.region: region_of(manifest, fitting, block)}
        return told if len(fitting) == len(interventions) else told | {self.controls.text: to_json(fitting)}

    def compare(self, page: str, text: str) -> Values:
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
            return {self.message: views.notice(str(error)), self.bars: hidden, self.view: hidden}
        sides = {"a": before.manifest.json(), "b": after.manifest.json(), "names": ["before", "after"]}
        return {
            self.message: "",
            self.bars: drawn(_bars(before.result, after.result)) if before.result.classes else hidden,
            self.view: gr.update(value=sides, visible=True),
        }

    def judged(self, page: str, progress: gr.Progress = gr.Progress()) -> Iterator[tuple[Any, ...]]:  # noqa: B008
        """Deletion and insertion curves of the relevances; each step may be the last."""
        current = self._results.asked(page)
        if current is None:
            return
        model = self._results.models[current.model]
        try:
            steps = trust_steps(model, self._results.prepared(current).input)
            found = yield from self._told(steps, progress, 3)
        except ValueError as error:
            yield views.notice(str(error)), gr.skip(), gr.skip()
            return
        names = list(found.relevance)
        low, high = found.random_band()
        plots = [
            predictions.score_curves(names, own[: len(names)].numpy(), (below.numpy(), above.numpy()), title)
            for own, below, above, title in (
                (found.curves.deletion, low.deletion, high.deletion, "% of the tokens taken away"),
                (found.curves.insertion, low.insertion, high.insertion, "% of the tokens given back"),
            )
        ]
        yield views.areas(found, model.classes), *map(drawn, plots)

    def _told(self, steps: Steps[T], progress: gr.Progress, outputs: int) -> Generator[tuple[Any, ...], None, T]:
        """Run the steps, one turn each, and report progress; the computation may be dropped after any step."""
        while True:
            try:
                with self._results.turn:
                    done, total, what = next(steps)
            except StopIteration as end:
                return end.value
            progress((done, total), desc=what)
            yield (gr.skip(),) * outputs

    def matters(self, page: str, progress: gr.Progress = gr.Progress()) -> Iterator[tuple[Any, ...]]:  # noqa: B008
        """What each part is worth for the class that the model chose; each step may be the last."""
        current = self._results.asked(page)
        if current is None:
            return
        model = self._results.models[current.model]
        try:
            found = yield from self._told(importance_steps(model, self._results.prepared(current).input), progress, 2)
        except ValueError as error:
            yield views.notice(str(error)), gr.skip()
            return
        blocks = self._results.of(current).result.trace.blocks
        told = {"target": model.classes[found.target], "logit": found.logit}
        told |= {"rows": [_row(found, i, block) for i, block in enumerate(blocks)], "names": block_names(blocks)}
        yield "", told

    def listen(self, page: gr.Textbox, busy: dict[str, Any]) -> None:
        """Connect the controls; ``page`` holds what is on the screen, ``busy`` options of what may run a model."""
        own: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        self.controls.listen(page, self.clear, own, busy)
        told = [self.message, self.bars, self.view]
        running = self.run.click(self.compare, [page, self.controls.text], told, **own, **busy)
        self.view.lost(self.compare, [page, self.controls.text], told, **own, **busy)
        # They take turns with everybody else's requests, step by step, so they need no place in that queue.
        shown = own | {"show_progress": "full", "concurrency_id": STEPS, "concurrency_limit": 1}
        ranking = self.rank.click(
            self.matters, page, [self.unranked, self.matter], show_progress_on=[self.matter], **shown
        )
        verdict = [self.verdict, self.deletion, self.insertion]
        judging = self.judge.click(self.judged, page, verdict, show_progress_on=[self.verdict], **shown)
        self.stop.click(None, None, None, cancels=[ranking, judging], api_visibility="private")
        hidden = gr.update(visible=False)
        emptied: Values = {self.message: "", self.bars: hidden, self.view: hidden}
        self.clear.click(lambda: emptied, None, told, **own)
        # Another picture, size or model is on the screen: answers for the last one go, and its computation stops.
        gone = emptied | {
            self.unranked: "",
            self.matter: None,
            self.verdict: "",
            self.deletion: hidden,
            self.insertion: hidden,
        }
        stale: list[Any] = [running, ranking, judging]
        page.change(lambda: gone, None, list(gone), cancels=stale, **own)


def _bars(before: Analysis, after: Analysis) -> Any:
    """The best classes of either."""
    chosen = [name for name, _ in before.top(4)]
    chosen += [name for name, _ in after.top(4) if name not in chosen]
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
