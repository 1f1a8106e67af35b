"""What can be taken away from the view: pictures, numbers, a page, a link, lines of Python."""

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from conftest import EXAMPLES
from PIL import Image
from playwright.sync_api import Page, expect
from viewing import HANDLE, READY, ask, maps_of, opened, ready

import dsp_viz
from dsp_viz import export, maps


def test_png_and_svg(page: Page, model: dsp_viz.LoadedModel) -> None:
    ready(page)
    with page.expect_download() as waiting:
        page.get_by_role("button", name="PNG").click()
    assert waiting.value.suggested_filename == f"{EXAMPLES[0].stem}-block3-head1.png"
    with Image.open(waiting.value.path()) as picture:
        assert picture.width > 900
        assert len(set(np.asarray(picture.convert("L")).ravel())) > 50
    with page.expect_download() as waiting:
        page.get_by_role("button", name="SVG").click()
    root = ET.parse(waiting.value.path()).getroot()
    spaces = {"s": "http://www.w3.org/2000/svg"}
    chosen, *small = [g for g in root.iter(f"{{{spaces['s']}}}g") if g.get("class") == "map"]
    assert len(chosen) == 256
    assert len(small) == 4 * 8  # heads × (three scales and the layer) × streams
    # Opacity is the value's share of the end of the scale.
    exact = maps.block_maps(dsp_viz.analyse(model, EXAMPLES[0]).trace.blocks[2], (7, 7))[2][1, 3].flatten()
    drawn = {
        (round(float(r.get("y", 0)) / 40), round(float(r.get("x", 0)) / 40)): float(r.get("fill-opacity", 0))
        for r in small[3 * 8 + 5]  # head 4, third scale, opposite
    }
    values = [exact[4 * row + column].item() for row, column in drawn]
    unclipped = [(v, o) for v, o in zip(values, drawn.values(), strict=True) if o < 1]
    ends = np.array([16 * v / o for v, o in unclipped if o > 0.05])
    assert len(ends) > 3
    np.testing.assert_allclose(ends, ends.mean(), rtol=0.02)
    told = re.search(r"full colour at ([\d.]+) × uniform", "".join(root.itertext()))
    assert told is not None
    assert float(told[1]) == pytest.approx(ends.mean(), rel=0.01)  # both were rounded to three digits
    image = next(root.iter(f"{{{spaces['s']}}}image"))
    assert image is not None
    assert image.attrib["{http://www.w3.org/1999/xlink}href"].startswith("data:image/png;base64,")


def test_npz_holds_the_features(page: Page, model: dsp_viz.LoadedModel) -> None:
    ready(page)
    with page.expect_download() as waiting:
        page.get_by_role("button", name="NPZ").click()
    assert waiting.value.suggested_filename == f"{EXAMPLES[0].stem}.npz"
    result = dsp_viz.analyse(model, EXAMPLES[0])
    block = result.trace.blocks[3]
    with np.load(waiting.value.path()) as kept:
        settings = json.loads(str(kept["settings"]))
        features = kept["block3/scale1/features"]
        np.testing.assert_allclose(kept["block3/coefficients"], block.coefficients[0], rtol=1e-6)
    want = export.numbers(result)["block3/scale1/features"]
    assert features.shape == want.shape
    np.testing.assert_allclose(features, want, rtol=1e-3, atol=1e-9 * want.max())
    assert (settings["model"], settings["digest"], settings["side"]) == ("dsp_tiny", model.digest, 128)


def test_the_report_works_without_a_server(page: Page, tmp_path: Path) -> None:
    ready(page)
    told = page.locator(".dv-read").inner_text()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Report").click()
    assert waiting.value.suggested_filename == f"{EXAMPLES[0].stem}.html"
    waiting.value.save_as(tmp_path / "report.html")
    alone = page.context.new_page()
    requests: list[str] = []
    alone.on("request", lambda r: requests.append(r.url))
    alone.goto((tmp_path / "report.html").as_uri())
    ready(alone)
    assert alone.locator(".dv-read").inner_text() == told
    ask(alone, (2, 11))
    expect(alone.locator(".dv-read")).to_contain_text("row 3, column 12")
    alone.get_by_role("button", name="next block").click()
    expect(alone.locator(".dv-read")).to_contain_text("block 4")
    expect(alone.get_by_role("button", name="Report")).to_have_count(0)
    assert {urlsplit(url).scheme for url in requests} <= {"file", "data", "blob"}
    assert Axe().run(alone).response["violations"] == []


def test_a_link_restores_the_view(page: Page) -> None:
    ready(page)
    stage = page.locator(".dv-stage")
    stage.focus()
    for key in ("ArrowUp", "2", "s", "p", "m", "]"):
        stage.press(key)
    expect(page.locator(".dv-read")).to_contain_text("block 4", timeout=READY)
    told = page.locator(".dv-read").inner_text()
    link = page.evaluate(f"{HANDLE}.link()")
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
    expect(first).not_to_contain_text(before, timeout=READY)
    ready(page)
    page.wait_for_function(f"{HANDLE}.link().includes('picture=cat') === false")
    link = page.evaluate(f"{HANDLE}.link()")
    other = opened(page, link)
    assert other.locator("#prediction").inner_text() == page.locator("#prediction").inner_text()
    gone = opened(page, re.sub(r"picture=[^&]+", "picture=gone", link))
    expect(gone.get_by_role("alert")).to_contain_text("no longer kept", timeout=READY)
    expect(gone.locator("#prediction .row").first).to_contain_text(before)


def test_copied_python_gives_the_map(page: Page, model: dsp_viz.LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    ready(page)
    stage = page.locator(".dv-stage")
    stage.focus()
    for key in ("ArrowUp", "2", "s", "p"):
        stage.press(key)
    expect(page.locator(".dv-read")).to_contain_text("row 7, column 8 · block 3 · head 2 · 2× · opposite")
    page.get_by_role("button", name="Copy as Python").click()
    expect(page.locator(".dv-note")).to_contain_text("Python copied")
    lines = page.evaluate("navigator.clipboard.readText()").rstrip().splitlines()
    monkeypatch.chdir(EXAMPLES[0].parent.parent)
    names: dict = {}
    exec("\n".join([*lines[:-1], f"map = {lines[-1]}"]), names)
    got = maps_of(page)[1][1, 1]
    torch.testing.assert_close(torch.from_numpy(got).float(), names["map"].flatten(), rtol=0.01, atol=1e-6)
