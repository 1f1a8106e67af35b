"""The upload field: hands the file on unopened, so that our own reader judges it and words the refusal."""

from typing import Any

import gradio as gr
from gradio.data_classes import ImageData


class Picture(gr.Image):
    """An image input whose value is the path of the uploaded file.

    Gradio's own image input opens the file before any handler runs, and a file that is no picture ends as a bare
    "Error". Here the bytes reach :func:`dsp_viz.images.read_image` untouched.
    """

    is_template = True  # the browser keeps treating it as an image input

    def preprocess(self, payload: ImageData | None) -> Any:
        return None if payload is None else payload.path
