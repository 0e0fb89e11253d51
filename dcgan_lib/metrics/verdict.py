"""Who is winning? A verdict on a run, from its own record.

Used by the live lab of notebooks/07_training.ipynb, and by the command line. The thresholds were chosen on recorded
runs whose FID was measured, so that a run is called balanced where its pictures are, and are tested on other seeds
(benchmarks/judged_runs.py, tests/metrics/test_verdict.py). A discriminator that leads is no fault: on the faces with
k = 5, d_loss is near 0.1 at step 300, and the FID half of the preset's. It has won where d_loss is near 0, as on the
1,797 digits once it knows them by heart.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from dcgan_lib.config import Config
from dcgan_lib.history import History
from dcgan_lib.metrics.scores import detail

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
    notebook: str
    """The notebook that explains it."""


VERDICTS = {
    "early": Verdict("Too early to tell", f"Wait for {EARLY} steps.", "07_training"),
    "balanced": Verdict("Balanced: both players learn", "Let it run; lower lr to polish.", "08_results"),
    "d_wins": Verdict("D has won: it recognises every fake", "Lower D's rate or k, or smooth its labels.", "06_loss"),
    "g_wins": Verdict("D only guesses, so G has nobody to learn from", "Raise D's rate or k.", "06_loss"),
    "slow": Verdict("Slow: the pictures are still alike, and hardly change", "Raise lr.", "07_training"),
    "restless": Verdict("Restless: the same z keep giving other pictures", "Lower lr and beta1.", "07_training"),
    "collapsing": Verdict("Collapsed: all pictures are alike", "Lower beta1 and lr, or press Reset.", "08_results"),
    "diverged": Verdict("Diverged: the losses have left every useful range", "Press Reset, and lower lr.", "06_loss"),
}


def advised(kind: str, config: Config) -> dict[str, Any]:
    """The advice of a verdict as new values of the config's fields; empty where nothing is to be changed."""
    lr, d_lr, beta1 = config.lr, config.d_lr or config.lr, min(config.beta1, 0.3)
    return {
        "d_wins": {"d_lr": d_lr / 3, "d_steps": 1},
        "g_wins": {"d_lr": max(3 * d_lr, lr / 3)},
        "slow": {"lr": 3 * lr, "d_lr": 3 * d_lr},
        "restless": {"lr": lr / 3, "d_lr": d_lr / 3, "beta1": beta1},
        "collapsing": {"lr": lr / 3, "d_lr": d_lr / 3, "beta1": beta1},
    }.get(kind, {})


def diversity(images: Tensor) -> float:
    """The standard deviation of each pixel over the images (N, C, H, W), averaged over the pixels."""
    return images.std(0).mean().item()


def measure_samples(images: Tensor, before: Tensor | None, real: Tensor) -> SampleStats:
    """Compare the images of the fixed z, (N, C, H, W), with one another, with those of 25 steps before, and with real
    ones, (M, C, H, W), all in [-1, 1]. Without those before, the change is nan."""
    unit = diversity(real) or 1.0
    change = float("nan") if before is None else torch.dist(images, before).item() / images.numel() ** 0.5
    return SampleStats(diversity(images) / unit, change / unit, detail(images) / (detail(real) or 1.0))


def reach_verdict(history: History, samples: Sequence[SampleStats]) -> str:
    """The verdict on the last 50 steps of a run, one of the keys of `VERDICTS`.

    The first of these that holds: diverged, when a loss is not finite or the mean g_loss is above 50; early, before
    75 steps; g_wins, when D(G(z)) exceeds D(x); collapsing, when the diversity is below 0.25; d_wins, when the mean
    d_loss is below 0.05; early, when nobody has seen the images of the fixed z change; restless, when they change by
    more than 1.25 times the real diversity within 25 steps; slow, when they change by less than 0.7 times that and
    their diversity is below 0.7; else balanced.
    """
    rows = history.rows[-WINDOW:].numpy()
    d_loss, g_loss, d_x, d_gz, _ = rows.mean(0) if len(rows) else (0.0,) * 5
    variety = samples[-1].diversity if samples else 1.0  # nothing has been measured yet
    changes = [stats.change for stats in samples[-2:] if not np.isnan(stats.change)]
    change = np.mean(changes) if changes else np.nan
    holds = (
        ("diverged", not np.isfinite(rows).all() or g_loss > 50),
        ("early", len(history) < EARLY),
        ("g_wins", d_gz > d_x),
        ("collapsing", variety < 0.25),
        ("d_wins", d_loss < 0.05),
        ("early", np.isnan(change)),
        ("restless", change > 1.25),
        ("slow", change < 0.7 and variety < 0.7),
        ("balanced", True),
    )
    return next(verdict for verdict, true in holds if true)
