"""Numbers that are not finite: at which step they came, and from which network.

Used by `Trainer`.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from dcgan_lib.config import InputError
from dcgan_lib.history import COLUMNS, History

LOOK_EVERY = 50
"""An accelerator's losses are looked at after so many steps, because a look waits for the device; a CPU's always."""


class Diverged(InputError):
    """A loss or a weight is not a finite number, and no further step can mend it."""


class Guard:
    """Stops a run at the first number that is not finite, and knows where to go on.

    Args:
        device: where the run computes.
    """

    def __init__(self, device: torch.device) -> None:
        self._every_step, self._within = device.type == "cpu", False
        self._advice = "there is no checkpoint of it, so start again with a lower lr."

    def before_step(self) -> None:
        """From now on D may have learned and G not yet."""
        self._within = True

    def whole(self, step: int) -> None:
        """Raises InputError where the step after this one was begun and not ended, as an interrupt may leave it."""
        if self._within:
            raise InputError(
                f"Step {step + 1} was interrupted midway, and half a step is nothing to go on from: load the last "
                "checkpoint, or train on."
            )

    def saved(self, path: Path | str, step: int) -> None:
        """There is a good checkpoint now."""
        self._advice = f"go on from its last good checkpoint, {path} of step {step}, with a lower lr."

    def after_step(self, row: Tensor, step: int, history: History) -> None:
        """Raises Diverged where the losses of this step are not finite, on an accelerator those of the last 50."""
        self._within = False
        if self._every_step:
            if not row.isfinite().all():
                self.losses(history)
        elif step % LOOK_EVERY == 0:
            self.losses(history)

    def losses(self, history: History) -> None:
        """Raises Diverged where a row of the last 50 steps is not finite, and names the first."""
        rows = history.rows[-LOOK_EVERY:]
        bad = (~rows.isfinite().all(1)).nonzero().flatten().tolist()
        if bad:
            row, step = rows[bad[0]], len(history) - len(rows) + bad[0] + 1
            numbers = dict(zip(COLUMNS, row.tolist(), strict=True))
            what = ", ".join(f"{name} is {numbers[name]:.3g}" for name in ("d_loss", "g_loss"))
            raise Diverged(self._sentence(_origin(row), f"at step {step}", what))

    def weights(self, step: int, **networks: nn.Module) -> None:
        """Raises Diverged where a weight or a running statistic of these networks is not finite."""
        for name, network in networks.items():
            for part, values in network.state_dict().items():
                if not values.isfinite().all():
                    raise Diverged(self._sentence(name, f"by step {step}", f"{part} is not finite"))

    def _sentence(self, network: str, when: str, what: str) -> str:
        return f"The {network} has diverged {when} ({what}), so the run has stopped: {self._advice}"


def _origin(row: Tensor) -> str:
    """The network that the first bad number of a step comes from.

    D sees the real pictures first, and G's before it learns from them. So a bad D(x) is D's, and a bad D(G(z)) is G's
    before D's update, and D's after it.
    """
    d_loss, _, d_x, before, after = row.isfinite().tolist()
    return "generator" if d_x and (not before or (d_loss and after)) else "discriminator"
