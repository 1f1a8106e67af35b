"""Snapshots of a training run: read beside the weights, shown epoch by epoch."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import EXAMPLES, serving
from playwright.sync_api import Browser, expect
from viewing import READY, choose, ready

import dsp_viz
from dsp_viz import images, spectrum
from dsp_viz.kinds.dsp import dsp_layers
from dsp_viz.sources.checkpoint import PRETRAINED
from training.snapshots import snapshot, write


@pytest.fixture(scope="module")
def changing(tmp_path_factory: pytest.TempPathFactory) -> dsp_viz.Subject:
    """The shipped model with three snapshots: its filters grow from half to one and a half of what they are."""
    folder = tmp_path_factory.mktemp("weights")
    for ending in (".safetensors", ".json"):
        shutil.copy(PRETRAINED / f"dsp_tiny{ending}", folder)
    model = dsp_viz.load("dsp_tiny")
    cut, _ = images.fit(images.read_image(EXAMPLES[0]), side=128, patch=8)
    x = model.preparation.tensor(cut)
    taken = []
    for share in (0.5, 1.0, 1.5):
        with torch.no_grad():
            for layer, shipped in zip(
                dsp_layers(model).values(), dsp_layers(dsp_viz.load("dsp_tiny")).values(), strict=True
            ):
                layer.spectral.filters.weight.copy_(share * shipped.spectral.filters.weight)
        taken.append(snapshot(model, x.repeat(2, 1, 1, 1)))
    write(folder / "dsp_tiny.snapshots.npz", taken)
    return dsp_viz.load(folder / "dsp_tiny.safetensors")


def test_history_is_read(changing: dsp_viz.Subject) -> None:
    traced = dsp_viz.analyse(changing, EXAMPLES[0]).trace.blocks
    assert list(changing.history) == ["filters", "coefficients", "spread", "weights"]
    assert {len(layer) for layers in changing.history.values() for layer in layers} == {3}
    filters = changing.history["filters"]
    want = torch.view_as_real(traced[4].parts.filters).numpy()
    np.testing.assert_allclose(filters[4][1], want, atol=1e-3)
    np.testing.assert_allclose(filters[4][2], 1.5 * want, atol=2e-3)
    np.testing.assert_allclose(changing.history["weights"][2][0], traced[2].weights[0], atol=1e-3)


def test_unreadable_history_is_named(tmp_path: Path) -> None:
    for ending in (".safetensors", ".json"):
        shutil.copy(PRETRAINED / f"softmax_everyday{ending}", tmp_path)
    assert dsp_viz.load(tmp_path / "softmax_everyday.safetensors").history == {}
    (tmp_path / "softmax_everyday.snapshots.npz").write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(dsp_viz.CheckpointError, match=r"softmax_everyday\.snapshots\.npz holds no readable snapshots"):
        dsp_viz.load(tmp_path / "softmax_everyday.safetensors")


#: Values of the filters' panels as plotly reads them, and the end of their colour scale.
DRAWN = """(() => { const { z, zmax } = document.querySelector("#past-gain .js-plotly-plot")._fullData[0];
return { values: Array.from(z, row => Array.from(row)).flat().filter(Number.isFinite), zmax } })()"""


def test_slider_over_epochs(browser: Browser, changing: dsp_viz.Subject, softmax_small: dsp_viz.Subject) -> None:
    with serving([changing, softmax_small]) as address:
        page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
        page.goto(address)
        ready(page)
        page.get_by_role("tab", name="Training").click()
        expect(page.locator("#past-gain .js-plotly-plot")).to_be_visible()
        slider = page.locator("#epoch input[type=range]")
        expect(slider).to_have_value("3")
        spectra = spectrum.full_spectrum(torch.view_as_complex(torch.from_numpy(changing.history["filters"][2])))
        octaves = spectra.abs().log2().numpy()
        ends = []
        for epoch in (3, 2, 1):
            if epoch < 3:
                slider.press("ArrowLeft")
            expect(slider).to_have_value(str(epoch))
            want = np.sort(octaves[epoch - 1].ravel())
            peak = f"Math.abs(Math.max(...{DRAWN}.values) - ({want[-1]})) < 1e-4"
            page.wait_for_function(peak, timeout=READY)
            told = page.evaluate(DRAWN)
            np.testing.assert_allclose(np.sort(told["values"]), want, atol=1e-4)
            ends.append(told["zmax"])
        shared = max(0.25, np.quantile(np.abs(octaves), 0.995, method="higher"))
        assert ends == [pytest.approx(shared)] * 3  # colours mean the same at every epoch
        choose(page, "Model", "softmax_small")
        expect(page.locator("#prediction .facts")).to_contain_text("softmax_small")
        expect(page.get_by_role("tab", name="Training")).to_have_count(0)  # it comes without snapshots
        expect(page.get_by_role("tab", name="Attention maps")).to_have_attribute("aria-selected", "true")
        page.context.close()
