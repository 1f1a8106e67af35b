"""Start the explorer: ``python app.py [--model NAME…] [--host H] [--port P]``."""

import argparse
import gc
import logging
import os
import socket
import sys
import tempfile
from importlib.util import find_spec

# Before gradio is imported: it reads these once. Nothing of anyone's use of the app leaves the machine.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

#: Of options that are not given, Gradio's own environment variables count.
HOST, PORT, ROOT = (os.environ.get(f"GRADIO_{name}") for name in ("SERVER_NAME", "SERVER_PORT", "ROOT_PATH"))

MODELS = "models to choose from: names in pretrained/, paths of .safetensors files, hf-hub:user/name, timm/NAME, or "
MODELS += "package.module:function that gives a dsp_viz.Subject (default: all in pretrained/)"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="See what attention does with a picture, in the browser.")
    option = parser.add_argument
    option("--model", nargs="+", metavar="NAME", help=MODELS)
    option("--host", default=HOST or "127.0.0.1", help="address to listen on; 0.0.0.0 for all (default: %(default)s)")
    option("--port", type=int, default=PORT or "7860", help="port to listen on (default: %(default)s)")
    option("--root-path", default=ROOT, metavar="PATH", help="where a proxy offers the app, a path or a whole address")
    option("--device", default="auto", help="cpu, cuda, mps, or auto, a GPU where there is one (default)")
    option("--survey", metavar="OUT", help="a survey of a data set, for the tab Atlas: see python -m dsp_viz survey")
    option("--pictures", metavar="DIR", help="the folder that was surveyed, for the pictures behind its numbers")
    option("--metrics", type=int, metavar="PORT", help="offer numbers to Prometheus there (needs prometheus-client)")
    option("--auth", metavar="FILE", help="USER:PASSWORD lines of who may log in (default: those in DSP_VIZ_AUTH)")
    option("--public", action="store_true", help="tighter limits, for an address that everybody knows: docs/deploy.md")
    option("--mcp", action="store_true", help="offer the API to language models (needs gradio[mcp])")
    args = parser.parse_args(arguments)
    if args.mcp and find_spec("mcp") is None:
        parser.error("--mcp needs the package mcp: run `pip install 'gradio[mcp]'`")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    for chatty in ("httpx", "fontTools"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    try:  # before anything takes time
        family = socket.AF_INET6 if ":" in args.host else socket.AF_INET
        listening = socket.create_server((args.host, args.port), family=family, backlog=128)
    except (OSError, OverflowError) as error:
        parser.error(f"--host {args.host} --port {args.port}: cannot listen there ({error}); give another --port")
    # Uploads lie in a folder of this run, which is removed when it ends.
    with tempfile.TemporaryDirectory(prefix="dsp-viz-", ignore_cleanup_errors=True) as uploads:
        os.environ.setdefault("GRADIO_TEMP_DIR", uploads)
        gc.disable()  # while hundreds of thousands of objects are made that all stay
        from dsp_viz.ui import program

        gc.freeze()
        gc.enable()

        try:
            told = {name: value for name, value in vars(args).items() if name not in ("model", "host", "port")}
            program.run(args.model, listening, **told)
        except ValueError as error:  # no model, no device, no survey
            parser.error(str(error))
    # Computations that still run are not waited for.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
