"""Start the explorer: ``python app.py [--model NAME…] [--host H] [--port P]``."""

import argparse
import logging
import os
from importlib.util import find_spec
from pathlib import Path

# Before gradio is imported: it reads these once. Nothing of anyone's use of the app leaves the machine.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="See what DSP-Attention does with a picture, in the browser.")
    parser.add_argument(
        "--model",
        nargs="+",
        metavar="NAME",
        help="models to choose from, names in pretrained/ or paths of .safetensors files (default: all in pretrained/)",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 for every interface")
    parser.add_argument("--port", type=int, default=7860, help="port to listen on (default %(default)s)")
    parser.add_argument("--mcp", action="store_true", help="offer the API to language models (needs gradio[mcp])")
    args = parser.parse_args(arguments)
    if args.mcp and find_spec("mcp") is None:
        parser.error("--mcp needs the package mcp: run `pip install 'gradio[mcp]'`")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)

    try:
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError) as error:
        raise SystemExit(
            f"error: the installed torch and torchvision do not match ({error}). A torchvision works with the torch it "
            "was built for alone: run `pip install --upgrade -r requirements.txt`."
        ) from error

    import torch

    import dsp_viz
    from dsp_viz import ui
    from dsp_viz.memory import share_freed_memory
    from dsp_viz.store import Store

    share_freed_memory()
    # Threads of one operation wait for the slowest: where another program (the browser) holds a core, half the threads
    # are the faster, and for one picture of 256 tokens there is little to share out anyway.
    torch.set_num_threads(max(1, torch.get_num_threads() // 2))

    try:
        models = [dsp_viz.load(name) for name in args.model or dsp_viz.available() or ["dsp_tiny"]]
    except dsp_viz.CheckpointError as error:
        parser.error(str(error))
    names = [model.name for model in models]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        parser.error(f"--model: two models are called {twice}, as their files are; rename one of the files")
    examples = sorted((Path(__file__).parent / "examples").glob("*.jpg"))
    store = Store(max_bytes=512 * 2**20)
    try:
        ui.launch(ui.build(models, examples, store), store, host=args.host, port=args.port, mcp=args.mcp)
    except OSError:
        parser.error(f"--host {args.host} --port {args.port}: cannot listen there; give another --port")


if __name__ == "__main__":
    main()
