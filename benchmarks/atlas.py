"""The lr x beta1 atlas of notebooks/07_training.ipynb: small runs that differ in these two numbers and the seed only.

    make atlas

Writes assets/atlas.csv (FID and attribute values covered, for every run and for two yardsticks) and assets/atlas.jpg (a
tile of 4 x 4 samples of seed 0 for every pair, rows by beta1, columns by lr). A run is the `laptop` preset at half its
length, so its learning rate falls to 0, too. Takes three quarters of an hour on one core.
"""

import csv
import io
import math
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from dcgan_lib.config import Config
from dcgan_lib.data import denormalize, faces, load_images
from dcgan_lib.history import Diverged
from dcgan_lib.images import grid
from dcgan_lib.metrics import measure
from dcgan_lib.sampling import sample_latents
from dcgan_lib.trainer import Trainer
from dcgan_lib.utils.console import progress
from dcgan_lib.utils.files import write_file, write_text

LRS = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
BETA1S = (0.0, 0.3, 0.5, 0.9)
SEEDS, SAMPLES = 3, 2000
PRESET = Config.laptop(device="cpu")
ASSETS = Path(__file__).parent.parent / "assets"


def run(beta1: float, lr: float, seed: int) -> tuple[float, int, Image.Image]:
    """FID, values covered, and sixteen samples; the discriminator's rate keeps its ratio to the generator's."""
    torch.set_num_threads(1)
    d_lr = PRESET.d_lr and PRESET.d_lr / PRESET.lr * lr
    config = PRESET.replace(lr=lr, d_lr=d_lr, beta1=beta1, seed=seed, steps=PRESET.steps // 2)
    trainer = Trainer(config)
    with suppress(Diverged):  # a setting of the atlas is allowed to be a bad one
        trainer.train()
    images = trainer.sample(sample_latents(SAMPLES, config.latent_dim, seed, "atlas"))
    return *judge(images), grid(images[:16], columns=4)


def judge(images: Tensor) -> tuple[float, int]:
    """FID against the faces, and how many attribute values occur; NaN and 0 where the images are not finite."""
    if not math.isfinite(images.mean().item()):
        return math.nan, 0
    found = measure(denormalize(images), load_images(PRESET.data, PRESET.image_size))
    return found["fid"], sum(seen for seen, _ in found["coverage"].values())


def main() -> None:
    torch.set_num_threads(1)
    others = faces.paint(1, torch.arange(SAMPLES), PRESET.image_size) / 127.5 - 1
    noise = torch.rand(others.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    rows = [("lr", "beta1", "seed", "fid", "covered")]
    for name, images in (("other faces", others), ("noise", noise)):
        fid, covered = judge(images)
        rows.append((name, "", "", f"{fid:.1f}", covered))
    runs = [(beta1, lr, seed) for beta1 in BETA1S for lr in LRS for seed in range(SEEDS)]
    tiles = []
    with ProcessPoolExecutor(2) as pool:
        found = pool.map(run, *zip(*runs, strict=True))
        for (beta1, lr, seed), (fid, covered, tile) in zip(progress(runs, desc="atlas"), found, strict=True):
            rows.append((lr, beta1, seed, f"{fid:.1f}", covered))
            tiles += [tile] if seed == 0 else []
    width, height = tiles[0].size
    strip = Image.new("RGB", (width * len(LRS), height * len(BETA1S)))
    for i, tile in enumerate(tiles):
        strip.paste(tile, (i % len(LRS) * width, i // len(LRS) * height))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    write_text(ASSETS / "atlas.csv", text.getvalue())
    write_file(ASSETS / "atlas.jpg", lambda file: strip.save(file, format="JPEG", quality=88))


if __name__ == "__main__":
    main()
