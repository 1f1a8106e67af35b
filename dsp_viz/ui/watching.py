"""What the app tells whoever watches it: whether it is well, and in numbers what it does."""

import json
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response

from .. import __version__
from ..store import Store
from .turns import Turns

#: Seconds after which a turn of one pass, or of one step, counts as stuck.
STUCK = 600.0


class Watcher(Protocol):
    """Is told what happens."""

    def answered(self, what: str, seconds: float, good: bool) -> None:
        """An answer was given, or a request failed; ``what``: the name of the event, such as ``analyse``."""

    def refused(self, why: str) -> None:
        """A request got no place: ``full``, ``room``, ``closed``, ``foreign``, ``large``."""


class Nobody:
    """A :class:`Watcher` that does not watch."""

    def answered(self, what: str, seconds: float, good: bool) -> None:
        pass

    def refused(self, why: str) -> None:
        pass


class Metrics:
    """A :class:`Watcher` that offers what it sees to Prometheus, on a port of its own.

    Args:
        waiting: how many requests wait. store: of the results.

    Raises:
        ValueError: prometheus-client is not installed.
    """

    def __init__(self, waiting: Callable[[], int], store: Store[Any]) -> None:
        try:
            import prometheus_client as prometheus
        except ModuleNotFoundError as error:
            raise ValueError(f"--metrics: {error}; run `pip install 'dsp-attention[serve]'`") from error
        registry = prometheus.CollectorRegistry()
        for collector in (prometheus.ProcessCollector, prometheus.GCCollector):
            collector(registry=registry)
        self._registry, self._serve = registry, prometheus.start_http_server
        self._answers = prometheus.Counter("dsp_viz_answers", "Answers given", ["what", "good"], registry=registry)
        self._seconds = prometheus.Histogram(
            "dsp_viz_seconds",
            "Seconds from the start of an answer to its end, without the time in the queue",
            ["what"],
            buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300),
            registry=registry,
        )
        self._refusals = prometheus.Counter(
            "dsp_viz_refusals", "Requests that got no place", ["why"], registry=registry
        )
        for name, told, number in (
            ("dsp_viz_waiting", "Requests that wait", waiting),
            ("dsp_viz_store_bytes", "Bytes of the results that are kept", store.size),
        ):
            prometheus.Gauge(name, told, registry=registry).set_function(number)

    def answered(self, what: str, seconds: float, good: bool) -> None:
        self._answers.labels(what, str(good).lower()).inc()
        self._seconds.labels(what).observe(seconds)

    def refused(self, why: str) -> None:
        self._refusals.labels(why).inc()

    def serve(self, host: str, port: int) -> int:
        """Start to answer ``GET /metrics`` there, in a thread; returns the port, which is chosen where 0 is given.

        Raises:
            ValueError: it cannot listen there.
        """
        try:
            server, _ = self._serve(port, addr=host, registry=self._registry)
        except (OSError, OverflowError) as error:
            raise ValueError(f"--metrics {port}: cannot listen there ({error}); give another port") from error
        return int(server.server_port)


def health(demo: Any, turns: Turns, models: list[str]) -> Callable[[Request], Awaitable[Response]]:
    """The answer to ``GET /healthz``: 200 with version and models, 503 with what is wrong. Nothing is computed."""

    async def answer(_: Request) -> Response:
        since = turns.since
        fault = ""
        if demo._queue.stopped:
            fault = "the app is being stopped"
        elif since is not None and time.monotonic() - since > STUCK:
            fault = f"a computation holds the model for more than {STUCK:.0f} s"
        told = {"version": __version__, "models": models, "waiting": len(demo._queue)}
        body = told | ({"fault": fault} if fault else {})
        return Response(json.dumps(body), 503 if fault else 200, {"Cache-Control": "no-store"}, "application/json")

    return answer
