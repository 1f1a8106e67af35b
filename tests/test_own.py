"""A module of one's own: wrapped, called by name, made known; and what is said where it does not do."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import timm
import torch
from inline import NAME, InLine, InLineAttention
from torch import nn

import dsp_viz
from dsp_attention import DSPImageClassifier
from dsp_viz.framing import Fitting
from dsp_viz.kinds import AROUND, KINDS, softmax, vit_tokens
from dsp_viz.sources import load_all

ROOT = Path(__file__).parent.parent
PHOTO = ROOT / "examples" / "coffee-cup.jpg"
LOOK: Any = {"size": 24, "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.25, 0.3)}


class Whole(nn.Module):
    """Works in one type only."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.dtype == torch.float16:
            raise IndexError("no half")
        return self.inner(x)


def network(attention: str = "dsp", **more: Any) -> DSPImageClassifier:
    torch.manual_seed(5)
    return DSPImageClassifier(image_size=24, dim=12, num_heads=3, depth=2, num_classes=5, attention=attention, **more)


class Around(nn.Module):
    """A network of another form: what it holds is known, it is not."""

    def __init__(self, inner: nn.Module, then: Any = lambda y: y) -> None:
        super().__init__()
        self.inner, self.then = inner, then

    def forward(self, x: torch.Tensor) -> Any:
        return self.then(self.inner(x))


def test_a_module_becomes_a_subject() -> None:
    module = Around(network().train())
    subject = dsp_viz.wrap(module, **LOOK, classes=["red", "green", "blue", "white", "black"], name="mine", patch=8)
    assert subject.network is module
    assert not module.training
    assert (subject.name, subject.classes[4], len(subject.digest)) == ("mine", "black", 12)
    result = dsp_viz.analyse(subject, PHOTO, side=40, whole=True)
    assert [block.name for block in result.trace.blocks] == [f"network.inner.model.blocks.{i}.attn" for i in (0, 1)]
    assert result.trace.blocks[0].grid.size == (3, 5)
    assert result.trace.verified < 1e-5


def test_what_is_not_said_is_found() -> None:
    """Classes are counted, and no other size is tried than the one that was given."""
    subject = dsp_viz.wrap(network(), **LOOK, fitting=Fitting("squash", 0.875, "bicubic"))
    assert (subject.name, subject.classes) == ("DSPImageClassifier", tuple(f"class {i}" for i in range(1, 6)))
    assert subject.prepare(PHOTO).frame.input_size == (24, 24)
    with pytest.raises(ValueError, match="side=48: the model takes 24 pixels only"):
        dsp_viz.analyse(subject, PHOTO, side=48)


def test_the_digest_is_of_the_weights() -> None:
    digests = [dsp_viz.wrap(module, **LOOK).digest for module in (network(), network(), network("polaformer"))]
    changed = network()
    next(changed.parameters()).data[0] += 1e-3
    assert digests[0] == digests[1] != digests[2]
    assert dsp_viz.wrap(changed, **LOOK).digest not in digests


@pytest.mark.parametrize(
    ("module", "options", "sentence"),
    [
        (DSPImageClassifier, {}, "must be a torch.nn.Module, an instance and not its class"),
        (network(), {"size": 0}, "size=0, patch=None: size must be within 1 and 2048 pixels"),
        (network(), {"patch": 7}, "size=24, patch=7: size must be .* a multiple of patch"),
        (network(), {"mean": (0.5,)}, r"mean=\(0.5,\): 3 numbers are needed, for red, green and blue"),
        (network(), {"std": (0.5, 0, 1)}, r"std=.*: each must be within 0.0001 and 10, in units where white is 1"),
        (network(), {"std": (58.4, 57.1, 57.4)}, "std=.*: each must .* where white is 255, divide by it"),
        (network(), {"mean": (123.7, 116.3, 103.5)}, "mean=.*: each must be within 0 and 1, in units where white is 1"),
        (network(), {"mean": (0.5, float("nan"), 0.5)}, "mean=.*nan.*: each must be within 0 and 1"),
        (network(), {"mean": 0.5}, "mean=0.5: 3 numbers are needed, for red, green and blue"),
        (network(), {"size": (24, 24)}, r"size=\(24, 24\): must be a whole number of pixels, one for both sides"),
        (network(), {"patch": 8.0}, "patch=8.0: must be a whole number of pixels"),
        (dsp_viz.wrap(network(), **LOOK), {}, "module is a subject already, 'DSPImageClassifier': use it as it is, or"),
        (Whole(network()).half(), {}, r"IndexError: no half.*. It is in torch.float16: give module.float\(\)"),
        (network(), {"size": 20}, r"does not run on a picture \(1, 3, 20, 20\): ValueError: image has shape"),
        (network(), {"classes": ["a", "b"]}, "classes holds 2, DSPImageClassifier gives 5 logits: one name for each"),
        (network(), {"classes": "abcde"}, "classes holds 1, DSPImageClassifier gives 5 logits"),
        (network(), {"classes": ["a", "b", "c", "d", "a"]}, "'a' is there twice: each may be there once"),
        (
            nn.Sequential(nn.Flatten(), nn.Linear(3 * 24 * 24, 4)),
            {},
            "^Sequential has no attention layer that is known here",
        ),
        (Around(network(), lambda y: {"logits": y}), {}, r"gives a dict .*, not logits \(1, classes\): put it into"),
        (Around(network(), lambda y: SimpleNamespace(logits=y)), {}, "gives a SimpleNamespace for a picture"),
        (Around(network(), lambda y: y[0]), {}, r"gives a tensor \(5,\) for a picture"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_does_not_do_is_told(module: Any, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises((ValueError, TypeError), match=sentence):
        dsp_viz.wrap(module, **LOOK | options)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_module_of_another_type_gets_pictures_of_its_type(dtype: torch.dtype) -> None:
    want = dsp_viz.analyse(dsp_viz.wrap(network("softmax"), **LOOK), PHOTO)
    subject = dsp_viz.wrap(network("softmax").to(dtype), **LOOK)
    assert subject.dtype == dtype
    result = dsp_viz.analyse(subject, PHOTO)
    assert result.trace.output.dtype == torch.float32
    torch.testing.assert_close(result.trace.output, want.trace.output, atol=0.03, rtol=0.03)
    assert result.trace.blocks[0].output.dtype == dtype
    dsp_viz.export.numbers(result)


def test_a_module_without_classes_gives_features() -> None:
    subject = dsp_viz.wrap(Around(network(), lambda y: y @ torch.ones(5, 7)), **LOOK, classes=())
    result = dsp_viz.analyse(subject, PHOTO)
    assert (subject.classes, result.trace.output.shape, len(result.trace.blocks)) == ((), (1, 7), 2)
    assert dsp_viz.wrap(network(), **LOOK, classes=[]).classes == ()


class Extra(Around):
    """Keeps more than tensors."""

    def get_extra_state(self) -> dict[str, int]:
        return {"steps": 3}

    def set_extra_state(self, state: Any) -> None:
        pass


def test_a_state_that_is_no_tensor_does_not_count() -> None:
    digests = {dsp_viz.wrap(made(network()), **LOOK).digest for made in (Around, Extra)}
    assert len(digests) == 1


class Mine(nn.Module):
    """A classifier with InLine attention, which nobody knows until it is made known."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.embed, self.attn, self.head = nn.Conv2d(3, 12, 8, 8), InLineAttention(12, 3), nn.Linear(12, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.embed(x)
        tokens = y.flatten(2).transpose(1, 2)
        return self.head(self.attn(tokens, *y.shape[2:]).mean(1))


def test_an_attention_of_theirs_is_made_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dsp_viz.kinds.KINDS", dict(KINDS))
    with pytest.raises(ValueError, match=r"docs/own-model\.md says how to make another known, with dsp_viz.register"):
        dsp_viz.wrap(Mine(), **LOOK)
    assert (ROOT / "docs" / "own-model.md").is_file()
    dsp_viz.register(InLineAttention, InLine())
    assert dsp_viz.analyse(dsp_viz.wrap(Mine(), **LOOK), PHOTO).trace.blocks[0].kind == "InLine attention"
    dsp_viz.register("inline.InLineAttention", softmax)  # by name, in the place of the one before; and it is not true
    with pytest.raises(ValueError, match=r"attn is not shown: .* It is InLineAttention of inline"):
        dsp_viz.wrap(Mine(), **LOOK)
    with pytest.raises(TypeError, match=r"kind=object has no points\(\): a reader has points, read, values, output"):
        dsp_viz.register(InLineAttention, object())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"give the layers' class, or its qualified name as 'package\.module\.Class'"):
        dsp_viz.register("InLineAttention", InLine())


class Transformer(nn.Module):
    """As people write one with parts of timm: its layers do not know where their tokens lie."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.patch_embed, self.num_prefix_tokens = timm.layers.PatchEmbed(24, 8, 3, 12), 0
        self.attn, self.head = timm.layers.Attention(12, 3), nn.Linear(12, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.attn(self.patch_embed(x)).mean(1))


def test_a_network_of_theirs_is_made_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """As docs/extending.md has it; what is said before leads there."""
    with pytest.raises(ValueError, match=r"no module around it .*; docs/extending\.md says .* dsp_viz\.kinds\.AROUND"):
        dsp_viz.wrap(Transformer(), **LOOK)
    assert "from dsp_viz.kinds import AROUND, vit_tokens" in (ROOT / "docs" / "extending.md").read_text("utf-8")
    monkeypatch.setitem(AROUND, f"{__name__}.Transformer", vit_tokens)
    assert dsp_viz.analyse(dsp_viz.wrap(Transformer(), **LOOK), PHOTO).trace.blocks[0].grid.size == (3, 3)


def test_the_same_module_is_proved_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was found of it before says nothing once its reader, or its own code, is another."""
    monkeypatch.setattr("dsp_viz.kinds.KINDS", KINDS | {NAME: InLine()})
    module = Mine()
    dsp_viz.wrap(module, **LOOK)
    read = InLine.read

    def doubled(*arguments: Any) -> Any:
        record = read(*arguments)
        return replace(record, weights=2 * record.weights)

    monkeypatch.setattr(InLine, "read", doubled)
    with pytest.raises(ValueError, match=r"attn is not shown: its maps do not rebuild what it puts out"):
        dsp_viz.wrap(module, **LOOK)


MODULE = """
import dsp_viz
from dsp_attention import DSPImageClassifier

def bare():
    return DSPImageClassifier(image_size=24, dim=12, num_heads=3, depth=1, num_classes=2)

def make():
    return dsp_viz.wrap(bare(), size=24, mean=(0, 0, 0), std=(1, 1, 1), name="made")

def failing():
    raise OSError("no weights there")

ready = make()
"""


def test_a_function_is_called_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the folder where the program was started; what fails is told, and the others are there."""
    (tmp_path / "folder_of_mine").mkdir()
    (tmp_path / "folder_of_mine" / "models.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    place = "folder_of_mine.models"
    assert dsp_viz.load(f"{place}:make").name == dsp_viz.load(f"{place}:ready").name == "made"
    names = [f"{place}:{name}" for name in ("make", "bare", "failing", "absent", "make")]
    subjects, faults = load_all(["dsp_tiny", "no_such", "absent.module:make", *names])
    assert [subject.name for subject in subjects] == ["dsp_tiny", "made"]
    wanted = [
        "no_such: no model 'no_such': give one of dsp_",
        "absent.module:make: ModuleNotFoundError: No module named 'absent'",
        f"{place}:bare: it gives a DSPImageClassifier, not a subject: let it return dsp_viz.wrap(model, size=",
        f"{place}:failing: OSError: no weights there",
        f"{place}:absent: AttributeError: module '{place}' has no attribute 'absent'",
        f"{place}:make: another model is called made too: rename one of them",
    ]
    assert len(faults) == len(wanted)
    for fault, start in zip(faults, wanted, strict=True):
        assert fault.startswith(start)


def test_the_device_is_checked_before_anything_is_loaded() -> None:
    for name in ("dsp_tiny", "hf-hub:a/b", "timm/x", "no.module:make"):
        with pytest.raises(ValueError, match="device='toaster': there is no such device here"):
            dsp_viz.load(name, device="toaster")
