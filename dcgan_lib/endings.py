"""How the command line ends where it cannot go on: one sentence, and the traceback only for who asks for it.

Used by `python -m dcgan_lib`.
"""

import errno
import os
import sys
from collections.abc import Callable

from dcgan_lib.config import InputError
from dcgan_lib.memory import lacks_memory
from dcgan_lib.terminal import printable

FLAG = "--traceback"
MISTAKE, BUG, STOPPED, UNHEARD = 2, 1, 130, 141
"""Exit statuses: a mistake that the reader can mend, a mistake of ours, and, as shells count them, Ctrl-C and a pipe
that nobody reads."""


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
        sys.stdout.flush()  # at Python's end it would be too late for a sentence
    except (Exception, KeyboardInterrupt) as error:
        if isinstance(error, OSError) and error.errno in (errno.EPIPE, errno.ENOSPC):
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # what Python flushes again at its end
        if isinstance(error, BrokenPipeError):  # as by `| head -1`, which has what it wanted
            return UNHEARD
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
    if lacks_memory(error):
        return MISTAKE, "This does not fit into the memory: choose a smaller size, width, batch_size or --n."
    if isinstance(error, OSError):
        if error.errno == errno.ENOSPC:  # whatever writes a file makes it an InputError
            return MISTAKE, f"The output could not be written ({error.strerror}): send it where there is room."
        where = f" at {error.filename}" if error.filename else ""
        return MISTAKE, f"The system refused ({error.strerror or words}){where}: choose another file or folder."
    return BUG, f"This is a bug ({type(error).__name__}: {words}): please report it with what {FLAG} shows."
