"""Statistics over pictures, against slow references in float64 and libraries."""

import math
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from dsp_viz import atlas


def _data(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of 211 pictures, some missing, (3, 2) cells; of 7 classes, one of them empty, some pictures of none."""
    generator = np.random.default_rng(seed)
    classes = generator.integers(-1, 6, 211).astype(np.int32)
    values = generator.normal(1000, 1, (211, 3, 2)) + 0.7 * np.maximum(classes, 0)[:, None, None] * [[1, 0]]
    values[generator.random(values.shape) < 0.1] = np.nan
    return values.astype(np.float32), classes


def _column(values: np.ndarray, at: tuple[int, ...]) -> np.ndarray:
    return values[(slice(None), *at)].astype(np.float64)


def test_moments_are_those_of_exact_fractions() -> None:
    values, classes = _data()
    found = atlas.moments(atlas.sums(values, classes, 7))
    for at in np.ndindex(3, 2):
        kept = [Fraction(float(v)) for v in _column(values, at) if math.isfinite(v)]
        mean = sum(kept) / len(kept)
        assert found.n[at] == len(kept) < 211
        assert found.mean[at] == pytest.approx(float(mean), rel=1e-14)
        assert found.std[at] == pytest.approx(math.sqrt(sum((v - mean) ** 2 for v in kept) / len(kept)), rel=1e-9)


def test_omega_squared_is_that_of_an_analysis_of_variance() -> None:
    values, classes = _data(1)
    found = atlas.omega_squared(atlas.sums(values, classes, 7))
    for at in np.ndindex(3, 2):
        column = _column(values, at)
        groups = [kept for c in range(7) if len(kept := column[(classes == c) & np.isfinite(column)])]
        f, k, n = stats.f_oneway(*groups).statistic, len(groups), sum(map(len, groups))
        assert found[at] == pytest.approx((k - 1) * (f - 1) / ((k - 1) * (f - 1) + n), rel=1e-6)
    assert found[:, 0].min() > 0.4 > 0.1 > np.abs(found[:, 1]).max()


def test_omega_squared_is_zero_on_average_where_classes_mean_nothing() -> None:
    """Many small classes: η² would be near (k − 1) / (n − 1) = 0.5."""
    generator = np.random.default_rng(2)
    found = atlas.omega_squared(atlas.sums(generator.normal(size=(101, 997)), np.arange(101) % 51, 51))
    assert abs(found.mean()) < 0.02


def test_effect_is_welch_s_difference() -> None:
    values, classes = _data(3)
    inside = np.array([False, True, False, False, True, True, False])
    found = atlas.effect(atlas.sums(values, classes, 7), inside)
    for at in np.ndindex(3, 2):
        column = _column(values, at)
        known = column[np.isfinite(column)]
        chosen = np.isin(classes, np.flatnonzero(inside))[np.isfinite(column)]
        std = known.std()
        interval = stats.ttest_ind(known[chosen], known[~chosen], equal_var=False).confidence_interval()
        assert found.n[at] == chosen.sum()
        assert found.d[at] == pytest.approx((known[chosen].mean() - known[~chosen].mean()) / std, rel=1e-6)
        assert found.low[at] == pytest.approx(interval.low / std, rel=1e-4)
        assert found.high[at] == pytest.approx(interval.high / std, rel=1e-4)


def test_too_few_pictures_have_no_interval() -> None:
    values = np.arange(11, dtype=np.float32)[:, None] ** 2
    classes = np.array([0] * 4 + [1] * 7)
    of = atlas.sums(values, classes, 3)
    four = atlas.effect(of, np.array([True, False, False]))
    assert four.n == [4]
    assert np.isfinite(four.d)
    assert np.isnan([four.low, four.high]).all()
    nobody = atlas.effect(of, np.array([False, False, True]))
    assert nobody.n == [0]
    assert np.isnan(nobody.d)


def test_what_does_not_vary_has_no_share_and_no_effect() -> None:
    of = atlas.sums(np.full((20, 1), 0.1, np.float32), np.arange(20) % 2, 2)
    assert atlas.moments(of).std == [0]
    assert np.isnan(atlas.omega_squared(of))
    assert np.isnan(atlas.effect(of, np.array([True, False])).d)


def test_no_pictures_have_no_numbers() -> None:
    of = atlas.sums(np.zeros((0, 2), np.float32), np.zeros(0, np.int32), 3)
    assert atlas.moments(of).n.tolist() == [0, 0]
    assert np.isnan(atlas.moments(of).mean).all()
    assert np.isnan(atlas.omega_squared(of)).all()


@pytest.mark.parametrize(
    ("std", "omega", "said"),
    [(0.009, 0.9, "constant"), (0.011, 0.15, "by class"), (0.011, 0.13, "by picture"), (0.5, math.nan, "by picture")],
)
def test_what_a_number_depends_on(std: float, omega: float, said: str) -> None:
    assert atlas.kind(std, omega) == said


def test_histograms_count_as_numpy_does() -> None:
    values, _ = _data(4)
    values[:2, 0, 0] = 1e9, -1e9
    values[2, 1, 1] = 1003  # the upper end
    found = atlas.histograms(values, 998, 1003, 13)
    assert found.shape == (13, 3, 2)
    for at in np.ndindex(3, 2):
        column = _column(values, at)
        clipped = np.clip(column[np.isfinite(column)], 998, 1003)
        np.testing.assert_array_equal(found[(slice(None), *at)], np.histogram(clipped, 13, (998, 1003))[0])
    assert atlas.histograms(np.zeros((0, 2)), 0, 1, 3).tolist() == [[0, 0]] * 3
    assert atlas.histograms(np.full((5, 1), 0.1), 0.1, 0.1, 3).ravel().tolist() == [5, 0, 0]


def test_ends_are_the_outermost_first() -> None:
    values = np.array([3, np.nan, 1, 2, 1, 9, 8, 2, 9], np.float32)
    lowest, highest = atlas.ends(values, 3)
    assert lowest.tolist() == [2, 4, 3]
    assert highest.tolist() == [5, 8, 6]
    lowest, highest = atlas.ends(np.array([5, 4, np.nan, 5]), 8)
    assert (lowest.tolist(), highest.tolist()) == ([1, 0], [3])
    assert [found.tolist() for found in atlas.ends(np.full(3, np.nan), 2)] == [[], []]
    equal = atlas.ends(np.zeros(5), 2)
    assert [found.tolist() for found in equal] == [[0, 1], [2, 3]]
