"""Where `python -m dcgan_lib` begins."""

import os
import sys
from contextlib import nullcontext

from dcgan_lib.cli import exit_codes
from dcgan_lib.cli.options import parse


def main() -> int:
    """Run the command line; the exit status is 2 after a mistake that the reader can mend, 1 after one of ours."""
    return exit_codes.run(act, sys.argv[1:])


def act(words: list[str]) -> None:
    """Do what the words ask for."""
    process_group = nullcontext
    if "TORCHELASTIC_RUN_ID" in os.environ:  # set by torchrun
        from dcgan_lib.utils.distributed import process_group
    with process_group():  # in which one process tells what is wrong for all of them
        options = parse(words)
        from dcgan_lib.cli import commands  # imports torch, which takes seconds: a wrong word is answered before

        getattr(commands, options.command)(options)


if __name__ == "__main__":
    sys.exit(main())
