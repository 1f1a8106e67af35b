"""The program, and the app within others: how it starts, where it answers, how it ends."""

import ast
import base64
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import pytest
from asking import send, upload
from conftest import EXAMPLES, serving
from fastapi import FastAPI
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from playwright.sync_api import Browser, expect
from viewing import ready

import dsp_viz
from dsp_viz import ui
from dsp_viz.interventions import from_json
from dsp_viz.store import Store

ROOT = Path(__file__).parent.parent


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Any]:
    """Starts ``app.py``; what it leaves in the temporary folder lies in ``tmp_path``."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **environment: str) -> tuple[subprocess.Popen[str], str]:
        inherited = {name: value for name, value in os.environ.items() if name != "GRADIO_TEMP_DIR"}
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "app.py"), "--model", "dsp_tiny", *arguments],
            env=inherited | {"TMPDIR": str(tmp_path)} | environment,
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


def test_it_starts_by_gradio_s_own_variables_and_ends_by_sigterm_leaving_nothing(program: Any, tmp_path: Path) -> None:
    """Variables count where no flag is given."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    variables = {"GRADIO_SERVER_NAME": "0.0.0.0", "GRADIO_SERVER_PORT": str(port), "GRADIO_ROOT_PATH": "/dsp"}
    process, told = program(**variables)
    assert told == f"http://0.0.0.0:{port}"
    address = f"http://127.0.0.1:{port}"
    config = json.loads(send(address, "/config")[2])
    assert urlsplit(config["root"]).path == "/dsp"
    upload(address, EXAMPLES[0])
    assert list(tmp_path.rglob("a.png"))
    stream = urllib.request.urlopen(f"{address}/gradio_api/heartbeat/x", timeout=30)  # as an open page keeps one
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0  # a page that stays open would keep it for good
    stream.close()
    assert not list(tmp_path.rglob("a.png"))
    assert not list(tmp_path.glob("dsp-viz-*"))


def test_what_lies_in_a_folder_that_was_named_stays_for_others(program: Any, tmp_path: Path) -> None:
    process, address = program("--port", "0", GRADIO_TEMP_DIR=str(tmp_path / "shared"))
    path = Path(upload(address, EXAMPLES[0]))
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert path.is_relative_to(tmp_path / "shared")
    assert path.is_file()


def test_models_that_cannot_be_loaded_are_told_and_the_others_start(tmp_path: Path) -> None:
    names = ["no_such", "dsp_tiny", "hf-hub:bad", "dsp_tiny", "no.module:make"]
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "app.py"), "--port", "0", "--model", *names],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=tmp_path,
    )
    assert process.stdout is not None
    with process.stdout:
        told = []
        while not (line := process.stdout.readline()).startswith("* Running on"):
            assert line, told
            told.append(line)
        process.kill()
        process.wait()
    left = [line for line in told if line.startswith("left out: ")]
    wanted = (
        "no_such: no model",
        "hf-hub:bad: 'hf-hub:bad' is no address",
        "dsp_tiny: another model is called dsp_tiny",
    )
    for line, start in zip(left, (*wanted, "no.module:make: ModuleNotFoundError"), strict=True):
        assert line.startswith(f"left out: {start}")


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
    expect(page.locator(".dv-read")).to_contain_text("block 4")
    page.close()
    assert faults == []


@pytest.mark.parametrize("ending", ["", "/"])
def test_the_app_runs_under_a_path_of_another(browser: Browser, model: dsp_viz.Subject, ending: str) -> None:
    store = Store(max_bytes=2**26)
    app = FastAPI()
    app.get("/")(lambda: "somebody else's page")
    ui.mount(app, ui.build([model], EXAMPLES, store), store, path="/dsp")
    with ui.serving(app) as address:
        assert "somebody else" in send(address, "/")[2]
        shows_maps(browser, f"{address}dsp{ending}")
        assert send(address, "/dsp/openapi.json")[0] == 404


def test_the_app_runs_behind_a_proxy_that_takes_a_path_away(browser: Browser, model: dsp_viz.Subject) -> None:
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
        # A browser opens connections to spare, also when the app has ended: then this one ends too.
        with suppress(OSError), client, socket.create_connection(("127.0.0.1", self.port)) as server:
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
    with suppress(OSError):
        while data := source.recv(2**16):
            target.sendall(data)


def test_a_language_model_can_call_it(model: dsp_viz.Subject) -> None:
    with serving([model], mcp=True) as address, ThreadPoolExecutor(1) as another:  # this thread runs the browser's loop
        answer = another.submit(anyio.run, _called, f"{address}gradio_api/mcp/", EXAMPLES[0]).result()
    changes = from_json('[{"kind": "set_coefficient", "value": 0, "stream": "same"}]')
    direct = dsp_viz.analyse(model, EXAMPLES[0], interventions=changes)
    assert [(t["class"], pytest.approx(t["probability"], abs=1e-6)) for t in answer["top"]] == direct.top(5)


async def _called(address: str, picture: Path) -> dict[str, Any]:
    sent = "data:image/jpeg;base64," + base64.b64encode(picture.read_bytes()).decode()
    async with streamable_http_client(address) as (read, write, *_), ClientSession(read, write) as session:
        await session.initialize()
        (tool,) = (await session.list_tools()).tools
        assert tool.inputSchema["properties"]["interventions"]["type"] == "array"
        changes = [{"kind": "set_coefficient", "value": 0, "stream": "same"}]
        result = await session.call_tool(tool.name, {"picture": sent, "model": "dsp_tiny", "interventions": changes})
        assert not result.isError, result.content
        return ast.literal_eval(result.content[0].text)  # Gradio sends text as Python writes it
