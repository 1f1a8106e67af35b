"""Decoding in processes of their own: the same pictures, the limits, and what is left of the processes."""

import errno
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import hostile_pictures as hostile
import numpy as np
import pytest
from PIL import Image

from dsp_viz import framing, images
from dsp_viz.decode_process import Process, _header
from dsp_viz.decode_worker import WAY
from dsp_viz.decoding import Decoder
from dsp_viz.images import ImageError

ROOT = Path(__file__).parent.parent
DATA = ROOT / "tests" / "data"
EXAMPLES = sorted((ROOT / "examples").glob("*.jpg"))
FILES = sorted(path for path in DATA.iterdir() if path.is_file() and path.name != "README.md") + EXAMPLES


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder(seconds=300, cpu_seconds=300, patience=300) as decoder:
        yield decoder


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    """A picture that takes many seconds of computing, which does not show in how it is built."""
    path = tmp_path / "runs.bmp"
    path.write_bytes(hostile.runs(16_000_000))
    return path


def pids(decoder: Decoder) -> list[int]:
    return [worker._process.pid for worker in [*decoder._busy, *decoder._idle]]


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that must come about; how long that takes is the machine's affair."""
    for _ in range(6000):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("did not come about within two minutes")


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    # Where nobody collects orphans, what is left of one is its exit status.
    run = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return run.stdout.strip()[:1] in ("", "Z")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_same_as_in_process(decoder: Decoder, path: Path) -> None:
    """Pixel for pixel, and word for word where it is refused."""
    try:
        picture = images.read_image(path)
    except ImageError as error:
        with pytest.raises(ImageError, match=f"^{re.escape(str(error))}$"):
            decoder.fit(path, side=112, patch=16)
        return
    squash = images.Fitting("squash", 0.875, "bicubic")
    for options in ({}, {"whole": True}, {"fitting": squash}):
        want, frame = images.fit(picture, side=112, patch=16, **options)
        got = decoder.fit(path, side=112, patch=16, **options)
        assert (got.frame, got.note, got.picture.mode) == (frame, "", "RGB")
        assert got.picture.size == frame.input_size
        assert got.picture.tobytes() == want.tobytes()
        sharp = framing.sharp(picture, frame)
        assert (got.sharp.size, got.sharp.tobytes()) == (sharp.size, sharp.tobytes())
    shown, note = decoder.preview(path, 171)
    want = images.preview(picture, 171)
    assert (shown.size, shown.info, note) == (want.size, {}, "")
    assert shown.tobytes() == want.tobytes()
    assert max(shown.size) == min(171, max(picture.size))


def test_what_is_no_file(decoder: Decoder, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, "/dev/zero", tmp_path / "absent", "a\0b", "x" * 10**6):
        with pytest.raises(ImageError):
            decoder.fit(path, side=64, patch=8)
    (tmp_path / "bad \udcff.png").write_bytes((DATA / "noise.png").read_bytes())
    decoder.fit(tmp_path / "bad \udcff.png", side=64, patch=8)


def test_a_relative_path(decoder: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder.fit(EXAMPLES[0], side=64, patch=8)
    monkeypatch.chdir(DATA)
    assert decoder.fit("noise.png", side=64, patch=8).frame.size == (96, 96)


def test_the_process_holds_no_torch(decoder: Decoder) -> None:
    decoder.fit(DATA / "gray16.png", side=64, patch=8)
    program = (
        "import json, runpy, sys, threading\n"
        "path, sys.argv[1:] = sys.argv[1], [json.dumps({'path': sys.path, 'memory': 2**40, 'cpu_seconds': 9})]\n"
        "import os\n"
        "leave = os._exit\n"
        "os._exit = lambda status: (print(*sys.modules, file=sys.stderr), leave(status))\n"
        "runpy.run_path(path, run_name='__main__')\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, str(ROOT / "dsp_viz" / "decode_worker.py")],
        input=b"",
        capture_output=True,
        timeout=120,
    )
    loaded = {name.split(".")[0] for name in run.stderr.decode().split()}
    assert "PIL" in loaded
    assert not loaded & {"torch", "torchvision", "gradio", "numpy", "matplotlib", "pydantic"}


def test_too_much_computing(endless: Path) -> None:
    with Decoder(cpu_seconds=0, seconds=300) as decoder:
        with pytest.raises(ImageError, match=r"more than 0 s of computing .*\.$"):
            decoder.fit(endless, side=64, patch=8)
        assert decoder.fit(EXAMPLES[0], side=64, patch=8).frame.grid == (8, 8)


def test_too_much_memory() -> None:
    """Linux keeps to the limit; macOS does not."""
    with Decoder(memory=140 * 2**20, seconds=300) as decoder:
        try:
            decoder.fit(DATA / "large_6000x4000.jpg", side=64, patch=8)
            told = ""
        except ImageError as error:
            told = str(error)
        assert ("more memory" in told) == (sys.platform == "linux")
        assert decoder.fit(EXAMPLES[0], side=64, patch=8).frame.grid == (8, 8)


def test_too_long(endless: Path) -> None:
    """A process that does nothing any more counts no CPU; the clock ends it."""
    with Decoder(seconds=5, cpu_seconds=300) as decoder:
        decoder.fit(EXAMPLES[0], side=64, patch=8)
        (stopped,) = {worker._process.pid for worker in decoder._idle[-1:]}
        os.kill(stopped, signal.SIGSTOP)
        with pytest.raises(ImageError, match=r"more than 5 s to decode.*\.$"):
            decoder.fit(EXAMPLES[0], side=64, patch=8)
        assert is_gone(stopped)


def test_a_slow_picture_gives_way_and_its_process_goes(endless: Path) -> None:
    with Decoder(cpu_seconds=300, seconds=300, workers=1) as decoder, ThreadPoolExecutor() as pool:
        slow = pool.submit(decoder.fit, endless, side=64, patch=8)
        until(lambda: bool(decoder._busy))
        (pid,) = pids(decoder)
        until(lambda: os.getpriority(os.PRIO_PROCESS, pid) == min(19, os.getpriority(os.PRIO_PROCESS, 0) + WAY))
        assert not slow.done()
        decoder.close()
        with pytest.raises(ImageError, match="being stopped"):
            slow.result()


def test_the_process_of_a_slow_picture_goes_when_it_is_refused_too(tmp_path: Path) -> None:
    (tmp_path / "runs.bmp").write_bytes(hostile.runs(2_000_000))
    with Decoder(cpu_seconds=300, seconds=300, workers=1) as decoder:
        decoder.fit(EXAMPLES[0], side=64, patch=8)
        (pid,) = pids(decoder)
        with pytest.raises(ImageError, match="damaged or incomplete"):
            decoder.fit(tmp_path / "runs.bmp", side=64, patch=8)
        assert is_gone(pid)


def test_bad_pictures_do_not_hold_up_a_good_one(endless: Path) -> None:
    with Decoder(workers=4, cpu_seconds=300, seconds=300) as decoder, ThreadPoolExecutor() as pool:
        bad = [pool.submit(decoder.fit, endless, side=64, patch=8) for _ in range(3)]
        until(lambda: len(decoder._busy) == 3)
        for path in EXAMPLES[:3]:
            decoder.fit(path, side=64, patch=8)
        assert not any(future.done() for future in bad)
        decoder.close()
        for future in bad:
            with pytest.raises(ImageError, match="being stopped"):
                future.result()


def test_too_many_are_refused_after_a_while(endless: Path) -> None:
    with Decoder(workers=1, patience=0.1, cpu_seconds=300, seconds=300) as decoder, ThreadPoolExecutor() as pool:
        pool.submit(decoder.fit, endless, side=64, patch=8)
        until(lambda: bool(decoder._busy))
        with pytest.raises(ImageError, match=r"Too many .* Try again in a few seconds\.$"):
            decoder.fit(EXAMPLES[0], side=64, patch=8)
        assert not decoder._waiting
        decoder.close()


def test_first_come_first_served() -> None:
    served: list[str] = []

    class Watched(Decoder):
        def _ready(self) -> Process:
            served.append(threading.current_thread().name)
            return super()._ready()

    with Watched(workers=1, patience=300, seconds=300) as decoder:
        decoder.fit(EXAMPLES[0], side=64, patch=8)
        (pid,) = pids(decoder)
        os.kill(pid, signal.SIGSTOP)
        threads = []
        for number, path in enumerate(EXAMPLES[:6]):
            work = partial(decoder.fit, path, side=64, patch=8)
            threads.append(threading.Thread(target=work, name=str(number)))
            threads[-1].start()
            until(partial(_has, decoder, number + 1))
        os.kill(pid, signal.SIGCONT)
        for thread in threads:
            thread.join()
    assert served == [threading.current_thread().name, *"012345"]


def _has(decoder: Decoder, pictures: int) -> bool:
    return len(decoder._busy) + len(decoder._waiting) == pictures


def test_many_threads_get_their_own_picture(decoder: Decoder) -> None:
    names = ["noise.png", "gray.jpg", "photo.bmp", "rgba_transparent.png", "truncated.png", "cmyk.jpg"] * 8
    random.Random(1).shuffle(names)
    want = {
        name: images.fit(images.read_image(DATA / name), side=64, patch=8)[0].tobytes()
        for name in set(names)
        if name != "truncated.png"
    }

    def work(name: str) -> bool:
        try:
            return decoder.fit(DATA / name, side=64, patch=8).picture.tobytes() == want[name]
        except ImageError:
            return name == "truncated.png"

    with ThreadPoolExecutor(24) as pool:
        assert all(pool.map(work, names))
    assert len(pids(decoder)) <= 5


def test_a_killed_process_is_replaced(endless: Path) -> None:
    with Decoder(cpu_seconds=300, seconds=300) as decoder, ThreadPoolExecutor() as pool:
        future = pool.submit(decoder.fit, endless, side=64, patch=8)
        until(lambda: bool(decoder._busy))
        for pid in pids(decoder):
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(ImageError, match=r"ended from outside. Try again\.$"):
            future.result()
        for pid in pids(decoder):  # those that wait for work
            os.kill(pid, signal.SIGKILL)
        until(lambda: all(is_gone(pid) for pid in pids(decoder)))
        assert decoder.fit(EXAMPLES[0], side=64, patch=8).frame.grid == (8, 8)


@pytest.mark.parametrize("status", [signal.SIGSEGV, signal.SIGABRT])
def test_a_crash_is_told(endless: Path, status: signal.Signals) -> None:
    with Decoder(cpu_seconds=300, seconds=300, workers=1) as decoder, ThreadPoolExecutor() as pool:
        future = pool.submit(decoder.fit, endless, side=64, patch=8)
        until(lambda: bool(decoder._busy))
        os.kill(pids(decoder)[0], status)
        with pytest.raises(ImageError, match=r"damaged and stopped its decoder.*\.$"):
            future.result()


def test_closing_leaves_nothing() -> None:
    decoder = Decoder()
    assert pids(decoder) == []  # none before the first picture
    decoder.fit(EXAMPLES[0], side=64, patch=8)
    running = pids(decoder)
    assert len(running) == 2  # one stands ready
    decoder.close()
    decoder.close()
    assert all(map(is_gone, running))
    with pytest.raises(ImageError, match="being stopped"):
        decoder.fit(EXAMPLES[0], side=64, patch=8)


@pytest.mark.parametrize("ending", ["return", "forgotten", "busy"])
def test_the_processes_end_with_the_program(ending: str, endless: Path) -> None:
    """When it ends without closing, and when it is killed, in the middle of a picture too."""
    program = (
        "import json, sys, threading, time\n"
        "from dsp_viz.decoding import Decoder\n"
        "decoder = Decoder(cpu_seconds=300, seconds=300)\n"
        "decoder.fit(sys.argv[1], side=64, patch=8)\n"
        "if sys.argv[3] == 'busy':\n"
        "    threading.Thread(target=decoder.fit, args=[sys.argv[2]], kwargs={'side': 64, 'patch': 8}).start()\n"
        "    while not decoder._busy: time.sleep(0.01)\n"
        "print(json.dumps([w._process.pid for w in [*decoder._busy, *decoder._idle]]), flush=True)\n"
        "if sys.argv[3] != 'return': time.sleep(300)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(EXAMPLES[0]), str(endless), ending], stdout=subprocess.PIPE, cwd=ROOT
    ) as run:
        assert run.stdout is not None
        running = json.loads(run.stdout.readline())
        assert len(running) >= 2
        if ending != "return":
            assert not any(map(is_gone, running))
            run.kill()
        run.wait()
    until(lambda: all(map(is_gone, running)))


def test_a_process_whose_caller_ends_before_the_answer_ends_without_a_word() -> None:
    setup = {"path": [entry for entry in sys.path if os.path.isabs(entry)], "cpu_seconds": 60, "memory": 2**32}
    worker = [sys.executable, "-I", "-S", str(ROOT / "dsp_viz" / "decode_worker.py"), json.dumps(setup)]
    request = {"path": str(EXAMPLES[0]), "stretch": False, "longest": 20}
    pipe = subprocess.PIPE
    with subprocess.Popen(worker, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        process.stdin.write(json.dumps(request).encode() + b"\n")
        process.stdin.flush()
        assert process.stderr.read() == b""
    assert process.returncode == 0


@pytest.mark.parametrize("name", hostile.REFUSED)
def test_hostile_files_are_refused(decoder: Decoder, name: str, tmp_path: Path) -> None:
    make, told = hostile.REFUSED[name]
    (tmp_path / "bad").write_bytes(make())
    with pytest.raises(ImageError) as caught:
        decoder.fit(tmp_path / "bad", side=64, patch=8)
    assert told in str(caught.value)


def test_a_dark_picture_is_told_and_stretched(decoder: Decoder, tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 4096, (37, 53), dtype=np.uint16)
    values[0, 0] = 4095
    Image.fromarray(values).save(tmp_path / "dark.png")
    got = decoder.fit(tmp_path / "dark.png", side=32, patch=8)
    assert "lowest 12, 0 to 4,095 of 65,535" in got.note
    assert np.asarray(got.picture).max() <= 32
    stretched = decoder.fit(tmp_path / "dark.png", side=32, patch=8, stretch=True)
    want, _ = images.fit(images.read_image(tmp_path / "dark.png", stretch=True), side=32, patch=8)
    assert (stretched.picture.tobytes(), stretched.note) == (want.tobytes(), "")
    assert "lowest 12" in decoder.preview(tmp_path / "dark.png", 20).note


def test_25_megapixels_are_within_the_limits(tmp_path: Path) -> None:
    """Float TIFF and WebP with transparency too, which need the most memory."""
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 256, (40, 62, 4), dtype=np.uint8))
    large = small.resize((6200, 4000), Image.Resampling.NEAREST)
    floats = Image.new("F", large.size, 0.5)
    kinds = {
        "photo.jpg": (large.convert("RGB"), {"progressive": True, "subsampling": 0}),
        "photo.png": (large, {"compress_level": 1}),
        "photo.webp": (large, {"method": 0, "quality": 10}),
        "photo.tif": (floats, {"compression": "tiff_adobe_deflate"}),
    }
    with Decoder(cpu_seconds=300, seconds=300) as decoder:
        for name, (picture, options) in kinds.items():
            picture.save(tmp_path / name, **options)
            assert decoder.fit(tmp_path / name, side=64, patch=8).frame.size == (6200, 4000)


def test_an_answer_is_not_taken_on_trust() -> None:
    """A decoder that hostile bytes took over writes what it likes."""
    for line in (
        b"",
        b"[" * 60_000,
        b"[]",
        b"1",
        b'{"size": [0, 5], "note": "", "slow": false}',
        b'{"size": [9e9, 9e9], "note": "", "slow": false}',
        b'{"size": [1e999, 1], "note": "", "slow": false}',
        b'{"size": "12 5", "note": "", "slow": false}',
        b'{"size": [-5, -5], "note": "", "slow": false}',
    ):
        with pytest.raises(EOFError):
            _header(line)


def test_a_spare_process_that_cannot_start_costs_no_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the system has no more files to open: the picture that has a process is decoded all the same."""
    with Decoder(workers=2) as decoder:
        started: list[Process] = []

        def start(limits: dict) -> Process:
            if started:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            started.append(Process(limits))
            return started[0]

        monkeypatch.setattr("dsp_viz.decoding.Process", start)
        decoder.preview(EXAMPLES[0], 64)
        decoder.preview(EXAMPLES[0], 64)
        assert not decoder._busy
        decoder._idle.pop().end()
        with pytest.raises(ImageError, match=r"No process can be started .*\(Too many open files\)"):
            decoder.preview(EXAMPLES[0], 64)
        monkeypatch.undo()
        assert decoder.preview(EXAMPLES[0], 64).picture.width == 64
        assert not decoder._busy
