"""What does not fit into the memory, whichever way Python or torch says so.

Used by `endings` and `trainer`.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from dcgan_lib.config import InputError

SIGNS = ("not enough memory", "allocate memory", "out of memory", "Storage size calculation overflowed")
"""What torch says, in a RuntimeError, where a tensor is too large."""


def lacks_memory(error: BaseException) -> bool:
    """Whether this is an error of too little memory."""
    said = isinstance(error, RuntimeError) and any(sign in str(error) for sign in SIGNS)
    return said or isinstance(error, MemoryError)


@contextmanager
def room() -> Iterator[None]:
    """Raises InputError where the networks that are made in the block do not fit into the memory."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not lacks_memory(error):
            raise
        raise InputError(
            "These networks do not fit into the memory: choose a smaller g_width, d_width, latent_dim or image_size."
        ) from error
