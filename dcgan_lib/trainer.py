"""The loop that repeats one step, and all that a run consists of.

Taught in notebooks/07_training.ipynb.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.optim import Adam

from dcgan_lib import checkpoint
from dcgan_lib.config import Config, InputError
from dcgan_lib.data import PictureSet, load_pictures
from dcgan_lib.device import choose_device, choose_dtype
from dcgan_lib.history import History
from dcgan_lib.networks import build_networks
from dcgan_lib.progress import progress
from dcgan_lib.rng import rng
from dcgan_lib.sampling import draw_z, sample
from dcgan_lib.training import train_step

STATEFUL = ("generator", "discriminator", "g_optimizer", "d_optimizer")
"""What of a trainer a checkpoint holds, besides its config and history."""


class Trainer:
    """A run: two networks, two optimisers, the pictures, and the history.

    The order of the pictures, z and the starting weights are functions of (config.seed, step), so a resumed run
    equals one that was never stopped, bit for bit on a CPU with the same number of threads.

    Args:
        config: the run in numbers.
        pictures: what to learn; left out, `config.data` is loaded.
        generator, discriminator: networks of one's own instead of those the config describes.

    Raises:
        InputError: the pictures do not fit the config, or the device cannot do what it asks for.
    """

    def __init__(
        self,
        config: Config,
        pictures: PictureSet | None = None,
        generator: nn.Module | None = None,
        discriminator: nn.Module | None = None,
    ) -> None:
        self.device = choose_device(config.device)
        self.dtype = choose_dtype(config.precision, self.device)
        if pictures is None:
            pictures = load_pictures(config.data, config.image_size, config.channels)
        if pictures.image_size != config.image_size or config.channels not in (None, pictures.channels):
            size, channels = config.image_size, config.channels or pictures.channels
            raise InputError(
                f"The pictures are {pictures.image_size} pixels wide with {pictures.channels} channels, and the config "
                f"asks for {size} and {channels}: load them with load_pictures(config.data, {size}, {channels})."
            )
        if len(pictures) < config.batch_size:
            raise InputError(
                f"{pictures.name} has {len(pictures)} pictures, fewer than one batch of {config.batch_size}: "
                "choose a smaller batch_size or add pictures."
            )
        self.config, self.pictures = config.replace(channels=pictures.channels), pictures
        default_generator, default_discriminator = build_networks(self.config)
        self.generator = self._place(generator or default_generator)
        self.discriminator = self._place(discriminator or default_discriminator)
        self.g_optimizer, self.d_optimizer = self._adam(self.generator), self._adam(self.discriminator)
        self.history = History()

    def _place(self, network: nn.Module) -> nn.Module:
        return network.to(self.device, memory_format=torch.channels_last)  # pixels' channels side by side: faster

    def _adam(self, network: nn.Module) -> Adam:
        fused = self.device.type in ("cpu", "cuda")  # one pass over the weights instead of a dozen
        return Adam(network.parameters(), self.config.lr, (self.config.beta1, self.config.beta2), fused=fused)

    @property
    def steps_done(self) -> int:
        """How many steps this run has behind it."""
        return len(self.history)

    @property
    def fixed_z(self) -> Tensor:
        """The 64 z of the progress pictures, (64, latent_dim): the same for every run of this seed."""
        return draw_z(64, self.config.latent_dim, self.config.seed, "fixed z")

    def set(self, lr: float | None = None, beta1: float | None = None, steps: int | None = None) -> None:
        """Change lr or beta1 from the next step on, for both networks, or the length of the run.

        What Adam remembers of earlier gradients stays.

        Raises:
            InputError: a value is out of its range; then nothing is changed.
        """
        new = {"lr": lr, "beta1": beta1, "steps": steps}
        changes = {name: value for name, value in new.items() if value is not None}
        self.config = self.config.replace(**changes)
        for optimizer in (self.g_optimizer, self.d_optimizer):
            for group in optimizer.param_groups:
                group["lr"], group["betas"] = self.config.lr, (self.config.beta1, self.config.beta2)

    def step(self) -> Tensor:
        """One update of each network; returns the step's row of the history."""
        config, step = self.config, self.steps_done
        real = self.pictures.batch(config.batch_size, config.seed, step, self.device)
        z = torch.randn(config.batch_size, config.latent_dim, generator=rng(config.seed, "z", step)).to(self.device)
        networks = self.generator.train(), self.discriminator.train()
        row = train_step(*networks, self.g_optimizer, self.d_optimizer, real, z, self.dtype)
        self.history.append(row)
        return row

    def train(
        self,
        steps: int | None = None,
        seconds: float | None = None,
        every: int = 50,
        on_progress: Callable[[Self], Any] | None = None,
    ) -> None:
        """Train for so many steps or seconds, whichever ends first; without both, to the end of `config.steps`.

        Args:
            on_progress: called with the trainer after every `every` steps, and after the last one.

        Raises:
            InputError: steps or seconds is negative.
        """
        if min(steps or 0, seconds or 0) < 0:
            raise InputError("steps and seconds must be 0 or more: choose a positive number.")
        if steps is None and seconds is None:
            steps = max(0, self.config.steps - self.steps_done)
        first, start = self.steps_done, time.perf_counter()
        total, unit = (steps, "step") if seconds is None else (seconds, "s")
        with progress(total=total, unit=unit, bar_format="{l_bar}{bar}| {n:.0f}/{total:.0f} {unit}{postfix}") as bar:
            while bar.n < total and (steps is None or self.steps_done - first < steps):
                self.step()
                done, passed = self.steps_done - first, time.perf_counter() - start
                bar.n = done if seconds is None else min(passed, seconds)
                if self.steps_done % every == 0 or bar.n == total or done == steps:
                    losses = ", ".join(f"{name} {self.history[name][-1]:.2f}" for name in ("d_loss", "g_loss"))
                    speed = done * self.config.batch_size / passed
                    bar.set_postfix_str(f"step {self.steps_done}, {losses}, {speed:.0f} images/s")
                    if on_progress:
                        on_progress(self)

    def sample(self, z: Tensor | None = None, train_mode: bool = False) -> Tensor:
        """Pictures for z (N, latent_dim), left out: for `fixed_z`; see `sampling.sample`."""
        return sample(self.generator, self.fixed_z if z is None else z, train_mode)

    def save(self, path: Path | str) -> None:
        """Write a checkpoint from which `load` goes on exactly; see `checkpoint.write_file` for what can go wrong."""
        state = {name: getattr(self, name).state_dict() for name in STATEFUL}
        checkpoint.save(path, self.config, {**state, "history": self.history.rows})

    @classmethod
    def load(cls, path: Path | str, pictures: PictureSet | None = None) -> Self:
        """The run that `save` wrote, ready for its next step.

        Raises:
            InputError: there is no such file, or it is no checkpoint of such a run.
        """
        config, state = checkpoint.load(path)
        trainer = cls(config, pictures)
        try:
            for name in STATEFUL:
                getattr(trainer, name).load_state_dict(state[name])
            trainer.history = History(state["history"])
        except (KeyError, RuntimeError, ValueError) as error:
            raise InputError(f"{path} does not fit the networks of its own config: give another one.") from error
        return trainer
