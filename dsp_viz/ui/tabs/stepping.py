"""What takes long on a tab: a computation that takes turns with everybody else's requests, and can be stopped."""

from collections.abc import Callable, Generator
from typing import Any, TypeVar

import gradio as gr

from ...steps import Steps
from ..results import Results

T = TypeVar("T")
U = TypeVar("U")

#: Name of the queue of what takes long.
STEPS = "steps"

#: How many go on by turns; each holds what it has found so far. More of them wait.
AT_ONCE = 6

#: Options of its events: they take turns with each other and with everybody else's requests, step by step, so they need
#: no place in that queue.
LONG: dict[str, Any] = {
    "api_visibility": "private",
    "show_progress": "full",
    "concurrency_id": STEPS,
    "concurrency_limit": AT_ONCE,
}


def in_turns(results: Results, steps: Steps[T], progress: gr.Progress, told: Callable[[], U]) -> Generator[U, None, T]:
    """Run the steps, one turn each, and report progress; the computation may be dropped after any step.

    Args:
        results: whose turns they are. progress: of the event. told: what the page gets after a step.
    """
    while True:
        try:
            with results.turns.turn(long=True):
                done, total, what = next(steps)
        except StopIteration as end:
            return end.value
        progress((done, total), desc=what)
        yield told()
