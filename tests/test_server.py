"""What strangers can send to the app, and what it answers."""

import http.client
import json
import os
import re
import socket
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gradio as gr
import pytest
from asking import as_page, call, send, upload
from conftest import EXAMPLES
from PIL import Image

import dsp_viz
from dsp_viz.store import Store
from dsp_viz.ui.guard import HEADERS, MAX_BODY
from dsp_viz.ui.kept import Source
from dsp_viz.ui.limits import USUAL
from dsp_viz.ui.results import Results
from dsp_viz.ui.tabs.stepping import AT_ONCE


def test_only_uploads_are_read(address: str, private: Path, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    traversal = f"{os.environ.get('GRADIO_TEMP_DIR', '/tmp/gradio')}/../../..{private}"
    paths = [str(private), "/dev/zero", str(fifo), "/etc/passwd", traversal, "/nonexistent", "a\0b", "", "x" * 300_000]
    assert '"top"' in call(address, {"path": upload(address, private)}, "dsp_tiny", [])
    for i, path in enumerate(paths):
        for meta in ({}, {"meta": {"_type": "gradio.FileData"}}):
            answer = call(address, {"path": path, **meta}, "dsp_tiny", [])
            assert "event: error" in answer, path
            assert len(answer) < 1000
            told = as_page(address, f"session{i}{len(meta)}", {"path": path, **meta})
            assert '"success":false' in told.replace(" ", ""), path
            assert len(told) < 4000


def test_a_link_out_of_the_upload_folder_is_not_followed(address: str, private: Path) -> None:
    uploaded = Path(upload(address, private))
    link = uploaded.with_name("link.png")
    link.unlink(missing_ok=True)
    link.symlink_to(private)
    assert "event: error" in call(address, {"path": str(link)}, "dsp_tiny", [])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/openapi.json"),
        ("GET", "/docs"),
        ("POST", "/login"),
        ("GET", "/logout"),
        ("GET", "/gradio_api/deep_link?session_hash=x"),
        ("GET", "/gradio_api/openapi.json"),
        ("GET", "/gradio_api/dev/reload"),
        ("POST", "/gradio_api/process_recording"),
        ("POST", "/gradio_api/run/analyse"),
        ("POST", "/gradio_api/api/analyse"),
        ("POST", "/gradio_api/component_server"),
        ("GET", "/gradio_api/proxy=http://127.0.0.1/"),
        ("GET", "/gradio_api/vibe-code/"),
        ("GET", "/gradio_api/token"),
        ("GET", "/gradio_api/monitoring"),
        ("GET", "/monitoring"),
        ("GET", "/gradio_api/profiling/summary"),
        ("PUT", "/"),
        ("GET", "/config/../openapi.json"),
    ],
)
def test_routes_that_nobody_needs_are_closed(address: str, method: str, path: str) -> None:
    assert send(address, path, b"{}" if method == "POST" else None, method)[0] == 404


def test_every_answer_carries_the_headers(address: str) -> None:
    for path in ("/", "/config", "/theme.css", "/results/x/0", "/openapi.json", "/gradio_api/info"):
        _, headers, _ = send(address, path)
        assert {name: headers[name] for name in HEADERS} == HEADERS, path


@pytest.mark.parametrize("host", [None, "example.org"])
def test_scripts_of_other_sites_are_refused(address: str, host: str | None) -> None:
    named = {"Host": host} if host else {}
    evil = {"Origin": "https://evil.example", **named}
    for path, body in (("/config", None), ("/gradio_api/queue/join", {}), ("/results/x/0", None)):
        for extra in ({}, {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}):
            status, headers, _ = send(address, path, body, **evil, **extra)
            assert status == 403
            assert headers["Access-Control-Allow-Origin"] is None
    preflight = evil | {"Access-Control-Request-Method": "POST"}
    assert (
        send(address, "/gradio_api/queue/join", None, "OPTIONS", **preflight)[1]["Access-Control-Allow-Origin"] is None
    )
    own = {"Origin": f"http://{host or urlsplit(address).netloc}", **named}
    assert send(address, "/config", **own)[0] == 200
    assert send(address, "/", **named, **{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"})[0] == 200


def test_large_bodies_are_refused(address: str) -> None:
    with socket.create_connection(("127.0.0.1", urlsplit(address).port)) as connection:
        head = f"POST /gradio_api/call/analyse HTTP/1.1\r\nHost: x\r\nContent-Length: {MAX_BODY + 1}\r\n\r\n"
        connection.sendall(head.encode())
        assert b" 413 " in connection.recv(4096)
    # Without a stated length: in chunks, until the server has had enough.
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)
    try:
        connection.request(
            "POST",
            "/gradio_api/call/analyse",
            iter([b" " * 2**16] * 64),
            {"Content-Type": "application/json"},
            encode_chunked=True,
        )
        assert connection.getresponse().status >= 400
    except (ConnectionError, http.client.RemoteDisconnected):
        pass  # it hung up, which is as good
    finally:
        connection.close()


def test_errors_do_not_echo_what_was_sent(address: str, caplog: pytest.LogCaptureFixture) -> None:
    picture = {"path": upload(address, EXAMPLES[0])}
    long = "y" * 500_000
    for data in (
        [long],
        [picture, long, []],
        [picture, "dsp_tiny", [{"kind": long}]],
        [picture, "dsp_tiny", [{"kind": "set_coefficient", "value": 0, long: 1}]],
        [picture, "dsp_tiny", long],
        [picture, "dsp_tiny", [{"kind": "set_mixing_weights", "weights": [1.5] * 100_000}]],
        [picture, "dsp_tiny", [{"kind": "restrict", "grid": [16, 16], "tokens": [[16, 0]] * 80_000}]],
    ):
        answer = call(address, *data)
        assert "event: error" in answer
        assert len(answer) < 1500
    assert max((len(record.getMessage()) for record in caplog.records), default=0) < 1500


def test_a_slow_picture_keeps_nobody_waiting(address: str, tmp_path: Path) -> None:
    """While one is decoded that takes seconds, others are answered."""
    slow = tmp_path / "slow.jpg"
    Image.effect_noise((5000, 5000), 90).convert("RGB").save(slow, progressive=True)
    assert slow.stat().st_size < USUAL.upload
    uploaded = upload(address, slow)
    ends: dict[str, float] = {}

    def ask(name: str, path: str) -> None:
        assert '"top"' in call(address, {"path": path}, "dsp_tiny", [])
        ends[name] = time.monotonic()

    threads = [threading.Thread(target=ask, args=(f"slow{i}", uploaded)) for i in range(3)]
    for thread in threads:
        thread.start()
    ask("other", upload(address, EXAMPLES[2]))
    for thread in threads:
        thread.join()
    assert ends["other"] < min(end for name, end in ends.items() if name != "other")


def test_files_to_take_away_keep_nobody_waiting(address: str) -> None:
    """Many ask for them at once: some are refused in words, and what is kept is handed out meanwhile."""
    token = _token(address)
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda: statuses.append(send(address, f"/results/{token}/npz")[0])) for _ in range(24)
    ]
    for thread in threads:
        thread.start()
    assert send(address, f"/results/{token}/0")[0] == 200
    for thread in threads:
        thread.join()
    assert set(statuses) <= {200, 503}
    assert 200 in statuses


def _token(address: str) -> str:
    """Of a result that the page's own function makes."""
    told = as_page(address, "token", {"path": upload(address, EXAMPLES[3]), "meta": {"_type": "gradio.FileData"}})
    found = re.search(r'"token": ?"([^"]+)"', told)
    assert found, told[:300]
    return found[1]


def test_long_computations_do_not_fill_the_queue(address: str) -> None:
    config = json.loads(send(address, "/config")[2])
    (button,) = [c["id"] for c in config["components"] if c["props"].get("elem_id") == "judge"]
    clicks = [d["id"] for d in config["dependencies"] if [button, "click"] in d["targets"]]
    (event,) = [d["id"] for d in config["dependencies"] if d["trigger_after"] in clicks]
    source = Source(str(EXAMPLES[0]), 128, False, "dsp_tiny").text()
    answers = [
        send(address, "/gradio_api/queue/join", {"data": [source, ""], "fn_index": event, "session_hash": f"j{i}"})
        for i in range(30)
    ]
    accepted = [status for status, _, _ in answers].count(200)
    assert AT_ONCE + USUAL.long <= accepted <= AT_ONCE + USUAL.long + 4  # some have been called before the last came
    assert re.search(
        r"\d+ wait for this already. Try again in about (\d+ seconds|a minute|\d+ minutes)", answers[-1][2]
    )
    assert '"top"' in call(address, {"path": upload(address, EXAMPLES[1])}, "dsp_tiny", [])
    for i in range(30):  # nobody waits for them
        send(address, "/gradio_api/cancel", {"session_hash": f"j{i}", "fn_index": event, "event_id": ""})


@pytest.mark.parametrize("address_of_it", ["http://127.0.0.1:9/x.png", "https://example.org/x.png", "ftp://x/y"])
def test_nothing_is_fetched_for_a_stranger(address: str, address_of_it: str) -> None:
    file = {"path": address_of_it, "meta": {"_type": "gradio.FileData"}}
    assert "Nothing is fetched from elsewhere" in call(address, file, "dsp_tiny", [])
    assert "Nothing is fetched from elsewhere" in call(address, None, "dsp_tiny", [{"kind": "x", "y": [file]}])


def test_answers_are_no_wider_than_the_asker(address: str) -> None:
    """Gradio keeps what it made of its address for the first asker."""
    send(address, "/gradio_api/info", **{"X-Forwarded-Host": "evil.example"})
    assert "evil" not in send(address, "/gradio_api/info")[2]


def test_faults_are_short_and_carry_the_headers(address: str) -> None:
    for path, body in (
        ("/gradio_api/call/nope", {"data": []}),
        ("/gradio_api/call/analyse", {"data": "y" * 500_000}),
        ("/gradio_api/queue/join", {"fn_index": -1, "session_hash": "x", "data": []}),
        ("/gradio_api/queue/join", {"fn_index": "y" * 500_000}),
        ("/gradio_api/file=" + "y" * 20_000, None),
    ):
        status, headers, text = send(address, path, body)
        assert 400 <= status <= 500, path
        assert len(text) <= 2000
        assert {name: headers[name] for name in HEADERS} == HEADERS, path


def test_a_form_of_another_site_uploads_nothing(address: str) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Origin": "https://evil.example"}
    assert send(address, "/gradio_api/upload", b"x", **headers)[0] == 403


@pytest.mark.parametrize(
    "change",
    [
        {"side": 128.0},
        {"side": True},
        {"path": None},
        {"path": ["x"]},
        {"model": 1},
        {"side": 129},
        {"whole": 1},
        {"x": 1},
    ],
)
def test_a_forged_source_is_refused(model: dsp_viz.Subject, change: dict[str, Any]) -> None:
    results = Results([model], EXAMPLES, Store(max_bytes=2**20))
    good = json.loads(Source(str(EXAMPLES[0]), 128, False, model.name).text())
    assert results.asked(json.dumps(good)) == Source(str(EXAMPLES[0]), 128, False, model.name)
    with pytest.raises(gr.Error, match="Load the page again"):
        results.asked(json.dumps(good | change))
