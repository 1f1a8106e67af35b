"""The tab that shows the same map on several pictures."""

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr
from gradio.components import Component

from ...subject import Subject
from ..kept import Kept
from ..results import Results
from ..theme import SEVERAL_JAVASCRIPT, SEVERAL_MARKUP
from . import Shown, Values

#: Pictures that a page shows at once, where their results are small enough, see :meth:`Results.room`.
MOST = 48

ABOUT = """<div class="aside">The same map on <b>several pictures</b>, on one scale of colours: which of them the model
is sure of, and where it looks in each. Pictures are analysed one after the other, with the page's model, size and
cutting.</div>"""


class SeveralView(gr.HTML):
    """Takes pictures, has them analysed one by one, see :mod:`dsp_viz.ui.several_routes`, and shows one map of each.

    Its value: the manifest of the page's result, see :class:`dsp_viz.ui.kept.Manifest`, from whose view it takes which
    map is shown; ``most`` pictures, ``largest`` file in bytes, names of the ``examples``, and about how many bytes the
    ``arrays`` of a picture take. Its event ``choose`` tells that the page is to show one of them: ``source``, as the
    route said it.
    """

    choose: Callable[..., Any]

    def __init__(self, **arguments: Any) -> None:
        super().__init__(html_template=SEVERAL_MARKUP, js_on_load=SEVERAL_JAVASCRIPT, **arguments)


class Several:
    """Contents of the tab.

    Args:
        results: see :class:`Results`.
    """

    name, title = "several", "Several pictures"
    inputs: Sequence[Component] = ()

    def __init__(self, results: Results) -> None:
        self._results = results
        gr.HTML(ABOUT)
        self.view = SeveralView(elem_id="several")
        self.outputs = [self.view]

    def fits(self, model: Subject, kept: Kept | None = None) -> bool:
        return True

    def follow(self, model: Subject) -> Values:
        return {}

    def show(self, shown: Shown, values: Values) -> Values:
        """What pictures are analysed with from now on, and how many may be."""
        kept, examples = shown.kept, list(self._results.examples)
        most, arrays = min(MOST, self._results.room(kept)), 2 * self._results.size(kept)  # float32 in place of float16
        largest = self._results.limits.upload
        bounds = {"most": most, "largest": largest, "examples": examples, "arrays": arrays}
        return {self.view: kept.manifest.json(**bounds)}
