"""The tab that shows what heads do over a data set, and the pictures behind each number."""

from typing import Any

import gradio as gr

from ...subject import Subject
from ..kept import Kept
from ..results import Results
from ..theme import ATLAS_JAVASCRIPT, ATLAS_MARKUP
from . import Shown, Values

ABOUT = """<div class="aside">What heads, coefficients and mixing weights do over a data set, <b>from a survey</b> that
was made before. Choose a number; a click on a dot or a row shows how it is distributed, and the pictures with the least
and the most of it; a click on a picture opens it at that block and head.</div>"""


class AtlasView(gr.HTML):
    """Shows the survey that its value names; fetches what it needs, see :mod:`dsp_viz.ui.atlas_routes`.

    The value: ``key`` of the survey, ``model`` and ``digest`` that it is of, ``chosen``: the model of the page,
    ``own``: whether that is the surveyed one; ``offered``: whether the app has it, else ``why`` not; ``side`` and
    ``whole`` of its inputs.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(html_template=ATLAS_MARKUP, js_on_load=ATLAS_JAVASCRIPT, **arguments)


class Atlas:
    """Contents of the tab.

    Args:
        results: see :class:`Results`.
    """

    name, title = "atlas", "Atlas"
    inputs: list[Any] = []  # noqa: RUF012 (nothing is ever added)

    def __init__(self, results: Results) -> None:
        self._results = results
        gr.HTML(ABOUT)
        self.view = AtlasView(elem_id="atlas")
        self.outputs = [self.view]

    def fits(self, model: Subject, kept: Kept | None = None) -> bool:
        """Of a survey of another model the tab says so: it can be looked at all the same."""
        return self._results.surveyed is not None

    def follow(self, model: Subject) -> Values:
        return {}

    def show(self, shown: Shown, values: Values) -> Values:
        surveyed = self._results.surveyed
        if surveyed is None:
            return {}
        model = self._results.models.get(surveyed.model)
        chosen = shown.kept.source.model
        offered = model is not None and model.digest == surveyed.digest
        return {
            self.view: {
                "key": surveyed.key,
                "model": surveyed.model,
                "digest": surveyed.digest,
                "side": surveyed.side,
                "whole": surveyed.whole,
                "chosen": chosen,
                "own": offered and chosen == surveyed.model,
                "offered": offered,
                "why": "" if offered else "has other weights" if model else "is not offered",
            }
        }
