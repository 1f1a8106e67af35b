"""Layers on a slow line, and on one that breaks: what the page says, and that asking again helps."""

import base64
import json
import re
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.request import urlopen

import pytest
from playwright.sync_api import Browser, Page, expect
from viewing import ready, tab

from dsp_viz.ui import modules

LOOK = "block => document.dispatchEvent(new CustomEvent('dsp:look', { detail: { block } }))"

#: Notes what is said of bytes, with the share that the bar shows.
NOTED = """() => {
    window.noted = [];
    const place = document.querySelector("#view .dv-arriving");
    const [words, bar] = place.children;
    new MutationObserver(() => setTimeout(() => noted.push([words.textContent, bar.value]))).observe(words, {
        childList: true,
    });
}"""

#: Bytes each second of a slow line; a layer of 4,096 tokens has some five million.
SLOW = 1_000_000


def slowed(page: Page, rate: int) -> None:
    """From now on so many bytes come each second."""
    line = page.context.new_cdp_session(page)
    line.send("Network.enable")
    rates = {"downloadThroughput": rate, "uploadThroughput": rate}
    line.send("Network.emulateNetworkConditions", {"offline": False, "latency": 0, **rates})


def fresh(browser: Browser, link: str) -> Page:
    """A page with nothing in its cache, once the neighbours of its layer have come in."""
    page = browser.new_page()
    page.goto(link)
    ready(page)
    page.wait_for_timeout(1000)
    return page


def layer_of(page: Page, index: int) -> tuple[str, bytes]:
    """Token of the result that a page shows, and the bytes of a layer of it."""
    token, base = page.evaluate("[document.querySelector('.dv').dataset.result, document.baseURI]")
    with urlopen(f"{base}results/{token}/{index}") as answer:
        return token, answer.read()


def test_a_slow_line_is_told_of_in_bytes_and_the_maps_follow(browser: Browser, address: str) -> None:
    page = fresh(browser, f"{address}#side=512&block=1")
    told = page.locator("#view .dv-arriving")
    expect(told).to_be_hidden()
    slowed(page, SLOW)
    page.evaluate(NOTED)
    page.evaluate(LOOK, 5)
    expect(page.locator(".dv-read")).to_contain_text("block 6")
    expect(told).to_be_hidden()
    noted = page.evaluate("window.noted")
    found = [re.fullmatch(r"([\d.]+) of ([\d.]+) MB of this layer are here", text) for text, _ in noted]
    here = [float(match[1]) for match in found if match]
    assert len(here) == len(noted) > 2
    assert here == sorted(here)
    assert here[0] < here[-1]
    assert {float(match[2]) for match in found if match} == {here[-1]}  # the last is all of it
    assert [share for _, share in noted] == pytest.approx([bytes_ / here[-1] for bytes_ in here], abs=0.02)
    page.close()


def test_the_coarse_maps_are_drawn_and_answer_while_the_fine_ones_are_on_their_way(
    browser: Browser, address: str
) -> None:
    page = fresh(browser, f"{address}#side=512&block=1")
    slowed(page, SLOW // 2)
    view, read = page.locator("#view"), page.locator(".dv-read")
    page.evaluate(LOOK, 5)
    expect(read).to_contain_text(re.compile(r"block 6 · head 1 · [24]× · same · 1× is on its way"))
    expect(view.locator(".dv")).to_have_attribute("data-busy", "true")
    page.evaluate("document.dispatchEvent(new CustomEvent('dsp:look', { detail: { query: [9, 40] } }))")
    expect(read).to_contain_text("token row 10, column 41")
    first = numbers(read.inner_text())
    assert first["scale"] != "1×"
    save = view.get_by_text("Save", exact=True)
    save.click()
    view.get_by_role("button", name="PNG").click()
    expect(view.locator(".dv-note")).to_contain_text("This layer is still on its way")
    expect(read).not_to_contain_text("on its way")
    expect(view.locator(".dv")).to_have_attribute("data-busy", "false")
    expect(view.locator(".dv-note")).to_be_empty()
    assert numbers(read.inner_text())["scale"] == "1×"  # what was chosen
    page.evaluate(
        "scale => document.dispatchEvent(new CustomEvent('dsp:look', { detail: { scale } }))",
        {"4×": 2, "2×": 1}[first["scale"]],
    )
    expect(read).to_contain_text(first["scale"])
    assert numbers(read.inner_text()) == first  # the map that was drawn early is the map
    page.close()


def numbers(text: str) -> dict[str, str]:
    """What is said of the large map."""
    found = re.search(r"head 1 · (?P<scale>\d×) · .*(?P<peak>peak .* × uniform at .*)", text, re.DOTALL)
    assert found, text
    return found.groupdict()


class Breaking(BaseHTTPRequestHandler):
    """Promises a layer, gives two million bytes of it, the second one after a second, and hangs up."""

    #: What is promised; what begins no layer.
    data = b"\xff" * 3_000_000

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.data)))
        self.end_headers()
        for part in (0, 1_000_000):
            self.wfile.write(self.data[part : part + 1_000_000])
            self.wfile.flush()
            time.sleep(1)
        self.connection.close()

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


@pytest.fixture
def breaking() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Breaking) as server:
        Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_a_line_that_breaks_is_told_of_in_sight_and_asking_again_helps(
    browser: Browser, address: str, breaking: str
) -> None:
    page = fresh(browser, f"{address}#block=1")
    page.route("**/results/*/5", lambda route: route.continue_(url=breaking))
    page.evaluate(LOOK, 5)
    told, note = page.locator("#view .dv-arriving"), page.locator("#view .dv-note")
    expect(told).to_have_text("2.0 of 3.0 MB of this layer are here")
    expect(note).to_contain_text("The line broke while the layer was on its way.")
    expect(note).to_be_in_viewport()
    expect(told).to_be_hidden()
    page.unroute("**/results/*/5")
    note.get_by_role("button", name="Try again").click()
    expect(page.locator(".dv-read")).to_contain_text("block 6")
    expect(note).to_be_empty()
    page.close()


def test_what_came_before_the_line_broke_stays_and_says_so(
    browser: Browser, address: str, breaking: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = fresh(browser, f"{address}#side=512&block=1")
    monkeypatch.setattr(Breaking, "data", layer_of(page, 5)[1])
    page.route("**/results/*/5", lambda route: route.continue_(url=breaking))
    page.evaluate(LOOK, 5)
    read, note = page.locator(".dv-read"), page.locator("#view .dv-note")
    expect(read).to_contain_text("block 6 · head 1 · 2× · same · 1× did not come")
    expect(note).to_contain_text("The line broke while the layer was on its way.")
    page.unroute("**/results/*/5")
    page.locator("#view").get_by_text("Save", exact=True).click()
    page.locator("#view").get_by_role("button", name="PNG").click()  # does not take "Try again" away
    page.keyboard.press("Escape")
    note.get_by_role("button", name="Try again").click()
    expect(read).to_contain_text("block 6 · head 1 · 1× · same")
    expect(read).not_to_contain_text("did not come")
    expect(note).to_be_empty()
    page.close()


def test_a_layer_that_is_here_stays_whole_though_another_view_asks_for_it_again(browser: Browser, address: str) -> None:
    page = fresh(browser, f"{address}#side=512&block=3")
    token, data = layer_of(page, 3)
    told = """async ([token, data]) => {
        const { Reader } = await import(new URL(PLACE + "/layer.js", document.baseURI));
        const bytes = Uint8Array.from(atob(data), letter => letter.charCodeAt(0));
        const here = Math.floor(bytes.length / 10);
        const detail = { token, index: 3, bytes: here, total: bytes.length, part: new Reader(bytes.buffer).read(here) };
        document.dispatchEvent(new CustomEvent("dsp:arriving", { detail }));
        return detail.part.missing;
    }""".replace("PLACE", json.dumps(modules.PLACE))
    assert page.evaluate(told, [token, base64.b64encode(data).decode()]) == 2
    expect(page.locator("#view .dv-arriving")).to_be_hidden()
    expect(page.locator(".dv-read")).to_contain_text("block 4 · head 1 · 1× · same")
    expect(page.locator(".dv-read")).not_to_contain_text("on its way")
    page.close()


@pytest.mark.parametrize(("name", "place"), [("Overview", ".do"), ("Compare", ".dc")])
def test_other_views_ask_again_for_what_did_not_come(browser: Browser, address: str, name: str, place: str) -> None:
    page = browser.new_page()
    page.goto(f"{address}#block=6")
    ready(page)
    page.route(re.compile(r"/results/[^/]+/2$"), lambda route: route.abort())
    tab(page, name)
    view = page.locator(place)
    note = view.locator(".dv-note")
    expect(note).to_contain_text("The server does not answer. Is it still running?")
    button = note.get_by_role("button", name="Try again")
    first = button.element_handle()
    page.unroute_all()
    # Nothing asks again by itself, so that the button stays under the pointer that is on its way to it.
    page.set_viewport_size({"width": 1100, "height": 800})
    page.wait_for_timeout(500)
    assert first.evaluate("button => button.isConnected")
    button.click()
    expect(view).to_have_attribute("data-busy", "false")
    expect(note).to_be_empty()
    page.close()
