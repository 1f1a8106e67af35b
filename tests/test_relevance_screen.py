"""The class that is explained, and the tab Relevance, in a real browser: maps, areas, curves, the answer by depth."""

import json
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import torch
from conftest import EXAMPLES
from PIL import Image
from playwright.sync_api import Page, expect
from viewing import READY, choose, link_of, ready, saved, tab

import dsp_viz
from dsp_viz import images
from dsp_viz.accounts import account, in_units
from dsp_viz.depth import by_depth
from dsp_viz.trust import RANDOM, Trust, trust


@pytest.fixture(scope="module")
def x(model: dsp_viz.Subject) -> torch.Tensor:
    cut, _ = images.fit(images.read_image(EXAMPLES[0]), side=128, patch=8)
    return model.preparation.tensor(cut)


@pytest.fixture(scope="module")
def want(model: dsp_viz.Subject, x: torch.Tensor) -> Trust:
    """For a class that is not the most probable."""
    return trust(model, x, target=model.classes.index("French horn"))


def opened(page: Page) -> None:
    ready(page)
    tab(page, "Relevance")
    expect(page.locator("#judge")).to_be_visible()


def pick(page: Page, name: str) -> None:
    choose(page, "Class to explain", name)
    expect(page.locator("#prediction .picked")).to_contain_text(name)


def test_a_class_is_picked_and_a_link_says_so(page: Page, model: dsp_viz.Subject) -> None:
    ready(page)
    result = dsp_viz.analyse(model, EXAMPLES[0])
    ranked = result.top(10)
    name, p = ranked[7]
    expect(page.locator("#prediction .picked")).to_have_count(0)
    pick(page, name)
    expect(page.locator("#prediction .picked")).to_contain_text("8 of 10")
    expect(page.locator("#prediction .picked .value")).to_have_text(f"{100 * p:.1f} %")
    expect(page.locator("#prediction [role=listitem]")).to_have_count(5)
    link = link_of(page)
    assert f"class={name.replace(' ', '+')}" in link
    choose(page, "Model", "softmax_small")  # it has the class too
    expect(page.locator("#prediction .facts").last).to_contain_text("softmax_small")
    expect(page.locator("#prediction .picked")).to_contain_text(name)
    expect(page.get_by_label("Class to explain", exact=True)).to_have_value(name)
    other = page.context.new_page()
    other.goto(link)
    ready(other)
    expect(other.locator("#prediction .picked")).to_contain_text(name)
    expect(other.get_by_label("Class to explain", exact=True)).to_have_value(name)
    other.goto(link.replace(f"class={name.replace(' ', '+')}", "class=unicorn"))
    expect(other.locator("#prediction .picked")).to_have_count(0)
    expect(other.get_by_label("Class to explain", exact=True)).to_have_value("the most probable")


def test_maps_are_drawn_and_judged(page: Page, model: dsp_viz.Subject, want: Trust) -> None:
    opened(page)
    pick(page, "French horn")
    page.locator("#judge").click()
    expect(page.locator(".de-card").first).to_contain_text("not judged yet", timeout=2 * READY)  # the maps come first
    rows = page.locator(".areas tbody tr")
    expect(rows).to_have_count(8, timeout=6 * READY)
    for row, (name, (deletion, insertion)) in zip(rows.all(), want.areas().items(), strict=True):
        assert row.locator("th").inner_text() == name.replace("rollout", "rollout (approximation)")
        told = [float(text) for text in row.locator("td").all_inner_texts()]
        assert told == [pytest.approx(value, abs=2e-3) for value in (deletion, insertion, want.rise()[name])]
    expect(page.locator("#deletion .js-plotly-plot")).to_be_visible()
    lines = page.evaluate("document.querySelector('#deletion .js-plotly-plot')._fullData.map(t => Array.from(t.y))")
    assert len(lines) == 2 + 7
    assert lines[3] == pytest.approx((100 * want.curves.deletion[1]).tolist(), abs=0.2)
    # Each map beside its areas and those of random order.
    cards = page.locator(".de-card")
    expect(cards).to_have_count(7)
    random = want.areas()["random order"]
    for card, name in zip(cards.all(), want.relevance, strict=True):
        expect(card.locator("figcaption b")).to_have_text(name)
        assert ("an approximation" in card.inner_text()) == (name == "rollout")
        told = [float(number) for number in re.findall(r"\d\.\d{3}", card.locator(".de-areas").inner_text())]
        deletion, insertion = want.areas()[name]
        assert told == pytest.approx([deletion, random[0], insertion, random[1]], abs=2e-3)
    # Beyond all random orders on the good side it is marked.
    best = float(want.curves.areas()[0][-RANDOM:].min())
    better = [card.locator(".de-areas > div").first.get_attribute("class") == "de-better" for card in cards.all()]
    assert better == [want.areas()[name][0] < best for name in want.relevance]
    probability = dsp_viz.analyse(model, EXAMPLES[0]).probabilities[want.target]
    expect(page.locator(".de-title")).to_have_text(f"Relevance for French horn, {100 * probability:.1f} %, by patch")

    _are_taken_away(page, want, probability)


def _are_taken_away(page: Page, want: Trust, probability: float) -> None:
    """As numbers that are those of Python, and as a sheet that says what it shows."""
    saving = saved(page, "NPZ", ".de")
    assert saving.suggested_filename == f"{EXAMPLES[0].stem}-relevance.npz"
    with np.load(saving.path()) as arrays:
        told = json.loads(str(arrays["settings"]))
        assert set(arrays) == {"settings", *want.relevance}
        for name, relevance in want.relevance.items():
            np.testing.assert_allclose(arrays[name], in_units(name, relevance), rtol=1e-2, atol=1e-4)
    assert (told["target"], told["model"]) == ("French horn", "dsp_tiny")
    assert told["probability"] == pytest.approx(probability, abs=1e-5)
    areas = [(each["deletion"], each["insertion"]) for each in told["accounts"]]
    np.testing.assert_allclose(areas, [want.areas()[name] for name in want.relevance], atol=2e-3)
    np.testing.assert_allclose(told["random"]["mean"], want.areas()["random order"], atol=2e-3)
    root = ET.parse(saved(page, "SVG", ".de").path()).getroot()
    texts = [text.text or "" for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts[0].startswith(f"{EXAMPLES[0].stem} · dsp_tiny")
    assert texts[1].startswith("Relevance for French horn, ")
    for name in want.relevance:
        at = texts.index(name.replace("rollout", "rollout (approximation)"))
        numbers = [float(n) for n in re.findall(r"\d\.\d{3}", next(t for t in texts[at:] if t.startswith("deletion")))]
        assert numbers == pytest.approx(want.areas()[name], abs=2e-3)
    maps = [g for g in root.iter("{http://www.w3.org/2000/svg}svg") if g.get("class") == "map"]
    assert [len(g) for g in maps] == [256] * 7
    titles = [g[0][0].text or "" for g in maps]
    units = [title.split(" ", 1)[1] for title in titles]
    assert units == [account(name).unit for name in want.relevance]
    with Image.open(saved(page, "PNG", ".de").path()) as picture:
        assert picture.size == (2 * int(root.attrib["width"]), 2 * int(root.attrib["height"]))


def test_a_patch_is_read_on_all_maps_by_pointer_and_by_keys(page: Page, want: Trust) -> None:
    opened(page)
    pick(page, "French horn")
    page.locator("#judge").click()
    cards = page.locator(".de-card")
    expect(cards).to_have_count(7, timeout=4 * READY)
    page.locator("#stop-judging").click()
    canvas = cards.nth(4).locator(".de-map")
    box = canvas.bounding_box()
    assert box is not None
    canvas.hover(position={"x": 3.5 * box["width"] / 16, "y": 6.5 * box["height"] / 16})
    expect(cards.first.locator(".de-read")).to_contain_text("row 7, column 4:")
    canvas.press("ArrowDown")
    canvas.press("ArrowRight")
    for card, (name, relevance) in zip(cards.all(), want.relevance.items(), strict=True):
        told = card.locator(".de-read").inner_text().replace("−", "-")
        assert told.startswith("row 8, column 5: ")
        value = float(told.split(": ")[1].split(" ")[0])
        assert value == pytest.approx(float(in_units(name, relevance)[7, 4]), rel=0.01, abs=1e-5)
        label = card.locator(".de-map").get_attribute("aria-label") or ""
        row, column = divmod(int(relevance.argmax()), 16)
        assert label.startswith(f"{name} over the picture, largest at row {row + 1}, column {column + 1}: ")


def test_judging_can_be_stopped_and_goes_with_its_class(page: Page, model: dsp_viz.Subject) -> None:
    opened(page)
    judge, stop = page.locator("#judge"), page.locator("#stop-judging")
    expect(stop).to_be_disabled()
    judge.click()
    expect(page.locator(".de-card").first).to_be_visible(timeout=2 * READY)
    expect(judge).to_be_disabled()
    stop.click()
    expect(stop).to_be_disabled()
    page.locator("#examples button").nth(2).click()  # the model is free again
    _, p = dsp_viz.analyse(model, EXAMPLES[2]).top(1)[0]
    expect(page.locator("#prediction .row").first).to_contain_text(f"{100 * p:.1f} %")
    expect(page.locator(".de-card")).to_have_count(0)
    page.wait_for_timeout(1000)
    expect(page.locator(".areas")).to_have_count(0)
    for name in ("French horn", "golf ball"):
        judge.click()  # as soon as it can be pressed again
        expect(page.locator(".de-card").first).to_be_visible(timeout=2 * READY)
        pick(page, name)
        expect(page.locator(".de-card")).to_have_count(0)
        expect(page.locator("#judging")).to_contain_text("Judge the maps again.")
        page.wait_for_timeout(1000)
        expect(page.locator(".de-card")).to_have_count(0)


def test_the_answer_by_depth_is_the_model_s(page: Page, model: dsp_viz.Subject, x: torch.Tensor) -> None:
    opened(page)
    page.locator("#read-depth").click()
    table = page.locator("#depth table")
    expect(table).to_be_visible(timeout=2 * READY)
    found = by_depth(model, x).probabilities.numpy()
    heads = table.locator("thead th").all_inner_texts()
    assert heads == ["after block", "none", "1", "2", "3", "4", "5", "6"]
    for row in table.locator("tbody tr").all():
        index = model.classes.index(row.locator("th").inner_text())
        told = [
            float(title.split()[0]) for title in row.locator("td span").evaluate_all("all => all.map(e => e.title)")
        ]
        assert told == pytest.approx((100 * found[:, index]).tolist(), abs=0.02)
    bold = table.locator("td b")
    expect(bold).to_have_count(7)  # the best of each depth
    names = table.locator("tbody th").all_inner_texts()
    assert set(names) >= {model.classes[i] for i in found.argmax(1)}
    expect(page.locator("#depth .dm-title")).to_contain_text(model.classes[found[-1].argmax()])
