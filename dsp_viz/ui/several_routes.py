"""What the tab Several pictures asks for: the result of one picture at a time."""

import json
from typing import Any

import gradio as gr
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from ..faults import ModelError
from ..images import ImageError
from .kept import Source
from .lines import Full, Line
from .results import Results

#: Pictures that are analysed at a time for all pages together, and how many more may be waited for. A page asks for
#: one at a time, so pages take turns.
MAKING, WAITING = 2, 32


def route(results: Results) -> Route:
    """``POST several``: JSON that names a picture, see :func:`_source`; the answer is that of :func:`_told`."""
    line = Line(MAKING, WAITING)

    async def answer(request: Request) -> Response:
        try:
            asked = json.loads(await request.body())
        except (ValueError, RecursionError):
            asked = None
        if not isinstance(asked, dict):
            return PlainTextResponse("The page and the app do not match. Load the page again.", status_code=400)
        try:
            told = await line.run(_told, results, asked)
        except Full:
            return PlainTextResponse("Many ask for pictures at the moment.", status_code=503)
        return JSONResponse(told, headers={"Cache-Control": "no-store"})

    return Route("/several", answer, methods=["POST"])


def _source(results: Results, asked: dict[str, Any]) -> Source | None:
    """The source that a page names: ``example`` or ``upload``, the path of one; ``model``, ``side``, ``whole``.

    Raises:
        gradio.Error: as of :meth:`Results.asked`.
    """
    path = results.examples.get(str(asked.get("example")), asked.get("upload"))
    named = {"path": path} | {key: asked.get(key) for key in ("side", "whole", "model")}
    return results.asked(json.dumps(named))


def _told(results: Results, asked: dict[str, Any]) -> dict[str, Any]:
    """``result``, a manifest, its ``source`` as text, and the five best classes, ``top``; or a ``fault``, a sentence:
    that a picture cannot be read is an answer too. ``gone``: whether the picture has to be uploaded again."""
    try:
        source = _source(results, asked)
    except gr.Error as error:
        return {"fault": error.message, "gone": True}
    if source is None:
        return {"fault": "No picture was named.", "gone": False}
    try:
        kept = results.of(source)
    except (ImageError, ModelError) as error:
        return {"fault": str(error), "gone": False}
    return {"result": kept.manifest.json(), "source": source.text(), "top": kept.result.top(5)}
