"""What is kept of a visitor, for how long, and what others get to see of it."""

import json
import os
from pathlib import Path

from conftest import EXAMPLES
from gradio_client import Client, handle_file
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from viewing import READY, choose, link_of, ready, tab

import dsp_viz
from dsp_viz import ui
from dsp_viz.store import Store
from dsp_viz.ui.uploads import forget_gone, sweep


def test_a_link_gives_away_what_the_model_saw(page: Page, browser: Browser, tmp_path: Path) -> None:
    """The file that was uploaded, with its metadata and what was cut off, stays the sender's."""
    upload = tmp_path / "secret.jpg"
    with Image.open(EXAMPLES[1]) as picture:
        exif = Image.Exif()
        exif[0x010E] = "where I live"
        picture.save(upload, exif=exif)
    ready(page)
    page.locator("#picture").get_by_role("button", name="Remove Image").click()
    page.locator("#picture input[type=file]").set_input_files(upload)
    page.wait_for_function("() => document.querySelector('#source textarea').value.includes('secret')", timeout=READY)
    ready(page)
    link = link_of(page)
    sent = json.loads(page.locator("#source textarea").input_value())["path"]
    stranger = browser.new_context()
    bodies: list[str] = []
    other = stranger.new_page()
    other.on("response", lambda r: bodies.append(r.url))
    other.goto(link)
    ready(other)
    expect(other.locator("#picture img")).to_be_visible()
    got = json.loads(other.locator("#source textarea").input_value())["path"]
    assert got != sent
    with Image.open(got) as seen:
        assert seen.size == (128, 128)
        assert not seen.getexif()
    assert not any(Path(sent).parent.name in url for url in bodies)
    assert Path(sent).parent.name not in other.content()
    stranger.close()


def test_nothing_of_a_visitor_is_remembered_so_nothing_is_lost(
    browser: Browser, model: dsp_viz.Subject, softmax_small: dsp_viz.Subject
) -> None:
    """The store keeps one result only, and a dozen strangers come by while the tab sleeps, as in the background;
    Gradio forgets its choices. The page goes on as if nothing had been."""
    store = Store(max_bytes=1)
    models = [model, softmax_small]
    demo = ui.build(models, EXAMPLES, store)
    with ui.serving(ui.create_app(demo, store)) as address:
        page = browser.new_page()
        page.goto(address)
        ready(page)
        sleep = page.context.new_cdp_session(page)
        sleep.send("Page.setWebLifecycleState", {"state": "frozen"})
        client = Client(address, verbose=False)
        for i in range(12):
            client.predict(handle_file(EXAMPLES[i % 3]), api_name="/analyse")
        for i in range(3):
            other = browser.new_page()
            other.goto(f"{address}#picture={EXAMPLES[i + 1].stem}")
            ready(other)
            other.close()
        demo.state_holder.session_data.clear()
        assert len(demo._queue.event_analytics) <= 1
        sleep.send("Page.setWebLifecycleState", {"state": "active"})
        page.get_by_role("button", name="next block").click()
        expect(page.locator(".dv-read")).to_contain_text("block 4")
        tab(page, "What if")
        page.locator("#rank").click()
        expect(page.locator(".dm button")).to_have_count(6 * 9, timeout=2 * READY)
        tab(page, "Coefficients")
        expect(page.locator("#dynamic .js-plotly-plot")).to_be_visible()
        demo.state_holder.session_data.clear()
        page.get_by_role("radio", name="256 px").check()
        expect(page.locator("#prediction .facts")).to_contain_text("32×32 tokens")
        demo.state_holder.session_data.clear()
        choose(page, "Model", "softmax_small")
        expect(page.locator("#prediction .facts")).to_contain_text("softmax_small")
        page.close()


def test_a_picture_that_is_gone_is_told(page: Page, private: Path) -> None:
    ready(page)
    page.locator("#picture").get_by_role("button", name="Remove Image").click()
    page.locator("#picture input[type=file]").set_input_files(private)
    page.wait_for_function("() => document.querySelector('#source textarea').value.includes('private')", timeout=READY)
    Path(json.loads(page.locator("#source textarea").input_value())["path"]).unlink()
    page.get_by_role("radio", name="256 px").check()
    expect(page.get_by_text("This picture is no longer kept")).to_be_visible()
    page.locator("#examples button").nth(1).click()  # one click goes on
    expect(page.locator("#prediction .facts")).to_contain_text("32×32 tokens")


def test_what_uploads_leave_goes_once_it_is_old(tmp_path: Path) -> None:
    empty, full, new = (letter * 64 for letter in "def")
    for name in (empty, full, new):
        (tmp_path / name).mkdir()
    (tmp_path / full / "file").touch()
    for name in ("tmpwas_old1", "tmpisnew_23", "other"):
        (tmp_path / name).touch()
    for name in (empty, full, "tmpwas_old1", "other"):
        os.utime(tmp_path / name, (0, 0))
    sweep(tmp_path, 3600)
    assert sorted(path.name for path in tmp_path.iterdir()) == [full, new, "other", "tmpisnew_23"]


def test_gradio_forgets_the_names_of_uploads_that_are_gone(model: dsp_viz.Subject, tmp_path: Path) -> None:
    """It would keep each for good."""
    demo = ui.build([model], EXAMPLES, Store(max_bytes=1))
    there = tmp_path / "there"
    there.touch()
    demo.temp_file_sets[0].update([str(there), str(tmp_path / "gone")])
    forget_gone(demo)
    assert demo.temp_file_sets[0] == {str(there)}


#: What a busy page does: it reads what the server says some time after it has come.
LATE = """const plain = window.fetch.bind(window);
window.fetch = async (...request) => {
  const response = await plain(...request);
  if (!String(request[0].url ?? request[0]).includes("/queue/data")) return response;
  const late = new TransformStream({ async transform(chunk, to) {
    await new Promise(done => setTimeout(done, 700));
    to.enqueue(chunk);
  } });
  return new Response(response.body.pipeThrough(late), response);
};"""


def test_a_page_that_reads_late_loses_no_click(browser: Browser, address: str) -> None:
    """What is asked for when the server has ended the stream of answers, and the page has not read that yet."""
    page = browser.new_page()
    page.add_init_script(LATE)
    page.goto(address)
    ready(page)
    tab(page, "What if")
    message = page.locator("#whatif-message")
    page.wait_for_timeout(5000)  # until nothing is left to answer, and the page has read that
    with page.expect_response(lambda answer: "queue/join" in answer.url):
        page.locator("#run").click()  # refused at once, as the list is empty
    page.wait_for_timeout(300)
    page.get_by_role("button", name="Clear").click()
    expect(message.locator("[role=alert]")).to_be_visible()
    expect(message).to_be_empty()
    page.close()
