"""Several processes on one machine: the same run as one process, and one clear sentence when one of them is lost."""

import csv
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
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
import os, signal, sys, time
import torch.distributed as dist
from dcgan_lib import __main__
from dcgan_lib.trainer import Trainer

step, (process, name, to) = Trainer.step, sys.argv[1:4]
del sys.argv[1:4]

def sends(trainer, *options):
    first_try = os.environ["TORCHELASTIC_RESTART_COUNT"] == "0"
    if trainer.steps_done == 7 and first_try and dist.get_rank() == int(process):
        os.kill(os.getppid() if to == "torchrun" else os.getpid(), signal.Signals[name])
    return step(trainer, *options)

Trainer.step = sends
sys.exit(__main__.main())
"""
"""In its eighth step one process sends a signal to itself, or to torchrun, which started it."""
MISHAPS = {
    "killed where they meet": ("if rank == 1: time.sleep(3), die()", parallel.LOST),
    "killed while it writes the end": ("if rank == 0: RunFolder.save_gif = die", parallel.LOST),
    "no memory": ("if rank == 1: Trainer.step = no_memory", "This does not fit into the memory: choose a smaller size"),
    "diverged": ("Trainer.step = spoiled", "of step 5, with a lower lr."),
}
"""What befalls which process, and the one sentence that has to be told."""
SUFFERS = """
import os, signal, sys, time
import torch
from dcgan_lib import __main__
from dcgan_lib.runs import RunFolder
from dcgan_lib.trainer import Trainer

rank, step = int(os.environ["RANK"]), Trainer.step

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def no_memory(*_):
    raise torch.OutOfMemoryError("out of memory")

def spoiled(trainer, *options):
    if trainer.steps_done == 7:
        next(trainer.discriminator.parameters()).data.fill_(float("nan"))
    return step(trainer, *options)

{}
sys.exit(__main__.main())
"""


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


@pytest.mark.parametrize("case", MISHAPS)
def test_what_befalls_one_process_is_told_once(torchrun, tmp_path: Path, case: str) -> None:
    mishap, said = MISHAPS[case]
    (tmp_path / "script.py").write_text(SUFFERS.format(mishap))
    result = torchrun(2, "script.py", "train", *SMALL, *PLAIN, "--steps=12", "--save-every=5", "--out=run")
    assert result.returncode != 0
    told = [line for line in result.stderr.splitlines() if line.startswith("dcgan_lib: ")]
    assert len(told) == 1
    assert said in told[0]
    assert "Traceback" not in result.stderr.partition("torch/distributed")[0]  # but torchrun's own


def test_torchrun_starts_it_again(torchrun, tmp_path: Path, cli) -> None:
    (tmp_path / "script.py").write_text(SENDS_A_SIGNAL)
    assert cli("train", *SMALL, *PLAIN, "--steps=1", "--out", tmp_path / "run")[0] == 0
    resume = ["train", "--resume", "--steps=12", "--save-every=5", "--out=run"]
    result = torchrun(2, "--max-restarts=1", "script.py", 1, "SIGKILL", "itself", *resume)
    assert result.returncode == 0, result.stderr
    assert len(history(tmp_path / "run")) == 12


@pytest.mark.parametrize(("kind", "said"), [("cuda", "too few GPUs: start torchrun with --nproc-per-node 1 at most"),
                                            ("mps", "cannot share a run on mps: add --device cpu")])  # fmt: skip
def test_too_few_devices(kind: str, said: str, refused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "size", lambda: 2)
    monkeypatch.setattr(parallel.dist, "get_node_local_rank", lambda: 1)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert said in refused(lambda: parallel.own(torch.device(kind)))
    assert parallel.own(torch.device("cpu")).type == "cpu"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert parallel.own(torch.device("cuda")).type == "cuda"


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


@pytest.fixture
def two_machines(tmp_path: Path) -> Iterator[Callable[..., tuple[list[int | None], str]]]:
    """Two network namespaces with a cable between them; each has a loopback and a cache of its own."""
    names, started = [f"dcgan-{os.getpid()}-{i}" for i in range(2)], []
    cable = "link add cable netns {} type veth peer name cable netns {}".format(*names)
    wiring = [*(f"netns add {name}" for name in names), cable]
    for i, name in enumerate(names):
        wiring += [f"-n {name} addr add 10.99.0.{i + 1}/24 dev cable", f"-n {name} link set cable up"]
        wiring += [f"-n {name} link set lo up"]
    if shutil.which("ip") is None:
        pytest.skip("there is no ip command to make network namespaces with")
    if any(subprocess.run(["ip", *line.split()], capture_output=True).returncode for line in wiring):
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True)
        pytest.skip("network namespaces need root")

    def run(*words: str, **variables: str) -> tuple[list[int | None], str]:
        """The exit statuses, and all that was said on stderr. Once one has failed the other is not waited for."""
        for i, name in enumerate(names):
            launch = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", f"--node-rank={i}"]
            launch += ["--master-addr=10.99.0.1", "--master-port=29500", "-m", "dcgan_lib", *words]
            own = {"DCGAN_CACHE": str(tmp_path / f"cache {i}"), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
            with (tmp_path / f"said {i}").open("w") as said:
                command = ["ip", "netns", "exec", name, *launch]
                environment = {**os.environ, **own, **variables}
                started.append(subprocess.Popen(command, env=environment, cwd=tmp_path, stderr=said))
        while None in (ended := [process.poll() for process in started]) and not any(ended):
            time.sleep(0.1)
        return ended, "".join((tmp_path / f"said {i}").read_text() for i in range(2))

    yield run
    for name in names:
        left = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True).stdout
        for process in map(int, left.split()):
            os.kill(process, signal.SIGKILL)
        subprocess.run(["ip", "netns", "delete", name], check=True)
    for process in started:
        process.wait()


def test_two_machines_follow_one(two_machines, tmp_path: Path, cli) -> None:
    train = ["train", *SMALL, *PLAIN, "--steps=10"]
    assert cli(*train, "--out", tmp_path / "one")[0] == 0
    ended, said = two_machines(*train, "--sync-batch-norm", "--out=two", GLOO_SOCKET_IFNAME="cable")
    assert ended == [0, 0], said
    one, two = history(tmp_path / "one"), history(tmp_path / "two")
    np.testing.assert_allclose(two, one, rtol=2e-3, atol=2e-4)


def test_machines_that_cannot_reach_each_other(two_machines, tmp_path: Path) -> None:
    """Gloo takes the loopback here: each machine's own name leads there, as it does on many a Linux."""
    _, said = two_machines("train", *SMALL, *PLAIN, "--out=run", GLOO_SOCKET_IFNAME="lo")
    assert said.count(f"dcgan_lib: {parallel.APART}\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_lost_process(torchrun, tmp_path: Path, cli) -> None:
    """The first one, at that: one sentence, a whole checkpoint, and another number of processes goes on with it."""
    (tmp_path / "script.py").write_text(SENDS_A_SIGNAL)
    train = ["train", *SMALL, *PLAIN, "--steps=12", "--save-every=5", "--out", "run"]
    result = torchrun(2, "script.py", 0, "SIGKILL", "itself", *train)
    assert result.returncode != 0
    assert result.stderr.count(f"dcgan_lib: {parallel.LOST}\n") == 1
    assert len(history(tmp_path / "run")) == 5
    assert not list(tmp_path.glob("run/**/*.dcgan-part"))
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


def test_a_mistake_is_told_once(torchrun, tmp_path: Path, cache: Path) -> None:
    result = torchrun(3, "-m", "dcgan_lib", "train", *SMALL, *PLAIN, "--out", "run")
    message = (
        "dcgan_lib: A batch of 16 does not go round among 3 processes: choose a batch_size that is a multiple of 3"
    )
    assert result.stderr.count(message) == 1
    assert not (tmp_path / "run").exists()
    assert not cache.exists()  # nor was a picture decoded


def test_alone_nothing_changes() -> None:
    network, values = Generator(8, 4, 1, 16), torch.ones(3)
    with parallel.team(), parallel.local(network), parallel.one_decodes():
        assert (parallel.size(), parallel.is_first(), parallel.agree(2.5, True)) == (1, True, (2.5, True))
    assert parallel.replicate(network) is network
    assert parallel.average(values) is values
    assert list(range(7)[parallel.rows(7)]) == list(range(7))
    with pytest.raises(InputError, match="A batch of 1 does not go round among 1 processes"):
        parallel.rows(1)


WHOLE = {"TORCHELASTIC_RUN_ID": "1", "RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
LEFT_OVER = [
    ({"RANK": ""}, "environment variable RANK expected, but not set"),
    ({"RANK": "first"}, "invalid literal for int"),
    ({"MASTER_PORT": "99999"}, "port must have value from 0 to 65535"),
    ({"MASTER_PORT": ""}, "environment variable MASTER_PORT expected"),
    ({"MASTER_PORT": "taken"}, "The server socket has failed to listen"),
]


@pytest.mark.parametrize(("change", "reason"), LEFT_OVER, ids=[str(change) for change, _ in LEFT_OVER])
def test_variables_of_a_torchrun_that_is_gone(change: dict, reason: str, refused, monkeypatch) -> None:
    def join() -> None:
        with parallel.team():
            pytest.fail("it was joined")

    with socket.create_server(("", 0)) as other:
        for name, value in (WHOLE | change).items():
            monkeypatch.setenv(name, value.replace("taken", str(other.getsockname()[1])))
            if not value:
                monkeypatch.delenv(name)
        message = refused(join)
    assert message.startswith("The processes of this run cannot meet where torchrun's variables say (")
    assert reason in message


@pytest.mark.parametrize(("batch_size", "size"), [(16, 3), (4, 4), (2, 2), (8, 16)])
def test_a_batch_that_does_not_go_round(monkeypatch: pytest.MonkeyPatch, batch_size: int, size: int) -> None:
    monkeypatch.setattr(parallel, "size", lambda: size)
    with pytest.raises(InputError, match=f"a multiple of {size} and at least {2 * size}, because"):
        parallel.rows(batch_size)
