"""Records runs that were spoiled on purpose, for the thresholds of `dcgan_lib.lab.verdict` and for their test.

    python benchmarks/judged_runs.py

Writes tests/lab/judged_runs.npz: for each run its history and the statistics of its samples. Takes about six minutes on
one 2.5 GHz core.
"""

from contextlib import suppress
from pathlib import Path

import numpy as np

from dcgan_lib.config import Config
from dcgan_lib.data.loading import load_images
from dcgan_lib.history import Diverged
from dcgan_lib.lab.session import Session
from dcgan_lib.trainer import Trainer
from dcgan_lib.utils.console import progress

STEPS = 150
FILE = Path(__file__).parent.parent / "tests" / "lab" / "judged_runs.npz"
CHOSEN_ON = [  # the thresholds were chosen while looking at these
    ("balanced", {}),
    ("balanced", {"lr": 1e-3, "seed": 1}),
    ("d_wins", {"d_steps": 5}),
    ("d_wins", {"d_steps": 3, "seed": 1}),
    ("g_wins", {"d_lr": 2e-5}),
    ("g_wins", {"d_lr": 4e-5, "seed": 1}),
    ("restless", {"lr": 0.03}),
    ("restless", {"lr": 0.02, "seed": 1}),
    ("collapsing", {"beta1": 0.9}),
    ("collapsing", {"d_lr": 2e-4, "seed": 1}),
    ("diverged", {"lr": 0.5}),
    ("diverged", {"lr": 1.0, "seed": 1}),
]
TESTED_ON = [  # nobody looked at these before the thresholds stood
    ("balanced", {"seed": 2}),
    ("balanced", {"seed": 3, "lr": 1.5e-3}),
    ("balanced", {"seed": 2, "data": "digits"}),
    ("d_wins", {"seed": 2, "d_steps": 4}),
    ("d_wins", {"seed": 2, "d_steps": 5, "data": "digits"}),
    ("g_wins", {"seed": 2, "d_lr": 1e-5}),
    ("g_wins", {"seed": 3, "d_lr": 3e-5}),
    ("g_wins", {"seed": 2, "d_lr": 2e-5, "data": "digits"}),
    ("restless", {"seed": 2, "lr": 0.03}),
    ("restless", {"seed": 3, "lr": 0.025}),
    ("restless", {"seed": 2, "lr": 0.03, "data": "digits"}),
    ("collapsing", {"seed": 2, "beta1": 0.92}),
    ("collapsing", {"seed": 3, "d_lr": 1.5e-4}),
    ("diverged", {"seed": 2, "lr": 0.7}),
    ("diverged", {"seed": 3, "lr": 0.5, "data": "digits"}),
]


def main() -> None:
    arrays = {}
    for part, runs in (("chosen", CHOSEN_ON), ("tested", TESTED_ON)):
        for number, (kind, changes) in enumerate(progress(runs, desc=part)):
            config = Config.laptop(**changes)
            session = Session(Trainer(config, load_images(config.data, config.image_size, config.channels)))
            with suppress(Diverged):  # some are meant to
                session.advance(STEPS)
            name = f"{part}/{kind}/{number}"
            arrays[f"{name}/history"] = session.trainer.history.rows.numpy().astype(np.float16)
            arrays[f"{name}/looks"] = np.array(session.samples, dtype=np.float32)
            print(name, changes, session.verdict(), flush=True)
    np.savez_compressed(FILE, **arrays)


if __name__ == "__main__":
    main()
