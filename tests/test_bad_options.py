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

from dcgan_lib import commands, endings, memory
from dcgan_lib.config import PRESETS, Config, InputError

pytestmark = pytest.mark.usefixtures("cache")
ROOT = Path(__file__).resolve().parent.parent
Cli = Callable[..., tuple[int, str, str]]
HUGE = "9" * 400

OUT_OF_RANGE = {
    "image_size": ("16, 32, 64, 128 or 256", ["0", "-64", "48", "512", HUGE]),
    "channels": ("1 (grey) or 3 (colour)", ["0", "2", "4", "-1"]),
    "latent_dim": ("from 1 to 65536", ["0", "-1", "65537", HUGE]),
    "g_width": ("from 1 to 65536", ["0", "-64", "1000000000"]),
    "d_width": ("from 1 to 65536", ["0", "-64", "1000000000"]),
    "batch_size": ("at least 2, because batch norm compares pictures", ["0", "1", "-5"]),
    "lr": ("a number above 0", ["0", "-0.1", "nan", "inf", "-inf", "1e999"]),
    "d_lr": ("a number above 0", ["0", "-1e-9", "nan", "inf"]),
    "beta1": ("from 0 up to but not including 1", ["-0.1", "1", "1.5", "nan"]),
    "beta2": ("from 0 up to but not including 1", ["-0.1", "1", "inf", "nan"]),
    "d_steps": ("at least 1, and below 2**63", ["0", "-2", HUGE]),
    "label_smoothing": ("from 0 up to but not including 1", ["-0.1", "1", "nan"]),
    "steps": ("0 or more, and below 2**63", ["-1", HUGE]),
    "cool_down": ("from 0 to 1", ["-0.1", "1.1", "nan", "inf"]),
    "seed": ("from 0 up to 2**63 - 1", ["-1", "9223372036854775808", HUGE]),
    "precision": ("one of auto, float32, bfloat16", ["float16", "Float32", "''", "32"]),
}
INTEGERS = [f.name for f in fields(Config) if f.type in (int, int | None)]
NUMBERS = INTEGERS + [f.name for f in fields(Config) if f.type in (float, float | None)]


def option(name: str, value: str) -> list[str]:
    return ["train", f"--{name.replace('_', '-')}={value}"]


RANGES = [
    (option(name, value), f"{name} must be {rule}, and ")
    for name, (rule, values) in OUT_OF_RANGE.items()
    for value in values
]
WORDS = [(option(name, value), f"--{name.replace('_', '-')}") for name in NUMBERS for value in ("", "many")]
FRACTIONS = [(option(name, "2.5"), f"--{name.replace('_', '-')}") for name in INTEGERS]
SAMPLE, EVALUATE = ["sample", "--run=x", "--out=a.npy"], ["evaluate", "--run=x"]
DEVICES = ("", "CPU", "gpu", "meta", "hpu", "vulkan", "cpu:-1", "cuda:9999999999", "privateuseone")
NO_RUNS = ("", "nowhere", "/dev/null", "x" * 5000, "a\nb", "\udcff")
NO_PICTURES = ("", "a", "a.jpg", "a.PNG", ".png", "npy")
OTHERS = [
    (["train", "--data="], "data must be a name such as faces or folder:PATH, and '' is not"),
    (["train", "--data=faces\n"], r"There is no data called 'faces\n'"),
    (["train", "--data=\x1b[31mred"], r"There is no data called '\x1b[31mred'"),
    (["train", "--data=folder:"], "folder: names no folder"),
    (["train", "--out=x", "--data=folder:" + "x" * 5000], "There is no folder xxx"),
    (["train", "--out=x", "--data=folder:~nobody.of.that.name"], "There is no folder ~nobody.of.that.name"),
    (["train", "--out=" + "x" * 5000], "config.json could not be written (File name too long)"),
    *[(["train", f"--device={name}"], f"cannot use the device {name!r}: choose cpu") for name in DEVICES],
    *[(["train", f"--seconds={value}"], "--seconds must be 0 or more") for value in ("-1", "nan", "inf", "-inf")],
    *[(["train", f"--seconds={value}"], "--seconds") for value in ("soon", "")],
    *[(["train", f"--save-every={value}"], "--save-every must be at least 1") for value in ("0", "-1", HUGE)],
    *[(["train", f"--save-every={value}"], "--save-every") for value in ("2.5", "often", "")],
    *[(["train", f"--preset={value}"], "--preset: invalid choice") for value in ("", "LAPTOP", "huge")],
    (["train", "--resume=yes"], "--resume"),
    (["train", "--lr"], "--lr"),
    (["train", "--lr", "--beta1", "0.5"], "--lr"),
    (["train", "--lr", "0.1", "0.2"], "0.2"),
    (["train", "--learning-rate", "0.1"], "Unrecognized options: --learning-rate"),
    (["train", "--no-such\noption"], "--no-such"),
    (["TRAIN"], "TRAIN"),
    (["train", "sample"], "sample"),
    (["--", "train"], "train"),
    *[([*SAMPLE, f"--n={value}"], "--n must be from 1 to 1000000") for value in ("0", "-1", "1000001", HUGE)],
    *[([*SAMPLE, f"--n={value}"], "--n") for value in ("", "all", "1.5")],
    *[([*SAMPLE, f"--seed={value}"], "--seed") for value in ("", "dice", "0.5")],
    *[(["sample", "--run=x", f"--out={name}"], "--out must end in .npy or .png") for name in NO_PICTURES],
    *[(["sample", f"--run={name}", "--out=a.npy"], "There is no generator ") for name in NO_RUNS],
    (["sample", "--run=x"], "--out"),
    *[([*EVALUATE, f"--n={value}"], "--n must be at least 129") for value in ("0", "128", "-1", "1000001", HUGE)],
    *[([*EVALUATE, f"--n={value}"], "--n") for value in ("", "all", "1.5")],
    (["evaluate", "--run=nowhere", "--seed=dice"], "--seed"),
    (["evaluate", "--run=nowhere"], "There is no generator nowhere"),
    *[(["train", "--resume", f"--out={name}"], "There is no checkpoint ") for name in NO_RUNS if name],
]
TABLE = [*RANGES, *WORDS, *FRACTIONS, *OTHERS]


@pytest.mark.parametrize(("words", "message"), TABLE, ids=[ascii(" ".join(words))[1:-1][:60] for words, _ in TABLE])
def test_bad_words(cli: Cli, words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, err = cli(*words)
    assert (status, out, err.count("\n")) == (2, "", 1), err
    assert err.startswith("dcgan_lib: ")
    assert err.endswith(".\n")
    assert message in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_the_table_knows_every_field() -> None:
    assert {field.name for field in fields(Config)} == {*OUT_OF_RANGE, "data", "device", "sync_batch_norm"}


@pytest.mark.parametrize("command", [["train"], ["sample", "--run=x", "--out=a.npy"], ["evaluate", "--run=x"]])
@pytest.mark.parametrize("preset", ["huge", "LAPTOP", "laptop ", " ", "../ci", "1", "\udcff", "<b>"])
def test_bad_preset_in_the_environment(cli: Cli, command: list[str], preset: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DCGAN_PRESET", preset)
    said = f"dcgan_lib: There is no preset {preset!r}: choose one of {', '.join(PRESETS)} (DCGAN_PRESET).\n"
    assert cli(*command) == (2, "", said)
    assert list(tmp_path.iterdir()) == []


def test_size_that_fits_into_no_memory(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """65,536 channels: a layer of 8 TB."""
    monkeypatch.chdir(tmp_path)
    widths = ["--g-width=65536", "--latent-dim=65536", "--image-size=16", "--data=digits", "--device=cpu"]
    status, out, err = cli("train", *widths)
    assert (status, out) == (2, "")
    assert err.startswith("dcgan_lib: These networks do not fit into the memory: choose a smaller g_width, d_width, ")


ENDINGS = [
    (InputError("Wrong: mend it."), 2, "Wrong: mend it."),
    (InputError("Wrong\nand \x1b[31mred: mend it."), 2, r"Wrong\nand \x1b[31mred: mend it."),
    (KeyboardInterrupt(), 130, "Stopped before there was anything to save."),
    (MemoryError(), 2, "This does not fit into the memory"),
    (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), 2, "This does not fit into"),
    (RuntimeError("CUDA out of memory. Tried to allocate 9 GiB"), 2, "This does not fit into the memory"),
    (PermissionError(13, "Permission denied", "/x"), 2, "The system refused (Permission denied) at /x: choose another"),
    (OSError("broken"), 2, "The system refused (broken): choose another file or folder."),
    (KeyError("lr"), 1, "This is a bug (KeyError: 'lr'): please report it with what --traceback shows."),
    (ZeroDivisionError(), 1, "This is a bug (ZeroDivisionError: ZeroDivisionError): please report it"),
]


@pytest.mark.parametrize(("error", "status", "sentence"), ENDINGS, ids=[ascii(error) for error, *_ in ENDINGS])
def test_what_goes_wrong_inside(cli: Cli, error: BaseException, status: int, sentence: str, monkeypatch) -> None:
    def fail(words: list[str]) -> None:
        raise error

    monkeypatch.setattr(commands, "parse", fail)
    ended, out, err = cli("train")
    assert (ended, out, err.count("\n")) == (status, "", 1)
    assert err.startswith(f"dcgan_lib: {sentence}")
    with pytest.raises(type(error)):  # the traceback is one flag away
        cli("train", endings.FLAG)


def test_flag_is_not_an_option_of_a_command(cli: Cli) -> None:
    status, out, _ = cli(endings.FLAG, "train", "--help")
    assert status == 0
    assert endings.FLAG in cli("--help")[1]


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("where", ["/dev/full", "a pipe that nobody reads"])
def test_output_that_goes_nowhere(where: str, unbuffered: str) -> None:
    """The work is done by then; the statuses are ours and not what Python makes of it at its end."""
    if where == "/dev/full":
        if not os.path.exists(where):
            pytest.skip("this system has no such device")
        output = os.open(where, os.O_WRONLY)
        said = "The output could not be written (No space left on device): send it where there is room."
        expected = 2, f"dcgan_lib: {said}\n"
    else:
        read, output = os.pipe()
        os.close(read)
        expected = 141, ""
    program = "import sys; from dcgan_lib import endings; sys.exit(endings.run(lambda words: print('done'), []))"
    own = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": unbuffered}
    done = subprocess.run([sys.executable, "-c", program], stdout=output, stderr=subprocess.PIPE, text=True, env=own)
    os.close(output)
    assert (done.returncode, done.stderr) == expected


def test_path_that_the_terminal_cannot_write(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    assert endings.run(lambda words: print("写真"), []) == 0
    terminal.flush()
    assert terminal.buffer.getvalue() == rb"\u5199\u771f" + b"\n"


def test_memory_of_torch() -> None:
    """The words by which a refusal of memory is known are still torch's."""
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**45, 2**10, dtype=torch.uint8)
    assert memory.lacks_memory(raised.value)
