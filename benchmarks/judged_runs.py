"""Records runs whose pictures were measured, for the thresholds of `dcgan_lib.metrics.verdict` and for their test.

    python -m benchmarks.judged_runs            # half an hour on one core
    python -m benchmarks.judged_runs --advice   # a quarter of an hour

The first command writes judged_runs.npz into assets: for each setting and seed the history, the statistics that
a verdict sees, and what the pictures were worth on the way. The second one goes on with the runs that no threshold was
chosen on, once as they are and once with the verdict's advice taken, and adds what that was worth.
"""

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dcgan_lib.config import Config
from dcgan_lib.data import denormalize, load_images
from dcgan_lib.history import Diverged
from dcgan_lib.lab.session import Session
from dcgan_lib.metrics import measure
from dcgan_lib.sampling import sample_latents
from dcgan_lib.trainer import Trainer

FILE = Path(__file__).parent.parent / "assets" / "judged_runs.npz"
MEASURED_AT = (300, 600)
SAMPLES = 2_000
SETTINGS: list[dict[str, Any]] = [
    {},
    *({"lr": lr, "d_lr": lr / 3} for lr in (3e-4, 1e-2, 3e-2, 0.3)),
    *({"beta1": beta1} for beta1 in (0.6, 0.9)),
    *({"d_steps": k} for k in (3, 5)),
    *({"d_lr": d_lr} for d_lr in (2e-5, 2e-4, 1e-2)),
]
CHOSEN_ON, TESTED_ON = [("faces", 0), ("digits", 0)], [("faces", 1), ("digits", 1)]
"""Data and seeds of the runs that thresholds were chosen on, and of those that nobody looked at before."""


def quality(session: Session) -> list[float]:
    """Step, FID of 2,000 samples, attribute values covered, and speckle; a run that is not finite has NaN."""
    trainer = session.trainer
    images = trainer.sample(sample_latents(SAMPLES, trainer.config.latent_dim, trainer.config.seed, "judged"))
    if not images.isfinite().all():
        return [trainer.steps_done, np.nan, np.nan, np.nan]
    found = measure(denormalize(images), trainer.dataset)
    covered = sum(seen for seen, _ in found["coverage"].values())
    return [trainer.steps_done, found["fid"], covered, found["speckle"]]


def begin(data: str, seed: int, changes: dict[str, Any]) -> Session:
    """A fresh run, in a process that uses one thread."""
    torch.set_num_threads(1)
    config = Config.laptop(**{"data": data, "seed": seed, "device": "cpu", **changes})
    return Session(Trainer(config, load_images(config.data, config.image_size)))


def record(data: str, seed: int, changes: dict[str, Any]) -> dict[str, np.ndarray]:
    """A run of 600 steps, with all that a verdict needs at each of them."""
    session, worth = begin(data, seed, changes), []
    with suppress(Diverged):  # some are meant to
        for step in MEASURED_AT:
            session.advance(step - session.trainer.steps_done)
            worth.append(quality(session))
    return {
        "history": session.trainer.history.rows.numpy().astype(np.float16),
        "samples": np.array(session.samples, dtype=np.float32),
        "quality": np.array(worth, dtype=np.float32),
    }


def take_advice(data: str, seed: int, changes: dict[str, Any]) -> dict[str, np.ndarray]:
    """The same run with the verdict's advice of step 300 taken: verdict, and what the pictures are worth at 600."""
    session = begin(data, seed, changes)
    try:
        session.advance(MEASURED_AT[0])
        kind = session.verdict()
        session.steer(**session.advice())
        session.advance(MEASURED_AT[1] - MEASURED_AT[0])
    except Diverged:
        return {}
    return {"verdict": np.array(kind), "advised": np.array(quality(session), dtype=np.float32)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--advice", action="store_true")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    arrays = dict(np.load(FILE)) if options.advice else {}
    groups = {"tested": TESTED_ON} if options.advice else {"chosen": CHOSEN_ON, "tested": TESTED_ON}
    runs = [(part, *run, changes) for part, group in groups.items() for run in group for changes in SETTINGS]
    with ProcessPoolExecutor(options.jobs) as pool:
        found = pool.map(take_advice if options.advice else record, *zip(*(run[1:] for run in runs), strict=True))
        for (part, data, seed, changes), each in zip(runs, found, strict=True):
            name = f"{part} {data} {seed} {json.dumps(changes)}"
            arrays |= {f"{name}|{key}": values for key, values in each.items()}
            print(name, each.get("quality", each.get("advised")), flush=True)
            np.savez_compressed(FILE, **arrays)


if __name__ == "__main__":
    main()
