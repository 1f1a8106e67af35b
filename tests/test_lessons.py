"""What a teacher has said is kept as it goes on, and is of the pictures that it was asked about."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from training.data import DataError, Split
from training.teach import Lesson, boxes, read_lessons
from training.teach import main as teach

WHOLE = torch.tensor([0.0, 0.0, 1.0, 1.0])


def _pictures(count: int, name: str = "a") -> Split:
    images = torch.randint(0, 256, (count, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    files = tuple(f"{name}/{i}.png" for i in range(count))
    return Split(images, torch.zeros(count, dtype=torch.int64), ("a",), ("a",), files)


class _Means(nn.Module):
    """Stands in for the teacher, whose packages are no dependency: the mean of each channel. Cut off after ``most``."""

    def __init__(self, most: int = 10**6) -> None:
        super().__init__()
        self.seen, self.most = 0, most

    def forward(self, x: Tensor) -> Tensor:
        self.seen += len(x)
        if self.seen > self.most:
            raise KeyboardInterrupt
        return x.mean((2, 3))


def _run(lesson: Lesson, model: nn.Module, count: int) -> Tensor:
    return lesson.run(model, WHOLE.repeat(count, 1), "features", lambda found, _: found)


def test_work_goes_on_where_it_was_cut_off(tmp_path: Path) -> None:
    """It is kept every fifty batches of 64."""
    count = 51 * 64 + 10
    pictures, part = _pictures(count), tmp_path / "lessons.part"
    whole = _run(Lesson(pictures, tmp_path / "other"), _Means(), count)
    expected = ((pictures.images.double().mean((2, 3)) - 127) / 128).float()
    torch.testing.assert_close(whole.float(), expected, atol=1e-3, rtol=1e-2)
    with pytest.raises(KeyboardInterrupt):
        _run(Lesson(pictures, part), _Means(51 * 64), count)
    rest = _Means()
    assert torch.equal(_run(Lesson(pictures, part), rest, count), whole)
    assert rest.seen == 64 + 10


def test_kept_work_of_other_pictures_is_refused(tmp_path: Path) -> None:
    part = tmp_path / "lessons.part"
    _run(Lesson(_pictures(70), part), _Means(), 70)
    with pytest.raises(DataError, match=r"lessons\.part is of other pictures: remove it to start anew, or choose"):
        Lesson(_pictures(70, "b"), part)
    part.write_bytes(part.read_bytes()[:50])
    with pytest.raises(DataError, match=r"lessons\.part cannot be read \(.*\): remove it to start anew"):
        Lesson(_pictures(70), part)


def test_lessons_are_read_for_their_pictures_only(tmp_path: Path) -> None:
    path = tmp_path / "lessons"
    _run(Lesson(_pictures(70), path), _Means(), 70)
    with pytest.raises(DataError, match=r"lessons holds no lessons, see `python -m training.teach`"):
        read_lessons(path, _pictures(70))
    with pytest.raises(DataError, match=r"is of other pictures: run `python -m training.teach` for these pictures"):
        read_lessons(path, _pictures(71))
    with pytest.raises(DataError, match=r"nowhere cannot be read \(.*\): run `python -m training.teach`"):
        read_lessons(tmp_path / "nowhere", _pictures(70))


def test_crops_are_whole_first_and_then_as_in_training() -> None:
    found = boxes(50, 4)
    assert found.shape == (50, 4, 4)
    assert (found[:, 0] == WHOLE).all()
    top, left, height, width = found[:, 1:].double().unbind(-1)
    assert (top + height <= 1.0005).all()
    assert (left + width <= 1.0005).all()
    assert (height * width > 0.34).all()
    assert (torch.maximum(width / height, height / width) < 5 / 3 + 0.01).all()


def test_a_folder_that_cannot_be_made_is_named(data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit, match=r"error: .*file is no folder that can be made"):
        teach(["--data", str(data), "--out", str(tmp_path / "file" / "lessons.safetensors")])
