"""What can be taken away from the view: pictures, numbers, a page, a link, lines of Python."""

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pyramid
import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from conftest import EXAMPLES
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from viewing import READY, ask, link_of, maps_of, opened, ready, saved

import dsp_viz
from dsp_viz import export, maps
from dsp_viz.store import Store
from dsp_viz.ui import takeaway
from dsp_viz.ui.kept import Kept, Source
from dsp_viz.ui.results import Results

SVG = "{http://www.w3.org/2000/svg}"
HREF = "{http://www.w3.org/1999/xlink}href"


def test_png_is_drawn_at_the_chosen_scale(page: Page) -> None:
    """Drawn, not enlarged: at every scale the text has edges of one pixel."""
    ready(page)
    for scale in (1, 2, 4):
        page.locator(".dv [data-scale]").select_option(str(scale), force=True)
        saving = saved(page, "PNG")
        assert saving.suggested_filename == f"{EXAMPLES[0].stem}-block3-head1.png"
        with Image.open(saving.path()) as picture:
            gray = np.asarray(picture.convert("L")).astype(float)
        svg = ET.parse(saved(page, "SVG").path()).getroot()
        width, height = float(svg.attrib["width"]), float(svg.attrib["height"])
        assert gray.shape == (scale * height, scale * width)
        caption = gray[10 * scale : 60 * scale]
        assert caption.min() < 100, "no caption"
        assert np.abs(np.diff(caption, axis=1)).max() > 120, "blurred"


def test_the_sheet_says_what_it_shows(page: Page, model: dsp_viz.Subject) -> None:
    """Every map as shapes, with picture, model, block, head, query and the end of the colours."""
    ready(page)
    root = ET.parse(saved(page, "SVG").path()).getroot()
    maps_drawn = [g for g in root.iter(f"{SVG}svg") if g.get("class") == "map"]
    chosen, *small = maps_drawn
    assert len(chosen) == 256
    assert len(small) == 4 * 8  # heads × (three scales and the layer) × streams
    # Opacity is the value's share of the end of the scale, in the large map as in the small ones.
    blocks = dsp_viz.analyse(model, EXAMPLES[0]).trace.blocks
    exact = maps.block_maps(blocks[2], (8, 8))[2][1, 3].flatten()
    drawn = {
        (round(float(r.get("y", 0)) / 40), round(float(r.get("x", 0)) / 40)): float(r.get("fill-opacity", 0))
        for r in small[3 * 8 + 5]  # head 4, third scale, opposite
    }
    values = [exact[4 * row + column].item() for row, column in drawn]
    unclipped = [(v, o) for v, o in zip(values, drawn.values(), strict=True) if o < 1]
    ends = np.array([16 * v / o for v, o in unclipped if o > 0.05])
    assert len(ends) > 3
    np.testing.assert_allclose(ends, ends.mean(), rtol=0.02)
    large = maps.block_maps(blocks[2], (8, 8))[0][0, 0].flatten().numpy() * 256
    shares = np.array([float(r.get("fill-opacity", 0)) for r in chosen])
    np.testing.assert_allclose(shares, np.minimum(1, large / ends.mean()), atol=0.01)
    assert chosen.get("opacity") == "0.85"
    texts = [text.text or "" for text in root.iter(f"{SVG}text")]
    assert texts[0].startswith(f"{EXAMPLES[0].stem} · dsp_tiny")
    assert "token row 9, column 9 · block 3 · head 1 · 1× · same" in texts[1]
    end = next(float(t.removeprefix("≥ ")) for t in texts if t.startswith("≥ "))
    assert end == pytest.approx(ends.mean(), rel=0.01)  # both were rounded to three digits
    image = next(root.iter(f"{SVG}image"))
    assert image.attrib[HREF].startswith("data:image/jpeg;base64,")


def test_the_menu_opens_and_closes_by_keys(page: Page) -> None:
    ready(page)
    menu = page.locator(".dv-menu")
    menu.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(menu.get_by_role("button", name="Report")).to_be_visible()
    page.keyboard.press("Tab")
    expect(menu.get_by_role("button", name="PNG")).to_be_focused()
    page.keyboard.press("Escape")
    expect(menu.get_by_role("button", name="Report")).to_be_hidden()
    expect(menu.locator("summary")).to_be_focused()


def test_npz_holds_the_features(page: Page, model: dsp_viz.Subject) -> None:
    ready(page)
    saving = saved(page, "NPZ")
    assert saving.suggested_filename == f"{EXAMPLES[0].stem}.npz"
    result = dsp_viz.analyse(model, EXAMPLES[0])
    block = result.trace.blocks[3]
    with np.load(saving.path()) as kept:
        settings = json.loads(str(kept["settings"]))
        left = kept["block3/scale1/left"]
        np.testing.assert_allclose(kept["block3/coefficients"], block.coefficients[0], rtol=1e-6)
    want = export.numbers(result)["block3/scale1/left"]
    assert left.shape == want.shape
    np.testing.assert_allclose(left, want, rtol=1e-3, atol=1e-9 * want.max())
    assert (settings["model"], settings["digest"]) == ("dsp_tiny", model.digest)
    assert settings["frame"]["input_size"] == [128, 128]
    # The time that it took, and the first picture of that size that was checked, are the server's own.
    own = {name: settings[name] for name in ("seconds", "verified")}
    assert settings == json.loads(json.dumps(export.settings(result) | own))
    assert 0 < settings["verified"] < 1e-5


def test_pdf_is_of_the_block_and_query_that_are_looked_at(page: Page, address: str) -> None:
    ready(page)
    ask(page, (3, 12))
    page.get_by_role("button", name="next block").click()
    expect(page.locator(".dv-read")).to_contain_text("block 4")
    saving = saved(page, "PDF")
    assert saving.suggested_filename == f"{EXAMPLES[0].stem}-block4.pdf"
    sheet = Path(saving.path()).read_bytes()
    assert sheet.startswith(b"%PDF")
    assert b"/FontFile2" in sheet  # text as TrueType
    token = page.locator(".dv").get_attribute("data-result")

    def drawn(view: str) -> bytes:
        answer = page.request.get(f"{address}results/{token}/pdf", params={"view": view})
        assert answer.ok
        return answer.body()

    assert drawn("block=3&query=3,12") == sheet
    assert drawn("block=3&query=all") != sheet
    assert drawn("block=²&query=x") == drawn("") == drawn("block=2&query=8,8")
    assert drawn("block=99999&query=99999,99999") == drawn("block=5&query=15,15")


def test_the_report_works_without_a_server(page: Page, tmp_path: Path) -> None:
    ready(page)
    stage = page.locator(".dv-stage")
    stage.focus()
    for key in ("ArrowUp", "ArrowRight", "3", "s", "p", "m", "]"):
        stage.press(key)
    page.get_by_label("Colours").select_option("own")
    expect(page.locator(".dv-read")).to_contain_text("block 4 · head 3")
    ready(page)
    told = page.locator(".dv-read").inner_text()
    saving = saved(page, "Report")
    assert saving.suggested_filename == f"{EXAMPLES[0].stem}.html"
    saving.save_as(tmp_path / "report.html")
    alone = page.context.new_page()
    requests: list[str] = []
    alone.on("request", lambda r: requests.append(r.url))
    alone.goto((tmp_path / "report.html").as_uri())
    ready(alone)
    assert alone.locator(".dv-read").inner_text() == told
    assert alone.get_by_label("Colours").input_value() == "own"
    expect(alone.get_by_label("smooth")).to_be_checked()
    ask(alone, (2, 11))
    expect(alone.locator(".dv-read")).to_contain_text("row 3, column 12")
    alone.get_by_role("button", name="next block").click()
    expect(alone.locator(".dv-read")).to_contain_text("block 5")
    alone.get_by_text("Save", exact=True).click()
    expect(alone.get_by_role("button", name="Report")).to_have_count(0)
    assert {urlsplit(url).scheme for url in requests} <= {"file", "data", "blob"}
    # What is computed anew is pale until then.
    expect(alone.locator(".dv-summary")).to_have_attribute("aria-busy", "false")
    assert Axe().run(alone).response["violations"] == []


def test_a_link_restores_the_view(page: Page) -> None:
    ready(page)
    stage = page.locator(".dv-stage")
    stage.focus()
    for key in ("ArrowUp", "2", "s", "p", "m", "]"):
        stage.press(key)
    expect(page.locator(".dv-read")).to_contain_text("block 4")
    told = page.locator(".dv-read").inner_text()
    link = link_of(page)
    assert parse_qs(urlsplit(link).fragment)["picture"] == [EXAMPLES[0].stem]
    other = opened(page, link)
    assert other.locator(".dv-read").inner_text() == told
    expect(other.get_by_label("smooth")).to_be_checked()


def test_a_link_to_an_upload_lives_as_long_as_its_result(page: Page, tmp_path: Path) -> None:
    ready(page)
    Image.open(EXAMPLES[4]).rotate(180).save(tmp_path / "mine.png")
    first = page.locator("#prediction .row").first
    before = first.inner_text().split()[-2]
    page.locator("#picture").get_by_role("button", name="Remove Image").click()
    page.locator("#picture input[type=file]").set_input_files(tmp_path / "mine.png")
    expect(first).not_to_contain_text(before)
    ready(page)
    link = link_of(page)
    other = opened(page, link)
    rows = "#prediction .row"  # below them is told of which file they are: for the other, of what the model saw
    assert other.locator(rows).all_inner_texts() == page.locator(rows).all_inner_texts()
    expect(other.get_by_role("alert")).to_contain_text("what the model saw, 128×128 pixels")
    gone = opened(page, re.sub(r"picture=[^&]+", "picture=gone", link))
    expect(gone.get_by_role("alert")).to_contain_text("no longer kept")
    expect(gone.locator("#prediction .row").first).to_contain_text(before)


def test_copied_python_gives_the_map(page: Page, model: dsp_viz.Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    ready(page)
    stage = page.locator(".dv-stage")
    stage.focus()
    for key in ("ArrowUp", "2", "s", "p"):
        stage.press(key)
    expect(page.locator(".dv-read")).to_contain_text("row 8, column 9 · block 3 · head 2 · 2× · opposite")
    page.get_by_role("button", name="Copy as Python").click()
    expect(page.locator(".dv-note")).to_contain_text("Python copied")
    expect(page.locator(".dv-note")).to_be_empty()  # it lies over the maps
    lines = page.evaluate("navigator.clipboard.readText()").rstrip().splitlines()
    monkeypatch.chdir(EXAMPLES[0].parent.parent)
    names: dict = {}
    exec("\n".join([*lines[:-1], f"map = {lines[-1]}"]), names)
    got = maps_of(page)[1][1, 1]
    torch.testing.assert_close(torch.from_numpy(got).float(), names["map"].flatten(), rtol=0.01, atol=1e-6)


def test_a_file_that_did_not_come_is_asked_for_again(browser: Browser, address: str) -> None:
    page = browser.new_page()
    page.goto(address)
    ready(page)
    page.route("**/results/*/npz", lambda route: route.abort())
    page.locator(".dv").get_by_text("Save", exact=True).click()
    page.locator(".dv").get_by_role("button", name="NPZ", exact=True).click()
    note = page.locator("#view .dv-note")
    expect(note).to_contain_text("The server does not answer.")
    page.unroute("**/results/*/npz")
    with page.expect_download(timeout=READY) as waiting:
        note.get_by_role("button", name="Try again").click()
    assert waiting.value.suggested_filename == f"{EXAMPLES[0].stem}.npz"
    expect(note).to_be_empty()
    page.close()


def test_what_may_not_be_copied_is_shown_until_it_is_closed(page: Page) -> None:
    ready(page)
    refusing = page.context.new_cdp_session(page)
    window = refusing.send("Target.getTargetInfo")["targetInfo"]["browserContextId"]
    for sanitized in (True, False):
        permission = {"name": "clipboard-write", "allowWithoutSanitization": not sanitized}
        refusing.send(
            "Browser.setPermission", {"permission": permission, "setting": "denied", "browserContextId": window}
        )
    page.get_by_role("button", name="Copy as Python").click()
    note = page.locator("#view .dv-note")
    expect(note).to_contain_text("Copying is not allowed here. Python: import dsp_viz")
    note.get_by_role("button", name="Close").click()
    expect(note).to_be_empty()


def test_a_page_has_the_numbers_of_every_layer_of_a_pyramid() -> None:
    """Two layers of two heads, of one scale and of two."""
    subject = pyramid.subject()
    store = Store[Kept](max_bytes=2**26)
    kept = Results([subject], EXAMPLES, store).of(Source(str(EXAMPLES[0]), 64, False, subject.name))
    found = store.get(kept.manifest.token)
    assert found is not None
    page = takeaway.page(kept, found[0])
    table = re.findall(r"<table>.*?</table>", page, re.DOTALL)[-1]
    rows = [re.findall(r"<td>(.*?)</td>", row) for row in re.findall(r'<tr><th scope="row">.*?</tr>', table)]
    want = []
    for block in kept.result.trace.blocks[2:4]:
        for head in range(2):
            parts = [
                [*block.coefficients[0, head, s].tolist(), block.weights[0, head, s].item()]
                for s in range(len(block.scales))
            ]
            want.append([f"{number:.3f}" for part in parts for number in part])
    assert [len(numbers) for numbers in want] == [3, 3, 6, 6]
    assert rows == [numbers + [""] * (6 - len(numbers)) for numbers in want]
