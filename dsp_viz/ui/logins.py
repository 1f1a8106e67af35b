"""Names and passwords of those who may use the app."""

import os
from pathlib import Path

#: Where they stand if no file is given.
VARIABLE = "DSP_VIZ_AUTH"


def logins(file: str | None) -> list[tuple[str, str]]:
    """Of a file, or of the environment variable :data:`VARIABLE`: a line ``USER:PASSWORD`` each; none where neither is.

    Not of an argument, which everybody on the machine can read in the list of processes.

    Raises:
        ValueError: the file cannot be read, or has no such line; the line is named by its number, not repeated.
    """
    where = VARIABLE if file is None else f"--auth {file}"
    try:
        text = os.environ.get(VARIABLE, "") if file is None else Path(file).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{where}: {error}") from error
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        user, colon, password = line.partition(":")
        if not (user and colon and password):
            raise ValueError(f"{where}: line {number} is not USER:PASSWORD")
        found.append((user, password))
    if file is not None and not found:
        raise ValueError(f"{where}: no line USER:PASSWORD in it")
    return found
