"""Every value comes back, batches cover all images in an order of their own, and they travel to the GPU as bytes."""

import numpy as np
import pytest
import torch
from torch import Tensor

from dcgan_lib.config import Config
from dcgan_lib.data.dataset import ImageDataset, denormalize, normalize, require_dataset_fits, to_device

NUMBERED = ImageDataset("numbered", torch.arange(21, dtype=torch.uint8).reshape(21, 1, 1, 1))


def test_all_256_values_come_back() -> None:
    values = torch.arange(256, dtype=torch.uint8)
    scaled = normalize(values)
    assert (scaled.dtype, scaled[0].item(), scaled[-1].item()) == (torch.float32, -1.0, 1.0)
    assert torch.equal(denormalize(scaled), values)
    assert torch.equal(denormalize(values / 127.5 - 1), values)


def test_denormalize_rounds_and_clips() -> None:
    given = torch.tensor([-9.0, -1.0, 0.0, 1.6 / 127.5 - 1, 1.0, 1.01, 9.0])
    assert denormalize(given).tolist() == [0, 0, 128, 2, 255, 255, 255]


def test_epoch_order() -> None:
    """21 images in batches of 4: five batches, and an image that waits."""

    def epoch(number: int, seed: int = 0, owner: str = "order") -> list[int]:
        batches = [NUMBERED.batch(4, seed, 5 * number + place, owner=owner) for place in range(5)]
        return denormalize(torch.cat(batches)).flatten().tolist()

    first, second = epoch(0), epoch(1)
    for order in (first, second):
        assert len(set(order)) == 20
        assert sorted(order) != order
    assert first not in (second, epoch(0, seed=1), epoch(0, owner="somebody else"))
    assert first == epoch(0)


def test_a_process_gets_its_rows_of_the_batch(dataset: ImageDataset) -> None:
    batch = dataset.batch(8, 0, 1)
    assert (batch.shape, batch.dtype) == ((8, 1, 16, 16), torch.float32)
    assert torch.equal(dataset.batch(8, 0, 1, rows=slice(2, 5)), batch[2:5])


def test_a_change_of_number_or_brightness_shows_in_the_signature(dataset: ImageDataset) -> None:
    darker = dataset.images.clone()
    darker[20, 0, 3, 3] //= 2
    others = (dataset.images[:20], darker, dataset.images.flip(0))
    signatures = [ImageDataset("others", images).signature for images in others]
    assert not any(torch.equal(dataset.signature, signature) for signature in signatures)
    assert torch.equal(dataset.signature, ImageDataset("same", dataset.images.clone()).signature)


class Luggage(Tensor):
    """A tensor that tells where it was sent instead of going there."""

    def pin_memory(self) -> "Luggage":
        self.pinned = True
        return self

    def to(self, device: torch.device, non_blocking: bool = False) -> tuple[str, bool, bool]:
        return device.type, non_blocking, getattr(self, "pinned", False)


@pytest.mark.parametrize(("device", "free", "moves"), [("cuda", 400, True), ("cuda", 399, False), ("cpu", 400, False)])
def test_images_move_to_the_gpu_where_they_take_a_quarter_at_most(device: str, free: int, moves: bool, monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 1000))
    monkeypatch.setattr(ImageDataset, "__post_init__", lambda dataset: None)  # luggage on its way is no tensor
    given = ImageDataset("luggage", torch.zeros(1, 1, 10, 10, dtype=torch.uint8).as_subclass(Luggage))
    there = given.to_gpu_if_it_fits(torch.device(device))
    assert there.images == ("cuda", False, False) if moves else there is given


@pytest.mark.parametrize(("device", "pinned"), [("cuda", True), ("cpu", False), ("mps", False)])
def test_a_batch_travels_while_the_gpu_computes(device: str, pinned: bool) -> None:
    assert to_device(torch.zeros(3).as_subclass(Luggage), torch.device(device)) == (device, True, pinned)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image_size": 32}, "size and channels 16, 1, and the config asks for 32, 1: load them with load_images("),
        ({"channels": 3}, "load_images(config.data, 16, 3)"),
        ({"batch_size": 22}, "noise has 21 pictures, fewer than one batch of 22: choose a smaller batch_size"),
    ],
)
def test_a_dataset_that_does_not_fit_the_config(changes: dict, words: str, dataset, tiny: Config, refused) -> None:
    require_dataset_fits(dataset, tiny)
    assert words in refused(lambda: require_dataset_fits(dataset, tiny.replace(**changes)))


@pytest.mark.parametrize(
    "images",
    [
        torch.rand(5, 3, 16, 16),  # as ToTensor makes them
        torch.zeros(5, 3, 16, 16, dtype=torch.int64),
        torch.zeros(5, 3, 16, 20, dtype=torch.uint8),
        torch.zeros(5, 16, 16, 3, dtype=torch.uint8),
        torch.zeros(3, 16, 16, dtype=torch.uint8),
        np.zeros((5, 3, 16, 16), np.uint8),
    ],
    ids=["floats", "int64", "not square", "channels last", "no channels", "an array"],
)
def test_images_of_another_type_or_shape(images: Tensor, refused) -> None:
    message = refused(lambda: ImageDataset("mine", images))
    kind = f"{images.dtype} {tuple(images.shape)}"
    assert message.startswith(f"mine is of {kind} and not a tensor of uint8 (N, C, H, W) from 0 to 255 with C 1 or 3")
    assert message.endswith("floats from 0 to 1 become it by (255 * x).round().byte().")
