"""Ctrl-C and the notebook's stop button, heard between two steps. Used by `Trainer.train` and the live lab."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from dcgan_lib.utils import distributed


@contextmanager
def stop_button() -> Iterator[threading.Event]:
    """Gives an event that is set once somebody has pressed Ctrl-C, or the notebook's stop button, in this block.

    The first press does nothing else, so what is being done comes to its end; a second one interrupts at once, with
    KeyboardInterrupt. Afterwards the old handler is back. Nothing is installed outside of the main thread, which alone
    gets signals, and where SIGINT is ignored, as in a background job.

    torchrun passes the terminal's Ctrl-C on to processes that have heard it already, so among several processes a
    press after the event does nothing, here and afterwards; torchrun ends what still runs half a minute later.
    """
    pressed, before = threading.Event(), signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield pressed
        return

    def press(*_: object) -> None:
        pressed.set()
        restore()

    def restore() -> None:
        heard_twice = pressed.is_set() and distributed.size() > 1
        signal.signal(signal.SIGINT, signal.SIG_IGN if heard_twice else before)

    signal.signal(signal.SIGINT, press)
    try:
        yield pressed
    finally:
        restore()
