"""The page that is made once for each address, and answers of the API that are kept."""

import gzip
import json
import urllib.request
from collections.abc import Iterator
from functools import wraps
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from asking import call, send, upload
from conftest import EXAMPLES
from starlette.types import Message, Receive, Scope, Send

from dsp_viz.interventions import from_json
from dsp_viz.ui.answers import Answers
from dsp_viz.ui.blocks import Blocks
from dsp_viz.ui.front import Front
from dsp_viz.ui.kept import Source


def test_each_address_has_a_page_of_its_own(address: str) -> None:
    own, other = (send(address, "/", **headers)[2] for headers in ({}, {"X-Forwarded-Host": "other.example"}))
    assert own.startswith("<!doctype html>") or own.startswith("<!DOCTYPE html>")
    assert "other.example" in other
    assert "other.example" not in own
    assert send(address, "/")[2] == own
    secure = send(address, "/", **{"X-Forwarded-Host": "other.example", "X-Forwarded-Proto": "https"})[2]
    assert "https://other.example" in secure


def test_the_page_is_packed_where_that_is_understood(address: str) -> None:
    plain = send(address, "/")[2].encode()
    with urllib.request.urlopen(urllib.request.Request(address, headers={"Accept-Encoding": "gzip, br"})) as answer:
        packed, headers = answer.read(), answer.headers
    assert headers["Content-Encoding"] == "gzip"
    assert int(headers["Content-Length"]) == len(packed) < len(plain) / 4
    assert gzip.decompress(packed) == plain
    assert "Content-Security-Policy" in headers


@pytest.fixture(scope="module")
def portal() -> Iterator[BlockingPortal]:
    """An event loop in a thread of its own: the browser's tests keep one in this thread."""
    with start_blocking_portal() as portal:
        yield portal


def asked(portal: BlockingPortal, front: Front, **scope: object) -> list[Message]:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request"}

    usual: Scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "scheme": "http", "headers": []}
    portal.call(front, usual | scope, receive, send)
    return sent


def test_what_is_kept_and_what_is_not(portal: BlockingPortal) -> None:
    made: list[str] = []
    status = 200

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        made.append(scope["path"])
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await send({"type": "http.response.body", "body": b"b"})

    front = Front(app)
    for _ in range(2):
        start, body = asked(portal, front)
        assert (start["status"], body["body"]) == (200, b"ab")
    assert len(made) == 1
    for other in (
        {"query_string": b"x=1"},
        {"method": "HEAD"},
        {"path": "/config"},
        {"headers": [(b"cookie", b"access-token-x=1")]},
    ):
        before = len(made)
        for _ in range(2):
            asked(portal, front, **other)
        assert len(made) == before + 2
    for i in range(3 * Front.LIMIT):  # strangers send any host
        asked(portal, front, headers=[(b"host", b"h%d" % i)])
    before = len(made)
    asked(portal, front, headers=[(b"host", b"h%d" % (3 * Front.LIMIT - 1))])
    assert len(made) == before
    asked(portal, front)
    assert len(made) == before + 1
    status = 500
    for _ in range(2):
        assert asked(portal, front, headers=[(b"host", b"broken")])[0]["status"] == 500
    assert len(made) == before + 3


def test_an_answer_is_kept_by_all_that_it_depends_on(tmp_path: Path) -> None:
    one, same, other = (tmp_path / name for name in ("one", "same", "other"))
    for path, text in ((one, b"x"), (same, b"x"), (other, b"y")):
        path.write_bytes(text)
    made: list[Source] = []

    def make(source: Source) -> dict[str, object]:
        made.append(source)
        return {"number": len(made)}

    answers = Answers(most=8)
    source = Source(str(one), 128, False, "m")
    assert answers.of(source, "d", make) == answers.of(source._replace(path=str(same)), "d", make) == {"number": 1}
    changed = from_json('[{"kind": "set_coefficient", "value": 0}]')
    for different in (
        {"path": str(other)},
        {"side": 256},
        {"whole": True},
        {"model": "n"},
        {"stretch": True},
        {"interventions": changed},
    ):
        before = len(made)
        answers.of(source._replace(**different), "d", make)
        assert len(made) == before + 1
    answers.of(source, "other weights", make)
    assert len(made) == 8
    assert answers.of(source, "d", make) == {"number": 1}
    for i in range(8):
        answers.of(source, f"more {i}", make)
    assert answers.of(source, "d", make) == {"number": 17}
    with pytest.raises(ZeroDivisionError):
        answers.of(source, "fails", lambda _: {"": 1 // 0})
    assert answers.of(source, "fails", make)["number"] == 18


def test_a_repeated_picture_gets_the_same_answer(address: str) -> None:
    first, second = (call(address, {"path": upload(address, EXAMPLES[2])}, "softmax_small", []) for _ in range(2))
    assert '"top"' in first
    assert first == second  # the seconds that it took included: nothing was computed


def test_only_components_that_change_are_built_anew(monkeypatch: pytest.MonkeyPatch, portal: BlockingPortal) -> None:
    built: list[int] = []
    usual = gr.Textbox.__init__

    @wraps(usual)
    def counted(*arguments: Any, **options: Any) -> None:
        built.append(1)
        usual(*arguments, **options)

    monkeypatch.setattr(gr.Textbox, "__init__", counted)
    with Blocks() as demo:
        boxes = [gr.Textbox(f"{i}") for i in range(5)]
        demo.load(lambda: {boxes[1]: "new", boxes[3]: gr.update(visible=False), boxes[4]: gr.skip()}, None, boxes)
        demo.load(gr.skip, None, boxes)
        demo.load(lambda: {boxes[2]: "only"}, None, boxes)
    state = None
    found = []
    for fn, told in zip(demo.fns.values(), (None, gr.skip(), {boxes[2]: "only"}), strict=True):
        built.clear()
        predictions = fn.fn() if told is None else told
        found.append(portal.call(demo.postprocess_data, fn, predictions, state))
        assert len(built) <= 1
    skipped = {"__type__": "update"}
    assert found[0] == [skipped, "new", skipped, {"__type__": "update", "visible": False}, skipped]
    assert found[1] == [skipped] * 5
    assert json.loads(json.dumps(found[2])) == [skipped, skipped, "only", skipped, skipped]
