"""How good a run is: FID with a stated extractor and sample count, mode coverage, nearest neighbours.

Taught in notebooks/08_results.ipynb.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from dcgan_lib.data import ImageDataset
from dcgan_lib.metrics.classifier import FEATURES, INPUT_SIZE, classify, load_classifier, split
from dcgan_lib.utils.errors import require

SPECKLED = 2_000
"""So many images of each kind are enough for `speckle`."""
EXTRACTOR = "classifier of this data set's {}, {} features at {}x{}, not Inception"


def fid(real: Tensor, fake: Tensor) -> float:
    """Frechet distance between Gaussians fitted to two sets of features (Heusel et al. 2017, equation 6).

    |m1 - m2|^2 + trace(C1 + C2 - 2 (C1 C2)^(1/2)), in float64. It is biased upwards where samples are few, so
    compare only values with the same counts.

    Args:
        real, fake: features (N, F) and (M, F), with N and M above F or the covariances are singular.

    Raises:
        InputError: fewer than two rows, or different F.
    """
    fits = min(len(real), len(fake)) >= 2 and real.shape[1] == fake.shape[1]
    require(fits, "fid needs at least two rows of as many features on either side: give more pictures.")
    real, fake = real.double(), fake.double()
    real_cov, fake_cov = real.T.cov(), fake.T.cov()
    # C1 C2 and sqrt(C1) C2 sqrt(C1) have the same eigenvalues, and those of the second, symmetric, are safe to compute.
    values, vectors = torch.linalg.eigh(real_cov)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ fake_cov @ root).clamp(min=0).sqrt().sum()
    means = (real.mean(0) - fake.mean(0)).square().sum()
    return (means + real_cov.trace() + fake_cov.trace() - 2 * cross).clamp(min=0).item()


def class_fractions(labels: Tensor, count: int) -> Tensor:
    """The share of each value: int64 labels (N,) -> float64 (count,), summing to 1."""
    return torch.bincount(labels, minlength=count).double() / len(labels)


def mode_coverage(real: Tensor, fake: Tensor, threshold: float = 0.2) -> tuple[int, int]:
    """How many modes of the real images the fakes have too: (covered, all).

    A mode is a value with a share of at least 1 % among the real ones; it is covered when its share among
    the fakes is at least `threshold` times as large.

    Args:
        real, fake: shares as `class_fractions` gives them, (values,).
    """
    modes = real >= 0.01
    return int((fake[modes] >= threshold * real[modes]).sum()), int(modes.sum())


def speckle(real: Tensor, fake: Tensor) -> float:
    """How speckled the fakes are: their `detail` over that of the real ones, so 1 is as smooth as these.

    Args:
        real, fake: (N, C, H, W) and (M, C, H, W) with the same range of values.
    """
    return detail(fake) / detail(real)


def detail(images: Tensor) -> float:
    """The mean absolute difference between the pixels of images (N, C, H, W) and those of their 3x3 blur."""
    images = images.float()
    blurred = avg_pool2d(images, 3, stride=1, padding=1, count_include_pad=False)
    return (images - blurred).abs().mean().item()


def nearest_neighbours(images: Tensor, among: Tensor, chunk: int = 5_000) -> tuple[Tensor, Tensor]:
    """For each image the closest of many others, by the root mean square difference of pixels.

    Args:
        images: uint8 (N, C, H, W).
        among: uint8 (M, C, H, W).

    Returns:
        Distances, float32 (N,), in grey levels 0..255, and the numbers of the closest, int64 (N,).
    """
    flat = images.flatten(1).float()
    closest, numbers = torch.full((len(images),), torch.inf), torch.zeros(len(images), dtype=torch.int64)
    for start in range(0, len(among), chunk):
        distance, number = torch.cdist(flat, among[start : start + chunk].flatten(1).float()).min(1)
        nearer = distance < closest
        closest[nearer], numbers[nearer] = distance[nearer], number[nearer] + start
    difference = flat - among[numbers].flatten(1).float()  # cdist is fast, but rounds
    return difference.square().mean(1).sqrt(), numbers


def rotated(dataset: ImageDataset) -> ImageDataset:
    """The same images, each turned by none, one, two or three quarters, which is their label.

    A classifier of turns must see what is in the images (Gidaris et al. 2018), so its features serve where
    nobody labelled them.
    """
    quarters = torch.arange(len(dataset)) % 4
    images = torch.stack([image.rot90(int(k), (1, 2)) for image, k in zip(dataset.images, quarters, strict=True)])
    values = ("upright", "left", "upside down", "right")
    return ImageDataset(f"turned {dataset.name}", images, {"turn": quarters}, {"turn": values})


def measure(fake: Tensor, dataset: ImageDataset, n_real: int = 10_000) -> dict[str, Any]:
    """All about generated images that a classifier of the real ones can tell; plain numbers, ready for JSON.

    Args:
        fake: uint8 (N, C, H, W), like `dataset.images`.
        dataset: the real ones; where they have no labels, the classifier learns to tell how they were turned.
        n_real: at most so many real ones are compared with, the first in a fixed shuffled order.

    Returns:
        `fid` with `extractor`, `n_fake` and `n_real`; `speckle`, of the first 2,000; `accuracy`, the classifier's own,
        by attribute, on pictures it never trained on; `confidence`, its mean probability for the value it names, by
        attribute, for the fakes; `coverage`, [covered, all], and `shares`, the `class_fractions` of the fakes, by
        attribute.

    Raises:
        InputError: real or generated images are no more than the features, or the fakes not uint8.
    """
    dataset = dataset if dataset.labels else rotated(dataset)
    train, test = split(dataset)
    chosen = train[:n_real]
    found = f"{len(chosen)} real ones, a tenth left aside, and {len(ImageDataset('fake', fake))} fakes"
    words = f"FID by {FEATURES} features needs more pictures than that on either side: add to the {found}."
    require(min(len(chosen), len(fake)) > FEATURES, words)
    network = load_classifier(dataset)
    _, test_probs = classify(network, dataset.images[test])
    real_features, _ = classify(network, dataset.images[chosen])
    fake_features, probs = classify(network, fake)
    distance = round(fid(real_features, fake_features), 3)
    extractor = EXTRACTOR.format(" and ".join(dataset.labels), FEATURES, INPUT_SIZE, INPUT_SIZE)
    result: dict[str, Any] = {"fid": distance, "extractor": extractor, "n_fake": len(fake), "n_real": len(chosen)}
    result["speckle"] = round(speckle(dataset.images[chosen[:SPECKLED]], fake[:SPECKLED]), 3)
    result |= {name: {} for name in ("accuracy", "confidence", "coverage", "shares")}
    for name, values in dataset.values.items():
        real_shares = class_fractions(dataset.labels[name][chosen], len(values))
        fake_shares = class_fractions(probs[name].argmax(1), len(values))
        correct = test_probs[name].argmax(1) == dataset.labels[name][test]
        result["accuracy"][name] = round(correct.double().mean().item(), 4)
        result["confidence"][name] = round(probs[name].amax(1).mean().item(), 4)
        result["coverage"][name] = list(mode_coverage(real_shares, fake_shares))
        result["shares"][name] = {v: round(s, 4) for v, s in zip(values, fake_shares.tolist(), strict=True)}
    return result
