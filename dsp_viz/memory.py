"""Tell glibc's allocator to keep freed memory for reuse, to share it among threads, or to hand it back. Does nothing
without glibc."""

import ctypes

# Names of mallopt(3).
TRIM_THRESHOLD, TOP_PAD, MMAP_MAX, ARENA_MAX = -1, -2, -4, -8


def keep_freed_memory() -> None:
    """Reuse large freed blocks instead of handing them back.

    The kernel clears each page that it hands out again, which costs as much as an elementwise operation.
    """
    _mallopt({TRIM_THRESHOLD: 2**31 - 1, TOP_PAD: 2**28, MMAP_MAX: 0})


def share_freed_memory() -> None:
    """Let all threads allocate from two arenas, instead of up to eight for each core.

    What a thread has freed stays in its arena. A server whose threads take turns, as Gradio's do, would keep the memory
    of its largest computation once for each arena.
    """
    _mallopt({ARENA_MAX: 2})


def hand_back_freed_memory() -> None:
    """Give whole free pages to the kernel, also those between others: of itself the allocator cuts off its end only."""
    if library := _glibc():
        library.malloc_trim(0)


def _mallopt(values: dict[int, int]) -> None:
    if library := _glibc():
        for name, value in values.items():
            library.mallopt(name, value)


def _glibc() -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL("libc.so.6")
    except OSError:
        return None
