"""The commands of `python -m dcgan_lib`; each takes what `options.parse` gives.

A run begins or goes on, and leaves a folder that is whole at every moment.
"""

import io
import json
import shlex
import time
from argparse import Namespace
from datetime import timedelta
from math import gcd

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.functional import to_pil_image

from dcgan_lib import checkpoint, sampling
from dcgan_lib.checkpoint import CHECKPOINT, checkpoint_name, free_folder, load_generator, load_weights
from dcgan_lib.cli.run_folder import FILES, FRAME_EVERY, RunFolder
from dcgan_lib.config import Config
from dcgan_lib.data import denormalize, load_images, normalize
from dcgan_lib.history import Diverged, History
from dcgan_lib.images import grid, save_gif, save_grid, save_mp4
from dcgan_lib.metrics import measure
from dcgan_lib.metrics.verdict import VERDICTS, advised, measure_samples, reach_verdict
from dcgan_lib.trainer import MOVABLE, STEERABLE, Trainer
from dcgan_lib.utils import distributed
from dcgan_lib.utils.environment import cache_root
from dcgan_lib.utils.errors import InputError, require
from dcgan_lib.utils.files import remove_unfinished, write_file

WALK_SIZE, WALK_PAUSE, WALK_STEPS = 256, 40, 15  # pixels, milliseconds from frame to frame, frames from z to z


def sample(options: Namespace) -> None:
    """Write images that a run's generator draws: an array, a grid, a folder, or a walk from one to another."""
    out, kind = options.out, "" if options.out.is_dir() else options.out.suffix
    kinds = (".gif", ".mp4") if options.walk else (".npy", ".png", "")
    wanted = "--out must be a folder or end in .npy or .png, and with --walk in .gif or .mp4"
    require(kind in kinds, f"{wanted}: {out} does not.")
    require(kind or not any(out.glob("*.png")), f"{out} holds pictures already: choose another folder, or empty it.")
    images, _, which = generate(options)
    if options.walk:
        scale = max(1, WALK_SIZE // images.shape[-1])
        frames = [grid(image[None], 1, scale) for image in images]
        (save_gif if kind == ".gif" else save_mp4)(out, frames, WALK_PAUSE)
    elif kind == ".png":
        save_grid(out, images, columns=max(1, round(options.n**0.5)))
    elif kind == ".npy":
        write_file(out, lambda file: np.save(file, images.numpy()))
    else:
        out.mkdir(parents=True, exist_ok=True)
        for number, image in enumerate(images):
            to_pil_image(image).save(out / f"{number:05d}.png")
    print(f"{out}: {len(images)} image{'s' * (len(images) > 1)} of the {which} generator")


def export(options: Namespace) -> None:
    """Write a run's generator, z (N, latent_dim) to images for any N, as ONNX or for `torch.export.load`."""
    out, file, shapes = options.out, io.BytesIO(), ({0: torch.export.Dim("N")},)
    require(out.suffix in (".onnx", ".pt2"), f"--out must end in .onnx or .pt2: {out} does not.")
    generator, config = load_generator(options.run, options.raw, options.step)
    z = sampling.sample_latents(7, config.latent_dim, seed=0)
    if out.suffix == ".pt2":
        torch.export.save(torch.export.export(generator, (z,), dynamic_shapes=shapes), file)
        file.seek(0)
        images = torch.export.load(file).module()(z[:5])
    else:
        try:
            import onnxruntime
            import onnxscript  # noqa: F401  # which torch writes ONNX with
        except ImportError as error:
            raise InputError(f"{error}: pip install onnx onnxscript onnxruntime, or write a .pt2.") from error
        names = {"input_names": ["z"], "output_names": ["images"], "dynamic_shapes": shapes, "verbose": False}
        program = torch.onnx.export(generator, (z,), dynamo=True, **names)
        file.write(program.model_proto.SerializeToString())
        images = torch.tensor(onnxruntime.InferenceSession(file.getvalue()).run(None, {"z": z[:5].numpy()})[0])
    gap = (images - generator(z[:5])).abs().max().item()
    require(gap <= 1e-5, f"{out} would differ from PyTorch by {gap:.1g}: try the other format, or another torch.")
    write_file(out, lambda opened: opened.write(file.getvalue()))
    print(f"{out}: z, float32 (N, {config.latent_dim}), to images in [-1, 1], within {gap:.1g} of PyTorch")


def evaluate(options: Namespace) -> None:
    """Print what `metrics.measure` finds out about a run, and the verdict on its last steps, as one line of JSON."""
    fake, config, which = generate(options)
    data = options.data or config.data
    dataset = load_images(data, config.image_size, config.channels).in_memory()
    result = {"run": str(options.run), "data": data, "generator": which, **measure(fake, dataset), "verdict": None}
    path = options.run / checkpoint_name(options.step)
    if path.exists():  # a generator alone has no history
        seen = measure_samples(normalize(fake[:64]), None, normalize(dataset.images[:512]))
        history = History(checkpoint.load(path)[1]["history"])  # how fast the images changed is not in it
        result["verdict"] = VERDICTS[reach_verdict(history, [seen._replace(change=1.0)])].sentence
    print(json.dumps(result))


def generate(options: Namespace) -> tuple[Tensor, Config, str]:
    """As many images of a run's generator as asked for, uint8 (N, C, H, W), its config, and "averaged" or "raw"."""
    generator, config = load_generator(options.run, options.raw, options.step)
    frames = options.walk if options.command == "sample" else None
    z = sampling.sample_latents(max(2, frames // WALK_STEPS) if frames else options.n, config.latent_dim, options.seed)
    if frames:  # on arcs from each z to the next, and back to the first
        place = torch.arange(frames) * len(z) / frames
        z = sampling.slerp(z[place.long()], z[(place.long() + 1) % len(z)], (place % 1)[:, None])
    which = "averaged" if config.ema_decay and not options.raw else "raw"
    return denormalize(sampling.sample(generator, z)), config, which


def train(options: Namespace) -> None:
    """Train to the end, or until Ctrl-C; a second Ctrl-C saves no more.

    Raises:
        InputError: the run cannot begin, cannot go on or cannot be written.
        Diverged: its numbers are not finite any more; its checkpoint and images are those before.
    """
    config = options.config
    if options.init_from and not options.resume:
        config = load_weights(options.init_from, CHECKPOINT)[1].replace(**options.given)
    folder = RunFolder(options.out or free_folder(config), options.keep)
    trainer = resume(folder, options) if options.resume else begin(folder, config, options)
    run(folder, trainer, options)


def begin(folder: RunFolder, config: Config, options: Namespace) -> Trainer:
    """A new run in this folder, with random weights or those of a trained run."""
    if distributed.is_first():
        folder.require_free()
    trainer = Trainer(config)
    if options.init_from:
        trainer.init_from(options.init_from)
    if distributed.is_first():
        folder.write_config(config)
        if options.init_from:
            folder.save(trainer)  # a run that is killed now goes on with them, too
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
    enough = trainer.steps_done <= trainer.config.steps
    require(enough, f"{folder.path} has {trainer.steps_done} steps: give --steps as many or more, or leave it out.")
    if distributed.is_first():
        print(f"{folder.path} has {trainer.steps_done} steps of {trainer.config.steps}.")
        if words:
            print(f"From step {trainer.steps_done + 1} on: {words.replace('would be', 'is now')}.")
        if changes:
            folder.save(trainer)  # a run that is killed now goes on with them, too
    return trainer


def run(folder: RunFolder, trainer: Trainer, options: Namespace) -> None:
    """Train, and write what there is to see on the way and at the end."""
    first, start = distributed.is_first(), time.perf_counter()
    if first:
        remove_unfinished(cache_root(), idle_seconds=24 * 3600)  # younger ones may be being written
        told = folder.words() if trainer.steps_done == trainer.config.steps else ""
        if not told:
            folder.tidy(trainer)
        real, last = normalize(trainer.dataset.images[:512]), trainer.sample(raw=True)
        samples = [measure_samples(last, None, real)]

    def report(trainer: Trainer) -> None:
        nonlocal last
        if first and trainer.steps_done % FRAME_EVERY == 0:
            folder.add_frame(trainer)
            images = trainer.sample(raw=True)
            samples.append(measure_samples(images, last, real))
            last = images
        if first and trainer.steps_done % options.save_every == 0:
            folder.save(trainer)

    try:
        trainer.train(seconds=options.seconds, every=gcd(FRAME_EVERY, options.save_every), on_progress=report)
        if first and told:  # how fast the images changed is known no more, and the verdict was right
            print(f"Nothing is left to do; a larger number of --steps goes on. {told}")
        elif first:
            folder.add_frame(trainer)
            folder.save(trainer)
            folder.save_gif()
            kind, found = reach_verdict(trainer.history, samples), f"{len(trainer.dataset)} pictures of"
            words = f"{trainer.steps_done} steps on {found} {trainer.dataset.name}. Verdict: {VERDICTS[kind].sentence}"
            tries = [f"--{name.replace('_', '-')}={value:.3g}" for name, value in advised(kind, trainer.config).items()]
            words += f" (notebook {VERDICTS[kind].notebook[:2]}).{' '.join([' Try', *tries]) if tries else ''}"
            folder.save_page(trainer, words, command(trainer.config, options))
            print(f"In {timedelta(seconds=round(time.perf_counter() - start))}: {words}")
            which = ", with images of the averaged generator" if trainer.ema_generator else ""
            print(f"Written{which}:", *(folder.path / name for name in FILES), sep="\n  ")
    except Diverged:
        if first:
            folder.save_history(trainer)
        else:
            distributed.dist.barrier()  # the first one knows the last good checkpoint, and tells
        raise


def command(config: Config, options: Namespace) -> str:
    """What begins a run with the same settings: the paper's, and what differs from them."""
    changes = {name: value for name, value in config.to_dict().items() if value != getattr(Config, name)}
    changes |= {name: value for name in ("init_from", "seconds") if (value := getattr(options, name)) is not None}
    words = [f"--{name.replace('_', '-')}" + ("" if value is True else f"={value}") for name, value in changes.items()]
    return shlex.join(["python", "-m", "dcgan_lib", "train", "--preset=paper", *words])
