"""Two replicas behind nginx, one of them ended under load: ``python -m benchmarks.replicas`` (needs nginx).

It runs ``deploy/nginx.conf`` as it is, but for the two servers, the port, the folder of nginx's own files and the limit
for one address, which all visitors here share. Visitors of the page and of the API come as in :mod:`benchmarks.load`;
in the middle one replica is killed, later started again. Printed is what they see, before, while it is down, and after.
"""

import argparse
import os
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from .app import ROOT, computed
from .load import Told, Visitors, app, report


def free_port() -> int:
    """A port that nobody uses."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def configured(folder: Path, port: int, replicas: list[int]) -> Path:
    """``deploy/nginx.conf`` for replicas on this machine."""
    text = (ROOT / "deploy" / "nginx.conf").read_text()
    for number, replica in enumerate(replicas, 1):
        text = text.replace(f"app{number}:7860", f"127.0.0.1:{replica}")
    text = text.replace("listen 8080", f"listen 127.0.0.1:{port}").replace("/tmp/nginx", str(folder / "nginx"))
    text = re.sub(r"rate=\d+r/s", "rate=10000r/s", text).replace("burst=200", "burst=10000")
    path = folder / "nginx.conf"
    path.write_text(text)
    return path


def answers(address: str) -> bool:
    """Whether there is an answer to ``/healthz``."""
    with suppress(OSError, urllib.error.URLError):
        return bool(urllib.request.urlopen(f"{address}/healthz", timeout=5).status == 200)
    return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    option = parser.add_argument
    option("--seconds", type=float, default=30, help="of each of the three parts (default: %(default)s)")
    option("--api", type=int, default=6)
    option("--pages", type=int, default=6)
    option("--model", default="dsp_tiny", help="of both replicas (default: %(default)s)")
    args = parser.parse_args()
    with TemporaryDirectory() as name, ExitStack() as running:
        folder = Path(name)
        folder.chmod(0o755)  # nginx may run as another user
        os.environ["GRADIO_TEMP_DIR"] = str(folder / "uploads")  # both share it
        ports = [free_port(), free_port()]
        started = [running.enter_context(app(None, ["--model", args.model], port=port)) for port in ports]
        port = free_port()
        command = ["nginx", "-c", str(configured(folder, port, ports)), "-g", "daemon off;", "-e", "stderr"]
        proxy = subprocess.Popen(command, start_new_session=True)
        running.callback(proxy.wait)
        running.callback(proxy.terminate)
        address = f"http://127.0.0.1:{port}"
        while not answers(address):
            time.sleep(0.1)
        visitors = Visitors(address, 1.0)
        everybody = [visitors.analyse] * args.api + [visitors.open] * args.pages
        threads = [threading.Thread(target=visitor) for visitor in everybody]
        visitors.told = Told()
        for thread in threads:
            thread.start()

        def part(title: str) -> None:
            time.sleep(args.seconds)
            told, visitors.told = visitors.told, Told()
            print(f"\n{title}:\n")
            report(told, args.seconds)

        part("two replicas")
        processes = [process or 0 for _, process in started]
        busier = max((0, 1), key=lambda i: computed(processes[i]))  # programs are all on one: they share an address
        os.kill(processes[busier], signal.SIGKILL)
        part("the busier one killed")
        running.enter_context(app(None, ["--model", args.model], port=ports[busier]))
        part("and started again")
        visitors.stop.set()
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    main()
