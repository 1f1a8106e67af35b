"""What strangers can send to the app, and what it answers."""

import ast
import base64
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import gradio as gr
import pytest
from conftest import EXAMPLES, serving
from fastapi import FastAPI
from gradio_client import Client, handle_file
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from viewing import READY, ready

import dsp_viz
from dsp_viz import ui
from dsp_viz.interventions import from_json
from dsp_viz.store import Store
from dsp_viz.ui.guard import HEADERS, MAX_BODY, MAX_UPLOAD
from dsp_viz.ui.results import Results, Source
from dsp_viz.ui.server import sweep

ROOT = Path(__file__).parent.parent


def send(address: str, path: str, body: Any = None, method: str | None = None, **headers: str) -> tuple[int, Any, str]:
    """Status, headers and text of the answer to a request; a body that is no text goes as JSON."""
    data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    request = urllib.request.Request(address.rstrip("/") + path, data, {"Content-Type": "application/json"} | headers)
    request.method = method or ("GET" if data is None else "POST")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.headers, answer.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read().decode(errors="replace")


def call(address: str, *data: Any) -> str:
    """What the API's one function answers, as the text of its event stream."""
    status, _, text = send(address, "/gradio_api/call/analyse", {"data": data})
    assert status == 200
    return send(address, f"/gradio_api/call/analyse/{json.loads(text)['event_id']}")[2]


def as_page(address: str, name: str, file: dict[str, Any]) -> str:
    """What one of the page's own functions answers when a picture is put into the upload field."""
    config = json.loads(send(address, "/config")[2])
    (field,) = [c["id"] for c in config["components"] if c["props"].get("elem_id") == "picture"]
    (event,) = [d for d in config["dependencies"] if [field, "input"] in d["targets"]]
    props = {c["id"]: c["props"] for c in config["components"]}
    values = [file if i == field else props[i].get("value") for i in event["inputs"]]
    join = {"data": values, "fn_index": event["id"], "session_hash": name, "trigger_id": field}
    assert send(address, "/gradio_api/queue/join", join)[0] == 200
    with urllib.request.urlopen(f"{address}gradio_api/queue/data?session_hash={name}", timeout=60) as stream:
        for line in stream:
            if b"process_completed" in line:
                return line.decode()
    raise AssertionError("the stream ended without an answer")


@pytest.fixture
def private(tmp_path: Path) -> Path:
    """A picture that lies on the server and was never uploaded."""
    path = tmp_path / "private.png"
    Image.new("RGB", (64, 64), "red").save(path)
    return path


def test_only_uploads_are_read(address: str, private: Path, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    traversal = f"{os.environ.get('GRADIO_TEMP_DIR', '/tmp/gradio')}/../../..{private}"
    paths = [str(private), "/dev/zero", str(fifo), "/etc/passwd", traversal, "/nonexistent", "a\0b", "", "x" * 300_000]
    assert '"top"' in call(address, {"path": _upload(address, private)}, "dsp_tiny", [])
    for i, path in enumerate(paths):
        for meta in ({}, {"meta": {"_type": "gradio.FileData"}}):
            answer = call(address, {"path": path, **meta}, "dsp_tiny", [])
            assert "event: error" in answer, path
            assert len(answer) < 1000
            told = as_page(address, f"session{i}{len(meta)}", {"path": path, **meta})
            assert '"success":false' in told.replace(" ", ""), path
            assert len(told) < 4000


def _upload(address: str, path: Path) -> str:
    body = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n' + path.read_bytes()
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    return json.loads(send(address, "/gradio_api/upload", body + b"\r\n--x--\r\n", **headers)[2])[0]


def test_a_link_out_of_the_upload_folder_is_not_followed(address: str, private: Path) -> None:
    uploaded = Path(_upload(address, private))
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
    picture = {"path": _upload(address, EXAMPLES[0])}
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


def test_a_link_gives_away_what_the_model_saw(page: Page, browser: Browser, tmp_path: Path) -> None:
    """The file that was uploaded, with its metadata and what was cut off, stays the sender's."""
    upload = tmp_path / "secret.jpg"
    with Image.open(EXAMPLES[1]) as picture:
        exif = Image.Exif()
        exif[0x010E] = "where I live"
        picture.save(upload, exif=exif)
    ready(page)
    page.locator("#picture").get_by_role("button", name="Remove Image").click()
    page.locator("#picture input[type=file]").set_input_files(upload)
    page.wait_for_function("() => document.querySelector('#source textarea').value.includes('secret')", timeout=READY)
    ready(page)
    link = page.evaluate("[...document.querySelectorAll('#view, #view *')].map(e => e.dspView).find(Boolean).link()")
    sent = json.loads(page.locator("#source textarea").input_value())["path"]
    stranger = browser.new_context()
    bodies: list[str] = []
    other = stranger.new_page()
    other.on("response", lambda r: bodies.append(r.url))
    other.goto(link)
    ready(other)
    expect(other.locator("#picture img")).to_be_visible(timeout=READY)
    got = json.loads(other.locator("#source textarea").input_value())["path"]
    assert got != sent
    with Image.open(got) as seen:
        assert seen.size == (128, 128)
        assert not seen.getexif()
    assert not any(Path(sent).parent.name in url for url in bodies)
    assert Path(sent).parent.name not in other.content()
    stranger.close()


def test_nothing_of_a_visitor_is_remembered_so_nothing_is_lost(browser: Browser, model: dsp_viz.LoadedModel) -> None:
    """The store keeps one result only, and dozens of strangers came by; the page goes on as if nothing had been."""
    store = Store(max_bytes=1)
    models = [model, dsp_viz.load("softmax_tiny")]
    with ui.serving(ui.create_app(ui.build(models, EXAMPLES, store), store)) as address:
        page = browser.new_page()
        page.goto(address)
        ready(page)
        client = Client(address, verbose=False)
        for i in range(40):
            client.predict(handle_file(EXAMPLES[i % 3]), api_name="/analyse")
        for i in range(3):
            other = browser.new_page()
            other.goto(f"{address}#picture={EXAMPLES[i + 1].stem}")
            ready(other)
            other.close()
        page.get_by_role("button", name="next block").click()
        expect(page.locator(".dv-read")).to_contain_text("block 4", timeout=READY)
        page.get_by_role("tab", name="What if").click()
        page.locator("#rank").click()
        expect(page.locator(".dm button")).to_have_count(6 * 9, timeout=2 * READY)
        page.get_by_role("tab", name="Coefficients").click()
        expect(page.locator("#dynamic .js-plotly-plot")).to_be_visible(timeout=READY)
        page.close()


def test_a_picture_that_is_gone_is_told(page: Page, private: Path) -> None:
    ready(page)
    page.locator("#picture").get_by_role("button", name="Remove Image").click()
    page.locator("#picture input[type=file]").set_input_files(private)
    page.wait_for_function("() => document.querySelector('#source textarea').value.includes('private')", timeout=READY)
    Path(json.loads(page.locator("#source textarea").input_value())["path"]).unlink()
    page.get_by_role("radio", name="256 px").check()
    expect(page.get_by_text("This picture is no longer kept")).to_be_visible(timeout=READY)
    page.locator("#examples button").nth(1).click()  # one click goes on
    expect(page.locator("#prediction .facts")).to_contain_text("32×32 tokens", timeout=READY)


def test_what_uploads_leave_goes_once_it_is_old(tmp_path: Path) -> None:
    for name in ("empty", "full", "new"):
        (tmp_path / name).mkdir()
    (tmp_path / "full" / "file").touch()
    for name in ("tmpold", "tmpnew", "other"):
        (tmp_path / name).touch()
    for name in ("empty", "full", "tmpold", "other"):
        os.utime(tmp_path / name, (0, 0))
    sweep(tmp_path, 3600)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full", "new", "other", "tmpnew"]


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Any]:
    """Starts ``app.py``; what it leaves in the temporary folder lies in ``tmp_path``."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **environment: str) -> tuple[subprocess.Popen[str], str]:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "app.py"), "--model", "softmax_tiny", *arguments],
            env=os.environ | {"TMPDIR": str(tmp_path)} | environment,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        for line in process.stdout:
            if found := re.search(r"http://\S+", line):
                return process, found[0]
        raise AssertionError("the program ended")

    yield start
    for process in started:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def test_sigterm_ends_cleanly_and_leaves_nothing(program: Any, tmp_path: Path) -> None:
    process, address = program("--port", "0")
    _upload(address, EXAMPLES[0])
    assert list(tmp_path.rglob("a.png"))
    stream = urllib.request.urlopen(f"{address}/gradio_api/heartbeat/x", timeout=30)  # as an open page keeps one
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    stream.close()
    assert not list(tmp_path.rglob("a.png"))
    assert not list(tmp_path.glob("dsp-viz-*"))


def test_gradio_s_own_variables_count_where_no_flag_is_given(program: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    _, address = program(GRADIO_SERVER_NAME="0.0.0.0", GRADIO_SERVER_PORT=str(port), GRADIO_ROOT_PATH="/dsp")
    assert address == f"http://0.0.0.0:{port}"
    config = json.loads(send(f"http://127.0.0.1:{port}", "/config")[2])
    assert urlsplit(config["root"]).path == "/dsp"


def test_a_taken_port_is_noticed_before_models_load() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, str(ROOT / "app.py"), "--model", "no model", "--port", port]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert f"--port {port}: cannot listen there" in done.stderr
    assert "no model" not in done.stderr.split("error:")[1]


def shows_maps(browser: Browser, address: str) -> None:
    page = browser.new_page()
    faults: list[str] = []
    page.on("response", lambda r: faults.append(f"{r.status} {r.url}") if r.status >= 400 else None)
    page.goto(address)
    ready(page)
    page.get_by_role("button", name="next block").click()
    expect(page.locator(".dv-read")).to_contain_text("block 4", timeout=READY)
    page.close()
    assert faults == []


@pytest.mark.parametrize("ending", ["", "/"])
def test_the_app_runs_under_a_path_of_another(browser: Browser, model: dsp_viz.LoadedModel, ending: str) -> None:
    store = Store(max_bytes=2**26)
    app = FastAPI()
    app.get("/")(lambda: "somebody else's page")
    ui.mount(app, ui.build([model], EXAMPLES, store), store, path="/dsp")
    with ui.serving(app) as address:
        assert "somebody else" in send(address, "/")[2]
        shows_maps(browser, f"{address}dsp{ending}")
        assert send(address, "/dsp/openapi.json")[0] == 404


def test_the_app_runs_behind_a_proxy_that_takes_a_path_away(browser: Browser, model: dsp_viz.LoadedModel) -> None:
    with serving([model], root_path="/dsp") as address, proxied(urlsplit(address).port or 0, "/dsp") as outside:
        shows_maps(browser, f"{outside}/dsp/")


class proxied:
    """A proxy on this machine that offers a port under a path; one connection a request."""

    def __init__(self, port: int, path: str) -> None:
        self.port, self.path = port, path.encode()
        self.listening = socket.create_server(("127.0.0.1", 0))

    def __enter__(self) -> str:
        threading.Thread(target=self._accept, daemon=True).start()
        return f"http://127.0.0.1:{self.listening.getsockname()[1]}"

    def __exit__(self, *error: object) -> None:
        self.listening.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listening.accept()
            except OSError:
                return
            threading.Thread(target=self._forward, args=(client,), daemon=True).start()

    def _forward(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self.port)) as server:
            head = b""
            while b"\r\n\r\n" not in head:
                if not (more := client.recv(2**16)):
                    return
                head += more
            first, rest = head.split(b"\r\n", 1)
            rest = re.sub(rb"(?i)connection: [^\r]*\r\n", b"", rest)
            server.sendall(first.replace(b" " + self.path, b" ", 1) + b"\r\nConnection: close\r\n" + rest)
            threading.Thread(target=_pump, args=(client, server), daemon=True).start()
            _pump(server, client)


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(2**16):
            target.sendall(data)
    except OSError:
        pass


def test_a_language_model_can_call_it(model: dsp_viz.LoadedModel) -> None:
    with serving([model], mcp=True) as address, ThreadPoolExecutor(1) as another:  # this thread runs the browser's loop
        answer = another.submit(anyio.run, _called, f"{address}gradio_api/mcp/", EXAMPLES[0]).result()
    changes = from_json('[{"kind": "set_coefficient", "value": 0, "polarity": "same"}]')
    direct = dsp_viz.analyse(model, EXAMPLES[0], interventions=changes)
    assert [(t["class"], pytest.approx(t["probability"], abs=1e-6)) for t in answer["top"]] == direct.top(5)


async def _called(address: str, picture: Path) -> dict[str, Any]:
    sent = "data:image/jpeg;base64," + base64.b64encode(picture.read_bytes()).decode()
    async with streamable_http_client(address) as (read, write, *_), ClientSession(read, write) as session:
        await session.initialize()
        (tool,) = (await session.list_tools()).tools
        assert tool.inputSchema["properties"]["interventions"]["type"] == "array"
        changes = [{"kind": "set_coefficient", "value": 0, "polarity": "same"}]
        result = await session.call_tool(tool.name, {"picture": sent, "model": "dsp_tiny", "interventions": changes})
        assert not result.isError, result.content
        return ast.literal_eval(result.content[0].text)  # Gradio sends text as Python writes it


def test_a_slow_picture_keeps_nobody_waiting(address: str, tmp_path: Path) -> None:
    """While one is decoded that takes seconds, others are answered."""
    slow = tmp_path / "slow.jpg"
    Image.effect_noise((5000, 5000), 90).convert("RGB").save(slow, progressive=True)
    assert slow.stat().st_size < MAX_UPLOAD
    uploaded = _upload(address, slow)
    ends: dict[str, float] = {}

    def ask(name: str, path: str) -> None:
        assert '"top"' in call(address, {"path": path}, "dsp_tiny", [])
        ends[name] = time.monotonic()

    threads = [threading.Thread(target=ask, args=(f"slow{i}", uploaded)) for i in range(3)]
    for thread in threads:
        thread.start()
    ask("other", _upload(address, EXAMPLES[2]))
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
    told = as_page(address, "token", {"path": _upload(address, EXAMPLES[3]), "meta": {"_type": "gradio.FileData"}})
    found = re.search(r'"token": ?"([^"]+)"', told)
    assert found, told[:300]
    return found[1]


def test_long_computations_do_not_fill_the_queue(address: str) -> None:
    config = json.loads(send(address, "/config")[2])
    (button,) = [c["id"] for c in config["components"] if c["props"].get("elem_id") == "judge"]
    (event,) = [d["id"] for d in config["dependencies"] if [button, "click"] in d["targets"]]
    source = Source(str(EXAMPLES[0]), 128, False, "dsp_tiny").text()
    answers = [
        send(address, "/gradio_api/queue/join", {"data": [source], "fn_index": event, "session_hash": f"j{i}"})
        for i in range(30)
    ]
    assert 8 <= [status for status, _, _ in answers].count(200) <= 12
    assert "Try again in a minute" in answers[-1][2]
    assert '"top"' in call(address, {"path": _upload(address, EXAMPLES[1])}, "dsp_tiny", [])
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
def test_a_forged_source_is_refused(model: dsp_viz.LoadedModel, change: dict[str, Any]) -> None:
    results = Results([model], EXAMPLES, Store(max_bytes=2**20))
    good = json.loads(Source(str(EXAMPLES[0]), 128, False, model.name).text())
    assert results.asked(json.dumps(good)) == Source(str(EXAMPLES[0]), 128, False, model.name)
    with pytest.raises(gr.Error, match="Load the page again"):
        results.asked(json.dumps(good | change))
