"""The screen and its events."""

import filecmp
import json
import logging
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import gradio as gr
import plotly.graph_objects as go

from ..analysis import analyse
from ..checkpoint import LoadedModel
from ..images import ImageError
from ..interventions import InterventionError, from_json
from ..store import Store
from . import views
from .compare import Comparison
from .history import History
from .picture import Picture
from .polarity import PolarityView
from .results import Results, Source
from .whatif import WhatIf

_log = logging.getLogger("dsp_viz")

#: Sides in units of what the model was trained for.
SIZES = (1, 2, 4)

MASTHEAD = """<div id="masthead"><h1>DSP-Attention explorer</h1>
<p>How polarity-aware <em>linear</em> attention reads a picture. Every map is rebuilt exactly, in your browser, from two
thin factors: <b class="same">same-signed</b> attention weighs keys that agree with the query,
<b class="opposite">opposite-signed</b> attention those that disagree. Both are positive, and each acts on its own half
of the values.</p></div>"""

ABOUT_FILTERS = """<div class="aside">Each head filters its queries and keys over the token grid, with one filter for
the positive and one for the negative polarity. Zero frequency is in the middle of each panel; gain 1 leaves a
frequency unchanged. <b>Filters belong to the model: they are constant over pictures.</b></div>"""
ABOUT_COEFFICIENTS = """<div class="aside">How much each head uses the same- and the opposite-signed stream of each
scale, <b>for this picture</b>: set by the context encoder from the global mean, a recurrent and a self-attention
summary. 1 is the value at initialisation.</div>"""
ABOUT_WEIGHTS = """<div class="aside">The share of each scale in what a head passes on. <b>Mixing weights belong to the
model: they are constant over pictures.</b> In training they follow how much the loss asked of each scale; that
tracked share is on the hover.</div>"""


def lacking(model: str, what: str) -> str:
    """What stands in a tab that has nothing to show, as HTML."""
    return f'<div class="aside">{escape(model)} has no {what}: choose a DSP-Attention model to see some.</div>'


def drawn(figure: go.Figure) -> Any:
    """A plot that may have been hidden."""
    return gr.update(value=figure, visible=True)


def build(models: Sequence[LoadedModel], examples: list[Path], store: Store) -> gr.Blocks:
    """The whole app.

    Args:
        models: to choose from, see :func:`dsp_viz.load`; the first is the one that the page opens with.
        examples: pictures to offer; the first is analysed when the page opens.
        store: where the pieces of results are kept for the browsers.

    Returns:
        Blocks that are ready to launch.
    """
    model = models[0]
    results = Results(models, examples, store)
    sides = {f"{factor * model.config.image_size} px": factor * model.config.image_size for factor in SIZES}

    with gr.Blocks(
        title="DSP-Attention explorer", analytics_enabled=False, delete_cache=(900, 3600), fill_width=True
    ) as demo:
        gr.HTML(MASTHEAD)
        source = gr.State(time_to_live=3600)  # what the result on the screen is of
        result = gr.State(time_to_live=3600)
        block = gr.State(2)
        with gr.Row(equal_height=False):
            with gr.Column(scale=1, min_width=270, elem_id="rail"):
                picture = Picture(
                    value=str(examples[0]),
                    label="Picture",
                    sources=["upload", "clipboard", "webcam"],
                    height=230,
                    elem_id="picture",
                    buttons=[],
                )
                message = gr.HTML(elem_id="message")
                predicted = gr.HTML(elem_id="prediction")
                with gr.Group():
                    chosen = gr.Dropdown(
                        list(results.models), value=model.name, label="Model", visible=len(results.models) > 1
                    )
                    side = gr.Radio(list(sides), value=next(iter(sides)), label="Longer side of the model's input")
                    whole = gr.Checkbox(label="Whole picture, not only its middle", value=False)
                gallery = gr.Gallery(
                    [(str(path), path.stem.replace("-", " ")) for path in examples],
                    label="Examples",
                    columns=3,
                    object_fit="cover",
                    allow_preview=False,
                    interactive=False,
                    buttons=[],
                    elem_id="examples",
                )
                gr.HTML(views.known_classes(model))
            with gr.Column(scale=4, min_width=320), gr.Tabs() as tabs:
                with gr.Tab("Polarity maps", id="maps"):
                    view = PolarityView(elem_id="view")
                with gr.Tab("Spectral filters", id="filters"):
                    about_filters = gr.HTML(ABOUT_FILTERS)
                    which = gr.HTML(views.which(2, 0))
                    gain = gr.Plot(label="Filter magnitudes", elem_id="gain")
                    with gr.Row(equal_height=False):
                        radial = gr.Plot(label="Radial profile of the gain", elem_id="radial")
                        power = gr.Plot(label="Spectrum of q and k for this picture", elem_id="power")
                    phase = gr.Plot(label="Filter phases", elem_id="phase")
                    kernel = gr.Plot(label="Filters as kernels in space", elem_id="kernel")
                with gr.Tab("Coefficients", id="coefficients"):
                    about_coefficients = gr.HTML(ABOUT_COEFFICIENTS)
                    dynamic = gr.Plot(label="Dynamic coefficients", elem_id="dynamic")
                    influence = gr.Plot(label="What moves them: each summary left out", elem_id="influence")
                with gr.Tab("Mixer weights", id="weights"):
                    about_weights = gr.HTML(ABOUT_WEIGHTS)
                    mixing = gr.Plot(label="Mixing weights", elem_id="mixing")
                with gr.Tab("Training", id="history", visible=any(m.history for m in models)) as history_tab:
                    history = History(results)
                with gr.Tab("Compare", id="compare") as compare_tab:
                    comparison = Comparison(results)
                with gr.Tab("What if", id="whatif"):
                    whatif = WhatIf(results)
        wanted = gr.Textbox(visible=False)

        # What follows the chosen block and head, then what does not.
        followers = [which, gain, radial, power, phase, kernel, dynamic, mixing]
        about = [about_filters, about_coefficients, about_weights]
        shown = [message, source, result, predicted, view, *about, influence, *followers]
        unchanged = (gr.skip(),) * (len(shown) - 1)

        def plots(kept: views.Kept, b: int, h: int) -> tuple[Any, ...]:
            """What follows the chosen block and head; nothing for a model without DSP-Attention."""
            if not views.dsp_blocks(kept):
                return (gr.update(visible=False),) * len(followers)
            figures = (*views.filters(kept, b, h), views.coefficients(kept, b, h), views.weights(kept, b, h))
            return gr.update(value=views.which(b, h), visible=True), *(drawn(figure) for figure in figures)

        def screen(made_of: Source, kept: views.Kept, manifest: dict[str, Any], b: int) -> tuple[Any, ...]:
            b = min(b, manifest["blocks"] - 1)
            front = ("", made_of, kept, views.prediction(kept.result), manifest)
            if not views.dsp_blocks(kept):
                parts = ("spectral filters", "dynamic coefficients", "mixing weights")
                lack = (lacking(made_of.model, part) for part in parts)
                return *front, *lack, gr.update(visible=False), *plots(kept, b, 0)
            texts = (ABOUT_FILTERS, ABOUT_COEFFICIENTS, ABOUT_WEIGHTS)
            return *front, *texts, drawn(views.influence(kept)), *plots(kept, b, 0)

        def show(made_of: Source, b: int, settings: str | None = None) -> tuple[Any, ...]:
            """Analyse a picture; on a bad file say why, and leave everything else on the screen as it is."""
            try:
                kept, manifest = results.of(made_of)
            except ImageError as error:
                _log.warning("refused a picture: %s", error)
                return (views.notice(str(error)), *unchanged)
            return screen(made_of, kept, manifest | {"view": settings}, b)

        def run(
            path: str | None, name: str, size: str, all_of_it: bool, last: Source | None, b: int
        ) -> tuple[Any, ...]:
            if path is None:
                return ("", *unchanged)
            made_of = Source(path, sides[size], all_of_it, name)
            # Removing a picture still sends it once, and Gradio keeps copies of files under names of its own.
            if last and last[1:] == made_of[1:] and filecmp.cmp(path, last.path, shallow=False):
                return ("", *unchanged)
            return show(made_of, b)

        def change(last: Source | None, name: str, size: str, all_of_it: bool, b: int) -> tuple[Any, ...]:
            """Another model or size for the picture that is on the screen, whatever the upload field holds now."""
            return ("", *unchanged) if last is None else show(Source(last.path, sides[size], all_of_it, name), b)

        def arrive(settings: str, b: int) -> tuple[Any, ...]:
            """The page opens: what its link asks for, else the first example."""
            asked = {key: values[0] for key, values in parse_qs(settings).items()}
            name = asked.get("picture", examples[0].stem)
            network = asked.get("model", model.name)
            if asked.get("block", "").isdigit():
                b = int(asked["block"])

            def controls(made_of: Source) -> tuple[Any, ...]:
                return made_of.path, made_of.model, f"{made_of.side} px", made_of.whole, b

            if name in results.examples and network in results.models:
                px = sides.get(f"{asked.get('side')} px", model.config.image_size)
                made_of = Source(results.examples[name], px, asked.get("whole") == "true", network)
                return *controls(made_of), *show(made_of, b, settings)
            alive = results.alive(name)
            if alive is not None:
                kept, made_of, manifest = alive
                return *controls(made_of), *screen(made_of, kept, manifest | {"view": settings}, b)
            made_of = Source(str(examples[0]), model.config.image_size, False, model.name)
            gone = (
                "The link's picture is no longer kept: uploads live for a while only. Here is an example instead."
                if network in results.models
                else f"The link's model, {network}, is not offered here. Here is another instead."
            )
            return *controls(made_of), views.notice(gone), *show(made_of, 2)[1:]

        def pick(kept: views.Kept | None, event: gr.EventData) -> tuple[Any, ...]:
            """Another block or head is looked at: its filters."""
            if kept is None:
                return (gr.skip(),) * (1 + len(followers))
            blocks = kept.result.trace.blocks
            b = min(max(int(event._data["block"]), 0), len(blocks) - 1)
            h = min(max(int(event._data["head"]), 0), blocks[b].coefficients.shape[1] - 1)
            return b, *plots(kept, b, h)

        def offer(name: str, size: str, all_of_it: bool, b: int, event: gr.SelectData) -> tuple[Any, ...]:
            """A click on an example puts it into the upload field too."""
            path = str(examples[event.index])
            return path, *show(Source(path, sides[size], all_of_it, name), b)

        def analyse_picture(
            path: str | None, name: str = model.name, interventions: str | list[Any] = "[]"
        ) -> dict[str, Any]:
            """Analyse a picture.

            Args:
                path: the picture, a file that Pillow reads, of at most 25 megapixels.
                name: of the model, one of those that the app offers; by default its first.
                interventions: what to change in the pass, a JSON list such as
                    [{"kind": "set_coefficient", "value": 0, "block": 2, "head": 1}]; by default nothing.

            Returns:
                The five best classes with their probabilities, the coefficients of every block, head, scale and stream,
                the mixing weights of every block, head and scale, and the token grid.
            """
            if path is None:
                raise gr.Error("Send a picture as `picture`.", print_exception=False)
            if name not in results.models:
                raise gr.Error(f"No model {name!r}: one of {', '.join(results.models)}.", print_exception=False)
            try:
                changes = from_json(interventions if isinstance(interventions, str) else json.dumps(interventions))
                with results.turn:
                    return views.summary(analyse(results.models[name], path, interventions=changes))
            except (ImageError, InterventionError) as error:
                _log.warning("refused a request: %s", error)
                raise gr.Error(str(error), print_exception=False) from error

        busy: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": 1}
        silent: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        progress: dict[str, Any] = {
            "show_progress": "minimal",
            "show_progress_on": [predicted],
            "api_visibility": "private",
        }
        latest: dict[str, Any] = {"trigger_mode": "always_last", **busy, **progress}
        options = [chosen, side, whole]
        demo.load(
            arrive,
            [wanted, block],
            [picture, *options, block, *shown],
            js="(_, block) => [window.location.hash.slice(1), block]",
            **busy,
            **progress,
        )
        picture.input(run, [picture, *options, source, block], shown, **latest)
        gallery.select(offer, [*options, block], [picture, *shown], trigger_mode="multiple", **busy, **progress)
        gr.on([chosen.input, side.input, whole.input], change, [source, *options, block], shown, **latest)
        view.pick(pick, result, [block, *followers], trigger_mode="always_last", **silent)
        history.listen(history_tab, source, block, trigger_mode="always_last", **silent)
        whatif.listen(source, busy)
        comparison.listen(tabs, compare_tab, source, trigger_mode="always_last", **busy, **silent)

        sent = Picture(label="picture", visible=False)
        asked_of = gr.Textbox(model.name, label="model", visible=False)
        changes = gr.JSON([], label="interventions", visible=False)
        answer = gr.JSON(label="analysis", visible=False)
        gr.Button(visible=False).click(analyse_picture, [sent, asked_of, changes], answer, api_name="analyse", **busy)
    return demo
