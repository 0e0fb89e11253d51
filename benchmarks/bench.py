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
SECTIONS = (
    sections.end_to_end,
    sections.rungs,
    sections.ceiling,
    sections.data_path,
    sections.costs,
    sections.memory,
    sections.processes,
    quality.report,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
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
    when = f"{platform.system()}, {time.strftime('%Y-%m-%d')}"
    text = f"## {name}\n\ntorch {torch.__version__}, Python {platform.python_version()}, {when}\n"
    print(text)
    for section in SECTIONS:
        print(part := section(config), flush=True)
        text += f"\n{part}" if part else ""
    others = re.split(r"(?m)^(?=## )", RESULTS.read_text())[1:] if RESULTS.exists() else []
    kept = [other.strip() + "\n" for other in others if not other.startswith(f"## {name}\n")]
    RESULTS.write_text(HEAD + "\n".join([text, *kept]))


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(f"bench: {error}")
