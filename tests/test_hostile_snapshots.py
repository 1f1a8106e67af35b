"""Snapshots as an enemy would pack them: each ends in a sentence that names the array and the fault."""

import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hostile_checkpoints import BUILD, array, pack_snapshots, refused, write_small


def header(text: str, version: bytes = b"\x01\x00") -> bytes:
    return b"\x93NUMPY" + version + struct.pack("<H" if version == b"\x01\x00" else "<I", len(text)) + text.encode()


def told(shape: str, dtype: str = "'<f2'") -> bytes:
    return header(f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}}}\n")


@pytest.mark.parametrize(
    ("weights_npy", "message"),
    [
        (b"", ""),
        (b"\x93NUMPY", ""),
        (b"no array", "magic"),
        (array("weights") + b"\0", "does not hold the numbers that its header tells of"),
        (array("weights")[:-1], "does not hold the numbers that its header tells of"),
        (array("weights", shape=(3, 1, 3, 2)), "of different numbers of epochs"),
        (array("weights", shape=(0, 1, 3, 2)), "weights is (0, 1, 3, 2); (epochs, 1, 3, 2) is needed"),
        (array("weights", shape=(2, 1, 3, 3)), "weights is (2, 1, 3, 3)"),
        (array("weights", shape=(12,)), "weights is (12,)"),
        (array("weights", shape=()), "weights is ()"),
        *(
            (array("weights", dtype=t), "float16 or float32 is needed")
            for t in ("<i4", "?", "<c8", "<f8", ">f4", "S4", "<U2", "M8[s]")
        ),
        (np.array([[[[1]]]], dtype=object).dumps(), "magic"),
        (told("(2, 1, 3, 2)", "'|O'"), "float16 or float32 is needed"),
        (told("(2, 1, 3, 2)", "[('a', '<f2')]"), "float16 or float32 is needed"),
        (told("(1000000000000, 1, 3, 2)"), "weights is (1000000000000, 1, 3, 2)"),
        (told("(-2, 1, 3, 2)"), "weights is (-2, 1, 3, 2)"),
        (told("(2, 1, 3, 2)").replace(b"False", b"True "), "in C order"),
        (told("'abc'"), ""),
        (told("(" * 5000), ""),
        (told("(" + "9" * 5000 + ", 1)"), ""),
        (told("(2, 1, 3, 2)" + " " * 20_000), ""),
        (header("[]"), ""),
        (header("__import__('os')"), ""),
        (header("{}", b"\x02\x00"), "another version"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + b"\0" * 10**6, "another version"),
        (array("weights")[:-24] + np.full(12, np.nan, "<f2").tobytes(), "weights holds values that are not finite"),
        (array("weights")[:-24] + np.full(12, np.inf, "<f2").tobytes(), "weights holds values that are not finite"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_snapshots(weights: Path, weights_npy: bytes, message: str) -> None:
    pack_snapshots(weights.with_name("small.snapshots.npz"), weights=weights_npy)
    refused(weights, "small.snapshots.npz holds no readable snapshots", message)


def encrypted(data: bytearray) -> None:
    data[data.index(b"PK\x01\x02") + 8] |= 1


def of_an_unknown_method(data: bytearray) -> None:
    data[data.index(b"PK\x01\x02") + 10] = 77


def damaged_inside(data: bytearray) -> None:
    start = data.index(b"filters.npy") + len("filters.npy")
    data[start : start + 8] = b"\xff" * 8


def with_a_large_directory(data: bytearray) -> None:
    data += b"PK\x01\x02" * 100


def cut_short(data: bytearray) -> None:
    del data[-30:]


def emptied(data: bytearray) -> None:
    data.clear()


def with_one_bit_flipped(data: bytearray) -> None:
    data[data.index(b"PK\x01\x02") + 16] ^= 1  # of a checksum


@pytest.mark.parametrize(
    "harm",
    [
        encrypted,
        of_an_unknown_method,
        damaged_inside,
        with_a_large_directory,
        cut_short,
        emptied,
        with_one_bit_flipped,
    ],
)
def test_archives(weights: Path, harm: Callable[[bytearray], None]) -> None:
    path = weights.with_name("small.snapshots.npz")
    data = bytearray(path.read_bytes())
    harm(data)
    path.write_bytes(data)
    refused(weights, "small.snapshots.npz holds no readable snapshots")


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_archives_of_another_compression(weights: Path, compression: int) -> None:
    """These decompressors unpack a chunk whole, whatever its size."""
    pack_snapshots(weights.with_name("small.snapshots.npz"), compression)
    refused(weights, "packed in another way than deflate")


def test_an_archive_without_an_array(weights: Path) -> None:
    with zipfile.ZipFile(weights.with_name("small.snapshots.npz"), "w") as archive:
        archive.writestr("filters.npy", array("filters"))
    refused(weights, "small.snapshots.npz holds no readable snapshots", "coefficients.npy")


def test_snapshots_beside_a_model_without_the_layer(weights: Path) -> None:
    build = {k: v for k, v in BUILD.items() if k not in ("spectral_modes", "num_scales")} | {"attention": "softmax"}
    write_small(weights.parent, build)
    refused(weights, "small.snapshots.npz holds no readable snapshots", "no DSP-Attention")
