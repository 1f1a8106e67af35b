"""Shared by the tests that use the app: one server and one browser for the whole run."""

import atexit
import gc
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
# Uploads of a process of its own: where tests run in two, one does not find, or lose, what the other one sent.
os.environ["GRADIO_TEMP_DIR"] = tempfile.mkdtemp(prefix="dsp-viz-tests-")

import numpy as np
import pytest
import torch
from browser import FLAGS, find
from hostile_checkpoints import BUILD, write_small
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from viewing import READY

import dsp_viz
from dsp_attention import DSPImageClassifier, SoftmaxAttention
from dsp_viz import ui
from dsp_viz.builds import network_of
from dsp_viz.config import Config
from dsp_viz.sources.checkpoint import save
from dsp_viz.store import Store

# The server, the browser and the tests share the machine: one thread each keeps them from waiting for each other.
torch.set_num_threads(1)
atexit.register(shutil.rmtree, os.environ["GRADIO_TEMP_DIR"], ignore_errors=True)

#: The three attentions in one small network, which most tests of the screen are written for. Of two of them there are
#: no weights: see :func:`untrained`.
SMALL = ("dsp_tiny", "polaformer_small", "softmax_small")

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.jpg"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where tests run in two processes, those with a browser run in one, one after the other; so do those of a file."""
    for item in items:
        browser = isinstance(item, pytest.Function) and "browser" in item.fixturenames
        item.add_marker(pytest.mark.xdist_group("browser" if browser else item.path.name))


@pytest.fixture(scope="session")
def model() -> dsp_viz.Subject:
    return dsp_viz.load("dsp_tiny")


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder: two classes that colour tells apart, 32 + 8 pictures each."""
    root = tmp_path_factory.mktemp("data")
    generator = np.random.default_rng(0)
    for split, count in (("train", 32), ("val", 8)):
        for label, colour in (("n1", (200, 60, 60)), ("n2", (60, 60, 200))):
            (root / split / label).mkdir(parents=True)
            for i in range(count):
                noise = generator.normal(colour, 40, (40, 48, 3)).clip(0, 255).astype(np.uint8)
                Image.fromarray(noise).save(root / split / label / f"{i}.png")
    return root


@pytest.fixture(scope="session")
def _small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small(tmp_path_factory.mktemp("small"))


@pytest.fixture
def weights(_small: Path, tmp_path: Path) -> Path:
    """``small.safetensors`` with its config and snapshots, to be harmed."""
    return Path(shutil.copytree(_small.parent, tmp_path, dirs_exist_ok=True)) / _small.name


@pytest.fixture
def judged(data: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A model of two classes, not trained, and data with groups: ``(weights, root)``."""
    root = Path(shutil.copytree(data, tmp_path / "data"))
    entries = [
        {"directory": "n1", "name": "red", "group": "warm"},
        {"directory": "n2", "name": "blue", "group": "cold"},
    ]
    (root / "classes.json").write_text(json.dumps({"classes": entries}))
    torch.manual_seed(5)
    third = (1 / 3,) * 3
    config = Config(BUILD, 24, third, third, ("red", "blue"), ("n1", "n2"), temperature=2.0, unsure=0.5005)
    save(tmp_path / "small.safetensors", DSPImageClassifier(**BUILD), config)
    return tmp_path / "small.safetensors", root


@pytest.fixture
def private(tmp_path: Path) -> Path:
    """A picture that lies on the server and was never uploaded."""
    path = tmp_path / "private.png"
    Image.new("RGB", (64, 64), "red").save(path)
    return path


@contextmanager
def serving(models: list[dsp_viz.Subject], **options: Any) -> Iterator[str]:
    """The app, running with these models; yields its address."""
    store = Store(max_bytes=64 * 2**20)
    with ui.serving(ui.create_app(ui.build(models, EXAMPLES, store), store, **options)) as address:
        yield address


def untrained(attention: str, folder: Path) -> dsp_viz.Subject:
    """The network of ``dsp_tiny`` with another attention, as it is before it learns anything; softmax attention with
    larger queries and keys, so that its maps have peaks, as learned ones have."""
    config = dsp_viz.load("dsp_tiny").config
    assert config is not None
    own = ("spectral_modes", "num_scales")
    build = {key: value for key, value in config.model.items() if key not in own} | {"attention": attention}
    torch.manual_seed(0)
    network = network_of(build)
    for layer in network.modules():
        if isinstance(layer, SoftmaxAttention):
            layer.qkv.weight.data[: 2 * layer.dim] *= 4
    path = folder / f"{attention}_small.safetensors"
    save(path, network, replace(config, model=build))
    return dsp_viz.load(path)


@pytest.fixture(scope="session")
def polaformer_small(tmp_path_factory: pytest.TempPathFactory) -> dsp_viz.Subject:
    return untrained("polaformer", tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session")
def softmax_small(tmp_path_factory: pytest.TempPathFactory) -> dsp_viz.Subject:
    return untrained("softmax", tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session")
def address(model: dsp_viz.Subject, polaformer_small: dsp_viz.Subject, softmax_small: dsp_viz.Subject) -> Iterator[str]:
    """The app with the small models, running: the three attentions in one network, of 16×16 tokens."""
    with serving([model, polaformer_small, softmax_small]) as address:
        yield address


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    program = find()
    assert program, "no Chromium or Chrome found: run `make test`, or set CHROMIUM to the path of its program"
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield running
        running.close()


@pytest.fixture(scope="session", autouse=True)
def _computed() -> Iterator[None]:
    """What an app that was stopped still computes ends first: Python aborts where torch runs in a daemon thread."""
    yield
    for thread in threading.enumerate():
        if thread.name == "AnyIO worker thread":
            thread.join(timeout=60)


@pytest.fixture(scope="module", autouse=True)
def _collected() -> Iterator[None]:
    """What a module's tests leave to the garbage collector is blamed on that module, not on the next one's tests."""
    yield
    gc.collect()


@pytest.fixture(scope="session")
def _window(browser: Browser) -> BrowserContext:
    """One for all pages: what Gradio's scripts compile to is kept with it, and a new one costs as much as a page."""
    window = browser.new_context(viewport={"width": 1440, "height": 900}, reduced_motion="reduce")
    window.set_default_timeout(READY)
    return window


@pytest.fixture
def page(_window: BrowserContext, address: str) -> Iterator[Page]:
    """The app, opened; fails on a console error, an exception, a request to another host, or what it leaves behind."""
    opened = _window.new_page()
    faults: list[str] = []
    opened.on("console", lambda m: faults.append(f"console: {m.text}") if m.type == "error" else None)
    opened.on("pageerror", lambda e: faults.append(f"exception: {e}"))
    opened.on("request", lambda r: faults.append(f"request: {r.url}") if _leaves(r.url, address) else None)
    opened.goto(address)
    yield opened
    several = len(_window.pages) > 1  # a page learns a little late what another one stored: a new one is asked then
    left = None if several else _window.storage_state()
    for other in _window.pages:
        other.close()
    left = left or _window.storage_state()
    if left["cookies"] or left["origins"]:  # it fails this test, not all that follow
        _window.set_storage_state({"cookies": [], "origins": []})
    _window.clear_permissions()
    assert [fault for fault in faults if not _of_leaving(fault, faults)] == []
    assert left == {"cookies": [], "origins": []}


def _of_leaving(fault: str, faults: list[str]) -> bool:
    """Gradio's script closes its stream of answers when the page is left, and calls that an error."""
    closed = any("AbortError" in told and ".close" in told for told in faults)
    return closed and ("AbortError" in fault or fault.startswith("console: Unexpected error Connection errored out."))


def _leaves(url: str, address: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("http", "https", "ws", "wss") and parts.netloc != urlsplit(address).netloc
