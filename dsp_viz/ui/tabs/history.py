"""The tab that shows how filters, coefficients and mixing weights evolved in training."""

from collections.abc import Callable

import gradio as gr
import plotly.graph_objects as go
import torch

from ... import spectrum
from ...figures import filters, screen
from ...subject import Subject
from ..kept import Kept, dsp_blocks
from ..results import Results
from . import Shown, Values
from .drawings import Drawings
from .place import Place, named, nearest

ABOUT = """<div class="aside">How the model changed in training: filters of the chosen block, coefficients and mixing
weights after each epoch, taken from the averaged weights. Coefficients are means over 64 validation pictures. Colours
mean the same at every epoch.</div>"""


class Epochs(gr.Slider):
    """A slider that takes any number: while it is hidden, the page sends its value for another model."""

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
        self._drawings = Drawings()
        gr.HTML(ABOUT)
        self.place = Place(results)
        self.epoch = Epochs(1, 2, value=1, step=1, label="After epoch", elem_id="epoch")
        self.plots = [
            gr.Plot(label="Filter magnitudes", elem_id="past-gain"),
            gr.Plot(label="Mean coefficients", elem_id="past-coefficients"),
            gr.Plot(label="Mixing weights", elem_id="past-weights"),
        ]
        self.inputs = [self.epoch]
        self.outputs = [*self.place.outputs, self.epoch, *self.plots]

    def fits(self, model: Subject, kept: Kept | None = None) -> bool:
        """It is kept of each layer with DSP-Attention; one that was refused would shift all others."""
        if not model.history:
            return False
        return kept is None or len(dsp_blocks(kept.result)) == len(model.history["filters"])

    def follow(self, model: Subject) -> Values:
        """The slider stands at the end of the model's training."""
        if not model.history:
            return {}
        last = len(model.history["filters"][0])
        return {self.epoch: gr.update(maximum=last, value=last)}

    def show(self, shown: Shown, values: Values) -> Values:
        """The figures after an epoch, counted from 1."""
        name = shown.kept.source.model
        past = self._results.models[name].history
        i = min(max(int(values[self.epoch]), 1), len(past["filters"][0])) - 1
        shown = nearest(shown)
        names, chosen = named(shown)

        def gain() -> go.Figure:
            learned = torch.view_as_complex(torch.from_numpy(past["filters"][chosen[0]]))
            spectra = spectrum.full_spectrum(learned)
            gains = spectra.abs().numpy()
            return filters.filter_gain(gains[i], spectra[i].angle().numpy(), head=shown.head, among=gains)

        draw: tuple[Callable[[], go.Figure], ...] = (
            gain,
            lambda: screen.coefficients(
                [layer[i] for layer in past["coefficients"]], names, chosen=chosen, among=past["coefficients"]
            ),
            lambda: screen.mixer_weights([layer[i] for layer in past["weights"]], names, chosen=chosen),
        )
        made = {
            plot: self._drawings.of((plot.elem_id, name, i, *chosen), each)
            for plot, each in zip(self.plots, draw, strict=True)
        }
        return self.place.show(shown) | made
