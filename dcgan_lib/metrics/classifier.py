"""A small classifier: it names what an image shows, and lends its features to the metrics.

Taught in notebooks/08_results.ipynb.
"""

import contextlib
import hashlib

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate

from dcgan_lib.data import ImageDataset, normalize
from dcgan_lib.data.cache import ADVICE
from dcgan_lib.utils.console import progress
from dcgan_lib.utils.environment import cache_root
from dcgan_lib.utils.errors import require
from dcgan_lib.utils.files import write_file
from dcgan_lib.utils.rng import rng

INPUT_SIZE, FEATURES = 32, 128


class Classifier(nn.Module):
    """Four strided convolutions, 128 features, and one linear head for each attribute.

    Args:
        channels: 1 or 3.
        values: how many values each attribute has, such as {"class": 10}.
    """

    def __init__(self, channels: int, values: dict[str, int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in ((channels, 32), (32, 64), (64, 128), (128, FEATURES)):
            layers += [nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.heads = nn.ModuleDict({name: nn.Linear(FEATURES, count) for name, count in values.items()})

    def features(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) in [-1, 1] of any size -> features (N, 128); they are shrunk to 32x32 first."""
        if images.shape[-1] != INPUT_SIZE:
            images = interpolate(images, INPUT_SIZE, mode="bilinear", antialias=True, align_corners=False)
        return self.layers(images)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Images (N, C, H, W) in [-1, 1] -> for each attribute the logits of its values, (N, values)."""
        features = self.features(images)
        return {name: head(features) for name, head in self.heads.items()}


def train_classifier(dataset: ImageDataset, steps: int = 800, seed: int = 0) -> Classifier:
    """A classifier for the labels of `dataset`; the last tenth in a shuffled order is never trained on.

    Adam, batches of 128, learning rate from 3e-3 down to 0 (one cycle); about 20 s for 800 steps on two CPU cores.

    Raises:
        InputError: the images have no labels.
    """
    require(bool(dataset.labels), f"{dataset.name} has no labels for a classifier to learn: use data with classes.")
    network = _untrained(dataset, seed)
    train, _ = split(dataset)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    for step in progress(range(steps), desc="classifier", unit="step"):
        chosen = train[torch.randint(len(train), (min(128, len(train)),), generator=rng(seed, "classifier", step))]
        logits = network(normalize(dataset.images[chosen]))
        loss = sum(cross_entropy(logits[name], labels[chosen]) for name, labels in dataset.labels.items())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval()


def _untrained(dataset: ImageDataset, seed: int) -> Classifier:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return Classifier(dataset.channels, {name: len(values) for name, values in dataset.values.items()})


def split(dataset: ImageDataset) -> tuple[Tensor, Tensor]:
    """Numbers of the images to train on (nine tenths) and to test on (the rest), in a fixed shuffled order."""
    order = torch.randperm(len(dataset), generator=rng(0, "classifier split"))
    return order.tensor_split([len(order) * 9 // 10])


def load_classifier(dataset: ImageDataset, steps: int = 800) -> Classifier:
    """`train_classifier`, kept in the cache for the next call with the very same images and labels.

    Raises:
        InputError: the images have no labels, or the cache cannot be written.
    """
    path = cache_root() / f"classifier-{_digest(dataset, steps)}.safetensors"
    with contextlib.suppress(OSError, SafetensorError):  # it is not there yet, or damaged
        network = _untrained(dataset, seed=0)
        network.load_state_dict(load_file(path))
        return network.eval()
    network = train_classifier(dataset, steps)
    write_file(path, lambda file: file.write(to_safetensors(network.state_dict())), ADVICE)
    return network


def _digest(dataset: ImageDataset, steps: int) -> str:
    """Differs where any pixel, label or number differs; a gigabyte takes about a second."""
    digest = hashlib.sha256(repr([dataset.name, dataset.images.shape, dataset.values, steps]).encode())
    for values in (dataset.images, *dataset.labels.values()):
        for part in values.split(1024):
            digest.update(part.contiguous().numpy())
    return digest.hexdigest()[:16]


@torch.no_grad()
def classify(network: Classifier, images: Tensor, chunk: int = 500) -> tuple[Tensor, dict[str, Tensor]]:
    """Features and probabilities for many images, as `measure` needs them.

    Args:
        images: uint8 (N, C, H, W), so that real and generated images are rounded alike.

    Returns:
        Features, float32 (N, 128), and for each attribute the probabilities of its values, (N, values).
    """
    features = torch.cat([network.features(normalize(part)) for part in images.split(chunk)])
    return features, {name: head(features).softmax(1) for name, head in network.heads.items()}
