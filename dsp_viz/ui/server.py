"""Serving: Gradio's app, hardened for a public address, and the route that the polarity view fetches from."""

from collections.abc import Callable
from typing import Any

import gradio as gr
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from ..store import Store
from . import takeaway
from .theme import THEME, css

#: What is made of a result when it is asked for.
_MADE: dict[str, Callable[..., str | bytes]] = {"html": takeaway.page, "npz": takeaway.npz}
_TYPES = {"picture": "image/png", "html": "text/html", "npz": "application/octet-stream"}


def launch(demo: gr.Blocks, store: Store, *, host: str, port: int, block: bool = True, mcp: bool = False) -> str:
    """Serve the app.

    Args:
        demo: from :func:`dsp_viz.ui.build`. store: the one that it was built with. host, port: where to listen.
        block: whether to wait until it is stopped. mcp: offer the API to language models too.

    Returns:
        Its address.

    Raises:
        OSError: the port is taken.
    """
    demo.queue(max_size=32)
    app, address, _ = demo.launch(
        server_name=host,
        server_port=port,
        prevent_thread_lock=True,
        theme=THEME,
        css=css(),
        footer_links=["api"],
        run_history=False,  # the default copies every result into the browser's storage
        enable_monitoring=False,
        max_file_size="32mb",
        state_session_capacity=32,
        strict_cors=True,
        ssr_mode=False,
        mcp_server=mcp,
        quiet=not block,
    )
    # In front of Gradio's own routes, the last of which takes every path.
    app.router.routes.insert(0, Route("/results/{token}/{piece}", _piece(store)))
    if block:
        demo.block_thread()
    return address


def _piece(store: Store) -> Callable[[Request], Response]:
    def answer(request: Request) -> Response:
        token, name = request.path_params["token"], request.path_params["piece"]
        private = {"Cache-Control": "private, max-age=3600, immutable", "X-Content-Type-Options": "nosniff"}
        data = store.get(token, name)
        if data is not None:
            return Response(data, media_type=_TYPES.get(name, "application/octet-stream"), headers=private)
        alive: Any = store.result(token)
        if alive is None or name not in _MADE:
            return PlainTextResponse("This result is no longer kept.", status_code=404)
        pieces, (kept, _, manifest) = alive
        return Response(
            _MADE[name](kept, manifest, pieces),
            media_type=_TYPES[name],
            headers=private | {"Content-Disposition": f'attachment; filename="dsp-attention.{name}"'},
        )

    return answer
