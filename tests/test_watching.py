"""What the app tells whoever runs it: health, metrics; accounts, limits, and the folder of uploads."""

import json
import os
import re
import socket
import time
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from asking import call, send, upload
from conftest import EXAMPLES, SMALL, serving
from gradio_client import Client, handle_file

import dsp_viz
from dsp_viz import ui
from dsp_viz.store import Store
from dsp_viz.ui.limits import PUBLIC, Limits
from dsp_viz.ui.logins import logins
from dsp_viz.ui.uploads import Room, sweep
from dsp_viz.ui.waiting import told
from dsp_viz.ui.watching import Metrics


def test_health_says_version_and_models(address: str) -> None:
    status, headers, text = send(address, "/healthz")
    assert (status, headers["Cache-Control"]) == (200, "no-store")
    assert json.loads(text) == {"version": dsp_viz.__version__, "models": [*SMALL], "waiting": 0}


def test_metrics_count_what_happens(model: dsp_viz.Subject) -> None:
    store = Store[None](max_bytes=100)
    store.put("x", {"0": b"12345"}, None)
    metrics = Metrics(lambda: 7, store)
    port = metrics.serve("127.0.0.1", 0)
    with serving([model], watcher=metrics) as address:
        assert '"top"' in call(address, {"path": upload(address, EXAMPLES[0])}, "dsp_tiny", [])
        assert "event: error" in call(address, {"path": "/nowhere"}, "dsp_tiny", [])
        assert send(address, "/openapi.json")[0] == 404
    text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30).read().decode()
    for line in (
        'dsp_viz_answers_total{good="true",what="analyse"} 1.0',
        'dsp_viz_answers_total{good="false",what="analyse"} 1.0',
        'dsp_viz_seconds_count{what="analyse"} 2.0',
        'dsp_viz_refusals_total{why="closed"} 1.0',
        "dsp_viz_waiting 7.0",
        "dsp_viz_store_bytes 5.0",
    ):
        assert line in text.splitlines()
    with pytest.raises(ValueError, match="cannot listen there"):
        metrics.serve("127.0.0.1", port)


def test_who_has_no_account_gets_nothing(model: dsp_viz.Subject) -> None:
    with serving([model], auth=[("ann", "secret")]) as address:
        assert send(address, "/config")[0] == 401
        assert send(address, "/gradio_api/upload", b"x")[0] == 401
        assert send(address, "/gradio_api/queue/join", {"data": [], "fn_index": 0, "session_hash": "x"})[0] == 401
        assert '"auth_required":true' in send(address, "/")[2].replace(" ", "")
        assert send(address, "/healthz")[0] == 200
        with pytest.raises(Exception, match="Could not login"):
            Client(address, verbose=False, auth=("ann", "wrong"))
        client = Client(address, verbose=False, auth=("ann", "secret"))
        assert client.predict(handle_file(EXAMPLES[0]), api_name="/analyse")["top"]
    with serving([model]) as address:
        assert send(address, "/login", {})[0] == 404


def test_accounts_are_read_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "accounts"
    file.write_text("# who\nann:a:b\n\nbob:c\n")
    assert logins(str(file)) == [("ann", "a:b"), ("bob", "c")]
    assert logins(None) == []
    monkeypatch.setenv("DSP_VIZ_AUTH", "eve:x")
    assert logins(None) == [("eve", "x")]
    file.write_text("hunter2")
    with pytest.raises(ValueError, match="line 1 is not USER:PASSWORD") as error:
        logins(str(file))
    assert "hunter2" not in str(error.value)
    for text in ("", "# none"):
        file.write_text(text)
        with pytest.raises(ValueError, match="no line USER:PASSWORD"):
            logins(str(file))
    with pytest.raises(ValueError, match="No such file"):
        logins(str(tmp_path / "none"))


def test_a_public_address_takes_less(model: dsp_viz.Subject) -> None:
    with serving([model], limits=PUBLIC) as address:
        with socket.create_connection(("127.0.0.1", urlsplit(address).port)) as connection:
            length = PUBLIC.upload + 2**20 + 1
            head = f"POST /gradio_api/upload HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"
            connection.sendall(head.encode())
            assert b" 413 " in connection.recv(4096)
        assert '"top"' in call(address, {"path": upload(address, EXAMPLES[0])}, "dsp_tiny", [])


def test_one_visitor_does_not_fill_the_queue() -> None:
    model = dsp_viz.load("dsp_tiny")
    model.network.register_forward_pre_hook(lambda *_: time.sleep(0.2))  # slower than the questions come
    with serving([model], limits=Limits(each=3)) as address:
        path = upload(address, EXAMPLES[0])
        changes = [{"kind": "set_coefficient", "value": 0.5}]
        answers = [
            send(
                address,
                "/gradio_api/call/analyse",
                {"data": [{"path": path}, "dsp_tiny", changes * i], "session_hash": "me"},
            )
            for i in range(40)
        ]
        assert 3 <= [status for status, *_ in answers].count(200) < 40
        assert any("requests of yours wait already" in text for *_, text in answers)
        assert '"top"' in call(address, {"path": path}, "dsp_tiny", [])


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.1, "about 5 seconds"),
        (5.1, "about 10 seconds"),
        (55, "about 55 seconds"),
        (56, "about a minute"),
        (61, "about 2 minutes"),
    ],
)
def test_times_to_wait_are_rounded_up(seconds: float, words: str) -> None:
    assert told(seconds) == words


def put(folder: Path, name: str, size: int, age: float) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_uploads_of_earlier_runs_go_too(tmp_path: Path) -> None:
    # Gradio calls the folder of a file by its SHA-256.
    a, b, c = (letter * 64 for letter in "abc")
    old, new = put(tmp_path, f"{a}/old.png", 3, 3700), put(tmp_path, f"{b}/new.png", 3, 10)
    ahead = put(tmp_path, f"{c}/ahead.png", 3, -86400)  # the clock was set back
    others = [put(tmp_path, name, 3, 9999) for name in ("not-ours", "photos/2019/cat.jpg", f"x{a}/y", "tmpdir12/z")]
    shown = put(tmp_path, "dsp-viz-ab_12345/shown.png", 3, 3700)
    outside = put(tmp_path.parent, "outside.png", 3, 9999)
    (tmp_path / ("d" * 64)).symlink_to(tmp_path / "photos")
    (new.parent / "link").symlink_to(outside)
    sweep(tmp_path, 3600)
    assert not old.exists()
    assert not shown.exists()
    assert new.exists()
    assert all(path.exists() for path in others)
    assert outside.exists()
    assert ahead.stat().st_mtime <= time.time() + 1
    os.utime(ahead.parent, (0, 0))
    os.utime(ahead, (0, 0))
    sweep(tmp_path, 3600)
    assert not ahead.exists()


def test_uploads_have_a_quota(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    put(tmp_path, f"{'a' * 64}/x.png", 600, 0)
    put(tmp_path, "others/y.png", 600, 0)
    room = Room(1000, 0)
    assert room.has(300)
    assert room.has(100)
    assert not room.has(1)
    assert not Room(1000, 2**60).has(1)  # no disk is as large
    assert Room(1000, 0).has(400)


def test_a_full_folder_is_told(model: dsp_viz.Subject) -> None:
    with serving([model], limits=Limits(uploads=1000)) as address:
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        status, _, text = send(address, "/gradio_api/upload", bytes(2000), **headers)
        assert (status, "no room for more pictures" in text) == (507, True)
        assert re.search("version", send(address, "/healthz")[2])


def test_what_earlier_runs_left_goes_at_the_start(
    model: dsp_viz.Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    left, new = put(tmp_path, f"{'a' * 64}/left.png", 3, 3700), put(tmp_path, f"{'b' * 64}/new.png", 3, 10)
    with serving([model]):
        until = time.monotonic() + 60
        while left.exists() and time.monotonic() < until:
            time.sleep(0.05)
    assert not left.exists()
    assert new.exists()


def test_examples_are_served_from_where_they_lie(
    model: dsp_viz.Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Copies among the uploads would be as old as they are, so go at once where another process shares the folder."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    beside = tmp_path / "photos" / "beside.jpg"
    beside.parent.mkdir()
    beside.write_bytes(EXAMPLES[1].read_bytes())
    offered = beside.with_name("linked.jpg")  # as a cache of downloads has it
    offered.symlink_to(EXAMPLES[0])
    store = Store[Any](max_bytes=2**20)
    with ui.serving(ui.create_app(ui.build([model], [offered], store), store)) as address:
        config = send(address, "/config")[2]
        assert set(re.findall(r'file=([^"]+)"', config)) == {str(offered)}
        with urllib.request.urlopen(f"{address}gradio_api/file={offered}", timeout=30) as answer:
            assert answer.read() == EXAMPLES[0].read_bytes()
        assert send(address, f"/gradio_api/file={beside}")[0] == 403
        told = [call(address, {"path": str(path)}, model.name, []) for path in (offered, beside)]
        assert ['"top"' in text for text in told] == [True, False]
    assert not list((tmp_path / "uploads").rglob("linked.jpg"))
