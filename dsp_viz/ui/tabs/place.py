"""Which block and head is looked at: the controls for it that some tabs share, and how many a model has."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import gradio as gr

from ...kinds.dsp import dsp_layers
from ...subject import Subject
from ..kept import dsp_blocks
from ..results import Results
from ..stages import block_names, levels
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


def nearest(shown: Shown) -> Shown:
    """What is looked at, or the block with DSP-Attention that is nearest to it.

    Raises:
        ValueError: there is none.
    """
    blocks = dsp_blocks(shown.kept.result)
    block = min(blocks, key=lambda index: abs(index - shown.block))
    return replace(shown, block=block, head=min(shown.head, blocks[block][0].coefficients.shape[1] - 1))


def named(shown: Shown) -> tuple[list[str], tuple[int, int]]:
    """What the blocks with DSP-Attention are called, and which of them, and which head, is looked at."""
    every, offered = block_names(shown.kept.manifest.layers), list(dsp_blocks(shown.kept.result))
    return [every[i] for i in offered], (offered.index(shown.block), shown.head)


class Place:
    """Controls, the same on each tab that depends on them; they move the view of the maps, and follow it.

    Stages are offered where the blocks have several; which block of a stage is counted within it.

    Args:
        results: see :class:`Results`.
    """

    def __init__(self, results: Results) -> None:
        most = most_of(results)
        with gr.Row(elem_classes="place"):
            self.stage = gr.Dropdown([("1", 0)], value=0, label="Stage shown", min_width=130, visible=False)
            self.block = gr.Dropdown(_numbered(range(most.blocks)), value=0, label="Block shown", min_width=90)
            self.head = gr.Dropdown(_numbered(range(most.heads)), value=0, label="Head shown", min_width=90)
        self.outputs = [self.stage, self.block, self.head]
        silent: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        for control in (self.stage, self.block):  # a stage stands for its first block
            control.input(None, control, None, js=LOOK.format("block"), **silent)
        self.head.input(None, self.head, None, js=LOOK.format("head"), **silent)

    def show(self, shown: Shown) -> Values:
        """What is looked at, of the blocks with DSP-Attention, wherever it was chosen, and what else there is."""
        where = levels(shown.kept.manifest.layers)
        offered = list(dsp_blocks(shown.kept.result))
        own = [i for i in offered if where[i].stage == where[shown.block].stage]
        stages = {where[i].stage: i for i in reversed(offered)}  # the first block of each
        layers = shown.kept.manifest.layers
        named = [("{}: {}×{}".format(stage + 1, *layers[first].grid), first) for stage, first in sorted(stages.items())]
        several = len({stage for stage, _ in where}) > 1
        return {
            self.stage: gr.update(choices=named, value=stages[where[shown.block].stage], visible=several),
            self.block: gr.update(choices=[(str(where[i].block + 1), i) for i in own], value=shown.block),
            self.head: gr.update(choices=_numbered(range(layers[shown.block].heads)), value=shown.head),
        }


def _numbered(indices: Sequence[int]) -> list[tuple[str, int]]:
    return [(str(index + 1), index) for index in indices]
