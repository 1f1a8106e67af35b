"""The browser that the tests drive. Run as a script it finds one, or installs Debian's; else it says what to do."""

import os
import shutil
import subprocess
import sys

#: Programs that Playwright can drive, in the order of preference.
CANDIDATES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MAC = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"

#: Flags for a browser that may run as root in a container and must stay on this host.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def find() -> str | None:
    """Path of an installed Chromium or Chrome; ``CHROMIUM`` in the environment goes first."""
    found = [os.environ.get("CHROMIUM"), *map(shutil.which, CANDIDATES), MAC if os.path.exists(MAC) else None]
    return next((path for path in found if path), None)


def main() -> None:
    if find():
        return
    if shutil.which("apt-get") is None:
        sys.exit("The browser tests need Chromium or Chrome: install one, or set CHROMIUM to the path of its program.")
    root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    print("installing chromium for the browser tests", flush=True)
    for command in (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "chromium"]):
        if subprocess.run([*root, *command], stdout=subprocess.DEVNULL).returncode:
            sys.exit(f"'{' '.join(command)}' failed. Install Chromium yourself, or set CHROMIUM to its program.")


if __name__ == "__main__":
    main()
