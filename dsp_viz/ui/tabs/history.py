"""The tab that shows how filters, coefficients and mixing weights evolved in training."""

from typing import Any

import gradio as gr
import torch

from ... import figures, filter_figures, spectrum
from ...checkpoint import LoadedModel
from ..results import Results
from . import Shown, Values

ABOUT = """<div class="aside">How the model came to be: filters of the chosen block, coefficients and mixing weights
after each epoch of training, of the averaged weights. Coefficients are means over 64 validation pictures. Colours
mean the same at every epoch.</div>"""


class Epochs(gr.Slider):
    """A slider that takes any number: while it is hidden the page sends what it said of another model."""

    is_template = True

    def preprocess(self, payload: float) -> float:
        return payload


class History:
    """Contents of the tab.

    Args:
        results: see :class:`Results`.
    """

    name, title = "history", "Training"

    def __init__(self, results: Results) -> None:
        self._results = results
        gr.HTML(ABOUT)
        self.epoch = Epochs(1, 2, value=1, step=1, label="After epoch", elem_id="epoch")
        self.plots = [
            gr.Plot(label="Filter magnitudes", elem_id="past-gain"),
            gr.Plot(label="Mean coefficients", elem_id="past-coefficients"),
            gr.Plot(label="Mixing weights", elem_id="past-weights"),
        ]
        self.inputs = [self.epoch]
        self.outputs = [self.epoch, *self.plots]

    def fits(self, model: LoadedModel) -> bool:
        return bool(model.history)

    def follow(self, model: LoadedModel) -> Values:
        """The slider stands at the end of the model's training."""
        if not model.history:
            return {}
        last = len(model.history["filters"])
        return {self.epoch: gr.update(maximum=last, value=last)}

    def show(self, shown: Shown, values: Values) -> Values:
        """The figures after an epoch, counted from 1."""
        past = self._results.models[shown.source.model].history
        i = min(max(int(values[self.epoch]), 1), len(past["filters"])) - 1
        spectra = spectrum.full_spectrum(torch.view_as_complex(torch.from_numpy(past["filters"][:, shown.block])))
        gains = spectra.abs().numpy()
        made: tuple[Any, ...] = (
            filter_figures.filter_gain(gains[i], spectra[i].angle().numpy(), among=gains),
            figures.coefficients(past["coefficients"][i], among=past["coefficients"]),
            figures.mixer_weights(past["weights"][i]),
        )
        return dict(zip(self.plots, made, strict=True))
