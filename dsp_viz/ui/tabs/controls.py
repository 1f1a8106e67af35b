"""The controls that write the list of interventions, and the picture that a region is drawn on."""

import itertools
import json
from collections.abc import Callable, Iterable
from typing import Any

import gradio as gr

from ...interventions import Intervention, InterventionError, Restrict, from_json, offers, to_json
from ...subject import Subject
from ..kept import Manifest
from ..results import Results
from ..stages import block_names
from ..theme import REGION_JAVASCRIPT, REGION_MARKUP
from . import Shown, Values
from .place import Sizes, most_of, sizes_of

EVERY = "every"

_numbers = itertools.count()


class RegionView(gr.HTML):
    """The picture of a result, to draw a region on; ``draw`` tells the grid and the tokens within.

    Its value is the manifest with ``tokens``, those of the region that the list holds for the chosen block.
    """

    draw: Callable[..., Any]

    def __init__(self, **arguments: Any) -> None:
        super().__init__(html_template=REGION_MARKUP, js_on_load=REGION_JAVASCRIPT, **arguments)


class Offered(gr.Dropdown):
    """A dropdown whose choices follow what is on the screen: Gradio would refuse those that came later. What is chosen
    is checked as a part of the intervention that it becomes."""

    is_template = True

    def preprocess(self, payload: Any) -> Any:
        return payload


#: Groups of controls that not every model has parts for, with the kind of intervention that each writes.
_OWN = {"set-filters": "leave_out_filter", "set-context": "leave_out_summary", "set-weights": "set_mixing_weights"}


class InterventionControls:
    """A group of controls for each kind of intervention, and the list as JSON, which they append to.

    Args:
        results: see :class:`Results`.
    """

    def __init__(self, results: Results) -> None:
        self._results = results
        most = most_of(results)
        with gr.Row():
            self.block = Offered(_numbered(most.blocks), value=EVERY, label="Block", min_width=90)
            self.head = Offered(_numbered(most.heads), value=EVERY, label="Head", min_width=90)
        self.fitting = gr.HTML(visible="hidden")
        with gr.Tabs() as self.groups:
            with gr.Tab("Streams", id="set-streams"), gr.Row(equal_height=True):
                self.scale = Offered([EVERY], value=EVERY, label="Scale", min_width=120)
                self.stream = Offered([EVERY, "same", "opposite"], value="opposite", label="Stream", min_width=140)
                self.value = gr.Slider(0, 2, value=0, step=0.05, label="Coefficient", min_width=140)
                self.relative = gr.Checkbox(label="times the model's own", value=False, min_width=160)
                self.add_stream = gr.Button("Add", min_width=70)
            with gr.Tab("Filters", id="set-filters"):
                gr.HTML('<div class="aside">In this band of frequencies the filter does nothing: its gain is 1.</div>')
                with gr.Row(equal_height=True):
                    polarities = [EVERY, "positive", "negative"]
                    self.filter = gr.Dropdown(polarities, value=EVERY, label="Polarity", min_width=110)
                    self.low = gr.Slider(0, most.highest, value=0, step=1, label="From cycles per image", min_width=140)
                    self.high = gr.Slider(0, most.highest, value=most.highest, step=1, label="To", min_width=140)
                    self.add_filter = gr.Button("Add", min_width=70)
            with gr.Tab("Context", id="set-context"), gr.Row(equal_height=True):
                self.summary = gr.Dropdown(["global", "lstm", "attention"], value="global", label="Summary left out")
                self.add_summary = gr.Button("Add", min_width=70)
            with gr.Tab("Mixing weights", id="set-weights"), gr.Row(equal_height=True):
                self.weights = [
                    gr.Slider(0, 1, value=float(s == 0), step=0.05, label=f"{2**s}×", min_width=120)
                    for s in range(most.scales)
                ]
                self.add_weights = gr.Button("Add", min_width=70)
            with gr.Tab("Region", id="set-region"):
                self.region = RegionView(elem_id="region")
        told = "Interventions, as JSON: counted from 0, blocks over all stages"
        self.text = gr.Textbox("[]", label=told, lines=2, max_lines=6, elem_id="interventions")
        self.chosen = [self.block, self.head, self.scale, self.stream]
        self.offered = [*self.chosen, self.fitting, self.groups, self.low, self.high, *self.weights]

    def follow(self, model: Subject) -> Values:
        """Offer the groups that a model has parts for, and choose nothing in them."""
        sizes, known = sizes_of(model), offers(model)
        hidden = ", ".join(f'[data-tab-id="{group}"]' for group, kind in _OWN.items() if kind not in known)
        return {
            # Gradio 6.31 cannot hide a tab later on.
            self.fitting: f"<style>:is({hidden}) {{ display: none !important; }}</style>",
            self.groups: gr.Tabs(selected="set-streams"),
            **{choice: gr.update(value=EVERY) for choice in (self.block, self.head, self.scale)},
            self.stream: gr.update(value="opposite"),
            self.low: gr.update(maximum=sizes.highest, value=0),
            self.high: gr.update(maximum=sizes.highest, value=sizes.highest),
            **{w: gr.update(visible=s < sizes.scales) for s, w in enumerate(self.weights)},
        }

    def show(self, shown: Shown, values: Values) -> Values:
        """Offer the blocks, heads, scales and streams of what is on the screen; what it lacks is no longer chosen."""
        blocks = shown.kept.result.trace.blocks
        names = [name.removeprefix("block ") for name in block_names(shown.kept.manifest.layers)]
        scales = max((block.scales for block in blocks), key=len)
        streams = list(dict.fromkeys(stream.name for block in blocks for stream in block.streams))
        choices = {
            self.block: [(name, str(i + 1)) for i, name in enumerate(names)],
            self.head: [(str(i + 1), str(i + 1)) for i in range(max(b.coefficients.shape[1] for b in blocks))],
            self.scale: [(f"{scale.pooled}×", str(i + 1)) for i, scale in enumerate(scales)],
            self.stream: [(name, name) for name in streams],
        }
        told: Values = {}
        for component, own in choices.items():
            known = [(EVERY, EVERY), *own]
            lacking = {} if values[component] in [value for _, value in known] else {"value": EVERY}
            # A head may be the only one of its layer; one scale or stream is all that there is.
            several = len(own) > 1 or component in (self.block, self.head)
            told[component] = gr.update(choices=known, visible=several) | lacking
        return told

    # Each of these appends what the controls say to the list.

    def _stream(self, text: str, block: str, head: str, scale: str, stream: str, value: float, relative: bool) -> Any:
        where = {"block": _index(block), "head": _index(head), "scale": _index(scale), "stream": _name(stream)}
        return _append(text, "set_coefficient", value=value, relative=relative, **where)

    def _filter(self, text: str, page: str, block: str, head: str, polarity: str, low: int, high: int) -> Any:
        where = {"block": _index(block), "head": _index(head), "polarity": _name(polarity)}
        end = self._of(page).highest
        return _append(text, "leave_out_filter", low=low, high=None if high >= end else high, **where)

    def _summary(self, text: str, block: str, summary: str) -> Any:
        return _append(text, "leave_out_summary", summary=summary, block=_index(block))

    def _weights(self, text: str, page: str, block: str, head: str, *weights: float) -> Any:
        """There is a slider for each scale of the model with the most."""
        own = weights[: self._of(page).scales]
        return _append(text, "set_mixing_weights", weights=own, block=_index(block), head=_index(head))

    def _of(self, page: str) -> Sizes:
        source = self._results.asked(page)
        if source is None:
            raise gr.Error("Choose a picture first.", print_exception=False)
        return sizes_of(self._results.models[source.model])

    def _region(self, text: str, block: str, event: gr.EventData) -> Any:
        """The region that was drawn takes the place of an earlier one of the same block."""
        place = _index(block)
        kept = [i for i in _read(text) if not (isinstance(i, Restrict) and i.block == place)]
        if not event._data["tokens"]:
            return to_json(kept)
        return _append(to_json(kept), "restrict", block=place, **event._data)

    def drawn(self, page: str, text: str, block: str) -> Any:
        """What the region's picture shows."""
        current = self._results.asked(page)
        if current is None:
            return gr.skip()
        try:
            interventions = from_json(text)
        except InterventionError:
            return gr.skip()  # it is being written
        return region_of(self._results.of(current).manifest, interventions, block)

    def listen(self, page: gr.Textbox, clear: gr.Button, own: dict[str, Any], busy: dict[str, Any]) -> None:
        """Connect them; ``page`` holds what is on the screen, see :meth:`Source.text`; ``own`` and ``busy`` are options
        of all events, and of those that may run a model."""
        place = [self.block, self.head]
        streams = [self.text, *place, self.scale, self.stream, self.value, self.relative]
        self.add_stream.click(self._stream, streams, self.text, **own)
        self.add_filter.click(
            self._filter, [self.text, page, *place, self.filter, self.low, self.high], self.text, **own
        )
        self.add_summary.click(self._summary, [self.text, self.block, self.summary], self.text, **own)
        self.add_weights.click(self._weights, [self.text, page, *place, *self.weights], self.text, **own)
        # Each stroke, in turn: it brings all that is drawn. Gradio drops or repeats those that come too soon otherwise.
        self.region.draw(self._region, [self.text, self.block], self.text, trigger_mode="multiple", **own)
        # Not whenever the list changes: a stroke is in the picture before it is in the list, and the next may follow.
        told = [page, self.text, self.block]
        latest = own | busy | {"trigger_mode": "always_last"}
        gr.on([self.text.input, self.text.blur, self.block.change], self.drawn, told, self.region, **latest)
        clear.click(lambda: "[]", None, self.text, **own).then(self.drawn, told, self.region, **own, **busy)


def _numbered(count: int) -> list[str]:
    return [EVERY, *map(str, range(1, count + 1))]


def region_of(manifest: Manifest, interventions: Iterable[Intervention], block: str) -> dict[str, Any]:
    """Value of :class:`RegionView`."""
    place, grid = _index(block), manifest.grid
    regions = [i for i in interventions if isinstance(i, Restrict) and i.block == place and i.grid == grid]
    # The number tells the browser that this is news: what was drawn since, it has told the server and not this value.
    return manifest.json(tokens=regions[-1].tokens if regions else (), number=next(_numbers))


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
    """The list with one more intervention, from what the controls say."""
    return to_json([*_read(text), *_read(json.dumps([{"kind": kind, **fields}]))])
