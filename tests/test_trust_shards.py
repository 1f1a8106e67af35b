"""``trust`` keeps what it finds, goes on, is shared out, and follows another class."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hostile_checkpoints import write_small
from PIL import Image

import dsp_viz
from dsp_viz.__main__ import main
from dsp_viz.commands import trust as command
from dsp_viz.trust import table, trust

COUNT = 7


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven pictures, the third of which is none: two shards."""
    root = tmp_path_factory.mktemp("pictures")
    generator = np.random.default_rng(0)
    for i in range(COUNT):
        Image.fromarray(generator.integers(0, 256, (24, 31, 3), np.uint8)).save(root / f"{i}.png")
    (root / "2.png").write_bytes(b"no picture")
    return root


def _table(small: Path, folder: Path, target: int | None) -> str:
    model = dsp_viz.load(small)
    inputs = {i: model.prepare(folder / f"{i}.png").input for i in range(COUNT) if i != 2}
    return table([trust(model, x, target=target, seed=i) for i, x in inputs.items()])


def test_parts_come_together(
    small: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ["trust", str(folder), "--model", str(small), "--out", str(tmp_path), "--device", "cpu"]
    assert main([*given, "--shard", "2/2"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("3 pictures, ")
    assert "1 of 2 shards are done, 1 of the others are other processes'" in said.err
    assert main([*given, "--shard", "1/2"]) == 1
    said = capsys.readouterr()
    assert "2.png: The file is not a picture" in said.err
    assert said.out.startswith("6 pictures, ")
    assert _table(small, folder, None) in said.out

    def never(*given: object, **named: object) -> None:
        raise AssertionError("it is known already")

    monkeypatch.setattr(command, "trust", never)
    assert main(given) == 1
    assert capsys.readouterr().out == said.out
    (path,) = tmp_path.glob("*/trust-000001.json")
    path.write_text("[{}]")
    with pytest.raises(SystemExit):
        main(given)
    assert "is damaged: delete it and start again" in capsys.readouterr().err


@pytest.mark.parametrize("asked", ["dog", "1"])
def test_a_class_is_followed_by_name_or_index(
    small: Path, folder: Path, capsys: pytest.CaptureFixture[str], asked: str
) -> None:
    assert main(["trust", str(folder), "--model", str(small), "--target", asked, "--device", "cpu"]) == 1
    said = capsys.readouterr().out
    assert ", for dog; means" in said
    assert _table(small, folder, 1) in said
    assert _table(small, folder, 0) not in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--target", "fox"], "--target fox: must be a class, such as cat, dog, or its index, 0…1"),
        (["--target", "2"], "--target 2: must be a class"),
        (["--shard", "1/2"], "--shard: give --out"),
    ],
)
def test_trust_refuses(
    small: Path, folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit):
        main(["trust", str(folder), "--model", str(small), *arguments])
    assert message in capsys.readouterr().err


def test_another_temperature_is_judged_anew(
    small: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = Path(shutil.copytree(small.parent, tmp_path / "model")) / small.name
    given = ["trust", str(folder), "--model", str(own), "--out", str(tmp_path / "out"), "--device", "cpu"]
    main(given)
    first = capsys.readouterr().out
    config = own.with_suffix(".json")
    config.write_text(json.dumps(json.loads(config.read_text()) | {"temperature": 5.0}))
    main(given)
    second = capsys.readouterr().out
    assert len(list((tmp_path / "out").iterdir())) == 2
    assert second != first
    assert _table(own, folder, None) in second
