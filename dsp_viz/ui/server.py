"""Serving: Gradio's app, hardened for a public address, and the route that the polarity view fetches from."""

from collections.abc import Callable

import gradio as gr
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from ..store import Store
from .theme import THEME, css


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
        name = request.path_params["piece"]
        data = store.get(request.path_params["token"], name)
        if data is None:
            return PlainTextResponse("This result is no longer kept.", status_code=404)
        return Response(
            data,
            media_type="image/png" if name == "picture" else "application/octet-stream",
            headers={"Cache-Control": "private, max-age=3600, immutable", "X-Content-Type-Options": "nosniff"},
        )

    return answer
