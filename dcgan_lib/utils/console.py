"""What a terminal or a notebook shows while something runs."""

import sys
from collections.abc import Iterable
from typing import Any

from tqdm.auto import tqdm

from dcgan_lib.utils import distributed
from dcgan_lib.utils.environment import headless


def progress(items: Iterable[Any] | None = None, **options: Any) -> tqdm:
    """`tqdm.auto.tqdm` with the same options: a widget in a notebook, text in a terminal.

    Headless there is none: a notebook's bar is a widget, which a stored notebook could not show, and unlike the
    terminal's it does not read tqdm's own `TQDM_DISABLE`.
    """
    return tqdm(items, **{**options, **({"disable": True} if headless() else {})})


def tell(sentence: str) -> None:
    """Say on stderr, once for all processes, what a reader should know of the data."""
    if distributed.is_first():  # Jupyter's stderr takes only Unicode, and a file's name may be anything
        print(sentence.encode(errors="backslashreplace").decode(), file=sys.stderr)
