"""Figures: what is drawn is what was given, on the scale that is written beside it."""

import numpy as np
import plotly.graph_objects as go
import pytest

from dsp_viz.figures import filters, screen

NAMES = ["block 1", "block 2", "block 3", "block 4"]


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
    assert screen.shared_limit(maps) == pytest.approx(np.quantile(area, 0.995, method="inverted_cdf"))
    assert screen.shared_limit([-m for m in maps]) == screen.shared_limit(maps)
    assert screen.shared_limit([np.full((2, 1, 3, 3), 1 / 9)]) == 1.0


def test_filter_gain_is_centred_on_gain_one() -> None:
    gain = np.ones((2, 2, 5, 5))
    gain[1, 0, 2, 2] = 0.5  # F⁻ of head 1 halves the zero frequency: one value of 100, so the scale reaches there
    figure = filters.filter_gain(gain, np.zeros_like(gain))
    trace = figure.data[0]
    z = np.asarray(trace.z)
    assert z[7 + 2, 2] == pytest.approx(-1.0)  # one octave down, in the middle of its panel
    assert np.nansum(np.abs(z)) == pytest.approx(1.0)
    assert (trace.zmin, trace.zmax) == (-1.0, 1.0)
    assert list(trace.colorbar.ticktext) == ["0.5", "0.707", "1", "1.41", "2"]


def test_coefficients_and_weights_keep_every_number() -> None:
    generator = np.random.default_rng(1)
    values = 2 * generator.random((2, 3, 2, 2))
    z = np.asarray(screen.coefficients(values, NAMES[: len(values)]).data[0].z)
    for block in range(2):
        for stream in range(2):
            panel = z[4 * stream : 4 * stream + 3, 3 * block : 3 * block + 2]
            np.testing.assert_allclose(panel, values[block, :, :, stream])
    weights = generator.dirichlet(np.ones(2), (2, 3))
    bars = screen.mixer_weights(weights, NAMES[:2], tracked=weights[..., ::-1]).data
    np.testing.assert_allclose(bars[1].y, weights[..., 1].ravel())
    np.testing.assert_allclose(bars[1].customdata, weights[..., 0].ravel())


def test_blocks_of_a_pyramid_differ_in_heads_and_scales() -> None:
    generator = np.random.default_rng(2)
    names = ["stage 1 · block 1", "stage 2 · block 1", "stage 2 · block 2"]
    values = [2 * generator.random(shape) for shape in ((1, 3, 2), (5, 1, 2), (2, 2, 2))]
    figure = screen.coefficients(values, names, chosen=(2, 1))
    z = np.asarray(figure.data[0].z)
    assert z.shape == (2 * 5 + 1, 3 + 1 + 1 + 1 + 2)
    for block, left in zip(values, (0, 4, 6), strict=True):
        for stream in (0, 1):
            panel = z[6 * stream : 6 * stream + len(block), left : left + block.shape[1]]
            np.testing.assert_allclose(panel, block[..., stream])
    assert np.isfinite(z).sum() == sum(block.size for block in values)
    assert [(s.x0, s.x1, s.y0) for s in figure.layout.shapes] == [(5.5, 7.5, 0.5), (5.5, 7.5, 6.5)]
    assert [a.x for a in figure.layout.annotations[:3]] == [1, 4, 6.5]  # in the middle of their columns
    assert figure.layout.annotations[1].text == "<b>stage 2<br>block 1</b>"
    bars = screen.mixer_weights([block[..., 0] for block in values], names, chosen=(2, 1)).data
    assert bars[0].x[0] == ["1.1", *["2.1"] * 5, *["2.2"] * 2]
    np.testing.assert_allclose(bars[1].y, [values[0][0, 1, 0], *[np.nan] * 5, *values[2][:, 1, 0]])
    assert list(bars[2].marker.line.width) == [0] * 7 + [2]


def bar_of(figure: go.Figure) -> tuple[float, str, str]:
    """Upper end of the painted scale, and what the bar writes at its ends."""
    trace = figure.data[0]
    assert trace.zmin == -trace.zmax == trace.colorbar.tickvals[0] == -trace.colorbar.tickvals[-1]
    return trace.zmax, trace.colorbar.ticktext[0], trace.colorbar.ticktext[-1]


@pytest.mark.parametrize("kind", ["gain", "phase", "kernel"])
def test_an_outlier_does_not_bleach_the_rest(kind: str) -> None:
    """Of 10,000 values between -1 and 1 a few stand out: the scale ends near 1, and the bar says on which side."""
    quiet = np.random.default_rng(2).uniform(-1, 1, (2, 2, 50, 50))
    draw = {
        "gain": lambda v: filters.filter_gain(2**v, 0 * v),
        "phase": filters.filter_phase,
        "kernel": filters.filter_kernel,
    }[kind]
    top, bottom = ("1.99", "0.502") if kind == "gain" else ("0.99", "-0.99") if kind == "phase" else ("0.995", "-0.995")
    for outliers, low, high in (([3.0], "", "≥ "), ([-2.5], "≤ ", ""), ([-3.0, 3.0], "≤ ", "≥ ")):
        values = quiet.clip(-0.9, 0.9)
        values.flat[: len(outliers)] = outliers
        # 0.6 % lie at the end of the scale, so that it is known to the last digit.
        values.flat[100:130], values.flat[200:230] = 0.995, -0.995
        figure = draw(values)
        limit, first, last = bar_of(figure)
        assert limit == pytest.approx(0.995, abs=1e-9)
        assert (first, last) == (low + bottom, high + top)
        sheet = np.asarray(figure.data[0].z)
        assert sheet.flat[0] == pytest.approx(outliers[0])
        told = np.asarray(figure.data[0].customdata)[0, 0, 2]
        assert told == pytest.approx(2 ** outliers[0] if kind == "gain" else outliers[0])


def test_a_bar_speaks_of_what_is_shown() -> None:
    """Where epochs share a scale, only the one with the outlier lies beyond it."""
    gain = np.ones((3, 2, 4, 9, 9))
    gain[:, 0, 0, 0, :5] = 2
    gain[2, 1, 3, 4, 4] = 30
    bars = [bar_of(filters.filter_gain(g, 0 * g, among=gain)) for g in gain]
    assert bars == [(1.0, "0.5", "2"), (1.0, "0.5", "2"), (1.0, "0.5", "≥ 2")]


def test_scales_and_heads_have_colours_of_their_own() -> None:
    bars = screen.mixer_weights(np.full((1, 2, 6), 1 / 6), NAMES[:1]).data
    assert len({bar.marker.color for bar in bars}) == 6
    lines = filters.radial_gain(np.ones((2, 11, 3))).data
    looks = [(line.line.color, line.line.dash, line.marker.symbol) for line in lines]
    assert len(set(looks)) == 22
    assert [look[0] for look in looks[:11]] == [look[0] for look in looks[11:]]  # a head keeps its colour


def test_colours_of_heads_are_seen_by_everybody() -> None:
    """On both pages; with all cones, and without those for red, green or blue (Machado et al. 2009, severity 1)."""
    seen = {
        "all": np.eye(3),
        "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        "no blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    }
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    heads, pages = linear(screen.HEADS), linear(("#ffffff", "#171e26"))
    luminances = (heads @ to_xyz[1])[:, None], (pages @ to_xyz[1])[None]
    contrast = (np.maximum(*luminances) + 0.05) / (np.minimum(*luminances) + 0.05)
    assert contrast.min() >= 3
    for name, matrix in seen.items():
        x, y, z = np.cbrt((heads @ np.transpose(matrix)).clip(0, 1) @ to_xyz.T / to_xyz.sum(1)).T
        lab = np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)
        distance = np.linalg.norm(lab[:, None] - lab[None], axis=-1) + 1e3 * np.eye(len(lab))
        assert distance.min() >= 20, name


def linear(colours: tuple[str, ...]) -> np.ndarray:
    values = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in colours]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def test_radial_gain_has_a_line_per_head_and_polarity() -> None:
    profile = np.arange(1.0, 13.0).reshape(2, 2, 3)
    lines = filters.radial_gain(profile).data
    np.testing.assert_allclose([line.y for line in lines], profile.reshape(4, 3))
    assert [line.name for line in lines] == ["F⁺ head 1", "F⁺ head 2", "F⁻ head 1", "F⁻ head 2"]


def test_what_is_looked_at_is_marked() -> None:
    values = np.ones((2, 3, 2, 2))
    shapes = screen.coefficients(values, NAMES[: len(values)], chosen=(1, 2)).layout.shapes
    assert [(s.x0, s.x1, s.y0, s.y1) for s in shapes] == [(2.5, 4.5, 1.5, 2.5), (2.5, 4.5, 5.5, 6.5)]
    assert screen.coefficients(values, NAMES[: len(values)]).layout.shapes == ()
    bars = screen.mixer_weights(values[..., 0] / 2, NAMES[: len(values)], chosen=(0, 1)).data
    assert [list(bar.marker.line.width) for bar in bars] == [[0, 2, 0, 0, 0, 0]] * 2
    gain = np.ones((2, 2, 5, 5))
    names = filters.filter_gain(gain, 0 * gain, head=1).layout.xaxis.ticktext
    assert names == ("head 1", "<b>▸ head 2</b>")
    lines = filters.radial_gain(np.ones((2, 2, 3)), head=0).data
    assert [line.name for line in lines] == ["<b>▸ F⁺ head 1</b>", "F⁺ head 2", "<b>▸ F⁻ head 1</b>", "F⁻ head 2"]
    assert [line.line.width for line in lines] == [4, 1.5, 4, 1.5]
    assert [line.zorder for line in lines] == [1, 0, 1, 0]  # on top of the others
    assert len({line.line.color for line in lines}) == 2


def test_epochs_share_a_scale() -> None:
    gain = np.ones((3, 2, 2, 5, 5))
    gain[2, 0, 0, 1, 1:4] = 4
    trace = filters.filter_gain(gain[0], 0 * gain[0], among=gain).data[0]
    assert (trace.zmin, trace.zmax) == (-2.0, 2.0)
    values = np.ones((3, 2, 3, 2, 2))
    values[1, 0, 0, 0, 0] = 1.5
    trace = screen.coefficients(values[0], NAMES[: len(values[0])], among=values).data[0]
    assert (trace.zmin, trace.zmax) == (0.5, 1.5)


def test_an_only_scale_goes_without_saying() -> None:
    one, two = (screen.coefficients([np.ones((3, scales, 2))], ["block 1"]) for scales in (1, 2))
    assert list(one.layout.xaxis.ticktext) == [""]
    assert list(two.layout.xaxis.ticktext) == ["1", "2"]
    assert [any("scale" in a.text for a in figure.layout.annotations) for figure in (one, two)] == [False, True]
    assert [figure.data[0].hovertemplate[:10] for figure in (one, two)] == ["%{y}<br>c ", "scale %{x}"]
