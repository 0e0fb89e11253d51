"""The record of a run: one row a step, and the first number in it that is not finite.

Taught in notebooks/06_loss.ipynb.
"""

import io

import numpy as np
import torch
from torch import Tensor, nn

from dcgan_lib.utils.errors import InputError

COLUMNS = ("d_loss", "g_loss", "d_x", "d_gz_before", "d_gz_after")
"""Both losses, D(x), and D(G(z)) before and after the discriminator's update, each averaged over the batch."""


class Diverged(InputError):
    """A loss or a weight is not a finite number, and no further step can mend it."""

    def __init__(self, network: str, when: str, what: str, advice: str) -> None:
        super().__init__(f"The {network} has diverged {when} ({what}), so the run has stopped: {advice}")


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
            self._rows = torch.cat([self._rows, torch.stack(self._fresh).cpu()])
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
        text, table = io.StringIO(), np.column_stack([self["step"], self.rows])
        formats = ["%d"] + ["%.6g"] * len(COLUMNS)
        np.savetxt(text, table, formats, ",", header=",".join(["step", *COLUMNS]), comments="")
        return text.getvalue()

    def require_finite(self, advice: str, last: int = 50) -> None:
        """Look for NaN and infinity in the last rows.

        Args:
            advice: how the sentence of the error ends.

        Raises:
            Diverged: a row is not finite; the error names the first one, and the network that it comes from.
        """
        rows = self.rows[-last:]
        bad = (~rows.isfinite().all(1)).nonzero().flatten().tolist()
        if bad:
            row, step = rows[bad[0]], len(self) - len(rows) + bad[0] + 1
            losses = f"d_loss is {row[0]:.3g}, g_loss is {row[1]:.3g}"
            raise Diverged(_origin(row), f"at step {step}", losses, advice)


def require_finite(step: int, advice: str, **networks: nn.Module) -> None:
    """Raises Diverged where a weight or a running statistic of these networks is not finite."""
    for name, network in networks.items():
        for part, values in network.state_dict().items():
            if not values.isfinite().all():
                raise Diverged(name, f"by step {step}", f"{part} is not finite", advice)


def _origin(row: Tensor) -> str:
    """The network that the first bad number of a step comes from.

    D sees the real images first, and G's before it learns from them. So a bad D(x) is D's, and a bad D(G(z)) is G's
    before D's update, and D's after it.
    """
    d_loss, _, d_x, before, after = row.isfinite().tolist()
    return "generator" if d_x and (not before or (d_loss and after)) else "discriminator"
