"""Who is winning? A verdict on a run, from its own record.

Used by the live lab of notebooks/07_training.ipynb. The thresholds were chosen on recorded runs that were spoiled on
purpose, and are tested on others (benchmarks/judged_runs.py, tests/test_judge.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dcgan_lib.history import History

WINDOW = 50
"""Over how many of the last steps the numbers are averaged."""
EARLY = 75
LOOK_EVERY = 25
"""A look is taken after so many steps."""


class Look(NamedTuple):
    """What the pictures of the fixed z were like at one moment, in units of the real pictures' spread."""

    step: int
    spread: float
    """How much the pictures differ from one another: 0 where all are alike, about 1 where they vary as real ones do."""
    change: float
    """How much they differ from those of the look before."""


@dataclass(frozen=True)
class Verdict:
    """A judgement in plain words."""

    kind: str
    """early, balanced, d_wins, g_wins, restless, collapsing or diverged."""
    sentence: str
    advice: str
    chapter: str
    """The notebook that explains it."""


VERDICTS = {
    verdict.kind: verdict
    for verdict in (
        Verdict("early", "Too early to tell", f"Wait for {EARLY} steps.", "07_training"),
        Verdict("balanced", "Balanced: both players learn", "Let it run; lower lr to polish.", "08_results"),
        Verdict(
            "d_wins",
            "D is far ahead: it is sure of nearly every picture",
            "Watch whether the pictures still improve; if not, lower D's rate or k, or smooth its labels.",
            "06_loss",
        ),
        Verdict(
            "g_wins",
            "G is winning: D takes fakes for real, so what it asks for is worth nothing",
            "Raise D's rate or k.",
            "08_results",
        ),
        Verdict(
            "restless",
            "Restless: every few steps the same z give other pictures, and nothing is refined",
            "Lower lr.",
            "07_training",
        ),
        Verdict(
            "collapsing",
            "Collapsed: different z give nearly the same picture",
            "Take beta1 back to 0.5 and lower lr; if they stay alike, press Reset.",
            "08_results",
        ),
        Verdict(
            "diverged",
            "Diverged: the losses have left every useful range",
            "Press Reset, and lower lr.",
            "06_loss",
        ),
    )
}


def spread(images: Tensor) -> float:
    """The standard deviation of each pixel over the pictures (N, C, H, W), averaged over the pixels."""
    return images.std(0).mean().item()


def look(step: int, images: Tensor, before: Tensor | None, real_spread: float) -> Look:
    """Compare the pictures of the fixed z, (N, C, H, W), with one another and with those of the look before."""
    change = 0.0 if before is None else torch.dist(images, before).item() / images.numel() ** 0.5
    return Look(step, spread(images) / real_spread, change / real_spread)


def judge(history: History, looks: Sequence[Look]) -> Verdict:
    """Judge the last 50 steps of a run.

    The first of these that holds: diverged, when a loss is not finite or the mean g_loss is above 50; early, before
    75 steps; g_wins, when the mean D(G(z)) is above 0.8; collapsing, when the spread is below 0.15, or below 0.4 while
    the mean d_loss is below 0.25; d_wins, when the mean d_loss is below 0.25; restless, when the pictures of the
    fixed z change from look to look by more than 1.5 times the real spread.
    """
    kind = "balanced"
    rows = history.rows[-WINDOW:].numpy()
    d_loss, g_loss, _, d_gz, _ = rows.mean(0) if len(rows) else (0.0,) * 5
    now = looks[-1].spread if looks else 1.0  # nobody has looked yet
    change = np.mean([entry.change for entry in looks[-2:]]) if looks else 0.0
    if not np.isfinite(rows).all() or g_loss > 50:
        kind = "diverged"
    elif len(history) < EARLY:
        kind = "early"
    elif d_gz > 0.8:
        kind = "g_wins"
    elif now < (0.4 if d_loss < 0.25 else 0.15):
        kind = "collapsing"
    elif d_loss < 0.25:
        kind = "d_wins"
    elif change > 1.5:
        kind = "restless"
    return VERDICTS[kind]
