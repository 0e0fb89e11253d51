"""A small classifier: it names what a picture shows, and lends its features to the metrics.

Taught in notebooks/08_results.ipynb.
"""

import hashlib
import json
import os
import re

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate

from dcgan_lib.config import InputError, cache_root
from dcgan_lib.data import PictureSet, normalize
from dcgan_lib.progress import progress
from dcgan_lib.rng import rng
from dcgan_lib.writing import write_file

INPUT_SIZE = 32
FEATURES = 128
FEWEST = 10
"""Pictures, so that the tenth that is tested on holds one."""


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
        """Pictures (N, C, H, W) in [-1, 1] of any size -> features (N, 128); they are shrunk to 32x32 first."""
        if images.shape[-1] != INPUT_SIZE:
            images = interpolate(images, INPUT_SIZE, mode="bilinear", antialias=True, align_corners=False)
        return self.layers(images)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Pictures (N, C, H, W) in [-1, 1] -> for each attribute the logits of its values, (N, values)."""
        features = self.features(images)
        return {name: head(features) for name, head in self.heads.items()}


def train_classifier(pictures: PictureSet, steps: int = 800, seed: int = 0) -> Classifier:
    """A classifier for the labels of `pictures`; the last tenth in a shuffled order is never trained on.

    Adam, batches of 128, learning rate from 3e-3 down to 0 (one cycle); about 20 s for 800 steps on two CPU cores.

    Raises:
        InputError: the pictures have no labels, or are fewer than `FEWEST`.
    """
    if not pictures.labels:
        raise InputError(f"{pictures.name} has no labels, so no classifier can learn them: use data with classes.")
    if len(pictures) < FEWEST:
        raise InputError(
            f"{pictures.name} has {len(pictures)} pictures, too few for a classifier to learn from and be tested on: "
            f"use at least {FEWEST}."
        )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network = Classifier(pictures.channels, {name: len(values) for name, values in pictures.values.items()})
    train, _ = split(pictures)
    batch_size = min(128, len(train))
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    for step in progress(range(steps), desc="classifier", unit="step"):
        chosen = train[torch.randint(len(train), (batch_size,), generator=rng(seed, "classifier", step))]
        logits = network(normalize(pictures.images[chosen]))
        loss = sum(cross_entropy(logits[name], labels[chosen]) for name, labels in pictures.labels.items())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval()


def split(pictures: PictureSet) -> tuple[Tensor, Tensor]:
    """Numbers of the pictures to train on (nine tenths) and to test on (the rest), in a fixed shuffled order."""
    order = torch.randperm(len(pictures), generator=rng(0, "classifier split"))
    return order.tensor_split([len(order) * 9 // 10])


def load_classifier(pictures: PictureSet, steps: int = 800) -> Classifier:
    """`train_classifier`, kept in the cache for the next call with the very same pictures and labels.

    Raises:
        InputError: the pictures have no labels, are too few, or the cache cannot be read or written.
    """
    name = re.sub(r"[^A-Za-z0-9]+", "_", pictures.name)[-40:]
    path = cache_root() / f"classifier-{name}-{_digest(pictures, steps)}.safetensors"
    if os.path.exists(path):
        network = Classifier(pictures.channels, {name: len(values) for name, values in pictures.values.items()})
        try:
            network.load_state_dict(load_file(path))
        except (OSError, RuntimeError, SafetensorError) as error:
            raise InputError(f"The cached classifier {path} is damaged: delete it, and it is trained again.") from error
        return network.eval()
    network = train_classifier(pictures, steps)
    write_file(path, lambda file: file.write(to_safetensors(network.state_dict())))
    return network


def _digest(pictures: PictureSet, steps: int) -> str:
    """Differs where any pixel, label or number differs; a gigabyte takes about a second."""
    shape = [len(pictures), pictures.channels, pictures.image_size]
    digest = hashlib.sha256(json.dumps([pictures.name, shape, pictures.values, steps]).encode())
    for values in (pictures.images, *pictures.labels.values()):
        for part in values.split(1024):
            digest.update(part.contiguous().numpy())
    return digest.hexdigest()[:16]


@torch.no_grad()
def classify(network: Classifier, images: Tensor, chunk: int = 500) -> tuple[Tensor, dict[str, Tensor]]:
    """Features and probabilities for many pictures, as `measure` needs them.

    Args:
        images: uint8 (N, C, H, W), so that real and generated pictures are rounded alike.

    Returns:
        Features, float32 (N, 128), and for each attribute the probabilities of its values, (N, values).
    """
    parts = [network.features(normalize(part)) for part in images.split(chunk)]
    features = torch.cat(parts)
    return features, {name: head(features).softmax(1) for name, head in network.heads.items()}
