"""Start the explorer: ``python app.py [--model NAME…] [--host H] [--port P]``."""

import argparse
import gc
import logging
import os
import socket
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

# Before gradio is imported: it reads these once. Nothing of anyone's use of the app leaves the machine.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")


def main(arguments: list[str] | None = None) -> None:
    parser = _parser()
    args = parser.parse_args(arguments)
    if args.mcp and find_spec("mcp") is None:
        parser.error("--mcp needs the package mcp: run `pip install 'gradio[mcp]'`")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    for chatty in ("httpx", "fontTools"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    # Uploads lie in a folder of this run, which is removed when it ends.
    with tempfile.TemporaryDirectory(prefix="dsp-viz-", ignore_cleanup_errors=True) as uploads:
        os.environ.setdefault("GRADIO_TEMP_DIR", uploads)
        _serve(parser, args)
    # Computations that still run are not waited for.
    sys.stdout.flush()
    os._exit(0)


def _parser() -> argparse.ArgumentParser:
    """Options; where one is not given, Gradio's own environment variable counts."""
    parser = argparse.ArgumentParser(description="See what attention does with a picture, in the browser.")
    parser.add_argument(
        "--model",
        nargs="+",
        metavar="NAME",
        help="models to choose from, names in pretrained/ or paths of .safetensors files (default: all in pretrained/)",
    )
    parser.add_argument(
        "--host",
        default=os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"),
        help="address to listen on; 0.0.0.0 for every interface (default: GRADIO_SERVER_NAME, else %(default)s)",
    )
    parser.add_argument(
        "--port",
        type=int,
        default=os.environ.get("GRADIO_SERVER_PORT", "7860"),
        help="port to listen on (default: GRADIO_SERVER_PORT, else 7860)",
    )
    parser.add_argument(
        "--root-path",
        default=os.environ.get("GRADIO_ROOT_PATH"),
        metavar="PATH",
        help="where a proxy offers the app, such as /dsp or https://example.org/dsp (default: GRADIO_ROOT_PATH)",
    )
    parser.add_argument(
        "--device",
        default="auto",
        help="where the models run: cpu, cuda, mps, or auto, a GPU where there is one (default)",
    )
    parser.add_argument("--mcp", action="store_true", help="offer the API to language models (needs gradio[mcp])")
    return parser


def _serve(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    try:  # before anything takes time
        family = socket.AF_INET6 if ":" in args.host else socket.AF_INET
        listening = socket.create_server((args.host, args.port), family=family, backlog=128)
    except (OSError, OverflowError) as error:
        parser.error(f"--host {args.host} --port {args.port}: cannot listen there ({error}); give another --port")
    import torch

    import dsp_viz
    from dsp_viz import ui
    from dsp_viz.device import resolve_device
    from dsp_viz.memory import share_freed_memory
    from dsp_viz.store import Store
    from dsp_viz.ui.kept import Kept

    share_freed_memory()
    if "OMP_NUM_THREADS" not in os.environ:
        # The threads of one operation wait for the slowest, and the browser may hold its core.
        torch.set_num_threads(1)

    try:
        device = resolve_device(args.device)
        models = [dsp_viz.load(name, device=device) for name in args.model or dsp_viz.available() or ["dsp_tiny"]]
    except ValueError as error:  # a CheckpointError is one
        parser.error(str(error))
    names = [model.name for model in models]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        parser.error(f"--model: two models are called {twice}, as their files are; rename one of the files")
    examples = sorted((Path(__file__).parent / "examples").glob("*.jpg"))
    store = Store[Kept](max_bytes=512 * 2**20)
    app = ui.create_app(ui.build(models, examples, store), store, root_path=args.root_path, mcp=args.mcp)
    print(f"* Running on http://{args.host}:{listening.getsockname()[1]}", flush=True)
    gc.freeze()  # what is loaded stays: the collector need not look through it, least of all at the end
    ui.serve(app, listening)


if __name__ == "__main__":
    main()
