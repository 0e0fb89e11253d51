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
        self._rows = torch.empty(0, len(COLUMNS)) if rows is None else rows
        self._fresh: list[Tensor] = []

    def append(self, row: Tensor) -> None:
        """Add the next step's row, a float tensor of shape (5,)."""
        self._fresh.append(row)

    @property
    def rows(self) -> Tensor:
        """All rows, float32 (steps, 5), on the CPU."""
        if self._fresh:
            self._rows = torch.cat([self._rows, torch.stack(self._fresh).float().cpu()])
            self._fresh = []
        return self._rows

    def __len__(self) -> int:
        return len(self._rows) + len(self._fresh)

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
