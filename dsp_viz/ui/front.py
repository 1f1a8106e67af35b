"""The page itself, made once for each address under which it is asked for."""

import gzip
from collections import OrderedDict
from typing import NamedTuple

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Made(NamedTuple):
    """A page as it is sent: headers, the bytes, and the same packed by gzip."""

    headers: list[tuple[bytes, bytes]]
    plain: bytes
    packed: bytes


class Front:
    """ASGI middleware within Gradio's app that keeps what it answers to ``GET /``.

    Gradio (6.31) makes the page anew for everyone, from a copy of the description of all components: 40 ms. It depends
    only on the address, which the request tells.

    Args:
        app: Gradio's.
    """

    #: Addresses that are remembered: strangers can send any.
    LIMIT = 8

    #: Besides the address itself, what Gradio makes its own address of.
    TOLD = ("host", "x-forwarded-host", "x-forwarded-proto")

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._made: OrderedDict[tuple[str | None, ...], Made] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix(scope.get("root_path", "")) if scope["type"] == "http" else None
        # With ?query the page may be another; with a cookie it may say who is logged in.
        if path not in ("", "/") or scope["method"] != "GET" or scope["query_string"]:
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if "access-token" in headers.get("cookie", ""):
            await self.app(scope, receive, send)
            return
        asked = scope["scheme"], scope.get("root_path", ""), path, *map(headers.get, self.TOLD)
        made = self._made.get(asked) or await self._make(asked, scope, receive, send)
        if made is None:
            return
        self._made.move_to_end(asked)
        packs = "gzip" in headers.get("accept-encoding", "")
        body = made.packed if packs else made.plain
        own = [(b"content-length", str(len(body)).encode()), *([(b"content-encoding", b"gzip")] if packs else [])]
        start = {"type": "http.response.start", "status": 200, "headers": made.headers + own}
        await send(start)
        await send({"type": "http.response.body", "body": body})

    async def _make(self, asked: tuple[str | None, ...], scope: Scope, receive: Receive, send: Send) -> Made | None:
        """The page; None if it is none, and has been sent as it is."""
        start: Message = {}
        parts: list[bytes] = []

        async def take(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
            if start.get("status") != 200:
                await send(message)
            elif message["type"] == "http.response.body":
                parts.append(message.get("body", b""))

        await self.app(scope, receive, take)
        if start.get("status") != 200:
            return None
        kept = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
        page = b"".join(parts)
        made = self._made[asked] = Made([*kept, (b"vary", b"accept-encoding, cookie")], page, gzip.compress(page))
        while len(self._made) > self.LIMIT:
            self._made.popitem(last=False)
        return made
