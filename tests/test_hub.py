"""Models of the hub, fetched from a small one on this machine with huggingface_hub itself."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hub_server import hub
from huggingface_hub import constants

import dsp_viz


@pytest.fixture(scope="module")
def repositories(_small: Path) -> dict[str, dict[str, bytes]]:
    pair = {name: (_small.parent / name).read_bytes() for name in ("small.safetensors", "small.json")}
    two = {name.replace("small", other): data for other in ("one", "sub/two") for name, data in pair.items()}
    return {
        "somebody/small-one": pair | {"README.md": b"A model."},
        "somebody/several": two,
        "somebody/official": {"max_acc.pth": b"pickle"},
        "somebody/half": {"small.safetensors": pair["small.safetensors"]},
        "somebody/swollen": pair | {"small.safetensors": pair["small.safetensors"] + bytes(2_000_000)},
        "somebody/broken": pair | {"small.json": b"{}"},
    }


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def served(repositories: dict[str, dict[str, bytes]], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with hub(repositories) as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        yield


@pytest.mark.usefixtures("served")
def test_a_pair_in_a_repository_is_a_model(weights: Path) -> None:
    here, there = dsp_viz.load(weights), dsp_viz.load("hf-hub:somebody/small-one")
    assert (there.name, there.digest, there.classes) == ("small-one", here.digest, here.classes)
    x = torch.randn(1, 3, 24, 24)
    assert torch.equal(here(x), there(x))
    assert dsp_viz.load("hf-hub:somebody/several/sub/two.safetensors").digest == here.digest


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("nobody/nothing", "the hub has no repository nobody/nothing that you may read: check its name"),
        ("somebody/private", "no repository somebody/private that you may read: .* `hf auth login`"),
        (
            "somebody/several",
            r"has 2 files \(one.safetensors, sub/two.safetensors\) that end in",
        ),
        ("somebody/official", "somebody/official has no file that end"),
        ("somebody/official/max_acc.safetensors", r"has no file max_acc.safetensors: .* convert hf-hub:somebody/offic"),
        ("somebody/half", r"somebody/half has no file small.json: a model is NAME.safetensors with NAME.json beside"),
        (
            "somebody/several/tow.safetensors",
            "several has no file tow.safetensors: it has one.safetensors, sub/",
        ),
        ("somebody/official/max_acc.pth", r"max_acc.pth of somebody/official does not end in .safetensors: .* convert"),
        ("somebody", "'hf-hub:somebody' is no address: give hf-hub:user/name"),
        ("../../etc/passwd", r"is no address|is no name of a repository"),
        ("some body/x", "is no address"),
        ("a--b/x", "is no name of a repository"),
    ],
)
def test_what_is_not_there_is_told(address: str, sentence: str) -> None:
    with pytest.raises(dsp_viz.CheckpointError, match=sentence):
        dsp_viz.load(f"hf-hub:{address}")


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("swollen", r"small.safetensors of somebody/swollen holds 2,\d+,\d+ bytes; at most [\d,]+ are fetched"),
        ("broken", "small.json is no readable model config: model: Field required"),
    ],
)
def test_weights_are_fetched_only_as_their_config_accounts_for(name: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(dsp_viz.CheckpointError, match=sentence):
        dsp_viz.load(f"hf-hub:somebody/{name}")
    assert [path.name for path in (tmp_path / "cache").rglob("snapshots/*/*")] == ["small.json"]


def test_without_a_network_what_was_fetched_is_used(
    repositories: dict[str, dict[str, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with hub(repositories) as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        fetched = dsp_viz.load("hf-hub:somebody/small-one")
    assert dsp_viz.load("hf-hub:somebody/small-one").digest == fetched.digest
    with pytest.raises(dsp_viz.CheckpointError, match=r"somebody/several cannot be fetched .*: check the network, or"):
        dsp_viz.load("hf-hub:somebody/several")
