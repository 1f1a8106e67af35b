"""The view of the maps in a real browser: its arithmetic against numpy, its pointer and keys, what it gives away."""

import base64
import itertools
from io import BytesIO

import numpy as np
import pytest
from conftest import EXAMPLES
from PIL import Image
from playwright.sync_api import Page, expect
from viewing import ask, choose, end_of_scale, look, maps_of, ready, settle

import dsp_viz
from dsp_viz import maps


def test_every_map_equals_the_exact_one(page: Page, model: dsp_viz.Subject) -> None:
    ready(page)
    result = dsp_viz.analyse(model, EXAMPLES[0])
    for b in (1, 4):
        look(page, block=b)
        expect(page.locator('[data-out="block"]')).to_have_text(f"{b + 1} / 6")
        ready(page)
        for query in ((0, 0), (15, 15), (3, 12), (8, 7), (15, 0)):
            ask(page, query)
            exact = maps.block_maps(result.trace.blocks[b], query)
            for got, want in zip(maps_of(page), [*exact, maps.layer_map(result.trace.blocks[b], query)], strict=True):
                want = want.flatten(2).numpy()
                assert got.shape == want.shape
                assert (np.abs(got - want).max(-1) <= want.max(-1) / 255).all()


def test_average_over_all_queries(page: Page, model: dsp_viz.Subject) -> None:
    ready(page)
    page.get_by_label("all queries").check()
    expect(page.locator(".dv-read")).to_contain_text("all queries, averaged")
    exact = maps.block_maps(dsp_viz.analyse(model, EXAMPLES[0]).trace.blocks[2], "all")
    for got, want in zip(maps_of(page), exact, strict=False):
        np.testing.assert_allclose(got, want.flatten(2).numpy(), rtol=0, atol=float(want.max()) / 255)


def test_nothing_is_requested_for_another_query_or_look(page: Page) -> None:
    ready(page)
    page.wait_for_timeout(1200)  # the neighbouring blocks come in
    requests: list[str] = []
    page.on("request", lambda r: requests.append(r.url) if "heartbeat" not in r.url else None)
    stage = page.locator(".dv-stage")
    stage.focus()
    for key in ("ArrowLeft", "ArrowDown", "s", "p", "a", "d", "m"):
        stage.press(key)
    page.get_by_label("Opacity").fill("0.4")
    page.get_by_label("Colours").select_option("own")
    stage.click(position={"x": 40, "y": 60})
    page.wait_for_timeout(500)
    assert requests == []


def test_keys(page: Page) -> None:
    ready(page)
    stage, read = page.locator(".dv-stage"), page.locator(".dv-read")
    expect(read).to_contain_text("token row 9, column 9 · block 3 · head 1 · 1× · same")
    stage.focus()
    for key, text in (
        ("ArrowRight", "row 9, column 10"),
        ("ArrowDown", "row 10, column 10"),
        ("ArrowLeft", "row 10, column 9"),
        ("ArrowUp", "row 9, column 9"),
        ("3", "head 3"),
        ("s", "2×"),
        ("p", "opposite"),
        ("]", "block 4"),
        ("[", "block 3"),
        ("d", "same − opposite"),
        ("a", "all queries"),
        ("s", "4×"),
        ("s", "layer"),
    ):
        stage.press(key)
        expect(read).to_contain_text(text)
    expect(page.locator(".dv-help")).to_be_hidden()
    stage.press("?")
    expect(page.locator(".dv-help")).to_be_visible()
    expect(page.get_by_role("button", name="keys")).to_have_attribute("aria-expanded", "true")
    for _ in range(30):
        stage.press("ArrowRight")
    expect(read).to_contain_text("column 16")


def test_click_and_drag_ask_and_the_panel_chooses(page: Page) -> None:
    ready(page)
    stage, read = page.locator(".dv-stage"), page.locator(".dv-read")
    box = stage.bounding_box()
    assert box is not None
    unit = box["width"] / 16
    page.mouse.move(box["x"] + 2.5 * unit, box["y"] + 12.5 * unit)
    page.mouse.down()
    expect(read).to_contain_text("token row 13, column 3")
    page.mouse.move(box["x"] + 5.5 * unit, box["y"] + 10.5 * unit, steps=4)
    expect(read).to_contain_text("token row 11, column 6")
    page.mouse.up()
    page.mouse.move(box["x"] + 9.5 * unit, box["y"] + 1.5 * unit)
    expect(page.locator(".dv-hover")).to_contain_text("key row 2, column 10")
    expect(read).to_contain_text("token row 11, column 6")
    panel = page.locator(".dv-panel").bounding_box()
    assert panel is not None
    page.mouse.click(panel["x"] + panel["width"] - 10, panel["y"] + panel["height"] - 40)
    expect(read).to_contain_text("head 4 · layer · opposite")


def pixels(page: Page, canvas: str) -> np.ndarray:
    data = page.evaluate("name => document.querySelector(name).toDataURL().split(',')[1]", canvas)
    return np.asarray(Image.open(BytesIO(base64.b64decode(data))).convert("RGBA")).astype(float)


def test_the_panel_shows_the_numbers(page: Page, model: dsp_viz.Subject) -> None:
    """Each map on its own scale: a token's opacity is its share of the scale's end, as drawn."""
    ready(page)
    page.get_by_label("Colours").select_option("fixed")
    settle(page)
    drawn = pixels(page, ".dv-panel")
    want = maps.block_maps(dsp_viz.analyse(model, EXAMPLES[0]).trace.blocks[2], (8, 8))[2][0, 2].numpy() * 16 / 8
    left, top, size, tall, gap, step = (52, 36, 0.0, 0.0, 6, 0.0)
    width = drawn.shape[1]
    size = (width - left - gap * 8 - 3 * gap) / 8
    tall, step = size, size + gap + 15
    x0, y0 = left + gap + 4 * (size + gap) + 2 * gap, top + 2 * step
    # Colour over the faint ground: the red of the teal ramp (15) tells how much of it there is.
    share = np.zeros((4, 4))
    for r, c in itertools.product(range(4), range(4)):
        alpha = drawn[int(y0 + (r + 0.5) * tall / 4), int(x0 + (c + 0.5) * size / 4), 3] / 255
        share[r, c] = 1 - (1 - alpha) / (1 - 0.07)
    np.testing.assert_allclose(share, np.minimum(want, 1), atol=0.02)


TEAL = np.array([15, 138, 128])


def share(drawn: np.ndarray, ground: np.ndarray, ink: np.ndarray = TEAL) -> float:
    """How much of an ink lies on a ground, from the colour channel that tells it best."""
    channel = np.abs(ink - ground[:3]).argmax()
    return float((drawn[channel] - ground[channel]) / (ink[channel] - ground[channel]))


def test_the_large_map_has_the_colours_of_its_bar(page: Page) -> None:
    """On the map and on the bar, the share of the ink is the value's share of the end, times the opacity."""
    ready(page)
    for opacity in (1, 0.5):
        slider = page.get_by_label("Opacity")
        slider.fill("0")
        settle(page)
        ground = pixels(page, ".dv-stage")
        slider.fill(str(opacity))
        settle(page)
        drawn, bar = pixels(page, ".dv-stage"), pixels(page, ".dv-scale")
        values = 256 * maps_of(page)[0][0, 0]
        _, end = end_of_scale(page.locator(".dv-scale").get_attribute("aria-label") or "")
        unit = drawn.shape[0] / 16
        checked = 0
        for r, c in itertools.product(range(16), range(16)):
            place = int((r + 0.5) * unit), int((c + 0.5) * unit)
            if (r, c) == (8, 8) or np.abs(TEAL - ground[place][:3]).max() < 60:
                continue  # the frame; a ground that is too much like the ink
            want = opacity * min(1, values[16 * r + c] / end)
            assert share(drawn[place], ground[place]) == pytest.approx(want, abs=0.03)
            checked += 0.1 < want < 0.9 * opacity
        assert checked > 10
        row = bar[8, :, :3]
        left, right = np.flatnonzero(bar[8, :, 3] > 250)[[0, -1]]
        for at in (0.25, 0.5, 0.75, 0.99):
            assert share(row[int(left + at * (right - left))], row[left]) == pytest.approx(opacity * at, abs=0.03)


def test_an_end_that_is_passed_is_marked(page: Page) -> None:
    ready(page)
    for show, colours in itertools.product(("maps", "index"), ("shared", "own", "fixed")):
        page.locator('[data-set="show"]').select_option(show)
        page.get_by_label("Colours").select_option(colours)
        marked = set()
        for head, query in itertools.product(range(4), ((0, 0), (8, 8), (15, 3), (5, 12))):
            look(page, head=head, query=query)
            told = page.locator(".dv-scale").get_attribute("aria-label") or ""
            beyond, end = end_of_scale(told)
            same, opposite = (256 * row for row in maps_of(page)[0][:, head])
            drawn = same - opposite if show == "index" else same
            assert beyond == (drawn.max() > end * 1.005), told
            if show == "index":
                assert ("≤ −" in told) == (-drawn.min() > end * 1.005), told
                assert f"−{end:g} to" in told
            marked.add(beyond)
            every = page.locator(".dv-key").get_attribute("aria-label") or ""
            if colours == "own":
                assert "each map from 0 to its own end" in every
            else:
                assert f"{end:g} × uniform" in every
                assert "≥" in every or not beyond
        assert True in marked


def test_what_softmax_lacks_is_not_offered(page: Page) -> None:
    ready(page)
    stage = page.locator(".dv-stage")
    expect(page.locator('[data-set="show"]')).to_be_visible()
    choose(page, "Model", "softmax_small")
    expect(page.locator(".dv-read")).to_contain_text("softmax")
    expect(page.locator('[data-set="show"]')).to_be_hidden()
    stage.focus()
    stage.press("?")
    expect(page.locator(".dv-help")).to_be_visible()
    expect(page.locator(".dv-help")).not_to_contain_text("same − opposite", use_inner_text=True)
    expect(page.locator(".dv-help")).not_to_contain_text("whole layer", use_inner_text=True)
    stage.press("d")
    assert page.locator('[data-set="show"]').input_value() == "maps"


@pytest.mark.parametrize(
    ("size", "whole", "grid", "told"),
    [
        ("256 px", False, (32, 32), "32×32 tokens"),
        ("128 px", True, (11, 16), "11 rows × 16 columns of tokens"),
    ],
)
def test_other_sizes(page: Page, size: str, whole: bool, grid: tuple[int, int], told: str) -> None:
    ready(page)
    if size != "128 px":
        page.get_by_role("radio", name=size).check()
    if whole:
        page.locator("#examples button").nth(1).click()  # 451×300: an odd number of rows
        page.get_by_label("Whole picture").check()
    expect(page.locator(".facts").first).to_contain_text(told)
    expect(page.locator(".dv-read")).to_contain_text(f"of {grid[0]}×{grid[1]} keys")
    assert maps_of(page)[0].shape == (2, 4, grid[0] * grid[1])
    stage = page.locator(".dv-stage").bounding_box()
    assert stage is not None
    assert stage["width"] / stage["height"] == pytest.approx(grid[1] / grid[0], rel=0.02)


def test_a_choice_that_overtakes_another_counts(page: Page) -> None:
    """The first question of the page is late: the second, asked after it, arrives before it."""
    ready(page)
    script = """() => {
        const soon = window.fetch;
        let first = true;
        window.fetch = async (...request) => {
            const { pathname } = new URL(request[0] instanceof Request ? request[0].url : request[0], location.href);
            const late = first && pathname.endsWith("/queue/join");
            if (late) first = false;
            if (late) await new Promise(done => setTimeout(done, 2500));
            return soon(...request);
        };
    }"""
    page.evaluate(script)
    page.locator("#examples button").nth(1).click()  # 451×300
    page.wait_for_timeout(300)
    page.get_by_label("Whole picture").check()
    expect(page.locator(".facts").first).to_contain_text("all of 451×300 pixels")


def test_second_upload_wins(page: Page, model: dsp_viz.Subject) -> None:
    ready(page)
    for path in EXAMPLES[2:5]:
        page.locator("#examples").get_by_label(path.stem.replace("-", " ")).or_(
            page.locator(f"#examples button:has(img[src*='{path.stem}'])")
        ).first.click()
    best, p = dsp_viz.analyse(model, EXAMPLES[4]).top(1)[0]
    expect(page.locator("#prediction .row").first).to_contain_text(f"{100 * p:.1f} %")
    page.wait_for_timeout(700)
    expect(page.locator("#prediction .row").first).to_contain_text(f"{100 * p:.1f} %")
    assert best in page.locator("#prediction .row").first.inner_text()


def test_phone_width_has_no_sideways_scroll(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    ready(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    box = page.locator(".dv-stage").bounding_box()
    assert box is not None
    assert box["y"] < 760, "the maps begin below the first screen"
    expect(page.locator(".dv-numbers td").first).to_be_visible()  # drawn last, when the page is idle
    # A wide table scrolls within a box of its own: there the box has to fit.
    outside = page.evaluate(
        """() => [...document.querySelectorAll("#view :is(button, select, input, canvas, td)")].filter(part => {
            const scrolls = e => /auto|scroll/.test(getComputedStyle(e).overflowX);
            let seen = part;
            for (let e = part; e.id !== "view"; e = e.parentElement) if (scrolls(e)) seen = e;
            const {left, right, width} = seen.getBoundingClientRect();
            return width && (left < 0 || right > innerWidth);
        }).map(part => part.outerHTML)"""
    )
    assert not outside


def overlaps(page: Page, selector: str) -> list[str]:
    """Pairs of visible elements that cover each other, without being one in the other."""
    return page.evaluate(
        """selector => {
            const parts = [...document.querySelectorAll(selector)].filter(e => e.checkVisibility());
            const boxes = parts.map(e => e.getBoundingClientRect());
            const found = [];
            parts.forEach((a, i) => parts.slice(i + 1).forEach((b, j) => {
                const [p, q] = [boxes[i], boxes[i + 1 + j]];
                const w = Math.min(p.right, q.right) - Math.max(p.left, q.left);
                const h = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
                if (w > 1 && h > 1 && !a.contains(b) && !b.contains(a))
                    found.push([a, b].map(e => e.outerHTML.slice(0, 80)).join(" / "));
            }));
            return found;
        }""",
        selector,
    )


@pytest.mark.parametrize("width", [390, 720, 1280, 1440])
def test_nothing_covers_anything(page: Page, width: int) -> None:
    """Also at 200 % zoom: that is 720 of 1440 pixels."""
    page.set_viewport_size({"width": width, "height": 844 if width == 390 else 450 if width == 720 else 900})
    ready(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert overlaps(page, "#masthead h1, #masthead p, #rail > *, [role=tab], .dv-bar > *, .dv canvas, .dv p") == []


def test_unknown_results_are_not_told(page: Page, address: str) -> None:
    for path in ("results/guess/0", "results/guess/picture", "results/../app.py"):
        assert page.request.get(f"{address}{path}").status == 404
