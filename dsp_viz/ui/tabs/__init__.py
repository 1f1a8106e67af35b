"""The tabs, one class each. A tab says which models it fits, and draws only while it is open."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from ...subject import Subject
from ..kept import Kept
from ..results import Results

#: What the components of the page hold, by component: what handlers get, and what they return.
Values = dict[Any, Any]


@dataclass(frozen=True)
class Shown:
    """What is on the screen: a result, and which block and head of it are looked at, from 0."""

    kept: Kept
    block: int
    head: int


class Tab(Protocol):
    """A tab; its components are made when it is, within ``gr.Tab``.

    Attributes:
        name: what links call it. title: what the screen calls it. inputs: components whose values ``show`` reads.
        outputs: components that ``show`` or ``follow`` may change.
    """

    name: str
    title: str

    def __init__(self, results: Results) -> None: ...

    @property
    def inputs(self) -> Sequence[Component | Block]: ...

    @property
    def outputs(self) -> Sequence[Component | Block]: ...

    def fits(self, model: Subject, kept: Kept | None = None) -> bool:
        """Whether the tab has anything to show of a model, and of a result of it, once there is one."""
        ...

    def follow(self, model: Subject) -> Values:
        """What changes with the model, whether the tab is open or not: what is offered."""
        ...

    def show(self, shown: Shown, values: Values) -> Values:
        """What is drawn when the tab is opened, and while it is open when a result comes."""
        ...


def drawn(figure: Any) -> Any:
    """A plot that may have been hidden."""
    return gr.update(value=figure, visible=True)


def together(first: Values, then: Values) -> Values:
    """Two answers as one. Where both are of a component, and the second updates it, what that does not say stays."""
    told = first | then
    for component in first.keys() & then.keys():
        before, after = first[component], then[component]
        if _updates(after):
            told[component] = (before if _updates(before) else {"value": before}) | after
    return told


def _updates(said: Any) -> bool:
    return isinstance(said, dict) and said.get("__type__") == "update"
