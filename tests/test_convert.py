"""Official weights and those of a training run, made into models that load; whatever else is told what it is."""

import argparse
import copy
import io
import json
import pickle
import sys
import zipfile
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from hub_server import hub
from huggingface_hub import constants
from safetensors.torch import save_file
from test_official import picture, stored
from torch.optim.swa_utils import AveragedModel

import dsp_viz
from dsp_attention import DSPImageClassifier
from dsp_viz.__main__ import main
from dsp_viz.config import read_config
from dsp_viz.framing import Fitting
from dsp_viz.sources.official import IMAGENET, MAX_BYTES, MAX_PICKLE


@pytest.fixture
def yacs(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A config as the official code keeps it beside its weights, of a class that is known while it is written only."""

    class CfgNode(dict[str, Any]):
        pass

    CfgNode.__module__, CfgNode.__qualname__ = "yacs.config", "CfgNode"
    package, module = ModuleType("yacs"), ModuleType("yacs.config")
    module.CfgNode = CfgNode  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "yacs", package)
    monkeypatch.setitem(sys.modules, "yacs.config", module)
    return CfgNode


def float_state(name: str) -> dict[str, torch.Tensor]:
    return {key: t.float() if t.is_floating_point() else t for key, t in stored(name)[0].items()}


def convert(*arguments: object) -> int:
    return main(["convert", *map(str, arguments)])


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    with pytest.raises(SystemExit) as ended:
        convert(*arguments)
    assert ended.value.code == 2
    said = capsys.readouterr().err.splitlines()[-1].partition("error: ")[2]
    assert len(said) < 700
    return said


@pytest.mark.parametrize("name", ["pvt", "swin"])
def test_a_converted_file_answers_as_the_official_code(name: str, tmp_path: Path, yacs: Any) -> None:
    """As its training saved it: weights, optimiser and config in one pickle."""
    config = yacs(MODEL=yacs(LA=yacs(ALPHA=4, KERNEL_SIZE=5)), TAG="default")
    saved = {"model": float_state(name), "optimizer": {"state": {}}, "max_accuracy": 78.8, "epoch": 3, "config": config}
    torch.save(saved, tmp_path / "max_acc.pth")
    assert convert(tmp_path / "max_acc.pth", "--out", tmp_path / "made.safetensors") == 0
    subject = dsp_viz.load(tmp_path / "made.safetensors")
    side = subject.preparation.side
    assert (side, subject.preparation.fitting) == ({"pvt": 64, "swin": 224}[name], Fitting("squash", 0.875, "bicubic"))
    want = stored(name)[1]["logits"]
    with torch.inference_mode():
        got = subject(picture(side))
    assert (got - want).abs().max() <= 1e-4 * want.abs().max()
    card = read_config(tmp_path / "made.json").card
    assert card["architecture"] == "of its own sizes"
    assert card["converted"]["file"] == "max_acc.pth"
    assert card["converted"]["sha256"] == sha256((tmp_path / "max_acc.pth").read_bytes()).hexdigest()
    assert subject.classes == tuple(f"class {i}" for i in range(1, 11))


def test_alpha_comes_from_its_config(tmp_path: Path, yacs: Any) -> None:
    for alpha in (3, 2.5):
        saved = {"model": float_state("pvt"), "config": yacs(MODEL=yacs(LA=yacs(ALPHA=alpha)))}
        torch.save(saved, tmp_path / "a.pth")
        convert(tmp_path / "a.pth", "--out", tmp_path / "a.safetensors", "--force")
        assert read_config(tmp_path / "a.json").model["alpha"] == alpha


def test_other_forms_of_the_same_weights(tmp_path: Path) -> None:
    """A bare state dict, one of a model that several processes shared, an older form of torch's files, safetensors."""
    state = float_state("pvt")
    torch.save(state, tmp_path / "0.pth")
    torch.save({"model": {f"module.{key}": t for key, t in state.items()}}, tmp_path / "1.pt")
    torch.save(state, tmp_path / "2.bin", _use_new_zipfile_serialization=False)
    save_file(state, tmp_path / "3.safetensors")
    digests = set()
    for path in sorted(tmp_path.iterdir()):
        out = tmp_path / f"made-{path.stem}.safetensors"
        convert(path, "--out", out)
        digests.add(dsp_viz.load(out).digest)
    assert len(digests) == 1


def test_classes_are_imagenet_s_where_there_are_a_thousand(tmp_path: Path) -> None:
    state = float_state("pvt")
    width = state["head.weight"].shape[1]
    state |= {"head.weight": torch.randn(1000, width), "head.bias": torch.randn(1000)}
    torch.save(state, tmp_path / "a.pth")
    convert(tmp_path / "a.pth", "--out", tmp_path / "a.safetensors")
    config = read_config(tmp_path / "a.json")
    found = dict(zip(config.directories, config.classes, strict=True))
    assert (config.classes[0], config.directories[999]) == ("tench", "n15075141")
    assert (found["n02012849"], found["n03126707"]) == ("crane (bird)", "crane (machine)")
    assert (found["n03710637"], found["n03710721"]) == ("maillot", "maillot, tank suit")


def test_imagenet_s_classes_are_those_of_torchvision() -> None:
    from torchvision.models import ResNet18_Weights

    directories, names = zip(*(line.split("\t") for line in IMAGENET.read_text().splitlines()), strict=True)
    assert list(directories) == sorted(set(directories))
    theirs = ResNet18_Weights.DEFAULT.meta["categories"]
    # Older releases call two classes crane and two maillot; the newest spell them otherwise.
    differing = {i for i, (own, other) in enumerate(zip(names, theirs, strict=True)) if own != other}
    assert differing <= {134, 517, 638, 639}
    assert len(set(names)) == 1000


def test_weights_of_a_training_run(tmp_path: Path, weights: Path) -> None:
    """Of its state the averaged weights are taken; a bare state dict of the network does too."""
    config = read_config(weights.with_suffix(".json"))
    network = config.network()
    average = AveragedModel(network, use_buffers=True)
    with torch.no_grad():
        average.module.model.head.bias += 1
    state = {"recipe": {"sizes": (24,)}, "model": network.state_dict(), "average": average.state_dict(), "log": []}
    torch.save(state, tmp_path / "state.pt")
    torch.save(network.state_dict(), tmp_path / "bare.pth")
    x = torch.randn(1, 3, 24, 24)
    for file, want in (("state.pt", average.module), ("bare.pth", network)):
        convert(
            tmp_path / file, "--config", weights.with_suffix(".json"), "--out", tmp_path / "made.safetensors", "--force"
        )
        made = dsp_viz.load(tmp_path / "made.safetensors")
        assert made.classes == config.classes
        torch.testing.assert_close(made(x), want.eval()(x))
        assert made.config.card["converted"]["file"] == file


class Evil:
    def __reduce__(self) -> Any:
        return print, ("this was run",)


def flatten(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """As FLatten's weights look."""
    renamed = {key.replace("attn.qg", "attn.q"): t for key, t in state.items() if ".power" not in key}
    return renamed


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: {"model": Evil()}, "needs 'print': opening it might run code. Load it where you trust it, and save"),
        (
            lambda: {"model": {}, "args": argparse.Namespace(a=1)},
            "needs 'argparse.Namespace': opening it might",
        ),
        (lambda: [torch.zeros(3)], "holds a list: weights are tensors by name, a state dict"),
        (lambda: {"epoch": 3}, "the file holds no weights, which are tensors by name: 'epoch' is a int"),
        (lambda: {}, "no PolaFormer: the official PolaFormer-PVT and -Swin are read here; the first keys are none"),
        (
            lambda: flatten(float_state("pvt")),
            "these are FLatten's weights, which pages of PolaFormer linked",
        ),
        (
            lambda: {k: v for k, v in float_state("swin").items() if "power" not in k},
            "missing layers.0.blocks.0.att",
        ),
        (lambda: float_state("pvt") | {"extra": torch.zeros(1)}, "not as PolaFormer's code saves it: unexpected extra"),
        (lambda: float_state("pvt") | {"head.bias": torch.full((10,), torch.nan)}, "holds values that are not finite"),
        (
            lambda: DSPImageClassifier(dim=12, num_heads=3, depth=1).state_dict(),
            "own network: give --config",
        ),
    ],
    ids=range(10),
)
def test_what_is_something_else_is_told(
    make: Any, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(make(), tmp_path / "a.pth")
    said = refused(capsys, tmp_path / "a.pth", "--out", tmp_path / "made.safetensors")
    assert sentence in said
    assert "this was run" not in said
    assert not (tmp_path / "made.safetensors").exists()


def expanded() -> dict[str, torch.Tensor]:
    state = float_state("pvt")
    return state | {"head.weight": torch.zeros(1, 1).expand(60_000, state["head.weight"].shape[1])}


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: {"head.bias": torch.zeros(10, device="meta")}, "is no plain tensor (torch.strided on meta)"),
        (lambda: {"head.bias": torch.ones(10).to_sparse()}, "is no plain tensor (torch.sparse_coo on cpu)"),
        (lambda: {"head.bias": torch.zeros(10, dtype=torch.complex64)}, "'head.bias' is torch.complex64, expected one"),
        (expanded, "they repeat or share numbers. Save a copy of each"),
    ],
    ids=["meta", "sparse", "complex", "expanded"],
)
@pytest.mark.parametrize("zipped", [True, False], ids=["archive", "older"])
def test_tensors_that_hold_less_than_they_say(
    make: Any, sentence: str, zipped: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(float_state("pvt") | make(), tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    assert sentence in refused(capsys, tmp_path / "a.pth", "--out", tmp_path / "made.safetensors")


@pytest.mark.parametrize("alpha", [10**400, -(10**400), 0, float("nan")])
def test_powers_have_a_range(alpha: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"model": float_state("pvt"), "config": {"MODEL": {"LA": {"ALPHA": alpha}}}}, tmp_path / "a.pth")
    said = refused(capsys, tmp_path / "a.pth", "--out", tmp_path / "made.safetensors")
    assert "the range of the power must be positive and finite" in said


def test_archives_that_grow_are_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A compressed one, one whose members lie over each other, one with a pickle larger than weights need."""
    good, bombs = tmp_path / "good.pth", [tmp_path / f"{name}.pth" for name in ("deflated", "over", "pickled")]
    torch.save(float_state("pvt"), good)
    with zipfile.ZipFile(good) as archive, zipfile.ZipFile(bombs[0], "w", zipfile.ZIP_DEFLATED) as made:
        for member in archive.infolist():
            made.writestr(member.filename, archive.read(member))
    with zipfile.ZipFile(bombs[1], "w") as made:
        made.writestr("a/data/0", bytes(10_000))
        for i in range(1, 99):
            twice = copy.copy(made.filelist[0])
            twice.filename = f"a/data/{i}"
            made.filelist.append(twice)
        made._didModify = True  # type: ignore[attr-defined]
    torch.save({"model": {}, "note": "x" * MAX_PICKLE}, bombs[2])
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("it was opened"))
    for bomb, sentence in zip(bombs, ("compresses nothing", "compresses nothing", "holds a pickle of"), strict=True):
        assert sentence in refused(capsys, bomb, "--out", tmp_path / "made.safetensors"), bomb


def test_larger_files_than_any_model_are_not_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (tmp_path / "a.pth").open("wb") as file:
        file.truncate(MAX_BYTES + 1)  # sparse: it takes no room
    said = refused(capsys, tmp_path / "a.pth", "--out", tmp_path / "made.safetensors")
    assert "holds 8,000,000,001 bytes; at most 8,000,000,000 are read" in said


def test_files_that_are_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    buffer = io.BytesIO()
    torch.save(float_state("pvt"), buffer)
    bad = {
        "absent.pth": (None, "cannot be read: No such file or directory"),
        "cut.pth": (buffer.getvalue()[:3000], "is no readable file of PyTorch"),
        "noise.pth": (b"noise" * 99, "is damaged, or holds more than tensors and plain values"),
        "empty.pth": (b"", "is no readable file of PyTorch"),
        "plain.pkl": (pickle.dumps({"a": 1}), "tensors and plain values"),
        "noise.safetensors": (b"noise" * 99, "is no readable safetensors file"),
        "weights.h5": (b"noise", "weights end in .pth, .pt, .bin, .ckpt, .pkl or .safetensors"),
    }
    for name, (data, sentence) in bad.items():
        if data is not None:
            (tmp_path / name).write_bytes(data)
        assert sentence in refused(capsys, tmp_path / name, "--out", tmp_path / "made.safetensors"), name
    assert "is no regular file" in refused(capsys, "/dev/zero", "--out", tmp_path / "made.safetensors")


def test_nothing_is_overwritten_and_names_end_rightly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(float_state("pvt"), tmp_path / "a.pth")
    assert "must end in .safetensors" in refused(capsys, tmp_path / "a.pth", "--out", tmp_path / "a.bin")
    (tmp_path / "a.json").write_text("mine")
    assert "a.json exists already: give --force" in refused(
        capsys, tmp_path / "a.pth", "--out", tmp_path / "a.safetensors"
    )
    assert (tmp_path / "a.json").read_text() == "mine"


def test_a_file_of_the_hub_is_converted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    buffer = io.BytesIO()
    torch.save({"model": float_state("pvt")}, buffer)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    with hub({"somebody/official": {"pola/pvt.pth": buffer.getvalue(), "README.md": b""}}) as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        for i, where in enumerate(("hf-hub:somebody/official", "hf-hub:somebody/official/pola/pvt.pth")):
            assert convert(where, "--out", tmp_path / f"{i}.safetensors") == 0
        with pytest.raises(SystemExit):
            convert("hf-hub:somebody/official/pola/pvt.bin", "--out", tmp_path / "2.safetensors")
        assert capsys.readouterr().err.endswith("has no file pola/pvt.bin: it has pola/pvt.pth\n")
    assert json.loads((tmp_path / "1.json").read_text())["card"]["converted"]["file"] == "pvt.pth"
