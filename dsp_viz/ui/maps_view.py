"""The view of the maps: a component whose maps are rebuilt in the browser from the factors of one layer at a time."""

from collections.abc import Callable
from typing import Any

import gradio as gr

from .theme import JAVASCRIPT, MARKUP


class MapsView(gr.HTML):
    """Shows what its value, a manifest, points to; draws everything itself.

    The manifest: see :class:`dsp_viz.ui.kept.Manifest`, with ``view``, the part of a link that restores the
    settings, or None. Of its two events ``pick`` tells that another block or head is looked at, and ``lost`` that the
    result is no longer kept, and that its picture is to be analysed again.
    """

    pick: Callable[..., Any]
    lost: Callable[..., Any]

    def __init__(self, **arguments: Any) -> None:
        super().__init__(html_template=MARKUP, js_on_load=JAVASCRIPT, **arguments)
