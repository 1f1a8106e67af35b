"""A survey on a Ray cluster: Ray Data shares out the shards, and each worker does what a single process would do.

Not ``read_images → map_batches → write_parquet``: pictures are read with our own checks, a shard is the same batches
whoever makes it, and its file is written whole under its own name. So rows are those of a single run, what is written
is not done again, and a worker that dies takes no more with it than the shard that it was at, which is tried again.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

# Ray tells its makers how it is used, unless it is told not to before it is loaded.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
try:
    import ray
    import ray.data
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"--ray needs {error.name}, which is not installed: pip install 'dsp-attention[cluster]'", name=error.name
    ) from error

from ..shards import Done, Plan
from ..sources import CheckpointError, load
from .engine import Settings
from .engine import survey as survey_here

#: Of this machine alone.
LOCAL = "local"


@dataclass(frozen=True)
class Job:
    """What each worker has to know.

    Attributes:
        model: its address, see :func:`dsp_viz.load`. digest: of its weights. device: where it is to run.
        folder: of the pictures. settings: see :func:`dsp_viz.survey.engine.begin`.
    """

    model: str
    digest: str
    device: str
    folder: Path
    settings: Settings


class Worker:
    """Holds the model, and makes one shard after the other."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.subject = load(job.model, device=job.device)
        if self.subject.digest != job.digest:
            raise CheckpointError(
                f"{job.model} has other weights on this node ({self.subject.digest}, not {job.digest})"
            )

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """A shard, as Ray Data gives it: its file and its pictures."""
        (path,), (files,) = batch["path"], batch["files"]
        done: list[Done] = []
        if not Path(path).exists():  # tried again after it was written
            parts = [(Path(path), [str(file) for file in files])]
            done = list(survey_here(self.subject, self.job.folder, parts, self.job.settings))
        told = [(file, error) for each in done for file, error in each.errors]
        notes = [note for each in done for note in each.notes]
        return {"pictures": np.array([len(files)]), "told": [[f"{a}\0{b}" for a, b in told]], "notes": [notes]}


def survey(address: str, job: Job, plan: Plan, shards: Sequence[int]) -> Iterator[Done]:
    """Write shards of a survey, a worker on each GPU of a cluster, or on each core where it has none.

    Args:
        address: of the cluster, or :data:`LOCAL`. job: what workers have to know.
        plan: see :func:`dsp_viz.survey.engine.planned`. shards: that are to be written.

    Yields:
        After each shard.
    """
    if not shards:
        return
    local = address == LOCAL
    ray.init(None if local else address, include_dashboard=False if local else None, log_to_driver=False)
    try:
        yield from _shared(job, plan, shards)
    finally:
        ray.shutdown()


def _shared(job: Job, plan: Plan, shards: Sequence[int]) -> Iterator[Done]:
    found = ray.cluster_resources()
    gpus = int(found.get("GPU", 0)) if job.device in ("auto", "cuda") else 0
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    items = [{"path": str(plan.path(n).resolve()), "files": list(plan.part(n))} for n in shards]
    rows = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
        Worker,
        fn_constructor_args=(job,),
        batch_size=1,
        num_cpus=1,
        num_gpus=1 if gpus else None,
        compute=ray.data.ActorPoolStrategy(size=min(len(shards), gpus or int(found["CPU"]))),
    )
    for row in rows.iter_rows():
        errors = tuple((file, error) for file, _, error in (str(line).partition("\0") for line in row["told"]))
        yield Done(int(row["pictures"]), errors, tuple(map(str, row["notes"])))
