"""The history is a table of one row a step, whose first column is `step`."""

import csv

import numpy as np
import pytest
import torch

from dcgan_lib.history import COLUMNS, History


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


def test_rows_that_were_read_stay_as_they_are_and_are_not_copied_again() -> None:
    stored = torch.rand(3, 5)
    history, seen, homes = History(stored), [], set()
    for step in range(3, 300):
        history.append(torch.full((5,), float(step)))
        seen.append((history.rows, history.rows.clone()))
        homes.add(history.rows.data_ptr())
    assert all(torch.equal(rows, copy) for rows, copy in seen)
    assert history["d_x"][3:].tolist() == list(range(3, 300))
    assert torch.equal(history.rows[:3], stored)
    assert len(homes) < 10  # 297 readings


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
