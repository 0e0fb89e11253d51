"""Processes that are killed, at random moments and while they save: the run that comes out is the same."""

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import kills

ROOT = Path(__file__).resolve().parent.parent
# Importing torch takes longer than the runs: one process does it, and each run is a fork of that.
NURSERY = """
import json, os, sys
from dcgan_lib import __main__, commands

for line in sys.stdin:
    sys.argv, os.environ["DCGAN_CACHE"] = json.loads(line)
    child = os.fork()
    if not child:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os._exit(__main__.main())
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""


class Fork:
    """A run that the nursery has made."""

    def __init__(self, nursery: subprocess.Popen, words: list[str], cache: Path) -> None:
        nursery.stdin.write((json.dumps([["dcgan_lib", *words], str(cache)]) + "\n").encode())
        self._output, self._status = nursery.stdout, None  # unbuffered, or select would not see what is in the buffer
        self.pid = int(self._output.readline())

    def poll(self) -> int | None:
        if self._status is None and select.select([self._output], [], [], 0)[0]:
            self.wait()
        return self._status

    def wait(self) -> int:
        self._status = int(self._output.readline()) if self._status is None else self._status
        return self._status


@pytest.fixture
def nursery() -> Iterator[subprocess.Popen]:
    if not hasattr(os, "fork"):
        pytest.skip("this system cannot fork")
    alone = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "bufsize": 0}
    with subprocess.Popen([sys.executable, "-c", NURSERY], env=alone, **pipes) as process:
        yield process
        process.stdin.close()


def test_killed_runs_equal_the_one_that_was_left_alone(tmp_path: Path, album: Path, nursery: subprocess.Popen) -> None:
    counts, wrong = kills.soak(
        6, tmp_path, [f"--data=folder:{album}"], lambda words, cache: Fork(nursery, words, cache), seed=3, steps=60
    )
    assert wrong == []
    assert counts["saving"] >= 1
    assert sum(counts[what] for what in counts if what != "runs") == 6
    assert not list(tmp_path.glob("run*/**/*.dcgan-part"))
