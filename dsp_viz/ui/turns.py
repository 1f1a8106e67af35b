"""Who runs a model next: one at a time, in fair turns, and those who want the same of it at the same time in one."""

import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Lock
from typing import Any, TypeVar

T = TypeVar("T")
U = TypeVar("U")


@dataclass(eq=False)
class _Waiting:
    """Somebody who waits; ``kind``: of what may be done together, or None; ``found``: once another one did it too."""

    kind: Hashable = None
    item: Any = None
    found: Any = None
    error: Exception | None = None
    done: bool = False
    called: Event = field(default_factory=Event)


class Turns:
    """Turns at running a model.

    Questions that are answered at once, and steps of what takes long, wait in a line each; both lines are served in
    order of arrival, one from each in turn. So a question waits for one step at most beyond those before it, and many
    who compute for long go on step by step, each as fast as the others.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._lines: tuple[deque[_Waiting], deque[_Waiting]] = (deque(), deque())
        self._taken = False
        self._last = 1
        #: When the turn that goes on began, by the monotonic clock; None: nobody's.
        self.since: float | None = None

    def __len__(self) -> int:
        """How many wait."""
        return sum(map(len, self._lines))

    @contextmanager
    def turn(self, *, long: bool = False) -> Iterator[None]:
        """Wait for a turn, which lasts as long as the body; ``long``: for a step of many."""
        self._wait(_Waiting(), long=long)
        try:
            yield
        finally:
            self._pass_on()

    def together(self, kind: Hashable, item: T, run: Callable[[Sequence[T]], Sequence[U]], *, most: int) -> U:
        """What ``run`` makes of an item, in a turn with the items of the same kind that wait then.

        Args:
            kind: of the item; all of one kind come with the same ``run``. run: takes items, gives as many results.
            most: items at a time. Where ``run`` fails for several, each is tried alone.

        Raises:
            Exception: whatever ``run`` raises for this item alone.
        """
        own = _Waiting(kind, item)
        self._wait(own, long=False)
        if not own.done:
            try:
                self._run([own, *self._of_kind(kind, most - 1)], run)
            finally:
                self._pass_on()
        if own.error is not None:
            raise own.error
        found: U = own.found
        return found

    def _of_kind(self, kind: Hashable, most: int) -> list[_Waiting]:
        """Others who wait for the same, taken out of their line."""
        with self._lock:
            line = self._lines[0]
            chosen = [waiting for waiting in line if waiting.kind == kind][: max(most, 0)]
            for waiting in chosen:
                line.remove(waiting)
        return chosen

    def _run(self, group: Sequence[_Waiting], run: Callable[[Sequence[Any]], Sequence[Any]]) -> None:
        try:
            results = run([waiting.item for waiting in group])
            for waiting, found in zip(group, results, strict=True):
                waiting.found = found
        except Exception as error:
            if len(group) == 1:
                group[0].error = error
            else:
                for waiting in group:
                    self._run([waiting], run)
        finally:
            for waiting in group:
                waiting.done = True
                waiting.called.set()

    def _wait(self, waiting: _Waiting, *, long: bool) -> None:
        with self._lock:
            if not self._taken:
                self._taken = True
                self.since = time.monotonic()
                return
            self._lines[long].append(waiting)
        waiting.called.wait()

    def _pass_on(self) -> None:
        with self._lock:
            which = next((i for i in (1 - self._last, self._last) if self._lines[i]), None)
            if which is None:
                self._taken, self.since = False, None
                return
            self.since = time.monotonic()
            self._last = which
            self._lines[which].popleft().called.set()
