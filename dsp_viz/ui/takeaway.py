"""What the view hands out of a result that is kept: the numbers as NPZ, and one page that needs nothing else."""

import base64
import gzip
import io
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from html import escape
from urllib.parse import parse_qs

from PIL import Image

from .. import export, factors, maps
from ..analysis import Analysis
from . import modules, views
from .kept import Kept, Manifest, dsp_blocks
from .kept import pieces as pieces_of
from .stages import block_names
from .theme import MARKUP, css


def npz(kept: Kept, pieces: Mapping[str, bytes]) -> bytes:
    """The numbers of a result, see :func:`dsp_viz.export.numbers`; factors are as precise as what the browser got."""
    buffer = io.BytesIO()
    export.save_npz(_restored(kept, pieces), buffer, compressed=False)  # float16 features hardly get smaller
    return buffer.getvalue()


def _restored(kept: Kept, pieces: Mapping[str, bytes]) -> Analysis:
    """The result with the factors of its maps and the picture for people again."""
    blocks = tuple(factors.restore(b, pieces[str(i)]) for i, b in enumerate(kept.result.trace.blocks))
    sharp = Image.open(io.BytesIO(pieces["sharp"]))  # it was written here
    return replace(kept.result, trace=replace(kept.result.trace, blocks=blocks), sharp=sharp)


def pdf(kept: Kept, pieces: Mapping[str, bytes], view: str = "") -> bytes:
    """The maps of one block for print; ``view`` says which, as a link does: ``block=2&query=8,8``, from 0, or with the
    name of a token without a place in ``query``."""
    asked = {key: found[0] for key, found in parse_qs(view[:1000]).items()}
    grid = kept.result.grid
    block, query = export.default_view(kept.manifest.blocks, grid)
    if re.fullmatch("[0-9]{1,5}", asked.get("block", "")):
        block = min(int(asked["block"]), kept.manifest.blocks - 1)
    where: maps.Query = query
    if asked.get("query") in ("all", *kept.result.trace.blocks[block].prefix):
        where = asked["query"]
    elif re.fullmatch("[0-9]{1,5},[0-9]{1,5}", asked.get("query", "")):
        row, column = (min(int(at), side - 1) for at, side in zip(asked["query"].split(","), grid, strict=True))
        where = row, column
    buffer = io.BytesIO()
    export.maps_figure(_restored(kept, pieces), block=block, query=where).savefig(buffer, format="pdf")
    return buffer.getvalue()


def page(kept: Kept, pieces: Mapping[str, bytes]) -> str:
    """One HTML page with the prediction, the maps as they live in the app, and tables; it loads nothing.

    Its ``data-view`` is empty: there the browser writes the settings of the view that the page opens with.
    """
    return _page(kept.manifest, kept.result, pieces)


#: Characters of a frame that a notebook is given. Jupyter's server drops what is larger than 3 MB at once.
MOST = 2_900_000


def frame(result: Analysis, *, height: int = 900) -> str | None:
    """The page of a result within a notebook: a frame that asks nobody for anything, not even the notebook.

    Args:
        result: of :func:`dsp_viz.analyse`. height: of the frame in pixels.

    Returns:
        HTML; None where it would hold more than :data:`MOST`.
    """
    held = escape(_page(Manifest.of(result), result, pieces_of(result)))
    if len(held) > MOST:
        return None
    return (
        f'<iframe srcdoc="{held}" title="Attention maps of {escape(result.name) or "a picture"}" width="100%" '
        f'height="{height}" sandbox="allow-scripts allow-downloads" style="border:0"></iframe>'
    )


def _page(manifest: Manifest, result: Analysis, pieces: Mapping[str, bytes]) -> str:
    # Half of what DSP-Attention's features hold is 0, since they are split by sign: even the fastest packing sees that.
    packed = {name: gzip.compress(data, 1, mtime=0) if name.isdigit() else data for name, data in pieces.items()}
    inline = {name: base64.b64encode(data).decode() for name, data in packed.items()}
    value = json.dumps(manifest.json(pieces=inline, packed=True)).replace("<", "\\u003c")
    settings = json.dumps(export.settings(result), indent=2, ensure_ascii=False)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(manifest.name)} – DSP-Attention</title>
<style>{css()}{_STYLE}</style></head>
<body><main><h1>{escape(manifest.name)}</h1>{views.prediction(result)}
<h2>Attention maps</h2><div id="view" data-view="">{MARKUP}</div>
{_tables(manifest, result)}
<h2>Settings</h2><pre>{escape(settings)}</pre></main>
<script>(() => {{
{modules.inlined("view.js")}
const element = document.getElementById("view");
const props = {{ value: {{ ...{value}, view: element.dataset.view }} }};
$view.mount({{ element, props, trigger() {{}}, watch() {{}} }});
}})();</script></body></html>"""


_STYLE = """
:root { color-scheme: light dark; --font: system-ui, sans-serif; --font-mono: ui-monospace, monospace;
  --body-text-color: #1f2933; --body-text-color-subdued: #51606c; --block-background-fill: #fff;
  --border-color-primary: #dde4e8; }
@media (prefers-color-scheme: dark) { :root { --body-text-color: #e6ebef; --body-text-color-subdued: #a3b1bd;
  --block-background-fill: #171e26; --border-color-primary: #26313b; } body { background: #10151b; }
  .dv { --dv-unseen: rgba(16, 21, 27, .72); --dv-empty: rgba(140, 155, 168, .11); --dv-faint: #a3b1bd; } }
body { margin: 0; font: 15px/1.5 var(--font); color: var(--body-text-color); }
main { max-width: 1280px; margin: 0 auto; padding: 20px; }
.prediction { max-width: 420px; }
table { border-collapse: collapse; font: 12.5px var(--font-mono); margin: 8px 0 20px; }
th, td { padding: 2px 10px; text-align: right; border-bottom: 1px solid var(--border-color-primary); }
.scroll { overflow-x: auto; }
pre { font: 12px/1.5 var(--font-mono); white-space: pre-wrap; }
"""


def _tables(manifest: Manifest, result: Analysis) -> str:
    blocks = dsp_blocks(result)
    if not blocks:
        return ""
    layers = [block for block, _ in blocks.values()]  # of a pyramid they differ in heads and scales
    most = max(layers, key=lambda block: len(block.scales))
    sizes = [f" {scale.pooled}×" for scale in most.scales] if len(most.scales) > 1 else [""]
    names = [f"{kind}{size}" for size in sizes for kind in (*maps.streams(most), "weight")]
    rows = []
    called = block_names(manifest.layers)
    for b, (block, _) in blocks.items():
        of_heads = zip(block.coefficients[0].tolist(), block.weights[0].tolist(), strict=True)
        for h, (streams, weights) in enumerate(of_heads):
            numbers = [value for s, weight in enumerate(weights) for value in (*streams[s], weight)]
            told = [f"{number:.3f}" for number in numbers] + [""] * (len(names) - len(numbers))
            cells = "".join(f"<td>{cell}</td>" for cell in told)
            rows.append(f'<tr><th scope="row">{called[b]}, head {h + 1}</th>{cells}</tr>')
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    title = "<h2>Coefficients and mixing weights</h2>"
    return f'{title}<div class="scroll"><table><tr><td></td>{head}</tr>{"".join(rows)}</table></div>'
