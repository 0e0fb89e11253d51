"""The progress bar of everything that takes a while."""

import re
from collections.abc import Iterable
from typing import Any

from tqdm.auto import tqdm

from dcgan_lib.config import headless
from dcgan_lib.terminal import printable


def progress(items: Iterable[Any] | None = None, **options: Any) -> tqdm:
    """`tqdm.auto.tqdm` with the same options: a widget in a notebook, text in a terminal.

    Headless there is none: a notebook's bar is a widget, which a stored notebook could not show, and unlike the
    terminal's it does not read tqdm's own `TQDM_DISABLE`. The description may be a file's name: the notebook's bar
    would take it for HTML, and a terminal for its own codes.
    """
    if "desc" in options:
        options["desc"] = re.sub("[<>&]", "_", printable(options["desc"]))
    return tqdm(items, **{**options, **({"disable": True} if headless() else {})})
