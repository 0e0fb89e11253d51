"""The portraits are the same everywhere; their labels are balanced, independent and to be seen in them."""

from hashlib import sha256
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from dcgan_lib.data import faces
from dcgan_lib.data.faces import portraits
from dcgan_lib.data.faces.shapes import Canvas
from dcgan_lib.data.sources import find_source

PEOPLE = 5_000
PAINTED = {1: "a809614909fd890abd84b5eac00c00465dbb52994554ead3adfaaf9203b63ec5"}
"""Of each version, faces_32.png: whoever changes the pictures changes what every trained model was trained on."""


def test_another_painter_has_another_version() -> None:
    """Or caches would keep the pictures of the one before."""
    assert sha256(Path(__file__).with_name("faces_32.png").read_bytes()).hexdigest() == PAINTED[faces.VERSION]
    assert f"painter{faces.VERSION}" in find_source("faces").key


@pytest.fixture(scope="module")
def labels() -> dict[str, Tensor]:
    return faces.attributes(0, torch.arange(PEOPLE))


def cramers_v(first: Tensor, second: Tensor) -> float:
    """How strongly two labels go together, 0 to 1, less what chance alone would show (Bergsma 2013)."""
    rows, columns = int(first.max()) + 1, int(second.max()) + 1
    seen = torch.bincount(first * columns + second, minlength=rows * columns).double().view(rows, columns)
    expected = seen.sum(1, keepdim=True) * seen.sum(0, keepdim=True) / len(first)
    phi2 = ((seen - expected) ** 2 / expected).sum().item() / len(first)
    phi2 = max(0.0, phi2 - (rows - 1) * (columns - 1) / (len(first) - 1))
    return (phi2 / (min(rows, columns) - 1)) ** 0.5


@pytest.mark.parametrize(("size", "count"), [(32, 64), (64, 16)])
def test_the_pictures_are_the_same_on_every_machine(size: int, count: int) -> None:
    """Processors round sines and roots differently: one value in ten thousand may be one grey level off."""
    stored = np.asarray(Image.open(Path(__file__).with_name(f"faces_{size}.png"))).astype(int)
    wanted = torch.from_numpy(stored).view(count // 8, size, 8, size, 3).permute(0, 2, 4, 1, 3).flatten(0, 1)
    images = faces.paint(0, torch.arange(count), size)
    assert (images.shape, images.dtype) == ((count, 3, size, size), torch.uint8)
    difference = (images - wanted).abs()
    assert difference.max() <= 1
    assert difference.count_nonzero() <= difference.numel() / 10_000


def test_the_labels_are_the_same_on_every_machine() -> None:
    """Indices beyond 32 bits included: these are what the hash gave when it was written."""
    labels = faces.attributes(7, torch.tensor([0, 1, 2**32, 2**62]))
    assert {name: labels[name].tolist() for name in ("skin", "hair_style", "hat")} == {
        "skin": [3, 2, 4, 1],
        "hair_style": [4, 4, 1, 6],
        "hat": [3, 0, 1, 1],
    }


def test_a_picture_depends_on_its_index_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither on the chunk it is painted in, nor on its neighbours, nor on the order."""
    indices = torch.tensor([5, 3, 1_000_003, 0, 5, 77, 12, 9, 2**40])
    together = faces.paint(1, indices, 32)
    monkeypatch.setattr(portraits, "_PIXELS_AT_ONCE", 2 * 32 * 32)
    assert torch.equal(faces.paint(1, indices, 32), together)
    assert torch.equal(faces.paint(1, indices.flip(0), 32), together.flip(0))
    assert torch.equal(together[0], together[4])
    assert not torch.equal(together[0], together[1])


@pytest.mark.parametrize("size", [32, 150])
def test_windows_only_save_time(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One picture at a time, because the windows of a chunk are as large as its pictures are unlike."""
    indices = torch.arange(24)
    monkeypatch.setattr(portraits, "_PIXELS_AT_ONCE", 1)
    windowed = faces.paint(2, indices, size)
    monkeypatch.setattr(Canvas, "window", lambda self, *box: self)
    assert torch.equal(faces.paint(2, indices, size), windowed)


def test_another_seed_shows_other_people() -> None:
    first, second = (faces.attributes(seed, torch.arange(PEOPLE)) for seed in (0, 1))
    for name in faces.ATTRIBUTES:
        assert cramers_v(first[name], second[name]) < 0.06, name


def test_every_label_is_in_range_and_none_is_rare(labels: dict[str, Tensor]) -> None:
    assert list(labels) == list(faces.ATTRIBUTES)
    for name, values in faces.ATTRIBUTES.items():
        assert labels[name].dtype == torch.int64
        assert labels[name].shape == (PEOPLE,)
        shares = torch.bincount(labels[name], minlength=len(values)) / PEOPLE
        assert len(shares) == len(values), name
        assert shares.min() > 0.08, (name, shares)
        assert shares.max() < 0.64, (name, shares)
        if name not in ("glasses", "beard", "hat"):  # more often absent than not
            assert shares.max() - shares.min() < 0.04, (name, shares)


def test_attributes_are_independent(labels: dict[str, Tensor]) -> None:
    for first, second in combinations(labels, 2):
        assert cramers_v(labels[first], labels[second]) < 0.06, (first, second)


def test_neighbouring_indices_are_strangers(labels: dict[str, Tensor]) -> None:
    for name, values in labels.items():
        assert cramers_v(values[1:], values[:-1]) < 0.06, name


@pytest.mark.parametrize("name", faces.ATTRIBUTES)
def test_fixing_a_label_changes_that_label_and_shows(name: str, labels: dict[str, Tensor]) -> None:
    indices = torch.arange(24)
    bare = {"hat": 0, "hair_style": 1, "glasses": 0}  # nothing that could hide what is looked for
    pages = []
    for label in range(len(faces.ATTRIBUTES[name])):
        fixed = bare | {name: label}
        given = faces.attributes(0, indices, fixed)
        assert (given[name] == label).all()
        for other in set(labels) - set(fixed):
            assert torch.equal(given[other], labels[other][indices]), other
        pages.append(faces.paint(0, indices, 32, fixed).int())
    for first, second in combinations(pages, 2):
        changed = (first - second).abs().amax(1) > 24
        assert changed.flatten(1).sum(1).min() >= 3, "not to be seen in some picture of 32x32"


def test_fixing_the_label_a_portrait_has_changes_nothing(labels: dict[str, Tensor]) -> None:
    own = {name: int(label[4]) for name, label in labels.items()}
    index = torch.tensor([4])
    assert torch.equal(faces.paint(0, index, 32, own), faces.paint(0, index, 32))


def test_a_smile_leaves_the_rest_of_the_picture_alone() -> None:
    calm, smiling = (faces.paint(0, torch.arange(60), 64, {"smile": smile}) for smile in (0, 1))
    changed = (calm != smiling).any(1)
    assert changed.flatten(1).any(1).all()
    assert not changed[:, :36].any()
    assert not changed[:, :, :18].any()
    assert not changed[:, :, -18:].any()


def test_the_colours_use_the_whole_range() -> None:
    images = faces.paint(0, torch.arange(100), 32)
    assert images.amin() < 48
    assert images.amax() == 255
    assert len({image.numpy().tobytes() for image in images}) == 100


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.arange(2), 15), "image_size must be 16 or more, and 15 is not"),
        ((torch.arange(2), 32, {"smile": 2}), "'smile': 2"),
        ((torch.arange(2), 32, {"wings": 0}), "'wings': 0"),
    ],
)
def test_mistakes_are_named(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        faces.paint(0, *arguments)
