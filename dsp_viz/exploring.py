"""The door from Python to the screen, which is loaded when somebody goes through."""

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from .subject import Subject

if TYPE_CHECKING:
    from .ui.program import Screen


def explore(
    *subjects: Subject,
    examples: Iterable[str | os.PathLike[str]] | None = None,
    host: str = "127.0.0.1",
    port: int = 7860,
    height: int = 900,
) -> "Screen | None":
    """Open the explorer with these models.

    From a script it serves until it is stopped, as ``python app.py`` does. In a notebook it returns at once; as the
    last line of a cell the screen is within the cell. There the browser must be on the machine of the kernel, or reach
    its ports.

    Args:
        subjects: from :func:`dsp_viz.load` or :func:`dsp_viz.wrap`, each with a name of its own.
        examples: paths of pictures to offer, the first of which is shown; by default those of the project.
        host, port: where a script listens; a notebook takes a free port of this machine.
        height: of the frame in a notebook, in pixels.

    Returns:
        In a notebook the running screen, with its ``address`` and ``close()``; from a script None, once it was stopped.

    Raises:
        ValueError: no model, or two of one name; or no examples.
        OSError: the port is taken.
    """
    # Gradio reads these once, when it is imported. Nothing of anyone's use of the explorer leaves the machine.
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from .ui import program

    return program.explore(subjects, examples, host=host, port=port, height=height)
