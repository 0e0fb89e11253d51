"""The command line: `python -m dcgan_lib train | sample | evaluate`, options generated from `Config`.

With --traceback among the words, an error shows where it happened instead of one sentence.
"""

import argparse
import contextlib
import io
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from dcgan_lib import checkpoint
from dcgan_lib.config import PRESETS, InputError, default_preset, load_config
from dcgan_lib.data import denormalize, load_pictures
from dcgan_lib.grids import save_grid
from dcgan_lib.metrics import measure
from dcgan_lib.runs import GENERATOR, RunFolder
from dcgan_lib.sampling import draw_z, sample
from dcgan_lib.train import Train
from dcgan_lib.writing import write_file

COMMANDS = ("train", "sample", "evaluate")
MOST = 1_000_000
"""Pictures at once; they have to fit into the memory."""


@dataclass
class Sample:
    """Draw pictures from a trained generator."""

    run: Path
    """The folder that train wrote."""
    out: Path
    """samples.npy (uint8, N x C x H x W) or, with the suffix .png, a grid of pictures."""
    n: int = 64
    """How many."""
    seed: int = 0
    """Same seed, same pictures."""

    def __post_init__(self) -> None:
        if not 1 <= self.n <= MOST:
            raise InputError(f"--n must be from 1 to {MOST}, and {self.n} is not: change its value.")
        if self.out.suffix not in (".npy", ".png"):
            raise InputError(f"--out must end in .npy or .png, and {self.out} does not: change its value.")

    def main(self) -> None:
        generator, config = checkpoint.load_generator(self.run / GENERATOR)
        images = denormalize(sample(generator, draw_z(self.n, config.latent_dim, self.seed)))
        if self.out.suffix == ".png":
            save_grid(self.out, images, columns=max(1, round(self.n**0.5)))
        else:
            write_file(self.out, lambda file: np.save(file, images.numpy()))
        print(self.out)


@dataclass
class Evaluate:
    """Measure a run against its own data: FID, mode coverage and what a classifier thinks; one line of JSON."""

    run: Path
    """The folder that train wrote."""
    data: str | None = None
    """The pictures, where they have another name or place than when the run began."""
    n: int = 10_000
    """How many pictures to draw; at least 129, better 10,000."""
    seed: int = 0
    """Same seed, same pictures."""

    def __post_init__(self) -> None:
        if not 129 <= self.n <= MOST:
            raise InputError(
                f"--n must be at least 129, one more than there are features, and at most {MOST}, and {self.n} is "
                "not: change its value."
            )

    def main(self) -> None:
        generator, config = checkpoint.load_generator(self.run / GENERATOR)
        fake = denormalize(sample(generator, draw_z(self.n, config.latent_dim, self.seed)))
        data = self.data or config.data
        pictures = load_pictures(data, config.image_size, config.channels).in_memory()
        print(json.dumps({"run": str(self.run), "data": data, **measure(fake, pictures)}))


def parse(args: list[str]) -> Train | Sample | Evaluate:
    """The command that the words ask for, with its options.

    Raises:
        InputError: an option is unknown, missing or out of range.
        SystemExit: with status 0 after --help.
    """
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    early.add_argument("--preset", choices=PRESETS)  # what the other options' defaults depend on
    early.add_argument("--resume", action="store_true")
    early.add_argument("--out", type=Path)
    try:
        known, _ = early.parse_known_args(args)
    except argparse.ArgumentError as error:
        raise InputError(f"{error}.") from error
    if known.resume and not known.out:
        raise InputError("--resume needs the folder of the run to go on with: add --out.")
    if known.resume and known.preset:
        raise InputError("--resume goes on with the run's own options, so --preset has no effect: leave it out.")
    if args and not args[0].startswith("-") and args[0] not in COMMANDS:
        raise InputError(f"There is no command {args[0]!r}: choose one of {', '.join(COMMANDS)}.")
    config = RunFolder(known.out).config() if known.resume else load_config(known.preset)
    commands = (
        Annotated[Train, tyro.conf.subcommand("train", default=Train(config, preset=known.preset or default_preset()))]
        | Annotated[Sample, tyro.conf.subcommand("sample")]
        | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
    )
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(commands, prog="python -m dcgan_lib", description=__doc__, args=args)
    except SystemExit as stop:
        if stop.code == 0:
            raise
        raise InputError(f"{_sentence(said.getvalue())} Add --help to see the options.") from None


def _sentence(box: str) -> str:
    """The first paragraph of tyro's message, framed or (where stdout is not UTF-8) not, on one line."""
    lines = [line.strip("│ ") for line in box.splitlines()[1:]]  # the first is a title
    paragraphs = re.split(r"^[-─╰╯]+$", "\n".join(lines), flags=re.MULTILINE)
    text = " ".join(next(filter(str.strip, paragraphs), "").split())
    if text.startswith("Missing from"):
        text = f"Missing: {' and '.join(re.findall(r'--[a-z-]+ PATH', text))}"
    for kind, words in (
        ("whole number", r"invalid literal for int\(\) with base 10"),
        ("number", "could not convert .*"),
    ):
        text = re.sub(rf"^Error parsing (--\S+): {words}: ", rf"\1 must be a {kind}, and this is not: ", text)
    return re.sub(r"^Error parsing (?!--)\S+: ", "", text).rstrip(".") + "."
