"""What the pictures of a survey are of: classes, and groups of them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..survey import Survey


@dataclass(frozen=True)
class Classes:
    """What pictures are of: the class that the survey says, else the name of the folder that each lies in.

    Attributes:
        names: of the classes. of: each picture, an index among them, or −1: it lies in no folder.
        groups: each group's classes, ``(classes,)`` bool, by its name.
    """

    names: tuple[str, ...]
    of: np.ndarray
    groups: dict[str, np.ndarray]

    def inside(self, of: str) -> np.ndarray | None:
        """The classes of ``group/NAME`` or ``class/NAME``; None where there is no such."""
        sort, _, name = of.partition("/")
        if sort == "group":
            return self.groups.get(name)
        return np.array([known == name for known in self.names]) if sort == "class" and name in self.names else None


def classes_of(survey: Survey, folder: Path | None) -> Classes:
    """Of all pictures of a survey; ``folder``: where they lie, if that is known, for the groups."""
    names = list(survey.classes)
    of = survey.labels.copy()
    known = {name: i for i, name in enumerate(names)}
    for i in np.flatnonzero(of < 0):
        if parent := survey.paths[i].rpartition("/")[0].rpartition("/")[2]:
            of[i] = known.setdefault(parent, len(known))
    return Classes(tuple(known), of, _groups(survey, folder, tuple(known)))


def _groups(survey: Survey, folder: Path | None, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """By the ``group`` of the classes in ``classes.json``, beside the pictures or the folder that was surveyed."""
    entries: Any = []
    for place in (folder, folder.parent) if folder else ():
        try:
            entries = json.loads((place / "classes.json").read_bytes())["classes"]
            break
        except (OSError, ValueError, KeyError, TypeError):
            continue
    group: dict[str, str] = {}
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict) and isinstance(entry.get("group"), str):
            group |= {str(entry.get(key)): entry["group"] for key in ("name", "directory")}
    directories = dict(zip(survey.settings["classes"], survey.settings["directories"] or (), strict=False))
    of_class = [group.get(name) or group.get(str(directories.get(name))) for name in names]
    return {g: np.array([g == one for one in of_class]) for g in dict.fromkeys(of_class) if g}
