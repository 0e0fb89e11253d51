"""Feed the loaders, the checkpoint readers and the command line with changed files and words, each for so long.

    python benchmarks/fuzz.py --seconds 60 --seed 0

Whatever a reader gives them has to end in a result or in an `InputError`, and nothing may be written outside the
folder that it is told. An example that does not is printed: make it a case of test_bad_*.py or the like.
tests/project/test_fuzz.py runs the same properties for a moment.
"""

import argparse
import contextlib
import faulthandler
import io
import json
import os
import shutil
import struct
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from PIL import Image

from dcgan_lib.checkpoint import load_generator, save_generator
from dcgan_lib.cli import commands, exit_codes
from dcgan_lib.cli.options import parse
from dcgan_lib.cli.run_folder import RunFolder
from dcgan_lib.config import Config
from dcgan_lib.data import cache
from dcgan_lib.data.loading import ImageDataset, load_images
from dcgan_lib.trainer import Trainer
from dcgan_lib.utils.errors import InputError

Change = Callable[[bytes], bytes]
PICTURES = {"PNG": "png", "JPEG": "jpg", "GIF": "png", "BMP": "bmp", "TIFF": "tif", "WEBP": "webp", "PPM": "ppm"}
TINY = Config(latent_dim=4, g_width=2, d_width=2, image_size=16, batch_size=2, precision="float32", device="cpu")
NOISE = np.random.default_rng(0).integers(0, 256, (6, 20, 20, 3), dtype=np.uint8)
SET = ImageDataset("noise", torch.from_numpy(NOISE[:, :16, :16, :1]).permute(0, 3, 1, 2).contiguous())


def picture(kind: str, mode: str = "RGB", **options: Any) -> bytes:
    """A small picture file."""
    file = io.BytesIO()
    Image.fromarray(NOISE[0]).convert(mode).save(file, format=kind, **options)
    return file.getvalue()


def with_exif() -> bytes:
    tags = Image.Exif()
    tags[0x0112], tags[0x010E], tags[0x011A] = 6, "a word", 72.5
    return picture("JPEG", exif=tags)


def run_files() -> tuple[bytes, bytes]:
    """The checkpoint and the generator of two steps."""
    with tempfile.TemporaryDirectory() as name:
        folder, trainer = Path(name), Trainer(TINY, SET)
        for _ in range(2):
            trainer.step()
        trainer.save(folder / "c.safetensors")
        save_generator(folder / "g.safetensors", trainer.generator, trainer.config)
        return (folder / "c.safetensors").read_bytes(), (folder / "g.safetensors").read_bytes()


def idx(*shape: int) -> bytes:
    head = bytes([0, 0, 8, len(shape)]) + b"".join(struct.pack(">I", size) for size in shape)
    return head + bytes(i % 7 for i in range(int(np.prod(shape))))


def npy() -> bytes:
    file = io.BytesIO()
    np.save(file, NOISE.transpose(0, 3, 1, 2))
    return file.getvalue()


def tar() -> bytes:
    """Pictures with their classes; one has a name too long for a header."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in (("a.png", picture("PNG")), ("a.cls", b"1"), ("b" * 120 + ".jpg", picture("JPEG"))):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


@st.composite
def changes(draw: st.DrawFn) -> Change:
    """One change to the bytes of a file: cut, put in, overwritten, taken out or doubled."""
    kind, where = draw(st.sampled_from(["cut", "insert", "write", "delete", "double"])), draw(st.floats(0, 1))
    head = draw(st.booleans())  # most of what matters is at the beginning
    numbers = st.sampled_from(
        [b"\0", b"\xff", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\x80", b"9", b"-"]
    )
    content, length = draw(st.one_of(st.binary(max_size=8), numbers)), draw(st.integers(1, 64))

    def change(whole: bytes) -> bytes:
        place = int(where * min(len(whole), 200 if head else len(whole)))
        before, after = whole[:place], whole[place:]
        return {
            "cut": before,
            "insert": before + content + after,
            "write": before + content + after[len(content) :],
            "delete": before + after[length:],
            "double": before + after[:length] + after,
        }[kind]

    return change


def changed(*files: bytes) -> st.SearchStrategy[bytes]:
    """One of the files, changed a few times."""

    def apply(file: bytes, steps: list[Change]) -> bytes:
        for step in steps:
            file = step(file)
        return file

    return st.builds(apply, st.sampled_from(files), st.lists(changes(), max_size=4))


@st.composite
def reheaded(draw: st.DrawFn, whole: bytes) -> bytes:
    """A safetensors file with a changed header whose length is right."""
    length = struct.unpack("<Q", whole[:8])[0]
    header = draw(changed(whole[8 : 8 + length]))
    return struct.pack("<Q", len(header)) + header + whole[8 + length :]


def refuse_or_do(act: Callable[[], Any]) -> None:
    """The property: a result, or an `InputError` of one sentence."""
    try:
        act()
    except InputError as error:
        assert str(error).endswith("."), error


def see_picture(folder: Path, example: tuple[str, bytes]) -> None:
    suffix, content = example
    (folder / "album").mkdir()
    (folder / "album" / f"a.{suffix}").write_bytes(content)
    refuse_or_do(lambda: load_images(f"folder:{folder / 'album'}", 16))


def see_idx(folder: Path, example: tuple[bytes, bytes]) -> None:
    raw = folder / "data/MNIST/raw"
    raw.mkdir(parents=True)
    for part in ("train", "t10k"):
        for name, content in zip(("images-idx3", "labels-idx1"), example, strict=True):
            (raw / f"{part}-{name}-ubyte").write_bytes(content)
    refuse_or_do(lambda: load_images("mnist", 16))


def see_cache(folder: Path, content: bytes) -> None:
    (folder / "a.npy").write_bytes(content)
    refuse_or_do(lambda: cache.read(folder / "a.npy", (6, 3, 20, 20)))


def see_shards(folder: Path, content: bytes) -> None:
    (folder / "a.tar").write_bytes(content)
    refuse_or_do(lambda: load_images(f"shards:{folder}", 16).images[:])


def see_config(folder: Path, content: bytes) -> None:
    (folder / "config.json").write_bytes(content)
    refuse_or_do(RunFolder(folder).config)


def see_checkpoint(folder: Path, content: bytes) -> None:
    (folder / "c.safetensors").write_bytes(content)
    refuse_or_do(lambda: Trainer.load(folder / "c.safetensors", SET).step())


def see_generator(folder: Path, content: bytes) -> None:
    (folder / "g.safetensors").write_bytes(content)
    refuse_or_do(lambda: load_generator(folder / "g.safetensors"))


def see_words(folder: Path, words: list[str]) -> None:
    """The words are parsed; what they ask for is only done where it takes no training."""
    (folder / "run").mkdir()
    (folder / "run/generator.safetensors").write_bytes(GENERATOR)
    out, err = io.TextIOWrapper(io.BytesIO(), "ascii"), io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace")

    def act(words: list[str]) -> None:
        options = parse(words)
        if options.command == "sample":
            options.n = min(options.n, 300)
            commands.sample(options)

    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = exit_codes.run(act, [word for word in words if word != exit_codes.TRACEBACK])
        except SystemExit as stop:
            status = stop.code
    err.flush()
    said = err.buffer.getvalue().decode()
    assert (status, said) == (0, "") or (status == 2 and said.count("\n") == 1 and said.endswith(".\n")), said


CHECKPOINT, GENERATOR = run_files()
CONFIG = json.dumps(TINY.to_dict(), indent=2).encode()
TAR = tar()
SEEDS = [(suffix, picture(kind)) for kind, suffix in PICTURES.items()]
SEEDS += [("png", picture("PNG", mode)) for mode in ("1", "L", "P", "LA", "RGBA", "I;16")]
SEEDS += [("jpg", picture("JPEG", "CMYK")), ("jpg", with_exif()), ("tif", picture("TIFF", compression="tiff_lzw"))]
COMMANDS = ["train", "sample", "evaluate", "-h", "--help"]
OPTIONS = [f"--{name.replace('_', '-')}" for name in Config.__dataclass_fields__]
OPTIONS += ["--preset", "--seconds", "--out", "--resume", "--save-every", "--run", "--n"]
VALUES = ["0", "1", "-1", "7", "300", "0.5", "1e999", "nan", "inf", "None", "True", "laptop", "faces", "digits"]
VALUES += ["cpu", "cuda", "run", "a.npy", "a.png", ".", "/", "~", "~x", "folder:"]
VALUES += ["", " ", "9" * 5000, "x" * 300, "é", "\udcff", "folder:run", "/dev/null"]
TEXT = st.text(st.characters(exclude_categories=["Cc", "Zl", "Zp"]), max_size=9)  # nobody types a line break
WORD = st.one_of(st.sampled_from(COMMANDS + OPTIONS + VALUES), TEXT)
PAIR = st.builds(lambda name, value: [f"{name}={value}"], st.sampled_from(OPTIONS), WORD)
SPLIT = st.builds(lambda name, value: [name, value], st.sampled_from(OPTIONS), WORD)
LINE = st.builds(
    lambda first, rest: [first, *sum(rest, [])],
    st.one_of(st.sampled_from(COMMANDS[:3]), WORD),
    st.lists(st.one_of(PAIR, SPLIT, st.builds(lambda word: [word], WORD)), max_size=5),
)
RUN_WORDS = st.builds(lambda rest: ["sample", "--run=run", "--out=a.npy", *sum(rest, [])], st.lists(PAIR, max_size=3))
TARGETS: dict[str, tuple[st.SearchStrategy, Callable[[Path, Any], None]]] = {
    "picture": (st.sampled_from(SEEDS).flatmap(lambda s: st.tuples(st.just(s[0]), changed(s[1]))), see_picture),
    "idx": (st.tuples(changed(idx(6, 5, 5)), changed(idx(6))), see_idx),
    "cache": (changed(npy()), see_cache),
    "shards": (changed(TAR), see_shards),
    "config": (changed(CONFIG), see_config),
    "checkpoint": (st.one_of(reheaded(CHECKPOINT), changed(CHECKPOINT)), see_checkpoint),
    "generator": (st.one_of(reheaded(GENERATOR), changed(GENERATOR)), see_generator),
    "words": (st.one_of(LINE, RUN_WORDS), see_words),
}


def fuzz(target: str, examples: int, start: int | None = None) -> None:
    """Try so many examples, each in an empty current folder; raises what the first failing one raised.

    Args:
        start: other numbers, other examples; left out, always the same ones.
    """
    strategy, see = TARGETS[target]

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=start is None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def check(example: Any) -> None:
        folder, before = Path(tempfile.mkdtemp(prefix="fuzz")), os.getcwd()
        places = {"DCGAN_DATA": f"{folder}/data", "DCGAN_CACHE": f"{folder}/cache", "HOME": str(folder)}
        try:
            os.chdir(folder)
            with patch.dict(os.environ, places), patch("urllib.request.urlopen", side_effect=OSError("no network")):
                see(folder, example)
        finally:
            os.chdir(folder.parent)  # the events of rmtree tell bare names
            shutil.rmtree(folder)
            os.chdir(before)

    (check if start is None else seed(start)(check))()


HANGS = 600
"""After so many seconds with fifty examples Python shows where it is, and ends; the example's folder is left."""
CHANGING = ("os.mkdir", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate")


def watch_writes(allowed: str) -> list[str]:
    """What is written outside of a folder from now on, as Python's audit events tell."""
    outside: list[str] = []

    def hook(event: str, arguments: tuple) -> None:
        opened = event == "open" and isinstance(arguments[2], int)
        if opened and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) or event in CHANGING:
            path = arguments[0]
        elif event == "os.rename":
            path = arguments[1]
        else:
            return
        if isinstance(path, str | bytes | os.PathLike):
            place = os.path.realpath(os.fsdecode(path))
            if not place.startswith((allowed, "/dev/", "/proc/")):
                outside.append(f"{event} {place}")

    sys.addaudithook(hook)
    return outside


def main() -> int:
    """Try each target for so long; 1 where one of them failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="for each target")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=TARGETS)
    options = parser.parse_args()
    own = {"HYPOTHESIS_STORAGE_DIRECTORY": str(Path(tempfile.gettempdir(), "hypothesis"))}
    os.environ |= {"TQDM_DISABLE": "1", "DCGAN_HEADLESS": "1", **own}
    sys.dont_write_bytecode = True
    outside = watch_writes(os.path.realpath(tempfile.gettempdir()))
    failed, tried = 0, 0
    for target in [options.only] if options.only else TARGETS:
        end, start = time.monotonic() + options.seconds, options.seed
        while time.monotonic() < end:
            faulthandler.dump_traceback_later(HANGS, exit=True)
            try:
                fuzz(target, 50, start)
            except Exception as error:  # whatever it is, it is looked for; its notes name the example
                failed += 1
                print(
                    f"{target}, --seed {start}: {type(error).__name__}: {error}",
                    *getattr(error, "__notes__", []),
                    sep="\n",
                )
            tried += 50
            start += 1
    print(f"{tried} examples, {failed} failures, {len(set(outside))} writes outside", *sorted(set(outside)), sep="\n")
    return int(bool(failed or outside))


if __name__ == "__main__":
    sys.exit(main())
