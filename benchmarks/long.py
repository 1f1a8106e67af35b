"""A long day of the explorer: ``python -m benchmarks.long`` asks for 3,000 analyses and looks at what is left of them.

They are asked for over the API, every second one of a new picture, and by pages that open. Printed are the resident
memory and what of it are kept results, open files, threads, child processes, and files and folders of uploads, after
100, at half, at the end; and after a stop by SIGTERM what is left on the disk. The hour of an upload is not waited for:
tests set dates back.
"""

import argparse
import os
import signal
import threading
import time
import urllib.request
from pathlib import Path
from tempfile import TemporaryDirectory

from .app import resident
from .load import Told, Visitors, app
from .replicas import free_port


def kept(metrics: int) -> float:
    """Bytes of the results that the app keeps, by its metrics."""
    with urllib.request.urlopen(f"http://127.0.0.1:{metrics}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return float(next(line for line in lines if line.startswith("dsp_viz_store_bytes ")).split()[1])


def state(process: int, folder: Path, metrics: int) -> dict[str, float]:
    """What the app holds (Linux)."""
    own = Path("/proc") / str(process)
    children = [
        path
        for path in Path("/proc").glob("[0-9]*/stat")
        if path.exists() and path.read_text().rpartition(")")[2].split()[1] == str(process)
    ]
    return {
        "resident MiB": resident(process),
        "results MiB": kept(metrics) / 2**20,
        "open files": len(list((own / "fd").iterdir())),
        "threads": len(list((own / "task").iterdir())),
        "processes": len(children),
        "uploads, files": sum(path.is_file() for path in folder.rglob("*")),
        "uploads, folders": sum(path.is_dir() for path in folder.rglob("*")),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    option = parser.add_argument
    option("--analyses", type=int, default=3000)
    option("--visitors", type=int, default=6)
    args = parser.parse_args()
    with TemporaryDirectory() as name:
        os.environ["TMPDIR"] = name  # of the app, which makes its folder of uploads there
        os.environ.pop("GRADIO_TEMP_DIR", None)
        metrics = free_port()
        with app(None, ["--metrics", str(metrics)]) as (address, process):
            assert process is not None
            visitors = Visitors(address, 0.5)
            visitors.told = Told()
            pages = args.visitors // 3
            everybody = [visitors.analyse] * (args.visitors - pages) + [visitors.open] * (args.visitors // 3)
            threads = [threading.Thread(target=visitor) for visitor in everybody]
            for thread in threads:
                thread.start()
            seen: dict[int, dict[str, float]] = {}
            for wanted in (100, args.analyses // 2, args.analyses):
                while (done := sum(len(visitors.told.seconds[what]) for what in ("API answer", "whole page"))) < wanted:
                    time.sleep(0.2)
                if wanted == args.analyses:
                    visitors.stop.set()
                    for thread in threads:
                        thread.join()
                    time.sleep(10)  # streams end, threads that nobody needs go
                seen[done] = state(process, Path(name), metrics)
            print(f"| after analyses | {' | '.join(map(str, seen))} |\n|{'---|' * (1 + len(seen))}")
            for what in next(iter(seen.values())):
                print(f"| {what} | {' | '.join(f'{each[what]:.0f}' for each in seen.values())} |")
            lost = sum(map(len, visitors.told.refused.values()))
            print(f"wrong answers: {len(visitors.told.wrong)}; refused: {lost}")
            os.kill(process, signal.SIGTERM)
            time.sleep(5)
            left = [path for path in Path(name).rglob("*") if path.is_file()]
            print(f"files left after SIGTERM: {len(left)}")


if __name__ == "__main__":
    main()
