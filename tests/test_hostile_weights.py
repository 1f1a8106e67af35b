"""Weights as an enemy would make them, and what is no file at all: each ends in a sentence, and takes no memory."""

import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hostile_checkpoints import BUILD, SHAPES, array, refused
from safetensors.torch import load_file, save_file

from dsp_attention import DSPImageClassifier


def a_sparse_file(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**40)


INSTEAD: list[tuple[Callable[[Path], object], str]] = [
    (Path.mkdir, "Is a directory"),
    (os.mkfifo, "no regular file"),
    (lambda path: path.symlink_to("/dev/zero"), "no regular file"),
    (lambda path: path.symlink_to("/dev/null"), "no regular file"),
    (lambda path: path.symlink_to("/proc/self/mem"), ""),
    (lambda path: path.symlink_to("/proc/self/maps"), "changed while it was read"),
    (a_sparse_file, "holds 1,099,511,627,776 bytes; at most"),
]


@pytest.mark.parametrize("ending", [".json", ".safetensors", ".snapshots.npz"])
@pytest.mark.parametrize(("make", "message"), INSTEAD, ids=lambda v: v if isinstance(v, str) else "")
def test_what_is_no_file(weights: Path, ending: str, make: Callable[[Path], object], message: str) -> None:
    path = weights.with_name(f"small{ending}")
    path.unlink()
    make(path)
    refused(weights, path.name, message)


def test_files_that_are_missing(weights: Path) -> None:
    weights.with_suffix(".json").unlink()
    refused(weights, "small.json cannot be read: No such file or directory")
    weights.unlink()
    refused(weights, "there is no such file")
    weights.symlink_to(weights)
    refused(weights, "there is no such file")


def packed(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def one(**entry: Any) -> dict[str, Any]:
    return {"positions": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} | entry}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0\0\0",
        b"\0" * 8,
        packed(b"", length=2**63 - 1),
        packed(b"", length=2**64 - 1),
        packed({}, length=10**6),
        packed(b"[]"),
        packed(b"null"),
        packed(b"{"),
        packed(b"\xff" * 8),
        packed(b"[" * 20_000),
        packed(one(), b"\0" * 3),
        packed(one(), b"\0" * 5),
        packed(one(data_offsets=[4, 0]), b"\0" * 4),
        packed(one(data_offsets=[0, 8]), b"\0" * 8),
        packed(one(data_offsets=[0, 2**63]), b"\0" * 4),
        packed(one(data_offsets=[-4, 0]), b"\0" * 4),
        packed(one(data_offsets=[0]), b"\0" * 4),
        packed(one(data_offsets=[4, 8]), b"\0" * 8),
        packed(one(dtype="Q7"), b"\0" * 4),
        packed(one(dtype=None), b"\0" * 4),
        packed(one(dtype="F4", shape=[8]), b"\0" * 4),
        packed(one(dtype="F8_E8M0", shape=[4]), b"\0" * 4),
        packed(one(dtype="C64", shape=[1], data_offsets=[0, 8]), b"\0" * 8),
        packed(one(shape=[-1]), b"\0" * 4),
        packed(one(shape=[2**62, 8]), b"\0" * 4),
        packed(one(shape="1"), b"\0" * 4),
        packed(one() | {"other": one()["positions"]}, b"\0" * 4),
        packed({"__metadata__": {"format": 3}}),
        packed(one(shape=[0], data_offsets=[0, 0])),
        packed(one(shape=[0, 2**40], data_offsets=[0, 0])),
        packed({f"t{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(10_000)}),
        pickle.dumps({"positions": 1}),
        b"PK\x03\x04" + b"\0" * 99,
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4578576\n",
    ],
    ids=lambda data: repr(data[8:48]),
)
def test_weights_that_are_none(weights: Path, data: bytes) -> None:
    weights.write_bytes(data)
    refused(weights, "small.safetensors")


def set_to(key: str, value: float) -> Callable[[dict[str, torch.Tensor]], object]:
    return lambda tensors: tensors[key].view(-1)[:1].fill_(value)


def cast(key: str, dtype: torch.dtype) -> Callable[[dict[str, torch.Tensor]], object]:
    return lambda tensors: tensors.update({key: tensors[key].to(dtype)})


def prefixed(prefix: str) -> Callable[[dict[str, torch.Tensor]], object]:
    def change(tensors: dict[str, torch.Tensor]) -> None:
        for key in list(tensors):
            tensors[prefix + key] = tensors.pop(key)

    return change


STEM, COUNT = "embed.layers.1.running_var", "embed.layers.1.num_batches_tracked"

TENSORS: list[tuple[Callable[[dict[str, torch.Tensor]], object], str]] = [
    (lambda tensors: tensors.clear(), "missing"),
    (lambda tensors: tensors.pop("positions"), "missing positions"),
    (lambda tensors: tensors.update({"x" * 3000: torch.zeros(1)}), "unexpected xxx"),
    (lambda tensors: tensors.update(positions=tensors["positions"][0]), "positions is (9, 12), expected (1, 9, 12)"),
    (lambda tensors: tensors.update(positions=torch.zeros([1] * 500)), "positions is (1, 1"),
    (lambda tensors: tensors.update(positions=torch.zeros(0)), "positions is (0,), expected (1, 9, 12)"),
    (set_to("positions", float("nan")), "positions holds values that are not finite"),
    (set_to("positions", float("-inf")), "positions holds values that are not finite"),
    (
        lambda tensors: tensors.update(positions=tensors["positions"].double() * 1e300),
        "positions holds values that are not",
    ),
    (set_to(STEM, -1.0), f"{STEM} holds negative variances"),
    *((cast("positions", t), f"positions is {t}, expected one of") for t in (torch.int64, torch.bool, torch.uint8)),
    (cast("positions", torch.float8_e4m3fn), "positions is torch.float8_e4m3fn, expected one of"),
    (cast(COUNT, torch.float32), f"{COUNT} is torch.float32, expected one of torch.int64"),
    (cast(COUNT, torch.bool), f"{COUNT} is torch.bool, expected one of torch.int64"),
    (prefixed("module."), "keys start with 'module.': save them without it, those of model.module.state_dict()"),
    (prefixed("_orig_mod."), "save them without it, those of model._orig_mod.state_dict()"),
    (prefixed("module._orig_mod."), "those of model.module._orig_mod.state_dict()"),
    (prefixed("model."), "keys start with 'model.': save them without it, those of model.model.state_dict()"),
    (prefixed("classifier."), "those of model.classifier.state_dict()"),
    (prefixed("state_dict."), "keys start with 'state_dict.': save them without it"),
]


@pytest.mark.parametrize(("change", "message"), TENSORS, ids=lambda v: v if isinstance(v, str) else "")
def test_tensors(weights: Path, change: Callable[[dict[str, torch.Tensor]], object], message: str) -> None:
    tensors = load_file(weights)
    change(tensors)
    save_file(tensors, weights)
    refused(weights, "small.safetensors does not fit its config", message)


def test_a_prefix_is_named_beside_the_keys_of_an_averaged_model(weights: Path) -> None:
    averaged = torch.optim.swa_utils.AveragedModel(DSPImageClassifier(**BUILD))
    save_file(averaged.state_dict(), weights)
    refused(weights, "keys start with 'module.'")


def test_nothing_is_allocated_that_the_files_do_not_hold(weights: Path) -> None:
    """Peak memory of a process of its own: models of 85 million and of billions of numbers, an array of 512 MB."""
    path = weights.with_suffix(".json")
    plain = json.loads(path.read_text())
    for name, more in {"bomb": {}, "large": {"dim": 768, "depth": 12}, "huge": {"dim": 8184, "depth": 128}}.items():
        (weights.parent / f"{name}.json").write_text(json.dumps({**plain, "model": {**BUILD, **more}}))
        (weights.parent / f"{name}.safetensors").write_bytes(weights.read_bytes())
    with zipfile.ZipFile(weights.parent / "bomb.snapshots.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for key in SHAPES:
            with archive.open(f"{key}.npy", "w", force_zip64=True) as member:
                member.write(array(key))
                for _ in range(16 if key == "filters" else 0):
                    member.write(bytes(2**25))
    program = (
        "import resource, sys, dsp_viz\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024\n"
        "dsp_viz.load('dsp_tiny')\n"
        "before = peak()\n"
        "for name in sys.argv[1:]:\n"
        "    try: dsp_viz.load(name)\n"
        "    except dsp_viz.CheckpointError: continue\n"
        "    sys.exit(f'{name} loads')\n"
        "print(peak() - before)\n"
    )
    paths = [str(weights.parent / f"{name}.safetensors") for name in ("bomb", "large", "huge")]
    done = subprocess.run(
        [sys.executable, "-c", program, *paths], capture_output=True, text=True, cwd=Path(__file__).parent.parent
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 100  # MB
