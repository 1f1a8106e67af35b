"""What the explorer does for many visitors at once: ``python -m benchmarks.load``.

Visitors of the API send a picture and wait for its numbers; visitors of the page fetch ``/``, what the page asks for
when it opens, and the bytes of three blocks; visitors who judge press "Judge the maps". Each goes on at once when it
has its answer. Every answer is compared with the one that a single visitor got before. Pictures are the examples; those
that are to be new carry a comment of their own, so that no two files are the same.

``--address`` measures an app that runs already, else one is started. The visitors run beside the app, and take part of
the machine: their computing is printed too.
"""

import argparse
import http.client
import json
import math
import os
import random
import statistics
import struct
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import chain, count
from typing import Any
from urllib.parse import quote, urlsplit

from .app import EXAMPLES, ROOT, computed, resident

#: How far an answer may be from that of a single visitor.
TOLERANCE = 1e-5

#: Blocks that the page fetches when it opens: that which it shows, and its neighbours.
BLOCKS = (2, 1, 3)

#: Seconds after which an answer counts as lost.
PATIENCE = 120


@dataclass
class Told:
    """What was seen of all visitors, by what they did."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    refused: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    wrong: list[str] = field(default_factory=list)
    worst: float = 0.0
    started: dict[str, float] = field(default_factory=dict)
    firsts: dict[str, float] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def compare(self, what: str, found: Any, wanted: Any) -> None:
        """Note how far an answer is from what it should be."""
        try:
            gap = max((abs(a - b) for a, b in zip(_numbers(found), _numbers(wanted), strict=True)), default=0.0)
        except (ValueError, TypeError) as error:
            gap, what = float("inf"), f"{what}: {error}"
        with self.lock:
            self.worst = max(self.worst, gap)
            if not gap <= TOLERANCE:
                self.wrong.append(f"{what}: {gap:.2e}")

    def first(self, session: str) -> None:
        """Note when the first news of a long computation came."""
        if session in self.started:
            self.firsts.setdefault(session, time.perf_counter() - self.started[session])

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Note how long the body takes, or what refused it."""
        start = time.perf_counter()
        try:
            yield
        except (RefusedError, OSError, http.client.HTTPException) as error:
            with self.lock:
                self.refused[what].append(f"{type(error).__name__}: {str(error)[:160]}")
            time.sleep(0.2)
            return
        with self.lock:
            self.seconds[what].append(time.perf_counter() - start)


class RefusedError(Exception):
    """The app gave no answer; the message is what it said."""


class Connection:
    """A visitor's connection to the app, which stays open; and what its visit is called."""

    _counted = count()

    def __init__(self, address: str) -> None:
        self._host = urlsplit(address).netloc
        self._http = http.client.HTTPConnection(self._host, timeout=PATIENCE)
        self._cookie = ""
        self.session = f"v{next(self._counted)}x{random.getrandbits(48):x}"

    def ask(self, path: str, body: Any = None, *, kind: str = "application/json") -> bytes:
        """The body of an answer.

        Raises:
            RefusedError: it has another status than 200.
        """
        with closing(self.open(path, body, kind=kind)) as answer:
            data = answer.read()
        if answer.status != 200:
            raise RefusedError(f"{answer.status} {data[:120].decode(errors='replace')}")
        return data

    def open(self, path: str, body: Any = None, *, kind: str = "application/json") -> http.client.HTTPResponse:
        """An answer whose body is still to be read."""
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        headers = {"Content-Type": kind} | ({"Cookie": self._cookie} if self._cookie else {})
        try:
            self._http.request("GET" if data is None else "POST", path, data, headers)
            answer = self._http.getresponse()
        except (OSError, http.client.HTTPException):
            self._http.close()  # the next request opens it anew
            raise
        for given in answer.headers.get_all("Set-Cookie", []):
            self._cookie = given.split(";")[0]
        return answer

    def events(self, path: str) -> Iterator[tuple[str, Any]]:
        """What a stream of events says, each with its name ("" where it has none), until the app ends it."""
        stream, name = self.open(path), ""
        try:
            for line in stream:
                if line.startswith(b"event: "):
                    name = line[7:].decode().strip()
                elif line.startswith(b"data: "):
                    yield name, json.loads(line[6:])
        finally:
            if not stream.isclosed():  # what is left of it would be taken for the next answer
                self._http.close()


class Visitors:
    """Everybody who asks, and what a single visitor was told before.

    Args:
        address: of the app. fresh: share of the API's pictures that nobody sent before, within 0 and 1.
    """

    def __init__(self, address: str, fresh: float) -> None:
        self.address, self.fresh = address, fresh
        self.told, self.stop = Told(), threading.Event()
        alone = Connection(address)
        self.config: dict[str, Any] = json.loads(alone.ask("/config"))
        (models,) = (c for c in self.config["components"] if c["props"].get("label") == "Model")
        self.asked = [(path.stem, str(name)) for path in EXAMPLES for name, _ in models["props"]["choices"]]
        self._files = {path.stem: path.read_bytes() for path in EXAMPLES}
        self._sent = count()
        self.answers = {asked: self._analysed(alone, *asked, fresh=True) for asked in self.asked}
        self.pages = {asked: self._page(*asked)[0] for asked in self.asked}

    def analyse(self) -> None:
        """One visitor of the API, until it is stopped."""
        connection, chosen = Connection(self.address), random.Random()
        while not self.stop.is_set():
            asked = chosen.choice(self.asked)
            with self.told.timed("API answer"):
                found = self._analysed(connection, *asked, fresh=chosen.random() < self.fresh)
                self.told.compare(f"API {asked}", found, self.answers[asked])

    def _analysed(self, connection: Connection, name: str, model: str, *, fresh: bool) -> list[Any]:
        data = self._files[name]
        if fresh:  # a comment right after the start of the JPEG
            comment = f"{os.getpid()}-{next(self._sent)}".encode()
            data = data[:2] + b"\xff\xfe" + struct.pack(">H", len(comment) + 2) + comment + data[2:]
        form = (
            b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n' + data + b"\r\n--x--\r\n"
        )
        (path,) = json.loads(connection.ask("/gradio_api/upload", form, kind="multipart/form-data; boundary=x"))
        file = {"path": path, "meta": {"_type": "gradio.FileData"}}
        event = json.loads(connection.ask("/gradio_api/call/analyse", {"data": [file, model, []]}))["event_id"]
        for kind, said in connection.events(f"/gradio_api/call/analyse/{event}"):
            if kind == "complete":
                (found,) = said
                return [found["top"][0]["probability"], found["coefficients"], found["mixing_weights"]]
            if kind == "error":
                raise RefusedError(str(said))
        raise RefusedError("the stream ended without an answer")

    def open(self) -> None:
        """One visitor of the page, until it is stopped."""
        chosen = random.Random()
        while not self.stop.is_set():
            asked = chosen.choice(self.asked)
            with self.told.timed("whole page"):
                self.told.compare(f"page {asked}", self._page(*asked)[0], self.pages[asked])

    def _page(self, name: str, model: str) -> tuple[list[Any], str]:
        """What a page shows when it opens, as numbers; and what it says that this is of."""
        connection = Connection(self.address)
        with self.told.timed("GET /"):
            connection.ask("/")
        (event,) = (d for d in self.config["dependencies"] if d["api_name"] == "arrive")
        address = f"picture={quote(name)}&model={quote(model)}"
        outputs = self._event(connection, event, {"address": address})
        (shown,) = (value for value in outputs.values() if isinstance(value, dict) and "token" in value)
        pieces = [connection.ask(f"/results/{shown['token']}/{piece}") for piece in ("sharp", *BLOCKS)]
        headers = [json.loads(data[4 : 4 + struct.unpack("<I", data[:4])[0]]) for data in pieces[1:]]
        source = next(value for value in outputs.values() if isinstance(value, str) and value.startswith('{"path"'))
        numbers = [shown["best"][1], [(header["coefficients"], header["weights"]) for header in headers]]
        return numbers, source

    def _event(self, connection: Connection, event: dict[str, Any], values: dict[str, Any]) -> dict[int, Any]:
        """What one of the page's own events answers, by component; ``values``: what some hold, by their ``elem_id``."""
        props = {c["id"]: c["props"] for c in self.config["components"]}
        data = [values.get(props[i].get("elem_id"), props[i].get("value")) for i in event["inputs"]]
        join = {"data": data, "fn_index": event["id"], "session_hash": connection.session, "trigger_id": None}
        connection.ask("/gradio_api/queue/join", join)
        for _, said in connection.events(f"/gradio_api/queue/data?session_hash={connection.session}"):
            if said["msg"] == "process_generating":
                self.told.first(connection.session)
            if said["msg"] == "process_completed":
                if not said["success"]:
                    raise RefusedError(str(said["output"])[:160])
                return dict(zip(event["outputs"], said["output"]["data"], strict=True))
        raise RefusedError("the stream ended without an answer")

    def judge(self) -> None:
        """One visitor who presses "Judge the maps" once."""
        connection = Connection(self.address)
        (event,) = (d for d in self.config["dependencies"] if d["api_name"] == "judged")
        source = self._page("cat-chelsea", "dsp_tiny")[1]
        self.told.started[connection.session] = time.perf_counter()
        with self.told.timed("judged"):
            self._event(connection, event, {"source": source})


def _numbers(value: Any) -> Iterator[float]:
    """All numbers of a nested list, in order."""
    if isinstance(value, list | tuple):
        yield from chain.from_iterable(map(_numbers, value))
    else:
        yield float(value)


@contextmanager
def app(address: str | None, arguments: Sequence[str] = (), *, port: int = 0) -> Iterator[tuple[str, int | None]]:
    """Address and process of the app: of one that runs, whose process is not known, or of one started for the body."""
    if address is not None:
        yield address, None
        return
    command = [sys.executable, "app.py", "--port", str(port), *arguments]
    running = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=sys.stderr, text=True)
    assert running.stdout is not None
    try:
        while not (line := running.stdout.readline()).startswith("* Running on"):
            if not line:
                raise SystemExit("error: the app did not start")
        yield line.removeprefix("* Running on ").strip(), running.pid
    finally:
        running.terminate()
        running.wait()
        running.stdout.close()


def report(told: Told, seconds: float) -> None:
    """Print the table."""
    print(f"| what | answers | a second | median s | p95 s | longest s | refused |\n|{'---|' * 7}")
    for what in dict.fromkeys([*told.seconds, *told.refused]):
        took, refused = sorted(told.seconds[what]), told.refused[what]
        if took:
            p95 = took[min(math.ceil(0.95 * len(took)), len(took)) - 1]
            times = f"{statistics.median(took):.3f} | {p95:.3f} | {took[-1]:.3f}"
        else:
            times = "– | – | –"
        print(f"| {what} | {len(took)} | {len(took) / seconds:.2f} | {times} | {len(refused)} |")
        for said, times_said in Counter(refused).most_common(3):
            print(f"  refused {times_said} times: {said}")
    if told.firsts:
        print(f"first news of a judging after {', '.join(f'{s:.1f}' for s in sorted(told.firsts.values()))} s")
    print(f"wrong answers: {len(told.wrong)}; largest difference {told.worst:.1e}")
    for line in told.wrong[:5]:
        print(f"  {line}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    option = parser.add_argument
    option("--seconds", type=float, default=180)
    option("--api", type=int, default=30, help="visitors of the API (default: %(default)s)")
    option("--pages", type=int, default=10, help="visitors of the page (default: %(default)s)")
    option("--judges", type=int, default=0, help='visitors who press "Judge the maps" once (default: %(default)s)')
    option("--fresh", type=float, default=1.0, help="share of pictures that are new (default: %(default)s)")
    option("--address", help="of an app that runs; by default one is started")
    args = parser.parse_args()
    with app(args.address) as (address, process):
        visitors = Visitors(address, args.fresh)
        visitors.told = Told()
        everybody = [visitors.analyse] * args.api + [visitors.open] * args.pages + [visitors.judge] * args.judges
        threads = [threading.Thread(target=visitor) for visitor in everybody]
        before, own, start = computed(process) if process else 0.0, time.process_time(), time.perf_counter()
        for thread in threads:
            thread.start()
        visitors.stop.wait(args.seconds)
        visitors.stop.set()
        for thread in threads:
            thread.join()
        seconds = time.perf_counter() - start
        report(visitors.told, seconds)
        print(f"{seconds:.0f} s; computing of the visitors: {(time.process_time() - own) / seconds:.2f} of a core")
        if process:
            used = (computed(process) - before) / seconds
            print(f"computing of the app: {used:.2f} of a core; resident {resident(process):.0f} MiB")
        print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
