"""Work for the server's own routes: some at a time in threads, more wait in a line, and past its end nobody does."""

from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter, to_thread

T = TypeVar("T")


class Full(Exception):
    """As many wait as may."""


class Line:
    """A line of those who wait, of one event loop.

    Args:
        most: that are served at a time. waiting: that may wait.
    """

    def __init__(self, most: int, waiting: int) -> None:
        self._most, self._waiting = most, waiting
        self._limiter: CapacityLimiter | None = None  # it is made once there is a loop
        self._inside = 0

    async def run(self, work: Callable[..., T], *arguments: object) -> T:
        """What the work returns, in a thread, once it is its turn.

        Raises:
            Full: at once.
        """
        if self._inside >= self._most + self._waiting:
            raise Full
        limiter = self._limiter = self._limiter or CapacityLimiter(self._most)
        self._inside += 1
        try:
            return await to_thread.run_sync(work, *arguments, limiter=limiter)
        finally:
            self._inside -= 1
