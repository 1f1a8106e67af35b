"""The caller's side of a decoding process: start it, ask it, end it; see :mod:`dsp_viz.decoding`."""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from .reading import MAX_PIXELS


class Refused(Exception):
    """A picture that cannot be used; the message is the process's own, and ``slow`` says whether it took long."""

    def __init__(self, message: str, slow: bool) -> None:
        super().__init__(message)
        self.slow = slow


class Process:
    """A decoding process, for one picture at a time."""

    def __init__(self, limits: dict[str, int]) -> None:
        setup = {"path": [entry for entry in sys.path if os.path.isabs(entry)]} | limits
        program = str(Path(__file__).with_name("decode_worker.py"))
        # Each thread of numpy and of malloc reserves address space that is not used, and the limit is on address space.
        # malloc gives back at once what is larger than a megabyte.
        settings = {"OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "1000000"}
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-W", "ignore", program, json.dumps(setup)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env=os.environ | settings,
            # Ctrl+C is for the program, which then ends this process in order. A session of its own would do that too,
            # but Linux may share out time by session first, and priorities count only within one.
            process_group=0,
        )
        #: Whether a picture took so much computing that the process lowered its priority, which cannot be undone.
        self.is_slow = False

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """End the process; whoever waits for its answer sees that."""
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        """End a process that nobody waits for, and close its pipes."""
        self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def status(self) -> int:
        """The exit status, once the output has ended; 0 if the process goes on, but its answer made no sense."""
        try:
            return self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            self.kill()
            return 0

    def ask(
        self, line: bytes, targets: Callable[[tuple[int, int]], Sequence[tuple[int, int]]], deadline: float
    ) -> tuple[tuple[int, int], bytes, str]:
        """Size of the original, the pixels of what is made of it, of the sizes that ``targets`` tells, and the note.

        Raises:
            Refused: by the process, in its words. TimeoutError: it is past the deadline. EOFError: the process ended.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line)
        except BrokenPipeError:
            raise EOFError from None
        data = bytearray()
        while (end := data.find(b"\n")) < 0 and len(data) <= 2**16:
            data += self._receive(deadline)
        size, note, self.is_slow = _header(bytes(data[:end]))
        del data[: end + 1]
        expected = sum(3 * width * height for width, height in targets(size))
        while len(data) < expected:
            data += self._receive(deadline)
        if len(data) > expected:
            raise EOFError
        return size, bytes(data), note

    def _receive(self, deadline: float) -> bytes:
        """Some bytes of the answer, at least one."""
        assert self._process.stdout is not None
        output = self._process.stdout.fileno()
        if not _readable(output, deadline):
            raise TimeoutError
        if more := os.read(output, 2**20):
            return more
        raise EOFError


def _readable(descriptor: int, until: float) -> bool:
    """Wait until a pipe has something or has ended, or the time is over."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(1000 * max(0.0, until - time.monotonic())))


def _header(line: bytes) -> tuple[tuple[int, int], str, bool]:
    """Size, note and slowness of an answer; nothing in it is trusted."""
    try:
        answer = json.loads(line)
        slow = bool(answer["slow"])
        if "error" in answer:
            raise Refused(str(answer["error"]), slow)
        width, height = map(int, answer["size"])
        note = str(answer["note"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise EOFError from error
    if not (width > 0 < height and width * height <= MAX_PIXELS):
        raise EOFError
    return (width, height), note, slow
