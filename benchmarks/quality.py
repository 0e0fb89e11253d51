"""Time to quality: how long the laptop preset needs for what the textbook loop reaches in ten minutes, on MNIST.

    python -m benchmarks.quality --seeds 5

Writes quality.json beside this file; `make bench` puts it into RESULTS.md. The textbook loop is the
paper's size with batches of 64, float32, BCELoss on a sigmoid. How many steps it does in ten minutes is measured with
the loop itself; the steps are then taken in a faster order (cached pictures, no gradient that is thrown away, fused
Adam, channels_last; float32 and BCELoss stay), which gives the same losses within rounding: see
tests/speed/test_textbook_loop.py.

FID: 10,000 samples against 10,000 pictures, both shrunk to 32x32, features of one classifier.
"""

import argparse
import json
import math
import time
from pathlib import Path
from statistics import median

import torch

from benchmarks.tables import machine, table
from dcgan_lib.config import Config
from dcgan_lib.data import ImageDataset, denormalize, load_images
from dcgan_lib.metrics.classifier import Classifier, classify, load_classifier
from dcgan_lib.metrics.scores import fid
from dcgan_lib.sampling import sample, sample_latents
from dcgan_lib.speed.textbook_loop import TEXTBOOK, LoopOptions, TextbookLoop
from dcgan_lib.trainer import Trainer
from dcgan_lib.utils.console import progress
from dcgan_lib.utils.device import choose_device

MINUTES = 10
SAMPLES = 10_000
LOST = 1e-6  # D(G(z)), averaged over the last 20 steps: BCELoss has no gradient left there
QUICK = LoopOptions(cached=True, no_item_sync=True, frozen_discriminator=True, fused=True, channels_last=True)
FILE = Path(__file__).with_suffix(".json")


class Judge:
    """FID of generators against the same pictures, with the same features."""

    def __init__(self, classifier: Classifier, dataset: ImageDataset) -> None:
        self.classifier = classifier
        self.real, _ = classify(classifier, dataset.images[:SAMPLES])

    def __call__(self, generator: torch.nn.Module, latent_dim: int) -> float:
        fake = denormalize(sample(generator, sample_latents(SAMPLES, latent_dim, seed=0)))
        return round(fid(self.real, classify(self.classifier, fake)[0]), 3)


def originals(name: str) -> torch.Tensor:
    """The digits as the files hold them, uint8 (N, 1, 28, 28)."""
    return load_images(name, 28).images


def textbook_seconds(config: Config, dataset: ImageDataset, steps: int = 30) -> float:
    """Seconds a step of the textbook loop takes, workers and all."""
    loop = TextbookLoop(TEXTBOOK, config, dataset, originals(config.data))
    loop.step()
    start = time.perf_counter()
    for _ in range(steps):
        loop.step()
    return (time.perf_counter() - start) / steps


def textbook(config: Config, dataset: ImageDataset, judge: Judge, steps: int) -> dict:
    loop = TextbookLoop(QUICK, config, dataset)
    seen = []
    for _ in progress(range(steps), desc=f"textbook, seed {config.seed}"):
        seen.append(loop.step()[4].item())
    last = sum(seen[-20:]) / len(seen[-20:])
    return {"seed": config.seed, "fid": judge(loop.generator, config.latent_dim), "lost": last < LOST}


def laptop(config: Config, dataset: ImageDataset, judge: Judge, every: int) -> dict:
    """A whole run; FID every so many steps, off the clock."""
    trainer, seconds, curve = Trainer(config, dataset), 0.0, []
    while trainer.steps_done < config.steps:
        start = time.perf_counter()
        trainer.train(every)
        seconds += time.perf_counter() - start
        value = judge(trainer.generator, config.latent_dim)
        curve.append({"step": trainer.steps_done, "seconds": round(seconds, 2), "fid": value})
    lost = trainer.history["d_gz_after"][-20:].mean() < LOST
    return {"seed": config.seed, "curve": curve, "lost": bool(lost)}


def report(config: Config) -> str:
    """(h) Time to quality, as the last run of this script left it; empty where it never ran on this machine."""
    result = json.loads(FILE.read_text()) if FILE.exists() else {}
    if result.get("machine") != machine(choose_device(config.device)):
        return ""
    theirs, ours = result["textbook"], result["laptop"]
    steps, seconds = result["textbook_steps"], result["textbook_steps"] * result["textbook_step"]
    goal = median([run["fid"] for run in theirs if not run["lost"]] or [run["fid"] for run in theirs])
    reached = [next((p["seconds"] for p in run["curve"] if p["fid"] <= goal), math.inf) for run in ours]
    lost = [f"{sum(run['lost'] for run in side)} of {len(side)}" for side in (theirs, ours)]
    rows = [
        ("steps", f"{steps}, which take {seconds / 60:.1f} min", ours[0]["curve"][-1]["step"]),
        ("FID then", *(", ".join(f"{f:.2f}" for f in side) for side in (
            [run["fid"] for run in theirs], [run["curve"][-1]["fid"] for run in ours]))),
        (f"seconds until FID {goal:.2f}", f"{seconds:.0f}", ", ".join(f"{s:.1f}" for s in reached)),
        ("ratio of the medians", f"{seconds / median(reached):.0f}", 1),
        ("generators lost for good", *lost),
        ("FID of the same seeds in float32", "", ", ".join(f"{r['curve'][-1]['fid']:.2f}" for r in result["float32"])),
    ]  # fmt: skip
    return table(f"(h) Time to quality on MNIST, seeds 0 to {len(ours) - 1}", "what | textbook | laptop preset", rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--data", default="mnist")
    options = parser.parse_args()
    large, small = (load_images(options.data, size) for size in (64, 32))
    paper = Config(data=options.data, batch_size=64, channels=large.channels, device="cpu")
    classifier = load_classifier(small)
    result = json.loads(FILE.read_text()) if FILE.exists() else {}
    if "textbook_step" not in result:
        result["textbook_step"] = textbook_seconds(paper, large)
        result["textbook_steps"] = int(MINUTES * 60 / result["textbook_step"])
    result.setdefault("machine", machine(choose_device(paper.device)))
    steps = result["textbook_steps"]
    FILE.write_text(json.dumps(result, indent=1) + "\n")
    judge_large, judge_small = Judge(classifier, large), Judge(classifier, small)
    preset = Config.laptop(data=options.data, device="cpu")
    full = preset.replace(precision="float32")
    sides = {
        "laptop": lambda seed: laptop(preset.replace(seed=seed), small, judge_small, every=50),
        "float32": lambda seed: laptop(full.replace(seed=seed), small, judge_small, every=full.steps),
        "textbook": lambda seed: textbook(paper.replace(seed=seed), large, judge_large, steps),
    }
    for side, run in sides.items():
        for seed in range(len(result.setdefault(side, [])), options.seeds):
            result[side].append(run(seed))
            FILE.write_text(json.dumps(result, indent=1) + "\n")
            print(side, result[side][-1], flush=True)


if __name__ == "__main__":
    main()
