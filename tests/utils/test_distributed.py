"""Several processes on one machine: the same run as one process, and one clear sentence when one of them is lost."""

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event

import numpy as np
import pytest
import torch
import torch.distributed as dist
from processes import Fork, command_line
from torch import nn

from dcgan_lib.cli.run_folder import RunFolder
from dcgan_lib.data import ImageDataset
from dcgan_lib.networks import Discriminator, Generator
from dcgan_lib.trainer import Trainer
from dcgan_lib.training import train_step
from dcgan_lib.utils import distributed
from dcgan_lib.utils.errors import InputError
from dcgan_lib.utils.sync_batch_norm import SyncBatchNorm, synchronise

pytestmark = pytest.mark.usefixtures("cache")
ROOT = Path(__file__).resolve().parents[2]
SMALL = ["train", "--data=digits", "--image-size=16", "--g-width=8", "--d-width=8", "--batch-size=16", "--latent-dim=8"]
PLAIN = [*SMALL, "--precision=float32", "--device=cpu", "--lr=2e-4", "--lr-decay-share=0", "--ema-decay=0.9"]


def together(act: Callable[..., object], *arguments: object, output: Path, count: int = 2) -> list[Fork]:
    """`act` in so many processes, with the variables that torchrun would set; torchrun has such a store, too."""
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": store.port, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
    shared |= {f"TORCHELASTIC_{name}": value for name, value in
               (("RUN_ID", "test"), ("USE_AGENT_STORE", True), ("RESTART_COUNT", 0))}  # fmt: skip
    shared |= {"DCGAN_CACHE": os.environ["DCGAN_CACHE"], "DCGAN_HEADLESS": 1}
    forks = [Fork(act, *arguments, output=output / f"{i}", RANK=i, LOCAL_RANK=i, **shared) for i in range(count)]
    for fork in forks:
        fork.wait()
    return forks


def history(run: Path) -> np.ndarray:
    with (run / "history.csv").open() as file:
        return np.array([list(map(float, row.values())) for row in csv.DictReader(file)])


def test_what_two_processes_agree_on(tmp_path: Path) -> None:
    for fork in together(agree, tmp_path / "decoded", output=tmp_path):
        assert (fork.wait(), fork.stderr) == (0, "")


def agree(decoded: Path) -> None:
    with distributed.process_group():
        who_does_what()
        one_decodes(decoded)
        batch_norm_of_halves_is_that_of_the_whole()
        a_step_of_two_is_the_step_of_one()


def close(a: object, b: object) -> None:
    torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


def who_does_what() -> None:
    rank = dist.get_rank()
    assert (distributed.size(), distributed.is_first()) == (2, rank == 0)
    assert list(range(8)[distributed.batch_slice(8)]) == ([0, 1, 2, 3], [4, 5, 6, 7])[rank]
    assert distributed.all_reduce_mean(torch.tensor([1.0 + 2 * rank])).item() == 2
    pressed = Event()
    assert distributed.sync_stop(rank + 5.25, pressed) == (5.25, False)
    if rank == 1:
        pressed.set()
    assert distributed.sync_stop(9.5 - rank, pressed) == (9.5, True)
    assert pressed.is_set()


def one_decodes(decoded: Path) -> None:
    """The first one comes late, and is the first nevertheless."""
    if distributed.is_first():
        time.sleep(0.3)
    with distributed.one_decodes():
        assert decoded.exists() is not distributed.is_first()
        decoded.touch()


def batch_norm_of_halves_is_that_of_the_whole() -> None:
    torch.manual_seed(0)
    mine = distributed.batch_slice(6)
    images, weights = torch.randn(6, 3, 4, 4).double() * 3 + 5, torch.randn(6, 3, 4, 4).double()
    whole = nn.BatchNorm2d(3)
    nn.init.normal_(whole.weight)
    network = synchronise(nn.Sequential(whole), torch.device("cpu"))
    half, whole = network[0].double(), whole.double()
    assert type(half) is SyncBatchNorm
    ours, theirs = images[mine].clone().requires_grad_(), images.clone().requires_grad_()
    halved, expected = half(ours), whole(theirs)
    (halved * weights[mine]).sum().backward()
    (expected * weights).sum().backward()
    close(halved, expected[mine])
    close(ours.grad, theirs.grad[mine])
    close(distributed.all_reduce_mean(half.weight.grad) * 2, whole.weight.grad)
    close([half.running_mean, half.running_var], [whole.running_mean, whole.running_var])
    assert half.num_batches_tracked == 1
    close(half.eval()(images), whole.eval()(images))


def a_step_of_two_is_the_step_of_one() -> None:
    """Two SGD steps of two processes with 4 images each, against one with 8, the networks without batch norm."""
    real, z = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(0)).tanh(), torch.arange(64.0).sin()
    outcomes = []
    for shared in (True, False):
        torch.manual_seed(1)
        networks = Generator(8, 4, 3, 16), Discriminator(4, 3, 16)
        for network in networks:
            for name, module in list(network.named_modules()):
                if isinstance(module, nn.BatchNorm2d):
                    network.set_submodule(name, nn.Identity())
            for layer in network.layers:
                if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                    nn.init.normal_(layer.weight, 0, 0.2)
        optimizers = [torch.optim.SGD(network.parameters(), 0.1) for network in networks]
        players = [distributed.wrap_ddp(network) for network in networks] if shared else networks
        mine = distributed.batch_slice(8) if shared else slice(None)
        for _step in range(2):
            row = train_step(*players, *optimizers, real[mine], z.view(8, 8)[mine]).row()
        outcomes.append((distributed.all_reduce_mean(row) if shared else row, [list(n.parameters()) for n in networks]))
    torch.testing.assert_close(*outcomes, rtol=1e-4, atol=1e-6)


def run_out_of_memory() -> None:
    raise torch.OutOfMemoryError("out of memory")


MISHAPS = {
    "killed in a step": (0, Trainer, "step", lambda: os.kill(os.getpid(), signal.SIGKILL), distributed.LOST),
    "killed at the end": (0, RunFolder, "save_gif", lambda: os.kill(os.getpid(), signal.SIGKILL), distributed.LOST),
    "no memory": (1, Trainer, "step", run_out_of_memory, "This does not fit into the memory: choose a smaller size"),
    "diverged": (0, ImageDataset, "batch", lambda: torch.tensor(torch.nan), "of step 5, with a lower lr."),
    "ended by torchrun": (1, Trainer, "step", lambda: signal.raise_signal(signal.SIGTERM), "Interrupted at once"),
    "Ctrl-C early": (0, Trainer, "__init__", lambda: signal.raise_signal(signal.SIGINT), "Interrupted at once"),
    "Ctrl-C": (1, Trainer, "step", lambda: signal.raise_signal(signal.SIGINT), ""),
    "Ctrl-C for all": (1, Trainer, "step", lambda: os.kill(os.getppid(), signal.SIGINT), ""),
}
"""Which process, before what, which mishap, and the one sentence about it; what happens in steps, in the eighth."""


def befall(name: str, *words: object) -> None:
    """The command line in one of several processes."""
    rank, owner, method, mishap, _ = MISHAPS[name]
    original, calls = getattr(owner, method), []

    def with_mishap(*arguments: object) -> object:
        calls.append(method)
        factor = mishap() if len(calls) == (8 if method in ("step", "batch") else 1) else None
        result = original(*arguments)
        return result if factor is None else result * factor

    if dist.is_torchelastic_launched() and os.environ["RANK"] == str(rank):
        setattr(owner, method, with_mishap)
    command_line(*words)


@pytest.mark.parametrize("name", list(MISHAPS)[:-2])
def test_what_befalls_one_process_is_reported_once(tmp_path: Path, name: str, cli: Callable) -> None:
    """And where a checkpoint is left, one process goes on from it."""
    forks = together(befall, name, *PLAIN, "--steps=12", "--save-every=5", "--out", tmp_path / "run", output=tmp_path)
    (sentence,) = [line for fork in forks for line in fork.stderr.splitlines() if "dcgan_lib: " in line]
    assert MISHAPS[name][-1] in sentence
    assert not any("Traceback" in fork.stderr for fork in forks)
    own = -9 if "killed" in name else 130 if "Interrupted" in sentence else 2
    assert sorted(fork.wait() for fork in forks) == sorted([own, 2])
    if name == "diverged":
        assert len(history(tmp_path / "run")) == 8
    if "early" not in name:
        assert cli("train", "--resume", "--out", tmp_path / "run", "--steps=13")[0] == 0
        assert len(history(tmp_path / "run")) == 13


def test_ctrl_c_at_one_process_saves_the_run(tmp_path: Path) -> None:
    """Of several machines only one may hear it."""
    words = [*PLAIN, "--steps=500", "--save-every=500", "--out", tmp_path / "run"]
    first, second = together(befall, "Ctrl-C", *words, output=tmp_path)
    assert (first.wait(), second.wait(), second.stdout) == (0, 0, "")
    assert "Stopped after step 8, as asked" in first.stdout
    assert len(history(tmp_path / "run")) == 8
    assert "dcgan_lib: " not in first.stderr + second.stderr


MISTAKES = [
    ("--batch-size=15", "A batch of 15 does not go round among 2 processes: choose a multiple of 2"),
    ("--bath-size=16", "unrecognized arguments: --bath-size=16"),
    ("--out=/dev/null/run", "/dev/null/run cannot be written"),  # which only the first one tries
]


@pytest.mark.parametrize(("word", "message"), MISTAKES)
def test_a_mistake_is_reported_once(tmp_path: Path, word: str, message: str, cache: Path) -> None:
    forks = together(command_line, *SMALL, word, output=tmp_path)
    assert [fork.wait() for fork in forks] == [2, 2]
    (line,) = "".join(fork.stderr for fork in forks).splitlines()
    assert line.startswith(f"dcgan_lib: {message}")
    assert not cache.exists()  # no image was decoded


def test_torchrun(tmp_path: Path) -> None:
    """In earnest: two processes follow one, until somebody presses Ctrl-C, which torchrun passes on to both."""
    script = "import sys; from test_distributed import befall; befall('Ctrl-C for all', *sys.argv[1:])"
    (tmp_path / "script.py").write_text(script)
    path = os.pathsep.join(map(str, (ROOT, ROOT / "tests", ROOT / "tests/utils")))
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "script.py"]
    own = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, "DCGAN_HEADLESS": "1"}
    words = [*PLAIN, "--d-steps=2", "--steps=5000", "--sync-batch-norm", "--out=two"]
    done = subprocess.run([*launch, *words], cwd=tmp_path, env=own, capture_output=True, text=True)
    two = history(tmp_path / "two")
    assert 8 <= len(two) < 5000, done.stderr
    assert done.stdout.count(f"Stopped after step {len(two)}, as asked") == 1
    assert "dcgan_lib: " not in done.stderr
    one = Fork(command_line, *PLAIN, "--d-steps=2", "--steps=8", "--out", tmp_path / "one", output=tmp_path)
    assert one.wait() == 0
    # as far apart as two numbers of threads
    np.testing.assert_allclose(two[:8], history(tmp_path / "one"), rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("kind", ["cuda", "mps"])
def test_too_few_devices(kind: str, refused: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "size", lambda: 2)
    monkeypatch.setattr(distributed.dist, "get_node_local_rank", lambda: 1)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: int(kind == "cuda"))
    message = refused(lambda: distributed.require_device(torch.device(kind)))
    assert message.startswith(f"Each process needs a CUDA GPU of its own, and this machine has {int(kind == 'cuda')}: ")
    assert distributed.require_device(torch.device("cpu")).type == "cpu"


@pytest.mark.parametrize(("batch_size", "size"), [(16, 3), (4, 4), (8, 16), (1, 1)])
def test_a_batch_that_does_not_go_round(monkeypatch: pytest.MonkeyPatch, batch_size: int, size: int) -> None:
    monkeypatch.setattr(distributed, "size", lambda: size)
    with pytest.raises(InputError, match=f"a multiple of {size}, at least {2 * size}, because"):
        distributed.batch_slice(batch_size)


def test_alone_nothing_changes() -> None:
    network, values, pressed = Generator(8, 4, 1, 16), torch.ones(3), Event()
    with distributed.process_group(), distributed.no_sync(network), distributed.one_decodes():
        assert (distributed.size(), distributed.is_first()) == (1, True)
    assert distributed.sync_stop(2.5, pressed) == (2.5, False)
    pressed.set()
    assert distributed.sync_stop(2.5, pressed) == (2.5, True)
    assert distributed.wrap_ddp(network) is network
    assert distributed.all_reduce_mean(values) is values
    assert list(range(7)[distributed.batch_slice(7)]) == list(range(7))
