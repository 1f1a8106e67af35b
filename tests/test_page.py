"""The page around the views, in a real browser: links, pasted pictures, names for a screen reader, plots that fit."""

import base64
import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from conftest import EXAMPLES
from playwright.sync_api import Browser, Page, expect
from viewing import READY, choose, described, link_of, look, maps_of, opened, ready, settle, slow, tab

import dsp_viz
from dsp_viz import ui
from dsp_viz.store import Store


def said_by(link: str) -> dict[str, str]:
    """The parts of a link's address, as text."""
    return {name: value for name, (value,) in parse_qs(urlsplit(link).fragment).items()}


def test_a_link_that_cannot_be_read_opens_the_page(page: Page, address: str) -> None:
    other = page.context.new_page()
    faults: list[str] = []
    other.on("pageerror", lambda e: faults.append(str(e)))
    other.goto(f"{address}#block=4&head=²&query=3&opacity=x&tab=nothing&a=,,,")
    ready(other)
    expect(other.locator(".dv-read")).to_contain_text("token row 9, column 9 · block 5 · head 1")
    assert faults == []


def test_a_link_in_an_open_tab_sets_the_view(page: Page) -> None:
    ready(page)
    far = "block=4&head=2&scale=1&stream=1&query=3,12&smooth=true"
    for link, told, smooth in (
        (far, "row 4, column 13 · block 5 · head 3 · 2× · opposite", 1),
        ("block=0&query=all", "all queries, averaged · block 1 · head 1 · 1× · same", 0),
        (far, "row 4, column 13 · block 5 · head 3 · 2× · opposite", 1),
    ):  # fmt: skip
        page.evaluate("text => { location.hash = text }", f"picture={EXAMPLES[0].stem}&{link}")
        expect(page.locator(".dv-read")).to_contain_text(told)
        expect(page.get_by_label("smooth").first).to_be_checked(checked=bool(smooth))
    page.locator(".dv-stage").press("ArrowUp")
    link_of(page)
    page.wait_for_timeout(300)
    page.evaluate("text => { location.hash = text }", f"picture={EXAMPLES[0].stem}&{link}")
    expect(page.locator(".dv-read")).to_contain_text(told)


def test_a_link_in_an_open_tab_brings_its_picture_and_model(page: Page) -> None:
    ready(page)
    page.evaluate(
        "text => { location.hash = text }",
        f"picture={EXAMPLES[4].stem}&model=polaformer_small&block=4&head=2&query=2,3",
    )
    expect(page.locator(".dv-read")).to_contain_text("row 3, column 4 · block 5 · head 3")
    expect(page.locator("#prediction .facts")).to_contain_text("polaformer_small")
    assert described(page)["picture"] == EXAMPLES[4].stem


def test_an_address_that_was_copied_follows_the_view(page: Page) -> None:
    ready(page)
    without = page.url
    look(page, head=1)
    page.wait_for_timeout(1000)
    assert page.url == without  # nobody asked for a link
    link = link_of(page)
    look(page, head=2)
    expect(page).to_have_url(link.replace("head=1", "head=2"))
    expect(opened(page, page.url).locator(".dv-read")).to_contain_text("head 3")


def test_what_is_shown_of_the_last_picture_fades_while_a_new_one_is_computed(page: Page) -> None:
    ready(page)
    slow(page, 4000)
    page.locator("#examples button").nth(3).click()
    stale = page.locator("#view > .pending")
    expect(stale).to_have_css("opacity", "0.55")
    told = "getComputedStyle(document.querySelector('#view'), '::before').content"
    assert page.evaluate(told) == '"Computing …"'
    expect(stale).to_have_count(0)
    assert page.evaluate(told) == "none"


def test_a_block_that_is_chosen_while_a_picture_is_computed_stays_chosen(page: Page) -> None:
    ready(page)
    tab(page, "Spectral filters")
    expect(page.get_by_label("Block shown", exact=True)).to_have_value("3")
    page.get_by_role("radio", name="512 px").check()  # takes longer than what is asked next
    page.wait_for_timeout(300)
    look(page, block=5)
    expect(page.locator("#prediction .facts")).to_contain_text("64×64")
    page.wait_for_timeout(1000)  # all of the answer is there
    expect(page.get_by_label("Block shown", exact=True)).to_have_value("6")
    tab(page, "Attention maps")
    expect(page.locator(".dv-read")).to_contain_text("block 6")


def test_a_tab_that_is_opened_while_a_picture_is_computed_shows_that_picture(page: Page) -> None:
    ready(page)
    slow(page, 1500)
    page.locator("#examples button").nth(3).click()
    page.wait_for_timeout(300)  # it is asked for before the tab is
    tab(page, "Compare")
    for cell in (0, 1):
        expect(page.locator("#compare td").nth(cell)).to_contain_text(EXAMPLES[3].stem)


def test_a_class_that_is_picked_while_a_picture_is_asked_for_is_explained_of_it(page: Page) -> None:
    ready(page)
    page.wait_for_timeout(1000)  # nothing else is asked by then
    slow(page, 2500, 0)
    page.locator("#examples button").nth(1).click()
    page.wait_for_timeout(300)  # it is asked for with the class of before
    page.get_by_label("Class to explain", exact=True).click()
    page.keyboard.type("chur")
    page.keyboard.press("Enter")
    picked = page.locator("#prediction .picked")
    expect(picked).to_contain_text("church")
    expect(page.locator("#prediction .made")).to_contain_text("451×300")
    expect(picked).to_contain_text("church")


def test_a_class_is_found_by_typing(page: Page) -> None:
    ready(page)
    field = page.get_by_label("Class to explain", exact=True)
    field.click()
    page.keyboard.type("chur")
    options = page.locator(f"#{field.get_attribute('aria-controls')}").get_by_role("option")
    expect(options).to_have_text([re.compile("church")])
    page.keyboard.press("Enter")
    expect(field).to_have_value("church")


def test_a_link_says_tab_comparison_and_interventions(page: Page) -> None:
    ready(page)
    tab(page, "What if")
    box = page.locator("#interventions textarea")
    box.fill('[{"kind": "set_coefficient", "value": 0, "block": 1}]')
    said = said_by(link_of(page))
    assert said["tab"] == "whatif"
    assert said["interventions"] == box.input_value()
    tab(page, "Compare")
    expect(page.locator("#compare .dc")).to_have_attribute("data-busy", "false")
    choose(page, "Model B", "polaformer_small")
    expect(page.locator("#compare td").nth(1)).to_contain_text("polaformer_small")
    choose(page, "Picture B", EXAMPLES[2].stem)
    expect(page.locator("#compare td").nth(1)).to_contain_text(EXAMPLES[2].stem)
    page.get_by_label("same block, head, scale and stream").uncheck()
    page.locator('#compare [data-side="0"][data-key="scale"]').select_option(index=1)
    page.locator('#compare [data-side="1"][data-key="block"]').select_option(index=4)
    expect(page.locator("#compare td").nth(5)).to_contain_text("block 5")
    page.locator("#compare canvas").first.press("ArrowUp")
    link = link_of(page)
    said = said_by(link)
    assert (said["tab"], said["modelA"], said["modelB"]) == ("compare", "dsp_tiny", "polaformer_small")
    assert (said["a"], said["b"], said["query"]) == ("2,0,1,0", "4,0,0,0", "7,8")
    other = page.context.new_page()
    other.goto(link)
    expect(other.get_by_role("tab", name="Compare")).to_have_attribute("aria-selected", "true")
    expect(other.locator("#compare td").nth(4)).to_have_text("block 3, head 1, 2×, same")
    expect(other.locator("#compare td").nth(5)).to_contain_text("block 5")
    assert described(other, "compare")["query"] == [7, 8]
    expect(other.get_by_label("Model B", exact=True)).to_have_value("polaformer_small")
    expect(other.get_by_label("Picture B", exact=True)).to_have_value(EXAMPLES[2].stem)
    tab(other, "What if")
    expect(other.locator("#interventions textarea")).to_have_value(re.compile("set_coefficient"))


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (390, 844)])
def test_plots_drawn_in_a_hidden_tab_fit_it(page: Page, width: int, height: int) -> None:
    page.set_viewport_size({"width": width, "height": height})
    ready(page)
    tab(page, "Spectral filters")
    plots = page.locator("#gain, #radial, #power, #phase, #kernel").locator(".js-plotly-plot")
    expect(plots).to_have_count(5)
    fitting = """() => {
        const plots = [...document.querySelectorAll('.js-plotly-plot')].filter(p => p.clientWidth);
        return plots.length === 5 && plots.every(p => {
            const box = p.parentElement.clientWidth;
            return Math.abs(p._fullLayout.width - box) <= 1 && p.querySelector('.main-svg').clientWidth <= box + 1;
        });
    }"""
    told = "[...document.querySelectorAll('.js-plotly-plot')].filter(p => p.clientWidth).map(p => p._fullLayout.height)"
    heights = page.evaluate(told)
    for _ in range(2):
        tab(page, "Attention maps")
        page.get_by_role("button", name="next block").click()
        page.wait_for_timeout(3000)  # the figures of the next block are drawn, if they are drawn at all while hidden
        ready(page)
        tab(page, "Spectral filters")
        page.wait_for_function(fitting, timeout=READY)
        assert page.evaluate(told) == heights


def test_examples_and_controls_have_names(page: Page) -> None:
    ready(page)
    for path in EXAMPLES:
        expect(page.get_by_role("button", name=path.stem.replace("-", " "), exact=True)).to_have_count(1)
    expect(page.get_by_role("button", name="Thumbnail")).to_have_count(0)
    tab(page, "Compare")
    expect(page.locator("#compare td").first).not_to_be_empty()
    for within, lacking in (
        (".dc", "!(e.closest('[title]') || e.closest('label')?.textContent.trim())"),
        (".dv", "!e.closest('[title]')"),
    ):
        controls = f"[...document.querySelectorAll('{within} :is(button, select, input, summary)')]"
        assert page.evaluate(f"{controls}.filter(e => {lacking}).map(e => e.outerHTML)") == []


def paste(page: Page, target: str, path: Path) -> None:
    page.evaluate(
        """([target, data]) => {
            const bytes = Uint8Array.from(atob(data), c => c.charCodeAt(0));
            const clipboardData = new DataTransfer();
            clipboardData.items.add(new File([bytes], 'pasted.jpg', { type: 'image/jpeg' }));
            const event = new ClipboardEvent('paste', { clipboardData, bubbles: true, cancelable: true });
            document.querySelector(target).dispatchEvent(event);
        }""",
        [target, base64.b64encode(path.read_bytes()).decode()],
    )


def test_a_picture_pasted_on_the_page_is_analysed(page: Page, model: dsp_viz.Subject) -> None:
    ready(page)
    _, before = dsp_viz.analyse(model, EXAMPLES[0]).top(1)[0]
    best, p = dsp_viz.analyse(model, EXAMPLES[4]).top(1)[0]
    paste(page, "#interventions textarea, input[role=combobox]", EXAMPLES[4])  # somebody writes there
    page.wait_for_timeout(500)
    expect(page.locator("#prediction .row").first).to_contain_text(f"{100 * before:.1f} %")
    paste(page, "body", EXAMPLES[4])
    expect(page.locator("#prediction .row").first).to_contain_text(f"{100 * p:.1f} %")
    assert best in page.locator("#prediction .row").first.inner_text()


def test_a_result_that_is_gone_is_analysed_again(browser: Browser, model: dsp_viz.Subject) -> None:
    store = Store(max_bytes=1)  # keeps the newest result only
    with ui.serving(ui.create_app(ui.build([model], EXAMPLES, store), store)) as address:
        page = browser.new_page()
        page.goto(address)
        ready(page)
        page.wait_for_timeout(1200)  # the neighbouring blocks come in
        store.put("another", {}, None)
        look(page, block=5)
        note = page.locator(".dv-note")
        expect(note).to_contain_text("This result is no longer kept.")
        page.get_by_role("button", name="Analyse again").click()
        expect(note).to_be_empty()
        expect(page.locator('[data-out="block"]')).to_have_text("6 / 6")
        settle(page)
        assert len(maps_of(page)) == 4
        page.close()


def test_on_a_phone_the_map_begins_on_the_first_screen_below_the_controls(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    ready(page)
    page.wait_for_function(
        """() => {
            const box = (name) => document.querySelector(name).getBoundingClientRect();
            const map = box(".dv-stage");
            const controls = ["#picture", "#prediction", "#target", "#rail fieldset", "#examples"];
            const above = controls.every((name) => box(name).height > 0 && box(name).bottom < map.top);
            return above && map.top < 720 && map.width > 0.85 * 390;
        }"""
    )


@pytest.mark.parametrize("width", [390, 720])
def test_titles_of_narrow_plots_stay_apart(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    ready(page)
    apart = """() => [...document.querySelectorAll('.js-plotly-plot')].filter(p => p.clientWidth).flatMap(p => {
        const { left, right } = p.getBoundingClientRect();
        const parts = [...p.querySelectorAll('.annotation-text-g')];
        const texts = parts.map(t => [t.textContent, t.getBoundingClientRect()]);
        const bad = texts.filter(([, t]) => t.left < left - 1 || t.right > right + 1).map(([text]) => text);
        texts.forEach(([text, t], i) => texts.slice(i + 1).forEach(([other, o]) => {
            const wide = Math.min(t.right, o.right) - Math.max(t.left, o.left);
            const tall = Math.min(t.bottom, o.bottom) - Math.max(t.top, o.top);
            if (wide > 1 && tall > 1) bad.push(`${text} / ${other}`);
        }));
        return bad;
    })"""
    for name in ("Spectral filters", "Coefficients", "Mixing weights", "Training"):
        tab(page, name)
        expect(page.locator(".js-plotly-plot:visible .main-svg").first).to_be_visible()
        page.wait_for_timeout(1500)  # plots of a tab come one by one
        assert page.evaluate(apart) == [], name
