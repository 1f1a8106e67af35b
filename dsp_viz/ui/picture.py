"""The upload field: hands the file on unopened, so that our own reader judges it and words the refusal."""

from collections.abc import Callable
from typing import Any

import gradio as gr
from gradio.data_classes import ImageData


class Picture(gr.Image):
    """An image input whose value is the path of the uploaded file.

    Gradio's own image input opens the file before any handler runs, and a file that is no picture ends as a bare
    "Error". Here the bytes reach :mod:`dsp_viz.decoding` untouched.

    Attributes:
        readable: takes the path that a client sent and returns it if it may be read, or raises gradio.Error: a client
            can send any path of this machine. To be set on each field; Gradio reads a component's arguments off its
            constructor, so it is none of these.
    """

    is_template = True  # the browser keeps treating it as an image input
    readable: Callable[[str], str]

    def preprocess(self, payload: ImageData | None) -> Any:
        return None if payload is None or payload.path is None else self.readable(payload.path)
