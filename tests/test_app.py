"""The app as people and programs use it: through its API, and in a real browser."""

import json
import logging
import math
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import gradio as gr
import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from conftest import EXAMPLES
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from playwright.sync_api import Page, expect
from viewing import READY, ready, tab

import dsp_viz
from dsp_attention.model import DSPImageClassifier
from dsp_viz.interventions import SetMixingWeights, from_json
from dsp_viz.store import Store
from dsp_viz.ui.kept import Source
from dsp_viz.ui.results import Results
from dsp_viz.ui.tabs.controls import InterventionControls

ROOT = Path(__file__).parent.parent
DATA = ROOT / "tests" / "data"


@pytest.fixture(scope="module")
def client(address: str) -> Client:
    return Client(address, verbose=False)


def test_api_offers_analyse_alone(client: Client) -> None:
    assert list(client.view_api(return_format="dict")["named_endpoints"]) == ["/analyse"]


def test_api_gives_what_python_gives(client: Client, model: dsp_viz.Subject) -> None:
    answer = client.predict(handle_file(EXAMPLES[1]), api_name="/analyse")
    direct = dsp_viz.analyse(model, EXAMPLES[1])
    assert [(t["class"], pytest.approx(t["probability"], abs=1e-6)) for t in answer["top"]] == direct.top(5)
    assert answer["unsure"] is False
    assert math.isclose(sum(direct.probabilities), 1.0, abs_tol=1e-9)
    for sent, block in zip(answer["coefficients"], direct.trace.blocks, strict=True):
        torch.testing.assert_close(torch.tensor(sent), block.coefficients[0])
    for sent, block in zip(answer["mixing_weights"], direct.trace.blocks, strict=True):
        torch.testing.assert_close(torch.tensor(sent), block.weights[0])


def test_api_takes_the_name_of_a_model(client: Client, softmax_small: dsp_viz.Subject) -> None:
    answer = client.predict(handle_file(EXAMPLES[1]), "softmax_small", api_name="/analyse")
    direct = dsp_viz.analyse(softmax_small, EXAMPLES[1])
    assert (answer["model"], answer["digest"]) == ("softmax_small", direct.digest)
    assert [(t["class"], pytest.approx(t["probability"], abs=1e-6)) for t in answer["top"]] == direct.top(5)
    with pytest.raises(AppError, match="No model 'resnet': one of dsp_tiny, polaformer_small, softmax_small"):
        client.predict(handle_file(EXAMPLES[1]), "resnet", api_name="/analyse")


def test_api_takes_interventions(client: Client, model: dsp_viz.Subject) -> None:
    text = '[{"kind": "set_coefficient", "value": 0, "stream": "opposite"}]'
    answer = client.predict(handle_file(EXAMPLES[1]), "dsp_tiny", text, api_name="/analyse")
    assert (
        client.predict(handle_file(EXAMPLES[1]), "dsp_tiny", json.loads(text), api_name="/analyse")["top"]
        == answer["top"]
    )
    direct = dsp_viz.analyse(model, EXAMPLES[1], interventions=from_json(text))
    assert [(t["class"], pytest.approx(t["probability"], abs=1e-6)) for t in answer["top"]] == direct.top(5)
    assert direct.top(5) != dsp_viz.analyse(model, EXAMPLES[1]).top(5)
    with pytest.raises(AppError, match="'set_coefficient', 'leave_out_filter'"):
        client.predict(handle_file(EXAMPLES[1]), "dsp_tiny", '[{"kind": "none"}]', api_name="/analyse")


def test_api_refuses_a_bad_file_with_a_sentence_and_one_log_line(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.WARNING, logger="dsp_viz"),
        pytest.raises(AppError, match="picture"),
    ):
        client.predict(handle_file(DATA / "text.jpg"), api_name="/analyse")
    assert len([r for r in caplog.records if r.name == "dsp_viz"]) == 1
    assert client.predict(handle_file(EXAMPLES[0]), api_name="/analyse")["top"]


def drawn(page: Page, plot: str) -> None:
    """Wait until a plot has its heatmap, lines or bars."""
    marks = page.locator(f"#{plot} .js-plotly-plot").locator(
        ".hm image, .heatmaplayer image, .scatterlayer path, .points path"
    )
    expect(marks.first).to_be_attached()


def remove(page: Page) -> None:
    page.locator("#picture").get_by_role("button", name="Remove Image").click()


def test_first_screen_shows_the_first_example_analysed(page: Page, model: dsp_viz.Subject) -> None:
    best, p = dsp_viz.analyse(model, EXAMPLES[0]).top(1)[0]
    first = page.locator("#prediction .row").first
    expect(first).to_contain_text(best)
    expect(first).to_contain_text(f"{100 * p:.1f} %")
    expect(page.locator("#prediction .row")).to_have_count(5)
    ready(page)
    for name in model.classes:
        expect(page.get_by_text(re.compile("knows 10 classes"))).to_contain_text(name)


def test_every_tab_shows_its_figure(page: Page) -> None:
    ready(page)
    for name, plots in (
        ("Spectral filters", ["gain", "radial", "power", "phase", "kernel"]),
        ("Coefficients", ["dynamic", "influence"]),
        ("Mixing weights", ["mixing"]),
    ):
        tab(page, name)
        for plot in plots:
            drawn(page, plot)
            expect(page.locator(f"#{plot} .js-plotly-plot")).to_be_visible()


def test_upload_changes_the_prediction(page: Page, model: dsp_viz.Subject) -> None:
    ready(page)
    chosen = max(EXAMPLES[1:], key=lambda path: dsp_viz.analyse(model, path).top(1)[0][1])
    best, p = dsp_viz.analyse(model, chosen).top(1)[0]
    remove(page)
    page.locator("#picture input[type=file]").set_input_files(chosen)
    expect(page.locator("#prediction .row").first).to_contain_text(f"{100 * p:.1f} %")
    expect(page.locator("#prediction .row").first).to_contain_text(best)


def test_removing_the_picture_analyses_nothing(page: Page) -> None:
    ready(page)
    tab(page, "Spectral filters")  # the maps are drawn before all of the first answer has come
    expect(page.get_by_label("Block shown", exact=True)).to_have_value("3")
    tab(page, "Attention maps")
    expect(page.locator("#prediction .facts")).to_contain_text("ms")
    before = predicted(page)  # holds the time of the forward pass
    requests = []
    page.on("request", lambda r: requests.append(r.url) if "queue/join" in r.url else None)
    remove(page)
    page.locator("#picture input[type=file]").wait_for(state="attached", timeout=READY)
    page.get_by_role("button", name="next block").click()  # a later event: what came before it is done
    tab(page, "Spectral filters")
    expect(page.get_by_label("Block shown", exact=True)).to_have_value("4")
    assert predicted(page) == before
    assert requests


def predicted(page: Page) -> list[str]:
    """What the prediction says, without Gradio's sign that somebody waits."""
    return page.locator("#prediction :is(.row, .facts)").all_inner_texts()


def test_a_bad_file_leaves_the_result_and_says_why(page: Page) -> None:
    ready(page)
    before = predicted(page)
    remove(page)
    page.locator("#picture input[type=file]").set_input_files(DATA / "truncated.png")
    expect(page.get_by_role("alert")).to_be_visible()
    assert predicted(page) == before
    expect(page.locator(".dv-stage")).to_be_visible()


def test_the_program_serves_the_api_and_mcp() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "app.py"), "--port", str(port), "--mcp"], stdout=subprocess.DEVNULL
    )
    try:
        for _ in range(600):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/gradio_api/mcp/schema") as answer:
                    (tool,) = json.load(answer)
                break
            except OSError:
                assert process.poll() is None
                time.sleep(0.1)
        else:
            pytest.fail("the program did not serve its schema within a minute")
        second = subprocess.run(
            [sys.executable, str(ROOT / "app.py"), "--port", str(port)], capture_output=True, text=True
        )
        assert second.returncode == 2
        assert f"--port {port}: cannot listen there" in second.stderr.splitlines()[-1]
    finally:
        process.terminate()
        process.wait()
    assert tool["name"] == "analyse_picture"
    assert "at most 25 megapixels" in tool["inputSchema"]["properties"]["picture"]["description"]


def test_the_program_refuses_bad_arguments() -> None:
    """Each ends with status 2 and a line that names what was given; all in one process, whose start takes longest."""
    bad = [["--model", "nothing"], ["--port", "many"], ["--device", "gpu"], ["--model", "none:such"]]
    program = (
        "import json, sys, app\n"
        "for arguments in json.loads(sys.argv[1]):\n"
        "    try: app.main(['--port', '0', *arguments])\n"
        "    except SystemExit as ended: print(f'status {ended.code}', file=sys.stderr)\n"
    )
    command = [sys.executable, "-c", program, json.dumps(bad)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    told = re.findall(r"^.*error: (.*)\nstatus 2$", done.stderr, re.MULTILINE)
    assert len(told) == len(bad), done.stderr
    for arguments, line in zip(bad, told, strict=True):
        assert arguments[1] in line


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(page: Page, address: str, theme: str) -> None:
    """In the dark, which changes no more than colours, by the rules of colour; what lies around the tabs, once."""
    rules = {} if theme == "light" else {"runOnly": ["color-contrast", "link-in-text-block"]}
    around: dict[str, list[str]] = {}
    page.goto(f"{address}?__theme={theme}")
    ready(page)
    page.get_by_role("button", name="keys").click()
    for name in (
        "Attention maps",
        "Overview",
        "Spectral filters",
        "Coefficients",
        "Mixing weights",
        "Training",
        "Compare",
        "Several pictures",
        "What if",
        "Relevance",
    ):
        tab(page, name)
        expect(page.locator("[aria-label='Empty value']:visible")).to_have_count(0)
        pale = page.locator(":is(.dc, .do)[data-busy=true]:visible, .dv-summary[aria-busy=true]:visible")
        expect(pale).to_have_count(0)
        page.wait_for_function("document.getAnimations().every(a => a.playState !== 'running')", timeout=READY)
        found = Axe().run(page, around or None, rules).response["violations"]
        # What is busy is not read aloud, so what is to be heard meanwhile lies outside.
        expect(page.locator("[aria-busy] :is([aria-live], [role=status])")).to_have_count(0)
        around = {"exclude": ["#masthead", "#rail"]}
        assert [(v["id"], [n["html"] for n in v["nodes"]]) for v in found] == []


def test_an_upload_named_like_an_example_is_not_taken_for_it(model: dsp_viz.Subject, tmp_path: Path) -> None:
    shutil.copy(EXAMPLES[2], tmp_path / EXAMPLES[0].name)
    results = Results([model], EXAMPLES, Store(max_bytes=2**26))
    told = [
        results.of(Source(str(p), 128, False, model.name)).manifest for p in (EXAMPLES[0], tmp_path / EXAMPLES[0].name)
    ]
    assert [manifest.name for manifest in told] == [EXAMPLES[0].stem] * 2
    assert [manifest.example for manifest in told] == [EXAMPLES[0].stem, None]


def test_mixing_weights_are_as_many_as_the_model_has_scales(model: dsp_viz.Subject) -> None:
    """The sliders are those of the model with the most scales."""
    assert model.config
    network = DSPImageClassifier(**model.config.model | {"num_scales": 2})
    other = dsp_viz.Subject(network, model.preparation, classes=model.classes, name="small", digest="0")
    results = Results([model, other], EXAMPLES, Store(max_bytes=2**26))
    with gr.Blocks():
        controls = InterventionControls(results)
    for name, count in ((model.name, 3), ("small", 2)):
        source = Source(str(EXAMPLES[0]), 128, False, name)
        (added,) = from_json(controls._weights("[]", source.text(), "2", "every", 1, 0.5, 0.25))
        assert added == SetMixingWeights(weights=(1, 0.5, 0.25)[:count], block=1)
        results.of(source._replace(interventions=(added,)))
