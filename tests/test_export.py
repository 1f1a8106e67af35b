"""What is taken away: arrays that rebuild the maps, figures and fragments that load nothing from elsewhere."""

import base64
import dataclasses
import io
import json
import math
import os
import re
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from conftest import EXAMPLES
from matplotlib.colors import to_rgb
from PIL import Image

import dsp_viz
from dsp_viz import export
from dsp_viz.analysis import UNSURE
from dsp_viz.figures import screen
from dsp_viz.interventions import SetCoefficient

EPS = 1e-6  # of the normaliser's mean, as in the layer


@pytest.fixture(scope="module")
def result(model: dsp_viz.Subject) -> dsp_viz.Analysis:
    return dsp_viz.analyse(model, EXAMPLES[0])


@pytest.fixture(scope="module")
def loaded(result: dsp_viz.Analysis, tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    path = tmp_path_factory.mktemp("npz") / "numbers.of.one picture"
    export.save_npz(result, path)
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def dense(loaded: dict[str, np.ndarray], scale: str, *, opposite: bool) -> np.ndarray:
    """``(h, N, N)`` from the definition, in float64."""
    queries, keys = (loaded[f"{scale}/{side}"].astype(np.float64) for side in ("left", "right"))  # (2, h, N, d)
    queries = queries[::-1] if opposite else queries
    products = np.einsum("phid,phjd->hij", queries, keys)
    return products / (products.sum(-1, keepdims=True) + products.shape[-1] * EPS)


@pytest.mark.parametrize("stream", ["same", "opposite"])
def test_saved_features_rebuild_a_row_of_every_map(
    result: dsp_viz.Analysis, loaded: dict[str, np.ndarray], stream: str
) -> None:
    query, (H, W) = (3, 11), result.frame.grid
    for b in range(len(result.trace.blocks)):
        rows = dense(loaded, f"block{b}/scale0", opposite=stream == "opposite")[:, query[0] * W + query[1]]
        for head, row in enumerate(rows):
            shown = dsp_viz.maps.query_map(
                result.trace, block=b, scale=0, head=head, stream=stream, query=query
            ).numpy()
            np.testing.assert_allclose(row.reshape(H, W), shown, rtol=1e-4, atol=1e-8)


def test_saved_averages_are_the_mean_of_all_rows(loaded: dict[str, np.ndarray]) -> None:
    for stream in (0, 1):
        want = dense(loaded, "block4/scale0", opposite=stream == 1).mean(1)
        got = loaded["block4/scale0/maps"][stream]
        np.testing.assert_allclose(got.reshape(want.shape), want, rtol=1e-4, atol=1e-8)


def test_everything_is_there_as_it_was_traced(result: dsp_viz.Analysis, loaded: dict[str, np.ndarray]) -> None:
    blocks = result.trace.blocks
    assert len(loaded) == 2 + len(blocks) * (5 + 7 * len(blocks[0].scales))
    assert np.array_equal(loaded["probabilities"], result.probabilities)
    for b, block in enumerate(blocks):
        assert np.array_equal(loaded[f"block{b}/coefficients"], block.coefficients[0])
        assert np.array_equal(loaded[f"block{b}/mixing_weights"], block.weights[0])
        assert np.array_equal(loaded[f"block{b}/ema"], block.parts.ema)
        assert np.array_equal(loaded[f"block{b}/filters"], block.parts.filters)
        assert loaded[f"block{b}/filters"].dtype == np.complex64
        assert loaded[f"block{b}/grid"].tolist() == [16, 16]
        for s, scale in enumerate(block.scales):
            for side, factor in (("left", scale.left), ("right", scale.right)):
                stored = loaded[f"block{b}/scale{s}/{side}"]
                assert stored.dtype == np.float32
                assert np.array_equal(stored, factor[:, 0])
            assert np.array_equal(loaded[f"block{b}/scale{s}/values"], scale.values[0])
            grid = scale.keys.size
            for side in ("queries", "keys"):
                assert loaded[f"block{b}/scale{s}/{side}"].tolist() == [*grid]
            p = loaded[f"block{b}/scale{s}/maps"].astype(np.float64)
            assert p.shape[2:] == grid
            p /= p.sum((2, 3), keepdims=True)
            entropies = -(p * np.log(p, where=p > 0, out=np.zeros_like(p))).sum((2, 3)) / np.log(np.prod(grid))
            np.testing.assert_allclose(loaded[f"block{b}/scale{s}/entropies"], entropies, rtol=1e-4)


def test_settings_travel_as_json(result: dsp_viz.Analysis, loaded: dict[str, np.ndarray]) -> None:
    settings = json.loads(loaded["settings"].item())
    assert settings == export.settings(result)
    assert (settings["model"], settings["digest"]) == ("dsp_tiny", result.digest)
    assert settings["versions"]["numpy"] == np.__version__
    assert settings["versions"]["dsp-attention"] == dsp_viz.__version__
    assert settings["name"] == EXAMPLES[0].name
    assert settings["grid"] == [16, 16]
    with Image.open(EXAMPLES[0]) as original:
        assert settings["frame"]["size"] == list(original.size)
    assert [c["class"] for c in settings["classes"]] == list(result.classes)
    assert sum(c["probability"] for c in settings["classes"]) == pytest.approx(1, abs=1e-9)
    assert [settings[key] for key in ("temperature", "threshold", "unsure")] == [1, 0, False]
    assert settings["seconds"] > 0
    assert 0 < settings["verified"] < 1e-5
    assert settings["refused"] == []
    assert [layer["name"] for layer in settings["layers"]] == [block.name for block in result.trace.blocks]
    assert settings["layers"][2]["streams"][1] == {"name": "opposite", "role": "opposite", "turn": 1}


@pytest.mark.parametrize(
    ("depth", "grid", "view"),
    [
        (6, (16, 16), (2, (8, 8))),
        (12, (5, 4), (2, (2, 2))),
        (3, (1, 1), (2, (0, 0))),
        (2, (1, 3), (1, (0, 1))),
        (1, (7, 2), (0, (3, 1))),
    ],
)
def test_where_nobody_chose(depth: int, grid: tuple[int, int], view: tuple[int, tuple[int, int]]) -> None:
    assert export.default_view(depth, grid) == view


def test_a_path_that_cannot_be_written_is_an_error(result: dsp_viz.Analysis, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        export.save_npz(result, tmp_path / "missing" / "numbers.npz")


def test_the_figure_draws_every_map_on_one_scale(result: dsp_viz.Analysis) -> None:
    figure = export.maps_figure(result, block=1, query=(2, 13))
    arrays = [m.numpy() for m in dsp_viz.maps.block_maps(result.trace.blocks[1], (2, 13))]
    stage, *panels, bar = figure.axes
    assert np.array_equal(stage.images[0].get_array(), np.asarray(result.sharp))
    want = [m[stream, head] * m[stream, head].size for m in arrays for stream in (0, 1) for head in range(4)]
    limit = screen.shared_limit(arrays)
    for i, (axes, values) in enumerate(zip(panels, want, strict=True)):
        image = axes.images[0]
        np.testing.assert_allclose(image.get_array(), values, rtol=1e-6)
        assert image.get_clim() == (0, limit)
        assert (image.get_extent(), axes.get_xlim()) == ([-0.5, 15.5, 15.5, -0.5], (-0.5, 15.5))
        assert to_rgb(image.cmap(0.0)) == (1, 1, 1)
        end = (screen.SAME, screen.OPPOSITE)[i // 4 % 2]
        np.testing.assert_allclose(to_rgb(image.cmap(1.0)), np.array(end) / 255)
        assert axes.patches[0].get_bbox().bounds == (12.5, 1.5, 1, 1)
    ticks = [label.get_text() for label in bar.get_xticklabels()]
    assert float(ticks[-1].strip("≥ ")) == pytest.approx(limit, rel=0.01)
    assert ticks[-1].startswith("≥")  # something lies above the 99.5th percentile
    assert "× uniform" in bar.get_xlabel()
    words = [text.get_text() for text in figure.texts]
    assert words[:4] == [
        "Block 2 of 6, query at row 3, column 14",
        EXAMPLES[0].name,
        f"dsp_tiny · weights {result.digest} · 16×16 tokens",
        f"white is 0, full colour is {ticks[-1]} × uniform",
    ]
    assert [w for w in words if w.startswith("head")] == ["head 1", "head 2", "head 3", "head 4"]


def test_a_caption_tells_what_was_changed_and_fits(model: dsp_viz.Subject, softmax_small: dsp_viz.Subject) -> None:
    changes = [SetCoefficient(value=0, head=1), SetCoefficient(value=1, scale=0)]
    name = f"{'a very long name ' * 12}.jpeg"
    for given, count, words in ((changes, 3, "2 interventions"), (changes[:1], 3, "1 intervention")):
        changed = dataclasses.replace(dsp_viz.analyse(model, EXAMPLES[0], interventions=given), name=name)
        figure = export.maps_figure(changed, block=0, query="all")
        shown = [text.get_text() for text in figure.texts[1:count]]
        assert shown[1].endswith(f"16×16 tokens · {words}")
        assert shown[0].startswith("a very long name")
        assert shown[0].endswith(".jpeg")
    softmax = dsp_viz.analyse(softmax_small, EXAMPLES[0].read_bytes())
    assert softmax.name == ""
    titles = [t.get_text() for t in export.maps_figure(softmax, block=0, query="all").texts]
    assert not any("name" in title for title in titles)
    assert "16×16 keys" in titles  # of the only scale
    assert not any("scale" in title for title in titles)
    narrow = export.maps_figure(dataclasses.replace(softmax, name="W" * 300), block=0, query=(0, 0))
    narrow.savefig(io.BytesIO(), format="png", dpi=50)
    ends = [text.get_window_extent().x1 for text in narrow.texts[:4]]
    assert max(ends) < narrow.bbox.x1


def test_the_average_frames_no_token(result: dsp_viz.Analysis) -> None:
    figure = export.maps_figure(result, block=0, query="all")
    assert not any(axes.patches for axes in figure.axes)
    assert any("averaged over all queries" in text.get_text() for text in figure.texts)


@pytest.mark.parametrize("size", [(640, 30), (120, 480), (300, 200)])
def test_maps_keep_the_shape_of_the_picture(model: dsp_viz.Subject, size: tuple[int, int]) -> None:
    whole = dsp_viz.analyse(model, Image.open(EXAMPLES[0]).resize(size), whole=True)
    figure = export.maps_figure(whole, block=0, query=(0, 0))
    H, W = whole.frame.grid
    for axes in figure.axes[:-1]:
        extent = axes.get_window_extent()
        assert extent.width / extent.height == pytest.approx(W / H)
        corners = figure.transFigure.inverted().transform(extent.get_points())
        assert corners.min() >= 0
        assert corners.max() <= 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"block": 6}, "block=6: must be within 0 and 5"),
        ({"block": -1}, "block=-1"),
        ({"query": (16, 0)}, "rows 0…15"),
        ({"query": "some"}, "'all'"),
    ],
)
def test_bad_arguments_say_what_is_allowed(result: dsp_viz.Analysis, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        export.maps_figure(result, **{"block": 0, "query": (0, 0), **change})


@pytest.mark.parametrize("kind", ["svg", "pdf", "png"])
def test_a_file_is_the_same_every_time(result: dsp_viz.Analysis, tmp_path: Path, kind: str) -> None:
    """Whatever matplotlib is set to, and whatever else is written meanwhile; by name or into an open file."""
    with ThreadPoolExecutor(4) as pool:
        files = [tmp_path / f"{i}.{kind}" for i in range(4)]
        figures = [export.maps_figure(result, block=2, query=(8, 8)) for _ in files]
        with matplotlib.rc_context({"svg.fonttype": "path", "pdf.fonttype": 3, "svg.hashsalt": None}):
            list(pool.map(lambda pair: pair[0].savefig(pair[1]), zip(figures, files, strict=True)))
            assert matplotlib.rcParams["pdf.fonttype"] == 3
    opened = io.BytesIO()
    export.maps_figure(result, block=2, query=(8, 8)).savefig(opened, format=kind)
    assert {file.read_bytes() for file in files} == {opened.getvalue()}
    data = opened.getvalue()
    assert not re.search(rb"CreationDate|<dc:date>|20\d\d-\d\d-\d\dT", data)
    if kind == "pdf":
        assert b"/Type3" not in data
        assert b"/FontFile2" in data  # TrueType


def test_text_in_svg_is_text(result: dsp_viz.Analysis) -> None:
    figure = export.maps_figure(result, block=2, query=(8, 8))
    file = io.BytesIO()
    figure.savefig(file, format="svg")
    root = ElementTree.fromstring(file.getvalue())
    written = ["".join(element.itertext()) for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {text.get_text() for text in figure.texts} <= set(written)


@pytest.mark.parametrize("name", ["写真.jpg", "a\nb\x01c.jpg", os.fsdecode(b"caf\xe9.jpg"), "$x^2$ <b>&.jpg"])
def test_any_name_can_be_written(result: dsp_viz.Analysis, name: str) -> None:
    figure = export.maps_figure(dataclasses.replace(result, name=name), block=0, query="all")
    for kind in ("png", "svg", "pdf"):
        file = io.BytesIO()
        figure.savefig(file, format=kind, dpi=40)
        if kind == "svg":
            root = ElementTree.fromstring(file.getvalue())
            written = ["".join(element.itertext()) for element in root.iter("{http://www.w3.org/2000/svg}text")]
            assert "".join(c if c.isprintable() else "\ufffd" for c in name) in written


def test_svg_is_xml_that_loads_nothing(result: dsp_viz.Analysis) -> None:
    file = io.BytesIO()
    export.maps_figure(result, block=2, query=(8, 8)).savefig(file, format="svg")
    root = ElementTree.fromstring(file.getvalue())
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    values = [(name.rpartition("}")[2], value) for element in root.iter() for name, value in element.attrib.items()]
    links = [value for name, value in values if name in ("href", "src")]
    assert sum(link.startswith("data:image/png;base64,") for link in links) == 26  # picture, 24 maps, bar
    assert all(link.startswith(("#", "data:")) for link in links)
    assert all(target.startswith("#") for _, value in values for target in re.findall(r"url\((.)", value))
    assert not list(root.iter("{http://www.w3.org/2000/svg}script"))


class Fragment(HTMLParser):
    """Tags, attributes and text of an HTML fragment."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_a_fragment_shows_prediction_and_maps(result: dsp_viz.Analysis) -> None:
    shown = export.html(result, block=2, query=(8, 8))
    fragment = Fragment(shown)
    assert not fragment.open
    for name, probability in result.top(5):
        at = fragment.words.index(name)
        assert fragment.words[at + 1] == f"{100 * probability:.1f} %"
    assert result.top(6)[5][0] not in fragment.words
    assert any(result.model in words and result.digest in words for words in fragment.words)
    [source] = [value for name, value in fragment.attributes if name == "src"]
    assert source is not None
    start = "data:image/png;base64,"
    assert source.startswith(start)
    with Image.open(io.BytesIO(base64.b64decode(source[len(start) :]))) as picture:
        picture.load()
        assert picture.width > 1000
    assert "//" not in shown.replace(source, "")


def test_a_model_that_is_not_sure_says_so(result: dsp_viz.Analysis) -> None:
    _, best = result.top(1)[0]
    for threshold, unsure in ((best, False), (math.nextafter(best, 1), True)):
        judged = dataclasses.replace(result, threshold=threshold)
        assert (UNSURE in Fragment(export.html(judged, block=2, query=(8, 8))).words) is unsure
        assert export.settings(judged)["unsure"] is unsure


def test_text_of_a_model_is_never_markup(result: dsp_viz.Analysis) -> None:
    classes = ("<script>alert(1)</script>", "cats & \"dogs'", *result.classes[2:])
    probabilities = (0.5, 0.3, *(0.2 / 8 for _ in result.classes[2:]))
    # `$\frac` would stop matplotlib's formulas, `<b>` would be bold.
    hostile = dataclasses.replace(result, classes=classes, probabilities=probabilities, model=r"<b>$\frac$")
    fragment = Fragment(export.html(hostile, block=2, query=(8, 8)))
    assert set(fragment.tags) == {"div", "span", "img"}
    assert set(classes[:2]) <= set(fragment.words)
    assert any(r"<b>$\frac$" in words for words in fragment.words)


def test_a_query_may_be_a_list(result: dsp_viz.Analysis) -> None:
    texts = [
        [text.get_text() for text in export.maps_figure(result, block=2, query=query).texts]
        for query in ([7, 9], (7, 9))
    ]
    assert texts[0] == texts[1]
    assert "Block 3 of 6, query at row 8, column 10" in texts[0]
