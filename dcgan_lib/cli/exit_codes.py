"""How the command line ends where it cannot go on: one sentence, and the traceback only for who asks for it."""

import os
import sys
from collections.abc import Callable

from dcgan_lib.utils.errors import InputError, lacks_memory

TRACEBACK = "--traceback"
MISTAKE, BUG, STOPPED = 2, 1, 130
"""Exit statuses: a mistake that the reader can mend, a mistake of ours, and, as shells count it, Ctrl-C."""


def run(act: Callable[[list[str]], None], words: list[str]) -> int:
    """`act(words)`; returns the exit status, 0 where nothing was in the way.

    With `TRACEBACK` among the words nothing is caught, so that Python shows the traceback.
    """
    sys.stdout.reconfigure(errors="backslashreplace")  # a path may hold what the terminal's encoding has no sign for
    try:
        act(words)
        sys.stdout.flush()  # at Python's end it would be too late for a sentence
    except (Exception, KeyboardInterrupt) as error:
        if TRACEBACK in words:
            raise
        if isinstance(error, OSError):
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # Python flushes it again at its end
        if isinstance(error, BrokenPipeError):  # as by `| head -1`, which has what it wanted
            return BUG
        status, sentence = explain(error)
        print(f"dcgan_lib: {sentence}", file=sys.stderr)
        return status
    return 0


def explain(error: BaseException) -> tuple[int, str]:
    """The exit status after an error, and the sentence about it."""
    if isinstance(error, InputError):
        return MISTAKE, str(error)
    if isinstance(error, KeyboardInterrupt):
        return STOPPED, "Interrupted at once: what was saved before is whole, and --resume goes on from there."
    if lacks_memory(error):
        return MISTAKE, "This does not fit into the memory: choose a smaller size, width, batch_size or --n."
    if isinstance(error, OSError):
        where = f" at {error.filename}" if error.filename else ""
        return MISTAKE, f"The system refused ({error.strerror or error}){where}: choose another file or folder."
    words = str(error).strip().partition("\n")[0].rstrip(".")
    return BUG, f"This is a bug ({type(error).__name__}: {words}): please report it with what {TRACEBACK} shows."
