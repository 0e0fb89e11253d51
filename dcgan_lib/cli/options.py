"""The options of the command line; those of a run are the fields of `Config`. Without torch, which takes seconds."""

import argparse
import ast
import inspect
import math
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn, get_args

from dcgan_lib.cli.exit_codes import TRACEBACK
from dcgan_lib.config import PRESETS, SIZES, Config, load_config
from dcgan_lib.utils.errors import InputError, require

ELSEWHERE = {
    "--steps, one batch each,": "epochs numepochs nepochs nepoch epoch niter iters iterations maxsteps nsteps kimg",
    "--latent-dim": "nz zdim latent noisedim", "--g-width": "ngf", "--d-width": "ndf", "--channels": "nc inputnc",
    "--device cuda": "cuda gpu gpus gpuid gpuids ngpu accel", "--device cpu": "nocuda cpu", "--device mps": "mps",
    "--data": "dataroot dataset datadir datapath root path", "--image-size": "imgsize imsize size resolution loadsize",
    "--batch-size": "batch bs", "--lr": "learningrate lrg", "--d-lr": "lrd", "--beta1": "b1", "--beta2": "b2",
    "--out": "outf outdir output savedir resultsdir name", "--n": "num nsamples numsamples", "--seed": "manualseed",
    "--run": "checkpoint ckpt weights model network", "--init-from": "pretrained transfer finetune netg netd",
    "--resume": "continuetrain loadmodel", "--precision bfloat16": "amp fp16", "not needed": "workers numworkers",
    "--d-steps": "ncritic diters",
}  # fmt: skip  # what other programs call our options, in small letters without - and _


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` that takes whole names only, and whose mistakes are `InputError`s."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, allow_abbrev=False)
        self.add_argument(TRACEBACK, action="store_true", help="show where an error happened, instead of one sentence")

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}: see --help.")


def parse(words: list[str]) -> argparse.Namespace:
    """The command that the words ask for, and its options.

    Those of train have `config`, for a new run, and `given`, the fields of it that the words name, for one to go on
    with; --preset names those in which presets differ.

    Raises:
        InputError: a word is unknown, missing or out of range.
        SystemExit: with status 0 after --help.
    """
    parser = Parser(prog="python -m dcgan_lib", description="Train a DCGAN, draw images from it, and measure it.")
    commands = parser.add_subparsers(dest="command", required=True)
    add_train(commands.add_parser("train", help="train a DCGAN; its folder gets weights, history and images"))

    sample = commands.add_parser("sample", help="draw images from a trained generator")
    kinds = ".png for a grid, a folder for a .png each, .npy (uint8, N x C x H x W); for --walk .gif or .mp4"
    sample.add_argument("--out", type=path, required=True, help=kinds)
    sample.add_argument("--n", type=number(int, 1), default=64, help="how many images")
    sample.add_argument("--walk", type=number(int, 2), metavar="FRAMES", help="an animation that goes from z to z")

    export = commands.add_parser("export", help="write a trained generator for other programs and any batch size")
    export.add_argument("--out", type=path, required=True, help=".onnx, or .pt2 for torch.export.load")

    evaluate = commands.add_parser("evaluate", help="measure a run: FID, mode coverage and more, as one line of JSON")
    evaluate.add_argument("--data", help="the images, where they have another name or place than in training")
    # one fake more than there are features, or their covariance is singular
    evaluate.add_argument("--n", type=number(int, 129), default=10_000, help="how many fakes, 129 or more")
    for command in (sample, evaluate, export):
        command.add_argument("--run", type=path, required=True, help="the folder that train wrote, or faces64, mnist32")
        command.add_argument("--raw", action="store_true", help="the trained generator instead of its moving average")
        command.add_argument("--step", type=number(int, 0), help="an earlier step, which --keep has kept")
        command.add_argument("--seed", type=int, default=0, help="same seed, same images: the first of any --n")

    options, unknown = parser.parse_known_args(words or ["--help"])
    hint = unknown and translate(unknown, commands.choices[options.command]._option_string_actions)
    require(not unknown, f"unrecognized arguments: {' '.join(unknown)}: {hint or 'see --help'}.")
    if options.command == "train":
        require(options.out or not options.resume, "--resume needs the folder of the run to go on with: add --out.")
        require(options.resume or not options.allow_changes, "--allow-changes is about an earlier run: add --resume.")
        given = {field.name: getattr(options, field.name) for field in fields(Config) if field.name in options}
        options.config = load_config(options.preset, **given)
        chosen = {name: getattr(options.config, name) for name in SIZES} if options.preset else {}
        options.given = chosen | given
    return options


def translate(unknown: list[str], known: Iterable[str]) -> str:
    """Which of a command's options replace unknown ones that other programs have, or that are spelled otherwise."""
    names = {old: new for new, olds in ELSEWHERE.items() for old in olds.split()}
    names |= {re.sub("[-_]", "", new): new for new in known}
    words = [word.partition("=")[0] for word in unknown if word.startswith("-")]
    pairs = [(word, names.get(re.sub("[-_]", "", word).lower(), "")) for word in words]
    return ", ".join(f"{word} is {new} here" for word, new in pairs if re.split("[ ,]", new)[0] in (*known, "not"))


def add_train(train: Parser) -> None:
    """Give train its options; those that are fields of `Config` are left out where nobody gives them."""
    train.add_argument("--preset", choices=PRESETS, help="where the fields of Config get their defaults from")
    train.add_argument("--seconds", type=number(float, 0), help="stop after so many instead of after --steps")
    train.add_argument("--out", type=path, help="the folder to write; left out: a new one below runs/")
    train.add_argument("--resume", action="store_true", help="go on with the run in --out, with its own options")
    train.add_argument("--init-from", type=path, metavar="RUN", help="begin with that run's networks and settings")
    train.add_argument("--allow-changes", action="store_true", help="let --resume change lr, beta1, device, --data ...")
    train.add_argument("--save-every", type=number(int, 1), default=500, help="steps from checkpoint to checkpoint")
    train.add_argument("--keep", type=number(int, 1), help="keep so many numbered ones; repeat it at --resume")
    docs = field_docs()
    for field in fields(Config):
        kind = from_anywhere if field.name == "data" else (get_args(field.type) or (field.type,))[0]
        how = {"action": argparse.BooleanOptionalAction} if kind is bool else {"type": kind}
        option, words = f"--{field.name.replace('_', '-')}", docs[field.name].replace("%", "%%")
        train.add_argument(option, **how, default=argparse.SUPPRESS, help=words)


def path(text: str) -> Path:
    """A path; the shell leaves the ~ in --out=~/runs alone."""
    return Path(os.path.expanduser(text))


def from_anywhere(data: str) -> str:
    """The name of the same data for a process that is started in another folder: its path from the root."""
    kind, _, place = data.partition(":")
    return f"{kind}:{os.path.abspath(path(place))}" if kind in ("folder", "shards") and place else data


def number(kind: type, least: int) -> Callable[[str], float]:
    """A reader of numbers of this kind, from `least` up."""

    def read(text: str) -> float:
        value = kind(text)
        if not least <= value < math.inf:
            raise argparse.ArgumentTypeError(f"must be {least} or more, and {text} is not")
        return value

    read.__name__ = kind.__name__  # for argparse, which says "invalid int value"
    return read


def field_docs() -> dict[str, str]:
    """What `Config` says below each of its fields."""
    body = ast.parse(inspect.getsource(Config)).body[0].body
    pairs = [(field, doc) for field, doc in pairwise(body) if isinstance(field, ast.AnnAssign)]
    return {field.target.id: " ".join(doc.value.value.split()) for field, doc in pairs}
