"""Configs as an enemy would write them: each ends in a sentence that names file, field and fault."""

import json
from pathlib import Path
from typing import Any

import pytest
from hostile_checkpoints import BUILD, refused

SIZES = (
    "image_size",
    "patch",
    "dim",
    "num_heads",
    "depth",
    "num_classes",
    "spectral_modes",
    "num_scales",
    "kernel_size",
)

VALUES: list[tuple[str, Any, str]] = [
    *((f"model.{key}", value, key) for key in SIZES for value in (-1, 0, 10**9, "8", 1.5, 8.0, True, None)),
    ("model.kernel_size", 4, "kernel_size=4: must be odd"),
    ("model.patch", 3, "patch=3: must be a power of two"),
    ("model.num_heads", 5, "num_heads must divide dim"),
    ("model.image_size", 20, "must be a multiple of patch"),
    ("model.attention", "magic", "attention='magic': must be one of dsp, polaformer, softmax"),
    ("model.attention", "softmax", "spectral_modes"),
    ("model.attention", "x" * 10**6, "at most 60"),
    ("model.attention", None, "model.attention=None"),
    ("model.attention", ["dsp"], "model.attention=['dsp']"),
    ("model.mlp_ratio", 0, "greater than 0"),
    ("model.mlp_ratio", 1e9, "less than or equal to 64"),
    ("model.mlp_ratio", 0.01, "leaves 0 hidden units"),
    ("model.alpha", -1.0, "greater than 0"),
    ("model.attn_drop", 1, "less than 1"),
    ("model.adaptive_beta", "0.1", "valid number"),
    ("model.qkv_bias", 1, "valid boolean"),
    ("model.colour", 3, "model.colour=3: there is no such field; fields are image_size, patch"),
    ("model.self", 3, "there is no such field"),
    ("model." + "x" * 10**5, 3, "there is no such field"),
    ("model", [], "model=[]"),
    ("model", None, "model=None"),
    ("model", {}, "model.num_classes: Field required"),
    ("model", {**BUILD, "dim": 8184, "depth": 128}, "parameters; at most 500,000,000 are built"),
    ("model", {**BUILD, "dim": 768, "depth": 12}, "does not fit its config"),
    *(("image_size", value, "image_size") for value in ("128", 0, -8, 130, None, 10**9, 24.0, True, [24], 8 * 257)),
    *(
        (key, value, key)
        for key in ("mean", "std")
        for value in (
            [0.5],
            [0.5] * 4,
            [],
            None,
            "abc",
            0.5,
            [0.5, None, 0.5],
            [0.5, "1", 1],
            [1e9] * 3,
            [True] * 3,
            {"a": 1},
        )
    ),
    ("std", [0.2, 0.0, 0.2], "std.1=0.0: Input should be greater than or equal to 0.0001"),
    ("std", [0.2, -0.2, 0.2], "std.1=-0.2"),
    ("std", [1e-300] * 3, "std.0=1e-300"),
    *(
        (key, value, key)
        for key in ("classes", "directories")
        for value in (
            ["cat"],
            ["a", "b", "c"],
            [],
            "ab",
            None,
            2,
            [1, 2],
            ["cat", ""],
            ["cat", " "],
            ["cat", None],
            [["a"], ["b"]],
            {"a": 1},
        )
    ),
    ("classes", ["cat"] * 2, "'cat' is there twice"),
    ("classes", ["cat", "dog\n"], "control character"),
    ("classes", ["cat", "\x1b[31mdog"], "control character"),
    ("classes", ["cat", "x" * 10**6], "at most 200"),
    ("classes", ["cat", "\ud800"], "classes.1"),
    ("classes", ["cat"], "classes holds 1, the model has num_classes=2: one name for each class"),
    ("card", [], "card=[]"),
    ("card", None, "card=None"),
    *(
        (f"fit.{key}", value, f"fit.{key}")
        for key, values in {
            "way": ("letterbox", None, 1, ["square"]),
            "share": (0, -1, 1e-9, 1.01, "1", None, True),
            "interpolation": ("nearest", "BICUBIC", 3),
            "crop": (224,),
        }.items()
        for value in values
    ),
    *(("fit", value, "fit=") for value in ([], None, "squash")),
    ("format", 4, "made by a newer dsp-attention, update"),
    ("format", 10**4000, "made by a newer dsp-attention, update"),
    *(("format", value, "format=") for value in (0, -1, "1", 1.0, None, True, [])),
    *(("temperature", value, "temperature=") for value in (0, -1, 0.009, 101, "1", None, True, [1])),
    *(("unsure", value, "unsure=") for value in (-0.01, 1.01, "0", None, True, [0])),
    ("imagesize", 24, "imagesize=24: there is no such field; fields are model, image_size, mean, std"),
    ("__dataclass_self__", 24, "there is no such field"),
]


@pytest.mark.parametrize(("key", "value", "message"), VALUES, ids=lambda v: str(v)[:40])
def test_values(weights: Path, key: str, value: Any, message: str) -> None:
    path = weights.with_suffix(".json")
    raw = json.loads(path.read_text())
    *outer, last = key.split(".")
    (raw.setdefault(outer[0], {}) if outer else raw)[last] = value
    path.write_text(json.dumps(raw))
    refused(weights, ".json" if "fit" not in message else "", message)


@pytest.mark.parametrize("key", ["model", "image_size", "mean", "std", "classes", "directories"])
def test_fields_that_are_missing(weights: Path, key: str) -> None:
    path = weights.with_suffix(".json")
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != key}))
    refused(weights, f"small.json is no readable model config: {key}: Field required")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        *(
            (data, "is no readable model config")
            for data in (b"", b"{", b"\0" * 99, b"nul", b'{"model": {}', b"\xff", b"%PDF-1")
        ),
        *((data, "is no readable model config") for data in (b"[]", b"null", b"3", b'"text"', b"[{}]")),
        (json.dumps({"model": BUILD}).encode("utf-16"), "is no readable model config"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"model":' * 200_000, "nested too deeply"),
        (b'{"card": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", "nested too deeply"),
        (b'{"image_size": ' + b"9" * 6000 + b"}", "digits"),
        (b'{"mean": [NaN, 0, 0]}', "NaN is no finite number"),
        (b'{"mean": [Infinity, 0, 0]}', "Infinity is no finite number"),
        (b'{"card": {"top1": -Infinity}}', "-Infinity is no finite number"),
        (b'{"std": [1e999, 1, 1]}', "1e999 is no finite number"),
        (b'{"image_size": 24, "image_size": 32}', "the field 'image_size' is there twice"),
        (b'{"model": {"dim": 12, "dim": 24}}', "the field 'dim' is there twice"),
        (b'{"' + b"x" * 10**6 + b'": 1}', "there is no such field"),
        (b" " * (5 * 2**20), "holds 5,242,880 bytes; at most 4,194,304 are read"),
        (b"[" + b"{}," * 10**6 + b"{}]", "is no readable model config"),
    ],
    ids=lambda v: repr(v[:24]),
)
def test_texts(weights: Path, data: bytes, message: str) -> None:
    weights.with_suffix(".json").write_bytes(data)
    refused(weights, "small.json", message)
