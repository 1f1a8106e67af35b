"""Several models in one app, and the comparison of any two results, in a real browser."""

import base64
import re
import xml.etree.ElementTree as ET
from io import BytesIO

import gradio as gr
import numpy as np
import pyramid
import pytest
from conftest import EXAMPLES
from PIL import Image
from playwright.sync_api import Page, expect
from viewing import ask, choose, end_of_scale, maps_of, ready, saved, slow, tab

import dsp_viz
from dsp_viz import maps
from dsp_viz.store import Store
from dsp_viz.ui.results import Results
from dsp_viz.ui.tabs.compare import CURRENT, Comparison

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("name", ["polaformer_small", "softmax_small"])
def test_maps_of_other_attentions_equal_the_exact_ones(page: Page, name: str, request: pytest.FixtureRequest) -> None:
    ready(page)
    choose(page, "Model", name)
    expect(page.locator("#prediction .facts")).to_contain_text(name)
    ready(page)
    block = dsp_viz.analyse(request.getfixturevalue(name), EXAMPLES[0]).trace.blocks[2]
    for query in ((0, 0), (15, 15), (3, 12), (8, 7), (15, 0)):
        ask(page, query)
        (got,) = maps_of(page)
        want = maps.block_maps(block, query)[0].flatten(2).numpy()
        assert got.shape == want.shape
        assert (np.abs(got - want).max(-1) <= want.max(-1) / 255).all()
    page.get_by_label("all queries").first.check()
    expect(page.locator(".dv-read")).to_contain_text("all queries")
    want = maps.block_maps(block, "all")[0].flatten(2).numpy()
    assert (np.abs(maps_of(page)[0] - want).max(-1) <= want.max(-1) / 255).all()


def test_another_model_changes_the_view_and_the_link(page: Page) -> None:
    ready(page)
    stage = page.locator(".dv-stage")
    stage.focus()
    for key in ("s", "p", "d"):  # the second scale, the opposite stream, the index: softmax has none of them
        stage.press(key)
    choose(page, "Model", "softmax_small")
    expect(page.locator("#prediction .facts")).to_contain_text("softmax_small")
    expect(page.locator(".dv-read")).to_contain_text("head 1 · softmax")
    other = page.context.new_page()
    other.goto(page.url.split("#")[0] + f"#model=softmax_small&picture={EXAMPLES[0].stem}")
    expect(other.locator("#prediction .facts")).to_contain_text("softmax_small")
    other.close()
    choose(page, "Model", "dsp_tiny")
    expect(page.locator("#prediction .facts")).to_contain_text("dsp_tiny")
    page.get_by_role("tab", name="Mixing weights").click()
    expect(page.locator("#mixing .js-plotly-plot")).to_be_visible()


def opened(page: Page) -> None:
    ready(page)
    page.get_by_role("tab", name="Compare").click()
    expect(page.locator(".dc")).to_have_attribute("data-busy", "false")
    expect(page.locator(".dc td").first).not_to_be_empty()


def told(page: Page, side: int) -> list[str]:
    rows = page.locator(".dc tbody tr")
    return [rows.nth(i).locator("td").nth(side).inner_text() for i in range(rows.count())]


def press(page: Page, *keys: str) -> None:
    canvas = page.locator(".dc-sides canvas").first
    canvas.focus()
    for key in keys:
        canvas.press(key)


def check(
    numbers: list[str], result: dsp_viz.Analysis, b: int, head: int, scale: int, stream: int, query: tuple
) -> None:
    block = result.trace.blocks[b]
    row = maps.block_maps(block, query)[scale][stream, head]
    name, p = result.top(1)[0]
    assert numbers[0].endswith(f", {result.model}")
    assert numbers[1] == f"{name} {100 * p:.1f} %"
    size = f"{2**scale}×, " if len(block.scales) > 1 else ""
    assert numbers[2] == f"block {b + 1}, head {head + 1}, {size}{maps.streams(block)[stream]}"
    assert float(numbers[3]) == pytest.approx(float(maps.entropy(row)), abs=2e-3)
    assert float(numbers[4]) == pytest.approx(row.numel() * float(row.max()), rel=0.01)
    if block.finish == "ratio":
        assert float(numbers[5]) == pytest.approx(float(maps.same_share(block, query)[head, scale]), abs=2e-3)
    if result.model == "dsp_tiny":
        assert float(numbers[6]) == pytest.approx(float(block.coefficients[0, head, scale, stream]), abs=6e-4)
        assert float(numbers[7]) == pytest.approx(float(block.weights[0, head, scale]), abs=6e-4)
    else:
        assert numbers[6:] == ["–"] * 3


def test_two_models_on_one_picture(page: Page, model: dsp_viz.Subject, softmax_small: dsp_viz.Subject) -> None:
    """Numbers of both, and their difference as it is drawn."""
    opened(page)
    assert told(page, 0)[0] == f"{EXAMPLES[0].stem}, dsp_tiny"
    assert told(page, 1)[0] == f"{EXAMPLES[0].stem}, softmax_small"
    press(page, "ArrowUp", "ArrowRight")
    page.locator('[data-side="0"][data-key="head"]').select_option(index=2)
    expect(page.locator(".dc td").nth(5)).to_contain_text("head 3")  # both sides follow
    results = [dsp_viz.analyse(one, EXAMPLES[0]) for one in (model, softmax_small)]
    for side, result in enumerate(results):
        check(told(page, side), result, 2, 2, 0, 0, (7, 9))
    end = float(page.locator(".dc-sides p").nth(2).inner_text().split("teal ")[1].split(" ×")[0].removeprefix("≥ "))
    url = page.evaluate("document.querySelector('.dc-difference').toDataURL().split(',')[1]")
    drawn = np.asarray(Image.open(BytesIO(base64.b64decode(url))).convert("RGBA")).astype(float)
    first, second = (maps.block_maps(r.trace.blocks[2], (7, 9))[0][0, 2] for r in results)
    want = 256 * (second - first).numpy() / end
    unit = drawn.shape[0] / 16
    for r, c in ((2, 3), (9, 11), (14, 6), (12, 2)):
        red, _, blue, alpha = drawn[int((r + 0.5) * unit), int((c + 0.5) * unit)]
        assert alpha / 255 == pytest.approx(min(1, abs(want[r, c])), abs=0.02)
        if alpha > 20:
            assert (red < blue) == (want[r, c] > 0)


def test_it_begins_with_the_query_of_the_maps_and_says_which(page: Page) -> None:
    ready(page)
    ask(page, (2, 11))
    tab(page, "Compare")
    expect(page.locator(".dc thead th").first).to_have_text(re.compile("^token row 3, column 12 of "))
    page.get_by_role("toolbar", name="What is compared").get_by_label("all queries").check()
    expect(page.locator(".dc thead th").first).to_have_text("all queries, averaged")


def test_sides_apart_and_other_pictures(page: Page, polaformer_small: dsp_viz.Subject) -> None:
    opened(page)
    choose(page, "Picture B", EXAMPLES[4].stem)
    choose(page, "Model B", "polaformer_small")
    expect(page.locator(".dc td").nth(1)).to_have_text(f"{EXAMPLES[4].stem}, polaformer_small")
    page.get_by_label("same block, head, scale and stream").uncheck()
    page.locator('[data-side="0"][data-key="scale"]').select_option(index=1)
    expect(page.locator('[data-side="1"][data-key="scale"]')).to_be_hidden()  # it has one
    page.set_viewport_size({"width": 1000, "height": 900})  # the choices of A need one line more
    page.wait_for_function(
        """() => {
            const maps = [...document.querySelectorAll(".dc-sides canvas:not(.dc-scale)")];
            const tops = maps.map((map) => Math.round(map.getBoundingClientRect().top));
            return innerWidth === 1000 && tops.length > 1 && tops.every((top) => top === tops[0]);
        }"""
    )
    page.set_viewport_size({"width": 1440, "height": 900})
    page.locator('[data-side="1"][data-key="stream"]').select_option(index=1)
    page.locator('[data-side="1"][data-key="block"]').select_option(index=4)
    expect(page.locator(".dc td").nth(5)).to_contain_text("block 5, head 1, opposite")
    box = page.locator(".dc-sides canvas[tabindex]").nth(1).bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 4.5 * box["width"] / 16, box["y"] + 10.5 * box["height"] / 16)
    check(told(page, 0), dsp_viz.analyse(dsp_viz.load("dsp_tiny"), EXAMPLES[0]), 2, 0, 1, 0, (10, 4))
    check(told(page, 1), dsp_viz.analyse(polaformer_small, EXAMPLES[4]), 4, 0, 0, 1, (10, 4))
    with Image.open(saved(page, "PNG", ".dc").path()) as picture:
        assert picture.width > 1.5 * picture.height
    root = ET.parse(saved(page, "SVG", ".dc").path()).getroot()
    texts = [text.text or "" for text in root.iter(f"{SVG}text")]
    grounds = [r.attrib["fill"] for r in root.iter(f"{SVG}rect") if r.get("height") == "10"][::2]  # of the three bars
    assert all(ground.startswith("rgba(") for ground in grounds[:2])
    assert grounds[2] == "#f4f6f7"  # no picture lies under the difference
    for words in (
        f"A: {EXAMPLES[0].stem} · dsp_tiny",
        f"B: {EXAMPLES[4].stem} · polaformer_small",
        "block 5, head 1, opposite",
        "token row 11, column 5 of A",
        "× uniform, one scale for both",
        "difference, × uniform",
    ):
        assert any(text.startswith(words) for text in texts), (words, texts)


def test_a_map_that_passes_the_common_end_says_so(page: Page) -> None:
    opened(page)
    marked = set()
    for place in ((8, 8), (7, 7), (0, 15)):
        box = page.locator(".dc-sides canvas").first.bounding_box()
        assert box is not None
        page.mouse.click(
            box["x"] + (place[1] + 0.5) * box["width"] / 16, box["y"] + (place[0] + 0.5) * box["height"] / 16
        )
        expect(page.locator(".dc-sides p").first).to_contain_text("× uniform")
        peaks = [float(told(page, side)[4]) for side in (0, 1)]
        for side, peak in enumerate(peaks):
            beyond, end = end_of_scale(page.locator(".dc-sides p").nth(side).inner_text())
            assert beyond == (peak > end * 1.005)
            bar = page.locator(".dc-scale").nth(side).get_attribute("aria-label") or ""
            assert end_of_scale(bar) == (beyond, end)
            marked.add(beyond)
    assert marked == {True, False}


def test_comparison_follows_the_picture_on_the_screen(page: Page) -> None:
    opened(page)
    page.locator("#examples button").nth(3).click()
    for cell in (0, 1):
        expect(page.locator(".dc td").nth(cell)).to_contain_text(EXAMPLES[3].stem)


def test_what_is_chosen_while_the_last_is_answered_stays_chosen(page: Page) -> None:
    opened(page)
    slow(page, 1500)
    for label, value in (
        ("Picture B", EXAMPLES[1].stem),
        ("Picture B", EXAMPLES[2].stem),
        ("Model A", "softmax_small"),
    ):
        choose(page, label, value)
        page.wait_for_timeout(400)  # each asks on its own
    expect(page.locator(".dc td").nth(0)).to_contain_text("softmax_small")
    expect(page.locator(".dc td").nth(1)).to_contain_text(EXAMPLES[2].stem)
    page.wait_for_timeout(2000)  # nothing comes after it that sets it back
    expect(page.locator(".dc td").nth(1)).to_contain_text(EXAMPLES[2].stem)
    expect(page.get_by_label("Picture B", exact=True)).to_have_value(EXAMPLES[2].stem)


def test_what_is_chosen_while_a_picture_is_computed_is_compared(page: Page) -> None:
    opened(page)
    slow(page, 1500)
    page.locator("#examples button").nth(3).click()
    page.wait_for_timeout(300)  # it is asked for first
    choose(page, "Picture B", EXAMPLES[2].stem)
    # The choice is answered for the old picture first.
    expect(page.locator(".dc td").nth(1)).to_contain_text(EXAMPLES[2].stem)
    expect(page.locator(".dc td").nth(0)).to_contain_text(EXAMPLES[3].stem)
    expect(page.locator(".dc td").nth(1)).to_contain_text(EXAMPLES[2].stem)


def test_comparison_on_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    ready(page)
    tab(page, "Compare")
    expect(page.locator(".dc")).to_have_attribute("data-busy", "false")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for part in page.locator("#compare :is(button, select, input, canvas)").all():
        box = part.bounding_box()
        assert box is None or (box["x"] >= 0 and box["x"] + box["width"] <= 390)


def test_picture_and_model_of_a_side_stand_beside_one_another(page: Page) -> None:
    page.set_viewport_size({"width": 1440, "height": 900})
    ready(page)
    tab(page, "Compare")
    labels = [f"{what} {side}" for side in "AB" for what in ("Picture", "Model")]
    expect(page.get_by_label(labels[-1], exact=True)).to_be_visible()
    for width, lines in ((1440, [1, 1, 1, 1]), (820, [1, 1, 2, 2]), (390, [1, 1, 2, 2])):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_function(
            """([labels, lines]) => {
                const tops = labels.map((label) =>
                    Math.round(document.querySelector(`input[aria-label="${label}"]`).getBoundingClientRect().top));
                const found = tops.map((top) => 1 + new Set(tops.filter((other) => other < top)).size);
                return String(found) === String(lines);
            }""",
            arg=[labels, lines],
        )


def test_a_model_without_a_twin_is_compared_with_itself(model: dsp_viz.Subject, softmax_small: dsp_viz.Subject) -> None:
    """Pyramid and dsp_tiny do not tell the same classes apart; softmax_small and dsp_tiny do."""
    for models, picture, name in (
        ([model, pyramid.subject()], EXAMPLES[-1].stem, "dsp_tiny"),
        ([model, softmax_small, pyramid.subject()], CURRENT, "softmax_small"),
    ):
        with gr.Blocks():
            compare = Comparison(Results(models, EXAMPLES, Store(max_bytes=1)))
        assert [choice.value for choice in compare.inputs] == [CURRENT, picture, "dsp_tiny", name]
