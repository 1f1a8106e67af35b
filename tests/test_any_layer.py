"""The view of layers that no shipped model has: other grids, heads and rules, from bytes written by hand."""

import base64
import json
import struct
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from viewing import ready

from dsp_viz.ui import modules
from dsp_viz.ui.theme import MARKUP, css

REFUSED = "blocks.2.attn is not shown: its maps do not rebuild what it put out."


def packed(header: dict[str, Any], *arrays: np.ndarray) -> str:
    """Bytes of a layer as ``docs/format.md`` says, as base64."""
    common = {"format": 4, "stage": 0, "dynamic": False, "epsilon": 0, "prefix": []}
    data = b"".join(a.tobytes() + b"\0" * (-a.nbytes % 4) for a in arrays)
    (scale,) = header["scales"]
    text = json.dumps(common | header | {"scales": [scale | {"bytes": len(data)}]}).encode()
    text += b" " * (-len(text) % 4)
    return base64.b64encode(struct.pack("<I", len(text)) + text + data).decode()


#: The unit of a factor.
ONE = np.ones(1, "<f4")

#: Products on 4×3 tokens; keys of 3 tokens' height reach beyond the picture. s = left · right: with left 4 they are
#: (−12, 4, 8, 24), in units of the uniform map four times that.
PRODUCT = packed(
    {"name": "blocks.0.attn", "kind": "product attention", "heads": 1, "grid": [4, 3], "finish": "product",
     "streams": [{"name": "all", "role": "only", "turn": 0}], "coefficients": [[[1]]], "weights": [[1]],
     "scales": [{"queries": [4, 3], "keys": [2, 2], "box": [0, 0, 1.5, 4 / 3], "pooled": 3, "width": 1,
                 "signed": False, "kept": False}]},
    ONE, np.arange(12, dtype="<i2") - 1, ONE, np.array([-3, 1, 2, 6], "<i2"),
)  # fmt: skip
#: Two heads and two streams on the page's own grid.
RATIO = packed(
    {"name": "blocks.1.attn", "kind": "linear attention", "heads": 2, "grid": [8, 6], "finish": "ratio",
     "streams": [{"name": "same", "role": "same", "turn": 0}, {"name": "opposite", "role": "opposite", "turn": 1}],
     "coefficients": [[[1, 1]]] * 2, "weights": [[1]] * 2,
     "scales": [{"queries": [8, 6], "keys": [8, 6], "box": [0, 0, 1, 1], "pooled": 1, "width": 2,
                 "signed": False, "kept": False}]},
    np.ones(2, "<f4"), np.ones(192, "<f2"), np.ones(2, "<f4"), np.ones(192, "<f2"),
)  # fmt: skip


@pytest.fixture
def view(browser: Browser, tmp_path: Path) -> Iterator[Page]:
    """A page with the view alone."""
    picture = BytesIO()
    Image.new("RGB", (48, 64), "white").save(picture, "PNG")
    white = base64.b64encode(picture.getvalue()).decode()
    pieces = {"0": PRODUCT, "1": RATIO, "picture": white, "sharp": white}
    layers = [
        {"stage": 0, "grid": [4, 3], "heads": 1, "kind": ""},
        {"stage": 0, "grid": [8, 6], "heads": 2, "kind": ""},
    ]
    value = {
        "layers": layers, "grid": [8, 6], "name": "white", "example": None, "model": "m", "digest": "", "side": 64,
        "whole": False, "best": ["x", 1], "verified": 1.234e-6, "refused": [REFUSED], "view": "block=0&query=2,4",
        "pieces": pieces,
    }  # fmt: skip
    file = tmp_path / "view.html"
    script = f"{modules.inlined('view.js')}const element = document.getElementById('view');"
    mounted = f"$view.mount({{ element, props: {{ value: {json.dumps(value)} }}, trigger() {{}}, watch() {{}} }});"
    page = f"<style>{css()}</style><div id='view'>{MARKUP}</div><script>{script}{mounted}</script>"
    file.write_text(f"<!doctype html><meta charset='utf-8'>{page}", encoding="utf-8")
    opened = browser.new_page(viewport={"width": 1200, "height": 900})
    faults: list[str] = []
    opened.on("pageerror", lambda e: faults.append(str(e)))
    opened.goto(file.as_uri())
    ready(opened)
    yield opened
    opened.close()
    assert faults == []


def test_a_place_of_the_page_is_rounded_to_the_layer_s_grid(view: Page) -> None:
    read = view.locator(".dv-read")
    expect(read).to_contain_text("token row 3, column 5 (row 2, column 3 of this layer's 4×3) · block 1 · head 1 · all")
    view.locator(".dv-stage").press("ArrowLeft")
    expect(read).to_contain_text("token row 3, column 3 (row 2, column 2 of this layer's 4×3)")
    view.locator(".dv-stage").press("ArrowDown")
    expect(read).to_contain_text("token row 5, column 3 (row 3, column 2 of this layer's 4×3)")


def test_products_have_two_signs_and_no_entropy(view: Page) -> None:
    """Query row 2, column 3 of 4×3 is the sixth: left 4."""
    read = view.locator(".dv-read")
    expect(read).to_contain_text("peak 96.0 × uniform at row 2, column 2 of 2×2 keys · entropy –")
    assert view.locator(".dv-scale").get_attribute("aria-label") == "Colour scale: −96 to 96 × uniform"
    assert view.locator(".dv-key").get_attribute("aria-label") == (
        "Colour scale: product attention, × uniform, −96 to 96 × uniform"
    )
    box = view.locator(".dv-stage").bounding_box()
    assert box is not None
    assert box["width"] / box["height"] == pytest.approx(6 / 8, rel=0.01)
    # Keys end at ¾ of the height and ⅔ of the width, and go on beyond the picture.
    for y, x, told in ((0.7, 0.6, "row 1, column 1: -48.0"), (0.7, 0.7, "row 1, column 2: 16.0"),
                       (0.8, 0.6, "row 2, column 1: 32.0")):  # fmt: skip
        view.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        expect(view.locator(".dv-hover")).to_contain_text(f"key {told} × uniform")
    url = view.evaluate("document.querySelector('.dv-stage').toDataURL().split(',')[1]")
    drawn = np.asarray(Image.open(BytesIO(base64.b64decode(url))).convert("RGB")).astype(int)
    tall, wide = drawn.shape[:2]
    red, _, blue = drawn[int(0.1 * tall), int(0.1 * wide)]
    assert red > blue + 50, "negative is orange"
    red, _, blue = drawn[int(0.9 * tall), int(0.9 * wide)]
    assert blue > red + 50, "positive has the stream's ink"


def test_layers_may_differ_in_heads_and_streams(view: Page) -> None:
    expect(view.locator('[data-set="show"]')).to_be_hidden()
    view.get_by_role("button", name="next block").click()
    read = view.locator(".dv-read")
    expect(read).to_contain_text("token row 3, column 5 · block 2 · head 1 · same")
    expect(read).to_contain_text("of 8×6 keys · entropy 1.000")
    expect(view.locator('[data-set="show"]')).to_be_visible()
    for key in ("2", "p"):
        view.locator(".dv-stage").press(key)
    expect(read).to_contain_text("block 2 · head 2 · opposite")
    view.get_by_role("button", name="previous block").click()
    expect(read).to_contain_text("block 1 · head 1 · all")


def test_what_was_verified_and_what_is_not_shown_is_told(view: Page) -> None:
    expect(view.locator(".dv-facts")).to_contain_text("blocks.0.attn · product attention")
    expect(view.locator(".dv-facts")).to_contain_text("maps verified: 1.2e-6")
    expect(view.locator(".dv-refused li")).to_have_text([REFUSED])
