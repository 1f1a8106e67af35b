"""An attention that the project does not know, on the screen: its reader and its entry are all that was added."""

import io
import re
from collections.abc import Iterator
from pathlib import Path

import inline
import numpy as np
import pytest
from conftest import EXAMPLES, serving
from playwright.sync_api import Browser, Page, expect
from viewing import ready, saved

import dsp_viz
from dsp_viz import maps
from dsp_viz.kinds import KINDS
from dsp_viz.subject import Preparation

SUBJECT = dsp_viz.Subject(
    inline.classifier(),
    Preparation(64, 8, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)),
    classes=tuple(f"class {i}" for i in range(10)),
    name="mine",
    digest="0" * 12,
)


@pytest.fixture(scope="module")
def opened(browser: Browser) -> Iterator[Page]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(KINDS, inline.NAME, inline.InLine())
        with serving([SUBJECT]) as address:
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            faults: list[str] = []
            page.on("pageerror", lambda error: faults.append(str(error)))
            page.goto(address)
            ready(page)
            yield page
            page.close()
            assert faults == []


def test_its_maps_are_drawn_with_their_sign(opened: Page) -> None:
    block = dsp_viz.analyse(SUBJECT, EXAMPLES[0]).trace.blocks[2]
    row = 64 * maps.block_maps(block, (4, 4))[0][0, 0].flatten()
    peak = int(row.abs().argmax())
    told = opened.locator(".dv-read").inner_text()
    assert "token row 5, column 5 · block 3 · head 1 · inline" in told
    shown = re.search(r"peak (\S+) × uniform at row (\d+), column (\d+)", told)
    assert shown is not None
    assert float(shown[1]) == pytest.approx(float(row[peak]), rel=0.01)
    assert (int(shown[2]), int(shown[3])) == (peak // 8 + 1, peak % 8 + 1)
    assert opened.get_by_text("InLine attention").first.is_visible()
    assert opened.get_by_text(re.compile(r"maps verified: \d\.\de-\d")).first.is_visible()


def test_its_numbers_and_figure_can_be_taken_away(opened: Page) -> None:
    result = dsp_viz.analyse(SUBJECT, EXAMPLES[0])
    with np.load(saved(opened, "NPZ").path()) as arrays:
        rows = np.einsum("phic,phjc->hij", arrays["block1/scale0/left"].astype(float), arrays["block1/scale0/right"])
        average = maps.block_maps(result.trace.blocks[1], "all")[0][0].flatten(1)
        np.testing.assert_allclose(rows.mean(1), average, rtol=1e-3, atol=1e-6)
        assert "block1/scale0/entropies" not in arrays
    assert Path(saved(opened, "PDF").path()).read_bytes().startswith(b"%PDF")
    report = Path(saved(opened, "Report").path()).read_text(encoding="utf-8")
    assert "InLine attention" in io.StringIO(report).read()


def test_its_parts_are_ranked(opened: Page) -> None:
    opened.get_by_role("tab", name="What if").click()
    opened.locator("#rank").click()
    expect(opened.locator(".dm button")).to_have_count(3 * 3)  # blocks × heads
    opened.locator(".dm button").nth(4).click()  # the second head of the second block
    expect(opened.locator(".dv-read")).to_contain_text("block 2 · head 2 · inline")


def test_what_takes_long_is_shown_by_a_slow_page(opened: Page) -> None:
    """All answers may be there before the page knows what they answer, and are then shown at once."""
    opened.reload()
    ready(opened)
    slow = opened.context.new_cdp_session(opened)
    slow.send("Emulation.setCPUThrottlingRate", {"rate": 6})
    opened.get_by_role("tab", name="What if").click()
    opened.locator("#rank").click()
    expect(opened.locator(".dm button")).to_have_count(3 * 3)
    opened.get_by_role("tab", name="Relevance").click()
    opened.get_by_role("button", name="Judge the maps").click()
    expect(opened.locator(".js-plotly-plot").filter(visible=True)).to_have_count(2)
    slow.send("Emulation.setCPUThrottlingRate", {"rate": 1})
