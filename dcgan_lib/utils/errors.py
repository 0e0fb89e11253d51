"""Errors that the reader can mend, each one sentence: what is wrong, where, and what to do next."""

import traceback

from dcgan_lib.utils.environment import wants_traceback

NO_MEMORY = (
    "MemoryError", "not enough memory", "allocate memory", "out of memory", "Storage size calculation overflowed",
)  # fmt: skip
"""What Python and torch say, torch in a RuntimeError, where a tensor is too large."""


class InputError(ValueError):
    """Something that the reader can mend; the message says what is wrong, where, and what to do next."""

    def _render_traceback_(self) -> list[str]:
        """What Jupyter shows: the sentence, and with `DCGAN_TRACEBACK` set the way to it, too."""
        if wants_traceback():
            return "".join(traceback.format_exception(self)).splitlines()
        return [f"{type(self).__name__}: {self}"]


def require(condition: bool, sentence: str) -> None:
    """Raises InputError with this sentence unless the condition holds."""
    if not condition:
        raise InputError(sentence)


def lacks_memory(error: BaseException) -> bool:
    """Whether this is an error of too little memory, whichever way Python or torch says so."""
    return isinstance(error, MemoryError | RuntimeError) and any(sign in repr(error) for sign in NO_MEMORY)
