"""The tab that takes parts away: predictions and maps before and after, and what each part is worth."""

import json
import logging
import math
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, TypeVar

import gradio as gr
import numpy as np
from torch import Tensor

from .. import figures, images
from ..checkpoint import LoadedModel
from ..images import ImageError
from ..importance import importance_steps
from ..interventions import Intervention, InterventionError, Restrict, from_json, to_json
from ..steps import Steps
from ..trace import dsp_layers
from ..trust import trust_steps
from . import views
from .compare import CompareView
from .results import Results, Source
from .theme import MATTER_JAVASCRIPT, MATTER_MARKUP, REGION_JAVASCRIPT, REGION_MARKUP

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

EVERY = "every"


class RegionView(gr.HTML):
    """The picture of a result, to draw a region on; ``draw`` tells the grid and the tokens within.

    Its value is the manifest with ``tokens``, those of the region that the list holds for the chosen block.
    """

    draw: Callable[..., Any]

    def __init__(self, **arguments: Any) -> None:
        super().__init__(html_template=REGION_MARKUP, js_on_load=REGION_JAVASCRIPT, **arguments)


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
        found = [dsp_layers(model) for model in results.models.values()]
        every = [layer for layers in found for layer in layers.values()]
        blocks = max(map(len, found))
        heads = max((layer.num_heads for layer in every), default=1)
        scales = max((len(layer.factors) for layer in every), default=1)
        modes = max((layer.spectral.filters.modes for layer in every), default=1)
        self._highest = round(math.sqrt(2) * (modes - 1))  # |k| of the corner of a filter, cycles per image
        gr.HTML(ABOUT)
        with gr.Row():
            self.block = gr.Dropdown([EVERY, *map(str, range(1, blocks + 1))], value=EVERY, label="Block", min_width=90)
            self.head = gr.Dropdown([EVERY, *map(str, range(1, heads + 1))], value=EVERY, label="Head", min_width=90)
        with gr.Tabs():
            with gr.Tab("Streams"), gr.Row(equal_height=True):
                sizes = [EVERY, *(f"{2**s}×" for s in range(scales))]
                self.scale = gr.Dropdown(sizes, value=EVERY, label="Scale", min_width=90)
                self.stream = gr.Dropdown([EVERY, "same", "opposite"], value="opposite", label="Stream", min_width=110)
                self.value = gr.Slider(0, 2, value=0, step=0.05, label="Coefficient", min_width=140)
                self.relative = gr.Checkbox(label="times its value", value=False, min_width=110)
                self.add_stream = gr.Button("Add", min_width=70)
            with gr.Tab("Filters"), gr.Row(equal_height=True):
                self.filter = gr.Dropdown([EVERY, "positive", "negative"], value=EVERY, label="Polarity", min_width=110)
                self.low = gr.Slider(0, self._highest, value=0, step=1, label="From cycles per image", min_width=140)
                self.high = gr.Slider(0, self._highest, value=self._highest, step=1, label="To", min_width=140)
                self.add_filter = gr.Button("Add", min_width=70)
            with gr.Tab("Context"), gr.Row(equal_height=True):
                self.summary = gr.Dropdown(["global", "lstm", "attention"], value="global", label="Summary left out")
                self.add_summary = gr.Button("Add", min_width=70)
            with gr.Tab("Mixing weights"), gr.Row(equal_height=True):
                self.weights = [
                    gr.Slider(0, 1, value=float(s == 0), step=0.05, label=f"{2**s}×", min_width=120)
                    for s in range(scales)
                ]
                self.add_weights = gr.Button("Add", min_width=70)
            with gr.Tab("Region"):
                self.region = RegionView(elem_id="region")
        self.text = gr.Textbox("[]", label="Interventions, as JSON", lines=2, max_lines=6, elem_id="interventions")
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

    # Each of these appends what the controls say to the list.

    def _stream(self, text: str, block: str, head: str, scale: str, stream: str, value: float, relative: bool) -> Any:
        size = None if scale == EVERY else int(scale[:-1]).bit_length() - 1
        where = {"block": _index(block), "head": _index(head), "scale": size, "polarity": _name(stream)}
        return _append(text, "set_coefficient", value=value, relative=relative, **where)

    def _filter(self, text: str, block: str, head: str, polarity: str, low: int, high: int) -> Any:
        where = {"block": _index(block), "head": _index(head), "polarity": _name(polarity)}
        return _append(text, "leave_out_filter", low=low, high=None if high == self._highest else high, **where)

    def _summary(self, text: str, block: str, summary: str) -> Any:
        return _append(text, "leave_out_summary", summary=summary, block=_index(block))

    def _weights(self, current: Source | None, text: str, block: str, head: str, *weights: float) -> Any:
        """There is a slider for each scale of the model with the most."""
        layers = dsp_layers(self._results.models[current.model]).values() if current else ()
        scales = next((len(layer.factors) for layer in layers), len(weights))
        return _append(text, "set_mixing_weights", weights=weights[:scales], block=_index(block), head=_index(head))

    def _region(self, text: str, block: str, event: gr.EventData) -> Any:
        """The region that was drawn takes the place of an earlier one of the same block."""
        place = _index(block)
        kept = [i for i in _read(text) if not (isinstance(i, Restrict) and i.block == place)]
        if not event._data["tokens"]:
            return to_json(kept)
        return _append(to_json(kept), "restrict", block=place, **event._data)

    def _drawn(self, current: Source | None, text: str, block: str) -> Any:
        """What the region's picture shows."""
        if current is None:
            return gr.skip()
        try:
            interventions = from_json(text)
        except InterventionError:
            return gr.skip()  # it is being written
        return self._region_of(self._results.of(current)[1], interventions, block)

    def _region_of(self, manifest: dict[str, Any], interventions: Iterable[Intervention], block: str) -> dict[str, Any]:
        place, grid = _index(block), tuple(manifest["grid"])
        regions = [i for i in interventions if isinstance(i, Restrict) and i.block == place and i.grid == grid]
        return manifest | {"tokens": regions[-1].tokens if regions else ()}

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
            return self._region_of(manifest, (), block), gr.skip(), *emptied  # it is being written: not ours to change
        fitting = [i for i in interventions if not (isinstance(i, Restrict) and i.grid != tuple(manifest["grid"]))]
        left = gr.skip() if len(fitting) == len(interventions) else to_json(fitting)
        return self._region_of(manifest, fitting, block), left, *emptied

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
        kept = (gr.skip(),) * 2
        try:
            model, x = self._input(current)
            found = yield from self._told(trust_steps(model, x, model.classifier.patch), progress, 3)
        except ValueError as error:
            yield views.notice(str(error)), *kept
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
                with self._results.turn:
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
        place = [self.text, self.block, self.head]
        streams = [*place, self.scale, self.stream, self.value, self.relative]
        self.add_stream.click(self._stream, streams, self.text, **own)
        self.add_filter.click(self._filter, [*place, self.filter, self.low, self.high], self.text, **own)
        self.add_summary.click(self._summary, [self.text, self.block, self.summary], self.text, **own)
        self.add_weights.click(self._weights, [current, *place, *self.weights], self.text, **own)
        self.region.draw(self._region, [self.text, self.block], self.text, **own)
        self.clear.click(lambda: "[]", None, self.text, **own)
        outputs = [self.message, self.bars, self.view]
        running = self.run.click(self.compare, [current, self.text], outputs, **own, **busy)
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
        for changed in (self.text, self.block):
            changed.change(
                self._drawn, [current, self.text, self.block], self.region, trigger_mode="always_last", **own, **busy
            )
        told = [self.message, self.bars, self.view, self.matter, self.verdict, self.deletion, self.insertion]
        # What is being worked out is of the last picture as well.
        stale: list[dict[str, Any]] = [running, ranking, judging]
        current.change(
            self.moved, [current, self.text, self.block], [self.region, self.text, *told], cancels=stale, **own
        )


def _index(choice: str) -> int | None:
    return None if choice == EVERY else int(choice) - 1


def _name(choice: str) -> str | None:
    return None if choice == EVERY else choice


def _read(text: str) -> tuple[Intervention, ...]:
    try:
        return from_json(text)
    except InterventionError as error:
        raise gr.Error(str(error), print_exception=False) from error


def _append(text: str, kind: str, **fields: Any) -> str:
    """The list with one intervention more, from what controls say."""
    return to_json([*_read(text), *_read(json.dumps([{"kind": kind, **fields}]))])
