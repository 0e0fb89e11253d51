"""Everything about speed, measured in one run: `make bench`, or `make bench GPU=1`.

Prints its tables and writes them to RESULTS.md beside this file, under the name of the machine; what other machines
wrote there stays. Each row is a ratio with both of its figures. Takes about a quarter of an hour on two cores.
"""

import argparse
import platform
import re
import sys
import time
from pathlib import Path

import torch

from benchmarks import presets, sections
from benchmarks.tables import machine
from dcgan_lib.config import Config
from dcgan_lib.utils.device import choose_device
from dcgan_lib.utils.errors import InputError

RESULTS = Path(__file__).with_name("RESULTS.md")
HEAD = "# Results of `make bench`\n\nWritten by the command, never by hand.\n\n"
SECTIONS = {
    "a": sections.end_to_end,
    "b": sections.changes,
    "c": sections.ceiling,
    "d": sections.data_path,
    "e": sections.costs,
    "f": sections.memory,
    "g": sections.processes,
    "h": sections.threads,
    "i": presets.report,
}

CAPTIONS = {
    "a": "Whole steps with their pictures: MNIST at 64x64, all widths 64. Textbook: float32, contiguous, PyTorch's "
    "default Adam, BCELoss on a sigmoid, five `.item()` a step, each picture through PIL in one of two workers. Ours: "
    "`Trainer`. Medians of three rounds, in which both take turns.",
    "b": "Each row has its change and all those above it; `alone` is the textbook's loop with that change only "
    "(`bfloat16` comes with `logits`, which it needs). What the same loop measured again differs by is noise. Data and "
    "networks of (a), medians of three rounds in turns.",
    "c": "A step of `Trainer` against the product of two large matrices, the most that this machine does in that "
    "precision. The operations of a step are those of its convolutions, counted by torch. Data and networks of (a).",
    "d": "First row: batches of 64 for (a), without any network. Second row: steps of `Trainer` with batches of 128; "
    "a ratio near 1 says that its pictures cost no time.",
    "e": "Steps of `Trainer` on the embedded faces. The batch size varies at 64x64 and widths 64, the others vary at "
    "batch 32. With exponent 1 twice the value takes twice the time, with 2 four times.",
    "f": "Three steps in a process of its own; data and networks of (a). On a GPU, the most that was allocated there.",
    "g": "`Trainer`, data and networks of (a), 15 steps after 5.",
    "h": "The `laptop` preset on the embedded faces, each row in a process of its own, medians of five turns alone and "
    "beside a process that does nothing but spin. Where torch would take 2 to 8 threads, this library takes one fewer, "
    "unless `OMP_NUM_THREADS` is set.",
    "i": "`python -m benchmarks.presets`: each row is `Config.laptop` with something changed back, trained to its end "
    "on one thread. FID and speckle (1 is as smooth as the real pictures) as `evaluate` prints them, 10,000 samples.",
}


def captioned(letter: str, part: str) -> str:
    """A table with today's words between its title and its first row."""
    title, _, rest = part.partition("\n")
    return f"{title}\n\n{CAPTIONS[letter]}\n\n{rest[rest.index('|') :]}"


def parts(text: str, level: str) -> dict[str, str]:
    """What stands below each heading of that level, by heading."""
    return {part.partition("\n")[0]: part.strip() + "\n" for part in re.split(rf"(?m)^(?={level} )", text)[1:]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", default="".join(SECTIONS), help="the letters of the tables to measure")
    parser.add_argument("--memory", choices=("none", "textbook", "ours"), help=argparse.SUPPRESS)
    parser.add_argument("--speed", help=argparse.SUPPRESS)
    parser.add_argument("--threads", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--batch", type=int, default=128, help=argparse.SUPPRESS)
    options = parser.parse_args()
    config = Config(data=sections.DATA, device=options.device, batch_size=options.batch)
    if options.memory:
        return print(sections.measure_memory(options.memory, config))
    if options.threads:
        return print(sections.measure_threads())
    if options.speed:
        return print(sections.measure_speed(config))
    name = machine(choose_device(options.device))
    if wrong := set(options.only) - set(SECTIONS):
        raise InputError(f"There is no table {min(wrong)}: choose letters of {''.join(SECTIONS)}.")
    when = f"{platform.system()}, {time.strftime('%Y-%m-%d')}"
    file = parts(RESULTS.read_text(), "##") if RESULTS.exists() else {}
    before = {heading[5]: part for heading, part in parts(file.get(f"## {name}", ""), "###").items()}
    intro = f"## {name}\n\ntorch {torch.__version__}, Python {platform.python_version()}, {when}\n"
    print(intro)
    for letter in options.only:
        before[letter] = SECTIONS[letter](config)
        print(before[letter], flush=True)
        tables = (captioned(letter, before[letter]) for letter in SECTIONS if before.get(letter))
        file[f"## {name}"] = "\n".join([intro, *tables])
        RESULTS.write_text(HEAD + "\n".join(file.values()))


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(f"bench: {error}")
