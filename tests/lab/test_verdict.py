"""The verdicts agree with runs that were spoiled on purpose, and each threshold is where the docstring says."""

from pathlib import Path

import numpy as np
import pytest
import torch

from dcgan_lib.history import History
from dcgan_lib.lab.verdict import VERDICTS, SampleStats, diversity, measure_samples, reach_verdict

RUNS = np.load(Path(__file__).parent / "judged_runs.npz")
NAMES = sorted({name.rsplit("/", 1)[0] for name in RUNS})
# On the digits the same spoiling did less harm: with k = 5 the generator kept up, and at lr 0.03 the run calmed down.
DISAGREE = {"tested/d_wins/4": "balanced", "tested/restless/10": "balanced"}


def verdict_of(name: str) -> str:
    history = History(torch.from_numpy(RUNS[f"{name}/history"].astype(np.float32)))
    return reach_verdict(history, [SampleStats(*row[1:]) for row in RUNS[f"{name}/looks"]])


def rows(steps: int = 100, d_loss: float = 1.0, g_loss: float = 2.0, d_gz: float = 0.3) -> History:
    return History(torch.tensor([d_loss, g_loss, 0.7, d_gz, 0.2]).repeat(steps, 1))


def stats(diversity: float = 0.6, change: float = 0.9) -> list[SampleStats]:
    return [SampleStats(0.1, 0.0), SampleStats(diversity, change), SampleStats(diversity, change)]


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("chosen")])
def test_runs_that_the_thresholds_were_chosen_on(name: str) -> None:
    assert verdict_of(name) == name.split("/")[1]


def test_held_out_runs() -> None:
    """Thirteen of the fifteen runs that nobody looked at before, and no other disagreement than the two known ones."""
    held_out = [name for name in NAMES if name.startswith("tested")]
    wrong = {name: verdict for name in held_out if (verdict := verdict_of(name)) != name.split("/")[1]}
    assert (len(held_out), wrong) == (15, DISAGREE)


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
        (rows(d_gz=0.79), stats(), "balanced"),
        (rows(d_gz=0.81), stats(0.1), "g_wins"),
        (rows(), stats(0.16), "balanced"),
        (rows(), stats(0.14), "collapsing"),
        (rows(d_loss=0.24), stats(0.39), "collapsing"),
        (rows(d_loss=0.26), stats(0.39), "balanced"),
        (rows(d_loss=0.24), stats(0.41, change=2), "d_wins"),
        (rows(), stats(change=1.49), "balanced"),
        (rows(), stats(change=1.51), "restless"),
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
    assert measure_samples(images, None, real_diversity=0.5) == pytest.approx(((2 / 3) ** 0.5 / 2, 0))
    assert measure_samples(images + 0.3, images, real_diversity=0.5).change == pytest.approx(0.6)  # root mean square


def test_every_chapter_is_there() -> None:
    folder = Path(__file__).parent.parent.parent / "notebooks"
    assert all((folder / f"{verdict.chapter}.ipynb").exists() for verdict in VERDICTS.values())
