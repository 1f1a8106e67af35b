"""The command line: ``python -m dsp_viz analyse | trust | survey | convert``, see :mod:`dsp_viz.commands`."""

import argparse
import sys

from .commands import analyse, convert, survey, trust


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: without the program's name; those of the process by default.

    Returns:
        Exit status: 0, or 1 if a picture could not be read or its files could not be written.

    Raises:
        SystemExit: bad arguments, with status 2 and a sentence on stderr.
    """
    parser = argparse.ArgumentParser(prog="python -m dsp_viz", description="See what attention does with pictures.")
    commands = parser.add_subparsers(required=True, metavar="{analyse,trust,survey,convert}")
    for command in (analyse, trust, survey, convert):
        command.add(commands)
    args = parser.parse_args(arguments)
    return int(args.run(args))


if __name__ == "__main__":
    sys.exit(main())
