"""The tab that shows every head of every layer at a glance."""

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr
from gradio.components import Component

from ...subject import Subject
from ..kept import Kept
from ..results import Results
from ..theme import OVERVIEW_JAVASCRIPT, OVERVIEW_MARKUP
from . import Shown, Values


class OverviewView(gr.HTML):
    """Shows what its value, a manifest, points to, see :class:`dsp_viz.ui.kept.Manifest`; draws everything itself.

    What is asked it takes from the view of the maps, and a click on a head opens that view. Its event ``lost`` tells
    that the result is no longer kept, and that its picture is to be analysed again.
    """

    lost: Callable[..., Any]

    def __init__(self, **arguments: Any) -> None:
        super().__init__(html_template=OVERVIEW_MARKUP, js_on_load=OVERVIEW_JAVASCRIPT, **arguments)


class Overview:
    """Contents of the tab.

    Args:
        results: see :class:`Results`.
    """

    name, title = "overview", "Overview"
    inputs: Sequence[Component] = ()

    def __init__(self, results: Results) -> None:
        self.view = OverviewView(elem_id="overview")
        self.outputs = [self.view]

    def fits(self, model: Subject, kept: Kept | None = None) -> bool:
        return True

    def follow(self, model: Subject) -> Values:
        return {}

    def show(self, shown: Shown, values: Values) -> Values:
        """Any result: the layers that are not shown are in no manifest."""
        return {self.view: shown.kept.manifest.json()}
