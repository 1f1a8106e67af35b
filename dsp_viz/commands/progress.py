"""What commands that work in shards tell while they work, and in the end."""

import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NamedTuple

from tqdm import tqdm

from ..shards import Done, Plan

#: Exit status after Ctrl-C, as shells have it.
STOPPED = 130


class Followed(NamedTuple):
    """How it went.

    Attributes:
        errors: pictures that could not be used. stopped: whether Ctrl-C ended it.
    """

    errors: int
    stopped: bool


def follow(found: Iterable[Done], plan: Plan, own: list[int], doing: str) -> Followed:
    """Do the work and show how far it is, with pictures a second and the time that is left.

    Args:
        found: does it. plan: of all shards. own: those of this process. doing: what people read beside the bar.
    """
    sizes = {n: len(plan.part(n)) for n in own}
    there = sum(sizes.values()) - sum(sizes[n] for n in plan.missing(own))
    errors, told = 0, set[str]()
    with (
        _asked_to_stop() as stop,
        tqdm(total=sum(sizes.values()), initial=there, desc=doing, unit="picture", disable=None) as bar,
    ):
        try:
            for done in found:
                bar.update(done.pictures)
                errors += len(done.errors)
                notes = [note for note in done.notes if note not in told]
                told.update(notes)
                # Through tqdm, so that a sentence does not end up within its bar.
                for line in (*(f"{plan.folder / path}: {error}" for path, error in done.errors), *notes):
                    tqdm.write(line, file=sys.stderr)
                if stop.is_set():
                    return Followed(errors, bool(plan.missing(own)))
        except KeyboardInterrupt:
            return Followed(errors, True)
    return Followed(errors, False)


@contextmanager
def _asked_to_stop() -> Iterator[threading.Event]:
    """Set by the first Ctrl-C; the second one interrupts at once.

    Python raises an interruption wherever it is, and one that comes while an object is cleared away is lost.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # others get no signals
        yield stop
        return

    def first(_signal: int, _frame: FrameType | None) -> None:
        stop.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        tqdm.write("Stopping when this batch is done; Ctrl-C again stops at once.", file=sys.stderr)

    before = signal.signal(signal.SIGINT, first)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


def tell(plan: Plan, own: list[int]) -> bool:
    """Say how much is done, unless all is; whether it is."""
    mine, every = (len(plan.missing(shards)) for shards in (own, range(plan.count)))
    if every:
        done = plan.count - every
        rest = f", {every - mine} of the others are other processes'" if every > mine else ""
        how = "; the same command goes on" if mine else ""
        print(f"{plan.target}: {done} of {plan.count} shards are done{rest}{how}.", file=sys.stderr)
    return not every
