"""Trains the generators that come with the project again, from nothing: `make generators`.

Writes NAME.safetensors into assets/generators, in half precision, and README.md beside them, which says how each was
trained, for how long, on what, and how good it is. A run that is stopped goes on from its last checkpoint below
runs/generators. On another machine numbers round differently, so the same command gives another file of like quality.
"""

import argparse
import hashlib
import math
import time
from pathlib import Path

import torch

from benchmarks.tables import machine, table
from dcgan_lib.checkpoint import CHECKPOINT, TRAINED, load_generator, save_generator
from dcgan_lib.config import Config
from dcgan_lib.data import denormalize
from dcgan_lib.metrics import measure
from dcgan_lib.sampling import sample, sample_latents
from dcgan_lib.trainer import Trainer

CONFIGS = {
    "faces64": Config.half_hour(data="faces", device="cpu", steps=12_000),
    "mnist32": Config.laptop(data="mnist", device="cpu", steps=6_000),
}
SAMPLES, SAVE_EVERY = 10_000, 500
HEAD = """# Trained generators

Written by `make generators`, never by hand. `python -m dcgan_lib sample --run faces64 --n 64 --seed 1 --out a.png`
draws from them by name, and in Python `load_generator("faces64")` of `dcgan_lib.checkpoint` loads one. The files hold
the averaged generator in half precision. Figures: `measure` of `dcgan_lib.metrics`, 10,000 samples of the file itself.

"""
HEADER = "name | trained on | steps | CPU minutes | on | FID | covered | speckle | sha256"


def train(name: str, config: Config) -> tuple[Trainer, float]:
    """The finished run, and the CPU seconds that it took; NaN where another process has begun it."""
    path, start = Path("runs/generators") / name / CHECKPOINT, time.process_time()
    whole = not path.exists()
    trainer = Trainer(config) if whole else Trainer.load(path)
    trainer.train(every=SAVE_EVERY, on_progress=lambda trainer: trainer.save(path))
    return trainer, time.process_time() - start if whole else math.nan


def row(name: str, trainer: Trainer, seconds: float) -> tuple[object, ...]:
    """The line of the table about the file of that name."""
    path, dataset = TRAINED / f"{name}.safetensors", trainer.dataset
    generator, config = load_generator(path)
    found = measure(denormalize(sample(generator, sample_latents(SAMPLES, config.latent_dim, 0))), dataset)
    seen, of = (sum(pair[i] for pair in found["coverage"].values()) for i in (0, 1))
    trained_on = f"{config.data}, {config.image_size}x{config.image_size}"
    on, checksum = machine(torch.device("cpu")), hashlib.sha256(path.read_bytes()).hexdigest()
    minutes, quality = f"{seconds / 60:.0f}", (found["fid"], f"{seen} of {of}", found["speckle"])
    return name, trained_on, config.steps, minutes, on, *quality, f"`{checksum}`"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(CONFIGS), metavar="NAME", help="some of them only")
    options = parser.parse_args()
    readme = TRAINED / "README.md"
    lines = readme.read_text().splitlines() if readme.exists() else []
    rows = {line.split(" | ")[0].strip("| "): tuple(line.strip("| ").split(" | ")) for line in lines}
    for name in options.names:
        trainer, seconds = train(name, CONFIGS[name])
        save_generator(TRAINED / f"{name}.safetensors", trainer.best_generator, trainer.config, half=True)
        rows[name] = row(name, trainer, seconds)
        title = "How they were trained"
        readme.write_text(HEAD + table(title, HEADER, [rows[each] for each in CONFIGS if each in rows]))
        print(*rows[name], sep=" | ", flush=True)


if __name__ == "__main__":
    main()
