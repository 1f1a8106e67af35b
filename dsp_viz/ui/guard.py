"""What every request passes: which routes there are, how much may be sent, from where, and what a browser is told."""

from collections.abc import MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Largest upload in bytes, and largest body of any other request.
MAX_UPLOAD = 32 * 2**20
MAX_BODY = 2**20

#: Gradio's routes that the page, its clients and model contexts use; all others are closed. An entry that ends in "/"
#: stands for everything below it.
ROUTES = {
    "GET": (
        "/",
        "/config",
        "/theme.css",
        "/favicon.ico",
        "/manifest.json",
        "/robots.txt",
        "/assets/",
        "/static/",
        "/svelte/",
        "/results/",
        "/gradio_api/info",
        "/gradio_api/startup-events",
        "/gradio_api/app_id",
        "/gradio_api/heartbeat/",
        "/gradio_api/queue/data",
        "/gradio_api/queue/status",
        "/gradio_api/call/",
        "/gradio_api/upload_progress",
        "/gradio_api/file=",
        "/gradio_api/mcp/",
    ),
    "POST": (
        "/gradio_api/queue/join",
        "/gradio_api/call/",
        "/gradio_api/upload",
        "/gradio_api/cancel",
        "/gradio_api/reset",
        "/gradio_api/mcp/",
    ),
    "DELETE": ("/gradio_api/mcp/",),
}

#: Sent with every answer. Gradio's page needs inline scripts, and compiles its components' in the browser; nothing is
#: loaded from elsewhere. Hugging Face shows Spaces within a frame.
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' blob:; "
    "connect-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; object-src 'none'; "
    "base-uri 'self'; form-action 'self'; frame-ancestors 'self' https://huggingface.co https://*.hf.space",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(self), geolocation=(), microphone=()",
}


class Guard:
    """ASGI middleware around Gradio's app.

    It closes the routes that are not in :data:`ROUTES`, refuses bodies above :data:`MAX_BODY` (uploads above
    :data:`MAX_UPLOAD` and what their envelope takes), refuses what scripts of other sites send, and adds
    :data:`HEADERS`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        path = scope["path"].removeprefix(scope.get("root_path", "")) or "/"

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                sent = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    sent.setdefault(name, value)
            await send(message)

        if not _open(scope["method"], path):
            return await PlainTextResponse("There is nothing here.", 404)(scope, receive, answer)
        if _foreign(headers):
            return await PlainTextResponse("Other sites' pages may not use this one.", 403)(scope, receive, answer)
        limit = MAX_UPLOAD + MAX_BODY if path.startswith("/gradio_api/upload") else MAX_BODY
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > limit:
            refusal = f"The request is too large: at most {limit} bytes are read here."
            return await PlainTextResponse(refusal, 413)(scope, receive, answer)
        await self.app(scope, _bounded(receive, limit), answer)


def _open(method: str, path: str) -> bool:
    routes = ROUTES.get("GET" if method in ("HEAD", "OPTIONS") else method, ())
    if method == "OPTIONS":
        return True
    return any(path == r or path == f"{r}/" or (r[-1] in "/=" and len(r) > 1 and path.startswith(r)) for r in routes)


def _foreign(headers: Headers) -> bool:
    """Whether a script of another site sends this. Where a page was navigated to, or a program asks, it is not."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none") and headers.get("sec-fetch-mode") != "navigate"
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc not in (headers.get("host"), headers.get("x-forwarded-host"))


def _bounded(receive: Receive, limit: int) -> Receive:
    """A body without a stated length ends, as if its sender had gone, where it passes the limit."""
    left = limit

    async def read() -> MutableMapping[str, Any]:
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        return {"type": "http.disconnect"} if left < 0 else message

    return read
