"""The screen and its events."""

import filecmp
import logging
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import gradio as gr

from ..analysis import analyse
from ..checkpoint import LoadedModel
from ..images import ImageError
from ..store import Store
from ..trace import layers
from . import views
from .picture import Picture
from .polarity import PolarityView

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

#: What a result is of: path, side, whole.
Source = tuple[str, int, bool]


def notice(message: str) -> str:
    """A sentence the person should read, as HTML; nothing for an empty one."""
    return f'<div class="notice" role="alert">{views.escape(message)}</div>' if message else ""


def build(model: LoadedModel, examples: list[Path], store: Store) -> gr.Blocks:
    """The whole app for one model.

    Args:
        model: from :func:`dsp_viz.load`. examples: pictures to offer; the first is analysed when the page opens.
        store: where the pieces of results are kept for the browsers.

    Returns:
        Blocks that are ready to launch.
    """
    depth = len(layers(model))
    sides = {f"{factor * model.config.image_size} px": factor * model.config.image_size for factor in SIZES}
    by_name = {path.stem: path for path in examples}

    with gr.Blocks(
        title="DSP-Attention explorer", analytics_enabled=False, delete_cache=(900, 3600), fill_width=True
    ) as demo:
        gr.HTML(MASTHEAD)
        source = gr.State(time_to_live=3600)  # what the result on the screen is of
        result = gr.State(time_to_live=3600)
        block = gr.State(min(depth, 3) - 1)
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
            with gr.Column(scale=4, min_width=320), gr.Tabs():
                with gr.Tab("Polarity maps", id="maps"):
                    view = PolarityView(elem_id="view")
                with gr.Tab("Spectral filters", id="filters"):
                    gr.HTML(ABOUT_FILTERS)
                    which = gr.HTML(views.which(min(depth, 3) - 1, 0))
                    gain = gr.Plot(label="Filter magnitudes", elem_id="gain")
                    with gr.Row(equal_height=False):
                        radial = gr.Plot(label="Radial profile of the gain", elem_id="radial")
                        power = gr.Plot(label="Spectrum of q and k for this picture", elem_id="power")
                    phase = gr.Plot(label="Filter phases", elem_id="phase")
                    kernel = gr.Plot(label="Filters as kernels in space", elem_id="kernel")
                with gr.Tab("Coefficients", id="coefficients"):
                    gr.HTML(ABOUT_COEFFICIENTS)
                    dynamic = gr.Plot(label="Dynamic coefficients", elem_id="dynamic")
                    influence = gr.Plot(label="What moves them: each summary left out", elem_id="influence")
                with gr.Tab("Mixer weights", id="weights"):
                    gr.HTML(ABOUT_WEIGHTS)
                    mixing = gr.Plot(label="Mixing weights", elem_id="mixing")
        wanted = gr.Textbox(visible=False)

        filters = [gain, radial, power, phase, kernel]
        shown = [message, source, result, predicted, view, *filters, dynamic, influence, mixing]
        unchanged = (gr.skip(),) * (len(shown) - 1)

        def screen(kept: views.Kept, made_of: Source, manifest: dict[str, Any], b: int) -> tuple[Any, ...]:
            return (
                "",
                made_of,
                kept,
                views.prediction(kept.result),
                manifest,
                *views.filters(kept, b, 0),
                *views.coefficients(kept),
                views.weights(kept),
            )

        def show(path: str, px: int, all_of_it: bool, b: int, settings: str | None = None) -> tuple[Any, ...]:
            """Analyse a picture; on a bad file say why, and leave everything else on the screen as it is."""
            try:
                full = analyse(model, path, side=px, whole=all_of_it)
            except ImageError as error:
                _log.warning("refused a picture: %s", error)
                return (notice(str(error)), *unchanged)
            name = Path(path).stem
            kept = views.keep(full, model)
            manifest = {
                "blocks": depth,
                "grid": full.frame.grid,
                "name": name,
                "example": name if name in by_name else None,
                "model": full.model,
                "side": px,
                "whole": all_of_it,
            }
            made_of = (path, px, all_of_it)
            token = store.put(views.pieces(full), (kept, made_of, manifest))
            return screen(kept, made_of, manifest | {"token": token, "view": settings}, b)

        def run(path: str | None, size: str, all_of_it: bool, last: Source | None, b: int) -> tuple[Any, ...]:
            if path is None:
                return ("", *unchanged)
            # Removing a picture still sends it once, and Gradio keeps copies of files under names of its own.
            if last and last[1:] == (sides[size], all_of_it) and filecmp.cmp(path, last[0], shallow=False):
                return ("", *unchanged)
            return show(path, sides[size], all_of_it, b)

        def resize(last: Source | None, size: str, all_of_it: bool, b: int) -> tuple[Any, ...]:
            """Another size of the picture that is on the screen, whatever the upload field holds now."""
            return ("", *unchanged) if last is None else show(last[0], sides[size], all_of_it, b)

        def arrive(settings: str, b: int) -> tuple[Any, ...]:
            """The page opens: what its link asks for, else the first example."""
            asked = {key: values[0] for key, values in parse_qs(settings).items()}
            name = asked.get("picture", examples[0].stem)
            px = sides.get(f"{asked.get('side')} px", model.config.image_size)
            all_of_it = asked.get("whole") == "true"
            if asked.get("block", "").isdigit():
                b = min(int(asked["block"]), depth - 1)
            controls = (f"{px} px", all_of_it, b)
            if name in by_name:
                return (str(by_name[name]), *controls, *show(str(by_name[name]), px, all_of_it, b, settings))
            alive: Any = store.result(name)
            if alive is not None:
                kept, made_of, manifest = alive[1]
                return (made_of[0], *controls, *screen(kept, made_of, manifest | {"token": name, "view": settings}, b))
            first = show(str(examples[0]), model.config.image_size, False, b)
            gone = "The link's picture is no longer kept: uploads live for a while only. Here is an example instead."
            return (str(examples[0]), f"{model.config.image_size} px", False, b, notice(gone), *first[1:])

        def pick(kept: views.Kept | None, event: gr.EventData) -> tuple[Any, ...]:
            """Another block or head is looked at: its filters."""
            b = min(max(int(event._data["block"]), 0), depth - 1)
            h = min(max(int(event._data["head"]), 0), model.config.model["num_heads"] - 1)
            return (b, views.which(b, h), *((gr.skip(),) * 5 if kept is None else views.filters(kept, b, h)))

        def offer(size: str, all_of_it: bool, b: int, event: gr.SelectData) -> tuple[Any, ...]:
            """A click on an example puts it into the upload field too."""
            path = str(examples[event.index])
            return (path, *show(path, sides[size], all_of_it, b))

        def analyse_picture(path: str | None) -> dict[str, Any]:
            """Analyse a picture with the model of this app.

            Args:
                path: the picture, a file that Pillow reads, of at most 25 megapixels.

            Returns:
                The five best classes with their probabilities, the dynamic coefficients of every block, head, scale
                and stream, the mixing weights of every block, head and scale, and the token grid.
            """
            if path is None:
                raise gr.Error("Send a picture as `picture`.", print_exception=False)
            try:
                return views.summary(analyse(model, path))
            except ImageError as error:
                _log.warning("refused a picture: %s", error)
                raise gr.Error(str(error), print_exception=False) from error

        busy: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": 1}
        silent: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        progress: dict[str, Any] = {
            "show_progress": "minimal",
            "show_progress_on": [predicted],
            "api_visibility": "private",
        }
        demo.load(
            arrive,
            [wanted, block],
            [picture, side, whole, block, *shown],
            js="(_, block) => [window.location.hash.slice(1), block]",
            **busy,
            **progress,
        )
        picture.input(run, [picture, side, whole, source, block], shown, trigger_mode="always_last", **busy, **progress)
        gallery.select(offer, [side, whole, block], [picture, *shown], trigger_mode="multiple", **busy, **progress)
        gr.on(
            [side.input, whole.input],
            resize,
            [source, side, whole, block],
            shown,
            trigger_mode="always_last",
            **busy,
            **progress,
        )
        view.pick(pick, result, [block, which, *filters], trigger_mode="always_last", **silent)

        sent = Picture(label="picture", visible=False)
        answer = gr.JSON(label="analysis", visible=False)
        gr.Button(visible=False).click(analyse_picture, sent, answer, api_name="analyse", **busy)
    return demo
