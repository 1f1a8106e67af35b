"""Memory that was freed goes back to the kernel."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import gc
import resource
from pathlib import Path
import numpy as np
from dsp_viz.memory import hand_back_freed_memory

def resident():
    return resource.getpagesize() * int(Path("/proc/self/statm").read_text().split()[1]) / 2**20

blocks = [np.ones(100_000, np.uint8) for _ in range(2000)]  # small enough for the heap, 190 MiB
kept = blocks[99::100]  # so that it cannot be cut off at its end
del blocks
gc.collect()
before = resident()
hand_back_freed_memory()
print(before - resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators are left alone")
def test_gaps_between_what_is_in_use_are_handed_back() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert float(done.stdout) > 100
