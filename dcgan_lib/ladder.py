"""The way from the textbook's training loop to ours, one change at a time.

Taught in notebooks/11_speed_and_scale.ipynb, measured by benchmarks/bench.py.
"""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, fields, replace

import torch
from PIL import Image
from torch import Tensor, nn
from torch.optim import Adam
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from dcgan_lib.config import Config
from dcgan_lib.data import PictureSet
from dcgan_lib.device import choose_device, choose_dtype, send
from dcgan_lib.networks import Discriminator, Generator
from dcgan_lib.rng import rng
from dcgan_lib.training import frozen


@dataclass(frozen=True)
class Rung:
    """What a loop does; all False is the textbook's."""

    cached: bool = False
    """Batches come from decoded pictures, instead of PIL decoding and scaling each one in two workers."""
    logits: bool = False
    """The loss is taken from logits, not from probabilities."""
    quiet: bool = False
    """Numbers for the log stay on the device, instead of being fetched five times a step."""
    frozen: bool = False
    """In the generator's turn no gradient is computed for the discriminator's weights."""
    fused: bool = False
    """Adam updates all weights in one pass."""
    channels_last: bool = False
    """A pixel's channels lie side by side in memory."""
    reduced: bool = False
    """Convolutions are computed in bfloat16 where the device is faster with it; needs logits."""

    def alone(self, name: str) -> "Rung":
        """This loop with one change more, and what that one needs."""
        return replace(self, **{name: True}, **({"logits": True} if name == "reduced" else {}))


TEXTBOOK = Rung()
CHANGES = tuple(field.name for field in fields(Rung))
"""The order in which the ladder makes them."""


def ladder() -> Iterator[tuple[str, Rung]]:
    """The textbook's loop, then every loop with one change more, up to ours."""
    rung = TEXTBOOK
    yield "textbook", rung
    for name in CHANGES:
        rung = rung.alone(name)
        yield name, rung


class PerSample(Dataset):
    """Pictures as tutorials load them: each through PIL and four transforms, every time it is wanted.

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


class Loop:
    """A training loop of the rung's kind, for the networks and the batches that a config describes.

    Args:
        pictures: decoded, of config.image_size.
        originals: uint8 (N, C, H, W), what the per-sample loader decodes; left out, `pictures.images`.
    """

    def __init__(self, rung: Rung, config: Config, pictures: PictureSet, originals: Tensor | None = None) -> None:
        self.rung, self.config, self.pictures = rung, config, pictures
        self.originals = pictures.images if originals is None else originals
        self.device = choose_device(config.device)
        self.dtype = choose_dtype(config.precision, self.device) if rung.reduced else torch.float32
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(config.seed)
            generator = Generator(config.latent_dim, config.g_width, pictures.channels, config.image_size)
            discriminator = Discriminator(config.d_width, pictures.channels, config.image_size, sigmoid=not rung.logits)
        layout = torch.channels_last if rung.channels_last else torch.contiguous_format
        self.generator = generator.to(self.device, memory_format=layout)
        self.discriminator = discriminator.to(self.device, memory_format=layout)
        adam = {"lr": config.lr, "betas": (config.beta1, config.beta2), "fused": rung.fused or None}
        self.g_optimizer, self.d_optimizer = (Adam(n.parameters(), **adam) for n in (generator, discriminator))
        self.loss = nn.BCEWithLogitsLoss() if rung.logits else nn.BCELoss()
        self.steps_done = 0
        self._batches = self._cached() if rung.cached else self._per_sample()

    def _cached(self) -> Iterator[Tensor]:
        step, config = 0, self.config
        while True:
            yield self.pictures.batch(config.batch_size, config.seed, step, self.device)
            step += 1

    def _per_sample(self) -> Iterator[Tensor]:
        order = rng(self.config.seed, "order")
        pictures = PerSample(self.originals, self.config.image_size)
        while True:
            loader = DataLoader(
                pictures, self.config.batch_size, shuffle=True, drop_last=True, num_workers=2, generator=order
            )
            for real in loader:
                yield real.to(self.device)

    def step(self) -> list[float] | Tensor:
        """The next batch and the next z; returns what `update` does."""
        config, device = self.config, self.device
        z = torch.randn(config.batch_size, config.latent_dim, generator=rng(config.seed, "z", self.steps_done))
        return self.update(next(self._batches), send(z, device))

    def update(self, real: Tensor, z: Tensor) -> list[float] | Tensor:
        """Both turns of one step; returns d_loss, g_loss, D(x), D(G(z)) before and after, as `history.COLUMNS`.

        Args:
            real: pictures (N, C, H, W) in [-1, 1].
            z: (N, latent_dim).
        """
        autocast = torch.autocast(self.device.type, torch.bfloat16, enabled=self.dtype == torch.bfloat16)
        ones, zeros = torch.ones(len(real), device=self.device), torch.zeros(len(real), device=self.device)

        self.discriminator.zero_grad()
        with autocast:
            real_output = self.discriminator(real).float()
        d_real_loss = self.loss(real_output, ones)
        d_real_loss.backward()
        with autocast:
            fake = self.generator(z)
            fake_output = self.discriminator(fake.detach()).float()
        d_fake_loss = self.loss(fake_output, zeros)
        d_fake_loss.backward()
        self.d_optimizer.step()

        self.generator.zero_grad()
        with frozen(self.discriminator) if self.rung.frozen else nullcontext():
            with autocast:
                new_output = self.discriminator(fake).float()
            g_loss = self.loss(new_output, ones)
            g_loss.backward()
        self.g_optimizer.step()

        self.steps_done += 1
        outputs = [output.detach() for output in (real_output, fake_output, new_output)]
        means = [(output.sigmoid() if self.rung.logits else output).mean() for output in outputs]
        row = [(d_real_loss + d_fake_loss).detach(), g_loss.detach(), *means]
        return torch.stack(row) if self.rung.quiet else [value.item() for value in row]
