"""What a link is of: the picture, the model and the size that an address of the page asks for."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import gradio as gr
from PIL import Image

from .kept import Source
from .results import Results


class Links:
    """Reads addresses.

    Args:
        results: see :class:`Results`. examples: pictures to offer; the first stands in for what is not there.
        demo: the Blocks, which delete uploads.
    """

    def __init__(self, results: Results, examples: Sequence[Path], demo: gr.Blocks) -> None:
        self._results, self._examples, self._demo = results, examples, demo

    def source(self, asked: Mapping[str, str]) -> tuple[Source, str]:
        """The source that an address asks for, by its keys, and what to say where it is another."""
        models = self._results.models
        model = asked.get("model", next(iter(models)))
        if model not in models:
            gone = f"The link's model, {model[:60]}, is not offered here. Here is another instead."
            return self._first(), gone
        name = asked.get("picture", next(iter(self._results.examples)))
        sides = self._results.sides(model)
        path = self._results.named(name)
        if path is not None:
            side = sides.get(f"{asked.get('side')} px", next(iter(sides.values())))
            return Source(path, side, asked.get("whole") == "true", model), ""
        linked = self._results.linked(name)
        if linked is None:
            gone = "The link's picture is no longer kept: uploads live for a while only. Here is an example instead."
            return self._first(), gone
        self._demo.upload_file_set.add(linked.path)  # deleted with the uploads
        with Image.open(linked.path) as seen:
            width, height = seen.size
        return linked, f"The link holds what the model saw, {width}×{height} pixels: a larger side shows no more of it."

    def _first(self) -> Source:
        model = next(iter(self._results.models.values()))
        return Source(str(self._examples[0]), model.preparation.side, False, model.name)
