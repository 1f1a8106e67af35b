"""What ships: every model in ``pretrained/`` on the screen, the first of them with the first picture."""

from collections.abc import Iterator

import pytest
from conftest import EXAMPLES, serving
from playwright.sync_api import Page, expect
from viewing import ready, tab

import dsp_viz

NAMES = dsp_viz.available()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving([dsp_viz.load(name) for name in NAMES]) as address:
        yield address


@pytest.mark.parametrize("name", NAMES)
def test_maps_of_every_model_are_verified(name: str) -> None:
    model = dsp_viz.load(name)
    result = dsp_viz.analyse(model, EXAMPLES[0])
    assert model.config is not None
    depth = model.config.model.get("depths") or [model.config.model["depth"]]
    assert len(result.trace.blocks) == sum(depth)
    assert result.verified is not None
    assert result.verified < 1e-4


def test_the_first_screen_shows_the_first_model(page: Page) -> None:
    """And every tab opens: the fixture sees to it that no script fails."""
    ready(page)
    expect(page.locator("#prediction .facts")).to_contain_text(NAMES[0])
    result = dsp_viz.analyse(dsp_viz.load(NAMES[0]), EXAMPLES[0])
    expect(page.locator("#prediction")).to_contain_text(result.top()[0][0])
    for name in page.get_by_role("tab").all_inner_texts():
        tab(page, name)
        expect(page.get_by_role("tab", name=name, exact=True)).to_have_attribute("aria-selected", "true")
