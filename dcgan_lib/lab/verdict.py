"""Who is winning? A verdict on a run, from its own record.

Used by the live lab of notebooks/07_training.ipynb. The thresholds were chosen on recorded runs that were spoiled on
purpose, and are tested on others (benchmarks/judged_runs.py, tests/lab/test_verdict.py).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from dcgan_lib.config import Config
from dcgan_lib.history import History
from dcgan_lib.metrics import detail

WINDOW = 50
"""Over how many of the last steps the numbers are averaged."""
EARLY = 75
"""So many steps are needed for a verdict."""
SAMPLE_EVERY = 25
"""The images of the fixed z are measured after so many steps."""


class SampleStats(NamedTuple):
    """What the raw generator's images of the fixed z were like at one step, compared with real images."""

    diversity: float
    """How much the images differ from one another: 0 where all are alike, about 1 where they vary as real ones do."""
    change: float
    """How much they differ from those of 25 steps before, in units of the real images' diversity."""
    speckle: float
    """How noisy they are: 1 is as smooth as real images (`metrics.speckle`)."""


class Verdict(NamedTuple):
    """A judgement in plain words."""

    sentence: str
    advice: str
    chapter: str
    """The notebook that explains it."""


VERDICTS = {
    "early": Verdict("Too early to tell", f"Wait for {EARLY} steps.", "07_training"),
    "balanced": Verdict("Balanced: both players learn", "Let it run; lower lr to polish.", "08_results"),
    "d_wins": Verdict("D is sure of nearly every picture", "Lower D's rate or k, or smooth its labels.", "06_loss"),
    "g_wins": Verdict("G is winning: D takes fakes for real", "Raise D's rate or k.", "08_results"),
    "restless": Verdict("Restless: the same z keep giving other pictures", "Lower lr.", "07_training"),
    "collapsing": Verdict("Collapsed: all pictures are alike", "Lower beta1 and lr, or press Reset.", "08_results"),
    "diverged": Verdict("Diverged: the losses have left every useful range", "Press Reset, and lower lr.", "06_loss"),
}


def advised(kind: str, config: Config) -> dict[str, Any]:
    """The advice of a verdict as new values of the config's fields; empty where nothing is to be changed."""
    lr, d_lr = config.lr, config.d_lr or config.lr
    return {
        "d_wins": {"d_lr": d_lr / 3, "d_steps": 1},
        "g_wins": {"d_lr": lr},
        "restless": {"lr": lr / 3, "d_lr": d_lr / 3},
        "collapsing": {"lr": lr / 3, "d_lr": d_lr / 3, "beta1": min(config.beta1, 0.5)},
    }.get(kind, {})


def diversity(images: Tensor) -> float:
    """The standard deviation of each pixel over the images (N, C, H, W), averaged over the pixels."""
    return images.std(0).mean().item()


def measure_samples(images: Tensor, before: Tensor | None, real: Tensor) -> SampleStats:
    """Compare the images of the fixed z, (N, C, H, W), with one another, with those of 25 steps before, and with real
    ones, (M, C, H, W), all in [-1, 1]."""
    unit = diversity(real) or 1.0
    change = 0.0 if before is None else torch.dist(images, before).item() / images.numel() ** 0.5
    return SampleStats(diversity(images) / unit, change / unit, detail(images) / (detail(real) or 1.0))


def reach_verdict(history: History, samples: Sequence[SampleStats]) -> str:
    """The verdict on the last 50 steps of a run, one of the keys of `VERDICTS`.

    The first of these that holds: diverged, when a loss is not finite or the mean g_loss is above 50; early, before
    75 steps; g_wins, when the mean D(G(z)) is above 0.8; collapsing, when the diversity is below 0.15, or below 0.4
    while the mean d_loss is below 0.25; d_wins, when the mean d_loss is below 0.25; restless, when the images of the
    fixed z change within 25 steps by more than 1.5 times the real diversity; else balanced.
    """
    rows = history.rows[-WINDOW:].numpy()
    d_loss, g_loss, _, d_gz, _ = rows.mean(0) if len(rows) else (0.0,) * 5
    variety = samples[-1].diversity if samples else 1.0  # nothing has been measured yet
    change = np.mean([stats.change for stats in samples[-2:]]) if samples else 0.0
    holds = {
        "diverged": not np.isfinite(rows).all() or g_loss > 50,
        "early": len(history) < EARLY,
        "g_wins": d_gz > 0.8,
        "collapsing": variety < (0.4 if d_loss < 0.25 else 0.15),
        "d_wins": d_loss < 0.25,
        "restless": change > 1.5,
        "balanced": True,
    }
    return next(verdict for verdict, true in holds.items() if true)
