"""The loop that repeats one step, and all that a run consists of. Taught in notebooks/07_training.ipynb."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from dcgan_lib import checkpoint, loop, parallel
from dcgan_lib.batch_norm import synchronise
from dcgan_lib.config import Config
from dcgan_lib.data import PictureSet, load_pictures, require_pictures
from dcgan_lib.device import adam, choose_device, choose_dtype, resident, send
from dcgan_lib.divergence import Guard
from dcgan_lib.history import History
from dcgan_lib.memory import room
from dcgan_lib.networks import build_networks
from dcgan_lib.rng import rng
from dcgan_lib.sampling import draw_z, sample
from dcgan_lib.training import Part, step_parts, train_step
from dcgan_lib.verify import require_changeable, require_fit, require_same

STATEFUL = ("generator", "discriminator", "g_optimizer", "d_optimizer")
"""What of a trainer a checkpoint holds, besides its config and history."""
STEERABLE = ("lr", "d_lr", "beta1", "d_steps", "label_smoothing", "steps", "cool_down")
"""What of its config a run may change on the way."""
MOVABLE = ("device", "precision", "data")
"""What may change too when a run is loaded, `data` where it names the same pictures; the rest makes it this run."""


class Trainer:
    """A run: two networks, two optimisers, the pictures, and the history.

    The order of the pictures, z and the starting weights are functions of (config.seed, step), so a resumed run
    equals one that was never stopped, bit for bit on a CPU with the same number of threads. Several processes share
    each step's batch: see `parallel`.

    Args:
        config: the run in numbers.
        pictures: what to learn; left out, `config.data` is loaded.
        generator, discriminator: networks of one's own instead of those the config describes.

    Raises:
        InputError: pictures, processes or memory do not fit the config, or the device cannot do what it asks for.
    """

    def __init__(
        self,
        config: Config,
        pictures: PictureSet | None = None,
        generator: nn.Module | None = None,
        discriminator: nn.Module | None = None,
    ) -> None:
        self.device = parallel.own(choose_device(config.device))
        self.dtype = choose_dtype(config.precision, self.device)
        self._rows = parallel.rows(config.batch_size)
        if pictures is None:
            with parallel.one_decodes():
                pictures = load_pictures(config.data, config.image_size, config.channels)
        require_pictures(pictures, config)
        self.config, self.pictures = config.replace(channels=pictures.channels), pictures
        self._near = replace(pictures, images=resident(pictures.images, self.device))
        with room():
            default_generator, default_discriminator = build_networks(self.config)
            self.generator = self._place(generator or default_generator)
            self.discriminator = self._place(discriminator or default_discriminator)
        self._players = parallel.replicate(self.generator), parallel.replicate(self.discriminator)
        self.g_optimizer, self.d_optimizer = (adam(n, self.config) for n in (self.generator, self.discriminator))
        self.history = History()
        self.guard = Guard(self.device)

    def _place(self, network: nn.Module) -> nn.Module:
        if self.config.sync_batch_norm and parallel.size() > 1:
            network = synchronise(network, self.device)
        return network.to(self.device, memory_format=torch.channels_last)  # pixels' channels side by side: faster

    @property
    def steps_done(self) -> int:
        """Steps behind this run."""
        return len(self.history)

    @property
    def fixed_z(self) -> Tensor:
        """The 64 z of the progress pictures, (64, latent_dim): the same for every run of this seed."""
        return draw_z(64, self.config.latent_dim, self.config.seed, "fixed z")

    def set(self, **changes: float | None) -> None:
        """Change any of `STEERABLE` from the next step on; what Adam remembers of earlier gradients stays.

        Raises:
            InputError: a value is out of its range, or not steerable; then nothing is changed.
        """
        require_changeable(changes, STEERABLE)
        self.config = self.config.replace(**changes)

    def step(self, heat: float = 1.0, player: str | None = None) -> Tensor:
        """One step, with the arguments of `parts`; returns its row of the history."""
        *_, last = self.parts(heat, player)
        return last.row

    def parts(self, heat: float = 1.0, player: str | None = None) -> Iterator[Part]:
        """One step, which stops after each of its parts: see `training.step_parts`.

        Args:
            heat: a factor on the learning rates.
            player: "generator" or "discriminator" lets only that one learn.

        Raises:
            Diverged: a loss is not finite; an accelerator's are looked at every 50 steps.
        """
        config = self.config
        for optimizer, lr in ((self.g_optimizer, config.lr), (self.d_optimizer, config.d_lr or config.lr)):
            optimizer.param_groups[0].update(lr=lr * heat, betas=(config.beta1, config.beta2))
        g_optimizer = self.g_optimizer if player != "discriminator" else None
        d_optimizer = self.d_optimizer if player != "generator" else None
        networks = [player.train() for player in self._players]
        options = {"dtype": self.dtype, "real_label": 1 - config.label_smoothing}
        for turn in range(1, config.d_steps if d_optimizer else 1):
            train_step(*networks, None, d_optimizer, *self._draw(turn), **options)
        for part in step_parts(*networks, g_optimizer, d_optimizer, *self._draw(), **options):
            if part.row is not None:
                self.history.append(parallel.average(part.row))
                self.guard.after_step(part.row, self.steps_done, self.history)
            yield part

    def _draw(self, turn: int = 0) -> tuple[Tensor, Tensor]:
        """The pictures and z of this step; the discriminator's further turns get those of other seeds."""
        config, step = self.config, self.steps_done
        seed = config.seed + turn * 2**63  # seeds are smaller, so these are nobody's
        real = self._near.batch(config.batch_size, seed, step, self.device, self._rows)
        z = torch.randn(config.batch_size, config.latent_dim, generator=rng(seed, "z", step))
        self.guard.before_step()  # what fails before this has changed nothing
        return real, send(z[self._rows], self.device)

    def train(
        self,
        steps: int | None = None,
        seconds: float | None = None,
        every: int = 50,
        on_progress: Callable[[Self], Any] | None = None,
    ) -> None:
        """Train for so many steps or seconds, whichever ends first; without both, to the end of `config.steps`.

        `config.cool_down` is a share of `seconds` where these are given, else of `config.steps`. Ctrl-C or the
        notebook's stop button end it early, after a whole step; pressed again, at once: see `interrupt.stop_button`.

        Args:
            on_progress: called with the trainer after every `every` steps, and after the last one.

        Raises:
            InputError: steps, seconds or every is out of its range.
            Diverged: a loss is not finite.
        """
        loop.run(self, steps, seconds, every, on_progress)

    def sample(self, z: Tensor | None = None, train_mode: bool = False) -> Tensor:
        """Pictures for z (N, latent_dim), left out: for `fixed_z`; see `sampling.sample`."""
        return sample(self.generator, self.fixed_z if z is None else z, train_mode)

    def save(self, path: Path | str) -> None:
        """Write a checkpoint from which `load` goes on exactly.

        Raises:
            Diverged: a loss or a weight is not finite; an earlier checkpoint of that name is as it was.
            InputError: the last step was interrupted midway; or see `writing.write_file`.
        """
        self.guard.whole(self.steps_done)
        self.guard.losses(self.history)
        self.guard.weights(self.steps_done, generator=self.generator, discriminator=self.discriminator)
        state = {name: getattr(self, name).state_dict() for name in STATEFUL}
        state |= {"history": self.history.rows.clone(), "pictures": self.pictures.signature}
        checkpoint.save(path, self.config, state)
        self.guard.saved(path, self.steps_done)

    @classmethod
    def load(cls, path: Path | str, pictures: PictureSet | None = None, **changes: Any) -> Self:
        """The run that `save` wrote, ready for its next step.

        Args:
            changes: new values for any of `STEERABLE` and `MOVABLE`.

        Raises:
            InputError: there is no such file, it is no checkpoint of such a run, or a change is out of range or would
                make it another run.
        """
        config, state = checkpoint.load(path)
        require_changeable(changes, (*STEERABLE, *MOVABLE))
        with torch.device("meta"):  # shapes alone: the sizes are only what the file says
            expected = build_networks(config)
        require_fit(path, state, dict(zip(STATEFUL, (*expected, *(adam(n, config) for n in expected)), strict=True)))
        trainer = cls(config.replace(**changes, channels=config.channels or 3), pictures)
        require_same(path, state.get("pictures"), trainer.pictures)
        for name in STATEFUL:
            getattr(trainer, name).load_state_dict(state[name])
        trainer.history = History(state["history"])
        trainer.guard.saved(path, trainer.steps_done)
        return trainer
