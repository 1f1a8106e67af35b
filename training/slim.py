"""A survey small enough to pass on: ``python -m training.slim SURVEY OUT --pictures DIR [--open GLOB]``.

Numbers of fewer digits, without some quantities; of the pictures those whose terms allow it; and the groups of classes.
"""

import argparse
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

from dsp_viz.files import write_atomically
from dsp_viz.survey import SurveyError, open_survey
from dsp_viz.survey.format import SETTINGS, file_of, slim

#: Bits of the significand that stay: numbers are off by at most 2⁻⁸ of themselves, 0.4 %.
BITS = 7

#: Quantities that are left out.
WITHOUT = ("received_entropy", "centre_row", "centre_column")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("survey", type=Path, help="what python -m dsp_viz survey has written, whole")
    parser.add_argument("out", type=Path, help="folder to write to, made if missing")
    parser.add_argument("--pictures", type=Path, required=True, help="the folder that was surveyed")
    parser.add_argument(
        "--open", default="", metavar="GLOB", help="paths of pictures that may be passed on, as CLASS/*"
    )
    args = parser.parse_args(arguments)
    try:
        survey = open_survey(args.survey)
    except SurveyError as error:
        parser.error(str(error))
    if not args.pictures.is_dir():
        parser.error(f"{args.pictures} is no folder: give the one that was surveyed")
    if survey.missing:
        parser.error(f"{args.survey} lacks {len(survey.missing)} of its files of rows: finish it first")
    passed_on = [path for path in survey.paths if fnmatchcase(path, args.open)]
    if gone := [path for path in passed_on if not (args.pictures / path).is_file()]:
        parser.error(f"{args.pictures} has no {gone[0]}: give the folder that was surveyed")
    layers = [
        replace(layer, quantities=tuple(name for name in layer.quantities if name not in WITHOUT))
        for layer in survey.layers
    ]
    args.out.mkdir(parents=True, exist_ok=True)
    for shard in survey.shards:
        write_atomically(args.out / file_of(shard), slim(survey.path / file_of(shard), layers, BITS))
    settings = survey.settings | {"layers": [layer.described() for layer in layers]}
    write_atomically(args.out / SETTINGS, json.dumps(settings, indent=1).encode())
    for path in passed_on:
        (args.out / "pictures" / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(args.pictures / path, args.out / "pictures" / path)
    for listing in (args.pictures / "classes.json", args.pictures.parent / "classes.json"):
        if listing.is_file():
            entries = [
                {key: entry[key] for key in ("name", "directory", "group") if key in entry}
                for entry in json.loads(listing.read_text())["classes"]
            ]
            write_atomically(args.out / "classes.json", json.dumps({"classes": entries}, indent=0).encode())
            break
    sizes = [file.stat().st_size for file in args.out.rglob("*") if file.is_file()]
    print(f"{args.out}: {len(survey)} pictures, {sum(sizes) / 1e6:.2f} MB in {len(sizes)} files")


if __name__ == "__main__":
    main()
