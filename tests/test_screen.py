"""The screen follows what is on it: another model, another picture, a bad one."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import EXAMPLES, serving
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from viewing import READY, choose, look, ready, slow

import dsp_viz
from dsp_attention import DSPImageClassifier
from dsp_viz.sources.checkpoint import save

DATA = Path(__file__).parent / "data"
HIDDEN = ["Spectral filters", "Coefficients", "Mixing weights"]


@pytest.fixture(scope="module")
def several(
    polaformer_small: dsp_viz.Subject, softmax_small: dsp_viz.Subject, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The app with the shipped models and one of somebody's own: other sizes, other classes, two blocks."""
    shipped = dsp_viz.load("dsp_tiny")
    sizes = {"image_size": 224, "patch": 16, "dim": 12, "num_heads": 2, "depth": 2, "num_classes": 2}
    more = {"spectral_modes": 3, "num_scales": 2}
    torch.manual_seed(0)
    config = replace(
        shipped.config, model={**sizes, **more}, image_size=224, classes=("cat", "dog"), directories=("c", "d")
    )
    path = tmp_path_factory.mktemp("own") / "mine224.safetensors"
    save(path, DSPImageClassifier(**sizes, **more), config)
    models = [shipped, dsp_viz.load(path), polaformer_small, softmax_small]
    with serving(models) as address:
        yield address


@pytest.fixture
def screen(browser: Browser, several: str) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.goto(several)
    ready(page)
    yield page
    page.close()


def switch(page: Page, model: str) -> None:
    choose(page, "Model", model)
    expect(page.locator("#prediction .facts")).to_contain_text(model)
    ready(page)


def offers(page: Page, label: str, *texts: str) -> None:
    """Whether these, and no others, can be chosen."""
    box = page.get_by_label(label, exact=True)
    box.click()
    listed = page.locator(f"#{box.get_attribute('aria-controls')}").get_by_role("option")
    expect(listed).to_have_text([re.compile(rf"^\W*{re.escape(text)}$") for text in texts])
    box.press("Escape")


def test_everything_follows_a_model_of_one_s_own(screen: Page) -> None:
    screen.get_by_role("radio", name="256 px").check()
    expect(screen.locator("#prediction .facts")).to_contain_text("32×32 tokens")
    switch(screen, "mine224")
    sides = screen.locator("#rail").get_by_role("radio")
    expect(sides.first).to_have_attribute("value", "224 px")
    assert [s.get_attribute("value") for s in sides.all()] == ["224 px", "448 px", "896 px"]
    expect(screen.get_by_role("radio", name="448 px")).to_be_checked()  # twice what it was made for, as before
    expect(screen.locator("#prediction .facts")).to_contain_text("28×28 tokens")
    expect(screen.get_by_text("This model knows 2 classes: cat, dog")).to_be_visible()
    expect(screen.get_by_text("tench")).to_have_count(0)
    screen.get_by_role("tab", name="What if").click()
    offers(screen, "Block", "every", "1", "2")
    offers(screen, "Head", "every", "1", "2")
    offers(screen, "Scale", "every", "1×", "2×")
    screen.get_by_role("tab", name="Mixing weights", exact=True).last.click()
    expect(screen.get_by_role("slider", name="range slider for 2×")).to_be_visible()
    expect(screen.get_by_role("slider", name="range slider for 4×")).to_have_count(0)
    screen.get_by_role("tab", name="Spectral filters").click()
    expect(screen.locator("#gain .js-plotly-plot")).to_be_visible()
    expect(screen.get_by_label("Block shown", exact=True)).to_have_value("2")  # it has no third
    offers(screen, "Block shown", "1", "2")
    switch_back = screen.get_by_label("Model", exact=True)
    expect(switch_back).to_have_value("mine224")


def test_what_the_view_had_to_choose_otherwise_holds_on_all_tabs(screen: Page) -> None:
    """The other model has two blocks of two heads; back from it, block and head are those of the view."""
    read = screen.locator(".dv-read")
    look(screen, block=5, head=3)
    expect(read).to_contain_text("block 6 · head 4")
    switch(screen, "mine224")
    expect(read).to_contain_text("block 2 · head 2")
    switch(screen, "dsp_tiny")
    expect(read).to_contain_text("block 2 · head 2")
    screen.get_by_role("tab", name="Spectral filters").click()
    for label in ("Block shown", "Head shown"):
        expect(screen.get_by_label(label, exact=True).filter(visible=True)).to_have_value("2")
    expect(screen.locator("#gain")).to_contain_text("▸ head 2")


def test_what_a_model_lacks_is_not_offered(screen: Page) -> None:
    screen.get_by_role("tab", name="Spectral filters").click()
    expect(screen.locator("#gain .js-plotly-plot")).to_be_visible()
    choose(screen, "Model", "softmax_small")
    expect(screen.get_by_role("tab", name="Attention maps")).to_have_attribute("aria-selected", "true")
    ready(screen)
    for name in HIDDEN:
        expect(screen.get_by_role("tab", name=name, exact=True)).to_have_count(0)
    expect(screen.get_by_role("tab", name="Compare")).to_be_visible()
    switch(screen, "polaformer_small")
    screen.get_by_role("tab", name="What if").click()  # its streams can be left out; it has no filters of its own
    expect(screen.locator("#run")).to_be_visible()
    expect(screen.get_by_role("tab", name="Region")).to_be_visible()
    for name in ("Filters", "Context", "Mixing weights"):
        expect(screen.get_by_role("tab", name=name, exact=True)).to_have_count(0)
    switch(screen, "dsp_tiny")
    expect(screen.get_by_role("tab", name="Filters", exact=True)).to_be_visible()
    for name in HIDDEN:
        expect(screen.get_by_role("tab", name=name, exact=True).first).to_be_visible()


def upload(page: Page, path: Path) -> None:
    page.locator("#picture").get_by_role("button", name="Remove Image").click()
    page.locator("#picture input[type=file]").set_input_files(path)


def loaded(page: Page) -> None:
    """The field shows a picture that the browser could decode."""
    page.wait_for_function(
        "() => { const i = document.querySelector('#picture img'); return i && i.complete && i.naturalWidth > 0; }",
        timeout=READY,
    )


def test_a_tiff_is_shown_as_it_was_decoded(screen: Page, tmp_path: Path) -> None:
    path = tmp_path / "scan.tiff"
    Image.open(EXAMPLES[3]).resize((300, 200)).save(path)
    upload(screen, path)
    expect(screen.locator("#prediction .facts")).to_contain_text("of 300×200 pixels")
    loaded(screen)


def test_after_a_bad_file_the_field_shows_what_is_analysed(screen: Page) -> None:
    upload(screen, DATA / "truncated.png")
    expect(screen.locator("#message [role=alert]")).to_contain_text("damaged")
    loaded(screen)
    assert EXAMPLES[0].stem in (screen.locator("#picture img").get_attribute("src") or "")
    screen.get_by_role("tab", name="Compare").click()
    expect(screen.get_by_label("Picture A")).to_have_value(f"{EXAMPLES[0].stem}, the page's picture")


def test_few_bits_are_told_and_stretched(screen: Page, tmp_path: Path) -> None:
    path = tmp_path / "microscope.png"
    gray = torch.linspace(0, 4095, 64 * 64).reshape(64, 64).to(torch.int32).numpy().astype("uint16")
    Image.fromarray(gray).save(path)
    upload(screen, path)
    expect(screen.locator("#message [role=alert]")).to_contain_text("4,095")
    screen.get_by_label("Stretch its values").check()
    direct = dsp_viz.analyse(dsp_viz.load("dsp_tiny"), path, stretch=True)
    expect(screen.locator("#prediction .row").first).to_contain_text(f"{100 * direct.top(1)[0][1]:.1f} %")


def test_stretching_that_is_asked_for_while_an_answer_is_on_its_way_is_done(screen: Page, tmp_path: Path) -> None:
    path = tmp_path / "microscope.png"
    Image.fromarray(torch.arange(0, 4096, dtype=torch.int32).reshape(64, 64).numpy().astype("uint16")).save(path)
    upload(screen, path)
    stretched = screen.get_by_label("Stretch its values")
    expect(stretched).to_be_visible()
    slow(screen, 1500)
    screen.get_by_role("radio", name="256 px").check()
    screen.wait_for_timeout(400)  # it is asked on its own
    stretched.check()
    expect(screen.locator("#prediction .facts")).to_contain_text("32×32")
    direct = dsp_viz.analyse(dsp_viz.load("dsp_tiny"), path, side=256, stretch=True)
    told = f"{100 * direct.top(1)[0][1]:.1f} %"
    expect(screen.locator("#prediction .row").first).to_contain_text(told)
    expect(stretched).to_be_checked()
    # And the next picture begins without.
    upload(screen, EXAMPLES[1])
    expect(screen.locator("#prediction .facts")).to_contain_text("451×300")
    expect(stretched).to_have_count(0)
    upload(screen, path)
    expect(stretched).to_be_visible()
    expect(stretched).not_to_be_checked()
