"""16,384 tokens: whoever asks for them, and the maps in the page against numpy's."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import EXAMPLES, serving
from playwright.sync_api import Browser, expect
from viewing import READY, ask, maps_of, ready

import dsp_viz
from dsp_attention import DSPImageClassifier
from dsp_viz import maps
from dsp_viz.store import Store
from dsp_viz.subject import Preparation
from dsp_viz.ui.limits import PUBLIC, USUAL, Limits
from dsp_viz.ui.results import Results


def small(attention: str) -> dsp_viz.Subject:
    torch.manual_seed(0)
    network = DSPImageClassifier(
        image_size=128, patch=8, dim=12, num_heads=3, depth=1, num_classes=2, attention=attention
    )
    how = Preparation(128, 8, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    return dsp_viz.Subject(network, how, classes=("cat", "dog"), name=attention, digest="0" * 12)


@pytest.mark.parametrize(
    ("attention", "limits", "largest"),
    [("dsp", USUAL, 1024), ("polaformer", USUAL, 1024), ("softmax", USUAL, 512), ("dsp", PUBLIC, 512)],
)
def test_it_is_offered_where_attention_is_linear(attention: str, limits: Limits, largest: int) -> None:
    model = small(attention)
    results = Results([model], [Path(EXAMPLES[0])], Store(max_bytes=2**20), limits=limits)
    assert max(results.sides(model.name).values()) == largest


def test_its_maps_are_exact(browser: Browser) -> None:
    model = small("dsp")
    with serving([model]) as address:
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(address)
        ready(page)
        page.get_by_role("radio", name="1024 px").check()
        expect(page.locator(".facts").first).to_contain_text("128×128 tokens", timeout=2 * READY)
        expect(page.locator(".dv-read")).to_contain_text("of 128×128 keys")
        ask(page, (90, 17))
        expect(page.locator(".dv-read")).to_contain_text("row 91, column 18")
        block = dsp_viz.analyse(model, EXAMPLES[0], side=1024).trace.blocks[0]
        for got, want in zip(maps_of(page), maps.block_maps(block, (90, 17)), strict=False):
            flat = want.flatten(-2).numpy()
            np.testing.assert_allclose(got, flat, rtol=0, atol=3e-3 * flat.max())
        page.close()
