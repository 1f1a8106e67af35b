"""The tab Atlas in a real browser: from a number to the pictures behind it, and to their maps."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import surveys
from axe_playwright_python.sync_playwright import Axe
from conftest import EXAMPLES
from playwright.sync_api import Browser, Page, expect
from viewing import READY, choose, described, link_of, opened, ready

import dsp_viz
from dsp_viz import ui
from dsp_viz.store import Store
from dsp_viz.survey import open_survey
from dsp_viz.ui.surveyed import Surveyed


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, model: dsp_viz.Subject) -> tuple[Path, Path]:
    return surveys.write(tmp_path_factory.mktemp("survey"), model=model.name, digest=model.digest)


@pytest.fixture(scope="module")
def place(folders: tuple[Path, Path], model: dsp_viz.Subject, softmax_small: dsp_viz.Subject) -> Iterator[str]:
    """An app with the survey of its first model."""
    store = Store(max_bytes=64 * 2**20)
    surveyed = Surveyed(open_survey(folders[0]), folders[1])
    demo = ui.build([model, softmax_small], EXAMPLES, store, surveyed)
    with ui.serving(ui.create_app(demo, store)) as address:
        yield address


@pytest.fixture
def atlas(browser: Browser, place: str) -> Iterator[Page]:
    """The tab, opened; fails on a console error or an exception."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, reduced_motion="reduce")
    page = context.new_page()
    faults: list[str] = []
    page.on("console", lambda m: faults.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda e: faults.append(str(e)))
    page.goto(f"{place}#tab=atlas")
    drawn(page)
    yield page
    context.close()
    assert faults == []


def drawn(page: Page) -> None:
    expect(page.locator(".da")).to_have_attribute("data-busy", "false")
    expect(page.locator(".da-told")).to_contain_text("pictures")


def first(page: Page) -> str:
    return page.locator(".da tbody tr").first.inner_text()


def pick(page: Page, what: str, value: str) -> None:
    page.locator(f".da [data-set={what}]").select_option(value)
    drawn(page)


def test_without_a_survey_there_is_no_such_tab(page: Page) -> None:
    ready(page)
    expect(page.locator('[data-tab-id="atlas"]')).to_be_hidden()


def test_which_head_looks_far(atlas: Page) -> None:
    expect(atlas.locator(".da-facts")).to_contain_text("41 pictures of 3 classes · dsp_tiny")
    expect(atlas.locator(".da-facts")).to_contain_text("1 could not be read")
    assert first(atlas).startswith("block 5, head 3, 2×, same")
    expect(atlas.locator(".da-read")).to_contain_text("block 5, head 3, 2×, same: 0.4")
    expect(atlas.locator(".da-dot:not(.da-legend *)")).to_have_count(144)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(atlas: Page, theme: str) -> None:
    atlas.evaluate("dark => document.body.classList.toggle('dark', dark)", theme == "dark")
    pick(atlas, "of", "group/animal")
    atlas.wait_for_function("document.getAnimations().every(a => a.playState !== 'running')", timeout=READY)
    found = Axe().run(atlas, ".da").response["violations"]
    assert [(v["id"], [n["html"] for n in v["nodes"]]) for v in found] == []


def test_which_coefficient_reacts_to_animals_and_its_pictures(atlas: Page) -> None:
    pick(atlas, "quantity", "coefficient")
    pick(atlas, "of", "group/animal")
    expect(atlas.locator('[data-by="effect"]')).to_have_text("animal − others ▾")
    assert first(atlas).startswith("block 4, head 2, 4×, opposite")
    expect(atlas.locator(".da-told")).to_contain_text("Outlined: animal, 27 pictures")
    tiles = atlas.locator('[data-end="lowest"] .da-picture')
    expect(tiles).to_have_count(8)
    low = min((i for i in range(2, 41, 3)), key=lambda i: surveys.numbers(i)["coefficient", 3][1, 2, 1])
    assert f"car/{low:02d}.png" in (tiles.first.get_attribute("title") or "")
    expect(tiles.first.locator("img")).to_have_js_property("naturalWidth", 48)
    tiles.first.click()
    expect(atlas.get_by_role("tab", name="Attention maps")).to_have_attribute("aria-selected", "true")
    expect(atlas.locator(".dv-read")).to_contain_text("head 2 · 4× · opposite")
    said = described(atlas)
    assert said["picture"] == f"survey/car/{low:02d}.png"
    assert (said["block"], said["head"], said["scale"], said["stream"]) == (3, 1, 2, 1)
    expect(atlas.locator("#picture img")).to_be_visible()
    other = opened(atlas, link_of(atlas))
    assert described(other)["picture"] == said["picture"]
    other.close()
    atlas.go_back()
    expect(atlas.get_by_role("tab", name="Atlas")).to_have_attribute("aria-selected", "true")
    drawn(atlas)
    assert first(atlas).startswith("block 4, head 2, 4×, opposite")


def test_dots_rows_and_keys_choose_the_same(atlas: Page) -> None:
    title = atlas.locator('.da [data-out="cell"]')
    row = atlas.locator(".da tbody tr").nth(3)
    name = row.locator("th").inner_text()
    row.click()
    expect(title).to_have_text(f"Distance: {name}")
    atlas.locator(".da-depth").focus()
    atlas.keyboard.press("ArrowUp")
    above = atlas.locator(".da tbody tr").nth(2).locator("th").inner_text()
    expect(title).to_have_text(f"Distance: {above}")
    expect(atlas.locator(".da tr[aria-selected=true] th")).to_have_text(above)
    atlas.locator(".da tr[aria-selected=true] button").focus()
    atlas.keyboard.press("ArrowDown")
    expect(title).to_have_text(f"Distance: {name}")
    atlas.locator('[data-by="std"]').click()
    expect(atlas.locator('th[aria-sort="descending"]')).to_contain_text("std")
    atlas.locator('.da [data-set="heads"]').check()
    expect(atlas.locator('.da [data-out="count"]')).to_have_text("24 heads")


def test_another_model_is_told_and_the_survey_s_offered(atlas: Page) -> None:
    expect(atlas.locator(".da-other")).to_be_hidden()
    choose(atlas, "Model", "softmax_small")
    note = atlas.locator(".da-other")
    expect(note).to_contain_text("This survey is of dsp_tiny; the model of the page is softmax_small")
    note.get_by_role("button", name="Choose dsp_tiny").click()
    expect(note).to_be_hidden()
    expect(atlas.locator("#prediction .facts")).to_contain_text("dsp_tiny")


def test_a_picture_that_is_gone_is_told(atlas: Page, folders: tuple[Path, Path]) -> None:
    cell = atlas.locator('[data-end="highest"] .da-picture').first
    cell.scroll_into_view_if_needed()
    expect(cell.locator("img")).to_have_js_property("naturalWidth", 48)
    file = folders[1] / (cell.get_attribute("title") or "").split(" · ")[0]
    kept = file.read_bytes()
    file.unlink()
    try:
        atlas.locator(".da tbody tr").nth(1).click()
        atlas.locator(".da tbody tr").nth(0).click()
        expect(atlas.locator(".da-pictured")).to_contain_text("Not in the folder of pictures: 1 of these")
        expect(cell.locator("i")).to_have_text("not there")
    finally:
        file.write_bytes(kept)
