"""Which block and head is looked at: the controls for it that some tabs share, and how many a model has."""

import math
from typing import Any, NamedTuple

import gradio as gr

from ...kinds.dsp import dsp_layers
from ...subject import Subject
from ..results import Results
from . import Shown, Values

#: Asks the view of the maps to look elsewhere. The view tells Python, as when somebody moves in the view itself.
LOOK = "{0} => document.dispatchEvent(new CustomEvent('dsp:look', {{ detail: {{ {0} }} }}))"


class Sizes(NamedTuple):
    """How much of each a model has; ``highest``: |k| of the corner of a filter, in cycles per image."""

    blocks: int
    heads: int
    scales: int
    highest: int


def sizes_of(model: Subject) -> Sizes:
    """What can be chosen of a model's DSP-Attention; one of each where it has none."""
    layers = list(dsp_layers(model).values())
    return Sizes(
        max(1, len(layers)),
        max((layer.num_heads for layer in layers), default=1),
        max((len(layer.factors) for layer in layers), default=1),
        max((round(math.sqrt(2) * (layer.spectral.filters.modes - 1)) for layer in layers), default=1),
    )


def most_of(results: Results) -> Sizes:
    """The most that any model has. Offered at first: else Gradio refuses choices that only another model has."""
    return Sizes(*map(max, zip(*map(sizes_of, results.models.values()), strict=True)))


class Place:
    """Two controls, the same on each tab that depends on them; they move the view of the maps, and follow it.

    Args:
        results: see :class:`Results`.
    """

    def __init__(self, results: Results) -> None:
        most = most_of(results)
        with gr.Row(elem_classes="place"):
            self.block = gr.Dropdown(_numbered(most.blocks), value=0, label="Block shown", min_width=90)
            self.head = gr.Dropdown(_numbered(most.heads), value=0, label="Head shown", min_width=90)
        self.outputs = [self.block, self.head]
        silent: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        self.block.input(None, self.block, None, js=LOOK.format("block"), **silent)
        self.head.input(None, self.head, None, js=LOOK.format("head"), **silent)

    def show(self, shown: Shown) -> Values:
        """What is looked at, wherever it was chosen, and what else there is."""
        blocks = shown.kept.result.trace.blocks
        heads = blocks[shown.block].coefficients.shape[1]
        return {
            self.block: gr.update(choices=_numbered(len(blocks)), value=shown.block),
            self.head: gr.update(choices=_numbered(heads), value=shown.head),
        }


def _numbered(count: int) -> list[tuple[str, int]]:
    return [(str(number + 1), number) for number in range(count)]
