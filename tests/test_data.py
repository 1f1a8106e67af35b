"""A data folder as it is read, named where something is wrong with it, and augmented."""

import re
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from training import data as data_module
from training import evaluate
from training.data import Augmentation, DataError, Lessons, Split, read_split, resolve

DATA = Path(__file__).parent / "data"


def test_missing_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    with pytest.raises(DataError, match="has no folder val/"):
        resolve(str(tmp_path))


def test_unreadable_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "train" / "n1").mkdir(parents=True)
    (tmp_path / "train" / "n1" / "bad.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"bad\.png cannot be read"):
        read_split(tmp_path, "train", 16)


def test_other_classes_than_the_model_knows_are_refused(data: Path) -> None:
    with pytest.raises(SystemExit, match="are not the model's"):
        evaluate.main(["--data", str(data)])


def test_augmentation_keeps_shape_and_labels() -> None:
    torch.manual_seed(0)
    labels = torch.arange(11) % 3
    flat = (labels * 100).to(torch.uint8)[:, None, None, None].expand(11, 3, 20, 20).contiguous()
    split = Split(flat, labels, ("a", "b", "c"), ("a", "b", "c"))
    augmentation = Augmentation(torch.tensor([0.5] * 3), torch.tensor([0.25] * 3))
    batches = list(augmentation.batches(split, 16, 5))
    assert len(batches) == 2  # the last picture is left out
    for images, labels, told in batches:
        assert told is None
        assert images.shape == (5, 3, 16, 16)
        want = (labels * 100 / 255 - 0.5) / 0.25
        torch.testing.assert_close(images, want[:, None, None, None].expand_as(images), rtol=0, atol=1e-5)


def test_classes_are_drawn_evenly() -> None:
    """9,000 draws of 900 pictures of one class and 100 of another: as many, √9 times as many, or as often as others."""
    labels = (torch.arange(1000) >= 900).long()
    split = Split(torch.zeros(1000, 3, 4, 4, dtype=torch.uint8), labels, ("a", "b"), ("a", "b"))
    for balance, want in ((0.0, 0.1), (0.5, 0.25), (1.0, 0.5)):
        torch.manual_seed(0)
        augmentation = Augmentation(torch.zeros(3), torch.ones(3), balance=balance)
        drawn = torch.cat([labels for _ in range(9) for _, labels, _ in augmentation.batches(split, 4, 1000)])
        assert drawn.double().mean().item() == pytest.approx(want, abs=0.025)  # five standard deviations


def test_a_teacher_s_crops_are_those_that_it_saw() -> None:
    """Pictures whose pixels tell their place; crops are flipped or not."""
    image = torch.arange(64, dtype=torch.uint8).view(1, 8, 8).expand(3, 8, 8)
    split = Split(image.expand(6, 3, 8, 8).contiguous(), torch.arange(6), tuple("abcdef"), tuple("abcdef"))
    boxes = torch.tensor([[0.0, 0.0, 0.5, 0.5], [0.25, 0.5, 0.5, 0.5]]).repeat(6, 1, 1)
    shares = torch.rand(6, 2, 6).half()
    augmentation = Augmentation(torch.zeros(3), torch.ones(3), lessons=Lessons(boxes, shares))
    ((images, labels, told),) = augmentation.batches(split, 4, 6)
    parts = [image[0, :4, :4], image[0, 2:6, 4:]]
    for found, label, said in zip(images, labels, told, strict=True):
        pixels = (found[0] * 255).round().to(torch.uint8)
        (which,) = (i for i, p in enumerate(parts) if torch.equal(pixels, p) or torch.equal(pixels, p.flip(-1)))
        torch.testing.assert_close(said, shares[label, which].float())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("bad.ppm", b"P6\n4 x\n255\n"),  # Pillow raises ValueError for it, not OSError
        ("bomb.png", (DATA / "bomb_header_only.png").read_bytes()),
        ("half.jpg", (DATA / "truncated_half.jpg").read_bytes()),
    ],
)
def test_what_no_decoder_likes_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / "train" / "n1").mkdir(parents=True)
    (tmp_path / "train" / "n1" / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"{re.escape(name)} cannot be read"):
        read_split(tmp_path, "train", 16)


def test_pictures_are_read_upright(tmp_path: Path) -> None:
    """As the app reads them: the lower half is dark once the turn that EXIF tells is made."""
    (tmp_path / "train" / "n1").mkdir(parents=True)
    pixels = np.full((16, 16, 3), 255, np.uint8)
    pixels[:8] = 0
    turned = Image.Exif()
    turned[0x0112] = 3  # by 180°
    Image.fromarray(pixels).save(tmp_path / "train" / "n1" / "turned.png", exif=turned)
    image = read_split(tmp_path, "train", 16).images[0].float()
    assert image[:, 8:].mean() < 50 < 200 < image[:, :8].mean()


@pytest.mark.parametrize("listing", ['{"classes": [', '{"classes": [{"dir": "n1"}]}', '{"classes": ["n1"]}', "[]"])
def test_a_list_of_classes_that_is_none_is_named(data: Path, tmp_path: Path, listing: str) -> None:
    for split in ("train", "val"):
        (tmp_path / split).symlink_to(data / split)
    (tmp_path / "classes.json").write_text(listing)
    with pytest.raises(DataError, match=r"classes\.json is no list of classes"):
        read_split(tmp_path, "val", 16)


def test_a_download_that_was_cut_off_is_not_taken_for_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision's class, which needs a network, is stood in for by one that is cut off the first time."""
    monkeypatch.setattr(data_module, "CACHE", tmp_path / "cache")

    class CutOff:
        def __init__(self, root: str, **options: object) -> None:
            (Path(root) / "imagenette2-160" / "train" / "n1").mkdir(parents=True)
            if len(calls) == 0:
                calls.append(root)
                raise KeyboardInterrupt

    calls: list[str] = []
    monkeypatch.setattr(data_module, "Imagenette", CutOff)
    with pytest.raises(KeyboardInterrupt):
        resolve("imagenette")
    assert list((tmp_path / "cache").iterdir()) == []
    assert resolve("imagenette") == tmp_path / "cache" / "imagenette2-160"
    assert (tmp_path / "cache" / "imagenette2-160" / "train" / "n1").is_dir()


def test_where_nothing_can_be_downloaded_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A port on which nobody listens stands in for the host that is not reached."""
    monkeypatch.setattr(data_module, "CACHE", tmp_path / "cache")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setenv("no_proxy", "*")
    archives = {"160px": (f"http://127.0.0.1:{port}/imagenette2-160.tgz", "0" * 32)}
    monkeypatch.setattr(data_module.Imagenette, "_ARCHIVES", archives)
    with pytest.raises(DataError, match=r"Imagenette cannot be downloaded \(.*refused.*\): try again, or get its"):
        resolve("imagenette")
    assert list((tmp_path / "cache").iterdir()) == []
