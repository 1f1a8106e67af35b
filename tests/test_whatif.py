"""The What if tab in a real browser: interventions, before and after, and what each part is worth."""

import pytest
import torch
from conftest import EXAMPLES
from playwright.sync_api import Page, expect
from viewing import READY, choose, ready, slow

import dsp_viz
from dsp_viz import images, maps
from dsp_viz.importance import importance
from dsp_viz.interventions import LeaveOutFilter, LeaveOutSummary, Restrict, SetCoefficient, SetMixingWeights, from_json

#: The list as the browser has it.
WRITTEN = "JSON.parse(document.querySelector('#interventions textarea').value)"


def opened(page: Page) -> None:
    ready(page)
    page.get_by_role("tab", name="What if").click()
    expect(page.locator("#interventions textarea")).to_have_value("[]")


def add(page: Page, group: str, count: int) -> None:
    """Add what the controls of a group say; then the list holds ``count``."""
    page.get_by_role("tab", name=group, exact=True).last.click()
    page.locator("button:visible", has_text="Add").click()
    page.wait_for_function(
        "n => JSON.parse(document.querySelector('#interventions textarea').value).length === n",
        arg=count,
        timeout=READY,
    )


def written(page: Page) -> tuple:
    return from_json(page.locator("#interventions textarea").input_value())


def test_before_and_after_are_the_model_s(page: Page, model: dsp_viz.Subject) -> None:
    opened(page)
    choose(page, "Block", "3")
    add(page, "Streams", 1)
    choose(page, "Head", "2")
    add(page, "Filters", 2)
    add(page, "Context", 3)
    add(page, "Mixing weights", 4)
    interventions = written(page)
    assert interventions == (
        SetCoefficient(value=0, block=2, stream="opposite"),
        LeaveOutFilter(block=2, head=1),
        LeaveOutSummary(summary="global", block=2),
        SetMixingWeights(weights=(1, 0, 0), block=2, head=1),
    )
    page.locator("#run").click()
    expect(page.locator("#whatif .dc")).to_have_attribute("data-busy", "false")
    expect(page.locator("#whatif thead th").nth(2)).to_have_text("after")
    before = dsp_viz.analyse(model, EXAMPLES[0])
    after = dsp_viz.analyse(model, EXAMPLES[0], interventions=interventions)
    assert before.top(1) != after.top(1)
    cells = page.locator("#whatif tbody tr").nth(1).locator("td")
    for cell, result in zip(cells.all(), (before, after), strict=True):
        name, p = result.top(1)[0]
        expect(cell).to_have_text(f"{name} {100 * p:.1f} %")
    # Its own maps stay as they are where a coefficient or a weight is changed, and that is said.
    expect(page.locator("#whatif .dc-sides p").nth(2)).to_contain_text("equal: look at layer, or at a later block")
    # Maps of a later block differ, and are those of Python.
    page.locator('#whatif [data-side="0"][data-key="block"]').select_option(index=3)
    expect(page.locator("#whatif tbody tr").nth(2).locator("td").first).to_contain_text("block 4")
    for side, result in enumerate((before, after)):
        row = maps.block_maps(result.trace.blocks[3], (8, 8))[0][0, 0]
        told = page.locator("#whatif tbody tr").nth(4).locator("td").nth(side).inner_text()
        assert float(told) == pytest.approx(256 * float(row.max()), rel=0.01)
    expect(page.locator("#before-after .js-plotly-plot")).to_be_visible()
    drawn = page.evaluate("document.querySelector('#before-after .js-plotly-plot')._fullData.map(t => Array.from(t.x))")
    old = dict(zip(before.classes, before.probabilities, strict=True))
    assert drawn[0][:4] == [pytest.approx(100 * p, abs=1e-3) for _, p in before.top(4)]
    assert sorted(drawn[0], reverse=True)[0] == pytest.approx(100 * max(old.values()), abs=1e-3)


def stroke(page: Page, *tokens: tuple[int, int]) -> None:
    """Press on the first token, move to the others, of 16×16; a fast pointer tells few of the tokens that it passes."""
    canvas = page.locator(".dr canvas")
    box = canvas.bounding_box()
    assert box is not None
    for i, (row, column) in enumerate(tokens):
        # Where the canvas is at that moment: the list below it grows and shrinks, and the page with it.
        canvas.hover(position={"x": (column + 0.5) * box["width"] / 16, "y": (row + 0.5) * box["height"] / 16})
        if i == 0:
            page.mouse.down()
    page.mouse.up()


def test_a_region_is_drawn_by_pointer_and_by_keys(page: Page) -> None:
    opened(page)
    page.get_by_role("tab", name="Region").click()
    canvas = page.locator(".dr canvas")
    expect(page.locator(".dr-count")).to_have_text("0 of 256 patches chosen")
    stroke(page, (4, 2), (4, 4))
    page.wait_for_function(
        "document.querySelector('#interventions textarea').value.includes('restrict')", timeout=READY
    )
    assert written(page) == (Restrict(grid=(16, 16), tokens=((4, 2), (4, 3), (4, 4))),)
    canvas.press("ArrowDown")
    canvas.press(" ")
    page.wait_for_function("document.querySelector('#interventions textarea').value.includes('[5,4]')", timeout=READY)
    canvas.press("ArrowUp")
    canvas.press(" ")  # out again
    page.wait_for_function("!document.querySelector('#interventions textarea').value.includes('[4,4]')", timeout=READY)
    assert written(page) == (Restrict(grid=(16, 16), tokens=((4, 2), (4, 3), (5, 4))),)
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#interventions textarea")).to_have_value("[]")
    expect(page.locator(".dr-count")).to_have_text("0 of 256 patches chosen")
    stroke(page, (9, 1), (9, 6))
    page.wait_for_function(f"{WRITTEN}.length === 1", timeout=READY)
    row = Restrict(grid=(16, 16), tokens=tuple((9, column) for column in range(1, 7)))
    assert written(page) == (row,)
    # Another block has a region of its own, and what is written in the list is drawn.
    choose(page, "Block", "2")
    expect(page.locator(".dr-count")).to_have_text("0 of 256 patches chosen")
    canvas.press("ArrowDown")
    canvas.press(" ")
    page.wait_for_function(f"{WRITTEN}.length === 2", timeout=READY)
    assert written(page) == (row, Restrict(grid=(16, 16), tokens=((10, 6),), block=1))
    choose(page, "Block", "every")
    expect(page.locator(".dr-count")).to_have_text("6 of 256 patches chosen")
    page.locator("#interventions textarea").fill('[{"kind": "restrict", "grid": [16, 16], "tokens": [[0, 0]]}]')
    page.locator("#interventions textarea").blur()
    expect(page.locator(".dr-count")).to_have_text("1 of 256 patches chosen")


def test_a_stroke_that_ends_while_the_last_is_answered_counts(page: Page) -> None:
    opened(page)
    page.get_by_role("tab", name="Region").click()
    canvas = page.locator(".dr canvas")
    expect(page.locator(".dr-count")).to_have_text("0 of 256 patches chosen")
    canvas.press(" ")
    page.wait_for_function(f"{WRITTEN}.length === 1", timeout=READY)
    slow(page, 1500)
    for _ in range(3):
        canvas.press("ArrowRight")
        canvas.press(" ")
        page.wait_for_timeout(300)
    page.wait_for_function(f"{WRITTEN}[0].tokens.length === 4", timeout=READY)
    expect(page.locator(".dr-count")).to_have_text("4 of 256 patches chosen")


def test_another_picture_takes_what_was_told_of_the_last(page: Page) -> None:
    opened(page)
    page.get_by_role("tab", name="Region").click()
    canvas = page.locator(".dr canvas")
    expect(page.locator(".dr-count")).to_have_text("0 of 256 patches chosen")
    canvas.press(" ")
    page.wait_for_function(
        "document.querySelector('#interventions textarea').value.includes('restrict')", timeout=READY
    )
    page.get_by_role("tab", name="Streams").click()
    add(page, "Streams", 2)
    page.locator("#run").click()
    expect(page.locator("#before-after .js-plotly-plot")).to_be_visible()
    page.locator("#rank").click()
    expect(page.locator(".dm button")).to_have_count(6 * 9, timeout=2 * READY)
    # Another grid: all of a picture that is not square. The region does not fit it; the rest stays.
    page.get_by_label("Whole picture, not only its middle").check()
    expect(page.locator(".dm button")).to_have_count(0)
    expect(page.locator("#before-after .js-plotly-plot")).to_have_count(0)
    assert written(page) == (SetCoefficient(value=0, stream="opposite"),)
    page.get_by_role("tab", name="Region").click()
    page.wait_for_function("(c => c.height < 0.9 * c.width)(document.querySelector('.dr canvas'))", timeout=READY)
    canvas.press(" ")
    page.wait_for_function(
        "document.querySelector('#interventions textarea').value.includes('restrict')", timeout=READY
    )
    assert written(page)[-1].grid[0] < written(page)[-1].grid[1]


def test_bad_interventions_say_what_is_wrong(page: Page) -> None:
    opened(page)
    alert = page.locator("#whatif-message [role=alert]")
    page.locator("#run").click()
    expect(alert).to_contain_text("Add at least one")
    for text, message in (
        ('[{"kind": "drop"}]', "set_coefficient"),
        ('[{"kind": "set_coefficient", "value": 0, "head": 12}]', "head=12: must be within 0 and 3"),
        ("<b>[", "Invalid JSON"),
    ):
        page.locator("#interventions textarea").fill(text)
        page.locator("#run").click()
        expect(alert).to_contain_text(message)
    expect(page.locator("#whatif-message b")).to_have_count(0)
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#interventions textarea")).to_have_value("[]")


def test_what_each_part_is_worth_leads_to_its_maps(page: Page, model: dsp_viz.Subject) -> None:
    opened(page)
    page.locator("#rank").click()
    expect(page.locator("#matter .progress-text").first).to_be_visible()
    cells = page.locator(".dm button")
    expect(cells).to_have_count(6 * 9, timeout=2 * READY)
    cut, _ = images.fit(images.read_image(EXAMPLES[0]), side=128, patch=8)
    want = importance(model, model.preparation.tensor(cut))
    expect(page.locator(".dm-title")).to_contain_text(
        f"{model.classes[want.target]}, {want.logit:.2f}".replace("-", "−")
    )
    told = [float(text.replace("−", "-")) for text in cells.all_inner_texts()]
    rows = [torch.cat(parts).tolist() for parts in zip(want.heads, want.scales, want.streams, strict=True)]
    assert told == [pytest.approx(value, abs=6e-3) for row in rows for value in row]
    most = max((value for row in rows for value in row), key=abs)
    expect(page.locator(".dm-most")).to_contain_text(f"{most:+.2f}".replace("-", "−"))
    cells.nth(4 * 9 + 2).click()
    expect(page.locator(".dv-read")).to_contain_text("block 5 · head 3")
    expect(page.get_by_role("tab", name="Attention maps")).to_have_attribute("aria-selected", "true")


def test_a_picked_class_is_among_the_bars_and_ranked(page: Page, model: dsp_viz.Subject) -> None:
    opened(page)
    add(page, "Streams", 1)
    page.locator("#run").click()
    expect(page.locator("#before-after .js-plotly-plot")).to_be_visible()
    names = "document.querySelector('#before-after .js-plotly-plot')._fullData[0].y"
    before = dsp_viz.analyse(model, EXAMPLES[0])
    (change,) = written(page)
    after = dsp_viz.analyse(model, EXAMPLES[0], interventions=[change])
    shown = list(dict.fromkeys(name for name, _ in [*before.top(4), *after.top(4)]))
    assert page.evaluate(names) == shown
    picked = next(name for name, _ in reversed(before.top(10)) if name not in shown)
    choose(page, "Class to explain", picked)
    page.wait_for_function(f"name => {names}.at(-1) === name", arg=picked, timeout=READY)
    assert page.evaluate(names) == [*shown, picked]
    page.locator("#rank").click()
    expect(page.locator(".dm button")).to_have_count(6 * 9, timeout=4 * READY)
    logit = float(before.trace.output[0, model.classes.index(picked)])
    expect(page.locator("#matter .dm-title")).to_contain_text(f"{picked}, {logit:.2f}".replace("-", "−"))
    choose(page, "Class to explain", "the most probable")  # answers for another class go
    expect(page.locator(".dm button")).to_have_count(0)
    page.locator("#rank").click()
    choose(page, "Class to explain", picked)  # while they are on their way, too
    expect(page.get_by_text("Ask for the parts again.")).to_be_visible()
    expect(page.locator("#rank")).to_be_enabled()
    expect(page.locator(".dm button")).to_have_count(0)


def test_what_was_told_goes_with_its_list(page: Page) -> None:
    """Cleared or refused: before and after are of another list then."""
    opened(page)
    bars, view = page.locator("#before-after .js-plotly-plot"), page.locator("#whatif .dc")
    for end in ("clear", "refuse"):
        add(page, "Streams", 1)
        page.locator("#run").click()
        expect(bars).to_be_visible()
        expect(view).to_be_visible()
        if end == "clear":
            page.get_by_role("button", name="Clear").click()
        else:
            page.locator("#interventions textarea").fill("[{}]")
            page.locator("#run").click()
            expect(page.locator("#whatif-message [role=alert]")).to_be_visible()
        expect(bars).to_have_count(0)
        expect(view).not_to_be_visible()
