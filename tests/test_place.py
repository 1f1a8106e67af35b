"""Block and head are chosen on any tab that depends on them, and hold on all."""

from conftest import EXAMPLES
from playwright.sync_api import Locator, Page, expect
from viewing import READY, ready, slow, tab, turn_away


def control(page: Page, label: str) -> Locator:
    """The one of the open tab."""
    return page.get_by_label(label, exact=True).filter(visible=True)


def pick(page: Page, label: str, number: int) -> None:
    control(page, label).click()
    options = page.locator(f"#{control(page, label).get_attribute('aria-controls')}")
    options.get_by_role("option", name=str(number), exact=True).click()


def stands_at(page: Page, block: int, head: int) -> None:
    expect(control(page, "Block shown")).to_have_value(str(block))
    expect(control(page, "Head shown")).to_have_value(str(head))


def test_block_and_head_can_be_chosen_on_every_tab_that_depends_on_them(page: Page) -> None:
    ready(page)
    first, read = page.get_by_role("tab").first, page.locator(".dv-read")
    tab(page, "Spectral filters")
    stands_at(page, 3, 1)
    pick(page, "Block shown", 5)
    pick(page, "Head shown", 4)
    for plot in ("#gain", "#phase", "#kernel"):
        expect(page.locator(plot)).to_contain_text("▸ head 4")
    stands_at(page, 5, 4)
    tab(page, "Coefficients")
    stands_at(page, 5, 4)
    pick(page, "Head shown", 2)
    frames = "document.querySelector('#dynamic .js-plotly-plot').layout.shapes.map(s => [s.x0, s.y0])"
    page.wait_for_function(f"JSON.stringify({frames}) === '[[15.5,0.5],[15.5,5.5]]'", timeout=READY)
    first.click()
    expect(read).to_contain_text("block 5 · head 2")
    page.get_by_role("button", name="next block").click()
    expect(read).to_contain_text("block 6 · head 2")
    tab(page, "Mixing weights")
    stands_at(page, 6, 2)
    tab(page, "Training")
    stands_at(page, 6, 2)
    expect(page.locator("#past-gain")).to_contain_text("▸ head 2")
    pick(page, "Block shown", 1)
    tab(page, "Spectral filters")
    stands_at(page, 1, 2)
    for plot in ("#gain", "#phase", "#kernel"):
        expect(page.locator(plot)).to_contain_text("▸ head 2")
    first.click()
    expect(read).to_contain_text("block 1 · head 2")


def test_a_choice_made_while_the_last_is_answered_counts(page: Page) -> None:
    """Gradio drops an event, or repeats the last, while one of its kind is under way, unless told otherwise."""
    ready(page)
    tab(page, "Spectral filters")
    stands_at(page, 3, 1)
    expect(page.locator("#gain")).to_contain_text("▸ head 1")
    slow(page, 1500)
    for head in (2, 3, 4):
        pick(page, "Head shown", head)
        page.wait_for_timeout(400)  # each asks on its own
    for plot in ("#gain", "#phase", "#kernel"):
        expect(page.locator(plot)).to_contain_text("▸ head 4")
    stands_at(page, 3, 4)


def test_an_earlier_answer_does_not_overtake_a_later_one(page: Page) -> None:
    """A tab is opened before the view has said that it moved, and what it asks for reaches the server last."""
    ready(page)
    page.get_by_role("button", name="next block").click()
    slow(page, 2000, 0)
    tab(page, "Mixing weights")
    stands_at(page, 4, 1)
    page.wait_for_timeout(3000)
    stands_at(page, 4, 1)


def test_a_tab_of_the_picture_of_before_does_not_come_back(page: Page) -> None:
    """It is asked for before another picture is, and reaches the server after that one is drawn."""
    ready(page)
    page.wait_for_timeout(1000)  # nothing else is asked by then
    slow(page, 4000, 0)
    tab(page, "Compare")
    page.wait_for_timeout(300)
    page.locator("#examples button").nth(3).click()
    cells = page.locator("#compare td")
    for cell in (0, 1):
        expect(cells.nth(cell)).to_contain_text(EXAMPLES[3].stem)
    page.wait_for_timeout(5000)
    for cell in (0, 1):
        expect(cells.nth(cell)).to_contain_text(EXAMPLES[3].stem)


def test_a_tab_that_is_opened_during_the_first_load_stays_open(page: Page) -> None:
    slow(page, 3000, anew=True)
    filters = page.get_by_role("tab", name="Spectral filters", exact=True)
    filters.click(timeout=READY)
    expect(page.locator("#prediction .facts")).to_be_visible()  # all of the first load is there
    expect(filters).to_have_attribute("aria-selected", "true")
    stands_at(page, 3, 1)
    expect(page.locator("#gain")).to_contain_text("▸ head 1")


def test_an_address_without_a_tab_leads_to_the_maps(page: Page) -> None:
    ready(page)
    tab(page, "Spectral filters")
    expect(page.locator("#gain")).to_contain_text("▸ head 1")
    page.evaluate(f"location.hash = 'picture={EXAMPLES[3].stem}&block=4'")
    expect(page.get_by_role("tab").first).to_have_attribute("aria-selected", "true")
    expect(page.locator(".dv-read")).to_contain_text("block 5 · head 1")


def test_a_tab_that_a_busy_server_turned_away_is_asked_for_again(page: Page) -> None:
    ready(page)
    page.wait_for_timeout(1000)
    turn_away(page)
    tab(page, "Spectral filters")
    stands_at(page, 3, 1)
    expect(page.locator("#gain")).to_contain_text("▸ head 1")
