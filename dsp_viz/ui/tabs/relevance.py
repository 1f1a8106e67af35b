"""The tab that asks what the answer rests on: relevance as pictures, judged, and the answer block by block."""

import json
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import gradio as gr

from ...accounts import account, in_units
from ...depth import Depth, depth_steps
from ...faults import ModelError
from ...figures import predictions
from ...images import ImageError
from ...subject import Subject
from ...trust import SoFar, trust_steps
from .. import views
from ..kept import Kept, Source
from ..results import Results
from ..stages import block_names
from ..theme import RELEVANCE_JAVASCRIPT, RELEVANCE_MARKUP
from . import Shown, Values, drawn
from .stepping import Asked, in_turns

ABOUT = """<div class="aside"><b>What does the answer rest on?</b> Attention is not explanation. Each account below
says how much every patch matters for one class: the class to explain, where one was picked, else the most probable
one. Whether it tells the truth is tested: patches are replaced by the mean colour (deletion), or given back to an empty
picture (insertion), in its order. If it marks what matters, the probability of the class falls early, or rises early;
random order shows what knowing nothing gives.</div>"""

ABOUT_DEPTH = """<div class="aside"><b>When does the model decide?</b> What its own head would say after each block, if
all later blocks passed on what they are given. <b>An extrapolation: the head was trained on the last block's output
only.</b></div>"""

JUDGE_AGAIN, READ_AGAIN = "Judge the maps again.", "Read the answer again."

#: What view, verdict and curves hold where nothing was judged.
NOTHING = (None, "", gr.update(visible=False), gr.update(visible=False))


class RelevanceView(gr.HTML):
    """Accounts of relevance over the picture, each beside its areas; see ``relevance.js`` for its value, JSON."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(html_template=RELEVANCE_MARKUP, js_on_load=RELEVANCE_JAVASCRIPT, **arguments)


class Relevance:
    """Contents of the tab.

    Args:
        results: see :class:`Results`.
    """

    name, title = "relevance", "Relevance"

    def __init__(self, results: Results) -> None:
        self._results = results
        self._judging, self._reading = Asked(), Asked()
        gr.HTML(ABOUT)
        with gr.Row():
            self.judge = gr.Button("Judge the maps of this picture", variant="primary", elem_id="judge")
            self.stop = gr.Button("Stop", interactive=False, elem_id="stop-judging")
        self.progress = gr.HTML(elem_id="judging")
        self.view = RelevanceView(elem_id="relevance")
        self.verdict = gr.HTML(elem_id="verdict")
        with gr.Row(equal_height=False):
            self.deletion = gr.Plot(label="Deletion: the most relevant first", visible=False, elem_id="deletion")
            self.insertion = gr.Plot(label="Insertion: the most relevant first", visible=False, elem_id="insertion")
        gr.HTML(ABOUT_DEPTH)
        with gr.Row():
            self.read = gr.Button("Read the answer after each block", elem_id="read-depth")
            self.stop_reading = gr.Button("Stop", interactive=False)
        self.depth = gr.HTML(elem_id="depth")
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []

    def fits(self, model: Subject, kept: Kept | None = None) -> bool:
        """Relevance is that for a class."""
        return bool(model.classes)

    def follow(self, model: Subject) -> Values:
        return {}

    def show(self, shown: Shown, values: Values) -> Values:
        return {}

    def judged(self, page: str, choice: str, progress: gr.Progress) -> Iterator[tuple[Any, ...]]:
        """The accounts as they come, each then with its areas, at last the curves; each step may be the last."""
        current = self._results.asked(page)
        if current is None:
            return
        model, so_far, told = self._results.models[current.model], SoFar(), (0, 0)

        def news() -> tuple[Any, ...]:
            nonlocal told
            last, told = told, (len(so_far.relevance), len(so_far.known()))
            return "", gr.skip() if told == last else self._value(current, target, so_far), *[gr.skip()] * 3

        try:
            kept = self._results.of(current)
            target = self._results.target(current.model, choice)
            steps = trust_steps(model, self._results.prepared(current).input, target=target, so_far=so_far)
            found = yield from in_turns(self._results, steps, progress, news)
        except (ValueError, ImageError, ModelError) as error:
            yield views.notice(str(error)), *[gr.skip()] * 4
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
        value = self._value(current, target, so_far)
        yield "", value, views.areas(found, kept.result.classes), *map(drawn, plots)

    def _value(self, source: Source, target: int | None, so_far: SoFar) -> str:
        """Value of :class:`RelevanceView`. JSON: of an object Gradio (6.31) would send only what has changed, and write
        it into the one that the view holds."""
        kept = self._results.of(source)
        result, areas, spread = kept.result, so_far.known(), so_far.random_range()
        chosen = result.probabilities.index(max(result.probabilities)) if target is None else target
        accounts = [
            account(name)._asdict()
            | {"name": name, "areas": areas.get(name)}
            | {"values": b64encode(in_units(name, relevance).astype("<f4").tobytes()).decode()}
            for name, relevance in so_far.relevance.items()
        ]
        value = {
            "result": kept.manifest.json(),
            "box": result.trace.grid.box,
            "target": result.classes[chosen],
            "probability": result.probabilities[chosen],
            "accounts": accounts,
            "random": spread and {"mean": areas["random order"], "low": spread[0], "high": spread[1]},
        }
        return json.dumps(value)

    def by_depth(self, page: str, choice: str, progress: gr.Progress) -> Iterator[Any]:
        """What the head would say after each block; each step may be the last."""
        current = self._results.asked(page)
        if current is None:
            return
        try:
            kept = self._results.of(current)
            steps = depth_steps(self._results.models[current.model], self._results.prepared(current).input)
            found = yield from in_turns(self._results, steps, progress, gr.skip)
        except (ValueError, ImageError, ModelError) as error:
            yield views.notice(str(error))
            return
        target = self._results.target(current.model, choice)
        yield views.by_depth(found.probabilities.numpy(), _named(found, kept), kept.result.classes, target)

    def gone(self, page: str, choice: str, verdict: str, told: str, depth: str, request: gr.Request) -> list[Any]:
        """Nothing of what was judged and read, with a word on it where there was something."""
        for asked in (self._judging, self._reading):
            asked.show(request, page, choice)
        return [views.left(JUDGE_AGAIN, verdict, told), *NOTHING, views.left(READ_AGAIN, depth, depth)]

    def listen(self, page: gr.Textbox, target: gr.Dropdown) -> None:
        """Connect the controls; ``page`` holds what is on the screen, ``target`` the class that is explained."""
        own: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        answers = [self.progress, self.view, self.verdict, self.deletion, self.insertion]
        asked, left = [page, target], [views.left(JUDGE_AGAIN), *NOTHING]
        self._judging.listen(self.judge, self.stop, self.judged, asked, answers, left, show_progress_on=[self.progress])
        self._reading.listen(self.read, self.stop_reading, self.by_depth, asked, self.depth, views.left(READ_AGAIN))
        # Another picture, size, model or class: answers for the last one go, and what computes them stops.
        there = [*asked, self.verdict, self.progress, self.depth]
        gr.on([page.change, target.change], self.gone, there, [*answers, self.depth], **own)


def _named(found: Depth, kept: Kept) -> list[str]:
    """What people call the blocks: as the layers in them, where these are shown."""
    blocks = kept.result.trace.blocks
    names = dict(zip((f"{block.name}." for block in blocks), block_names(blocks), strict=True))
    return [next((name for path, name in names.items() if path.startswith(f"{own}.")), own) for own in found.blocks]
