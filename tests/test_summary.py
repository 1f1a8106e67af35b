"""The head that is looked at in numbers, in a real browser, against what Python says of the same picture."""

from pathlib import Path

import pytest
import torch
from conftest import EXAMPLES
from playwright.sync_api import Page, expect
from viewing import choose, look, ready, saved

import dsp_viz
from dsp_viz import heads


def summed_up(page: Page) -> None:
    """Wait until what is told is of what is shown, and all of it."""
    ready(page)
    expect(page.locator(".dv-summary")).to_have_attribute("aria-busy", "false")


def table(page: Page, selector: str) -> list[list[str]]:
    rows = page.locator(f"{selector} tr").all()
    return [row.locator("th, td").all_inner_texts() for row in rows]


def number(text: str) -> float:
    """As it is written: with a minus sign, or in per cent."""
    value = float(text.replace("−", "-").removesuffix("%"))
    return value / 100 if text.endswith("%") else value


def test_what_is_told_is_what_python_says(page: Page, model: dsp_viz.Subject) -> None:
    block = dsp_viz.analyse(model, EXAMPLES[0]).trace.blocks[4]
    want, alike = heads.numbers(block), heads.similarity(block)
    ready(page)
    look(page, block=4, head=1, scale=2, stream=1)
    expect(page.locator(".dv-summary h2")).to_have_text("Head 2 in numbers")
    summed_up(page)
    (_, *columns), *rows = table(page, ".dv-numbers")
    assert columns[0] == "all keys alike"
    assert columns[1:] == [f"{n}× {name}" for n in (1, 2, 4) for name in ("same", "opposite")]
    fields = {
        "looks this far away": want.distance,
        "entropy of a row": want.entropy,
        "entropy of the average": want.received_entropy,
        "to its own place": want.self_share,
        "same-signed share": want.same_share[..., None].expand(-1, -1, -1, 2),
    }
    assert [row[0] for row in rows] == list(fields)
    for name, _, *texts in rows:
        told = torch.tensor([number(text) for text in texts])
        # Rounded: to hundredths, shares to tenths of a per cent.
        step = 0.001 if texts[0].endswith("%") else 0.01
        torch.testing.assert_close(told, fields[name][0, 1].flatten(), rtol=0, atol=0.51 * step)
    assert page.locator(".dv-numbers th.chosen").all_inner_texts() == ["4× opposite"]
    distance = f"{float(want.distance[0, 1, 2, 1]):.2f}"
    expect(page.locator(".dv-told")).to_contain_text(
        f"4×, opposite: looks {distance} of the picture's longer side away"
    )
    found = torch.tensor([[number(text) for text in row[1:]] for row in table(page, ".dv-alike")[1:]])
    assert found.shape == (4, 4)
    # The page compares 32 of 256 queries.
    torch.testing.assert_close(found, alike, rtol=0, atol=0.1)


def test_a_pair_of_heads_leads_to_one_of_them(page: Page) -> None:
    summed_up(page)
    matrix = page.locator(".dv-alike")
    matrix.locator("tr").nth(1).locator("button").nth(2).click()
    expect(page.locator(".dv-read")).to_contain_text("head 3")
    expect(page.locator(".dv-summary h2")).to_have_text("Head 3 in numbers")
    assert matrix.locator("th.chosen").all_inner_texts() == ["3", "3"]
    # By keys: one button is reached, arrows lead on, not beyond the edge.
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    focused = page.locator(":focus")
    assert (focused.get_attribute("aria-label") or "").startswith("heads 2 and 4: ")
    assert matrix.locator('button[tabindex="0"]').count() == 1
    page.keyboard.press("Enter")
    expect(page.locator(".dv-summary h2")).to_have_text("Head 4 in numbers")


def test_how_to_read_it_stays_closed(page: Page, address: str) -> None:
    ready(page)
    how = page.get_by_text("How to read this")
    words = page.get_by_text("These numbers are of the whole picture")
    expect(words).to_be_visible()
    how.click()
    expect(words).to_be_hidden()
    other = page.context.new_page()
    other.goto(address)
    ready(other)
    expect(other.get_by_text("How to read this")).to_be_visible()
    expect(other.get_by_text("These numbers are of the whole picture")).to_be_hidden()
    other.get_by_text("How to read this").press("Enter")
    expect(other.get_by_text("These numbers are of the whole picture")).to_be_visible()
    # Nothing is left of it: the fixture looks.


def test_another_attention_another_table(page: Page, tmp_path: Path) -> None:
    summed_up(page)
    choose(page, "Model", "softmax_small")
    expect(page.locator(".dv-numbers th[scope=col]")).to_have_text(["all keys alike", "softmax"])
    summed_up(page)
    names = ["looks this far away", "entropy of a row", "entropy of the average", "to its own place"]
    assert [row[0] for row in table(page, ".dv-numbers")[1:]] == names
    report = tmp_path / "report.html"
    saved(page, "Report").save_as(report)
    other = page.context.new_page()
    other.goto(report.as_uri())
    expect(other.locator(".dv-summary")).to_have_attribute("aria-busy", "false")
    assert table(other, ".dv-numbers") == table(page, ".dv-numbers")


@pytest.mark.parametrize("width", [390, 720, 1440])
def test_it_fits(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    summed_up(page)
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width
    box, within = page.locator(".dv-alike").bounding_box(), page.locator(".dv").bounding_box()
    assert box is not None
    assert within is not None
    assert box["x"] + box["width"] <= within["x"] + within["width"] + 1
