"""A pyramid, windows and tokens without a place on the screen: stages, places carried from one to the next, shares."""

import re
from collections.abc import Iterator

import pyramid
import pytest
import timm
import torch
from conftest import EXAMPLES, serving
from playwright.sync_api import Browser, Page, expect
from timm_models import randomised
from viewing import choose, described, link_of, look, ready, tab

import dsp_viz
from dsp_viz import maps
from dsp_viz.subject import Preparation


def of_timm(name: str, patch: int, **options: object) -> dsp_viz.Subject:
    network = randomised(timm.create_model(name, pretrained=False, num_classes=10, img_size=64, **options))
    return dsp_viz.Subject(
        network.float(),
        Preparation(64, patch, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)),
        classes=tuple(f"class {i}" for i in range(10)),
        name=name.split("_")[0],
        digest="0" * 12,
    )


SUBJECTS = [
    pyramid.subject(),
    of_timm("vit_tiny_patch16_224", 16, embed_dim=24, depth=2, num_heads=3, reg_tokens=2),
    of_timm("swin_tiny_patch4_window7_224", 32, window_size=4, embed_dim=12, depths=(2, 2), num_heads=(2, 3)),
]
PYRAMID, VIT, SWIN = SUBJECTS


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(SUBJECTS) as address:
        yield address


@pytest.fixture
def opened(browser: Browser, address: str) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(address)
    ready(page)
    yield page
    page.close()
    assert faults == []


def test_a_place_is_kept_from_stage_to_stage(opened: Page) -> None:
    """Grids of 16×16, 8×8 and 4×4 tokens."""
    read, stage = opened.locator(".dv-read"), opened.locator(".dv-stage")
    look(opened, block=1, query=[5, 10])
    expect(read).to_contain_text("token row 6, column 11 · stage 1 · block 2 · head 1")
    expect(opened.locator('[data-out="block"]')).to_have_text("2 / 2")
    stages = opened.get_by_role("combobox", name="Stage", exact=True)
    assert stages.locator("option").all_inner_texts() == ["1: 16×16", "2: 8×8", "3: 4×4"]
    stages.select_option("3: 4×4")
    expect(read).to_contain_text("token row 6, column 11 (row 2, column 3 of this layer's 4×4)")
    expect(read).to_contain_text("stage 3 · block 1 · head 1 · softmax")
    stage.focus()
    stage.press("4")
    stage.press("ArrowLeft")  # one token of this grid
    expect(read).to_contain_text("token row 6, column 7 (row 2, column 2 of this layer's 4×4)")
    expect(read).to_contain_text("stage 3 · block 1 · head 4")
    stage.press("[")
    expect(read).to_contain_text("token row 6, column 7 (row 3, column 4 of this layer's 8×8)")
    expect(read).to_contain_text("stage 2 · block 2 · head 2")  # as many as it has
    link_of(opened)
    opened.reload()  # to what the address bar has got
    expect(read).to_contain_text("stage 2 · block 2 · head 2")
    assert described(opened)["block"] == 3  # links count all layers
    stages.select_option("1: 16×16")
    expect(read).to_contain_text("token row 6, column 7 · stage 1 · block 1 · head 1")


def test_layers_that_are_not_looked_at_are_not_fetched(opened: Page) -> None:
    fetched: list[str] = []
    opened.on("request", lambda r: fetched.extend(re.findall(r"results/[^/]+/(\d+)$", r.url)))
    opened.reload()
    ready(opened)
    opened.wait_for_timeout(1000)
    assert sorted(fetched) == ["1", "2", "3"]  # the third, and what is next to it


def test_tabs_of_dsp_attention_show_its_layers_of_a_mixed_model(opened: Page) -> None:
    ready(opened)
    opened.get_by_role("combobox", name="Stage", exact=True).select_option("1: 16×16")
    expect(opened.locator(".dv-read")).to_contain_text("stage 1")
    tab(opened, "Coefficients")
    place = {name: opened.get_by_label(f"{name} shown", exact=True).filter(visible=True) for name in ("Stage", "Block")}
    expect(place["Stage"]).to_have_value("2: 8×8")  # the nearest that has them
    expect(place["Block"]).to_have_value("1")
    titles = opened.locator("#dynamic .annotation-text")
    expect(titles.first).to_contain_text("stage 2")
    expect(titles.nth(1)).to_contain_text("block 2")
    tab(opened, "Spectral filters")
    expect(opened.locator("#gain")).to_contain_text("▸ head 1")


def test_two_models_of_other_grids_are_compared_at_one_place(opened: Page) -> None:
    tab(opened, "Compare")
    expect(opened.locator(".dc")).to_have_attribute("data-busy", "false")
    choose(opened, "Model B", "vit")
    cells = opened.locator(".dc td")
    expect(cells.nth(1)).to_have_text(f"{EXAMPLES[0].stem}, vit")
    opened.get_by_label("same block, head").uncheck()
    choice = opened.locator('[aria-label="Side A"]')
    choice.get_by_role("combobox", name="Stage").select_option("1: 16×16")
    expect(cells.nth(4)).to_have_text("stage 1 · block 1, head 1, same")
    expect(cells.nth(5)).to_contain_text("block 2, head 1, softmax")
    expect(opened.locator('[aria-label="Side B"]').get_by_text("Stage")).to_be_hidden()
    expect(cells.last).to_contain_text("class token: ")
    assert described(opened, "compare")["a"]["block"] == 0


def test_the_class_token_asks_and_its_share_is_told(opened: Page) -> None:
    choose(opened, "Model", "vit")
    read = opened.locator(".dv-read")
    expect(read).to_contain_text("class token: ")
    opened.get_by_role("combobox", name="Asks").select_option("class token")
    expect(read).to_contain_text("class token · block 2 · head 1 · softmax")
    block = dsp_viz.analyse(VIT, EXAMPLES[0]).trace.blocks[1]
    row = maps.block_maps(block, "class")[0][0, 0].flatten()
    others = maps.prefix_shares(block, "class")[0][0, 0]
    numbers = r"peak (\S+) × uniform at .* entropy (\S+) · class token: (\S+) %, register 1: (\S+) %"
    told = re.search(numbers, read.inner_text())
    assert told is not None
    every = torch.cat([others, row])
    assert float(told[1]) == pytest.approx(float(row.max()) * len(every), rel=0.01)
    assert float(told[2]) == pytest.approx(float(maps.entropy(every[None])), abs=2e-3)
    assert [float(share) for share in told.groups()[2:]] == [
        pytest.approx(100 * float(share), abs=0.06) for share in others[:2]
    ]
    assert described(opened)["query"] == "class"
    opened.locator(".dv-stage").click(position={"x": 40, "y": 60})
    expect(read).to_contain_text("token row 1, column 1")
    assert opened.get_by_role("combobox", name="Asks").input_value() == ""


def test_what_lies_outside_the_window_is_not_seen(opened: Page) -> None:
    """The second block's windows are shifted by half of their 4×4 tokens."""
    choose(opened, "Model", "swin")
    read, hover = opened.locator(".dv-read"), opened.locator(".dv-hover")
    expect(opened.locator(".dv-facts")).to_contain_text("windows")
    look(opened, block=1, query=[7, 9])
    expect(read).to_contain_text("of 16×16 keys, of which it sees 4×4")
    box = opened.locator(".dv-stage").bounding_box()
    assert box is not None
    for (row, column), seen in (((6, 6), True), ((9, 9), True), ((5, 6), False), ((9, 10), False)):
        unit = box["width"] / 16
        opened.mouse.move(box["x"] + (column + 0.5) * unit, box["y"] + (row + 0.5) * unit)
        expect(hover).to_contain_text(f"key row {row + 1}, column {column + 1}: {'' if seen else 'not seen'}")
        assert seen == ("× uniform" in hover.inner_text())
