"""A model that is not sure says so on the screen, in both themes and on a phone."""

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import EXAMPLES, serving
from playwright.sync_api import Page, expect
from viewing import choose, ready

import dsp_viz
from dsp_viz.analysis import UNSURE
from dsp_viz.ui import views


def judging(model: dsp_viz.Subject, name: str, unsure: float) -> dsp_viz.Subject:
    return dsp_viz.Subject(
        model.network, model.preparation, classes=model.classes, name=name, digest="0" * 12, unsure=unsure
    )


@pytest.fixture(scope="module")
def address(model: dsp_viz.Subject) -> Iterator[str]:
    with serving([judging(model, "careful", 0.9999), judging(model, "careless", 0.0)]) as address:
        yield address


def test_what_is_said_of_a_model(model: dsp_viz.Subject) -> None:
    careful, careless = (judging(model, "m", threshold) for threshold in (0.372, 0.0))
    assert "Where the best is below 37 %, it says that it is not sure" in views.known_classes(careful)
    assert "gets one of them too" not in views.known_classes(careful)
    assert views.known_classes(careless).endswith(
        "A picture of anything else gets one of them too; look at the maps.</div>"
    )
    told = views.summary(dsp_viz.analyse(judging(model, "m", 0.9999), EXAMPLES[0]))
    assert told["unsure"] is True


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_prediction_says_so(page: Page, address: str, theme: str) -> None:
    page.goto(f"{address}?__theme={theme}")
    ready(page)
    said, bar = page.locator("#prediction .unsure"), page.locator("#prediction .bar i").first
    expect(said).to_have_text(f"{UNSURE} The best is below its threshold of 100\u00a0%.")
    colour = "element => getComputedStyle(element).backgroundColor"
    muted = bar.evaluate(colour)
    red, green, blue = (int(part) for part in muted.removeprefix("rgb(").removesuffix(")").split(","))
    assert max(red, green, blue) - min(red, green, blue) < 40  # grey, and no colour that warns
    assert page.locator("#rail .facts").last.inner_text().count("it says that it is not sure") == 1
    rules = {"runOnly": ["color-contrast"]}
    found = Axe().run(page, {"include": ["#rail"]}, rules).response["violations"]
    assert [(v["id"], [n["html"] for n in v["nodes"]]) for v in found] == []
    choose(page, "Model", "careless")
    expect(said).to_have_count(0)
    assert bar.evaluate(colour) != muted


def test_on_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    ready(page)
    expect(page.locator("#prediction .unsure b")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    box = page.locator(".dv-stage").bounding_box()
    assert box is not None
    assert box["y"] < 760, "the maps begin below the first screen"
