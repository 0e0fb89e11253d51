"""Ctrl-C and the notebook's stop button, heard between two steps.

Used by `Trainer.train` and the live lab.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from dcgan_lib import parallel


@contextmanager
def stop_button() -> Iterator[Callable[[], bool]]:
    """Gives a function that tells whether somebody has pressed Ctrl-C, or the notebook's stop button, in this block.

    The first press does nothing else, so what is being done comes to its end; a second one interrupts at once, with
    KeyboardInterrupt. Afterwards the old handler is back. Nothing is installed outside of the main thread, which alone
    gets signals, where SIGINT is ignored, as in a background job, and under torchrun, where `parallel.team` hears it.
    """
    pressed, before = threading.Event(), signal.getsignal(signal.SIGINT)

    def press(*_: Any) -> None:
        pressed.set()
        signal.signal(signal.SIGINT, before)

    in_main = threading.current_thread() is threading.main_thread()
    if not (in_main and callable(before) and parallel.size() == 1):
        yield pressed.is_set
        return
    signal.signal(signal.SIGINT, press)
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, before)
