"""The history is a table of one row a step, and the first number that is not finite is named."""

import csv
import re

import numpy as np
import pytest
import torch

from dcgan_lib.history import COLUMNS, Diverged, History, require_finite
from dcgan_lib.networks import Generator

NAN, INF = float("nan"), float("inf")
GOOD = [1.4, 0.7, 0.5, 0.5, 0.4]


def filled(count: int = 3) -> History:
    history = History()
    for step in range(count):
        history.append(torch.arange(5.0) + 10 * step)
    return history


def test_columns() -> None:
    history = filled()
    assert len(history) == 3
    assert history["step"].tolist() == [1, 2, 3]
    for i, name in enumerate(COLUMNS):
        assert history[name].tolist() == [i, 10 + i, 20 + i]
    assert len(history) == 3
    assert history.rows.dtype == torch.float32


def test_reading_in_between_loses_nothing() -> None:
    history = filled(2)
    assert history.rows.shape == (2, 5)
    history.append(torch.full((5,), 7.0))
    assert len(history) == 3
    assert history["g_loss"].tolist() == [1, 11, 7]


def test_goes_on_from_stored_rows() -> None:
    history = History(filled(2).rows)
    history.append(torch.zeros(5))
    assert history["step"].tolist() == [1, 2, 3]


def test_empty() -> None:
    history = History()
    assert (len(history), history.rows.shape, history["d_x"].size) == (0, (0, 5), 0)
    assert history.to_csv() == "step,d_loss,g_loss,d_x,d_gz_before,d_gz_after\n"


def test_csv() -> None:
    history = History(torch.rand(4, 5))
    header, *rows = csv.reader(history.to_csv().splitlines())
    assert header == ["step", *COLUMNS]
    assert [row[0] for row in rows] == ["1", "2", "3", "4"]
    np.testing.assert_allclose(np.array(rows, float)[:, 1:], history.rows, rtol=1e-5)


def test_unknown_column() -> None:
    with pytest.raises(ValueError):
        filled()["loss"]


@pytest.mark.parametrize(
    ("row", "network", "words"),
    [
        ([NAN, NAN, 0.5, NAN, NAN], "generator", "d_loss is nan, g_loss is nan"),
        ([NAN, NAN, NAN, NAN, NAN], "discriminator", "d_loss is nan, g_loss is nan"),
        ([1.4, NAN, 0.5, 0.5, NAN], "discriminator", "d_loss is 1.4, g_loss is nan"),
        ([INF, 0.7, 0.0, 0.5, 0.4], "discriminator", "d_loss is inf, g_loss is 0.7"),
        ([1.4, INF, 0.5, 0.5, 0.0], "generator", "d_loss is 1.4, g_loss is inf"),
    ],
)
def test_step_and_network_of_the_first_bad_number(row: list[float], network: str, words: str) -> None:
    history = History(torch.tensor([GOOD] * 70 + [row, [NAN] * 5]))
    sentence = f"The {network} has diverged at step 71 ({words}), so the run has stopped: try again."
    with pytest.raises(Diverged, match=re.escape(sentence)):
        history.require_finite("try again.")
    History(torch.tensor([[NAN] * 5] + [GOOD] * 50)).require_finite("")  # reported when it was new


@pytest.mark.parametrize("part", ["layers.0.weight", "layers.1.running_mean"])
def test_a_weight_that_is_not_finite(part: str) -> None:
    good, bad = Generator(8, 4, 1, 16), Generator(8, 4, 1, 16)
    require_finite(3, "", generator=good, discriminator=good)
    bad.state_dict()[part][0] = INF
    with pytest.raises(Diverged, match=f"The discriminator has diverged by step 3 \\({part} is not finite\\)"):
        require_finite(3, "", generator=good, discriminator=bad)
