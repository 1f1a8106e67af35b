"""Checks on every request: which routes are open, how much may be sent, and from where; and headers of every answer."""

import logging
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .limits import USUAL, Limits
from .uploads import Room
from .watching import Nobody, Watcher

_log = logging.getLogger("dsp_viz")

#: Largest body of any request but an upload, in bytes.
MAX_BODY = 2**20

#: Longest error in bytes: longer ones repeat what was sent, and are replaced.
MAX_ERROR = 2000

#: Bytes of the disk that uploads leave free.
ROOM = 128 * 2**20

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
        "/healthz",
        "/assets/",
        "/static/",
        "/svelte/",
        "/results/",
        "/view/",
        "/atlas/",
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
        "/several",
        "/gradio_api/queue/join",
        "/gradio_api/call/",
        "/gradio_api/upload",
        "/gradio_api/cancel",
        "/gradio_api/reset",
        "/gradio_api/mcp/",
    ),
    "DELETE": ("/gradio_api/mcp/",),
}

#: Also open where people log in.
LOGIN = {"GET": ("/logout", "/login_check"), "POST": ("/login",)}

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

    It closes the routes that are not in :data:`ROUTES`, refuses bodies above :data:`MAX_BODY` (uploads above what the
    limits say and what their envelope takes) and uploads that leave less than :data:`ROOM` on the disk or pass the
    quota, refuses what scripts of other sites send, keeps errors short, and adds :data:`HEADERS`.

    Args:
        app: Gradio's. limits: see :class:`Limits`. watcher: is told of refusals. login: whether people log in, which
            opens the routes for that.
    """

    def __init__(
        self, app: ASGIApp, limits: Limits = USUAL, watcher: Watcher | None = None, login: bool = False
    ) -> None:
        self.app = app
        self._upload = limits.upload
        self._room = Room(limits.uploads, ROOM)
        self._watcher = watcher or Nobody()
        self._routes = {method: (*paths, *(LOGIN.get(method, ()) if login else ())) for method, paths in ROUTES.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        path = scope["path"].removeprefix(scope.get("root_path", "")) or "/"

        answer = _Answer(send)
        upload = path.startswith("/gradio_api/upload")
        limit = self._upload + MAX_BODY if upload else MAX_BODY
        length = headers.get("content-length", "0")
        too_large = 413, f"The request is too large: at most {limit} bytes are read here.", "large"
        if not self._open(scope["method"], path):
            refusal = 404, "There is nothing here.", "closed"
        elif _foreign(scope["method"], headers):
            refusal = 403, "Other sites' pages may not use this one.", "foreign"
        elif not length.isdecimal() or int(length) > limit:
            refusal = too_large
        elif scope["method"] == "POST" and upload and not self._room.has(int(length)):
            refusal = 507, "There is no room for more pictures at the moment. Try again later.", "room"
        else:
            if path.startswith("/gradio_api/info"):
                scope["app"].api_info = None  # Gradio would hand out the first asker's idea of this app's address
            try:
                return await self.app(scope, _bounded(receive, limit), answer)
            except _TooLargeError:
                refusal = too_large
            except Exception as error:
                _log.warning("%s %.200s: %s: %.300s", scope["method"], path, type(error).__name__, error)
                refusal = 500, "The request could not be answered.", "failed"
        self._watcher.refused(refusal[2])
        if not answer.started:
            await PlainTextResponse(refusal[1], refusal[0])(scope, receive, answer)

    def _open(self, method: str, path: str) -> bool:
        routes = self._routes.get("GET" if method in ("HEAD", "OPTIONS") else method, ())
        if method == "OPTIONS":
            return True
        return any(
            path == r or path == f"{r}/" or (r[-1] in "/=" and len(r) > 1 and path.startswith(r)) for r in routes
        )


class _Answer:
    """What is sent: with the headers, and errors without what they repeat of the request."""

    def __init__(self, send: Send) -> None:
        self.started = False
        self._send = send
        self._error: Message | None = None  # the start of an error's answer, until its length is known

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            sent = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                sent.setdefault(name, value)
            if message["status"] >= 400:
                self._error = message
                return
        elif self._error is not None:
            start, self._error = self._error, None
            if len(message.get("body", b"")) > MAX_ERROR:
                text = b'{"detail": "The request is not one that can be answered here."}'
                headers = MutableHeaders(scope=start)
                headers["Content-Length"], headers["Content-Type"] = str(len(text)), "application/json"
                message = {"type": "http.response.body", "body": text}
            await self._send(start)
        await self._send(message)


def _foreign(method: str, headers: Headers) -> bool:
    """Whether another site's page sends this. Where a person follows a link, or a program asks, it does not."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        followed = method in ("GET", "HEAD") and headers.get("sec-fetch-mode") == "navigate"
        return site not in ("same-origin", "none") and not followed
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc not in (headers.get("host"), headers.get("x-forwarded-host"))


class _TooLargeError(Exception):
    """A body without a stated length passes the limit."""


def _bounded(receive: Receive, limit: int) -> Receive:
    """The body, as far as the limit."""
    left = limit

    async def read() -> MutableMapping[str, Any]:
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        if left < 0:
            raise _TooLargeError
        return message

    return read
