"""The table of bad input, part 3: options, words and variables that the command line refuses.

Each ends with exit status 2 and one line on stderr; nothing is printed or written.
"""

import io
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest
import torch

from dcgan_lib import __main__
from dcgan_lib.cli import exit_codes
from dcgan_lib.cli.options import parse
from dcgan_lib.config import Config
from dcgan_lib.utils import errors
from dcgan_lib.utils.errors import InputError

pytestmark = pytest.mark.usefixtures("cache")
ROOT = Path(__file__).resolve().parents[2]
Cli = Callable[..., tuple[int, str, str]]

VALUES = {
    "image_size": ("48", "image_size must be 16, 32, 64, 128 or 256, and 48 is not"),
    "channels": ("2", "channels must be 1 (grey) or 3 (colour), and 2 is not"),
    "latent_dim": ("0", "latent_dim must be from 1 to 65536, and 0 is not"),
    "g_width": ("-64", "g_width must be from 1 to 65536, and -64 is not"),
    "d_width": ("2.5", "argument --d-width: invalid int value: '2.5'"),
    "batch_size": ("1", "batch_size must be at least 2, because batch norm compares images, and 1 is not"),
    "lr": ("-1", "lr must be a number above 0, and -1.0 is not"),
    "d_lr": ("inf", "d_lr must be a number above 0, and inf is not"),
    "beta1": ("1", "beta1 must be from 0 up to but not including 1, and 1.0 is not"),
    "beta2": ("nan", "beta2 must be from 0 up to but not including 1, and nan is not"),
    "d_steps": ("0", "d_steps must be from 1 to 65536, and 0 is not"),
    "label_smoothing": ("", "argument --label-smoothing: invalid float value: ''"),
    "steps": ("-1", "steps must be 0 or more, and -1 is not"),
    "lr_decay_share": ("1.1", "lr_decay_share must be from 0 to 1, and 1.1 is not"),
    "ema_decay": ("1", "ema_decay must be from 0 up to but not including 1, and 1.0 is not"),
    "seed": ("few", "argument --seed: invalid int value: 'few'"),
    "precision": ("float16", "precision must be one of auto, float32, bfloat16, and 'float16' is not"),
    "data": ("", "data must be a name such as faces or folder:PATH, and '' is not"),
    "sync_batch_norm": ("yes", "--no-sync-batch-norm: ignored explicit argument 'yes'"),
}
SAMPLE, EVALUATE = "sample --run x --out a.npy", "evaluate --run x"
WORDS = [
    ("paint", "argument command: invalid choice: 'paint' (choose from "),
    ("train extra", "unrecognized arguments: extra"),
    ("train --bath-size 4", "unrecognized arguments: --bath-size 4"),
    ("train --batch 4", "unrecognized arguments: --batch 4: --batch is --batch-size here."),
    ("train --batch_size=4", "--batch_size is --batch-size here."),
    ("train --lr_decay_share 1 --LR 3", "--lr_decay_share is --lr-decay-share here, --LR is --lr here."),
    ("train --epochs 5 --lr 3", "--epochs 5: --epochs is --steps, one batch each, here."),
    (
        "train --n_epochs=5 --niter 3",
        "--n_epochs is --steps, one batch each, here, --niter is --steps, one batch each,",
    ),
    (
        "train --nz 64 --ngf 8 --ndf 8 --nc 1",
        "is --latent-dim here, --ngf is --g-width here, --ndf is --d-width here, ",
    ),
    ("train --dataset folder --dataroot x", "--dataset is --data here, --dataroot is --data here."),
    ("train --cuda", "--cuda is --device cuda here."),
    (
        "train --outf x --manualSeed 3 --workers 2",
        "is --out here, --manualSeed is --seed here, --workers is not needed here.",
    ),
    ("sample --run x --out y --num_samples 3", "--num_samples is --n here."),
    ("sample --run x --out y --cuda", "unrecognized arguments: --cuda: see --help."),  # it has no --device
    ("sample --run x --out y --walk 1", "argument --walk: must be 2 or more, and 1 is not"),
    ("export --out g.onnx", "the following arguments are required: --run"),
    ("train --batch-size", "argument --batch-size: expected one argument"),
    ("train --preset huge", "argument --preset: invalid choice: 'huge' (choose from "),
    ("train --resume", "--resume needs the folder of the run to go on with: add --out."),
    ("train --allow-changes", "--allow-changes is about an earlier run: add --resume."),
    ("train --seconds -1", "argument --seconds: must be 0 or more, and -1 is not"),
    ("train --seconds inf", "argument --seconds: must be 0 or more, and inf is not"),
    ("train --save-every 0", "argument --save-every: must be 1 or more, and 0 is not"),
    ("train --keep 0", "argument --keep: must be 1 or more, and 0 is not"),
    (f"{SAMPLE} --n 0", "argument --n: must be 1 or more, and 0 is not"),
    ("sample --n 3", "the following arguments are required: "),
    (f"{EVALUATE} --n 128", "argument --n: must be 129 or more, and 128 is not"),
    (f"{EVALUATE} --seed dice", "argument --seed: invalid int value: 'dice'"),
]
TABLE = [(f"train --{name.replace('_', '-')}={value}", message) for name, (value, message) in VALUES.items()] + WORDS


@pytest.mark.parametrize(("words", "message"), TABLE, ids=[words or "nothing" for words, _ in TABLE])
def test_bad_words(words: str, message: str, refused: Callable) -> None:
    assert message in refused(lambda: parse(words.split()))


def test_the_table_knows_every_field() -> None:
    assert {field.name for field in fields(Config)} == {*VALUES, "device"}


COMMANDS = [
    ("train --bath-size 4", "unrecognized arguments: --bath-size 4"),
    ("train --data minst", "There is no data called 'minst'"),
    ("train --data folder:nowhere", "There is no folder "),
    ("train --data digits --device gpu", "This machine cannot use the device 'gpu': choose cpu"),
    ("train --resume --out nowhere", "nowhere holds no run: leave --resume out to begin one"),
    ("train --data digits --g-width 65536 --latent-dim 65536 --device cpu", "This does not fit into the memory"),
    ("sample --run nowhere --out a.npy", "There is no run nowhere: give the folder that train wrote"),
    (
        "sample --run nowhere --out a.jpg",
        "--out must be a folder or end in .npy or .png, and with --walk in .gif or .mp4: a.jpg",
    ),
    (
        "sample --run nowhere --out a.gif",
        "--out must be a folder or end in .npy or .png, and with --walk in .gif or .mp4: a.gif",
    ),
    ("sample --run nowhere --walk 9 --out a.png", "--out must be a folder or end in .npy or .png, and with --walk in "),
    ("export --run nowhere --out a.pth", "--out must end in .onnx or .pt2: a.pth does not."),
    ("export --run nowhere --out a.pt2", "There is no run nowhere: give the folder that train wrote"),
    ("train --init-from nowhere", "There is no run nowhere: give the folder that train wrote"),
    ("evaluate --run nowhere", "There is no run nowhere: give the folder that train wrote"),
]


@pytest.mark.parametrize(("words", "message"), COMMANDS)
def test_one_sentence_and_no_trace(cli: Cli, words: str, message: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, err = cli(*words.split())
    assert (status, out, err.count("\n")) == (2, "", 1), err
    assert err.startswith(f"dcgan_lib: {message}")
    assert err.endswith(".\n")
    assert {path.name for path in tmp_path.iterdir()} <= {"cache"}


def test_bad_preset_in_the_environment(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DCGAN_PRESET", "LAPTOP")
    message = "There is no preset 'LAPTOP': choose one of paper, half_hour, laptop, ci (DCGAN_PRESET)."
    assert cli("train") == (2, "", f"dcgan_lib: {message}\n")


ENDINGS = [
    (InputError("Wrong: mend it."), 2, "Wrong: mend it."),
    (KeyboardInterrupt(), 130, "Interrupted at once: what was saved before is whole"),
    (MemoryError(), 2, "This does not fit into the memory"),
    (RuntimeError("CUDA out of memory. Tried to allocate 9 GiB"), 2, "This does not fit into the memory"),
    (PermissionError(13, "Permission denied", "/x"), 2, "The system refused (Permission denied) at /x: choose another"),
    (OSError("broken"), 2, "The system refused (broken): choose another file or folder."),
    (KeyError("lr"), 1, "This is a bug (KeyError: 'lr'): please report it with what --traceback shows."),
]


@pytest.mark.parametrize(("error", "status", "sentence"), ENDINGS, ids=[type(error).__name__ for error, *_ in ENDINGS])
def test_what_goes_wrong_inside(cli: Cli, error: BaseException, status: int, sentence: str, monkeypatch) -> None:
    def fail(words: list[str]) -> None:
        raise error

    monkeypatch.setattr(__main__, "parse", fail)
    ended, out, err = cli("train")
    assert (ended, out, err.count("\n")) == (status, "", 1)
    assert err.startswith(f"dcgan_lib: {sentence}")
    with pytest.raises(type(error)):  # the traceback is one flag away
        cli("train", exit_codes.TRACEBACK)


@pytest.mark.parametrize("where", ["/dev/full", "a pipe that nobody reads"])
def test_output_that_goes_nowhere(where: str) -> None:
    """The statuses are ours and not what Python makes of it at its end."""
    if where == "/dev/full":
        if not os.path.exists(where):
            pytest.skip("this system has no such device")
        output = os.open(where, os.O_WRONLY)
        message = "The system refused (No space left on device): choose another file or folder."
        expected = 2, f"dcgan_lib: {message}\n"
    else:
        read, output = os.pipe()
        os.close(read)
        expected = 1, ""
    program = "import sys; from dcgan_lib.cli import exit_codes; sys.exit(exit_codes.run(lambda _: print('done'), []))"
    own = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], stdout=output, stderr=subprocess.PIPE, text=True, env=own)
    os.close(output)
    assert (done.returncode, done.stderr) == expected


def test_path_that_the_terminal_cannot_write(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    assert exit_codes.run(lambda words: print("写真"), []) == 0
    terminal.flush()
    assert terminal.buffer.getvalue() == rb"\u5199\u771f" + b"\n"


def test_memory_of_torch() -> None:
    """The words by which a refusal of memory is known are still torch's."""
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**45, 2**10, dtype=torch.uint8)
    assert errors.lacks_memory(raised.value)
