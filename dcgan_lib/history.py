"""The record of a run: one row a step."""

import csv
import io

import numpy as np
import torch
from torch import Tensor

COLUMNS = ("d_loss", "g_loss", "d_x", "d_gz_before", "d_gz_after")
"""Both losses, D(x), and D(G(z)) before and after the discriminator's update, each averaged over the batch."""


class History:
    """A table whose first column is `step`; the others are `COLUMNS`, one number each, float32.

    Rows stay on the device where they were made until somebody reads the table: reading waits for the device,
    appending does not.
    """

    def __init__(self, rows: Tensor | None = None) -> None:
        self._table = torch.empty(0, len(COLUMNS)) if rows is None else rows  # with room for rows to come
        self._count = len(self._table)
        self._fresh: list[Tensor] = []

    def append(self, row: Tensor) -> None:
        """Add the next step's row, a float tensor of shape (5,)."""
        self._fresh.append(row)

    @property
    def rows(self) -> Tensor:
        """All rows, float32 (steps, 5), on the CPU; they share memory with the table, which only grows behind them."""
        if self._fresh:
            first, self._count = self._count, len(self)
            if self._count > len(self._table):  # twice the room, or each reading would copy a long run's rows
                room = torch.empty(max(self._count, 2 * len(self._table)), len(COLUMNS))
                room[:first] = self._table[:first]
                self._table = room
            self._table[first : self._count] = torch.stack(self._fresh)
            self._fresh = []
        return self._table[: self._count]

    def __len__(self) -> int:
        return self._count + len(self._fresh)

    def __getitem__(self, column: str) -> np.ndarray:
        """One column as a NumPy array; `step` counts from 1."""
        if column == "step":
            return np.arange(1, len(self) + 1)
        return self.rows[:, COLUMNS.index(column)].numpy()

    def to_csv(self) -> str:
        """The table as CSV text with a header line."""
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(["step", *COLUMNS])
        table.writerows([i, *(f"{value:.6g}" for value in row)] for i, row in enumerate(self.rows.tolist(), start=1))
        return text.getvalue()
