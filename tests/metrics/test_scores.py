"""FID against the closed form and scipy, neighbours against brute force, coverage against shares made by hand."""

import functools
import json
from itertools import product

import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor

from dcgan_lib.data import ImageDataset
from dcgan_lib.metrics import load_classifier, scores
from dcgan_lib.metrics.scores import class_fractions, fid, measure, mode_coverage, nearest_neighbours, rotated, speckle


def draws(count: int, mean: list[float], std: list[float], seed: int = 0) -> Tensor:
    """Rows whose sample mean is exactly `mean`, with uncorrelated columns of exactly `std`."""
    noise = torch.randn(count, len(mean), dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    q, _ = torch.linalg.qr(noise - noise.mean(0))
    return q * (count - 1) ** 0.5 * torch.tensor(std, dtype=torch.float64) + torch.tensor(mean, dtype=torch.float64)


@pytest.mark.parametrize(
    ("mean", "std", "expected"),
    [
        ([0.0, 0.0, 0.0], [1.0, 2.0, 3.0], 0.0),
        ([1.0, -2.0, 0.5], [1.0, 2.0, 3.0], 5.25),
        ([0.0, 0.0, 0.0], [2.0, 2.0, 1.0], 5.0),
        ([3.0, 0.0, 0.0], [0.0, 0.0, 0.0], 23.0),
    ],
)
def test_fid_of_gaussians_with_the_same_axes(mean: list[float], std: list[float], expected: float) -> None:
    """Then it is |m1 - m2|^2 plus the squared differences of the standard deviations."""
    real, fake = draws(50, [0.0, 0.0, 0.0], [1.0, 2.0, 3.0]), draws(70, mean, std, seed=1)
    assert fid(real, fake) == pytest.approx(expected, abs=1e-6)  # a root near 0 halves the digits


def mixed(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 12, generator=generator) @ torch.randn(12, 12, generator=generator) + seed


def test_fid_against_scipy() -> None:
    real, fake = mixed(40, 1), mixed(60, 2)
    means = (real.double().mean(0) - fake.double().mean(0)).square().sum()
    a, b = real.double().T.cov().numpy(), fake.double().T.cov().numpy()
    expected = float(means) + (a + b - 2 * sqrtm(a @ b).real).trace()
    assert fid(real, fake) == pytest.approx(expected, rel=1e-9)
    assert fid(fake, real) == pytest.approx(expected, rel=1e-9)
    assert fid(real, real.flip(0)) == pytest.approx(0, abs=1e-4)
    assert fid(real, real) >= 0
    assert fid(real[:5], real[:5]) == pytest.approx(0, abs=1e-4)  # fewer rows than features


@pytest.mark.parametrize(("real", "fake"), [((1, 4), (9, 4)), ((9, 4), (1, 4)), ((9, 4), (9, 5))])
def test_fid_refuses(real: tuple[int, int], fake: tuple[int, int], refused) -> None:
    assert "at least two rows" in refused(lambda: fid(torch.rand(real), torch.rand(fake)))


def test_class_fractions() -> None:
    assert class_fractions(torch.tensor([0, 2, 2, 2]), 4).tolist() == [0.25, 0, 0.75, 0]


@pytest.mark.parametrize(
    ("real", "fake", "threshold", "expected"),
    [
        ([0.5, 0.5], [0.9, 0.1], 0.2, (2, 2)),
        ([0.5, 0.5], [0.901, 0.099], 0.2, (1, 2)),
        ([0.5, 0.5], [0.7, 0.3], 0.7, (1, 2)),
        ([0.98, 0.01, 0.01, 0.0], [0.5, 0.002, 0.0, 0.498], 0.2, (2, 3)),
        ([0.991, 0.009], [0.0, 1.0], 0.2, (0, 1)),
    ],
)
def test_mode_coverage(real: list[float], fake: list[float], threshold: float, expected: tuple[int, int]) -> None:
    real, fake = (torch.tensor(shares, dtype=torch.float64) for shares in (real, fake))
    assert mode_coverage(real, fake, threshold) == expected


def test_speckle_by_hand() -> None:
    real = torch.randint(0, 256, (3, 2, 4, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    detail = []
    for row, column in product(range(4), range(5)):
        around = real[:, :, max(0, row - 1) : row + 2, max(0, column - 1) : column + 2].double()
        detail.append((real[:, :, row, column] - around.mean((2, 3))).abs())
    checkers = (torch.arange(6)[:, None] + torch.arange(6)) % 2 * 90  # 4/9 of the step inside, 1/2 at the border
    expected = 90 * (16 * 4 / 9 + 20 / 2) / 36 / torch.stack(detail).mean().item()
    assert speckle(real, checkers.to(torch.uint8)[None, None]) == pytest.approx(expected, rel=1e-5)
    assert speckle(real, real) == 1


@pytest.mark.parametrize("chunk", [1, 7, 64, 5_000])
def test_nearest_neighbours_against_brute_force(chunk: int) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (30, 3, 4, 4), dtype=torch.uint8, generator=generator)
    among = torch.randint(0, 256, (64, 3, 4, 4), dtype=torch.uint8, generator=generator)
    difference = images[:, None].double() - among[None].double()
    expected = difference.square().mean((2, 3, 4)).sqrt().min(1)
    distances, numbers = nearest_neighbours(images, among, chunk)
    assert torch.equal(numbers, expected.indices)
    torch.testing.assert_close(distances.double(), expected.values, rtol=1e-4, atol=0)


def test_a_copy_is_at_distance_0() -> None:
    """And one grey level in one pixel is not lost, however bright the pictures are."""
    among = torch.randint(100, 256, (40, 3, 32, 32), generator=torch.Generator().manual_seed(0)).byte()
    images = among.clone()
    images[30:, 0, 0, 0] -= 1
    distances, numbers = nearest_neighbours(images, among)
    assert numbers.tolist() == list(range(40))
    torch.testing.assert_close(distances, torch.tensor([0.0] * 30 + [1 / 3072**0.5] * 10), rtol=1e-4, atol=0)


def test_rotated() -> None:
    images = torch.arange(5 * 3 * 4 * 4, dtype=torch.uint8).reshape(5, 3, 4, 4)
    result = rotated(ImageDataset("plain", images))
    assert result.labels["turn"].tolist() == [0, 1, 2, 3, 0]
    assert result.values["turn"] == ("upright", "left", "upside down", "right")
    assert torch.equal(result.images[[0, 4]], images[[0, 4]])
    assert torch.equal(result.images[1], images[1].transpose(1, 2).flip(1))  # what was right is now up
    assert torch.equal(result.images[2], images[2].flip(1, 2))
    assert torch.equal(result.images[3], images[3].transpose(1, 2).flip(2))


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("labelled", [True, False])
def test_measure(labelled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scores, "load_classifier", functools.partial(load_classifier, steps=20))
    labels = torch.arange(300) % 2
    images = torch.randint(0, 56, (300, 1, 16, 16), generator=torch.Generator().manual_seed(0)).byte()
    images[labels == 1] += 200
    known = {"labels": {"shade": labels}, "values": {"shade": ("dark", "light")}} if labelled else {}
    dataset = ImageDataset("shades", images, **known)
    dark = images[labels == 0]
    result = measure(dark, dataset, n_real=200)
    assert json.loads(json.dumps(result)) == result
    attribute = "shade" if labelled else "turn"
    assert result["extractor"] == f"classifier of this data set's {attribute}, 128 features at 32x32, not Inception"
    assert (result["n_fake"], result["n_real"]) == (150, 200)
    if labelled:
        assert result["accuracy"] == {"shade": 1.0}
        assert result["coverage"] == {"shade": [1, 2]}
        assert result["shares"] == {"shade": {"dark": 1.0, "light": 0.0}}
        assert 0.5 <= result["confidence"]["shade"] <= 1
        assert result["fid"] > measure(images, dataset, n_real=200)["fid"] >= 0


@pytest.mark.parametrize(("real", "fakes"), [(9, 200), (143, 129), (144, 128), (144, 1)])
def test_the_same_rule_for_real_ones_and_fakes(real: int, fakes: int, refused) -> None:
    """More than the 128 features; of the real ones a tenth is kept for the classifier's test."""
    few, many = (torch.zeros(count, 1, 16, 16, dtype=torch.uint8) for count in (real, fakes))
    message = refused(lambda: measure(many, ImageDataset("few", few)))
    found = f"add to the {real * 9 // 10} real ones, a tenth left aside, and {fakes} fakes."
    assert message == f"FID by 128 features needs more pictures than that on either side: {found}"


def test_fakes_in_floats_are_refused(refused) -> None:
    message = refused(
        lambda: measure(torch.rand(200, 1, 16, 16), ImageDataset("real", torch.zeros(200, 1, 16, 16).byte()))
    )
    assert message.startswith("fake is of torch.float32 (200, 1, 16, 16) and not a tensor of uint8")
