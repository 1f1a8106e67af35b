"""What takes long on a tab: a computation that takes turns with everybody else's requests, and can be stopped."""

from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator
from threading import Lock
from typing import Any, Protocol, TypeVar

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


#: Which of two buttons can be pressed.
CAN_BE_PRESSED = "() => [{}, {}].map((interactive) => ({{ __type__: 'update', interactive }}))"


class Long(Protocol):
    """What computes for the picture of a page and a class, and answers as it goes on; each answer may be the last."""

    def __call__(self, page: str, choice: str, progress: gr.Progress) -> Iterator[Any]: ...


#: Sessions of which is known what they look at, and whether they pressed Stop; that of others is forgotten.
SESSIONS = 4096


class Asked:
    """What sessions wait for, so that nothing is answered once its picture or class is left, or Stop was pressed.

    Gradio's own way, an event that cancels another one, is not used: the page (6.31) asks for it after it has sent its
    own question, so that answers of what is cancelled come after what took them away, and it then closes the stream
    on which it waits for all other answers.
    """

    def __init__(self) -> None:
        self._shown: OrderedDict[str | None, tuple[Any, ...]] = OrderedDict()
        self._stopped: OrderedDict[str | None, bool] = OrderedDict()
        self._lock = Lock()

    def _note(self, of: OrderedDict[str | None, Any], request: gr.Request, what: Any) -> None:
        with self._lock:
            of[request.session_hash] = what
            of.move_to_end(request.session_hash)
            while len(of) > SESSIONS:
                of.popitem(last=False)

    def show(self, request: gr.Request, *shown: Any) -> None:
        """What the session looks at from now on, such as picture and class; nobody waits for answers of others."""
        self._note(self._shown, request, shown)

    def stop(self, request: gr.Request) -> None:
        """The session does not wait for what it asked."""
        self._note(self._stopped, request, True)

    def begin(self, page: str, choice: str, request: gr.Request) -> None:
        """The session asks anew, and so looks at this: what told so may be on its way still."""
        self._note(self._stopped, request, False)
        self.show(request, page, choice)

    def awaits(self, request: gr.Request, *shown: Any) -> bool:
        """Whether the session waits for answers of this."""
        with self._lock:
            stopped = self._stopped.get(request.session_hash)
        return not stopped and not self.left(request, *shown)

    def left(self, request: gr.Request, *shown: Any) -> bool:
        """Whether the session looks at something else by now."""
        with self._lock:
            return self._shown.get(request.session_hash, shown) != shown

    def listen(
        self, start: gr.Button, stop: gr.Button, long: Long, inputs: list[Any], outputs: Any, nothing: Any, **how: Any
    ) -> None:
        """Connect the buttons that start and stop something long; one of them can be pressed at a time.

        A click on ``start`` while it still runs would go unheard.

        Args:
            long: what is started. inputs: what holds page and choice. outputs: where its answers go.
            nothing: what they hold once picture or class is left. how: options.
        """

        def answers(
            page: str,
            choice: str,
            request: gr.Request,
            progress: gr.Progress = gr.Progress(),  # noqa: B008
        ) -> Iterator[Any]:
            if not self.awaits(request, page, choice):  # it was stopped, or left, before its turn came
                return
            for answer in long(page, choice, progress):
                if not self.awaits(request, page, choice):
                    break
                yield answer
            # The last answer may have come after what took it away. Nothing newer can be there: the button still rests.
            # Where it stays, Gradio sends it once more. To skip instead would save that, and on a slow page lose the
            # answer: Gradio (6.31) writes what comes next into what it has not shown yet.
            if self.left(request, page, choice):
                yield nothing

        alone: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        # In the page alone, so that it does not matter how the event ends.
        start.click(None, None, [start, stop], js=CAN_BE_PRESSED.format("false", "true"), **alone)
        # At the click, not when its turn comes: until then it may be stopped. Queued: nothing follows an event that is
        # not, and has no outputs (Gradio 6.31).
        running = start.click(self.begin, inputs, None, **alone).then(answers, inputs, outputs, **LONG, **how)
        running.then(None, None, [start, stop], js=CAN_BE_PRESSED.format("true", "false"), **alone)
        stop.click(self.stop, None, None, **alone)


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
