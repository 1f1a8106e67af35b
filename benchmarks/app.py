"""What the explorer costs: ``python -m benchmarks.app``.

Overhead of the hooks, time of all maps of one block for one query, start of the app, and its memory over fifty
analyses. One CPU thread, which is what the app takes on two cores.
"""

import os
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import torch
from gradio_client import Client, handle_file

import dsp_viz
from dsp_attention import DynamicSpectralPolarityAttention

from .attention import rounds

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.jpg"))


def resident(process: int) -> float:
    """Resident memory of a process in MiB (Linux)."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    torch.set_num_threads(1)
    model = dsp_viz.load("dsp_tiny")
    x = torch.randn(1, 3, model.config.image_size, model.config.image_size)

    def plain() -> torch.Tensor:
        with torch.inference_mode():
            return model(x)

    ms = rounds({"plain": plain, "traced": lambda: dsp_viz.trace.trace(model, x)}, 30)
    ratio = ms["traced"] / ms["plain"]
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
