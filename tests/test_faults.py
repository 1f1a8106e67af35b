"""What goes wrong around the app: visitors leave, the disk is full, files of models change, memory runs out."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import torch
from asking import call, send, upload
from conftest import EXAMPLES, serving
from torch import Tensor, nn

import dsp_viz
from dsp_viz.ui.passes import Passes
from dsp_viz.ui.turns import Turns

ROOT = Path(__file__).parent.parent


def waiting(address: str) -> int:
    return int(json.loads(send(address, "/healthz")[2])["waiting"])


def test_visitors_who_leave_leave_nothing_behind(model: dsp_viz.Subject) -> None:
    """Their streams are cut off while they wait, in the middle of an upload, and before the answer."""
    with serving([model]) as address:
        path = upload(address, EXAMPLES[0])
        port = urlsplit(address).port
        for i in range(12):
            body = {"data": [{"path": path}, "dsp_tiny", [{"kind": "set_coefficient", "value": i / 20}]]}
            event = json.loads(send(address, "/gradio_api/call/analyse", body)[2])["event_id"]
            with socket.create_connection(("127.0.0.1", port)) as stream:
                stream.sendall(f"GET /gradio_api/call/analyse/{event} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            with socket.create_connection(("127.0.0.1", port)) as half:
                half.sendall(b"POST /gradio_api/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nhalf of it")
        assert '"top"' in call(address, {"path": path}, "dsp_tiny", [])
        until = time.monotonic() + 60
        while waiting(address) and time.monotonic() < until:
            time.sleep(0.05)
        assert waiting(address) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="files are limited by bash's ulimit, in blocks of Linux")
def test_a_full_disk_is_survived(tmp_path: Path) -> None:
    """No file of the app can grow beyond 128 kB, as if the disk ended there."""
    large, small = (tmp_path / name for name in ("large.jpg", "small.jpg"))
    shutil.copy(min(EXAMPLES, key=lambda path: path.stat().st_size), small)
    large.write_bytes(small.read_bytes() + bytes(2**20))
    command = f"ulimit -f 128 && exec {sys.executable} {ROOT / 'app.py'} --model dsp_tiny --port 0"
    inherited = {name: value for name, value in os.environ.items() if name != "GRADIO_TEMP_DIR"}
    process = subprocess.Popen(
        ["bash", "-c", command],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=inherited | {"TMPDIR": str(tmp_path)},
    )
    assert process.stdout is not None
    with process.stdout:
        try:
            while not (line := process.stdout.readline()).startswith("* Running on"):
                assert line
            address = line.split()[-1] + "/"
            head = {"Content-Type": "multipart/form-data; boundary=x"}
            body = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n'
            status, _, text = send(address, "/gradio_api/upload", body + large.read_bytes() + b"\r\n--x--\r\n", **head)
            assert status >= 400
            assert len(text) < 2000
            assert send(address, "/healthz")[0] == 200
            assert '"top"' in call(address, {"path": upload(address, small)}, "dsp_tiny", [])
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


@pytest.mark.parametrize("change", ["gone", "replaced", "cut"])
def test_a_model_stays_as_it_was_loaded(weights: Path, change: str) -> None:
    model = dsp_viz.load(str(weights))
    before = dsp_viz.analyse(model, EXAMPLES[0]).probabilities
    if change == "gone":
        weights.unlink()
    elif change == "replaced":
        weights.write_bytes(os.urandom(weights.stat().st_size))
    else:
        os.truncate(weights, 10)
    assert dsp_viz.analyse(model, EXAMPLES[0]).probabilities == before
    with pytest.raises(ValueError, match=r"\S"):  # in words; not a crash
        dsp_viz.load(str(weights))


class Small(nn.Module):
    """A network on a device whose memory holds so many pictures at a time."""

    def __init__(self, inner: nn.Module, most: int) -> None:
        super().__init__()
        self.inner, self.most, self.tried = inner, most, list[int]()

    def forward(self, x: Tensor) -> Tensor:
        self.tried.append(len(x))
        if len(x) > self.most:
            raise torch.OutOfMemoryError("out of memory")
        return self.inner(x)


@pytest.mark.parametrize("most", [1, 0])
def test_where_memory_runs_out_pictures_run_alone(most: int, softmax_small: dsp_viz.Subject) -> None:
    from test_turns import all_at_once

    network = Small(softmax_small.network, most)
    model = dsp_viz.Subject(network, softmax_small.preparation, classes=softmax_small.classes, name="own", digest="x")
    prepared = [model.prepare(path) for path in EXAMPLES[:3]]
    turns, found = Turns(), dict[int, object]()
    passes = Passes(turns)

    def ask(i: int) -> None:
        try:
            found[i] = passes.analysed(model, prepared[i], (), "").probabilities
        except torch.OutOfMemoryError as error:
            found[i] = error

    all_at_once(turns, *(lambda i=i: ask(i) for i in range(3)))
    assert network.tried == [3, 1, 1, 1]
    for i, one in enumerate(prepared):
        if most:
            assert found[i] == pytest.approx(
                dsp_viz.analysis.analyse_prepared(softmax_small, one).probabilities, abs=1e-6
            )
        else:
            assert isinstance(found[i], torch.OutOfMemoryError)


def test_a_device_without_memory_is_told(model: dsp_viz.Subject) -> None:
    own = dsp_viz.Subject(Small(model.network, 0), model.preparation, classes=model.classes, name="own", digest="x")
    with serving([own]) as address:
        told = call(address, {"path": upload(address, EXAMPLES[0])}, "own", [])
        assert "OutOfMemoryError" in told
        assert "own fails at 128 px" in told
        assert send(address, "/healthz")[0] == 200
