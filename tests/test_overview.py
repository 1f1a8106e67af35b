"""The overview in a real browser: what is drawn, where clicks and keys lead, and what is fetched when."""

import base64
import re
from collections.abc import Iterator
from io import BytesIO

import numpy as np
import pytest
from conftest import EXAMPLES, serving
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, Route, expect
from test_pyramid_screen import PYRAMID, SWIN, VIT
from viewing import READY, choose, described, end_of_scale, link_of, look, ready, saved, settle, tab

import dsp_viz
from dsp_viz import maps, ui
from dsp_viz.store import Store

EMPTY = 0.09  # how much of the ground's ink lies where nothing is, in the light


def complete(page: Page) -> None:
    """Every head is drawn for what is asked."""
    expect(page.locator("#overview .do")).to_have_attribute("data-busy", "false")
    settle(page)


def opened(page: Page) -> None:
    ready(page)
    tab(page, "Overview")
    complete(page)


def head(page: Page, layer: int, head: int) -> Locator:
    return page.locator(f'#overview [data-layer="{layer}"][data-head="{head}"]')


def drawn(cell: Locator, shape: tuple[int, int], beside: int = 1) -> np.ndarray:
    """The maps of a cell as shares of the end of their scale, ``(beside, H, W)``, from the opacity of their pixels."""
    url = cell.locator("canvas").evaluate("canvas => canvas.toDataURL().split(',')[1]")
    alpha = np.asarray(Image.open(BytesIO(base64.b64decode(url))).convert("RGBA"))[..., 3] / 255
    size, gap = (alpha.shape[1] - 2 * (beside - 1)) / beside, 2
    rows = ((np.arange(shape[0]) + 0.5) * alpha.shape[0] / shape[0]).astype(int)
    columns = (np.arange(shape[1]) + 0.5) * size / shape[1]
    found = [alpha[np.ix_(rows, (i * (size + gap) + columns).astype(int))] for i in range(beside)]
    return 1 - (1 - np.stack(found)) / (1 - EMPTY)


def until(page: Page, held: list[Route]) -> None:
    """Wait until something is held."""
    for _ in range(READY // 100):
        if held:
            return
        page.wait_for_timeout(100)
    raise AssertionError("nothing was asked for")


def test_every_head_of_every_block_is_drawn(page: Page, model: dsp_viz.Subject) -> None:
    """On a fixed scale, of 8 × uniform; effective maps, for the query of the page and then for another."""
    blocks = dsp_viz.analyse(model, EXAMPLES[0]).trace.blocks
    opened(page)
    page.locator("#overview").get_by_label("Colours").select_option("fixed")
    picture = page.locator(".do-picture").bounding_box()
    assert picture is not None
    for query in ((8, 8), (3, 12)):
        unit = picture["width"] / 16
        page.mouse.click(picture["x"] + (query[1] + 0.5) * unit, picture["y"] + (query[0] + 0.5) * unit)
        expect(page.locator(".do-asked")).to_have_text(f"token row {query[0] + 1}, column {query[1] + 1}")
        complete(page)
        assert page.locator("#overview [data-layer]").count() == 6 * 4
        for b, block in enumerate(blocks):
            want = maps.layer_map(block, query).numpy()  # (streams, h, 16, 16)
            for h in range(4):
                got = drawn(head(page, b, h), (16, 16), 2)
                np.testing.assert_allclose(got, np.minimum(want[:, h] * 256 / 8, 1), atol=0.015)
    assert described(page)["query"] == [3, 12]


def test_nothing_is_fetched_before_the_overview_is_opened(page: Page) -> None:
    ready(page)
    asked: list[int] = []
    page.on(
        "request",
        lambda r: asked.append(int(r.url.rsplit("/", 1)[1])) if re.search(r"/results/[^/]+/\d+$", r.url) else None,
    )
    page.goto(page.url)
    ready(page)
    page.wait_for_timeout(1200)
    assert set(asked) <= {1, 2, 3}  # the one that is shown and those beside it
    tab(page, "Overview")
    complete(page)
    assert sorted(asked) == list(range(6)), "each once"
    for query in ("all", [5, 3]):
        look(page, query=query)
        complete(page)
    page.locator("#overview [data-scales]").select_option("2×")
    complete(page)
    assert sorted(asked) == list(range(6))


def test_fetching_ends_when_the_overview_is_left_and_goes_on_when_it_is_seen(page: Page) -> None:
    held: list[Route] = []
    page.route(re.compile(r"/results/[^/]+/0$"), lambda route: held.append(route))
    asked: list[str] = []
    page.on("request", lambda r: asked.append(r.url.rsplit("/", 1)[1]))
    page.goto(page.url)
    ready(page)
    tab(page, "Overview")
    until(page, held)
    tab(page, "Attention maps")
    expect(page.locator(".dv-stage")).to_be_visible()
    held[0].continue_()
    page.wait_for_timeout(800)
    assert "5" not in asked
    tab(page, "Overview")
    complete(page)
    assert "5" in asked


def test_a_click_opens_the_head_and_its_map(page: Page) -> None:
    opened(page)
    read = page.locator(".dv-read")
    for layer, h, right, told in ((4, 2, False, "same"), (0, 3, True, "opposite")):
        box = head(page, layer, h).locator("canvas").bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + box["width"] * (0.7 if right else 0.3), box["y"] + 9)
        expect(page.locator(".do-read b")).to_have_text(f"block {layer + 1} · head {h + 1}")
        expect(page.locator(".do-read span").nth(1)).to_contain_text("layer, opposite: peak")
        page.mouse.down()
        page.mouse.up()
        expect(page.get_by_role("tab", name="Attention maps")).to_have_attribute("aria-selected", "true")
        expect(read).to_contain_text(f"block {layer + 1} · head {h + 1} · layer · {told}")
        page.get_by_role("tab", name="Overview").click()
        expect(head(page, layer, h)).to_have_attribute("aria-selected", "true")
    assert page.locator("#overview [aria-selected=true]").count() == 1


def test_the_keyboard_reaches_every_head(page: Page) -> None:
    opened(page)
    cells = page.locator("#overview [data-layer]")
    assert page.locator('#overview [data-layer][tabindex="0"]').count() == 1
    head(page, 2, 0).focus()  # where the maps are
    for key, layer, h in (
        ("ArrowRight", 2, 1),
        ("ArrowDown", 3, 1),
        ("End", 3, 3),
        ("ArrowRight", 3, 3),
        ("ArrowUp", 2, 3),
        ("Home", 2, 0),
        ("ArrowUp", 1, 0),
    ):
        page.keyboard.press(key)
        expect(head(page, layer, h)).to_be_focused()
        expect(page.locator(".do-read b")).to_have_text(f"block {layer + 1} · head {h + 1}")
    assert cells.evaluate_all("all => all.filter(each => each.tabIndex === 0).length") == 1
    assert head(page, 1, 0).evaluate("cell => getComputedStyle(cell).outlineStyle") == "solid"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.locator(".dv-read")).to_contain_text("block 2 · head 2 · layer · same")
    expect(page.get_by_role("tab", name="Attention maps")).to_be_focused()
    tab(page, "Overview")
    page.locator(".do-picture").press("ArrowUp")
    page.locator(".do-picture").press("ArrowRight")
    expect(page.locator(".do-asked")).to_have_text("token row 8, column 10")


def test_one_query_and_one_look_for_both_tabs(page: Page) -> None:
    ready(page)
    look(page, query=[2, 11])
    opened(page)
    expect(page.locator(".do-asked")).to_have_text("token row 3, column 12")
    part = page.locator("#overview")
    part.get_by_label("all queries").check()
    expect(page.locator(".do-asked")).to_have_text("all queries, averaged")
    part.locator('[data-set="show"]').select_option("same − opposite")
    expect(page.locator(".do-bars canvas")).to_have_attribute("aria-label", re.compile("opposite more"))
    part.locator("[data-scales]").select_option("2×")
    complete(page)
    end_of_scale(page.locator(".do-bars canvas").get_attribute("aria-label") or "")
    link = link_of(page)
    tab(page, "Attention maps")
    expect(page.locator(".dv-read")).to_contain_text("all queries, averaged")
    expect(page.locator(".dv-read")).to_contain_text("same − opposite")
    page.get_by_label("all queries").first.uncheck()
    expect(page.locator(".dv-read")).to_contain_text("token row 3, column 12")
    tab(page, "Overview")
    expect(page.locator(".do-asked")).to_have_text("token row 3, column 12")
    other = page.context.new_page()
    other.goto(link)
    expect(other.get_by_role("tab", name="Overview")).to_have_attribute("aria-selected", "true")
    complete(other)
    expect(other.locator(".do-asked")).to_have_text("all queries, averaged")
    expect(other.locator("#overview [data-scales] option:checked")).to_have_text("2×")
    expect(other.locator('#overview [data-set="show"]')).to_have_value("index")


def test_the_newest_query_wins(page: Page, model: dsp_viz.Subject) -> None:
    """Another is asked while a layer is on its way."""
    held: list[Route] = []
    page.route(re.compile(r"/results/[^/]+/5$"), lambda route: held.append(route))
    page.goto(page.url)
    ready(page)
    tab(page, "Overview")
    expect(head(page, 4, 0).locator("canvas")).to_be_visible()
    page.locator("#overview").get_by_label("Colours").select_option("fixed")
    for query in ((1, 2), (14, 3), (6, 9)):
        look(page, query=query)
    until(page, held)
    for route in held:
        route.continue_()
    complete(page)
    block = dsp_viz.analyse(model, EXAMPLES[0]).trace.blocks[5]
    want = maps.layer_map(block, (6, 9)).numpy()[:, 2]
    np.testing.assert_allclose(drawn(head(page, 5, 2), (16, 16), 2), np.minimum(want * 32, 1), atol=0.015)


def test_a_result_that_is_gone_is_analysed_again(browser: Browser, model: dsp_viz.Subject) -> None:
    store = Store(max_bytes=1)  # keeps the newest result only
    with ui.serving(ui.create_app(ui.build([model], EXAMPLES, store), store)) as address:
        page = browser.new_page()
        page.goto(address)
        ready(page)
        page.wait_for_timeout(1200)  # the neighbouring blocks come in
        held: list[Route] = []
        page.route(re.compile(r"/results/[^/]+/0$"), lambda route: route.continue_() if held else held.append(route))
        tab(page, "Overview")
        until(page, held)
        store.put("another", {}, None)
        held[0].continue_()
        note = page.locator("#overview .dv-note")
        expect(note).to_contain_text("This result is no longer kept.")
        page.locator("#overview").get_by_role("button", name="Analyse again").click()
        expect(note).to_be_empty()
        complete(page)
        page.close()


def test_it_is_taken_away(page: Page) -> None:
    opened(page)
    with Image.open(saved(page, "PNG", ".do").path()) as picture:
        assert picture.width > 600
        assert len(picture.convert("RGB").getcolors(2**24) or []) > 100
    text = saved(page, "SVG", ".do").path().read_text(encoding="utf-8")
    assert text.count('class="map"') == 6 * 4 * 2
    for words in ("block 6", "token row 9, column 9", "opposite  ← × uniform →  same", "dsp_tiny"):
        assert words in text


@pytest.fixture(scope="module")
def others() -> Iterator[str]:
    with serving([PYRAMID, VIT, SWIN]) as address:
        yield address


@pytest.fixture
def screen(browser: Browser, others: str) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(others)
    opened(page)
    yield page
    page.close()
    assert faults == []


def test_stages_and_layers_of_several_kinds(screen: Page) -> None:
    stages = screen.locator(".do-stage").all_inner_texts()
    assert stages == ["Stage 1: 16×16 tokens", "Stage 2: 8×8 tokens", "Stage 3: 4×4 tokens"]
    names = [" ".join(name.split()) for name in screen.locator(".do-name").all_inner_texts()]
    assert names == [
        "block 1 PolaFormer attention",
        "block 2 PolaFormer attention",
        "block 1 DSP-Attention",
        "block 2 DSP-Attention",
        "block 1 softmax attention",
    ]
    bars = [bar.get_attribute("aria-label") or "" for bar in screen.locator(".do-bars canvas").all()]
    assert len(bars) == 2
    assert "opposite" in bars[0]
    assert "softmax attention, × uniform" in bars[1]
    assert end_of_scale(bars[0])[1] == end_of_scale(bars[1])[1]
    screen.locator("#overview").get_by_label("Colours").select_option("fixed")
    complete(screen)
    block = dsp_viz.analyse(PYRAMID, EXAMPLES[0]).trace.blocks[4]
    want = maps.block_maps(block, (2, 2))[0].numpy()[0, 3] * 16 / 8  # row 9 of 16 is row 3 of 4
    np.testing.assert_allclose(drawn(head(screen, 4, 3), (4, 4))[0], want, atol=0.015)
    head(screen, 3, 1).click()
    expect(screen.locator(".dv-read")).to_contain_text("stage 2 · block 2 · head 2 · layer")


def test_tokens_without_a_place_ask_and_are_told(screen: Page) -> None:
    choose(screen, "Model", "vit")
    expect(screen.locator("#prediction .facts")).to_contain_text("vit")
    expect(screen.locator("#overview [data-layer]")).to_have_count(6)
    complete(screen)
    screen.locator("#overview").locator('[data-set="asks"]').select_option("class token")
    expect(screen.locator(".do-asked")).to_have_text("class token")
    complete(screen)
    layers = dsp_viz.analyse(VIT, EXAMPLES[0]).trace.blocks
    for b, layer in enumerate(layers):
        shares = maps.prefix_shares(layer, "class")[0][0].sum(-1)  # (h,)
        for h in range(3):
            expect(head(screen, b, h)).to_have_text(f"{h + 1} · {100 * float(shares[h]):.0f} %")
    assert described(screen, "overview")["query"] == "class"


def test_windows_are_drawn_alone(screen: Page) -> None:
    choose(screen, "Model", "swin")
    expect(screen.locator("#prediction .facts")).to_contain_text("swin")
    expect(screen.locator("#overview [data-layer]")).to_have_count(2 * 2 + 2 * 3)
    screen.locator("#overview").get_by_label("Colours").select_option("fixed")
    complete(screen)
    block = dsp_viz.analyse(SWIN, EXAMPLES[0]).trace.blocks[0]
    want = maps.block_maps(block, (8, 8))[0].numpy()[0, 1]
    top, left = (int(np.flatnonzero(want.any(axis))[0]) for axis in (1, 0))
    seen = want[top : top + 4, left : left + 4] * 16 / 8
    np.testing.assert_allclose(drawn(head(screen, 0, 1), (4, 4))[0], seen, atol=0.015)


def test_on_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    opened(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    boxes = [cell.bounding_box() for cell in page.locator("#overview [data-layer='0'] canvas").all()]
    tops = [round(box["y"]) for box in boxes if box is not None]
    assert tops == [tops[0], tops[0], tops[2], tops[2]]
    assert tops[2] > tops[0]
    for part in page.locator("#overview :is(button, select, input, canvas)").all():
        box = part.bounding_box()
        assert box is None or (box["x"] >= 0 and box["x"] + box["width"] <= 390)
