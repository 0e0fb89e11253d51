"""The lr x beta1 atlas of notebooks/07_training.ipynb: many small runs that differ in these two numbers only.

    make atlas

Writes assets/atlas.csv (FID, attribute values covered and verdict of each run) and assets/atlas.jpg (a tile of 4 x 4
samples each, rows by beta1, columns by lr). Takes about fifteen minutes on one 2.5 GHz core.
"""

import csv
import io
import math
from contextlib import suppress
from pathlib import Path

from PIL import Image

from dcgan_lib.config import Config
from dcgan_lib.data import denormalize, load_images
from dcgan_lib.history import Diverged
from dcgan_lib.images import grid
from dcgan_lib.lab.session import Session
from dcgan_lib.metrics import measure
from dcgan_lib.sampling import sample_latents
from dcgan_lib.trainer import Trainer
from dcgan_lib.utils.console import progress
from dcgan_lib.utils.files import write_file, write_text

LRS = (2e-4, 6e-4, 2e-3, 6e-3, 2e-2, 6e-2)
BETA1S = (0.0, 0.3, 0.5, 0.7, 0.9)
STEPS, SAMPLES, SEED = 300, 2000, 0
ASSETS = Path(__file__).parent.parent / "assets"


def main() -> None:
    begin = Config.laptop(seed=SEED, lr_decay_share=0.0)
    dataset = load_images(begin.data, begin.image_size)
    rows, tiles = [("lr", "beta1", "fid", "covered", "verdict")], []
    for beta1, lr in progress([(beta1, lr) for beta1 in BETA1S for lr in LRS], desc="atlas"):
        session = Session(Trainer(begin.replace(lr=lr, beta1=beta1), dataset))
        with suppress(Diverged):  # a setting of the atlas is allowed to be a bad one
            session.advance(STEPS)
        images = session.trainer.sample(sample_latents(SAMPLES, begin.latent_dim, SEED, "atlas"))
        tiles.append(grid(images[:16], columns=4))
        finite = math.isfinite(images.mean().item())
        found = measure(denormalize(images), dataset) if finite else {"fid": math.nan, "coverage": {}}
        covered = sum(seen for seen, _ in found["coverage"].values())
        rows.append((lr, beta1, f"{found['fid']:.1f}", covered, session.verdict()))
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
