"""A survey that is passed on, and the tables that are made of one."""

import json
import re
import statistics
from pathlib import Path

import numpy as np
import pytest
import surveys
from PIL import Image

import dsp_viz
from benchmarks import heads
from dsp_viz.survey import SurveyedLayer, open_survey
from dsp_viz.survey.format import FORMAT, Row, file_of, to_parquet
from dsp_viz.ui.atlas_classes import classes_of
from dsp_viz.ui.program import _surveyed
from training import slim

QUANTITIES = ("coefficient", "weight", "same_share", "distance", "entropy", "received_entropy", "self_share", "worth")
LAYERS = tuple(
    SurveyedLayer(
        i, f"blocks.{i}", "DSP", 0, 2, (8, 8), (1, 2), ("same", "opposite"), ("same", "opposite"), (), QUANTITIES
    )
    for i in range(2)
)
CLASSES = ("cat", "dog", "car")


def _survey(out: Path, count: int = 30) -> tuple[Path, list[Row]]:
    """Cats' coefficients of one cell are larger; those of the second layer are the same for all."""
    rows = []
    for i in range(count):
        generator = np.random.default_rng(i)
        numbers = {
            (name, layer.index): generator.random(layer.shape(name), np.float32)
            for layer in LAYERS
            for name in QUANTITIES
        }
        numbers["coefficient", 0][1, 1, 0] = 1.5 + 0.1 * generator.random() if i % 3 == 0 else 0.5
        numbers["coefficient", 1][:] = 0.05
        numbers["worth", 1][:, 0] -= 2
        name = CLASSES[i % 3]
        rows.append(Row(f"{name}/{i}.png", name, (8, 8), None, (0, 1, 2), (0.5, 0.3, 0.2), numbers))
    rows[5] = Row("car/5.png", "car", None, "It is no picture.")
    out.mkdir()
    settings = {
        "format": FORMAT,
        "of": {"count": count, "model": "m", "digest": "d", "side": 8, "whole": False, "version": "1"},
        "shard": count,
        "classes": CLASSES,
        "directories": CLASSES,
        "layers": [layer.described() for layer in LAYERS],
    }
    (out / "survey.json").write_text(json.dumps(settings))
    (out / file_of(0)).write_bytes(to_parquet(rows, LAYERS, 3))
    entries = [{"name": name, "group": "vehicle" if name == "car" else "animal"} for name in CLASSES]
    (out / "classes.json").write_text(json.dumps({"classes": entries}))
    return out, rows


def _rows(text: str, title: str) -> dict[str, list[str]]:
    """Of a table the lines by the first cell; of several of one name the first."""
    part = text.split(f"## {title}\n")[1].split("\n## ")[0]
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in part.strip().splitlines()]
    return {line[0]: line for line in reversed(lines)}


def test_tables_by_another_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, rows = _survey(tmp_path / "out")
    heads.main([str(out), "--pictures", str(out)])
    text = capsys.readouterr().out
    assert text.startswith("m d: 29 pictures, 8 px\n")
    numbers = [row.numbers for row in rows if row.numbers]

    distances = [statistics.fmean(float(n["distance", 0][head].mean()) for n in numbers) for head in range(2)]
    told = f"{statistics.fmean(distances):.2f} ({min(distances):.2f} … {max(distances):.2f})"
    assert _rows(text, "Distance and entropy by depth")["block 1"][1] == told

    dynamic, constant = (_rows(text, "Coefficients")[name] for name in ("block 1", "block 2"))
    assert constant[1:] == ["0.05 (0.05 … 0.05)", "0.00 (0.00 … 0.00)", "", "8", "0", "0", "100.0 %", "0.0 %"]
    assert dynamic[4:7] == ["0", "1", "7"]  # one of eight cells goes with the class

    for scale, name in ((0, "1×1"), (1, "2×2")):
        worth = [float(n["worth", 1][:, scale].sum()) for n in numbers]
        half = 2.0484 * statistics.stdev(worth) / len(worth) ** 0.5  # Student's t of 28 degrees of freedom
        assert f"| block 2 | {name} |" in text
        line = next(line for line in text.splitlines() if line.startswith(f"| block 2 | {name} |"))
        assert line.endswith(f"| **{statistics.fmean(worth):+.3f} ± {half:.3f}** |")

    by_worth = _rows(text, "Heads by worth")
    assert text.count("· head 1 | **") == 2
    total = [float(sum(n["worth", layer].sum() for layer in range(2))) for n in numbers]
    assert by_worth["all 4"][1] == heads.interval(total, mark=True)
    animals, vehicles = (_rows(text, "Groups of classes")[name] for name in ("animal", "vehicle"))
    assert animals[1:3] == ["20", "block 1 · head 2 · scale 2 · same"]
    assert vehicles[1:3] == ["9", "block 1 · head 2 · scale 2 · same"]
    assert animals[3] == "+" + vehicles[3][1:]


def test_filters_of_a_model_are_counted(model: dsp_viz.Subject) -> None:
    head, _, *lines = heads.filters(model, [f"block {i}" for i in range(6)])
    assert head.startswith("| block | low | high |")
    for line in lines:
        assert sum(int(count) for count in line.split("|")[2:8]) == 2 * 4  # signs, heads
    assert len(lines) == 6


def test_filters_of_another_model_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], weights: Path
) -> None:
    out, _ = _survey(tmp_path / "out")
    with pytest.raises(SystemExit):
        heads.main([str(out), "--model", str(weights)])
    assert re.search("is of weights d, not of .*'s, [0-9a-f]{12}", capsys.readouterr().err)


def test_a_survey_without_worth_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = surveys.write(tmp_path, model="m", digest="d")
    with pytest.raises(SystemExit):
        heads.main([str(out)])
    assert "does not say what heads are worth: survey with --worth" in capsys.readouterr().err


def test_a_slim_survey_says_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, rows = _survey(tmp_path / "out")
    pictures = tmp_path / "pictures"
    for row in rows:
        (pictures / row.path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(pictures / row.path)
    (out / "classes.json").rename(tmp_path / "classes.json")
    (tmp_path / "others").mkdir()
    with pytest.raises(SystemExit):
        slim.main([str(out), str(tmp_path / "slim"), "--pictures", str(tmp_path / "others"), "--open", "cat/*"])
    assert "others has no cat/0.png: give the folder that was surveyed" in capsys.readouterr().err
    assert not (tmp_path / "slim").exists()
    slim.main([str(out), str(tmp_path / "slim"), "--pictures", str(pictures), "--open", "cat/*"])
    assert "30 pictures" in capsys.readouterr().out

    whole, small = open_survey(out), open_survey(tmp_path / "slim")
    assert small.paths == whole.paths
    assert small.errors == whole.errors
    assert small.labels.tolist() == whole.labels.tolist()
    assert small.top.probabilities.tolist() == whole.top.probabilities.tolist()
    for layer in small.layers:
        assert layer.quantities == tuple(name for name in QUANTITIES if name != "received_entropy")
        for name in layer.quantities:
            np.testing.assert_allclose(
                small.quantity(name, layer.index), whole.quantity(name, layer.index), rtol=2**-8 + 2**-15
            )
    assert (tmp_path / "slim" / file_of(0)).stat().st_size < (out / file_of(0)).stat().st_size

    there = sorted(path.name for path in (tmp_path / "slim" / "pictures").rglob("*.png"))
    assert there == sorted(f"{i}.png" for i in range(0, 30, 3))
    surveyed = _surveyed(str(tmp_path / "slim"), None)  # its own pictures, where no others are named
    assert surveyed.pictures.folder == (tmp_path / "slim" / "pictures").resolve()
    assert [name for name, _ in surveyed.groups()] == ["animal", "vehicle"]
    assert list(classes_of(small, None).groups) == []


def test_an_unfinished_survey_is_not_passed_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, pictures = surveys.write(tmp_path, model="m", digest="d")
    (out / file_of(1)).unlink()
    with pytest.raises(SystemExit):
        slim.main([str(out), str(tmp_path / "slim"), "--pictures", str(pictures)])
    assert "lacks 1 of its files of rows: finish it first" in capsys.readouterr().err
    assert not (tmp_path / "slim").exists()


def test_pictures_that_are_not_there_are_named_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = surveys.write(tmp_path, model="m", digest="d")
    with pytest.raises(SystemExit):
        slim.main([str(out), str(tmp_path / "slim"), "--pictures", str(tmp_path / "nowhere")])
    assert "nowhere is no folder: give the one that was surveyed" in capsys.readouterr().err
    assert not (tmp_path / "slim").exists()
