"""What only shows after a while: memory that grows, files that a kill breaks, inputs that nobody thought of.

    make soak HOURS=1 KILLS=50 FUZZ_SECONDS=60

The live lab trains without a browser, tick after tick, as a page that stays open for so long would have it: sliders
move, slow motion goes on and off, and runs are reset. A lab that is made anew is not part of it: ipywidgets keeps every
widget until the kernel ends, and with it the old run (13 MB with the laptop preset). Memory, open figures, threads
and files are measured after a warm-up and at the end. Fails where memory has grown by 50 MB or anything else at all.
"""

import argparse
import gc
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import psutil
import torch

from dcgan_lib.config import Config
from dcgan_lib.data import load_images
from dcgan_lib.lab import training_lab
from dcgan_lib.lab.training_lab import TrainingLab
from dcgan_lib.trainer import Trainer

FOLDER = Path(__file__).parent
WARM_UP, MOST = 0.1, 50  # a share of the time, at least; megabytes
CYCLE = 400  # ticks until a run is reset, as it is about every half a minute


class Held(NamedTuple):
    """What the process holds now."""

    megabytes: float
    figures: int
    threads: int
    files: int


def held() -> Held:
    gc.collect()
    process = psutil.Process()
    handles = process.num_handles() if sys.platform == "win32" else process.num_fds()
    return Held(process.memory_info().rss / 2**20, len(plt.get_fignums()), process.num_threads(), handles)


def tick(lab: TrainingLab, number: int) -> None:
    """One tick of the browser's clock, and now and then what a reader does."""
    place = number % CYCLE
    if place == 0:
        lab.reset()
        lab.play()
    elif place % 50 == 0:
        lab.controls.lr.value = 2e-3 if lab.controls.lr.value < 2e-3 else 1e-3
    lab.slow.value = 300 <= place < 310
    lab._clock.widget.value += 1
    if lab.error:
        raise lab.error


def memory(seconds: float) -> tuple[Held, Held, int]:
    """Train in the live lab for so long: what was held after the warm-up, what at the end, and the steps taken."""
    os.environ.pop("DCGAN_HEADLESS", None)  # or the lab would train in one go, for a still
    torch.set_num_threads(1)
    training_lab.display = lambda shown: None  # nobody looks, and IPython would print it
    config = Config.laptop(device="cpu", precision="float32")
    dataset = load_images(config.data, config.image_size)
    lab = TrainingLab(Trainer(config, dataset))
    lab.show()
    begin, number, steps, first = time.monotonic(), 0, 0, None
    while (passed := time.monotonic() - begin) < seconds:
        before = lab.session.trainer.steps_done
        tick(lab, number)
        steps += max(0, lab.session.trainer.steps_done - before)
        number += 1
        if first is None and passed > WARM_UP * seconds and number > 2 * CYCLE:
            first = held()
            print(f"after {passed / 60:.1f} min and {steps} steps: {first}", flush=True)
    return first or held(), held(), steps


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--fuzz-seconds", type=int, default=60, help="for each target of fuzz.py")
    options = parser.parse_args()
    failed = []
    if options.kills:
        command = [sys.executable, str(FOLDER / "kills.py"), "--kills", str(options.kills)]
        failed += ["kills"] * (subprocess.run(command).returncode != 0)
    if options.fuzz_seconds and (FOLDER / "fuzz.py").exists():
        command = [sys.executable, str(FOLDER / "fuzz.py"), "--seconds", str(options.fuzz_seconds)]
        failed += ["fuzz"] * (subprocess.run(command).returncode != 0)
    if options.hours:
        first, last, steps = memory(options.hours * 3600)
        grown = Held(*(after - before for after, before in zip(last, first, strict=True)))
        print(f"| after {options.hours:g} h, {steps} steps | MB | figures | threads | files |\n|---|---|---|---|---|")
        for name, row in (("warmed up", first), ("at the end", last), ("grown by", grown)):
            print(f"| {name} | {row.megabytes:.1f} | {row.figures} | {row.threads} | {row.files} |")
        if grown.megabytes >= MOST or max(grown[1:]) > 0 or last.figures:
            failed.append("memory")
    print(f"Failed: {', '.join(failed)}." if failed else "All is as it should be.")
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
