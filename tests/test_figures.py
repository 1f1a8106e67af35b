"""Figures: what is drawn is what was given, on the scale that is written beside it."""

import numpy as np
import pytest

from dsp_viz import figures, filter_figures


@pytest.fixture
def maps() -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    result = []
    for grid in ((4, 6), (2, 3)):
        m = generator.random((2, 3, *grid)) ** 4
        result.append(m / m.sum((-1, -2), keepdims=True))
    return result


def test_shared_limit_is_a_quantile_over_area(maps: list[np.ndarray]) -> None:
    # A key of the second scale covers 2×2 tokens.
    area = np.concatenate([24 * maps[0].ravel(), np.repeat(6 * maps[1].ravel(), 4)])
    assert figures.shared_limit(maps) == pytest.approx(np.quantile(area, 0.995))
    assert figures.shared_limit([np.full((2, 1, 3, 3), 1 / 9)]) == 1.0


@pytest.mark.parametrize(("grid", "factor"), [((5, 5), 4), ((1, 8), 2), ((3, 16), 4), ((16, 11), 8), ((3, 7), 1)])
def test_a_key_covers_the_tokens_it_pools(grid: tuple[int, int], factor: int) -> None:
    rows, columns = (np.arange(n) // factor for n in grid)
    want = 100 * rows[:, None] + columns
    assert np.array_equal(figures.grow(want[::factor, ::factor], grid), want)


def test_filter_gain_is_centred_on_gain_one() -> None:
    gain = np.ones((2, 2, 5, 5))
    gain[1, 0, 2, 2] = 0.5  # F⁻ of head 1 halves the zero frequency
    figure = filter_figures.filter_gain(gain, np.zeros_like(gain))
    trace = figure.data[0]
    z = np.asarray(trace.z)
    assert z[7 + 2, 2] == pytest.approx(-1.0)  # one octave down, in the middle of its panel
    assert np.nansum(np.abs(z)) == pytest.approx(1.0)
    assert (trace.zmin, trace.zmax) == (-1.0, 1.0)
    assert list(trace.colorbar.ticktext) == ["0.5", "0.707", "1", "1.41", "2"]


def test_coefficients_and_weights_keep_every_number() -> None:
    generator = np.random.default_rng(1)
    values = 2 * generator.random((2, 3, 2, 2))
    z = np.asarray(figures.coefficients(values).data[0].z)
    for block in range(2):
        for stream in range(2):
            panel = z[4 * stream : 4 * stream + 3, 3 * block : 3 * block + 2]
            np.testing.assert_allclose(panel, values[block, :, :, stream])
    weights = generator.dirichlet(np.ones(2), (2, 3))
    bars = figures.mixer_weights(weights, weights[..., ::-1]).data
    np.testing.assert_allclose(bars[1].y, weights[..., 1].ravel())
    np.testing.assert_allclose(bars[1].customdata, weights[..., 0].ravel())


def test_radial_gain_has_a_line_per_head_and_polarity() -> None:
    profile = np.arange(1.0, 13.0).reshape(2, 2, 3)
    lines = filter_figures.radial_gain(profile).data
    np.testing.assert_allclose([line.y for line in lines], profile.reshape(4, 3))
    assert [line.name for line in lines] == ["F⁺ head 1", "F⁺ head 2", "F⁻ head 1", "F⁻ head 2"]


def test_what_is_looked_at_is_marked() -> None:
    values = np.ones((2, 3, 2, 2))
    shapes = figures.coefficients(values, chosen=(1, 2)).layout.shapes
    assert [(s.x0, s.x1, s.y0, s.y1) for s in shapes] == [(2.5, 4.5, 1.5, 2.5), (2.5, 4.5, 5.5, 6.5)]
    assert figures.coefficients(values).layout.shapes == ()
    bars = figures.mixer_weights(values[..., 0] / 2, chosen=(0, 1)).data
    assert [list(bar.marker.line.width) for bar in bars] == [[0, 2, 0, 0, 0, 0]] * 2
    gain = np.ones((2, 2, 5, 5))
    names = filter_figures.filter_gain(gain, 0 * gain, head=1).layout.xaxis.ticktext
    assert names == ("head 1", "<b>▸ head 2</b>")
    lines = filter_figures.radial_gain(np.ones((2, 2, 3)), head=0).data
    assert [line.opacity for line in lines] == [1, 0.3, 1, 0.3]


def test_epochs_share_a_scale() -> None:
    gain = np.ones((3, 2, 2, 5, 5))
    gain[2, 0, 0, 1, 1] = 4
    trace = filter_figures.filter_gain(gain[0], 0 * gain[0], among=gain).data[0]
    assert (trace.zmin, trace.zmax) == (-2.0, 2.0)
    values = np.ones((3, 2, 3, 2, 2))
    values[1, 0, 0, 0, 0] = 1.5
    trace = figures.coefficients(values[0], among=values).data[0]
    assert (trace.zmin, trace.zmax) == (0.5, 1.5)
