"""Kills real runs at random moments, goes on with them, and compares the end with a run that was left alone.

    python benchmarks/kills.py --kills 50

A third of the kills hits a save on purpose: it comes as soon as an unfinished file is there. The rest comes at random
moments after the first sign of life, or while Python is still starting. A run that gets to its end is compared, bit for
bit, and the next one begins.
"""

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import torch

from dcgan_lib import checkpoint

ROOT = Path(__file__).resolve().parent.parent
STEPS = 200
SIZES = ["--image-size=16", "--g-width=4", "--d-width=4", "--batch-size=8", "--latent-dim=8"]
PLAIN = ["--precision=float32", "--device=cpu"]
SAVES = ["--save-every=5", "--keep=2"]
MOST_PER_RUN = 8  # kills; then it may get to its end
LONGEST = 0.6  # seconds from the first sign of life to a random kill
PATIENCE = 120  # seconds


class Process(Protocol):
    """As much of `subprocess.Popen` as is needed here."""

    pid: int

    def poll(self) -> int | None: ...

    def wait(self) -> int: ...


Start = Callable[[list[str], Path], Process]


def start_command(words: list[str], cache: Path) -> subprocess.Popen:
    """`python -m dcgan_lib WORDS` with that cache, on one thread."""
    own = {"DCGAN_CACHE": str(cache), "OMP_NUM_THREADS": "1", "DCGAN_HEADLESS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "dcgan_lib", *words]
    return subprocess.Popen(command, env={**os.environ, **own}, stdout=subprocess.DEVNULL)


def differences(a: Path, b: Path) -> list[str]:
    """The files of two runs that are not alike, bit for bit; of checkpoints, what is in them."""
    names = [{path.relative_to(run) for path in run.rglob("*") if path.is_file()} for run in (a, b)]
    found = [str(name) for name in names[0] ^ names[1]]
    for name in names[0] & names[1]:
        if name.suffix == ".safetensors":  # whose notes are in no order
            one, two = (checkpoint.load(run / name) for run in (a, b))
            same = one[1].keys() == two[1].keys() and (one[0], one[2]) == (two[0], two[2])
            if not same or not all(torch.equal(one[1][key], two[1][key]) for key in one[1]):
                found.append(str(name))
        elif name.name != "index.html" and (a / name).read_bytes() != (b / name).read_bytes():  # it names its folder
            found.append(str(name))
    return sorted(found)


def _files(folder: Path, pattern: str = "*") -> set[tuple[str, int]]:
    found = set()
    for path in folder.rglob(pattern):
        try:
            found.add((path.name, path.stat().st_mtime_ns))
        except FileNotFoundError:
            continue
    return found


def _wait_for(process: Process, sign: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while process.poll() is None and not sign() and time.monotonic() < end:
        time.sleep(0.0005)


def _stop_while_saving(process: Process, run: Path, before: set[tuple[str, int]], delay: float) -> None:
    """Halt the process while an unfinished file is there; on a busy machine that takes several attempts."""
    with contextlib.suppress(ProcessLookupError):
        while process.poll() is None:
            _wait_for(process, lambda: _files(run, "*.dcgan-part") - before)
            time.sleep(delay)
            os.kill(process.pid, signal.SIGSTOP)
            time.sleep(0.001)
            if _files(run, "*.dcgan-part") - before:
                return
            os.kill(process.pid, signal.SIGCONT)


def kill(process: Process, run: Path, cache: Path, chance: random.Random) -> str:
    """Kill the process at a random moment; says what it was doing, or "ended" if it was faster."""
    before, way = _files(run), chance.random()
    if way < 0.1:
        time.sleep(chance.uniform(0, 3))
    elif way < 0.2 and not any(cache.glob("*.npy")):
        _wait_for(process, lambda: any(cache.glob("*.dcgan-part")))
        time.sleep(chance.uniform(0, 0.1))
    elif way < 0.55:
        _stop_while_saving(process, run, before, delay=chance.uniform(0, 0.002))
    else:
        _wait_for(process, lambda: _files(run) - before)
        time.sleep(chance.uniform(0, LONGEST))
    if process.poll() is not None:
        return "ended"
    with contextlib.suppress(ProcessLookupError):  # it has ended this moment
        os.kill(process.pid, signal.SIGKILL)
    process.wait()
    if _files(run, "*.dcgan-part") - before:
        return "saving"
    if not any(cache.glob("*.npy")):
        return "starting or caching"
    return "training or between two files" if _files(run) - before else "starting or loading"


def soak(
    kills: int, work: Path, data: list[str], start: Start = start_command, seed: int = 0, steps: int = STEPS
) -> tuple[Counter, list[str]]:
    """Kill so many times; returns how often each thing was interrupted, runs that ended, and what was not as it should.

    Args:
        work: an empty folder.
        data: the words that choose the pictures.
    """
    words = ["train", *data, *SIZES, *PLAIN, *SAVES, f"--steps={steps}"]
    chance, counts, wrong = random.Random(seed), Counter(), []
    whole = work / "whole"
    if start([*words, "--out", str(whole)], work / "cache").wait():
        raise SystemExit("The run that is left alone has failed.")
    done = 0
    while done < kills:
        run, cache = work / f"run {counts['runs']}", work / f"cache {counts['runs']}"
        status, last = None, done + chance.randint(3, MOST_PER_RUN)
        while status is None:
            there = (run / "config.json").exists()
            process = start([*(["train", "--resume", *SAVES] if there else words), "--out", str(run)], cache)
            what = kill(process, run, cache, chance) if done < min(last, kills) else "ended"
            if what == "ended":
                status = process.wait()
            else:
                counts[what] += 1
                done += 1
        counts["runs"] += 1
        wrong += [f"{run.name} left with status {status}"] * bool(status)
        wrong += [f"{run.name}: {name} differs" for name in differences(whole, run)]
        print(f"{run.name}: {done} kills so far, {len(wrong)} differences", flush=True)
    return counts, wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        counts, wrong = soak(options.kills, Path(work), ["--data=digits"], seed=options.seed)
    print(f"\nkills: {options.kills}, in {counts.pop('runs')} runs of {STEPS} steps with a save every 5")
    for what, count in sorted(counts.items()):
        print(f"  {count:4}  while {what}")
    print(*(wrong or ["every run equals the one that was left alone, bit for bit"]), sep="\n")
    return len(wrong)


if __name__ == "__main__":
    sys.exit(main())
