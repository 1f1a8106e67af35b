"""The screen and its events."""

import logging
from pathlib import Path
from typing import Any

import gradio as gr

from ..analysis import Analysis, analyse
from ..checkpoint import LoadedModel
from ..images import ImageError
from ..trace import layers
from . import views
from .picture import Picture

_log = logging.getLogger("dsp_viz")

MASTHEAD = """<div id="masthead"><h1>DSP-Attention explorer</h1>
<p>How polarity-aware <em>linear</em> attention reads a picture. Every map is rebuilt exactly from two thin factors:
<b class="same">same-signed</b> attention weighs keys that agree with the query,
<b class="opposite">opposite-signed</b> attention those that disagree. Both are positive, and each acts on its own half
of the values.</p></div>"""

ABOUT_MAPS = """<div class="aside">Left: the picture as the model saw it, under the chosen map; click a token to ask
where <em>it</em> looks. Right: every head, scale and stream of the block on one colour scale, in units of the uniform
map (1 = as much as any other key).</div>"""
ABOUT_FILTERS = """<div class="aside">Each head filters its queries and keys over the token grid, with one filter for
the positive and one for the negative polarity. Zero frequency is in the middle of each panel; gain 1 leaves a
frequency unchanged. <b>Filters belong to the model: they are constant over pictures.</b></div>"""
ABOUT_COEFFICIENTS = """<div class="aside">How much each head uses the same- and the opposite-signed stream of each
scale, <b>for this picture</b>: set by the context encoder from the global mean, a recurrent and a self-attention
summary. 1 is the value at initialisation.</div>"""
ABOUT_WEIGHTS = """<div class="aside">The share of each scale in what a head passes on. <b>Mixing weights belong to the
model: they are constant over pictures.</b> In training they follow how much the loss asked of each scale; that
tracked share is on the hover.</div>"""


def notice(message: str) -> str:
    """A sentence the person should read, as HTML; nothing for an empty one."""
    return f'<div class="notice" role="alert">{views.escape(message)}</div>' if message else ""


def build(model: LoadedModel, examples: list[Path]) -> gr.Blocks:
    """The whole app for one model.

    Args:
        model: from :func:`dsp_viz.load`. examples: pictures to offer; the first is analysed when the page opens.

    Returns:
        Blocks that are ready to launch.
    """
    layer, *others = layers(model).values()
    depth, side = 1 + len(others), model.config.image_size // model.classifier.patch
    scales = [f"{factor}×" for factor in layer.factors]

    with gr.Blocks(
        title="DSP-Attention explorer", analytics_enabled=False, delete_cache=(900, 3600), fill_width=True
    ) as demo:
        gr.HTML(MASTHEAD)
        analysed = gr.State(time_to_live=3600)  # the path of the picture whose result is on the screen
        result = gr.State(time_to_live=3600)
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
            with gr.Column(scale=4, min_width=320):
                block = gr.Slider(1, depth, value=min(depth, 3), step=1, label="Block", elem_id="block")
                with gr.Tabs():
                    with gr.Tab("Polarity maps", id="maps"):
                        gr.HTML(ABOUT_MAPS)
                        with gr.Row(equal_height=False):
                            with gr.Column(scale=4, min_width=300):
                                stage = gr.Image(
                                    label="Query and chosen map",
                                    interactive=False,
                                    format="png",
                                    buttons=["download"],
                                    elem_id="stage",
                                )
                                readout = gr.HTML(elem_id="readout")
                                with gr.Row():
                                    row = gr.Slider(1, side, value=side // 2, step=1, label="Query row", min_width=120)
                                    column = gr.Slider(
                                        1, side, value=side // 2, step=1, label="Query column", min_width=120
                                    )
                            with gr.Column(scale=5, min_width=320):
                                with gr.Row():
                                    head = gr.Radio(
                                        [str(i + 1) for i in range(layer.num_heads)],
                                        value="1",
                                        label="Head",
                                        min_width=150,
                                    )
                                    scale = gr.Radio(scales, value=scales[0], label="Scale", min_width=150)
                                    stream = gr.Radio(
                                        ["same", "opposite"], value="same", label="Polarity", min_width=150
                                    )
                                panel = gr.Plot(label="All heads, scales and polarities", elem_id="panel")
                                with gr.Row():
                                    everything = gr.Checkbox(
                                        label="Average over all queries", value=False, min_width=150
                                    )
                                    opacity = gr.Slider(0, 1, value=0.85, step=0.05, label="Map opacity", min_width=150)
                    with gr.Tab("Spectral filters", id="filters"):
                        gr.HTML(ABOUT_FILTERS)
                        gain = gr.Plot(label="Filter magnitudes", elem_id="gain")
                        radial = gr.Plot(label="Radial profile", elem_id="radial")
                    with gr.Tab("Coefficients", id="coefficients"):
                        gr.HTML(ABOUT_COEFFICIENTS)
                        dynamic = gr.Plot(label="Dynamic coefficients", elem_id="dynamic")
                    with gr.Tab("Mixer weights", id="weights"):
                        gr.HTML(ABOUT_WEIGHTS)
                        mixing = gr.Plot(label="Mixing weights", elem_id="mixing")

        choice = [result, block, scale, head, stream, row, column, everything, opacity]
        map_outputs = [stage, panel, readout]
        filter_outputs = [gain, radial]

        def show_maps(
            kept: Analysis | None, b: int, s: str, h: str, p: str, r: int, c: int, whole: bool, alpha: float
        ) -> tuple[Any, ...]:
            if kept is None:
                return (gr.skip(),) * 3
            query = "all" if whole else (int(r) - 1, int(c) - 1)
            return views.polarity(
                kept, int(b) - 1, scales.index(s), int(h) - 1, ("same", "opposite").index(p), query, alpha
            )

        def show_filters(kept: Analysis | None, b: int) -> tuple[Any, ...]:
            return (gr.skip(),) * 2 if kept is None else views.filters(kept, int(b) - 1)

        def run(path: str | None, last: str | None, *chosen: Any) -> tuple[Any, ...]:
            """Analyse a picture; on a bad file say why, and leave everything else on the screen as it is."""
            if path is None or path == last:  # removing a picture still sends it once
                return ("", *(gr.skip(),) * 10)
            try:
                new = analyse(model, path)
            except ImageError as error:
                _log.warning("refused a picture: %s", error)
                return (notice(str(error)), *(gr.skip(),) * 10)
            return (
                "",
                path,
                new,
                views.prediction(new),
                *show_maps(new, *chosen),
                *show_filters(new, chosen[0]),
                views.coefficients(new),
                views.weights(new),
            )

        def pick(kept: Analysis | None, event: gr.SelectData) -> tuple[Any, ...]:
            """A click on the stage: pixel → token."""
            if kept is None:
                return (gr.skip(),) * 3
            (H, W), (x, y) = kept.frame.grid, event.index
            size = views.figures.STAGE_SIDE
            return min(H, int(y * W / size) + 1), min(W, int(x * W / size) + 1), False

        def offer(event: gr.SelectData) -> str:
            """A click on an example puts it into the upload field."""
            return str(examples[event.index])

        def endpoint(path: str | None) -> dict[str, Any]:
            """Analyse a picture: prediction, dynamic coefficients, mixing weights."""
            if path is None:
                raise gr.Error("Send a picture as `picture`.", print_exception=False)
            try:
                return views.summary(analyse(model, path))
            except ImageError as error:
                _log.warning("refused a picture: %s", error)
                raise gr.Error(str(error), print_exception=False) from error

        busy: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": 1}
        silent: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        complete = [message, analysed, result, predicted, *map_outputs, *filter_outputs, dynamic, mixing]
        progress = {"show_progress": "minimal", "show_progress_on": [predicted], "api_visibility": "private"}
        analysing = {"fn": run, "inputs": [picture, analysed, *choice[1:]], "outputs": complete, **busy, **progress}
        gr.on([picture.input, demo.load], trigger_mode="always_last", **analysing)
        gallery.select(offer, None, picture, **silent).then(**analysing)
        block.input(show_filters, [result, block], filter_outputs, trigger_mode="always_last", **silent)
        gr.on(
            [
                block.input,
                scale.input,
                head.input,
                stream.input,
                row.input,
                column.input,
                everything.input,
                opacity.input,
            ],
            show_maps,
            choice,
            map_outputs,
            trigger_mode="always_last",
            **silent,
        )
        stage.select(pick, result, [row, column, everything], **silent).then(show_maps, choice, map_outputs, **silent)

        sent = Picture(label="picture", visible=False)
        answer = gr.JSON(label="analysis", visible=False)
        gr.Button(visible=False).click(endpoint, sent, answer, api_name="analyse", **busy)
    return demo
