"""The verdicts agree with what the pictures of recorded runs were worth, and each threshold is where they say."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from dcgan_lib.config import Config
from dcgan_lib.history import History
from dcgan_lib.metrics.verdict import (
    SAMPLE_EVERY,
    VERDICTS,
    SampleStats,
    advised,
    diversity,
    measure_samples,
    reach_verdict,
)

RUNS = np.load(Path(__file__).parents[2] / "assets" / "judged_runs.npz")
NAMES = sorted({name.partition("|")[0] for name in RUNS})
FINE, BAD = 1.5, 4.0
"""A run's FID over the best one of the same data, seed and step: fine up to the first, and bad above the second."""


def moments(part: str) -> Iterator[tuple[str, float, str]]:
    """For each recorded moment of a part's runs: what it is, its FID over the best one's, and the verdict."""
    for name in NAMES:
        if not name.startswith(part):
            continue
        _, data, seed, _ = name.split(" ", 3)
        peers = [RUNS[f"{peer}|quality"] for peer in NAMES if peer.startswith(f"{part} {data} {seed} ")]
        for moment, (step, fid, _, _) in enumerate(RUNS[f"{name}|quality"]):
            rows = RUNS[f"{name}|history"][: int(step)].astype(np.float32)
            samples = [SampleStats(*row) for row in RUNS[f"{name}|samples"][: int(step) // SAMPLE_EVERY]]
            verdict = reach_verdict(History(torch.from_numpy(rows)), samples)
            best = min(quality[moment, 1] for quality in peers if len(quality) > moment)
            yield f"{name.removeprefix(part).strip()} at {step:.0f}", fid / best, verdict


def wrong(part: str) -> dict[str, str]:
    """The moments whose verdict denies their pictures: balanced and bad, or fine and not balanced."""
    return {
        what: f"{verdict}, {ratio:.2f} times the best FID"
        for what, ratio, verdict in moments(part)
        if (ratio > BAD and verdict == "balanced") or (ratio <= FINE and verdict not in ("balanced", "early"))
    }


@pytest.mark.parametrize("part", ["chosen", "tested"])
def test_recorded_runs(part: str) -> None:
    """Those that the thresholds were chosen on, and as many with other seeds, which nobody looked at before."""
    judged = list(moments(part))
    assert len(judged) == 48
    assert min(sum(ratio > BAD for _, ratio, _ in judged), sum(ratio <= FINE for _, ratio, _ in judged)) >= 12
    assert wrong(part) == {}


def test_taking_the_advice() -> None:
    """Runs that no threshold was chosen on, 300 steps after their verdict: with its advice taken, and as they were."""
    ratios = []
    for name in NAMES:
        if f"{name}|advised" in RUNS and advised(str(RUNS[f"{name}|verdict"]), Config.laptop()):
            ratios.append(RUNS[f"{name}|advised"][1] / RUNS[f"{name}|quality"][-1, 1])
    assert len(ratios) >= 9
    assert np.median(ratios) < 0.85 and min(ratios) < 0.4  # of the FID
    assert max(ratios) < 1.1  # where it does not help it does no harm


def rows(steps: int = 100, d_loss: float = 1.0, g_loss: float = 2.0, d_x: float = 0.7, d_gz: float = 0.3) -> History:
    return History(torch.tensor([d_loss, g_loss, d_x, d_gz, 0.2]).repeat(steps, 1))


def stats(diversity: float = 0.8, change: float = 0.9) -> list[SampleStats]:
    return [SampleStats(0.1, 0.0, 1.5), *[SampleStats(diversity, change, 1.5)] * 2]


@pytest.mark.parametrize(
    ("history", "samples", "verdict"),
    [
        (rows(), stats(), "balanced"),
        (rows(0), [], "early"),
        (rows(74), stats(), "early"),
        (rows(75), stats(), "balanced"),
        (rows(g_loss=49), stats(), "balanced"),
        (rows(g_loss=51), stats(), "diverged"),
        (rows(5, g_loss=float("nan")), [], "diverged"),
        (rows(5, d_loss=float("inf")), [], "diverged"),
        (rows(), stats(0.26, change=0.8), "balanced"),
        (rows(d_loss=0.04), stats(0.24), "collapsing"),
        (rows(d_loss=0.06), stats(), "balanced"),
        (rows(d_loss=0.04), stats(change=2), "d_wins"),
        (rows(d_gz=0.69), stats(), "balanced"),
        (rows(d_gz=0.71), stats(0.1, change=2), "g_wins"),
        (rows(), stats(change=1.24), "balanced"),
        (rows(), stats(change=1.26), "restless"),
        (rows(), stats(0.69, change=0.69), "slow"),
        (rows(), stats(0.71, change=0.69), "balanced"),
        (rows(), stats(0.69, change=0.71), "balanced"),
        (rows(), [SampleStats(0.6, float("nan"), 1.5)], "early"),
        (rows(d_loss=0.04), [SampleStats(0.8, float("nan"), 1.5)], "d_wins"),
        (rows(), [SampleStats(0.8, float("nan"), 1.5), SampleStats(0.8, 1.3, 1.5)], "restless"),
    ],
)
def test_thresholds(history: History, samples: list[SampleStats], verdict: str) -> None:
    assert reach_verdict(history, samples) == verdict


def test_only_the_last_fifty_steps_count() -> None:
    bad, good = rows(60, d_gz=0.95).rows, rows(50).rows
    assert reach_verdict(History(torch.cat([bad, good])), stats()) == "balanced"
    assert reach_verdict(History(torch.cat([good, bad])), stats()) == "g_wins"


def test_measure_samples() -> None:
    images = torch.zeros(4, 1, 2, 2)
    images[0, 0, 0, 0], images[1, 0, 0, 0] = 1.0, -1.0  # one pixel of four differs, with a variance of 2/3
    assert diversity(images) == pytest.approx((2 / 3) ** 0.5 / 4)
    real = 2 * images
    assert measure_samples(images, None, real) == pytest.approx((0.5, float("nan"), 0.5), nan_ok=True)
    change = measure_samples(images + 0.3, images, real).change
    assert change == pytest.approx(0.3 / (2 * (2 / 3) ** 0.5 / 4))  # root mean square


def test_every_notebook_is_there() -> None:
    folder = Path(__file__).parent.parent.parent / "notebooks"
    assert all((folder / f"{verdict.notebook}.ipynb").exists() for verdict in VERDICTS.values())


@pytest.mark.parametrize("kind", VERDICTS)
def test_advice_can_be_taken(kind: str) -> None:
    config = Config.laptop(beta1=0.9, d_steps=5)
    changed = config.replace(**advised(kind, config))
    assert (changed != config) == (kind in ("d_wins", "g_wins", "slow", "restless", "collapsing"))
