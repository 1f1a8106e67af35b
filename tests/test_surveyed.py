"""What the tab Atlas asks of a survey: numbers as the rows have them, and no file but the survey's pictures."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import surveys
from asking import send
from conftest import EXAMPLES
from starlette.applications import Starlette
from starlette.testclient import TestClient

import dsp_viz
from dsp_viz.decoding import Decoder
from dsp_viz.store import Store
from dsp_viz.survey import open_survey
from dsp_viz.ui.atlas_routes import routes
from dsp_viz.ui.results import Results
from dsp_viz.ui.surveyed import Surveyed, of_heads


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return surveys.write(tmp_path_factory.mktemp("survey"), model="m", digest="d")


@pytest.fixture(scope="module")
def surveyed(folders: tuple[Path, Path]) -> Surveyed:
    return Surveyed(open_survey(folders[0]), folders[1])


def _rows(quantity: str, at: tuple[int, ...]) -> dict[int, float]:
    return {i: float(surveys.numbers(i)[quantity, at[0]][at[1:]]) for i in range(41) if i != 7}


def _index(numbers: dict, at: tuple[int, ...]) -> int:
    columns = zip(*(numbers[name] for name in ("layer", "head", "scale", "stream")), strict=True)
    return list(columns).index(at)


def test_facts_tell_what_there_is(surveyed: Surveyed) -> None:
    facts = json.loads(json.dumps(surveyed.facts(), allow_nan=False))
    assert (facts["pictures"], facts["count"], facts["errors"], facts["unlabelled"]) == (41, 41, 1, 0)
    assert [(g["of"], g["n"]) for g in facts["groups"]] == [("group/animal", 28), ("group/vehicle", 13)]
    assert [(c["of"], c["n"]) for c in facts["classes"]] == [("class/car", 13), ("class/cat", 14), ("class/dog", 14)]
    assert [q["name"] for q in facts["quantities"]] == ["coefficient", "weight", "distance"]


def test_numbers_are_those_of_the_rows(surveyed: Surveyed) -> None:
    numbers = surveyed.numbers("distance", False)
    assert len(numbers["mean"]) == 6 * 4 * 3 * 2
    for at in ((0, 0, 0, 0), surveys.FAR, (5, 3, 2, 1)):
        rows = np.array(list(_rows("distance", at).values()))
        i = _index(numbers, at)
        assert numbers["n"][i] == sum(numbers["counts"][i]) == 40
        assert numbers["mean"][i] == pytest.approx(rows.mean(), rel=1e-4)
        assert numbers["std"][i] == pytest.approx(rows.std(), rel=1e-3)
    assert int(np.argmax(numbers["mean"])) == _index(numbers, surveys.FAR)


def test_a_head_is_the_mean_of_its_scales_and_streams_of_each_picture(surveyed: Surveyed) -> None:
    numbers = surveyed.numbers("distance", True)
    assert len(numbers["mean"]) == 6 * 4
    assert numbers["together"] == {"scales": True, "streams": True}
    rows = [surveys.numbers(i)["distance", 4][2].mean() for i in range(41) if i != 7]
    i = _index(numbers, (4, 2, 0, 0))
    assert numbers["std"][i] == pytest.approx(np.std(rows), rel=1e-3)


def test_what_a_head_is_worth_adds_up() -> None:
    array = np.random.default_rng(0).normal(size=(2, 3, 2, 2)).astype(np.float32)
    assert of_heads("worth", array)[1, 2] == pytest.approx(array[1, 2].sum())
    assert of_heads("distance", array)[1, 2] == pytest.approx(array[1, 2].mean())


def test_kinds_and_effects_find_what_reacts(surveyed: Surveyed) -> None:
    numbers = surveyed.numbers("coefficient", False)
    i = _index(numbers, surveys.REACTS)
    assert numbers["kind"][i] == "by class"
    assert set(surveyed.numbers("weight", False)["kind"]) == {"constant"}
    effects = surveyed.effects("coefficient", False, "group/animal")
    assert int(np.argmax(np.abs(effects["d"]))) == i
    rows = _rows("coefficient", surveys.REACTS)
    inside = [v for j, v in rows.items() if j % 3 < 2]
    outside = [v for j, v in rows.items() if j % 3 == 2]
    assert effects["d"][i] == pytest.approx(
        (np.mean(inside) - np.mean(outside)) / np.std(list(rows.values())), rel=1e-3
    )
    assert effects["n"][i] == len(inside)
    assert effects["low"][i] > 1


def test_ends_are_the_pictures_of_the_rows(surveyed: Surveyed) -> None:
    rows = _rows("coefficient", surveys.REACTS)
    cell = json.loads(json.dumps(surveyed.cell("coefficient", False, surveys.REACTS, "class/car"), allow_nan=False))
    order = sorted(rows, key=lambda i: rows[i])
    assert [p["index"] for p in cell["lowest"]] == order[:8]
    assert [p["index"] for p in cell["highest"]] == order[::-1][:8]
    assert cell["lowest"][0]["name"] == f"survey/{surveys.CLASSES[order[0] % 3]}/{order[0]:02d}.png"
    assert cell["among"] == 40
    assert (sum(cell["counts"]), sum(cell["inside"])) == (40, 13)
    assert cell["quantiles"] == pytest.approx(np.quantile(list(rows.values()), (0.05, 0.5, 0.95)), rel=1e-4)


def test_ends_are_pictures_that_are_there_if_any_are(folders: tuple[Path, Path], tmp_path: Path) -> None:
    rows = _rows("coefficient", surveys.REACTS)
    kept = sorted(rows, key=lambda i: rows[i])[10:31:4]
    for i in kept:
        path = f"{surveys.CLASSES[i % 3]}/{i:02d}.png"
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes((folders[1] / path).read_bytes())
    some = Surveyed(open_survey(folders[0]), tmp_path).cell("coefficient", False, surveys.REACTS, "")
    assert (some["n"], some["among"]) == (40, 6)
    assert [p["index"] for p in some["lowest"]] == kept[:3]
    assert [p["index"] for p in some["highest"]] == kept[:2:-1]
    none = Surveyed(open_survey(folders[0]), tmp_path / "empty").cell("coefficient", False, surveys.REACTS, "")
    assert none["among"] == 0
    assert [p["gone"] for p in none["lowest"]] == [True] * 8


@pytest.mark.parametrize("shown", [True, False])
def test_pictures_are_named_by_the_survey_only(folders: tuple[Path, Path], tmp_path: Path, shown: bool) -> None:
    out, pictures = folders
    surveyed = Surveyed(open_survey(out), pictures if shown else None)
    known = str(pictures.resolve() / "cat" / "00.png")
    assert surveyed.pictures.path_of("survey/cat/00.png") == (known if shown else None)
    assert surveyed.pictures.name_of(known) == ("survey/cat/00.png" if shown else None)
    for name in (
        "cat/00.png",
        "survey/classes.json",
        "survey/../out/survey.json",
        "survey/cat/../cat/00.png",
        "survey/",
    ):
        assert surveyed.pictures.path_of(name) is None
    for path in (pictures / "classes.json", out / "survey.json", pictures / "cat" / ".." / "classes.json", tmp_path):
        assert surveyed.pictures.name_of(str(path)) is None


def test_a_survey_that_names_other_files_opens_none(tmp_path: Path) -> None:
    out, pictures = surveys.write(tmp_path, model="m", digest="d", count=5)
    secret = tmp_path / "secret.png"
    os.replace(pictures / "dog" / "01.png", secret)
    os.symlink(secret, pictures / "dog" / "01.png")
    surveyed = Surveyed(open_survey(out), pictures)
    surveyed.survey.paths[0] = "../secret.png"
    surveyed = Surveyed(surveyed.survey, pictures)
    for name in ("survey/dog/01.png", "survey/../secret.png"):
        assert surveyed.pictures.path_of(name) is None
    for path in (secret, pictures / "dog" / "01.png", pictures / ".." / "secret.png"):
        assert surveyed.pictures.name_of(str(path)) is None


def test_pages_may_ask_for_pictures_of_the_survey(surveyed: Surveyed, model: dsp_viz.Subject) -> None:
    results = Results([model], EXAMPLES, Store(max_bytes=2**24), surveyed)
    path = results.named("survey/dog/01.png")
    assert path is not None
    kept = results.of(dsp_viz.ui.kept.Source(path, 128, False, model.name))
    assert kept.manifest.example == "survey/dog/01.png"
    assert results.asked(kept.source.text()) == kept.source
    with pytest.raises(Exception, match="Only pictures that were uploaded"):
        results.asked(kept.source._replace(path=str(surveyed.pictures.folder / "classes.json")).text())


def test_routes_answer_and_refuse(surveyed: Surveyed) -> None:
    with Decoder(workers=2) as decoder, TestClient(Starlette(routes=routes(surveyed, decoder))) as client:
        place = f"/atlas/{surveyed.key}"
        assert client.get(f"{place}/facts").json() == json.loads(json.dumps(surveyed.facts()))
        small = client.get(f"{place}/picture/0")
        assert (small.status_code, small.headers["content-type"]) == (200, "image/jpeg")
        assert small.content[:2] == b"\xff\xd8"
        assert client.get(f"{place}/picture/7").status_code == 415
        for missing in (
            "picture/41", "picture/x", "numbers?quantity=none", "numbers", "what", "cell?quantity=distance&at=6,0,0,0",
            "cell?quantity=distance&at=0,-1,0,0", "effects?quantity=distance&of=group/none",
        ):  # fmt: skip
            assert client.get(f"{place}/{missing}").status_code == 404, missing
        assert client.get(f"{place}/cell?quantity=distance&at=0,x,0,0").status_code == 404
        assert client.get("/atlas/0/facts").status_code == 404


def test_without_a_survey_there_is_nothing_to_ask(address: str) -> None:
    assert send(address, "/atlas/0/facts")[0] == 404
