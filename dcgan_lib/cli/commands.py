"""The commands of `python -m dcgan_lib`; each takes what `options.parse` gives.

A run begins or goes on, and leaves a folder that is whole at every moment.
"""

import json
from argparse import Namespace
from math import gcd

import numpy as np
from torch import Tensor

from dcgan_lib import sampling
from dcgan_lib.checkpoint import free_folder, load_generator
from dcgan_lib.cli.run_folder import FILES, FRAME_EVERY, RunFolder
from dcgan_lib.config import Config
from dcgan_lib.data import denormalize, load_images
from dcgan_lib.history import Diverged
from dcgan_lib.images import save_grid
from dcgan_lib.metrics import measure
from dcgan_lib.trainer import MOVABLE, STEERABLE, Trainer
from dcgan_lib.utils import distributed
from dcgan_lib.utils.environment import cache_root
from dcgan_lib.utils.errors import require
from dcgan_lib.utils.files import remove_unfinished, write_file


def sample(options: Namespace) -> None:
    """Write images that a run's generator draws: an array, or a grid of them."""
    require(options.out.suffix in (".npy", ".png"), f"--out must end in .npy or .png: {options.out} does not.")
    images, _, which = generate(options)
    if options.out.suffix == ".png":
        save_grid(options.out, images, columns=max(1, round(options.n**0.5)))
    else:
        write_file(options.out, lambda file: np.save(file, images.numpy()))
    print(f"{options.out}: {options.n} images of the {which} generator")


def evaluate(options: Namespace) -> None:
    """Print what `metrics.measure` finds out about a run, as one line of JSON."""
    fake, config, which = generate(options)
    data = options.data or config.data
    dataset = load_images(data, config.image_size, config.channels).in_memory()
    print(json.dumps({"run": str(options.run), "data": data, "generator": which, **measure(fake, dataset)}))


def generate(options: Namespace) -> tuple[Tensor, Config, str]:
    """As many images of a run's generator as asked for, uint8 (N, C, H, W), its config, and "averaged" or "raw"."""
    generator, config = load_generator(options.run, options.raw)
    z = sampling.sample_latents(options.n, config.latent_dim, options.seed)
    which = "averaged" if config.ema_decay and not options.raw else "raw"
    return denormalize(sampling.sample(generator, z)), config, which


def train(options: Namespace) -> None:
    """Train to the end, or until Ctrl-C; a second Ctrl-C saves no more.

    Raises:
        InputError: the run cannot begin, cannot go on or cannot be written.
        Diverged: its numbers are not finite any more; its checkpoint and images are those before.
    """
    folder = RunFolder(options.out or free_folder(options.config), options.keep)
    trainer = resume(folder, options) if options.resume else begin(folder, options.config)
    run(folder, trainer, options)


def begin(folder: RunFolder, config: Config) -> Trainer:
    """A new run in this folder."""
    if distributed.is_first():
        folder.require_free()
    trainer = Trainer(config)
    if distributed.is_first():
        folder.write_config(config)
    return trainer


def resume(folder: RunFolder, options: Namespace) -> Trainer:
    """The run in this folder, with what the given options change of it.

    Raises:
        InputError: there is none, or they would make it another run, or nobody has allowed what they change.
    """
    old = folder.config()
    changes = {name: value for name, value in options.given.items() if value != getattr(old, name)}
    differences = {name: f"{name} was {getattr(old, name)} and would be {value}" for name, value in changes.items()}
    fixed = [differences[name] for name in changes if name not in (*STEERABLE, *MOVABLE)]
    require(not fixed, f"{folder.path} is another run ({', '.join(fixed)}): leave these out, or begin a new run.")
    differences.pop("steps", None)
    words = ", ".join(differences.values())
    require(options.allow_changes or not words, f"{folder.path} has other options ({words}): add --allow-changes.")
    trainer = folder.load(**changes)
    if distributed.is_first():
        print(f"{folder.path} has {trainer.steps_done} steps of {trainer.config.steps}.")
        if words:
            print(f"From step {trainer.steps_done + 1} on: {words.replace('would be', 'is now')}.")
        if changes:
            folder.save(trainer)  # a run that is killed now goes on with them, too
    return trainer


def run(folder: RunFolder, trainer: Trainer, options: Namespace) -> None:
    """Train, and write what there is to see on the way and at the end."""
    first = distributed.is_first()
    if first:
        remove_unfinished(cache_root(), idle_seconds=24 * 3600)  # younger ones may be being written
        folder.tidy(trainer)

    def report(trainer: Trainer) -> None:
        if first and trainer.steps_done % FRAME_EVERY == 0:
            folder.add_frame(trainer)
        if first and trainer.steps_done % options.save_every == 0:
            folder.save(trainer)

    try:
        trainer.train(seconds=options.seconds, every=gcd(FRAME_EVERY, options.save_every), on_progress=report)
        if first:
            folder.add_frame(trainer)
            folder.save(trainer)
            folder.save_gif()
            which = ", with images of the averaged generator" if trainer.ema_generator else ""
            print(
                f"{trainer.steps_done} steps done. Written{which}:", *(folder.path / name for name in FILES), sep="\n  "
            )
    except Diverged:
        if first:
            folder.save_history(trainer)
        else:
            distributed.dist.barrier()  # the first one knows the last good checkpoint, and tells
        raise
