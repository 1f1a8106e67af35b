"""The upload field, and which files a client may name."""

import os
import stat
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import ImageData
from gradio.utils import get_upload_folder, is_static_file


class Picture(gr.Image):
    """An image input whose value is the path of the uploaded file.

    Gradio's own image input opens the file before any handler runs, and a file that is not a picture ends as a bare
    "Error". Here the bytes reach :mod:`dsp_viz.decoding` untouched.
    """

    is_template = True  # the browser keeps treating it as an image input

    def preprocess(self, payload: ImageData | None) -> Any:
        return None if payload is None or payload.path is None else uploaded(payload.path)


def uploaded(path: str) -> str:
    """A path that a client sent: of an example, or of an upload, resolved. A client can send any path of this machine.

    Raises:
        gradio.Error: it leads to anything but a regular file in the upload folder, or to nothing.
    """
    if is_static_file(path):
        return path
    try:
        real = os.path.realpath(path)
        inside = Path(real).is_relative_to(os.path.realpath(get_upload_folder()))
        readable = inside and stat.S_ISREG(os.stat(real).st_mode)
        if readable:
            os.utime(real)  # its hour begins anew
    except (OSError, ValueError) as error:  # not there, or no path at all
        gone = "This picture is no longer kept: uploads live for an hour after their last use. Choose it again."
        raise gr.Error(gone, print_exception=False) from error
    if not readable:
        raise gr.Error("Only pictures that were uploaded here can be read. Upload it.", print_exception=False)
    return real
