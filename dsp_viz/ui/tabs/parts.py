"""The tabs that show parts of DSP-Attention: spectral filters, dynamic coefficients, mixing weights."""

import gradio as gr
from gradio.components import Component

from ...checkpoint import LoadedModel
from .. import views
from ..results import Results
from . import Shown, Values

ABOUT_FILTERS = """<div class="aside">Each head filters its queries and keys over the token grid, with one filter for
the positive and one for the negative polarity. Zero frequency is in the middle of each panel; gain 1 leaves a
frequency unchanged. <b>Filters belong to the model: they are constant over pictures.</b></div>"""
ABOUT_COEFFICIENTS = """<div class="aside">How much each head uses the same- and the opposite-signed stream of each
scale, <b>for this picture</b>: set by the context encoder from the global mean, a recurrent and a self-attention
summary. 1 is the value at initialisation.</div>"""
ABOUT_WEIGHTS = """<div class="aside">The share of each scale in what a head passes on. <b>Mixing weights belong to the
model: they are constant over pictures.</b> In training they follow how much the loss asked of each scale; that
tracked share is on the hover.</div>"""


class _Part:
    """What the three have in common: they fit models with DSP-Attention, and have no controls of their own."""

    inputs: list[Component] = []  # noqa: RUF012 (nothing is ever added)
    outputs: list[Component]

    def fits(self, model: LoadedModel) -> bool:
        return views.is_dsp(model)

    def follow(self, model: LoadedModel) -> Values:
        return {}


class Filters(_Part):
    """Magnitude, phase, profile and kernel of the filters of one block, and the spectrum of the picture's q and k."""

    name, title = "filters", "Spectral filters"

    def __init__(self, results: Results) -> None:
        gr.HTML(ABOUT_FILTERS)
        self.which = gr.HTML()
        self.gain = gr.Plot(label="Filter magnitudes", elem_id="gain")
        with gr.Row(equal_height=False):
            self.radial = gr.Plot(label="Radial profile of the gain", elem_id="radial", min_width=320)
            self.power = gr.Plot(label="Spectrum of q and k for this picture", elem_id="power", min_width=320)
        self.phase = gr.Plot(label="Filter phases", elem_id="phase")
        self.kernel = gr.Plot(label="Filters as kernels in space", elem_id="kernel")
        self.outputs = [self.which, self.gain, self.radial, self.power, self.phase, self.kernel]

    def show(self, shown: Shown, values: Values) -> Values:
        figures = views.filters(shown.kept, shown.block, shown.head)
        plots = (self.gain, self.radial, self.power, self.phase, self.kernel)
        return {self.which: views.which(shown.block, shown.head), **dict(zip(plots, figures, strict=True))}


class Coefficients(_Part):
    """Coefficients of all blocks, and which summary of the picture moves them."""

    name, title = "coefficients", "Coefficients"

    def __init__(self, results: Results) -> None:
        gr.HTML(ABOUT_COEFFICIENTS)
        self.dynamic = gr.Plot(label="Dynamic coefficients", elem_id="dynamic")
        self.influence = gr.Plot(label="What moves them: each summary left out", elem_id="influence")
        self.outputs = [self.dynamic, self.influence]

    def show(self, shown: Shown, values: Values) -> Values:
        return {
            self.dynamic: views.coefficients(shown.kept, shown.block, shown.head),
            self.influence: views.influence(shown.kept),
        }


class Weights(_Part):
    """Mixing weights of all blocks."""

    name, title = "weights", "Mixing weights"

    def __init__(self, results: Results) -> None:
        gr.HTML(ABOUT_WEIGHTS)
        self.mixing = gr.Plot(label="Mixing weights", elem_id="mixing")
        self.outputs = [self.mixing]

    def show(self, shown: Shown, values: Values) -> Values:
        return {self.mixing: views.weights(shown.kept, shown.block, shown.head)}
