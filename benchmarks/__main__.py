"""Every benchmark that needs nothing but the project, one after the other: ``python -m benchmarks``."""

import os
import subprocess
import sys

#: Modules and their arguments; layers on one core and on all.
RUNS = [["attention"], ["attention", "--threads", str(os.cpu_count())], ["models"], ["judging"], ["app"]]


def main() -> None:
    """Each in a process of its own, so that none leaves memory or threads to the next."""
    for name, *arguments in RUNS:
        print(f"\n## {' '.join([name, *arguments])}\n", flush=True)
        subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *arguments], check=True)


if __name__ == "__main__":
    main()
