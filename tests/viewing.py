"""How tests look at the view of the maps."""

import json
import re
from typing import Any

import numpy as np
from playwright.sync_api import Download, Page, expect

from dsp_viz.ui import modules

#: Milliseconds that anything may take to appear: what is there sooner is not waited for, however busy the machine.
READY = 60_000

expect.set_options(timeout=READY)


def ready(page: Page) -> None:
    expect(page.locator("#view .dv")).to_have_attribute("data-busy", "false")
    expect(page.locator("#view .dv")).to_have_attribute("data-pictured", "true")
    expect(page.locator(".dv-read")).to_contain_text("token row")


def described(page: Page, tab: str = "maps") -> dict[str, Any]:
    """What a link would say of what is on the screen: the views answer the event that asks them."""
    asking = "tab => { const detail = { tab, said: {} };"
    asking += " document.dispatchEvent(new CustomEvent('dsp:describe', { detail })); return detail.said; }"
    return page.evaluate(asking, tab)


def link_of(page: Page) -> str:
    """The address that Copy link puts into the address bar."""
    page.locator("#copy-link").click()
    return page.evaluate("location.href")


def maps_of(page: Page) -> list[np.ndarray]:
    """The maps of what is on the screen, as the view computes them: for each scale ``(streams, h, N)``, then the
    effective map of a layer with several scales."""
    script = """async ([place, { block: index, query }]) => {
        const load = (name) => import(new URL(`${place}/${name}.js`, document.baseURI));
        const [{ loadBlock }, { allMaps }] = await Promise.all(["pieces", "cells"].map(load));
        const token = document.querySelector("#view .dv").dataset.result;
        const maps = allMaps(await loadBlock({ token }, index), query);
        return maps.map((scale) => scale.map((head) => head.map((row) => Array.from(row))));
    }"""
    raw = page.evaluate(script, [modules.PLACE, described(page)])
    return [np.array(scale).swapaxes(0, 1) for scale in raw]


def look(page: Page, **wanted: Any) -> None:
    """Ask the view to look at a part, as the table of Which part matters does."""
    page.evaluate("detail => document.dispatchEvent(new CustomEvent('dsp:look', { detail }))", wanted)
    settle(page)


def ask(page: Page, query: tuple[int, int]) -> None:
    look(page, query=query)


def opened(page: Page, link: str) -> Page:
    """Another tab of the same browser."""
    other = page.context.new_page()
    other.goto(link)
    ready(other)
    return other


def settle(page: Page) -> None:
    """Wait until what was asked for is drawn."""
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def tab(page: Page, name: str) -> None:
    """Open a tab, which a narrow page keeps behind a button."""
    wanted = page.get_by_role("tab", name=name, exact=True)
    if wanted.is_visible():
        wanted.click()
        return
    page.locator(".overflow-menu > button").first.click()
    page.locator(".overflow-dropdown").first.get_by_text(name, exact=True).click()


def slow(page: Page, *milliseconds: int, anew: bool = False) -> None:
    """From now on the server gets what the page asks so much later: first, next, and so on, the last for all others.

    With ``anew`` from the start of the page, which is loaded again.
    """
    late = """async (ask, lates) => {
        await new Promise(done => setTimeout(done, lates.length > 1 ? lates.shift() : lates[0]));
        return ask();
    }"""
    _asking(page, late, list(milliseconds), anew)


def turn_away(page: Page) -> None:
    """The next that the page asks the server is answered by 503."""
    _asking(page, 'async (ask, busy) => busy.pop() ? new Response("{}", { status: 503 }) : ask()', [True])


def _asking(page: Page, how: str, given: list[Any], anew: bool = False) -> None:
    """From now on, or from a new start, what the page asks the server goes through a function."""
    script = f"""given => {{
        const known = window.fetch, how = {how};
        window.fetch = async (...request) => {{
            const {{ pathname }} = new URL(request[0] instanceof Request ? request[0].url : request[0], location.href);
            return pathname.endsWith("/queue/join") ? how(() => known(...request), given) : known(...request);
        }};
    }}"""
    if anew:
        page.add_init_script(f"({script})({json.dumps(given)})")
        page.reload()
    else:
        page.evaluate(script, given)


def saved(page: Page, name: str, within: str = ".dv") -> Download:
    """What a button of the Save menu hands out."""
    part = page.locator(within)
    part.get_by_text("Save", exact=True).click()
    with page.expect_download() as waiting:
        part.get_by_role("button", name=name, exact=True).click()
    part.get_by_text("Save", exact=True).click()
    return waiting.value


def end_of_scale(told: str) -> tuple[bool, float]:
    """Whether a scale says that values lie beyond its end, and where that is; from "… to ≥ 14.1 × uniform"."""
    found = re.search(r"to (≥ )?([\d.]+) × uniform", told)
    assert found is not None, told
    return found[1] is not None, float(found[2])


def choose(page: Page, label: str, option: str) -> None:
    """Pick from one of Gradio's dropdowns."""
    box = page.get_by_label(label, exact=True)
    box.click()
    # Its own list: that of the dropdown used before may still be closing, and may hold the same words.
    options = page.locator(f"#{box.get_attribute('aria-controls')}")
    options.get_by_role("option", name=option, exact=True).click()
    expect(options).to_have_count(0)
