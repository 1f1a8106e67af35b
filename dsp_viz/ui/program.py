"""The explorer as a program: models loaded, the screen built, served until it is stopped or beside a notebook."""

import gc
import os
import socket
import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..device import resolve_device
from ..memory import share_freed_memory
from ..sources import load_all
from ..sources.checkpoint import available
from ..store import Store
from ..subject import Subject
from .kept import Kept
from .layout import build
from .limits import PUBLIC, USUAL
from .logins import logins
from .server import create_app, serve, serving
from .watching import Metrics

if TYPE_CHECKING:  # it needs pyarrow, which few have
    from .surveyed import Surveyed

#: Pictures that are offered where nobody chose others. The page opens with the first: one that `dsp_everyday` names.
EXAMPLES = sorted(
    (Path(__file__).resolve().parents[2] / "examples").glob("*.jpg"),
    key=lambda path: (path.stem != "flower-market", path.stem),
)

#: Bytes of results that are kept for open pages.
KEPT = 512 * 2**20


def run(
    names: Sequence[str] | None,
    listening: socket.socket,
    *,
    device: str = "auto",
    root_path: str | None = None,
    mcp: bool = False,
    survey: str | None = None,
    pictures: str | None = None,
    metrics: int | None = None,
    auth: str | None = None,
    public: bool = False,
) -> None:
    """Load models and serve them until SIGINT or SIGTERM. What cannot be loaded is told on stderr and left out.

    Args:
        names: see :func:`dsp_viz.load`; None: all that ship. listening: where to. device: where the models run.
        root_path, mcp: see :func:`dsp_viz.ui.mount`.
        survey: folder of a survey, for the tab Atlas; None: no such tab. pictures: the folder that was surveyed, for
            the pictures behind its numbers; None: they are not shown.
        metrics: port of this host for Prometheus; None: none.
        auth: file of the names and passwords of those who may use it, see :func:`dsp_viz.ui.logins.logins`.
        public: keep within :data:`dsp_viz.ui.limits.PUBLIC`.

    Raises:
        ValueError: no model could be loaded, there is no such device, no such survey, no port for the metrics, or the
            accounts cannot be read.
    """
    _spare()
    known = logins(auth)
    surveyed = None if survey is None else _surveyed(survey, pictures)
    subjects, faults = load_all(names or available() or ["dsp_tiny"], device=resolve_device(device))
    if not subjects:
        raise ValueError("\n".join(faults))
    for fault in faults:
        print(f"left out: {fault}", file=sys.stderr, flush=True)
    host = listening.getsockname()[0]
    limits = PUBLIC if public else USUAL
    app = _app(
        subjects,
        None,
        surveyed,
        metrics=None if metrics is None else (host, metrics),
        root_path=root_path,
        mcp=mcp,
        limits=limits,
        auth=known,
    )
    print(f"* Running on http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}", flush=True)
    gc.freeze()  # what is loaded stays: the collector need not look through it, least of all at the end
    serve(app, listening)


class Framed:
    """ASGI middleware that lets any page show the app in a frame: a notebook's address is not known beforehand."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if policy := headers.get("Content-Security-Policy"):
                    kept, _, _ = policy.partition("frame-ancestors")
                    headers["Content-Security-Policy"] = f"{kept}frame-ancestors * vscode-webview:"
            await send(message)

        await self.app(scope, receive, sent)


class Screen:
    """The explorer, running beside a notebook; as the last line of a cell it shows itself.

    Attributes:
        address: where it runs.
    """

    def __init__(self, app: FastAPI, height: int) -> None:
        self._running = ExitStack()
        app.add_middleware(Framed)
        self.address = self._running.enter_context(serving(app))
        self._height = height

    def close(self) -> None:
        """Stop serving."""
        self._running.close()

    def _repr_html_(self) -> str:
        """The screen in a frame within the cell."""
        return (
            f'<iframe src="{escape(self.address)}" title="DSP-Attention explorer" width="100%" height="{self._height}" '
            'allow="camera; clipboard-read; clipboard-write" style="border:0"></iframe>'
        )


def explore(
    subjects: Sequence[Subject],
    examples: Iterable[str | os.PathLike[str]] | None,
    *,
    host: str,
    port: int,
    height: int,
) -> Screen | None:
    """See :func:`dsp_viz.explore`."""
    names = [subject.name for subject in subjects]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"models are called {', '.join(names) or '(none)'}: at least one is needed, each name once")
    if in_notebook():
        return Screen(_app(subjects, examples), height)
    with socket.create_server((host, port)) as listening:
        _spare()
        app = _app(subjects, examples)
        print(f"* Running on http://{host}:{listening.getsockname()[1]}", flush=True)
        serve(app, listening)
    return None


def _surveyed(survey: str, pictures: str | None) -> "Surveyed":
    try:
        from ..survey import open_survey
        from .surveyed import Surveyed
    except ModuleNotFoundError as error:
        raise ValueError(f"--survey: {error}") from error
    if pictures is not None and not Path(pictures).is_dir():
        raise ValueError(f"--pictures {pictures}: there is no such folder; name the one that was surveyed")
    found = open_survey(survey)
    return Surveyed(found, Path(pictures) if pictures else found.pictures)


def _app(
    subjects: Sequence[Subject],
    examples: Iterable[str | os.PathLike[str]] | None,
    surveyed: "Surveyed | None" = None,
    metrics: tuple[str, int] | None = None,
    **options: Any,
) -> FastAPI:
    pictures = EXAMPLES if examples is None else [Path(path) for path in examples]
    if not pictures:
        raise ValueError("examples is empty: at least one picture is needed, the first is shown")
    store = Store[Kept](max_bytes=KEPT)
    demo = build(list(subjects), pictures, store, surveyed, options.get("limits", USUAL))
    if metrics is not None:
        watching = Metrics(lambda: len(demo._queue), store)
        print(f"* Metrics on http://{metrics[0]}:{watching.serve(*metrics)}/metrics", flush=True)
        options["watcher"] = watching
    return create_app(demo, store, **options)


def _spare() -> None:
    """Leave room for the browser, which may be on the same machine."""
    share_freed_memory()
    if "OMP_NUM_THREADS" not in os.environ:
        # The threads of one operation wait for the slowest, and the browser may hold its core.
        torch.set_num_threads(1)


def in_notebook() -> bool:
    """Whether this runs in a kernel that shows HTML, not in a script or at a terminal."""
    if "ipykernel" not in sys.modules:
        return False
    from IPython import get_ipython

    return hasattr(get_ipython(), "kernel")
