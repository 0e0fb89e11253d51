"""Which numbers the `laptop` preset should have: several settings, several seeds each, on faces and MNIST.

    python -m benchmarks.presets --seeds 5

Each run is a process of its own with one thread. Writes presets.json beside this file, where a run that is there
already is not made again, and prints the table of RESULTS.md (`python -m benchmarks.bench --only i` puts it there).
"""

import argparse
import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.tables import machine, table
from dcgan_lib.config import Config
from dcgan_lib.data import denormalize, load_images
from dcgan_lib.metrics import measure
from dcgan_lib.sampling import sample_latents
from dcgan_lib.trainer import Trainer

FILE = Path(__file__).with_suffix(".json")
SAMPLES = 10_000
SETTINGS: dict[str, dict[str, Any]] = {
    "laptop": {},
    "one learning rate": {"lr": 2e-3, "d_lr": None, "d_width": 28, "lr_decay_share": 0.5, "steps": 1700},
    "not averaged": {"ema_decay": 0.0},
    "beta1 0.5": {"beta1": 0.5},
    "D of width 16": {"d_width": 16},
    "the whole run decays": {"lr_decay_share": 1.0},
    "the last 30 % decay": {"lr_decay_share": 0.3},
    "float32": {"precision": "float32"},
    "before averaging": {
        "g_width": 32, "d_width": 16, "lr": 2e-3, "d_lr": None, "beta1": 0.5, "lr_decay_share": 0.3, "ema_decay": 0.0,
        "steps": 1200,
    },
}  # fmt: skip
"""What differs from `Config.laptop`."""


def run(config: Config) -> dict[str, Any]:
    """Train, and measure what came of it."""
    torch.set_num_threads(1)
    dataset = load_images(config.data, config.image_size)
    trainer, start = Trainer(config, dataset), time.process_time()
    trainer.train()
    seconds = time.process_time() - start
    fake = denormalize(trainer.sample(sample_latents(SAMPLES, config.latent_dim, config.seed, "presets")))
    found = measure(fake, dataset)
    return {
        "seconds": round(seconds, 1),
        "fid": found["fid"],
        "speckle": found["speckle"],
        "covered": [sum(pair[i] for pair in found["coverage"].values()) for i in (0, 1)],
    }


def configs(seeds: int) -> dict[str, Config]:
    """Every run, under a name that says what it is."""
    runs = {}
    for name, changes in SETTINGS.items():
        for data in ("faces", "mnist"):
            for seed in range(seeds if data == "faces" or not changes else 0):
                runs[f"{name}, {data}, seed {seed}"] = Config.laptop(data=data, seed=seed, device="cpu", **changes)
    return runs


def report(_config: Config) -> str:
    """(i) The finalists, as the last run of this script left them; empty where it never ran on this machine."""
    result = json.loads(FILE.read_text()) if FILE.exists() else {}
    runs = result.get(machine(torch.device("cpu")), {})
    if not runs:
        return ""
    rows = []
    for name in dict.fromkeys(run.rpartition(", seed")[0] for run in runs):
        each = [found for run, found in runs.items() if run.startswith(f"{name}, seed")]
        seconds, fids, speckles = ([found[key] for found in each] for key in ("seconds", "fid", "speckle"))
        spread = [f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})" for values in (fids, speckles)]
        rows.append(
            (name, *spread, "{} of {}".format(*min(found["covered"] for found in each)), f"{median(seconds):.0f}")
        )
    header = "settings | FID, median (range) | speckle, median (range) | covered by the worst seed | CPU seconds"
    return table("(i) Finalists of the laptop preset", header, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2, help="how many runs at once")
    options = parser.parse_args()
    torch.set_num_threads(1)
    result = json.loads(FILE.read_text()) if FILE.exists() else {}
    mine = result.setdefault(machine(torch.device("cpu")), {})
    missing = {name: config for name, config in configs(options.seeds).items() if name not in mine}
    with ProcessPoolExecutor(options.jobs) as pool:
        for name, found in zip(missing, pool.map(run, missing.values()), strict=True):
            mine[name] = found
            FILE.write_text(json.dumps(result, indent=1) + "\n")
            print(name, found, file=sys.stderr, flush=True)
    print(report(Config()))


if __name__ == "__main__":
    main()
