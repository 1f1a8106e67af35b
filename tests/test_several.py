"""Several pictures at once, in a real browser with real files: what is shown, refused, and handed out."""

import csv
import io
import json
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asking import send, upload
from axe_playwright_python.sync_playwright import Axe
from conftest import EXAMPLES, serving
from PIL import Image
from playwright.sync_api import Browser, Download, Page, Route, expect
from viewing import READY, choose, described, end_of_scale, look, ready, saved, settle, tab

import dsp_viz
from dsp_viz import maps

DATA = Path(__file__).parent / "data"


def opened(page: Page) -> None:
    ready(page)
    tab(page, "Several pictures")
    expect(page.locator(".dn-bounds")).to_contain_text("at 128 px")


def take(page: Page, files: list[Path]) -> None:
    page.locator('.dn [data-in="files"]').set_input_files(files)


def done(page: Page, told: str) -> None:
    """What is said of all pictures together, and they are drawn."""
    expect(page.locator(".dn-told")).to_have_text(told)
    expect(page.locator(".dn-tile")).to_have_count(int(told.split()[0]))
    drawn(page)


def drawn(page: Page) -> None:
    expect(page.locator(".dn")).to_have_attribute("data-busy", "false")
    settle(page)


def names(page: Page) -> list[str]:
    return page.locator(".dn-name").all_inner_texts()


def entropies(page: Page) -> list[float]:
    return [float(text.removeprefix("entropy ")) for text in page.locator(".dn-entropy").all_inner_texts()]


def taken(page: Page, name: str) -> Download:
    return saved(page, name, ".dn")


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Two good pictures, of other names than the examples; a damaged one, text named .jpg, and text."""
    for source, name in ((EXAMPLES[1], "b, tall.jpg"), (EXAMPLES[5], "a10.jpg"), (EXAMPLES[8], "a9.jpg")):
        with Image.open(source) as picture:
            picture.rotate(90, expand=True).save(tmp_path / name)
    shutil.copy(DATA / "truncated_half.jpg", tmp_path / "half.jpg")
    shutil.copy(DATA / "text.jpg", tmp_path / "text.jpg")
    (tmp_path / "notes.txt").write_text("no picture")
    return sorted(tmp_path.iterdir())


GOOD = ["a9.jpg", "a10.jpg", "b, tall.jpg"]


def test_each_picture_has_the_same_map_and_what_cannot_be_used_is_named(
    page: Page, files: list[Path], model: dsp_viz.Subject
) -> None:
    opened(page)
    expect(page.locator(".dn-bounds")).to_have_text("Up to 16 pictures at 128 px, each of at most 32 MB.")
    take(page, files)
    done(page, "3 of 3 analysed · 3 could not be used")
    assert names(page) == GOOD  # in the order of numbers
    faults = page.locator(".dn-faults li").all_inner_texts()
    assert faults[0].startswith("half.jpg: The picture is damaged")
    assert faults[1].startswith("text.jpg: The file is not a picture that can be read.")
    assert faults[2] == "notes.txt: No picture."
    results = [dsp_viz.analyse(model, files[0].parent / name) for name in GOOD]
    for tile, result in zip(page.locator(".dn-tile").all(), results, strict=True):
        (best, p), *_ = result.top(1)
        assert tile.locator(".dn-best").inner_text().split("\n") == [best, f"{100 * p:.1f} %"]
    # One scale: its end is the quantile of all maps together, not that of any one of them.
    found = [maps.query_map(r.trace, block=2, scale=0, head=0, query=(8, 8), stream="same") for r in results]
    assert entropies(page) == pytest.approx([maps.entropy(m).item() for m in found], abs=1.1e-3)
    values = 256 * np.stack([m.numpy() for m in found])
    beyond, end = end_of_scale(page.locator(".dn-key").get_attribute("aria-label") or "")
    assert beyond
    # The view's quantile is exact to 1/2048 of the largest value, and told in three digits.
    step = float(values.max()) / 2048 + 0.05
    assert end == pytest.approx(float(np.quantile(values, 0.995, method="inverted_cdf")), abs=step)
    assert all(abs(end - np.quantile(own, 0.995, method="inverted_cdf")) > 2 * step for own in values)


def test_the_map_and_the_place_are_chosen_for_all_and_for_the_view_of_the_maps(
    page: Page, files: list[Path], model: dsp_viz.Subject
) -> None:
    ready(page)
    look(page, block=4, head=1)
    opened(page)
    take(page, files[:2])
    done(page, "2 of 2 analysed")
    traces = [dsp_viz.analyse(model, files[0].parent / name).trace for name in ("a9.jpg", "a10.jpg")]

    def want(block: int, scale: int, head: int, query: maps.Query, stream: str) -> list[float]:
        found = [
            maps.query_map(trace, block=block, scale=scale, head=head, query=query, stream=stream) for trace in traces
        ]
        return [maps.entropy(one).item() for one in found]

    which = page.locator(".dn-which")
    expect(which).to_have_text("block 5 · head 2 · 1× · same · the token at 53 % of the width, 53 % of the height")
    assert entropies(page) == pytest.approx(want(4, 0, 1, (8, 8), "same"), abs=1.1e-3)
    place = page.locator(".dn-place")
    box = place.bounding_box()
    assert box is not None
    place.click(position={"x": 12.5 * box["width"] / 16, "y": 3.5 * box["height"] / 16})
    place.press("ArrowUp")
    part = page.locator(".dn-bar")
    part.get_by_label("Block").select_option("1")
    part.get_by_label("Head").select_option("4")
    part.get_by_label("Scale").select_option("2×")
    part.get_by_label("Stream").select_option("opposite")
    told = "block 1 · head 4 · 2× · opposite · the token at 78 % of the width, 16 % of the height"
    expect(which).to_have_text(told)
    drawn(page)
    assert entropies(page) == pytest.approx(want(0, 1, 3, (2, 12), "opposite"), abs=1.1e-3)
    said = described(page)
    assert (said["block"], said["head"], said["scale"], said["stream"], said["query"]) == (0, 3, 1, 1, [2, 12])
    part.get_by_label("all queries").check()
    part.get_by_label("Scale").select_option("layer")
    expect(which).to_have_text("block 1 · head 4 · layer · opposite · all queries, averaged")
    drawn(page)
    effective = [maps.entropy(maps.layer_map(trace.blocks[0], "all")[1, 3]).item() for trace in traces]
    assert entropies(page) == pytest.approx(effective, abs=1.1e-3)


def test_pictures_are_sorted(page: Page) -> None:
    opened(page)
    page.get_by_role("button", name="Take the 12 examples").click()
    done(page, "12 of 12 analysed")
    came = names(page)
    assert came == [path.stem for path in EXAMPLES]
    shares = [float(text.split("\n")[1].removesuffix(" %")) for text in page.locator(".dn-best").all_inner_texts()]
    order = page.locator("[data-sort]")
    for choice, values in (("sure", [-share for share in shares]), ("narrow", entropies(page))):
        order.select_option(choice)
        settle(page)
        assert [values[came.index(name)] for name in names(page)] == sorted(values)
        assert names(page) != came
    order.select_option("added")
    settle(page)
    assert names(page) == came


def test_a_click_opens_the_picture_with_that_map(page: Page, files: list[Path], model: dsp_viz.Subject) -> None:
    opened(page)
    take(page, files)
    done(page, "3 of 3 analysed · 3 could not be used")
    page.locator(".dn-bar").get_by_label("Head").select_option("3")
    drawn(page)
    page.locator(".dn-tile").nth(1).press("Enter")
    best, p = dsp_viz.analyse(model, files[0].parent / GOOD[1]).top(1)[0]
    row = page.locator("#prediction .row").first
    expect(row).to_contain_text(f"{100 * p:.1f} %")
    assert best in row.inner_text()
    expect(page.get_by_role("tab", name="Attention maps")).to_have_attribute("aria-selected", "true")
    ready(page)
    expect(page.locator(".dv-read")).to_contain_text("token row 9, column 9 · block 3 · head 3 · 1× · same")
    tab(page, "Several pictures")
    marked = page.locator('.dn-tile[aria-current="true"]')
    expect(marked).to_have_count(1)
    expect(marked).to_contain_text(GOOD[1])


def test_it_can_be_stopped_and_goes_on(page: Page, files: list[Path]) -> None:
    opened(page)
    held: list[Route] = []

    def hold(route: Route) -> None:
        if not held and "a10.jpg" in (route.request.post_data or ""):
            held.append(route)
        else:
            route.continue_()

    page.route("**/several", hold)
    take(page, files)
    expect(page.locator(".dn-told")).to_have_text(re.compile("1 of 5 analysed · .*analysing a10.jpg"))
    expect(page.locator(".dn-tile")).to_have_count(1)  # what is there is shown
    page.get_by_role("button", name="Stop", exact=True).and_(page.locator(".dn-work button")).click()
    done(page, "1 of 5 analysed · 1 could not be used · stopped")
    page.wait_for_timeout(500)
    assert names(page) == GOOD[:1]
    page.get_by_role("button", name="Go on").click()
    done(page, "3 of 3 analysed · 3 could not be used")
    assert names(page) == GOOD
    page.get_by_role("button", name="Clear").and_(page.locator(".dn-work button")).click()
    expect(page.locator(".dn-tile")).to_have_count(0)
    expect(page.locator(".dn-work")).to_be_hidden()


def test_another_model_is_offered_for_all_of_them(
    page: Page, files: list[Path], softmax_small: dsp_viz.Subject
) -> None:
    opened(page)
    take(page, files[:2])
    done(page, "2 of 2 analysed")
    choose(page, "Model", "softmax_small")
    other = page.locator(".dn-other")
    expect(other).to_contain_text("These are of dsp_tiny at 128 px, not as chosen now.")
    before = entropies(page)
    other.get_by_role("button").click()
    done(page, "2 of 2 analysed")
    expect(other).to_be_hidden()
    expect(page.locator(".dn-which")).to_have_text(re.compile("^block 3 · head 1 · "))
    traces = [dsp_viz.analyse(softmax_small, files[0].parent / name).trace for name in ("a9.jpg", "a10.jpg")]
    want = [maps.entropy(maps.query_map(t, block=2, scale=0, head=0, query=(8, 8))).item() for t in traces]
    assert entropies(page) == pytest.approx(want, abs=1.1e-3)
    assert entropies(page) != before
    choose(page, "Model", "dsp_tiny")
    expect(other).to_contain_text("These are of softmax_small")
    take(page, files[2:3])  # more of them: all become what is chosen now
    done(page, "3 of 3 analysed")
    expect(other).to_be_hidden()
    assert entropies(page)[:2] == before


def test_a_folder_is_taken_with_what_lies_in_its_folders(page: Page, tmp_path: Path) -> None:
    opened(page)
    inner = tmp_path / "photos" / "inner"
    inner.mkdir(parents=True)
    shutil.copy(EXAMPLES[0], tmp_path / "photos" / "same.jpg")
    shutil.copy(EXAMPLES[2], inner / "same.jpg")
    (inner / ".hidden.jpg").write_bytes(b"")
    (inner / "list.csv").write_text("a,b\n")
    page.locator('.dn [data-in="folder"]').set_input_files(tmp_path / "photos")
    done(page, "2 of 2 analysed · 1 could not be used")
    assert names(page) == ["photos/inner/same.jpg", "photos/same.jpg"]
    expect(page.locator(".dn-faults li")).to_have_text(["photos/inner/list.csv: No picture."])


def test_files_are_dropped_anywhere_on_the_tab(page: Page) -> None:
    opened(page)
    script = """async () => {
        const dataTransfer = new DataTransfer();
        const picture = document.createElement('canvas');
        Object.assign(picture, { width: 37, height: 53 });
        const blob = await new Promise(done => picture.toBlob(done));
        dataTransfer.items.add(new File([blob], 'dropped.png', { type: 'image/png' }));
        const zone = document.querySelector('.dn');
        zone.dispatchEvent(new DragEvent('dragover', { dataTransfer, bubbles: true, cancelable: true }));
        const over = document.querySelector('.dn-over') !== null;
        const event = new DragEvent('drop', { dataTransfer, bubbles: true, cancelable: true });
        zone.dispatchEvent(event);
        return [over, event.defaultPrevented, document.querySelector('.dn-over') === null];
    }"""
    assert page.evaluate(script) == [True, True, True]
    done(page, "1 of 1 analysed")
    assert names(page) == ["dropped.png"]


def test_no_more_than_are_bounded(page: Page, tmp_path: Path) -> None:
    opened(page)
    for i in range(18):
        Image.new("RGB", (40, 40), (9 * i, 90, 90)).save(tmp_path / f"{i}.png")
    take(page, sorted(tmp_path.iterdir()))
    done(page, "16 of 16 analysed · 2 could not be used")
    expect(page.locator(".dn-faults li")).to_have_text(
        ["16.png, 17.png: Left out: at most 16 pictures are shown at once."]
    )
    page.get_by_label("256 px").check()
    expect(page.locator(".dn-bounds")).to_contain_text("Up to 4 pictures at 256 px")


def test_a_folder_of_too_many_files_is_not_looked_through_in_silence(page: Page, tmp_path: Path) -> None:
    many = tmp_path / "many"
    many.mkdir()
    for i in range(2001):
        (many / f"{i}.txt").touch()
    opened(page)
    page.locator('.dn [data-in="folder"]').set_input_files(many)
    expect(page.locator(".dn .dv-note")).to_have_text("Only 2,000 files were looked at. Choose a smaller folder.")


def test_all_is_taken_away(page: Page, files: list[Path], model: dsp_viz.Subject) -> None:
    opened(page)
    take(page, files)
    done(page, "3 of 3 analysed · 3 could not be used")
    with Image.open(taken(page, "PNG").path()) as picture:
        assert picture.width > 1000
    svg = Path(taken(page, "SVG").path()).read_text()
    assert all(f">{name}</text>" in svg for name in GOOD)
    assert "block 3 · head 1 · 1× · same" in svg
    assert svg.count('class="map"') == 3
    page.locator(".dn [data-arrays]").evaluate("box => { box.checked = true }")
    saving = taken(page, "ZIP")
    assert saving.suggested_filename == "3-pictures.zip"
    with zipfile.ZipFile(saving.path()) as archive:
        assert archive.testzip() is None
        arrays = ["arrays/a9.npz", "arrays/a10.npz", "arrays/b, tall.npz"]
        assert archive.namelist() == ["pictures.png", "pictures.csv", *arrays]
        with Image.open(io.BytesIO(archive.read("pictures.png"))) as again:
            assert again.size == picture.size
        table = list(csv.DictReader(io.StringIO(archive.read("pictures.csv").decode())))
        for row, name, held in zip(table, GOOD, arrays, strict=True):
            result = dsp_viz.analyse(model, files[0].parent / name)
            assert row["name"] == name
            assert [row[f"class {i + 1}"] for i in range(5)] == [best for best, _ in result.top()]
            found = [float(row[f"probability {i + 1}"]) for i in range(5)]
            assert found == pytest.approx([p for _, p in result.top()], rel=1e-4)
            assert (row["model"], row["weights"], row["side"]) == ("dsp_tiny", model.digest, "128")
            with np.load(io.BytesIO(archive.read(held))) as numbers:
                assert json.loads(str(numbers["settings"]))["model"] == "dsp_tiny"
                np.testing.assert_allclose(numbers["block3/coefficients"], result.trace.blocks[3].coefficients[0], 1e-4)


def test_results_that_are_gone_are_analysed_again(browser: Browser, model: dsp_viz.Subject, files: list[Path]) -> None:
    with serving([model]) as address:
        page = browser.new_page()
        page.goto(address)
        opened(page)
        take(page, files)
        done(page, "3 of 3 analysed · 3 could not be used")
        gone = page.locator(".dn .dv-note")
        page.route("**/results/*/4", lambda route: route.fulfill(status=404))
        page.locator(".dn-bar").get_by_label("Block").select_option("5")
        expect(gone).to_contain_text("This result is no longer kept.")
        page.unroute("**/results/*/4")
        gone.get_by_role("button", name="Analyse again").click()
        expect(page.locator(".dn-which")).to_contain_text("block 5")
        done(page, "3 of 3 analysed · 3 could not be used")
        assert names(page) == GOOD
        page.close()


def test_a_server_that_is_away_stops_it_with_a_sentence(browser: Browser, address: str, files: list[Path]) -> None:
    page = browser.new_page()
    page.goto(address)
    opened(page)
    page.route("**/several", lambda route: route.abort())
    take(page, files[:2])
    expect(page.locator(".dn .dv-note")).to_contain_text("The server does not answer.")
    expect(page.locator(".dn-told")).to_have_text("0 of 2 analysed · stopped")
    page.unroute("**/several")
    page.get_by_role("button", name="Go on").click()
    done(page, "2 of 2 analysed")
    page.close()


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (390, "dark")])
def test_it_can_be_read_by_everybody(page: Page, files: list[Path], width: int, scheme: str) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    opened(page)
    if scheme == "dark":
        page.evaluate("document.body.classList.add('dark')")

    def violations() -> list[tuple[str, list[str]]]:
        page.wait_for_function("document.getAnimations().every(a => a.playState !== 'running')", timeout=READY)
        found = Axe().run(page, {"include": ["#several"]}).response["violations"]
        return [(v["id"], [n["html"] for n in v["nodes"]]) for v in found]

    assert violations() == []
    take(page, files)
    done(page, "3 of 3 analysed · 3 could not be used")
    assert violations() == []
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    assert page.locator(".dn-tile").nth(1).evaluate("t => t.scrollWidth - t.clientWidth") == 0


def asked(address: str, **named: object) -> dict[str, Any]:
    whole = {"model": "dsp_tiny", "side": 128, "whole": False} | named
    status, headers, text = send(address, "/several", whole)
    assert (status, headers["Cache-Control"]) == (200, "no-store")
    told: dict[str, Any] = json.loads(text)
    return told


def test_only_uploads_and_examples_can_be_named(address: str, private: Path) -> None:
    told = asked(address, example=EXAMPLES[3].stem)
    assert told["result"]["example"] == EXAMPLES[3].stem
    assert len(told["top"]) == 5
    sent = upload(address, EXAMPLES[4])
    assert asked(address, upload=sent)["result"]["name"] == "a"
    for path in (str(private), f"{sent}.gone", "/etc/passwd", "\0", 3, None, [sent], str(EXAMPLES[0].parent)):
        told = asked(address, upload=path)
        assert told["gone"] is True, path
        assert "result" not in told
    for named in ({"model": "none"}, {"side": 7}, {"side": "128"}, {"whole": 1}, {"model": ["dsp_tiny"]}):
        assert "do not match" in asked(address, example=EXAMPLES[3].stem, **named)["fault"]
    broken = asked(address, upload=upload(address, DATA / "truncated_half.jpg"))
    assert broken["fault"].startswith("The picture is damaged")
    assert broken["gone"] is False


@pytest.mark.parametrize("body", [b"", b"no JSON", b"[" * 100_000, b"[]", b"null", b"\xff\xfe"])
def test_what_is_no_question_is_refused(address: str, body: bytes) -> None:
    status, _, text = send(address, "/several", body, "POST")
    assert (status, text) == (400, "The page and the app do not match. Load the page again.")
    assert send(address, "/several")[0] == 404
