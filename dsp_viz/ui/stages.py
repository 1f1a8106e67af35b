"""Layers in words: by stage and block where a model has several grids, by block where it has one."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol


class Staged(Protocol):
    """Whatever tells its stage, from 0: a record of a layer, or what the page knows of it."""

    @property
    def stage(self) -> int: ...


class Levels(NamedTuple):
    """Where a layer stands: its stage, and which block of it, both from 0."""

    stage: int
    block: int


def levels(layers: Iterable[Staged]) -> list[Levels]:
    """Stage and block of each layer, in order; stages are counted without gaps."""
    counts: dict[int, int] = {}
    found = []
    for layer in layers:
        block = counts.setdefault(layer.stage, 0)
        counts[layer.stage] += 1
        found.append(Levels(list(counts).index(layer.stage), block))
    return found


def block_names(layers: Sequence[Staged]) -> list[str]:
    """What people read: ``block 3``, or ``stage 2 · block 3`` where there are several stages; both count from 1."""
    found = levels(layers)
    if not any(stage for stage, _ in found):
        return [f"block {block + 1}" for _, block in found]
    return [f"stage {stage + 1} · block {block + 1}" for stage, block in found]
