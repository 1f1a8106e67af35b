"""The tabs that show parts of DSP-Attention: spectral filters, dynamic coefficients, mixing weights."""

from collections.abc import Callable

import gradio as gr
import numpy as np
import plotly.graph_objects as go
from gradio.components import Component

from ... import spectrum
from ...figures import filters, screen
from ...subject import Subject
from .. import views
from ..kept import Kept, dsp_blocks
from ..results import Results
from . import Shown, Values
from .drawings import Drawings
from .place import Place, named, nearest

ABOUT_FILTERS = """<div class="aside">Each head filters its queries and keys over the token grid, with one filter for
the positive and one for the negative polarity. Zero frequency is in the middle of each panel; gain 1 leaves a
frequency unchanged. <b>Filters belong to the model: they are the same for every picture.</b></div>"""
ABOUT_COEFFICIENTS = """<div class="aside">How much each head uses the same- and the opposite-signed stream of each
scale, <b>for this picture</b>: set by the context encoder from the global mean, a recurrent and a self-attention
summary. 1 is the value at initialisation.</div>"""
ABOUT_WEIGHTS = """<div class="aside">The share of each scale in what a head passes on. <b>Mixing weights belong to the
model: they are the same for every picture.</b> In training they follow the gradient of the loss for each scale's
weight; hover to see the tracked share.</div>"""


class _Part:
    """What the three have in common: they fit models with DSP-Attention, and show one block and head of it."""

    inputs: list[Component] = []  # noqa: RUF012 (nothing is ever added)
    outputs: list[Component]

    def __init__(self, results: Results, about: str) -> None:
        gr.HTML(about)
        self.place = Place(results)

    def fits(self, model: Subject, kept: Kept | None = None) -> bool:
        """All of its layers may have been refused."""
        return views.is_dsp(model) if kept is None else bool(dsp_blocks(kept.result))

    def follow(self, model: Subject) -> Values:
        return {}


class Filters(_Part):
    """The filters of one block in words, their magnitude, phase, profile and kernel, and the spectrum of q and k."""

    name, title = "filters", "Spectral filters"

    def __init__(self, results: Results) -> None:
        super().__init__(results, ABOUT_FILTERS)
        self._drawings = Drawings()
        self.told = gr.HTML(elem_id="told")
        self.gain = gr.Plot(label="Filter magnitudes", elem_id="gain")
        with gr.Row(equal_height=False):
            self.radial = gr.Plot(label="Radial profile of the gain", elem_id="radial", min_width=320)
            self.power = gr.Plot(label="Spectrum of q and k for this picture", elem_id="power", min_width=320)
        self.phase = gr.Plot(label="Filter phases", elem_id="phase")
        self.kernel = gr.Plot(label="Filters as kernels in space", elem_id="kernel")
        self.outputs = [*self.place.outputs, self.told, self.gain, self.radial, self.power, self.phase, self.kernel]

    def show(self, shown: Shown, values: Values) -> Values:
        shown = nearest(shown)
        (block, parts), head = dsp_blocks(shown.kept.result)[shown.block], shown.head
        spectra, grid = spectrum.full_spectrum(parts.filters), block.grid.size
        gain, phase = spectra.abs(), spectra.angle().numpy()
        of_model: dict[gr.Plot, Callable[[], go.Figure]] = {
            self.gain: lambda: filters.filter_gain(gain.numpy(), phase, head=head),
            self.radial: lambda: filters.radial_gain(spectrum.radial_profile(gain).numpy(), head=head),
            self.phase: lambda: filters.filter_phase(phase, head=head),
            self.kernel: lambda: filters.filter_kernel(
                spectrum.spatial_kernel(parts.filters, *grid).numpy(), head=head
            ),
        }
        place = shown.kept.source.model, shown.block, head, grid
        return {
            **self.place.show(shown),
            self.told: views.filters(spectrum.characters(parts.filters), head),
            self.power: filters.power_spectrum(shown.kept.powers[shown.block], head),
            **{plot: self._drawings.of((plot.elem_id, *place), draw) for plot, draw in of_model.items()},
        }


class Coefficients(_Part):
    """Coefficients of all blocks, and which summary of the picture moves them."""

    name, title = "coefficients", "Coefficients"

    def __init__(self, results: Results) -> None:
        super().__init__(results, ABOUT_COEFFICIENTS)
        self.dynamic = gr.Plot(label="Dynamic coefficients", elem_id="dynamic")
        self.influence = gr.Plot(label="What moves them: each summary left out", elem_id="influence")
        self.outputs = [*self.place.outputs, self.dynamic, self.influence]

    def show(self, shown: Shown, values: Values) -> Values:
        shown = nearest(shown)
        coefficients = [b.coefficients[0].float().numpy() for b, _ in dsp_blocks(shown.kept.result).values()]
        names, chosen = named(shown)
        moved = np.stack(list(shown.kept.influence.values()))
        return {
            **self.place.show(shown),
            self.dynamic: screen.coefficients(coefficients, names, chosen=chosen),
            self.influence: screen.summary_influence(moved, ("global mean", "LSTM", "self-attention"), names),
        }


class Weights(_Part):
    """Mixing weights of all blocks."""

    name, title = "weights", "Mixing weights"

    def __init__(self, results: Results) -> None:
        super().__init__(results, ABOUT_WEIGHTS)
        self._drawings = Drawings()
        self.mixing = gr.Plot(label="Mixing weights", elem_id="mixing")
        self.outputs = [*self.place.outputs, self.mixing]

    def show(self, shown: Shown, values: Values) -> Values:
        shown = nearest(shown)
        names, chosen = named(shown)

        def draw() -> go.Figure:
            blocks = dsp_blocks(shown.kept.result).values()
            weights = [b.weights[0].float().numpy() for b, _ in blocks]
            tracked = [parts.ema.float().numpy() for _, parts in blocks]
            return screen.mixer_weights(weights, names, tracked=tracked, chosen=chosen)

        return {
            **self.place.show(shown),
            self.mixing: self._drawings.of((shown.kept.source.model, *chosen), draw),
        }
