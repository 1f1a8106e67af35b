"""What programs and language models call: one function, over Gradio's API and MCP."""

import json
import logging
from typing import Any

import gradio as gr

from ..faults import ModelError
from ..images import ImageError
from ..interventions import KINDS, InterventionError, from_json
from . import views
from .answers import Answers
from .blocks import API
from .kept import Source
from .picture import Picture
from .results import Results

_log = logging.getLogger("dsp_viz")


class InterventionList(gr.JSON):
    """A JSON field whose schema says that it holds a list of objects; Gradio's own says nothing, which MCP refuses."""

    def api_info(self) -> dict[str, Any]:
        kinds = {"kind": {"type": "string", "enum": list(KINDS)}}
        item = {"type": "object", "properties": kinds, "required": ["kind"]}
        return {"type": "array", "items": item, "description": "interventions, in the order in which they act"}


def add(results: Results, busy: dict[str, Any]) -> None:
    """Add the endpoint to the Blocks that are being built; ``busy``: options of events that may run a model."""
    first, answers = next(iter(results.models)), Answers()

    def analyse_picture(
        picture: str | None, model: str = first, interventions: list[Any] | str | None = None
    ) -> dict[str, Any]:
        """Analyse a picture.

        Args:
            picture: a picture file, as a data: URL: JPEG, PNG, WebP, AVIF, GIF, BMP or TIFF, of at most 25 megapixels.
            model: its name, one of those that the app offers; by default the first.
            interventions: what to change in the pass, a list of objects such as
                {"kind": "set_coefficient", "value": 0, "block": 2, "head": 1}; by default nothing.

        Returns:
            The five best classes with their probabilities, whether the model is not sure ("unsure"), the coefficients
            of every block, head, scale and stream, the mixing weights of every block, head and scale, and the token
            grid.
        """
        if picture is None:
            raise gr.Error("Send a picture as `picture`.", print_exception=False)
        if model not in results.models:
            known = ", ".join(results.models)
            raise gr.Error(f"No model {str(model)[:60]!r}: one of {known}.", print_exception=False)
        text = interventions if isinstance(interventions, str) else json.dumps(interventions or [])
        side = results.models[model].preparation.side
        try:
            source = Source(picture, side, False, model, interventions=from_json(text))
            return answers.of(source, results.models[model].digest, lambda own: views.summary(results.analysed(own)[0]))
        except (ImageError, InterventionError, ModelError) as error:
            _log.warning("refused a request: %.300s", error)
            raise gr.Error(str(error), print_exception=False) from error

    sent = Picture(label="picture", visible=False)
    name = gr.Textbox(first, label="model", visible=False)
    changes = InterventionList([], label="interventions", visible=False)
    answer = gr.JSON(label="analysis", visible=False)
    gr.Button(visible=False).click(analyse_picture, [sent, name, changes], answer, api_name=API, **busy)
