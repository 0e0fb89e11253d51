"""The way from the textbook's training loop to ours, one change at a time.

Taught in notebooks/11_speed_and_scale.ipynb, measured by benchmarks/bench.py.
"""

from contextlib import nullcontext
from dataclasses import dataclass, fields, replace
from itertools import accumulate, chain, count, repeat

import torch
from PIL import Image
from torch import Tensor, nn
from torch.optim import Adam
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from dcgan_lib.config import Config
from dcgan_lib.data.dataset import ImageDataset, to_device
from dcgan_lib.networks import build_networks
from dcgan_lib.training import frozen
from dcgan_lib.utils.device import Autocast, choose_device, choose_dtype
from dcgan_lib.utils.rng import rng


@dataclass(frozen=True)
class LoopOptions:
    """What a loop does; all False is the textbook's."""

    cached: bool = False
    """Batches come from decoded images, instead of PIL decoding and scaling each one in two workers."""
    logits: bool = False
    """The loss is taken from logits, not from probabilities."""
    no_item_sync: bool = False
    """Numbers for the log stay on the device, instead of being fetched with `.item()` five times a step."""
    frozen_discriminator: bool = False
    """In the generator's turn no gradient is computed for the discriminator's weights."""
    fused: bool = False
    """Adam updates all weights in one pass."""
    channels_last: bool = False
    """A pixel's channels lie side by side in memory."""
    bfloat16: bool = False
    """Convolutions are computed in bfloat16 where the device is faster with it; needs logits."""

    def alone(self, name: str) -> "LoopOptions":
        """These options with one change more, and what that one needs."""
        return replace(self, **{name: True}, **({"logits": True} if name == "bfloat16" else {}))


TEXTBOOK = LoopOptions()
CHANGES = tuple(field.name for field in fields(LoopOptions))
"""The order in which `speedups` makes them."""


def speedups() -> dict[str, LoopOptions]:
    """The textbook's loop, then every loop with one change more, up to ours."""
    return dict(zip(("textbook", *CHANGES), accumulate(CHANGES, LoopOptions.alone, initial=TEXTBOOK), strict=True))


class PerSample(Dataset):
    """Images as tutorials load them: each through PIL and four transforms, every time it is wanted.

    Args:
        images: uint8 (N, C, H, W) of any size.
        image_size: what they are resized to.
    """

    def __init__(self, images: Tensor, image_size: int) -> None:
        self.images = images
        scale = [transforms.Resize(image_size), transforms.CenterCrop(image_size)]
        self.recipe = transforms.Compose([*scale, transforms.ToTensor(), transforms.Normalize(0.5, 0.5)])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> Tensor:
        pixels = self.images[i].permute(1, 2, 0).squeeze(2).numpy()
        return self.recipe(Image.fromarray(pixels))


class TextbookLoop:
    """A training loop with these options, for the networks and the batches that a config describes.

    Args:
        dataset: decoded images of config.image_size.
        originals: uint8 (N, C, H, W), what the per-sample loader decodes; left out, `dataset.images`.
    """

    def __init__(
        self, options: LoopOptions, config: Config, dataset: ImageDataset, originals: Tensor | None = None
    ) -> None:
        self.options, self.config, self.device = options, config, choose_device(config.device)
        generator, discriminator = build_networks(config.replace(channels=dataset.channels))
        if not options.logits:
            discriminator.layers.append(nn.Sigmoid())
        layout = torch.channels_last if options.channels_last else torch.contiguous_format
        dtype = choose_dtype(config.precision, self.device) if options.bfloat16 else torch.float32
        self.generator = Autocast(generator.to(self.device, memory_format=layout), dtype)
        self.discriminator = Autocast(discriminator.to(self.device, memory_format=layout), dtype)
        adam = {"lr": config.lr, "betas": (config.beta1, config.beta2), "fused": options.fused or None}
        self.g_optimizer, self.d_optimizer = (Adam(n.parameters(), **adam) for n in (generator, discriminator))
        self.loss = nn.BCEWithLogitsLoss() if options.logits else nn.BCELoss()
        self.steps_done = 0
        if options.cached:
            self.batches = (dataset.batch(config.batch_size, config.seed, step, self.device) for step in count())
        else:
            images = PerSample(dataset.images if originals is None else originals, config.image_size)
            order = rng(config.seed, "order")
            loader = DataLoader(images, config.batch_size, shuffle=True, num_workers=2, drop_last=True, generator=order)
            self.batches = chain.from_iterable(repeat(loader))  # one epoch after the other

    def step(self) -> list[float] | Tensor:
        """The next batch and the next z; returns what `update` does."""
        config = self.config
        z = torch.randn(config.batch_size, config.latent_dim, generator=rng(config.seed, "z", self.steps_done))
        return self.update(next(self.batches).to(self.device), to_device(z, self.device))

    def update(self, real: Tensor, z: Tensor) -> list[float] | Tensor:
        """Both turns of one step; returns d_loss, g_loss, D(x), D(G(z)) before and after, as `history.COLUMNS`.

        Args:
            real: images (N, C, H, W) in [-1, 1].
            z: (N, latent_dim).
        """
        ones, zeros = torch.ones(len(real), device=self.device), torch.zeros(len(real), device=self.device)

        self.discriminator.zero_grad()
        real_output = self.discriminator(real).float()
        d_real_loss = self.loss(real_output, ones)
        d_real_loss.backward()
        fake = self.generator(z)
        fake_output = self.discriminator(fake.detach()).float()
        d_fake_loss = self.loss(fake_output, zeros)
        d_fake_loss.backward()
        self.d_optimizer.step()

        self.generator.zero_grad()
        with frozen(self.discriminator) if self.options.frozen_discriminator else nullcontext():
            new_output = self.discriminator(fake).float()
            g_loss = self.loss(new_output, ones)
            g_loss.backward()
        self.g_optimizer.step()

        self.steps_done += 1
        means = [(x.sigmoid() if self.options.logits else x).mean() for x in (real_output, fake_output, new_output)]
        row = [d_real_loss + d_fake_loss, g_loss, *means]
        return torch.stack(row).detach() if self.options.no_item_sync else [value.item() for value in row]
