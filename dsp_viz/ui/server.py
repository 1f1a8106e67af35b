"""Serving: Gradio's app, hardened for a public address, and the routes that the views fetch from."""

import asyncio
import logging
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from threading import Thread
from types import FrameType
from typing import Any

import gradio as gr
import uvicorn
from fastapi import FastAPI
from gradio.utils import get_upload_folder
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from ..memory import hand_back_freed_memory
from ..store import Store
from . import modules, takeaway
from .blocks import Blocks
from .front import Front
from .guard import Guard
from .kept import Kept
from .limits import USUAL, Limits
from .lines import Full, Line
from .theme import HEAD, THEME, css
from .uploads import forget_gone, sweep
from .waiting import leave_room
from .watching import Watcher

_log = logging.getLogger("dsp_viz")

#: What is made of a result when it is asked for.
_MADE: dict[str, Callable[..., str | bytes]] = {"html": takeaway.page, "npz": takeaway.npz, "pdf": takeaway.pdf}
_TYPES = {
    "picture": "image/png",
    "sharp": "image/jpeg",
    "html": "text/html",
    "npz": "application/octet-stream",
    "pdf": "application/pdf",
}

#: How many files to take away are made at a time, and how many more may be waited for.
MAKING, WAITING = 2, 8

#: Seconds between two looks for uploads that nobody has used for long, and for freed memory.
LOOK = 60

#: Seconds to what never comes.
NEVER = 10**8


def mount(
    app: FastAPI,
    demo: Blocks,
    store: Store[Kept],
    *,
    path: str = "/",
    root_path: str | None = None,
    mcp: bool = False,
    limits: Limits = USUAL,
    auth: Sequence[tuple[str, str]] = (),
    watcher: Watcher | None = None,
) -> FastAPI:
    """Add the explorer to an app.

    Args:
        app: to add it to. demo: from :func:`dsp_viz.ui.build`. store: the one that it was built with.
        path: where, such as ``/dsp``. root_path: the path, or the whole address, under which a proxy offers it.
        mcp: offer the API to language models too. limits: see :class:`Limits`.
        auth: names and passwords of those who may use it; none: everybody may. watcher: is told what happens.

    Returns:
        ``app``.
    """
    demo.watcher = watcher or demo.watcher
    # Gradio (6.31) removes at the end what this process took in; in between it would fail for good, where something
    # comes in. A folder that was named may be shared: others go on with what lies there, until it is old.
    demo.delete_cache = None if "GRADIO_TEMP_DIR" in os.environ else (NEVER, int(limits.kept))
    leave_room(demo, limits, demo.watcher)
    gr.mount_gradio_app(
        app,
        demo,
        path=path,
        root_path=root_path,
        app_kwargs={
            "middleware": [
                Middleware(Guard, limits=limits, watcher=demo.watcher, login=bool(auth)),
                *([] if auth else [Middleware(Front)]),
            ],
            "routes": [Route("/results/{token}/{piece}", _piece(store)), modules.ROUTE, *demo.more_routes],
            "lifespan": _swept(demo, limits.kept),
        },
        theme=THEME,
        css=css(),
        head=HEAD,
        footer_links=["api"],
        run_history=False,  # the default copies every result into the browser's storage
        enable_monitoring=False,
        max_file_size=limits.upload,
        auth=list(auth) or None,
        show_error=False,  # what the app says on purpose is shown all the same
        ssr_mode=False,
        mcp_server=mcp and limits.mcp,
    )
    if demo.mcp_error:
        raise RuntimeError(demo.mcp_error)
    demo.has_launched = True  # else Gradio checks no path that a client sends
    return app


def create_app(demo: Blocks, store: Store[Kept], **options: Any) -> FastAPI:
    """The explorer as an app of its own; arguments and options as for :func:`mount`."""
    # Gradio lets any origin in, with credentials, unless the app around it has a policy of its own: none may.
    app = FastAPI(openapi_url=None, middleware=[Middleware(CORSMiddleware, allow_origins=[])])
    return mount(app, demo, store, **options)


class _Server(uvicorn.Server):
    """Ends with status 0 when it is asked to end."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.force_exit = self.should_exit
        self.should_exit = True
        # The page keeps a connection open for good: cutting it off now is not a fault, and is not logged as one.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)


def _server(app: FastAPI) -> _Server:
    return _Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2))


def serve(app: FastAPI, listening: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM."""
    _server(app).run(sockets=[listening])


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """Serve in a thread while the body runs, on any free port of this machine only; yields the address."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = _server(app)
    thread = Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join()


def _swept(demo: Blocks, age: float) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """Remove, at the start and now and then, uploads that were not used for ``age`` seconds: those of earlier runs too,
    and what broke off. Freed memory goes back at the same times."""

    async def go_on() -> None:
        while True:
            await asyncio.to_thread(sweep, Path(get_upload_folder()), age)
            await asyncio.to_thread(forget_gone, demo)
            await asyncio.to_thread(hand_back_freed_memory)
            await asyncio.sleep(LOOK)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(go_on())
        try:
            yield
        finally:
            task.cancel()

    return lifespan


def _piece(store: Store[Kept]) -> Callable[[Request], Awaitable[Response]]:
    line = Line(MAKING, WAITING)

    async def answer(request: Request) -> Response:
        token, name = request.path_params["token"], request.path_params["piece"]
        private = {"Cache-Control": "private, max-age=3600, immutable"}
        pieces, kept = store.get(token) or ({}, None)
        if name in pieces:
            return Response(pieces[name], media_type=_TYPES.get(name, "application/octet-stream"), headers=private)
        if kept is None or name not in _MADE:
            return PlainTextResponse("This result is no longer kept.", status_code=404)
        view = [request.query_params.get("view", "")] if name == "pdf" else []
        try:
            made = await line.run(partial(_MADE[name], kept, pieces, *view))
        except Full:
            return PlainTextResponse("Many ask for such files at the moment. Try again in a minute.", status_code=503)
        return Response(
            made,
            media_type=_TYPES[name],
            headers={
                "Cache-Control": "no-store",
                "Content-Disposition": f'attachment; filename="dsp-attention.{name}"',
            },
        )

    return answer
