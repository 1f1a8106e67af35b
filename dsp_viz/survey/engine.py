"""Make a survey: many pictures through one model, and of each head what it did, as numbers.

The model runs on batches of pictures of one size, under the hooks of :mod:`dsp_viz.trace`; the numbers of heads are
those of :mod:`dsp_viz.heads`, computed where the model runs. Meanwhile threads decode the pictures that come next, with
the checks and to the pixel of :meth:`dsp_viz.subject.Subject.prepare`.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from torch import Tensor

from .. import __version__, heads, importance
from ..faults import running
from ..files import write_atomically
from ..layer import Layer, Trace
from ..reading import ImageError, read
from ..shards import Done, Making, Plan, cores, plan, work
from ..subject import Preparation, Subject, probabilities
from ..trace import trace
from .format import FORMAT, QUANTITIES, SETTINGS, SHARD, TOP, Row, SurveyedLayer, file_of, to_parquet

#: Pictures of a batch.
BATCH = 64


@dataclass(frozen=True)
class Settings:
    """What is asked of each picture.

    Attributes:
        side, whole: see :meth:`dsp_viz.subject.Subject.prepare`. layers: whose numbers are kept, and which.
        names: of the folders that stand for classes. batch: pictures that the model gets at a time.
    """

    side: int
    whole: bool
    layers: tuple[SurveyedLayer, ...]
    names: frozenset[str]
    batch: int = BATCH


@dataclass(frozen=True)
class Ready:
    """A picture as model input, ``(1, 3, height, width)``, or why not; ``size`` is the original's."""

    path: str
    size: tuple[int, int] | None
    input: Tensor | None
    error: str | None


def planned(
    subject: Subject,
    folder: Path,
    files: tuple[str, ...],
    out: Path,
    *,
    side: int,
    whole: bool = False,
    worth: bool = False,
) -> Plan:
    """Where a survey goes: a folder named by the hash of the weights, the temperature and the names of the classes, the
    version of this package and of the files, how pictures are prepared, and which they are (their names and sizes in
    bytes).

    Batch, device and threads are not in it: they change no digit that is kept but by chance the last one.

    Args:
        subject: the model. folder, files: see :func:`dsp_viz.shards.pictures`. out: folder of surveys.
        side, whole: see :meth:`dsp_viz.subject.Subject.prepare`.
        worth: whether what parts are worth is among the numbers, see :func:`dsp_viz.importance.worth`: it takes a
            backward pass.

    Raises:
        ValueError: worth of a model without classes.
    """
    if worth and not subject.classes:
        raise ValueError(f"--worth: {subject.name} has no classes, and worth is what a part does for a class")
    named = json.dumps([subject.classes, _directories(subject)]).encode()
    settings = {
        "survey": FORMAT,
        "version": __version__,
        "model": subject.name,
        "digest": subject.digest,
        "temperature": subject.temperature,
        "names": hashlib.sha256(named).hexdigest()[:12],
        "side": side,
        "whole": whole,
        "preparation": asdict(subject.preparation),
        **({"worth": True} if worth else {}),
    }
    return plan(folder, files, out, settings=settings, size=SHARD, name=file_of)


def begin(subject: Subject, plan: Plan, *, batch: int = BATCH) -> Settings:
    """Describe the model's layers, and write that where it is not written yet.

    Raises:
        ValueError: the model has no attention that is known here, or none whose maps could be verified.
        CheckpointError: the files cannot be written.
    """
    side, whole = plan.of["side"], plan.of["whole"]
    directories = _directories(subject)
    layers, verified = _described(subject, side, whole=whole, worth=plan.of.get("worth", False))
    settings = {
        "format": FORMAT,
        "of": plan.of,
        "classes": subject.classes,
        "directories": directories,
        "shard": plan.size,
        "quantities": QUANTITIES,
        "layers": [layer.described() for layer in layers],
        "verified": verified,
    }
    if not (plan.target / SETTINGS).exists():
        plan.target.mkdir(parents=True, exist_ok=True)
        write_atomically(plan.target / SETTINGS, json.dumps(settings, indent=1, ensure_ascii=False).encode() + b"\n")
    return Settings(side, whole, layers, frozenset(directories) | frozenset(subject.classes), batch)


def survey(
    subject: Subject, folder: Path, parts: Iterable[tuple[Path, Sequence[str]]], settings: Settings
) -> Iterator[Done]:
    """Write shards of a survey; yields after each batch.

    Args:
        subject: the model. folder: of the pictures. parts: of each shard its file and its pictures.
        settings: see :func:`begin`.

    Raises:
        CheckpointError: a file cannot be written.
    """
    return working(subject, folder, parts, settings, lambda ready: _shard(subject, ready, settings))


def working(
    subject: Subject,
    folder: Path,
    parts: Iterable[tuple[Path, Sequence[str]]],
    settings: Settings,
    make: Callable[[Iterator[Ready]], Making],
) -> Iterator[Done]:
    """:func:`survey`, with anything else that makes files of pictures that are ready."""

    def prepare(file: str) -> Ready:
        return _prepared(subject.preparation, folder, file, settings)

    return work(parts, prepare, make, workers=cores(), ahead=2 * settings.batch + cores())


def _directories(subject: Subject) -> tuple[str, ...]:
    return tuple(subject.config.directories) if subject.config else subject.classes


def _described(subject: Subject, side: int, *, whole: bool, worth: bool) -> tuple[tuple[SurveyedLayer, ...], float]:
    """The layers, and how far their maps were off, see :mod:`dsp_viz.proof`."""
    # Noise, the same each time: of a picture of one colour any map would do.
    x = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    with running(subject, side, whole=whole):
        found = trace(subject, x.to(subject.device))
    layers = tuple(_layer(i, block, whole=whole, worth=worth) for i, block in enumerate(found.blocks))
    return layers, found.verified


def _layer(index: int, block: Layer, *, whole: bool, worth: bool) -> SurveyedLayer:
    roles = tuple(stream.role for stream in block.streams)
    lacking = {
        *(() if block.dynamic else ("coefficient", "weight")),
        *(() if block.finish == "ratio" and set(roles) == {"same", "opposite"} else ("same_share",)),
        *(() if block.prefix else ("prefix_share",)),
        *(() if worth else ("worth",)),
    }
    return SurveyedLayer(
        index=index,
        name=block.name,
        kind=block.kind,
        stage=block.stage,
        heads=block.coefficients.shape[1],
        grid=None if whole else block.grid.size,
        pooled=tuple(scale.pooled for scale in block.scales),
        streams=tuple(stream.name for stream in block.streams),
        roles=roles,
        prefix=block.prefix,
        quantities=tuple(name for name in QUANTITIES if name not in lacking),
    )


def _prepared(how: Preparation, folder: Path, file: str, settings: Settings) -> Ready:
    told = file.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    try:
        cut, frame = how.fit(read(folder / file).picture, side=settings.side, whole=settings.whole)
    except ImageError as error:
        return Ready(told, None, None, str(error))
    return Ready(told, frame.size, how.tensor(cut), None)


def _shard(subject: Subject, pictures: Iterator[Ready], settings: Settings) -> Making:
    rows: dict[int, Row] = {}
    waiting: dict[torch.Size, list[tuple[int, Ready]]] = {}  # whole pictures have several sizes
    for i, picture in enumerate(pictures):
        if picture.input is None:
            rows[i] = Row(picture.path, _label(picture.path, settings.names), None, picture.error)
            yield Done(1, ((picture.path, picture.error or ""),))
            continue
        batch = waiting.setdefault(picture.input.shape, [])
        batch.append((i, picture))
        if len(batch) == settings.batch:
            yield _run(subject, batch, rows, settings)
            batch.clear()
    for batch in waiting.values():
        if batch:
            yield _run(subject, batch, rows, settings)
    return to_parquet([rows[i] for i in sorted(rows)], settings.layers, len(subject.classes))


def _run(subject: Subject, batch: list[tuple[int, Ready]], rows: dict[int, Row], settings: Settings) -> Done:
    """Put rows of a batch among the others."""
    x = torch.cat([picture.input for _, picture in batch if picture.input is not None])
    slopes = None
    with running(subject, settings.side, whole=settings.whole):
        found = trace(subject, x.to(subject.device), near=False)
        if any("worth" in layer.quantities for layer in settings.layers):
            slopes = dict(
                zip((block.name for block in found.blocks), importance.worth(subject, x, found.blocks), strict=True)
            )
    numbers, missing = _numbers(found, settings.layers, slopes)
    top, shares = _top(subject, found.output)
    for n, (i, picture) in enumerate(batch):
        rows[i] = Row(
            path=picture.path,
            label=_label(picture.path, settings.names),
            size=picture.size,
            error=None,
            top=tuple(top[n]),
            probabilities=tuple(shares[n]),
            numbers={key: values[n] for key, values in numbers.items()},
        )
    notes = tuple(f"{name}: nothing of {len(batch)} pictures ({'; '.join(found.refused)})" for name in missing)
    return Done(len(batch), notes=notes)


def _numbers(
    found: Trace, layers: Sequence[SurveyedLayer], slopes: Mapping[str, Tensor] | None
) -> tuple[dict[tuple[str, int], np.ndarray], list[str]]:
    """Of each quantity and layer ``(B, h, S, T)``; and names of layers that the pass did not show.

    Args:
        slopes: what parts are worth, by the layer's name; None: nobody asked.
    """
    blocks = {block.name: block for block in found.blocks}
    result = {}
    for layer in layers:
        if layer.name not in blocks:
            continue
        block = blocks[layer.name]
        with torch.inference_mode():
            of = vars(heads.numbers(block)) | {"coefficient": block.coefficients, "weight": block.weights}
        if slopes is not None:
            of["worth"] = slopes[layer.name]
        for name in layer.quantities:
            shape = (len(block.coefficients), *layer.shape(name))
            result[name, layer.index] = of[name].float().cpu().numpy().reshape(shape)
    return result, [layer.name for layer in layers if layer.name not in blocks]


def _top(subject: Subject, logits: Tensor) -> tuple[list[list[int]], list[list[float]]]:
    """Indices of the most probable classes and their probabilities; of two alike the first one is first."""
    if not subject.classes:
        return [[]] * len(logits), [[]] * len(logits)
    ordered = probabilities(subject, logits.double()).sort(dim=1, descending=True, stable=True)
    return ordered.indices[:, :TOP].tolist(), ordered.values[:, :TOP].tolist()


def _label(path: str, names: frozenset[str]) -> str | None:
    """The nearest folder that has the name of a class, or of its directory."""
    folders = reversed(PurePosixPath(path).parts[:-1])
    return next((folder for folder in folders if folder in names), None)
