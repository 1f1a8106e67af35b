"""The files of a survey are read back as they were written."""

import json
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from dsp_viz.survey import SurveyedLayer, SurveyError, open_survey
from dsp_viz.survey.format import FORMAT, Row, file_of, rounded, to_parquet

DEEP = SurveyedLayer(
    0, "a.b", "DSP", 0, 3, (5, 7), (1, 2), ("same", "opposite"), ("same", "opposite"), (), ("entropy", "weight")
)
PLAIN = SurveyedLayer(1, "c", "softmax", 1, 5, None, (1,), ("",), ("only",), ("class",), ("entropy",))
LAYERS = (DEEP, PLAIN)


def _row(i: int) -> Row:
    if i % 5 == 3:
        return Row(f"x/{i:02d}.png", "x", None, f"The file {i} is empty.")
    generator = np.random.default_rng(i)
    numbers = {
        (name, layer.index): generator.random(layer.shape(name), np.float32)
        for layer in LAYERS
        for name in layer.quantities
    }
    return Row(f"x/{i:02d}.png", "x" if i % 2 else None, (i, 2 * i), None, (i % 3, 1, 2), (0.5, 0.25, i / 64), numbers)


def _write(folder: Path, *, count: int, shards: list[int], size: int = 4) -> list[Row]:
    rows = [_row(i) for i in range(count)]
    folder.mkdir(parents=True)
    settings = {
        "format": FORMAT,
        "of": {"count": count, "model": "m", "digest": "d", "side": 32, "whole": False, "version": "1"},
        "shard": size,
        "classes": ["one", "two", "three"],
        "directories": ["w", "x", "y"],
        "layers": [layer.described() for layer in LAYERS],
    }
    (folder / "survey.json").write_text(json.dumps(settings))
    for n in shards:
        (folder / file_of(n)).write_bytes(to_parquet(rows[n * size : (n + 1) * size], LAYERS, 3))
    return [row for n in sorted(shards) for row in rows[n * size : (n + 1) * size]]


def test_rows_come_back_in_order(tmp_path: Path) -> None:
    rows = _write(tmp_path / "out" / "hash", count=11, shards=[2, 0])
    survey = open_survey(tmp_path / "out")
    assert (survey.shards, survey.missing, len(survey), survey.count) == ((0, 2), (1,), 7, 11)
    assert survey.layers == LAYERS
    assert survey.paths == [row.path for row in rows]
    assert survey.errors == [row.error for row in rows]
    assert survey.labels.tolist() == [-1 if row.label is None else 1 for row in rows]
    assert survey.sizes.tolist() == [list(row.size or (0, 0)) for row in rows]
    assert survey.top.classes.tolist() == [list(row.top or (-1,) * 3) for row in rows]
    assert survey.top.probabilities.tolist() == [list(row.probabilities or (0.0,) * 3) for row in rows]
    for layer in LAYERS:
        for name in layer.quantities:
            nothing = np.full(layer.shape(name), np.nan)
            want = np.stack([(row.numbers or {}).get((name, layer.index), nothing) for row in rows])
            got = survey.quantity(name, layer.name)
            assert got.shape == (7, *layer.shape(name))
            assert got.dtype == np.float32
            np.testing.assert_allclose(got, want, rtol=2.0**-15, atol=0)
            np.testing.assert_array_equal(got, survey.of_layers(name, [layer.index])[0])
    both = survey.of_layers("entropy", [1, 0])
    np.testing.assert_array_equal(both[0], survey.quantity("entropy", 1))
    np.testing.assert_array_equal(both[1], survey.quantity("entropy", 0))


def test_totals_are_those_of_exact_fractions(tmp_path: Path) -> None:
    _write(tmp_path / "out", count=23, shards=[0, 1, 3, 4, 5])
    survey = open_survey(tmp_path / "out")
    totals = survey.totals()
    assert totals.keys() == {("entropy", 0), ("weight", 0), ("entropy", 1)}
    for (name, layer), total in totals.items():
        values = survey.quantity(name, layer)
        for at in np.ndindex(values.shape[1:]):
            kept = [Fraction(float(v)) for v in values[(slice(None), *at)] if math.isfinite(v)]
            mean = sum(kept) / len(kept)
            variance = sum((v - mean) ** 2 for v in kept) / len(kept)
            assert total.n[at] == len(kept) < len(values)
            assert total.mean[at] == pytest.approx(float(mean), rel=1e-14)
            assert total.std[at] == pytest.approx(math.sqrt(variance), rel=1e-12)
    assert survey.totals(["weight"]).keys() == {("weight", 0)}


def test_a_quantity_that_nobody_has_has_no_mean(tmp_path: Path) -> None:
    _write(tmp_path / "out", count=4, shards=[0], size=4)
    empty = [Row(f"{i}", None, None, "Bad.") for i in range(4)]
    (tmp_path / "out" / file_of(0)).write_bytes(to_parquet(empty, LAYERS, 3))
    total = open_survey(tmp_path / "out").totals()["entropy", 1]
    assert (total.n == 0).all()
    assert np.isnan(total.mean).all()
    assert np.isnan(total.std).all()


def test_a_survey_that_has_just_begun_is_empty(tmp_path: Path) -> None:
    _write(tmp_path / "out", count=4, shards=[])
    survey = open_survey(tmp_path / "out")
    assert len(survey) == 0
    assert survey.paths == survey.errors == []
    assert survey.labels.shape == (0,)
    assert survey.sizes.shape == (0, 2)
    assert survey.top.classes.shape == survey.top.probabilities.shape == (0, 3)
    assert survey.quantity("entropy", 0).shape == (0, 3, 2, 2)


def test_numbers_are_rounded_to_the_nearest() -> None:
    unit = 2.0**-14  # of numbers within 1 and 2
    given = np.array([1, 1 + unit, 1 + 0.49 * unit, 1 + 0.51 * unit, -1 - 0.51 * unit, 2 - unit / 4, 0, np.nan, np.inf])
    want = [1, 1 + unit, 1, 1 + unit, -1 - unit, 2, 0, np.nan, np.inf]
    np.testing.assert_array_equal(rounded(given.astype(np.float32)), np.float32(want))


def test_what_cannot_be_opened_is_told(tmp_path: Path) -> None:
    with pytest.raises(SurveyError, match=r"has no survey: make one"):
        open_survey(tmp_path / "nowhere")
    for name in ("a", "b"):
        _write(tmp_path / "two" / name, count=5, shards=[0])
    with pytest.raises(SurveyError, match=r"has 2 surveys.*m d, 5 squares, 32 px"):
        open_survey(tmp_path / "two")
    survey = open_survey(tmp_path / "two" / "a")
    with pytest.raises(SurveyError, match=r"layer=2: the survey has 0…1: a\.b, c"):
        survey.quantity("entropy", 2)
    with pytest.raises(SurveyError, match=r"'weight': c has entropy"):
        survey.quantity("weight", "c")
    rows = tmp_path / "two" / "a" / file_of(0)
    rows.write_bytes(rows.read_bytes()[:-9])
    with pytest.raises(SurveyError, match=r"cannot be read .*delete it and start the survey again"):
        survey.quantity("entropy", 0)
    rows.write_bytes(to_parquet([_row(0)], LAYERS, 3))
    with pytest.raises(SurveyError, match=r"is of another survey"):
        survey.quantity("entropy", 0)
    settings = tmp_path / "two" / "b" / "survey.json"
    settings.write_text(settings.read_text().replace(f'"format": {FORMAT}', '"format": 99'))
    with pytest.raises(SurveyError, match=r"has format 99, this version reads 1"):
        open_survey(settings.parent)
