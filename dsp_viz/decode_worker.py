"""What runs in a decoding process: reads pictures as asked on its standard input, see :mod:`dsp_viz.decoding`.

Run by its path, with the caller's ``sys.path`` and its limits as arguments. It stands in for the package with an empty
one of the same name, so that nothing of it is imported but what reads pictures: no torch, no gradio.

A request is a line of JSON; so is the answer, and the bytes of the pictures follow. No pickle: a decoder that hostile
bytes took over must not run code of its choice in the caller.
"""

import json
import os
import queue
import resource
import signal
import sys
import threading
import time
from types import ModuleType
from typing import Any

#: After this many seconds of computing a picture counts as slow, and its process gives way to others by this many steps
#: of priority: to a tenth of their share of a core that all want. So a large picture on a busy machine goes on too.
SLOW, WAY = 0.15, 10


def main() -> None:
    setup = json.loads(sys.argv[1])
    sys.path[:] = setup["path"]
    package = ModuleType("dsp_viz")
    package.__path__ = [os.path.dirname(os.path.abspath(__file__))]
    sys.modules["dsp_viz"] = package
    from dsp_viz import framing, reading  # noqa: F401

    reading.AvifImagePlugin.DEFAULT_MAX_THREADS = 1

    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a decoder prints must not get between the answers
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":  # other systems do not enforce it
        resource.setrlimit(resource.RLIMIT_AS, (setup["memory"], setup["memory"]))

    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGPROF])  # in this thread, and in those that it starts
    slow = threading.Event()
    threading.Thread(target=_give_way, args=(slow,), daemon=True).start()
    requests: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(requests,), daemon=True).start()
    while True:
        request = requests.get()
        # Whole seconds of CPU, counted from the start of the process.
        until = int(time.process_time() + 1 + setup["cpu_seconds"])
        resource.setrlimit(resource.RLIMIT_CPU, (until, resource.RLIM_INFINITY))
        signal.setitimer(signal.ITIMER_PROF, SLOW)
        header, pixels = _answer(request)
        signal.setitimer(signal.ITIMER_PROF, 0)
        try:
            answers.write(json.dumps(header | {"slow": slow.is_set()}).encode() + b"\n" + pixels)
            answers.flush()
        except BrokenPipeError:  # the caller is gone, and nobody reads a word of it
            os._exit(0)


def _give_way(slow: threading.Event) -> None:
    """Wait for the timer, in a thread of its own: the main thread may be busy in a decoder for long."""
    signal.sigwait([signal.SIGPROF])
    slow.set()
    usual = os.getpriority(os.PRIO_PROCESS, os.getpid())
    os.setpriority(os.PRIO_PROCESS, os.getpid(), min(19, usual + WAY))  # of the main thread, which decodes


def _listen(requests: "queue.SimpleQueue[dict[str, Any]]") -> None:
    """Take requests until the caller is gone; then end at once, even in the middle of a picture."""
    for line in sys.stdin.buffer:
        requests.put(json.loads(line))
    os._exit(0)


def _answer(request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    from dsp_viz import framing, reading

    try:
        picture, note = reading.read(request["path"], stretch=request["stretch"])
    except reading.ImageError as error:
        return {"error": str(error)}, b""
    if "longest" in request:
        made = [framing.preview(picture, request["longest"])]
    else:
        how = {key: request[key] for key in ("side", "patch", "whole")}
        cut, used = framing.fit(picture, fitting=framing.Fitting(**request["fitting"]), **how)
        made = [cut, framing.sharp(picture, used)]
    return {"size": picture.size, "note": note}, b"".join(each.tobytes() for each in made)


if __name__ == "__main__":
    main()
