"""What the explorer costs: ``python -m benchmarks.app``.

Measured are the overhead of the hooks, the time of all maps of one block for one query, the start of the app, its
memory over fifty analyses, its computing for one photo, and the view of the maps in a real Chromium (``CHROMIUM`` names
its program if not ``/usr/bin/chromium``). One CPU thread, which is what the app takes.
"""

import os
import statistics
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from gradio_client import Client, handle_file
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

import dsp_viz
from dsp_attention import DynamicSpectralPolarityAttention
from dsp_viz.ui import modules

from .attention import rounds

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.jpg"))


def resident(process: int) -> float:
    """Resident memory of a process in MiB (Linux)."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def computed(process: int) -> float:
    """Seconds of computing of a process and those that it started (Linux)."""
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended
            fields = path.read_text().rpartition(")")[2].split()
            if process in (int(path.parent.name), int(fields[1])):
                ticks += sum(map(int, fields[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def cost(page: Page, process: int) -> None:
    """Seconds of computing of the app for a photo that is uploaded, all inclusive, beyond what it takes in idleness."""
    with TemporaryDirectory() as folder:
        idle = computed(process)
        page.wait_for_timeout(5000)
        idle = (computed(process) - idle) / 5
        seconds = []
        for i in range(20):
            path = Path(folder) / f"photo{i}.jpg"
            with Image.open(EXAMPLES[i % len(EXAMPLES)]) as photo:
                photo.rotate(i).save(path, quality=90)
            page.locator("#picture").get_by_role("button", name="Remove Image").click()
            page.wait_for_timeout(1000)
            start, before = time.perf_counter(), computed(process)
            page.locator("#picture input[type=file]").set_input_files(path)
            page.wait_for_function("n => document.querySelector('#source textarea').value.includes(n)", arg=path.stem)
            page.locator("#view .dv[data-busy=false]").wait_for()
            page.wait_for_timeout(1000)  # the neighbouring blocks come in
            seconds.append(computed(process) - before - idle * (time.perf_counter() - start))
    print(f"computing for a photo: median {statistics.median(seconds):.3f} s (idle: {idle:.3f} s each second)")


#: The layer that is timed, the one with the most tokens, as the view names it; and where the page begins. Neither is a
#: neighbour of the other, so the first one's maps are not there before anybody asks.
LARGEST, FIRST = (0, "stage 1 · block 1"), (2, "stage 2 · block 2")

#: Milliseconds from asking for another query to the paint of all maps; from asking for a layer to the paint of the
#: scales that come first, and of all.
QUERY = """async ([H, W]) => {
  const painted = () => new Promise(done => requestAnimationFrame(() => setTimeout(done)));
  const times = [];
  for (let i = 0; i < 40; i++) {
    await painted();
    const start = performance.now();
    const detail = { query: [(7 * i) % H, (5 * i) % W] };
    document.dispatchEvent(new CustomEvent("dsp:look", { detail }));
    await painted();
    times.push(performance.now() - start);
  }
  return times.sort((a, b) => a - b)[20];
}"""
LAYER = """async ([block, name]) => {
  const painted = () => new Promise(done => requestAnimationFrame(() => setTimeout(done)));
  const start = performance.now();
  document.dispatchEvent(new CustomEvent("dsp:look", { detail: { block } }));
  const told = () => document.querySelector(".dv-read").textContent;
  while (!told().includes(name)) await painted();
  const first = performance.now() - start;
  while (told().includes("on its way")) await painted();
  return [first, performance.now() - start];
}"""
#: The grid of the layer that is shown, and how many numbers its factors hold.
SIZES = """async ([place, block]) => {
  const { loadBlock } = await import(new URL(`${place}/pieces.js`, document.baseURI));
  const { grid, scales } = await loadBlock({ token: document.querySelector(".dv").dataset.result }, block);
  return [grid.H, grid.W, scales.reduce((n, { left, right }) => n + left.length + right.length, 0)];
}"""


#: Bytes each second of a slow line.
SLOW = 1_000_000


def browse_slowly(chromium: Browser, address: str) -> None:
    """Time how the scales of a large layer come over a slow line."""
    page = chromium.new_page(viewport={"width": 1440, "height": 900})
    page.goto(f"{address}#side=512&block=8")
    page.locator("#view .dv[data-busy=false]").wait_for()
    page.wait_for_timeout(2000)
    rates = {"downloadThroughput": SLOW, "uploadThroughput": SLOW}
    line = page.context.new_cdp_session(page)
    line.send("Network.emulateNetworkConditions", {"offline": False, "latency": 0, **rates})
    first, all_ = page.evaluate(LAYER, LARGEST)
    print(f"512 px at {SLOW / 1e6:g} MB a second: first maps after {first / 1e3:.1f} s, all after {all_ / 1e3:.1f} s")
    page.close()


def browse(address: str, process: int) -> None:
    """Time the view as a person would see it."""
    with sync_playwright() as playwright:
        program = os.environ.get("CHROMIUM", "/usr/bin/chromium")
        chromium = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        page = chromium.new_page(viewport={"width": 1440, "height": 900})
        page.goto(address)
        view = page.locator("#view .dv[data-busy=false]")
        for size in ("128 px", "256 px", "512 px"):
            sizes: list[int] = []
            page.on("response", lambda r, sizes=sizes: sizes.append(int(r.headers.get("content-length", 0))))
            if size != "128 px":
                told = page.locator(".facts").first
                before = told.inner_text()
                start = time.perf_counter()
                page.get_by_role("radio", name=size).check()
                page.wait_for_function("b => document.querySelector('.facts').innerText !== b", arg=before)
                view.wait_for()
                print(f"  {size}: analysed and drawn in {time.perf_counter() - start:.2f} s")
            view.wait_for()
            page.wait_for_timeout(2000)
            _, cold = page.evaluate(LAYER, LARGEST)
            H, W, numbers = page.evaluate(SIZES, [modules.PLACE, LARGEST[0]])
            ask = page.evaluate(QUERY, [H, W])
            print(
                f"{H * W} tokens: query to paint {ask:.1f} ms, cold layer {cold:.1f} ms, "
                f"{max(sizes) / (2 * numbers):.3f} times the bytes of the float16 factors"
            )
            page.evaluate(LAYER, FIRST)
        browse_slowly(chromium, address)
        page.get_by_role("radio", name="128 px").check()
        page.wait_for_timeout(1500)
        seconds = []
        link = "document.querySelector('.dv').dataset.result"
        for i in (3, 5, 7, 9):
            page.locator("#picture").get_by_role("button", name="Remove Image").click()
            page.wait_for_timeout(1000)
            before = page.evaluate(link)
            start = time.perf_counter()
            page.locator("#picture input[type=file]").set_input_files(EXAMPLES[i])
            page.wait_for_function(f"before => {link} !== before", arg=before)
            view.wait_for()
            seconds.append(time.perf_counter() - start)
        print(f"photo to complete screen: median {statistics.median(seconds):.2f} s")
        cost(page, process)
        page.get_by_role("tab", name="Relevance").click()
        start = time.perf_counter()
        page.locator("#judge").click()
        page.locator(".areas tbody tr").first.wait_for(timeout=180_000)
        print(f"maps of the last picture judged in {time.perf_counter() - start:.1f} s")
        chromium.close()


def main() -> None:
    torch.set_num_threads(1)
    model = dsp_viz.load("dsp_tiny")
    x = torch.randn(1, 3, model.preparation.side, model.preparation.side)

    def plain() -> torch.Tensor:
        with torch.inference_mode():
            return model(x)

    ms = rounds({"plain": plain, "traced": lambda: dsp_viz.trace.trace(model, x)}, 30)
    ratio = ms["traced"] / ms["plain"]
    start = time.process_time()
    for _ in range(30):
        plain()
    print(f"computing of a forward pass: {(time.process_time() - start) / 30:.3f} s")
    print(f"forward {ms['plain']:.1f} ms, traced {ms['traced']:.1f} ms, ratio {ratio:.3f}")

    layer = DynamicSpectralPolarityAttention(384, 6).eval()
    block = dsp_viz.trace.trace(layer, torch.randn(1, 784, 384)).blocks[0]
    ms = rounds({"rows": lambda: dsp_viz.maps.block_maps(block, (11, 17))}, 30)
    print(f"all maps of one block for one query, N = 784, dim 384, 6 heads, 3 scales: {ms['rows']:.2f} ms")

    port = 7999
    start = time.perf_counter()
    app = subprocess.Popen(
        [sys.executable, "app.py", "--port", str(port)], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        address = f"http://127.0.0.1:{port}/"
        while True:
            try:
                urllib.request.urlopen(address).read()
                break
            except OSError:
                if app.poll() is not None or time.perf_counter() - start > 120:
                    raise SystemExit("error: the app did not start") from None
                time.sleep(0.05)
        print(f"app start to first page: {time.perf_counter() - start:.1f} s")
        browse(address, app.pid)
        client = Client(address, verbose=False)
        seconds, sizes = [], {}
        for i in range(1, 51):
            begin = time.perf_counter()
            client.predict(handle_file(EXAMPLES[i % len(EXAMPLES)]), api_name="/analyse")
            seconds.append(time.perf_counter() - begin)
            if i in (5, 50):
                sizes[i] = resident(app.pid)
        print(f"analysis over the API: median {1e3 * statistics.median(seconds):.0f} ms")
        print(
            f"resident after 5 analyses {sizes[5]:.0f} MiB, after 50 {sizes[50]:.0f} MiB: {sizes[50] - sizes[5]:+.1f}"
        )
    finally:
        app.terminate()
        app.wait()


if __name__ == "__main__":
    main()
