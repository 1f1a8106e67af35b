"""Crops: of a batch at once as one by one, and drawn as torchvision draws them."""

import pytest
import torch
from far import far_device
from torchvision.transforms import v2

from training.cropping import cropped, cropped_together
from training.data import SCALE, Augmentation, Lessons, Split


def pictures(count: int, height: int, width: int) -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randint(0, 256, (count, 3, height, width), dtype=torch.uint8)


@pytest.mark.parametrize("size", [16, 40, 96])
def test_a_batch_is_cropped_as_its_pictures_are(size: int) -> None:
    """Parts that are enlarged and that are shrunk, at the edges, of one pixel, and the whole."""
    images = pictures(40, 40, 56)
    boxes = torch.rand(40, 4) * 0.5
    boxes[:4] = torch.tensor([[0, 0, 1, 1], [0.5, 0.5, 0.5, 0.5], [0, 0.25, 0.001, 0.001], [0, 0.5, 1, 0.5]])
    one_by_one = torch.stack([cropped(image, box, size) for image, box in zip(images, boxes, strict=True)])
    together = cropped_together(images, boxes, size)
    assert together.dtype == torch.uint8
    apart = (together.int() - one_by_one.int()).double()
    assert apart.abs().max() <= 1  # torchvision's weights have few bits
    assert apart.abs().mean() < 0.25
    assert abs(apart.mean()) < 0.06


def test_a_crop_by_hand() -> None:
    """From four pixels to two: each is 3, 3 and 1 parts of the three that lie within two pixels of it."""
    image = torch.tensor([0, 70, 140, 210], dtype=torch.uint8).expand(1, 1, 4, 4).contiguous()
    first = (3 * 0 + 3 * 70 + 1 * 140) / 7
    last = (1 * 70 + 3 * 140 + 3 * 210) / 7
    found = cropped_together(image, torch.tensor([[0.0, 0.0, 1.0, 1.0]]), 2)
    assert found[0, 0].tolist() == [[round(first), round(last)]] * 2


@pytest.mark.parametrize("together", [False, True])
def test_crops_are_drawn_as_torchvision_draws_them(together: bool) -> None:
    images = pictures(12, 40, 40)
    split = Split(images, torch.arange(12), ("a",) * 12, ("a",) * 12)
    augmentation = Augmentation(torch.zeros(3), torch.ones(3), aspect=5 / 3, together=together)
    torch.manual_seed(3)
    found, _ = augmentation._seen(split, torch.arange(12), 24)
    torch.manual_seed(3)
    draw = v2.Compose([v2.RandomResizedCrop(24, scale=SCALE, ratio=(3 / 5, 5 / 3)), v2.RandomHorizontalFlip()])
    torch.testing.assert_close(found, torch.stack([draw(image) for image in images]), rtol=0, atol=together)


@pytest.mark.parametrize("taught", [False, True])
def test_batches_on_a_device_are_those_of_the_cpu(taught: bool) -> None:
    images, labels = pictures(12, 40, 40), torch.arange(12)
    split = Split(images, labels, tuple("abcdefghijkl"), tuple("abcdefghijkl"))
    lessons = Lessons(torch.rand(12, 3, 4) * 0.5, torch.rand(12, 3, 12).half()) if taught else None
    augmentation = Augmentation(torch.zeros(3), torch.ones(3), lessons=lessons, together=True)

    def batches(split: Split) -> list[list[torch.Tensor]]:
        torch.manual_seed(1)
        return [[t.cpu() for t in batch if t is not None] for batch in augmentation.batches(split, 24, 4)]

    near = batches(split)
    with far_device() as device:
        far = batches(split.to(device))
    assert len(near) == len(far) == 3
    for one, other in zip(near, far, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
