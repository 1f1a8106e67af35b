"""The tab that shows how filters, coefficients and mixing weights evolved in training."""

from typing import Any

import gradio as gr
import torch

from .. import figures, filter_figures, maps
from .results import Results, Source

ABOUT = """<div class="aside">How the model came to be: filters of the chosen block, coefficients and mixing weights
after each epoch of training, of the averaged weights. Coefficients are means over 64 validation pictures. Colours
mean the same at every epoch.</div>"""


class History:
    """Contents of the tab.

    Args:
        results: see :class:`Results`.
    """

    def __init__(self, results: Results) -> None:
        self._results = results
        self.about = gr.HTML(ABOUT)
        self.epoch = gr.Slider(1, 2, value=2, step=1, label="After epoch", visible=False, elem_id="epoch")
        self.plots = [
            gr.Plot(label="Filter magnitudes", elem_id="past-gain"),
            gr.Plot(label="Mean coefficients", elem_id="past-coefficients"),
            gr.Plot(label="Mixing weights", elem_id="past-weights"),
        ]

    def open(self, current: Source | None, block: int) -> tuple[Any, ...]:
        """The end of the training of the model that is on the screen."""
        past = {} if current is None else self._results.models[current.model].history
        if current is None or not past:
            name = "This model" if current is None else current.model
            nothing = f'<div class="aside">{name} comes without snapshots of its training.</div>'
            return nothing, gr.update(visible=False), *(gr.update(visible=False),) * 3
        last = len(past["filters"])
        return ABOUT, gr.update(maximum=last, value=last, visible=True), *self.at(current, last, block)

    def at(self, current: Source | None, epoch: int, block: int) -> tuple[Any, ...]:
        """The figures after an epoch, counted from 1."""
        past = {} if current is None else self._results.models[current.model].history
        if not past:
            return (gr.skip(),) * 3
        i = min(max(int(epoch), 1), len(past["filters"])) - 1
        b = min(block, past["filters"].shape[1] - 1)
        spectra = maps.full_spectrum(torch.view_as_complex(torch.from_numpy(past["filters"][:, b])))
        gains = spectra.abs().numpy()
        drawn = (
            filter_figures.filter_gain(gains[i], spectra[i].angle().numpy(), among=gains),
            figures.coefficients(past["coefficients"][i], among=past["coefficients"]),
            figures.mixer_weights(past["weights"][i]),
        )
        return tuple(gr.update(value=figure, visible=True) for figure in drawn)

    def listen(self, tab: gr.Tab, current: gr.State, block: gr.State, **options: Any) -> None:
        """Follow the slider and the tab that is opened."""
        tab.select(self.open, [current, block], [self.about, self.epoch, *self.plots], **options)
        self.epoch.input(self.at, [current, self.epoch, block], self.plots, **options)
