"""What a notebook shows: an analysis with its maps alive in a frame, the whole screen in another, figures for print."""

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from conftest import EXAMPLES
from playwright.sync_api import Browser, FrameLocator, Page, expect

import dsp_viz
from dsp_viz.ui import program, takeaway


@pytest.fixture(scope="module")
def result() -> dsp_viz.Analysis:
    return dsp_viz.analyse(dsp_viz.load("dsp_tiny"), EXAMPLES[0])


class Cell:
    """Draws HTML in a page as a notebook draws an output; keeps every fault, and every request to anyone."""

    def __init__(self, page: Page) -> None:
        self.page, self.faults = page, list[str]()
        page.on("console", lambda m: self.faults.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda e: self.faults.append(str(e)))
        page.on("request", lambda r: self.faults.append(r.url) if r.url.startswith(("http", "file")) else None)

    def draw(self, html: str) -> FrameLocator:
        self.page.set_content(f"<main><p>Out [1]:</p><div>{html}</div></main>")
        return self.page.frame_locator("iframe")


@pytest.fixture
def cell(browser: Browser) -> Iterator[Cell]:
    drawn = Cell(browser.new_page(viewport={"width": 1100, "height": 1000}))
    yield drawn
    drawn.page.close()
    assert drawn.faults == []


def test_a_result_answers_clicks_within_its_cell(result: dsp_viz.Analysis, cell: Cell) -> None:
    """The maps are rebuilt in the frame: another place asks, another block is unpacked, nobody is asked for it."""
    html = result._repr_html_()
    assert len(html) < 3_000_000  # what Jupyter's server lets through
    frame = cell.draw(html)
    read = frame.locator(".dv-read")
    expect(read).to_contain_text("token row 9, column 9 · block 3")
    expect(frame.get_by_text("maps verified")).to_be_visible()
    stage = frame.locator(".dv-stage")
    box = stage.bounding_box()
    assert box is not None
    stage.click(position={"x": box["width"] * 0.1, "y": box["height"] * 0.9})
    expect(read).to_contain_text("token row 15, column 2")
    frame.get_by_role("button", name="next block").click()
    expect(read).to_contain_text("block 4")


def test_what_names_say_is_never_markup(result: dsp_viz.Analysis, cell: Cell) -> None:
    evil = "\"'><script>alert(1)<b>bold"
    hostile = replace(result, name=f"{evil}.jpg", classes=(evil, *result.classes[1:]), model=evil)
    frame = cell.draw(hostile._repr_html_())
    expect(frame.locator("h1")).to_have_text(evil)
    expect(frame.locator(".dv-read")).to_contain_text("token row")
    assert frame.locator("b", has_text="bold").count() == 0
    assert cell.page.locator("main > div > *").count() == 1
    assert cell.page.locator("b").count() == 0


def test_a_frame_asks_the_notebook_for_nothing(result: dsp_viz.Analysis) -> None:
    (granted,) = re.findall(r'" sandbox="([^"]*)"', result._repr_html_()[-400:])
    assert granted.split() == ["allow-scripts", "allow-downloads"]


def test_what_is_too_large_for_a_notebook_is_a_picture(
    result: dsp_viz.Analysis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(takeaway, "MOST", 10**6)
    shown = result._repr_html_()
    assert "<iframe" not in shown
    assert "data:image/png;base64," in shown
    assert "Too large to be drawn within a notebook: <code>dsp_viz.explore(model)</code> opens it whole." in shown


def test_figures_for_print(result: dsp_viz.Analysis) -> None:
    buffer = io.BytesIO()
    result.figure().savefig(buffer, format="pdf")
    assert buffer.getvalue().startswith(b"%PDF")
    texts = [text.get_text() for text in result.figure(block=4, query=(0, 3)).texts]
    assert any("Block 5 of 6, query at row 1, column 4" in text for text in texts)
    with pytest.raises(ValueError, match="block=9: must be within 0 and 5"):
        result.figure(block=9)


@pytest.fixture
def notebook(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Serves HTML as a notebook on this machine does, from an origin of its own; gives the address."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    def put(html: str) -> str:
        (tmp_path / "notebook.html").write_text(f"<!doctype html><div>{html}</div>")
        return f"http://localhost:{server.server_address[1]}/notebook.html"

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path))) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield put
        server.shutdown()
        thread.join()


def test_the_explorer_runs_within_a_cell(
    model: dsp_viz.Subject,
    browser: Browser,
    monkeypatch: pytest.MonkeyPatch,
    notebook: Callable[[str], str],
    softmax_small: dsp_viz.Subject,
) -> None:
    """As if it were asked for in a kernel."""
    monkeypatch.setattr(program, "in_notebook", lambda: True)
    screen = dsp_viz.explore(model, softmax_small, examples=EXAMPLES[2:4], height=700)
    assert screen is not None
    try:
        page = browser.new_page()
        page.goto(notebook(screen._repr_html_()))
        frame = page.frame_locator("iframe")
        expect(frame.locator(".dv-read")).to_contain_text("token row 9, column 9 · block 3")
        assert page.locator("iframe").bounding_box()["height"] == 700  # type: ignore[index]
        page.close()
    finally:
        screen.close()


def test_models_of_an_explorer_have_names_of_their_own(model: dsp_viz.Subject) -> None:
    for models, told in (((), r"\(none\)"), ((model, model), "dsp_tiny, dsp_tiny")):
        with pytest.raises(ValueError, match=f"models are called {told}: at least one is needed, each name once"):
            dsp_viz.explore(*models)
    with pytest.raises(ValueError, match="examples is empty: at least one picture is needed"):
        dsp_viz.explore(model, examples=[], port=0)
