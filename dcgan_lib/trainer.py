"""The loop that repeats one step, and all that a run consists of. Taught in notebooks/07_training.ipynb."""

import copy
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.optim import Adam

from dcgan_lib import checkpoint
from dcgan_lib.config import Config
from dcgan_lib.data import as_images, load_images, require_dataset_fits, to_device
from dcgan_lib.history import COLUMNS, History, require_finite
from dcgan_lib.networks import build_networks
from dcgan_lib.sampling import sample, sample_latents
from dcgan_lib.training import Step, discriminator_step, train_step, update_average
from dcgan_lib.utils import distributed
from dcgan_lib.utils.console import progress
from dcgan_lib.utils.device import Autocast, choose_device, choose_dtype
from dcgan_lib.utils.errors import require
from dcgan_lib.utils.rng import rng
from dcgan_lib.utils.stop_button import stop_button
from dcgan_lib.utils.sync_batch_norm import synchronise

Net = nn.Module | None
STEERABLE = ("lr", "d_lr", "beta1", "d_steps", "label_smoothing", "steps", "lr_decay_share")
"""What of its config a run may change on the way."""
MOVABLE = ("device", "precision", "data")
"""What may change too when a run is loaded, `data` where it names the same images; the rest makes it this run."""
BAR = "{l_bar}{bar}| {n:.0f}/{total:.0f} {unit}{postfix}"
LOOK_EVERY = 50
"""An accelerator's losses are looked at after so many steps, because a look waits for the device; a CPU's always."""


class Trainer:
    """A run: two networks, two optimizers, the images, and the history.

    The order of the images, z and the starting weights are functions of (config.seed, step), so a resumed run
    equals one that was never stopped, bit for bit on a CPU with the same number of threads. Several processes share
    each step's batch: see `utils.distributed`.

    Args:
        config: the settings of the run.
        dataset: what to learn, anything that `data.as_images` takes; left out, `config.data` is loaded.
        generator, discriminator: networks of one's own instead of those the config describes.

    Raises:
        InputError: dataset or processes do not fit the config, or the device cannot do what it asks for.
    """

    def __init__(self, config: Config, dataset: Any = None, generator: Net = None, discriminator: Net = None) -> None:
        self.device = distributed.require_device(choose_device(config.device))
        self.dtype = choose_dtype(config.precision, self.device)
        self._rows = distributed.batch_slice(config.batch_size)
        if dataset is None:
            with distributed.one_decodes():
                dataset = load_images(config.data, config.image_size, config.channels)
        dataset = as_images(dataset, config.image_size, config.channels)
        require_dataset_fits(dataset, config)
        self.config, self.dataset = config.replace(channels=dataset.channels), dataset
        self._batches = dataset.to_gpu_if_it_fits(self.device)
        self._own = "generator " * (generator is not None) + "discriminator" * (discriminator is not None)
        networks = build_networks(self.config)
        self.generator, self.discriminator = map(self._place, (generator or networks[0], discriminator or networks[1]))
        self.ema_generator = copy.deepcopy(self.generator) if config.ema_decay else None
        self._generator = distributed.wrap_ddp(Autocast(self.generator, self.dtype))
        self._discriminator = distributed.wrap_ddp(Autocast(self.discriminator, self.dtype))
        self.g_optimizer, self.d_optimizer = (adam(n, self.config) for n in (self.generator, self.discriminator))
        self.history = History()
        self._advice = "there is no checkpoint of it, so start again with a lower lr."
        self._midway = False

    def _place(self, network: nn.Module) -> nn.Module:
        if self.config.sync_batch_norm and distributed.size() > 1:
            network = synchronise(network, self.device)
        return network.to(self.device, memory_format=torch.channels_last)  # pixels' channels side by side: faster

    @property
    def steps_done(self) -> int:
        """Steps behind this run."""
        return len(self.history)

    @property
    def fixed_z(self) -> Tensor:
        """The 64 z of the progress pictures, (64, latent_dim): the same for every run of this seed."""
        return sample_latents(64, self.config.latent_dim, self.config.seed, "fixed z")

    def set(self, **changes: float | None) -> None:
        """Change any of `STEERABLE` from the next step on; what Adam remembers of earlier gradients stays.

        Raises:
            InputError: a value is out of its range, or not steerable; then nothing is changed.
        """
        _require_changeable(changes, STEERABLE)
        self.config = self.config.replace(**changes)

    def step(self, lr_factor: float = 1.0) -> Step:
        """One step of the run, after `config.d_steps` - 1 updates of the discriminator alone.

        Args:
            lr_factor: a factor on both learning rates.

        Raises:
            Diverged: a loss is not finite; an accelerator's are looked at every 50 steps.
        """
        real_label = 1 - self.config.label_smoothing
        real, z = self.begin_step(lr_factor)
        for turn in range(1, self.config.d_steps):
            other_real, other_z = self._draw(turn)
            fake = self._generator(other_z)
            discriminator_step(self._discriminator, self.d_optimizer, other_real, fake, real_label)
        step = train_step(self._generator, self._discriminator, self.g_optimizer, self.d_optimizer, real, z, real_label)
        self.end_step(step)
        return step

    def begin_step(self, lr_factor: float = 1.0) -> tuple[Tensor, Tensor]:
        """Make ready for a step: set the learning rates, and draw its real images and its z, (N, latent_dim)."""
        config = self.config
        for optimizer, lr in ((self.g_optimizer, config.lr), (self.d_optimizer, config.d_lr or config.lr)):
            optimizer.param_groups[0].update(lr=lr * lr_factor, betas=(config.beta1, config.beta2))
        self._generator.train()
        self._discriminator.train()
        batch = self._draw()
        self._midway = True  # what fails before this has changed nothing
        return batch

    def end_step(self, step: Step) -> None:
        """Write a step that has been taken into the history; raises as `step` does."""
        if self.ema_generator:
            update_average(self.ema_generator, self.generator, self.config.ema_decay, self.steps_done)
        self.history.append(distributed.all_reduce_mean(step.row()))
        self._midway = False
        if self.device.type == "cpu" or self.steps_done % LOOK_EVERY == 0:
            self.require_finite_losses()

    def _draw(self, turn: int = 0) -> tuple[Tensor, Tensor]:
        """The real images and z of this step, or of one of the discriminator's further turns in it."""
        config, step, which = self.config, self.steps_done, f" {turn}" if turn else ""
        real = self._batches.batch(config.batch_size, config.seed, step, self.device, self._rows, f"order{which}")
        z = torch.randn(config.batch_size, config.latent_dim, generator=rng(config.seed, f"z{which}", step))
        return real, to_device(z[self._rows], self.device)

    def train(
        self,
        steps: int | None = None,
        seconds: float | None = None,
        every: int = 50,
        on_progress: Callable[[Self], Any] | None = None,
    ) -> None:
        """Train for so many steps or seconds, whichever ends first; without both, to the end of `config.steps`.

        `config.lr_decay_share` is a share of `seconds` where these are given, else of `config.steps`. Ctrl-C or the
        notebook's stop button end it early, after a whole step; pressed again, at once: see `utils.stop_button`.

        Args:
            on_progress: called with the trainer after every `every` steps, and after the last one.

        Raises:
            Diverged: a loss is not finite.
        """
        if steps is None and seconds is None:
            steps = max(0, self.config.steps - self.steps_done)
        first, start, passed, stop = self.steps_done, time.perf_counter(), 0.0, False
        total, unit = (steps, "step") if seconds is None else (seconds, "s")
        options = {} if distributed.is_first() else {"disable": True}  # False would overrule TQDM_DISABLE

        def finished() -> bool:
            return steps is not None and self.steps_done - first >= steps or seconds is not None and passed >= seconds

        with progress(total=total, unit=unit, bar_format=BAR, **options) as bar, stop_button() as pressed:
            while not finished() and not stop:
                done = passed / seconds if seconds else self.steps_done / max(1, self.config.steps)
                self.step(lr_factor(self.config, done))
                passed, stop = distributed.sync_stop(time.perf_counter() - start, pressed)
                bar.update((self.steps_done - first if seconds is None else min(passed, seconds)) - bar.n)
                if self.steps_done % every == 0 or finished() or stop:
                    self._report(bar, (self.steps_done - first) * self.config.batch_size / passed)
                    if on_progress:
                        on_progress(self)
        if stop and not finished() and distributed.is_first():
            print(f"Stopped after step {self.steps_done}, as asked: the run can go on from there.")

    def _report(self, bar: Any, speed: float) -> None:
        self.require_finite_losses()
        d_loss, g_loss = self.history.rows[-1, :2].tolist()
        bar.set_postfix_str(f"step {self.steps_done}, d_loss {d_loss:.2f}, g_loss {g_loss:.2f}, {speed:.0f} images/s")

    @property
    def best_generator(self) -> nn.Module:
        """The averaged generator where the run has one (`config.ema_decay`), else the trained one."""
        return self.ema_generator or self.generator

    def sample(self, z: Tensor | None = None, train_mode: bool = False, raw: bool = False) -> Tensor:
        """Images of the best generator for z (N, latent_dim), left out, for `fixed_z`: see `sampling.sample`.

        Args:
            raw: ask the trained generator, even where there is an averaged one.
        """
        generator = self.generator if raw else self.best_generator
        return sample(generator, self.fixed_z if z is None else z, train_mode)

    def require_finite_losses(self) -> None:
        """Raises Diverged where one of the last 50 steps has a loss that is not finite."""
        self.history.require_finite(self._advice, LOOK_EVERY)

    def require_finite_weights(self) -> None:
        """Raises Diverged where a weight or a running statistic is not finite."""
        require_finite(self.steps_done, self._advice, generator=self.generator, discriminator=self.discriminator)

    def tensors(self) -> dict[str, Tensor]:
        """All that the next step depends on, by name; no copies."""
        networks = {"generator": self.generator, "discriminator": self.discriminator}
        if self.ema_generator:
            networks["ema_generator"] = self.ema_generator
        optimizers = {"g_optimizer": self.g_optimizer, "d_optimizer": self.d_optimizer}
        return {**checkpoint.tensors_of(**networks, **optimizers), "history": self.history.rows}

    def init_from(self, run: Path | str) -> None:
        """Begin with the weights of a trained run, see `checkpoint.load_weights`; those it has not stay as they are.

        Raises:
            InputError: there is no such run, or its networks have other sizes than this one's.
        """
        path, _, theirs = checkpoint.load_weights(run, checkpoint.CHECKPOINT)
        # an average that the other run had not begins where its generator is
        theirs = {f"ema_{name}": t for name, t in theirs.items() if name.startswith("generator.")} | theirs
        both = {name.partition(".")[0] for name in theirs} & {name.partition(".")[0] for name in self.tensors()}
        theirs = {name: t for name, t in theirs.items() if name.partition(".")[0] in both}
        ours = {name: t for name, t in self.tensors().items() if name.partition(".")[0] in both}
        misfit = "does not fit the networks of this run ({}): give this run the sizes of that one."
        checkpoint.require_fit(path, theirs, ours, misfit)
        for name, values in ours.items():
            values.copy_(theirs[name])

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Go back to where `tensors` gave these; they are copied."""
        self.history, self._midway = History(tensors["history"].clone()), False
        for name, values in self.tensors().items():
            values.copy_(tensors[name])

    def save(self, path: Path | str) -> None:
        """Write a checkpoint from which `load` goes on exactly; it is complete or not there.

        Raises:
            Diverged: a loss or a weight is not finite; an earlier checkpoint of that name is as it was.
            InputError: the last step was interrupted midway; or see `utils.files.write_file`.
        """
        half = f"Step {self.steps_done + 1} was interrupted midway, and half a step is nothing to go on from"
        require(not self._midway, f"{half}: load the last checkpoint, or train on.")
        self.require_finite_losses()
        self.require_finite_weights()
        tensors = {**self.tensors(), "images": self.dataset.signature}
        checkpoint.save(path, self.config, tensors, threads=torch.get_num_threads(), own=self._own)
        self._saved(path)

    def _saved(self, path: Path | str) -> None:
        self._advice = f"go on from its last good checkpoint, {path} of step {self.steps_done}, with a lower lr."

    @classmethod
    def load(
        cls, path: Path | str, dataset: Any = None, generator: Net = None, discriminator: Net = None, **changes: Any
    ) -> Self:
        """The run that `save` wrote, ready for its next step.

        Args:
            dataset: what the run was begun with, where that was not the config's.
            generator, discriminator: networks like those that the run was begun with, where these were one's own.
            changes: new values for any of `STEERABLE` and `MOVABLE`.

        Raises:
            InputError: there is no such file, it is no checkpoint of such a run, or a change is out of range or would
                make it another run.
        """
        config, tensors, notes = checkpoint.load(path)
        _require_changeable(changes, (*STEERABLE, *MOVABLE))
        given = {"generator": generator, "discriminator": discriminator}
        missing = ", ".join(f"{name}=..." for name in notes.get("own", "").split() if given[name] is None)
        require(not missing, f"{path} was trained with networks of one's own: give Trainer.load the same {missing}.")
        trainer = cls(config.replace(**changes), dataset, **given)
        ours, theirs = trainer.dataset.signature, tensors.pop("images", None)
        # processors and versions of PIL round differently, so half a grey level is no difference
        same = theirs is not None and theirs.shape == ours.shape and (theirs - ours).abs().max().item() < 0.5
        other = f"{path} was trained on other images than {trainer.dataset.name} holds now"
        require(
            same, f"{other}, so it cannot go on: bring back those, or begin a new run with init_from (--init-from)."
        )
        rows = torch.empty(len(tensors.get("history", ())), len(COLUMNS))
        misfit = "does not fit the networks given ({}): give the same as before." if trainer._own else checkpoint.MISFIT
        checkpoint.require_fit(path, tensors, {**trainer.tensors(), "history": rows}, misfit)
        trainer.restore(tensors)
        trainer._saved(path)
        before, now = notes["threads"], str(torch.get_num_threads())
        if before != now and trainer.device.type == "cpu" and distributed.is_first():
            words = f"{path} was saved by a process with {before} threads, and this one has {now}: the run goes on"
            print(f"{words}, equal but for rounding and no longer bit for bit (OMP_NUM_THREADS={before} keeps that).")
        return trainer


def adam(network: nn.Module, config: Config) -> Adam:
    """The config's Adam for a network that is on its device, its moments at 0.

    Adam would make the moments itself in its first step; made here, they are in every checkpoint.
    """
    fused = next(network.parameters()).device.type in ("cpu", "cuda")  # one pass over the weights instead of a dozen
    optimizer = Adam(network.parameters(), config.lr, (config.beta1, config.beta2), fused=fused)
    for weight in network.parameters():
        moments = {name: torch.zeros_like(weight) for name in ("exp_avg", "exp_avg_sq")}
        optimizer.state[weight] = {"step": torch.tensor(0.0, device=weight.device if fused else "cpu"), **moments}
    return optimizer


def lr_factor(config: Config, done: float) -> float:
    """The factor on lr when this share of the run is done: 1, then falling to 0; beyond the end it is 1 again."""
    left = 1 - done
    return min(1.0, left / config.lr_decay_share) if config.lr_decay_share and left > 0 else 1.0


def _require_changeable(changes: Iterable[str], free: tuple[str, ...]) -> None:
    for name in changes:
        require(name in free, f"{name} cannot change during a run: start a new Trainer with it.")
