"""What a survey costs: ``python -m benchmarks.survey DIR --model NAME``.

Measured are the survey's speed beside that of the plain batched forward pass with the same decoding, in turns, by the
clock and in seconds of computing; its memory as it goes on; the bytes of a picture; and how fast rows are read back.
With a GPU (``--device``) and several processes (``torchrun --nproc-per-node 8 -m benchmarks.survey``) each tells its
own.
"""

import argparse
import resource
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

import dsp_viz
from dsp_viz import shards
from dsp_viz.commands.options import add_common, chosen, count
from dsp_viz.memory import keep_freed_memory
from dsp_viz.survey import engine, open_survey
from dsp_viz.survey.format import SHARD

#: Rows that are read back.
ROWS = 50_000


def plain(subject: dsp_viz.Subject, folder: Path, plan: shards.Plan, settings: engine.Settings) -> None:
    """All pictures through the model, and nothing else: decoded as a survey decodes them, in the same batches."""

    def make(ready: Iterator[engine.Ready]) -> shards.Making:
        batch = []
        for picture in ready:
            batch.append(picture.input)
            if len(batch) == settings.batch:
                yield run(batch)
                batch.clear()
        if batch:
            yield run(batch)
        return b""

    def run(batch: list[torch.Tensor]) -> shards.Done:
        with torch.inference_mode():
            subject(torch.cat(batch).to(subject.device)).cpu()
        return shards.Done(len(batch))

    with TemporaryDirectory() as out:
        parts = [(Path(out) / str(n), plan.part(n)) for n in range(plan.count)]
        for _ in engine.working(subject, folder, parts, settings, make):
            pass


def surveyed(subject: dsp_viz.Subject, folder: Path, plan: shards.Plan, settings: engine.Settings) -> None:
    """The same pictures surveyed, anew."""
    parts = [(plan.path(n), plan.part(n)) for n in range(plan.count)]
    for _ in engine.survey(subject, folder, parts, settings):
        pass


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock, and of computing."""
    start, computing = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - computing


def speed(subject: dsp_viz.Subject, folder: Path, plan: shards.Plan, settings: engine.Settings, rounds: int) -> None:
    """Both in turns."""
    print(
        f"\n{len(plan.files)} pictures, {subject.name} at {settings.side} px on {subject.device}, batch "
        f"{settings.batch}, {torch.get_num_threads()} threads, {shards.cores()} cores; medians of {rounds} rounds\n"
    )
    found: dict[str, list[tuple[float, float]]] = {"plain forward": [], "survey": []}
    peaks = []
    for _ in range(rounds):
        for name, work in (("plain forward", plain), ("survey", surveyed)):
            found[name].append(timed(lambda work=work: work(subject, folder, plan, settings)))
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10)
    print("| | pictures/s | ms of computing a picture |\n|---|---|---|")
    for name, times in found.items():
        clock, computing = (statistics.median(column) for column in zip(*times, strict=True))
        print(f"| {name} | {len(plan.files) / clock:.1f} | {computing / len(plan.files) * 1e3:.1f} |")
    pairs = list(zip(found["plain forward"], found["survey"], strict=True))
    by_clock, by_computing = (statistics.median(a[i] / b[i] for a, b in pairs) for i in (0, 1))
    print(
        f"\nThe survey has {by_clock:.2f} of the plain forward's speed by the clock, {by_computing:.2f} by computing."
    )
    print(f"Peak memory after each round: {', '.join(f'{peak:,.0f}' for peak in peaks)} MiB.")


def read_back(plan: shards.Plan) -> None:
    """How large rows are, and how fast :data:`ROWS` of them are read."""
    size = sum(plan.path(n).stat().st_size for n in range(plan.count))
    print(f"{size / len(plan.files):,.0f} bytes a picture.")
    with TemporaryDirectory() as folder:
        many = Path(folder)
        wanted = -(-ROWS // plan.size)
        for n in range(wanted):
            shutil.copy(plan.path(0), many / plan.name(n))
        text = (plan.target / "survey.json").read_text()
        before = f'"count": {len(plan.files)}'
        assert text.count(before) == 1
        (many / "survey.json").write_text(text.replace(before, f'"count": {wanted * plan.size}'))
        survey = open_survey(many)
        layers = [layer.index for layer in survey.layers]
        asked = {
            "paths, classes and labels": lambda: (survey.paths, survey.top, survey.labels),
            "one quantity of one layer": lambda: survey.quantity("entropy", 0),
            "one quantity of all layers": lambda: survey.of_layers("entropy", layers),
            "totals of everything": survey.totals,
        }
        took = {what: timed(read) for what, read in asked.items()}
    print(f"\n{len(survey):,} rows are read back:\n\n| | seconds | of computing |\n|---|---|---|")
    for what, (clock, computing) in took.items():
        print(f"| {what} | {clock:.2f} | {computing:.2f} |")


def main() -> None:
    """Print all of it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.survey", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder of pictures")
    parser.add_argument(
        "--limit", type=count, default=512, help="pictures of a round, a shard or more (default %(default)s)"
    )
    parser.add_argument("--rounds", type=count, default=3, help="rounds (default %(default)s)")
    parser.add_argument("--batch", type=count, default=64, help="pictures of a batch (default %(default)s)")
    add_common(parser)
    args = parser.parse_args()
    keep_freed_memory()
    subject, side = chosen(args)
    with TemporaryDirectory() as out:
        files = shards.pictures(args.folder, max(args.limit, SHARD))
        plan = engine.planned(subject, args.folder, files, Path(out), side=side, whole=args.whole)
        settings = engine.begin(subject, plan, batch=args.batch)
        speed(subject, args.folder, plan, settings, args.rounds)
        read_back(plan)


if __name__ == "__main__":
    main()
