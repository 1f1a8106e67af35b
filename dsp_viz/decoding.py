"""Decode pictures that may come from anyone, in separate processes with limits on time and memory.

A file of some kilobytes can keep a decoder busy for minutes, make it take gigabytes, or take it over. So each picture
is decoded in a process that holds Pillow and little else, see :mod:`dsp_viz.decode_worker`. One that passes
a limit ends. Only RGB of the size that was asked for comes back. It is not a sandbox: it has the rights of its user.

The standard library does it: a pool such as pebble's starts its processes with all that the program has imported
(torch, gradio), and bounds their time but neither CPU nor memory of one task.
"""

import json
import logging
import os
import signal
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from types import TracebackType
from typing import Any, NamedTuple, Self

from PIL import Image

from .decode_process import Process, Refused
from .framing import SQUARE, Fitting, Frame, frame, preview_size, sharp_size
from .reading import ImageError, Reading

_log = logging.getLogger("dsp_viz")

#: Processes that are kept when there is nothing to do.
_KEPT = 4

_AGAIN = "Save it again as an ordinary JPEG or PNG, scale it down, or choose another."


class Fitted(NamedTuple):
    """A picture as model input.

    Attributes:
        picture: RGB, of ``frame.input_size``. frame: how it was cut out of the original.
        note: what whoever looks at it should know, a sentence; "" if nothing.
        sharp: the same part for people, see :func:`dsp_viz.framing.sharp`.
    """

    picture: Image.Image
    frame: Frame
    note: str
    sharp: Image.Image


class Decoder:
    """Decodes picture files in other processes. Threads may share it; use it in ``with``, or call :meth:`close`.

    Processes start when they are needed, and one more than are busy stands ready. At most ``workers`` pictures are
    decoded at once; one that takes more than 0.15 s of computing gives way, so that even many of them leave half of
    the machine to another one. As long as fewer than ``workers`` bad pictures are being decoded, nobody waits for
    them. Pictures beyond ``workers`` wait in order of arrival: until another one is done or has used up its limits, or
    for ``patience`` seconds; then they are refused with a request to try again.

    The processes end with the one that made them, also if that is killed and even in the middle of a picture.

    Args:
        workers: pictures that are decoded at once.
        cpu_seconds: of computing for one picture. memory: bytes of address space of a process (not on macOS, which
            does not keep to it). seconds: of time for one picture.
        patience: seconds that a picture waits for its turn.
    """

    def __init__(
        self,
        *,
        workers: int = 8,
        cpu_seconds: int = 10,
        memory: int = 640 * 2**20,
        seconds: float = 30.0,
        patience: float = 10.0,
    ) -> None:
        self._limits = {"cpu_seconds": cpu_seconds, "memory": memory}
        self._workers, self._seconds, self._patience = workers, seconds, patience
        self._changed = threading.Condition()
        self._waiting: deque[object] = deque()  # in order of arrival
        self._idle: list[Process] = []
        self._busy: set[Process] = set()
        self._closed = False
        weakref.finalize(self, _end, self._idle)  # a decoder that nobody uses any more has no busy ones

    def fit(
        self,
        path: str | os.PathLike[str],
        *,
        side: int,
        patch: int,
        whole: bool = False,
        fitting: Fitting = SQUARE,
        stretch: bool = False,
    ) -> Fitted:
        """A picture file as model input: what ``images.fit(images.read_image(path), …)`` makes of it.

        Args:
            path: of a picture file. side, patch, whole, fitting: see :func:`dsp_viz.images.fit`.
            stretch: see :func:`dsp_viz.images.read_image`.

        Raises:
            ImageError: as of :func:`dsp_viz.images.read_image`; or the picture passes a limit, or none could be
                decoded in time.
        """

        framed = partial(frame, side=side, patch=patch, whole=whole, fitting=fitting)

        def targets(size: tuple[int, int]) -> list[tuple[int, int]]:
            used = framed(size)
            return [used.input_size, sharp_size(used)]

        request = {"side": side, "patch": patch, "whole": whole, "fitting": asdict(fitting), "stretch": stretch}
        size, (picture, sharp), note = self._decode(path, request, targets)
        return Fitted(picture, framed(size), note, sharp)

    def preview(self, path: str | os.PathLike[str], longest: int, *, stretch: bool = False) -> Reading:
        """All of a picture file, upright, at most ``longest`` pixels wide and high, without metadata.

        Raises:
            ImageError: as of :meth:`fit`.
        """
        request = {"longest": longest, "stretch": stretch}
        _, (picture,), note = self._decode(path, request, lambda size: [preview_size(size, longest)])
        return Reading(picture, note)

    def close(self) -> None:
        """End all processes; pictures that are being decoded or wait are refused."""
        with self._changed:
            self._closed = True
            _end(self._idle)
            for worker in self._busy:  # whoever waits for its answer sees that, and ends it
                worker.kill()
            self._changed.notify_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _decode(
        self,
        path: str | os.PathLike[str],
        request: dict[str, Any],
        targets: Callable[[tuple[int, int]], Sequence[tuple[int, int]]],
    ) -> tuple[tuple[int, int], list[Image.Image], str]:
        """Size of the original, what is made of it, of the sizes that ``targets`` tells, and the note."""
        line = json.dumps(request | {"path": os.path.abspath(os.fsdecode(path))}).encode() + b"\n"
        worker = self._take()
        good = False
        try:
            size, pixels, note = worker.ask(line, targets, time.monotonic() + self._seconds)
            good = True
        except Refused as refusal:
            good = not refusal.slow
            raise ImageError(str(refusal)) from None
        except TimeoutError:
            raise ImageError(f"The picture takes more than {self._seconds:g} s to decode. {_AGAIN}") from None
        except EOFError:
            raise ImageError(self._why(worker.status())) from None
        finally:
            self._give_back(worker, good)
        pictures, at = [], 0
        for width, height in targets(size):
            pictures.append(Image.frombytes("RGB", (width, height), pixels[at : at + 3 * width * height]))
            at += 3 * width * height
        return size, pictures, note

    def _why(self, status: int) -> str:
        """What to say of a process that ended in the middle of a picture."""
        if self._closed:
            return "The program is being stopped, so no pictures are decoded any more."
        if status == -signal.SIGXCPU:
            return f"The picture takes more than {self._limits['cpu_seconds']} s of computing to decode. {_AGAIN}"
        if status == -signal.SIGKILL:
            return "The process that decoded the picture was ended from outside. Try again."
        return f"The picture is damaged and stopped its decoder. {_AGAIN}"

    def _take(self) -> "Process":
        """A process that is ready, for this picture only, once it is this picture's turn."""
        turn = object()
        with self._changed:
            self._waiting.append(turn)
            try:
                if not self._changed.wait_for(lambda: self._closed or self._is_next(turn), self._patience):
                    raise ImageError("Too many pictures are being decoded at the moment. Try again in a few seconds.")
                if self._closed:
                    raise ImageError(self._why(0))
                try:
                    worker = self._ready()
                except OSError as error:
                    _log.warning("no process to decode with: %s", error)
                    raise ImageError(
                        f"No process can be started to decode the picture with ({error.strerror}). Try again later."
                    ) from error
                self._busy.add(worker)
                if not self._idle and len(self._busy) < self._workers:
                    with suppress(OSError):  # a spare one, to be ready sooner
                        self._idle.append(Process(self._limits))
                return worker
            finally:
                self._waiting.remove(turn)
                self._changed.notify_all()

    def _is_next(self, turn: object) -> bool:
        return self._waiting[0] is turn and len(self._busy) < self._workers

    def _ready(self) -> "Process":
        while self._idle:
            worker = self._idle.pop()
            if worker.is_alive():
                return worker
            worker.end()
        return Process(self._limits)

    def _give_back(self, worker: "Process", good: bool) -> None:
        with self._changed:
            self._busy.remove(worker)
            keep = good and not worker.is_slow and not self._closed and len(self._idle) < _KEPT
            if keep:
                self._idle.append(worker)
            self._changed.notify_all()
        if not keep:
            worker.end()


def _end(workers: list[Process]) -> None:
    while workers:
        workers.pop().end()
