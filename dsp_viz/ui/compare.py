"""The tab that sets any map of one result beside any map of another."""

import logging
from typing import Any

import gradio as gr

from ..images import ImageError
from . import views
from .results import Results, Source
from .theme import COMPARE_JAVASCRIPT, COMPARE_MARKUP

_log = logging.getLogger("dsp_viz")

#: The first choice of picture: the one that is on the screen.
CURRENT = "the picture on the left"

ABOUT = """<div class="aside">Any picture and model beside any other, for the same place of the picture. Maps of linear
attention and of softmax attention are rebuilt in the same way, row by row, from the thin factors of each.</div>"""


class CompareView(gr.HTML):
    """Shows two results, ``{"a": manifest, "b": manifest}``, see :meth:`dsp_viz.ui.results.Results.of`.

    With ``"names"``, the two sides are called so instead of A and B.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(html_template=COMPARE_MARKUP, js_on_load=COMPARE_JAVASCRIPT, **arguments)


class Comparison:
    """Contents of the tab.

    Args:
        results: see :class:`Results`.
    """

    def __init__(self, results: Results) -> None:
        self._results = results
        pictures = [CURRENT, *results.examples]
        models = list(results.models)
        gr.HTML(ABOUT)
        with gr.Row():
            self.choices = [
                gr.Dropdown(pictures, value=CURRENT, label="Picture A", min_width=140),
                gr.Dropdown(models, value=models[0], label="Model A", min_width=140),
                gr.Dropdown(
                    pictures, value=CURRENT if len(models) > 1 else pictures[-1], label="Picture B", min_width=140
                ),
                gr.Dropdown(models, value=models[-1], label="Model B", min_width=140),
            ]
        self.message = gr.HTML(elem_id="compare-message")
        self.view = CompareView(elem_id="compare")

    def show(self, current: Source | None, *choices: str) -> tuple[Any, Any]:
        """Both sides of what is chosen, given what is on the screen."""
        if current is None:
            return "", gr.skip()
        try:
            first, second = (
                self._results.of(
                    current._replace(
                        path=current.path if picture == CURRENT else self._results.examples[picture], model=model
                    )
                )[1]
                for picture, model in (choices[:2], choices[2:])
            )
        except ImageError as error:
            _log.warning("refused a picture: %s", error)
            return views.notice(str(error)), gr.skip()
        return "", {"a": first, "b": second}

    def listen(self, tabs: gr.Tabs, tab: gr.Tab, current: gr.State, **options: Any) -> None:
        """Follow the choices, the tab that is opened, and while it is open what is on the screen."""
        opened = gr.State("")
        inputs, outputs = [current, *self.choices], [self.message, self.view]

        def note(event: gr.SelectData) -> str:
            return str(event.value)

        def follow(label: str, *values: Any) -> tuple[Any, Any]:
            return self.show(*values) if label == tab.label else ("", gr.skip())

        tabs.select(note, None, opened, api_visibility="private", show_progress="hidden", queue=False)
        gr.on([tab.select, *(choice.input for choice in self.choices)], self.show, inputs, outputs, **options)
        current.change(follow, [opened, *inputs], outputs, **options)
