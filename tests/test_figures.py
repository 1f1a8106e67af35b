"""Figures: what is drawn is what was given, on the scale that is written beside it."""

import numpy as np
import pytest
from PIL import Image

from dsp_viz import figures


@pytest.fixture
def maps() -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    result = []
    for grid in ((4, 6), (2, 3)):
        m = generator.random((2, 3, *grid)) ** 4
        result.append(m / m.sum((-1, -2), keepdims=True))
    return result


def test_map_panel_shows_every_map_on_one_scale(maps: list[np.ndarray]) -> None:
    trace = figures.map_panel(maps).data[0]
    z = np.asarray(trace.z)
    # The 99.5th percentile over area: a key of the second scale covers 2×2 tokens.
    area = np.concatenate([24 * maps[0].ravel(), np.repeat(6 * maps[1].ravel(), 4)])
    limit = np.quantile(area, 0.995)
    assert trace.zmax == pytest.approx(limit)
    assert trace.zmin == pytest.approx(-limit)
    # Head 2 (second row), scale 1 opposite (second column): 4×6 tokens, negative side of the scale.
    np.testing.assert_allclose(z[5:9, 7:13], -24 * maps[0][1, 1])
    # Head 3, scale 2 same (third column): 2×3 keys, each over 2×2 tokens.
    np.testing.assert_allclose(z[10:14, 14:20], 6 * maps[1][0, 2].repeat(2, 0).repeat(2, 1))
    assert np.isnan(z[4]).all()
    assert np.isnan(z[:, 6]).all()


def test_map_panel_names_its_axes_and_bar(maps: list[np.ndarray]) -> None:
    figure = figures.map_panel(maps)
    assert list(figure.layout.xaxis.ticktext) == ["1×<br>same", "1×<br>opposite", "2×<br>same", "2×<br>opposite"]
    assert list(figure.layout.yaxis.ticktext) == ["head 1", "head 2", "head 3"]
    bar = figure.data[0].colorbar
    assert "× uniform" in bar.title.text
    assert bar.ticktext[0].startswith("≥")  # something lies above the 99.5th percentile
    assert [float(t.strip("≥")) for t in bar.ticktext] == pytest.approx(np.abs(bar.tickvals), rel=0.01)


def test_hover_gives_the_weight_itself(maps: list[np.ndarray]) -> None:
    data = np.asarray(figures.map_panel(maps).data[0].customdata)
    np.testing.assert_allclose(data[0:4, 7:13, 1], maps[0][1, 0])


def test_filter_gain_is_centred_on_gain_one() -> None:
    gain = np.ones((2, 2, 5, 5))
    gain[1, 0, 2, 2] = 0.5  # F⁻ of head 1 halves the zero frequency
    figure = figures.filter_gain(gain, np.zeros_like(gain))
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
    lines = figures.radial_gain(profile).data
    np.testing.assert_allclose([line.y for line in lines], profile.reshape(4, 3))
    assert [line.name for line in lines] == ["F⁺ head 1", "F⁺ head 2", "F⁻ head 1", "F⁻ head 2"]


def test_query_picture_tints_where_the_map_is_and_frames_the_query() -> None:
    picture = Image.new("RGB", (64, 64), (200, 200, 200))
    chosen = np.zeros((4, 4))
    chosen[3, 0] = 1.0
    shown = figures.query_picture(picture, (4, 4), (0, 3), chosen, stream=0, limit=16.0, opacity=1.0)
    cell = figures.STAGE_SIDE // 4
    assert shown.getpixel((cell // 2, 3 * cell + cell // 2)) == figures.SAME
    assert shown.getpixel((cell // 2, cell // 2)) == (200, 200, 200)
    assert shown.getpixel((3 * cell, cell // 2)) == (255, 255, 255)  # the frame of row 0, column 3
