"""A survey as people run it: what its rows say, and that it can be stopped, shared out and gone on with."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from far import far_device, moved
from hostile_checkpoints import write_small
from PIL import Image

import dsp_viz
from dsp_viz import heads, importance, shards
from dsp_viz.__main__ import main
from dsp_viz.commands import progress
from dsp_viz.files import write_atomically
from dsp_viz.survey import Survey, engine, open_survey
from dsp_viz.survey.format import BITS
from dsp_viz.trace import trace

ROOT = Path(__file__).parent.parent

#: Of the pictures, three shards: a prime number, so that no batch fits.
COUNT = 523

#: Of a number that is kept: half a unit of its last digit, and what float32 loses on the way.
KEPT = 2.0 ** -(BITS + 1) + 1e-4


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def subject(small: Path) -> dsp_viz.Subject:
    return dsp_viz.load(small)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, subject: dsp_viz.Subject) -> Path:
    """Small pictures of three shapes, most in a folder of a class; two are none."""
    root = tmp_path_factory.mktemp("pictures")
    generator = np.random.default_rng(0)
    assert subject.config is not None
    places = [f"deep/{subject.config.directories[1]}/more", subject.config.directories[0], "elsewhere"]
    for i in range(COUNT):
        path = root / places[i % 3] / f"{i:04d}.{'PNG' if i % 7 else 'bmp'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if i in (5, 400):
            path.write_bytes(b"no picture" * (i - 5))
            continue
        size = ((16, 16), (24, 16), (13, 37))[i % 5 % 3]
        Image.fromarray(generator.integers(0, 256, (*size[::-1], 3), np.uint8)).save(path)
    (root / "notes.txt").write_text("no picture either")
    return root


@pytest.fixture(scope="module")
def single(folder: Path, small: Path, tmp_path_factory: pytest.TempPathFactory) -> Survey:
    """Made in one go."""
    out = tmp_path_factory.mktemp("single")
    assert main(["survey", str(folder), "--model", str(small), "--out", str(out), "--device", "cpu"]) == 0
    return open_survey(out)


def _command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "dsp_viz", "survey", *map(str, arguments), "--device", "cpu"]


def _run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        _command(*arguments), cwd=ROOT, env=_alone(), capture_output=True, text=True, timeout=600, check=True
    )


def _alone() -> dict[str, str]:
    # Ray lets its workers give way to everything else on the machine, unless it is told not to.
    return os.environ | {"OMP_NUM_THREADS": "1", "RAY_worker_niceness": "0"}


def _same(one: Survey, other: Survey) -> None:
    assert one.path.name == other.path.name
    assert one.settings["of"] == other.settings["of"]
    assert (one.paths, one.errors) == (other.paths, other.errors)
    for name in ("labels", "sizes"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    np.testing.assert_array_equal(one.top.classes, other.top.classes)
    np.testing.assert_allclose(one.top.probabilities, other.top.probabilities, rtol=1e-5)
    for layer in one.layers:
        for name in layer.quantities:
            # Rounding in another order may turn the last digit that is kept.
            np.testing.assert_allclose(one.quantity(name, layer.index), other.quantity(name, layer.index), rtol=KEPT)
    left, right = one.totals(), other.totals()
    for key, total in left.items():
        np.testing.assert_array_equal(total.n, right[key].n)
        np.testing.assert_allclose(total.mean, right[key].mean, rtol=KEPT)


def test_rows_say_what_single_pictures_say(single: Survey, folder: Path, subject: dsp_viz.Subject) -> None:
    assert single.missing == ()
    assert len(single) == single.count == COUNT
    assert single.paths == sorted(single.paths)
    assert single.classes == subject.classes
    bad = [i for i, error in enumerate(single.errors) if error]
    assert {Path(single.paths[i]).stem for i in bad} == {"0005", "0400"}
    assert single.errors[bad[0]] != single.errors[bad[1]]
    assert (single.sizes[bad] == 0).all()
    assert (single.top.classes[bad] == -1).all()
    labels = {"deep": 1, subject.config.directories[0]: 0, "elsewhere": -1} if subject.config else {}
    assert single.labels.tolist() == [labels[path.split("/")[0]] for path in single.paths]
    quantities = {
        (layer.index, name): single.quantity(name, layer.index) for layer in single.layers for name in layer.quantities
    }
    assert all(np.isnan(values[bad]).all() for values in quantities.values())
    for i in (0, 100, 255, 256, COUNT - 1):
        prepared = subject.prepare(folder / single.paths[i])
        assert single.sizes[i].tolist() == list(prepared.frame.size)
        found = trace(subject, prepared.input)
        probabilities = torch.softmax(found.output[0].double(), 0)
        k = single.top.classes.shape[1]
        assert single.top.classes[i].tolist() == probabilities.argsort(descending=True)[:k].tolist()
        np.testing.assert_allclose(
            single.top.probabilities[i], probabilities.sort(descending=True).values[:k], rtol=1e-5
        )
        for layer, block in zip(single.layers, found.blocks, strict=True):
            assert (layer.name, layer.kind, layer.grid) == (block.name, block.kind, block.grid.size)
            numbers = heads.numbers(block)
            want = {field.name: getattr(numbers, field.name)[0] for field in fields(numbers)}
            want |= {"coefficient": block.coefficients[0], "weight": block.weights[0]}
            assert set(layer.quantities) == want.keys() - {"prefix_share"}
            for name in layer.quantities:
                shape = layer.shape(name)
                np.testing.assert_allclose(
                    quantities[layer.index, name][i], want[name].reshape(shape), rtol=KEPT, atol=1e-6
                )


def test_whole_pictures_keep_their_order_and_their_grids(
    folder: Path, subject: dsp_viz.Subject, small: Path, tmp_path: Path
) -> None:
    given = ["survey", str(folder), "--model", str(small), "--out", str(tmp_path), "--device", "cpu"]
    assert main([*given, "--whole", "--limit", "41", "--batch", "3"]) == 0
    found = open_survey(tmp_path)
    assert len(found) == 41
    assert found.paths == list(shards.pictures(folder, 41))
    assert {layer.grid for layer in found.layers} == {None}
    last = len(found.layers) - 1
    distance = found.quantity("distance", last)
    for i in range(0, 41, 5):
        if found.errors[i] is None:
            x = subject.prepare(folder / found.paths[i], whole=True).input
            want = heads.numbers(trace(subject, x).blocks[last]).distance[0]
            np.testing.assert_allclose(distance[i], want, rtol=KEPT, atol=1e-6)


def test_what_parts_are_worth_where_somebody_asks(
    folder: Path, subject: dsp_viz.Subject, small: Path, tmp_path: Path
) -> None:
    given = ["survey", str(folder), "--model", str(small), "--out", str(tmp_path), "--device", "cpu", "--limit", "12"]
    assert main([*given, "--worth", "--batch", "5"]) == 0
    found = open_survey(tmp_path)
    assert {layer.quantities[-1] for layer in found.layers} == {"worth"}
    for i in (0, 7):
        assert found.errors[i] is None
        x = subject.prepare(folder / found.paths[i]).input
        for index, want in enumerate(importance.worth(subject, x, trace(subject, x).blocks)):
            assert want.abs().max() > 0
            np.testing.assert_allclose(found.quantity("worth", index)[i], want[0], rtol=1e-3, atol=1e-5)
    files, side = shards.pictures(folder, 12), subject.preparation.side
    plans = [engine.planned(subject, folder, files, tmp_path, side=side, worth=worth) for worth in (False, True)]
    assert plans[1].target == found.path
    assert plans[0].target != plans[1].target


def test_a_shard_that_was_stopped_in_the_middle_is_made_again(
    single: Survey, folder: Path, subject: dsp_viz.Subject, tmp_path: Path
) -> None:
    plan = engine.planned(subject, folder, shards.pictures(folder), tmp_path, side=subject.preparation.side)
    settings = engine.begin(subject, plan)
    parts = [(plan.path(n), plan.part(n)) for n in range(plan.count)]
    working = engine.survey(subject, folder, parts, settings)
    while not plan.path(0).exists():
        next(working)
    next(working)
    working.close()
    assert plan.missing(range(3)) == [1, 2]
    assert sorted(path.name for path in plan.target.iterdir()) == ["rows-000000.parquet", "survey.json"]
    assert open_survey(tmp_path).missing == (1, 2)
    first = plan.path(0).stat()
    for done in engine.survey(subject, folder, [parts[n] for n in plan.missing(range(3))], settings):
        assert done.pictures > 0
    assert plan.path(0).stat().st_mtime_ns == first.st_mtime_ns
    _same(open_survey(tmp_path), single)


def test_two_processes_share_it_and_one_is_killed(single: Survey, folder: Path, small: Path, tmp_path: Path) -> None:
    given = (folder, "--model", small, "--out", tmp_path)
    one = subprocess.Popen(_command(*given, "--shard", "1/2"), cwd=ROOT, env=_alone())
    other = subprocess.Popen(_command(*given, "--shard", "2/2"), cwd=ROOT, env=_alone())
    try:
        _wait(lambda: any(tmp_path.glob("*/rows-000000.parquet")) or one.poll() is not None)
        one.kill()
        one.wait()
        assert other.wait(600) == 0
    finally:
        one.kill()
        other.kill()
    assert 1 in open_survey(tmp_path).shards
    told = _run(*given, "--shard", "1/2")
    assert told.stdout.startswith(f"{COUNT} pictures: {tmp_path}")
    assert open_survey(tmp_path).missing == ()
    _same(open_survey(tmp_path), single)


def test_ctrl_c_says_how_to_go_on(folder: Path, small: Path, tmp_path: Path) -> None:
    command = _command(folder, "--model", small, "--out", tmp_path, "--batch", 1)
    with subprocess.Popen(command, cwd=ROOT, env=_alone(), stderr=subprocess.PIPE, text=True) as process:
        _wait(lambda: any(tmp_path.glob("*/rows-*.parquet")) or process.poll() is not None)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=600)
    assert process.returncode == progress.STOPPED
    assert "of 3 shards are done; the same command goes on." in said
    assert "Traceback" not in said
    assert not list(tmp_path.glob("*/.*"))


def test_a_cluster_makes_what_is_missing(single: Survey, folder: Path, small: Path, tmp_path: Path) -> None:
    shutil.copytree(single.path, tmp_path / single.path.name)
    for n in (0, 2):
        (tmp_path / single.path.name / f"rows-{n:06d}.parquet").unlink()
    there = tmp_path / single.path.name / "rows-000001.parquet"
    before = there.stat().st_mtime_ns
    told = _run(folder, "--model", small, "--out", tmp_path, "--ray")
    assert told.stdout.startswith(f"{COUNT} pictures: ")
    assert "1 of these pictures could not be used" in told.stderr
    assert there.stat().st_mtime_ns == before
    _same(open_survey(tmp_path), single)


def test_what_a_launcher_says(monkeypatch: pytest.MonkeyPatch) -> None:
    from dsp_viz.commands.options import own_part

    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert own_part(None) == (0, 1)
    monkeypatch.setenv("RANK", "5")
    assert own_part(None) == (0, 1)
    monkeypatch.setenv("WORLD_SIZE", "7")
    assert own_part(None) == (5, 7)
    assert own_part((1, 3)) == (1, 3)


def test_torchrun_shares_it_out(single: Survey, folder: Path, small: Path, tmp_path: Path) -> None:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "dsp_viz"]
    command = [*launcher, "survey", folder, "--model", small, "--out", tmp_path]
    done = subprocess.run(list(map(str, command)), cwd=ROOT, env=_alone(), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    _same(open_survey(tmp_path), single)


def test_other_pictures_model_or_settings_are_another_survey(
    folder: Path, subject: dsp_viz.Subject, tmp_path: Path
) -> None:
    files = shards.pictures(folder)
    side, patch = subject.preparation.side, subject.preparation.patch
    other = dsp_viz.load("dsp_tiny")
    base = engine.planned(subject, folder, files, tmp_path, side=side)
    others = [
        engine.planned(subject, folder, files, tmp_path, side=side, whole=True),
        engine.planned(subject, folder, files, tmp_path, side=side + patch),
        engine.planned(subject, folder, files[1:], tmp_path, side=side),
        engine.planned(other, folder, files, tmp_path, side=side),
        engine.planned(_like(subject, temperature=2.0), folder, files, tmp_path, side=side),
        engine.planned(_like(subject, classes=subject.classes[::-1]), folder, files, tmp_path, side=side),
    ]
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    assert engine.planned(subject, copy, files, tmp_path, side=side).target == base.target
    with (copy / files[3]).open("ab") as file:
        file.write(b"\0")
    others.append(engine.planned(subject, copy, files, tmp_path, side=side))
    assert len({plan.target for plan in (base, *others)}) == 8


def _like(subject: dsp_viz.Subject, **changes: Any) -> dsp_viz.Subject:
    """The same weights under the same name."""
    same = {name: getattr(subject, name) for name in ("classes", "name", "digest", "temperature")}
    return dsp_viz.Subject(subject.network, subject.preparation, **same | changes)


def test_nothing_is_worth_anything_for_no_class(folder: Path, subject: dsp_viz.Subject, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--worth: small has no classes"):
        engine.planned(_like(subject, classes=()), folder, (), tmp_path, side=24, worth=True)


def test_numbers_are_computed_where_the_model_runs(subject: dsp_viz.Subject, small: Path) -> None:
    x = torch.randn(2, 3, subject.preparation.side, subject.preparation.side)
    near = trace(subject, x)
    with far_device() as device:
        far = trace(moved(dsp_viz.load(small)), x.to(device), near=False)
        assert {block.output.device for block in far.blocks} == {device}
        assert far.output.device.type == "cpu"
        for block, want in zip(far.blocks, near.blocks, strict=True):
            np.testing.assert_allclose(heads.numbers(block).distance.cpu(), heads.numbers(want).distance, rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere is no folder"),
        (["{empty}"], "holds no picture"),
        (["{folder}", "--shard", "0/2"], "must be I/N, I within 1 and N"),
        (["{folder}", "--shard", "3/2"], "must be I/N, I within 1 and N"),
        (["{folder}", "--shard", "1/2", "--ray"], "--ray and --shard"),
        (["{folder}", "--side", "17"], "side=17: must be a multiple"),
    ],
)
def test_survey_refuses(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    (tmp_path / "empty").mkdir()
    given = [a.format(empty=tmp_path / "empty", folder=folder) for a in arguments]
    with pytest.raises(SystemExit) as ended:
        main(["survey", *given, "--out", str(tmp_path / "out")])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"first")
    (tmp_path / "folder").mkdir()
    with pytest.raises(dsp_viz.CheckpointError, match="cannot write"):
        write_atomically(tmp_path / "folder", b"second")
    assert path.read_bytes() == b"first"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]


def test_pictures_are_prepared_ahead_in_their_order(tmp_path: Path) -> None:
    started: list[int] = []

    def prepare(name: str) -> int:
        started.append(int(name))
        time.sleep(0.001 * (int(name) % 3))  # later ones overtake earlier ones
        return int(name)

    def make(ready: Iterator[int]) -> shards.Making:
        found = []
        for number in ready:
            assert len(started) <= number + 6
            found.append(number)
            yield shards.Done(1)
        return " ".join(map(str, found)).encode()

    parts = [(tmp_path / str(n), [str(i) for i in range(10 * n, 10 * n + (10 if n < 2 else 3))]) for n in range(3)]
    done = list(shards.work(parts, prepare, make, workers=3, ahead=5))
    assert sum(each.pictures for each in done) == 23
    for n, (path, files) in enumerate(parts):
        assert path.read_text().split() == files, n


def _wait(until: object) -> None:
    assert callable(until)
    end = time.monotonic() + 600
    while not until():
        assert time.monotonic() < end
        time.sleep(0.02)
