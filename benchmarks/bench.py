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

from benchmarks import quality, sections
from benchmarks.tables import machine
from dcgan_lib.config import Config, InputError
from dcgan_lib.device import choose_device

RESULTS = Path(__file__).with_name("RESULTS.md")
HEAD = "# Results of `make bench`\n\nWritten by the command, never by hand.\n\n"
SECTIONS = {
    "a": sections.end_to_end,
    "b": sections.rungs,
    "c": sections.ceiling,
    "d": sections.data_path,
    "e": sections.costs,
    "f": sections.memory,
    "g": sections.processes,
    "h": quality.report,
}


def parts(text: str, level: str) -> dict[str, str]:
    """What stands below each heading of that level, by heading."""
    return {part.partition("\n")[0]: part.strip() + "\n" for part in re.split(rf"(?m)^(?={level} )", text)[1:]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", default="".join(SECTIONS), help="the letters of the tables to measure")
    parser.add_argument("--memory", choices=("none", "textbook", "ours"), help=argparse.SUPPRESS)
    parser.add_argument("--speed", help=argparse.SUPPRESS)
    parser.add_argument("--batch", type=int, default=128, help=argparse.SUPPRESS)
    options = parser.parse_args()
    config = Config(data=sections.DATA, device=options.device, batch_size=options.batch)
    if options.memory:
        return print(sections.measure_memory(options.memory, config))
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
    file[f"## {name}"] = "\n".join([intro, *(before[letter] for letter in SECTIONS if before.get(letter))])
    RESULTS.write_text(HEAD + "\n".join(file.values()))


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(f"bench: {error}")
