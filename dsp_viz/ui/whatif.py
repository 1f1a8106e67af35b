"""The tab that takes parts away: predictions and maps before and after, and what each part is worth."""

import logging
from collections.abc import Generator, Iterator
from typing import Any, TypeVar

import gradio as gr
import numpy as np
from torch import Tensor

from .. import figures, images
from ..checkpoint import LoadedModel
from ..images import ImageError
from ..importance import importance_steps
from ..interventions import InterventionError, Restrict, from_json, to_json
from ..steps import Steps
from ..trust import trust_steps
from . import views
from .compare import CompareView
from .controls import InterventionControls, region_of
from .results import Results, Source
from .theme import MATTER_JAVASCRIPT, MATTER_MARKUP

_log = logging.getLogger("dsp_viz")

T = TypeVar("T")

ABOUT = """<div class="aside">What if a part of the model did something else? Nothing of the model is changed: the
interventions below act on one pass over this picture, in their order. A coefficient of 0 leaves out what it
multiplies: a head's maps, a scale, a stream; the convolution on the values stays. Which part matters, and whether maps
tell the truth, is asked of the model as it is.</div>"""

ABOUT_TRUST = """<div class="aside"><b>Does a map tell the truth?</b> Attention is not explanation. Here tokens of the
picture are replaced by the mean colour, or given back to an empty picture, in the order of a map: where it knows what
matters, the deletion curve falls early and the insertion curve rises early. One more random order would
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

    def __init__(self, results: Results) -> None:
        self._results = results
        gr.HTML(ABOUT)
        self.controls = InterventionControls(results)
        with gr.Row():
            self.run = gr.Button("Run", variant="primary", elem_id="run")
            self.clear = gr.Button("Clear")
            self.rank = gr.Button("Which part matters here?", elem_id="rank")
        self.message = gr.HTML(elem_id="whatif-message")
        self.bars = gr.Plot(label="Prediction before and after", visible=False, elem_id="before-after")
        self.view = CompareView(elem_id="whatif", visible=False)
        self.matter = MatterView(elem_id="matter")
        gr.HTML(ABOUT_TRUST)
        with gr.Row():
            self.judge = gr.Button("Judge the maps of this picture", elem_id="judge")
            self.stop = gr.Button("Stop")
        self.verdict = gr.HTML(elem_id="verdict")
        with gr.Row(equal_height=False):
            self.deletion = gr.Plot(label="Deletion: the most relevant first", visible=False, elem_id="deletion")
            self.insertion = gr.Plot(label="Insertion: the most relevant first", visible=False, elem_id="insertion")

    def moved(self, current: Source | None, text: str, block: str) -> tuple[Any, ...]:
        """Another picture, size or model is on the screen: what was told of the last goes, and regions of its grid."""
        gone, hidden = "", gr.update(visible=False)
        emptied = (gone, hidden, hidden, None, gone, hidden, hidden)
        if current is None:
            return gr.skip(), gr.skip(), *emptied
        _, manifest = self._results.of(current)
        try:
            interventions = from_json(text)
        except InterventionError:
            return region_of(manifest, (), block), gr.skip(), *emptied  # it is being written: not ours to change
        fitting = [i for i in interventions if not (isinstance(i, Restrict) and i.grid != tuple(manifest["grid"]))]
        left = gr.skip() if len(fitting) == len(interventions) else to_json(fitting)
        return region_of(manifest, fitting, block), left, *emptied

    def compare(self, current: Source | None, text: str) -> tuple[Any, ...]:
        """Before and after."""
        kept = (gr.skip(),) * 2
        if current is None:
            return "", *kept
        try:
            interventions = from_json(text)
            if not interventions:
                raise InterventionError("Add at least one intervention above.")
            before, first = self._results.of(current)
            after, second = self._results.of(current._replace(interventions=interventions))
        except (InterventionError, ImageError) as error:
            _log.warning("refused an intervention: %s", error)
            return views.notice(str(error)), *kept
        chosen = [name for name, _ in before.result.top(4)]
        chosen += [name for name, _ in after.result.top(4) if name not in chosen]
        old, new = (dict(zip(r.result.classes, r.result.probabilities, strict=True)) for r in (before, after))
        figure = figures.before_after(
            chosen, np.array([old[name] for name in chosen]), np.array([new[name] for name in chosen])
        )
        names = ["before", "after"]
        return (
            "",
            gr.update(value=figure, visible=True),
            gr.update(value={"a": first, "b": second, "names": names}, visible=True),
        )

    def judged(self, current: Source | None, progress: gr.Progress = gr.Progress()) -> Iterator[tuple[Any, ...]]:  # noqa: B008
        """Deletion and insertion curves of the accounts of relevance; each step may be the last."""
        if current is None:
            return
        try:
            model, x = self._input(current)
            found = yield from self._told(trust_steps(model, x, model.classifier.patch), progress, 3)
        except ValueError as error:
            yield views.notice(str(error)), gr.skip(), gr.skip()
            return
        names = list(found.relevance)
        low, high = found.random_band()
        plots = [
            figures.score_curves(names, own[: len(names)].numpy(), (below.numpy(), above.numpy()), title)
            for own, below, above, title in (
                (found.curves.deletion, low.deletion, high.deletion, "% of the tokens taken away"),
                (found.curves.insertion, low.insertion, high.insertion, "% of the tokens given back"),
            )
        ]
        yield views.areas(found, model.config.classes), *(gr.update(value=plot, visible=True) for plot in plots)

    def _told(self, steps: Steps[T], progress: gr.Progress, outputs: int) -> Generator[tuple[Any, ...], None, T]:
        """Take steps, one turn each, and tell how far they are; whoever is driven may be left after any."""
        while True:
            try:
                with self._results.batch():
                    done, total, what = next(steps)
            except StopIteration as end:
                return end.value
            progress((done, total), desc=what)
            yield (gr.skip(),) * outputs

    def _input(self, current: Source) -> tuple[LoadedModel, Tensor]:
        model = self._results.models[current.model]
        patch, config = model.classifier.patch, model.config
        cut, _ = images.fit(images.read_image(current.path), side=current.side, patch=patch, whole=current.whole)
        return model, images.to_tensor(cut, config.mean, config.std)

    def matters(self, current: Source | None, progress: gr.Progress = gr.Progress()) -> Iterator[tuple[Any, ...]]:  # noqa: B008
        """What each part is worth for the class that the model chose; each step may be the last."""
        if current is None:
            return
        try:
            model, x = self._input(current)
            found = yield from self._told(importance_steps(model, x), progress, 2)
        except ValueError as error:
            yield views.notice(str(error)), gr.skip()
            return
        parts = {"heads": found.heads, "scales": found.scales, "streams": found.streams}
        told = {"target": model.config.classes[found.target], "logit": found.logit}
        yield "", told | {name: values.tolist() for name, values in parts.items()}

    def listen(self, current: gr.State, busy: dict[str, Any]) -> None:
        """Connect the controls."""
        own: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        self.controls.listen(current, self.clear, own, busy)
        text, block = self.controls.text, self.controls.block
        outputs = [self.message, self.bars, self.view]
        running = self.run.click(self.compare, [current, text], outputs, **own, **busy)
        # They take turns with everybody else's requests, step by step, so they need no place in that queue.
        shown = own | {"show_progress": "full", "concurrency_id": "steps", "concurrency_limit": 1}
        ranking = self.rank.click(
            self.matters, current, [self.message, self.matter], show_progress_on=[self.matter], **shown
        )
        judging = self.judge.click(
            self.judged,
            current,
            [self.verdict, self.deletion, self.insertion],
            show_progress_on=[self.verdict],
            **shown,
        )
        self.stop.click(None, None, None, cancels=[ranking, judging], api_visibility="private")
        told = [self.message, self.bars, self.view, self.matter, self.verdict, self.deletion, self.insertion]
        # What is being worked out is of the last picture as well.
        stale: list[dict[str, Any]] = [running, ranking, judging]
        current.change(self.moved, [current, text, block], [self.controls.region, text, *told], cancels=stale, **own)
