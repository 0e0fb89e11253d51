"""Several processes on one machine: the same run as one process, and one clear sentence when one of them is lost."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from dcgan_lib import parallel
from dcgan_lib.config import InputError
from dcgan_lib.networks import Generator

ROOT = Path(__file__).resolve().parent.parent
SMALL = ["--data=digits", "--image-size=16", "--g-width=8", "--d-width=8", "--batch-size=16", "--latent-dim=8"]
PLAIN = ["--precision=float32", "--device=cpu", "--lr=2e-4"]
SENDS_A_SIGNAL = """
import os, signal, sys
import torch.distributed as dist
from dcgan_lib import __main__
from dcgan_lib.trainer import Trainer

step, (process, name, to) = Trainer.step, sys.argv[1:4]
del sys.argv[1:4]

def sends(trainer, *options):
    if trainer.steps_done == 7 and dist.get_rank() == int(process):
        os.kill(os.getppid() if to == "torchrun" else os.getpid(), signal.Signals[name])
    return step(trainer, *options)

Trainer.step = sends
sys.exit(__main__.main())
"""
"""In its eighth step one process sends a signal to itself, or to torchrun, which started it."""


@pytest.fixture
def torchrun(tmp_path: Path, cache: Path):
    def run(processes: int, *words: object) -> subprocess.CompletedProcess:
        command = [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            f"--nproc-per-node={processes}",
            *map(str, words),
        ]
        alone = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "DCGAN_HEADLESS": "1"}
        return subprocess.run(command, cwd=tmp_path, env={**os.environ, **alone}, capture_output=True, text=True)

    return run


def history(run: Path) -> np.ndarray:
    with (run / "history.csv").open() as file:
        return np.array([list(map(float, row.values())) for row in csv.DictReader(file)])


def test_what_two_processes_agree_on(torchrun, tmp_path: Path) -> None:
    result = torchrun(2, ROOT / "tests/parallel_worker.py", tmp_path / "done")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "done").exists()


def test_two_processes_follow_one(torchrun, tmp_path: Path, cli) -> None:
    """Ten steps with two times 8 pictures and with 16; the tolerance is what another number of threads costs."""
    train = ["train", *SMALL, *PLAIN, "--steps=10"]
    assert cli(*train, "--out", tmp_path / "one")[0] == 0
    result = torchrun(2, "-m", "dcgan_lib", *train, "--sync-batch-norm", "--out", "two")
    assert result.returncode == 0, result.stderr
    assert "2 processes with 8 of each batch's 16 pictures." in result.stdout
    assert result.stdout.count("10 steps done") == 1
    one, two = history(tmp_path / "one"), history(tmp_path / "two")
    np.testing.assert_allclose(two, one, rtol=2e-3, atol=2e-4)


def test_a_lost_process(torchrun, tmp_path: Path, cli) -> None:
    """The first one, at that: one sentence, a whole checkpoint, and another number of processes goes on with it."""
    (tmp_path / "script.py").write_text(SENDS_A_SIGNAL)
    train = ["train", *SMALL, *PLAIN, "--steps=12", "--save-every=5", "--out", "run"]
    result = torchrun(2, "script.py", 0, "SIGKILL", "itself", *train)
    assert result.returncode != 0
    assert result.stderr.count(f"dcgan_lib: {parallel.LOST}\n") == 1
    assert len(history(tmp_path / "run")) == 5
    assert not list(tmp_path.glob("run/**/*.part"))
    status, _, err = cli("train", "--resume", "--out", tmp_path / "run", "--steps=8")
    assert (status, err) == (0, "")
    assert len(history(tmp_path / "run")) == 8


@pytest.mark.parametrize("to", ["torchrun", "itself"])
def test_ctrl_c_saves_the_run_of_several_processes(torchrun, tmp_path: Path, cli, to: str) -> None:
    """torchrun tells all of them; of several machines only one hears it."""
    (tmp_path / "script.py").write_text(SENDS_A_SIGNAL)
    train = ["train", *SMALL, *PLAIN, "--steps=5000", "--save-every=5000", "--out", "run"]
    result = torchrun(2, "script.py", 1, "SIGINT", to, *train)
    steps = len(history(tmp_path / "run"))
    assert 8 <= steps < 5000
    assert result.stdout.count(f"Stopped after step {steps}, as asked") == 1
    assert "dcgan_lib:" not in result.stderr
    status, _, err = cli("train", "--resume", "--out", tmp_path / "run", f"--steps={steps + 2}")
    assert (status, err) == (0, "")
    assert len(history(tmp_path / "run")) == steps + 2


def test_a_mistake_is_told_once(torchrun, tmp_path: Path) -> None:
    result = torchrun(3, "-m", "dcgan_lib", "train", *SMALL, *PLAIN, "--out", "run")
    message = (
        "dcgan_lib: A batch of 16 does not go round among 3 processes: choose a batch_size that is a multiple of 3"
    )
    assert result.stderr.count(message) == 1
    assert not (tmp_path / "run").exists()


def test_alone_nothing_changes() -> None:
    network, values = Generator(8, 4, 1, 16), torch.ones(3)
    with parallel.team(), parallel.local(network), parallel.one_decodes():
        assert (parallel.size(), parallel.is_first(), parallel.agree(2.5, True)) == (1, True, (2.5, True))
    assert parallel.replicate(network) is network
    assert parallel.average(values) is values
    assert list(range(7)[parallel.rows(7)]) == list(range(7))
    with pytest.raises(InputError, match="A batch of 1 does not go round among 1 processes"):
        parallel.rows(1)


@pytest.mark.parametrize(("batch_size", "size"), [(16, 3), (4, 4), (2, 2), (8, 16)])
def test_a_batch_that_does_not_go_round(monkeypatch: pytest.MonkeyPatch, batch_size: int, size: int) -> None:
    monkeypatch.setattr(parallel, "size", lambda: size)
    with pytest.raises(InputError, match=f"a multiple of {size} and at least {2 * size}, because"):
        parallel.rows(batch_size)
