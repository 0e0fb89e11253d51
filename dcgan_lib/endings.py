"""How the command line ends where it cannot go on: one sentence, and the traceback only for who asks for it.

Used by `python -m dcgan_lib`.
"""

import sys
from collections.abc import Callable

from dcgan_lib.config import InputError
from dcgan_lib.terminal import printable

FLAG = "--traceback"
MISTAKE, BUG, STOPPED = 2, 1, 130
"""Exit statuses: a mistake that the reader can mend, a mistake of ours, and Ctrl-C as shells count it."""
NO_MEMORY = ("not enough memory", "allocate memory", "out of memory", "Storage size calculation overflowed")
"""What torch says, in a RuntimeError, where a tensor is too large."""


def run(act: Callable[[list[str]], None], words: list[str]) -> int:
    """`act(words)` without `FLAG` among the words; returns the exit status, 0 where nothing was in the way.

    With `FLAG` nothing is caught, so that Python shows the traceback.
    """
    if hasattr(sys.stdout, "reconfigure"):  # a path may hold what the terminal's encoding has no sign for
        sys.stdout.reconfigure(errors="backslashreplace")
    if FLAG in words:
        act([word for word in words if word != FLAG])
        return 0
    try:
        act(words)
    except (Exception, KeyboardInterrupt) as error:
        status, sentence = _explain(error)
        print(f"dcgan_lib: {printable(sentence)}", file=sys.stderr)
        return status
    return 0


def _explain(error: BaseException) -> tuple[int, str]:
    words = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
    if isinstance(error, InputError):
        return MISTAKE, str(error)
    if isinstance(error, KeyboardInterrupt):
        return STOPPED, "Stopped before there was anything to save."
    if isinstance(error, MemoryError) or isinstance(error, RuntimeError) and any(sign in words for sign in NO_MEMORY):
        return MISTAKE, "This does not fit into the memory: choose a smaller size, width, batch_size or --n."
    if isinstance(error, OSError):
        where = f" at {error.filename}" if error.filename else ""
        return MISTAKE, f"The system refused ({error.strerror or words}){where}: choose another file or folder."
    return BUG, f"This is a bug ({type(error).__name__}: {words}): please report it with what {FLAG} shows."
