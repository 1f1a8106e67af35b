"""The tab that sets any map of one result beside any map of another."""

import logging
from collections.abc import Callable
from typing import Any

import gradio as gr

from ...faults import ModelError
from ...images import ImageError
from ...subject import Subject
from .. import views
from ..kept import Kept
from ..results import Results
from ..theme import COMPARE_JAVASCRIPT, COMPARE_MARKUP
from . import Shown, Values

_log = logging.getLogger("dsp_viz")

#: The first choice of picture: the one that was analysed last.
CURRENT = "the picture on the left"

ABOUT = """<div class="aside">Compare any picture and model with any other, for the same place of the picture. The
attention maps of both are rebuilt in the same way, row by row, from thin factors, whatever the attention.</div>"""


class CompareView(gr.HTML):
    """Shows two results, ``{"a": manifest, "b": manifest}``, see :class:`dsp_viz.ui.kept.Manifest`.

    With ``"names"``, the two sides are called so instead of A and B. Its event ``lost`` asks for both again.
    """

    lost: Callable[..., Any]

    def __init__(self, **arguments: Any) -> None:
        super().__init__(html_template=COMPARE_MARKUP, js_on_load=COMPARE_JAVASCRIPT, **arguments)


class Comparison:
    """Contents of the tab.

    Args:
        results: see :class:`Results`.
    """

    name, title = "compare", "Compare"

    def __init__(self, results: Results) -> None:
        self._results = results
        pictures = [CURRENT, *results.examples]
        models = list(results.models)
        # A model beside one that tells the same classes apart; where there is none, beside itself on another picture.
        classes = results.models[models[0]].classes
        twins = [name for name, model in results.models.items() if model.classes == classes]
        gr.HTML(ABOUT)
        self.pictures, self.models = [], []
        with gr.Row(elem_id="compared"):
            other = CURRENT if len(twins) > 1 else pictures[-1]
            for side, picture, model in (("A", CURRENT, twins[0]), ("B", other, twins[-1])):
                self.pictures.append(gr.Dropdown(pictures, value=picture, label=f"Picture {side}", min_width=140))
                self.models.append(gr.Dropdown(models, value=model, label=f"Model {side}", min_width=140))
        self.message = gr.HTML(elem_id="compare-message")
        self.view = CompareView(elem_id="compare")
        self.inputs = [*self.pictures, *self.models]
        self.outputs = [*self.pictures, *self.models, self.message, self.view]

    def fits(self, model: Subject, kept: Kept | None = None) -> bool:
        return True

    def follow(self, model: Subject) -> Values:
        return {}

    def show(self, shown: Shown, values: Values) -> Values:
        """Both sides of what is chosen, given what is on the screen."""
        # The field on the left may hold another picture by now, one that was refused: so it goes by its name.
        choices = [(f"{shown.kept.manifest.name}, the page's picture", CURRENT), *self._results.examples]
        named = dict.fromkeys(self.pictures, gr.update(choices=choices))  # no values: others may be chosen by now
        try:
            a, b = (self._of(shown, values[p], values[m]) for p, m in zip(self.pictures, self.models, strict=True))
        except (ImageError, ModelError) as error:
            _log.warning("compared nothing: %.300s", error)
            return named | {self.message: views.notice(str(error))}
        return named | {self.message: "", self.view: {"a": a, "b": b}}

    def _of(self, shown: Shown, picture: str, model: str) -> dict[str, Any]:
        """The manifest of one side: at the side in pixels that is shown, or what stands for it with another model."""
        source = shown.kept.source
        side = self._results.side_like(model, source.model, source.side)
        if picture != CURRENT:
            source = source._replace(path=self._results.examples[picture], stretch=False)
        return self._results.of(source._replace(model=model, side=side)).manifest.json()
