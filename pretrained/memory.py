"""How large blocks of memory are reused."""

import ctypes


def keep_freed_memory() -> None:
    """Make glibc reuse large freed blocks instead of handing them back.

    The kernel clears each page it hands out again, which costs as much as an elementwise operation. Elsewhere nothing
    happens.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except OSError:
        return
    trim_threshold, top_pad, mmap_max = -1, -2, -4  # names of mallopt(3)
    mallopt(trim_threshold, 2**31 - 1)
    mallopt(top_pad, 2**28)
    mallopt(mmap_max, 0)
