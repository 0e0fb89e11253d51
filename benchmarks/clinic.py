"""The recorded runs of notebook 09, and the trial of its medicines.

    make clinic       # an hour on one core

Writes assets/clinic.npz: for each case of `dcgan_lib.clinic.cases` and three seeds the curves, images at three steps,
the vital signs, FID and coverage of 2,000 samples, and what the lab's verdict says; and for each medicine and five
seeds what became of the sick run that all of them are tried on. A run that is there already is not made again.
"""

import argparse
import io
import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.tables import machine
from dcgan_lib.clinic.cases import CASES, MEDICINES, NAMES, SICK, Loop, loop_with
from dcgan_lib.clinic.loop import changed
from dcgan_lib.clinic.signs import Run, follow
from dcgan_lib.data import denormalize, load_images, normalize
from dcgan_lib.images import grid
from dcgan_lib.metrics import measure
from dcgan_lib.metrics.verdict import SAMPLE_EVERY, measure_samples, reach_verdict
from dcgan_lib.sampling import sample

FILE = Path(__file__).parent.parent / "assets" / "clinic.npz"
STEPS, AT, SAMPLES = 500, (100, 250), 2_000
SEEDS, TRIALS = 3, 5
MEDICINE_STEPS = 400


def record(case: str, seed: int) -> dict[str, np.ndarray]:
    """One run of the ward."""
    return _record(loop_with(*CASES[case].changes), seed, STEPS)


def treat(medicine: str, seed: int) -> dict[str, np.ndarray]:
    """What the vital signs of the sick run are with one medicine."""
    sick = loop_with(*CASES[SICK].changes)
    changes = MEDICINES[medicine]
    found = _record(changed(sick, *changes, **NAMES) if changes else sick, seed, MEDICINE_STEPS)
    return {"signs": found["signs"]}


def _record(loop: Loop, seed: int, steps: int) -> dict[str, np.ndarray]:
    torch.set_num_threads(1)
    data = load_images("faces", 32)
    real, latents, samples, last = normalize(data.images[:512]), [], [], None

    def look(seen: SimpleNamespace) -> None:
        nonlocal last
        latents.append(seen.z)
        if (seen.step + 1) % SAMPLE_EVERY == 0:
            images = sample(seen.generator, torch.cat(latents[:64])[:64])
            samples.append(measure_samples(images, last, real))
            last = images

    run = follow(loop, data, seed, steps, AT, look=look)
    generator = getattr(run.last, "average", run.last.generator)
    fakes = sample(generator, torch.cat(latents)[-SAMPLES:])
    found: dict[str, Any] = {"fid": float("nan"), "covered": 0}
    if fakes.isfinite().all():
        measured = measure(denormalize(fakes), data)
        found = {"fid": measured["fid"], "covered": sum(seen for seen, _ in measured["coverage"].values())}
    signs = {name: float(f"{value:.4g}") for name, value in (run.signs | found).items()}
    return {
        "history": run.history.rows.numpy().astype(np.float16),
        "pictures": _jpeg(run),
        "signs": np.array(json.dumps(signs)),
        "verdict": np.array(reach_verdict(run.history, samples)),
    }


def _jpeg(run: Run) -> np.ndarray:
    """The images of all steps below each other, as the bytes of a JPEG file."""
    file = io.BytesIO()
    picture: Image.Image = grid(torch.cat(list(run.pictures.values())), columns=8)
    picture.save(file, format="JPEG", quality=85)
    return np.frombuffer(file.getvalue(), dtype=np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2, help="how many runs at once")
    options = parser.parse_args()
    torch.set_num_threads(1)
    arrays = dict(np.load(FILE)) if FILE.exists() else {}
    work = [(record, f"case|{case}|{seed}", case, seed) for seed in range(SEEDS) for case in CASES]
    work += [(treat, f"medicine|{name}|{seed}", name, seed) for seed in range(TRIALS) for name in MEDICINES]
    missing = [job for job in work if f"{job[1]}|signs" not in arrays]
    arrays["machine"] = np.array(machine(torch.device("cpu")))
    with ProcessPoolExecutor(options.jobs) as pool:
        for job, found in zip(missing, pool.map(_do, missing), strict=True):
            arrays |= {f"{job[1]}|{key}": value for key, value in found.items()}
            np.savez_compressed(FILE, **arrays)
            print(job[1], found["signs"], flush=True)


def _do(job: tuple) -> dict[str, np.ndarray]:
    return job[0](*job[2:])


if __name__ == "__main__":
    main()
