"""Where a new run is written: a folder whose name is free, and that every system takes.

Used by `dcgan_lib train` and the live lab.
"""

import os
import re
from pathlib import Path

from dcgan_lib.config import Config

RESERVED = re.compile(r"(con|prn|aux|nul|com[\d¹²³]|lpt[\d¹²³])", re.IGNORECASE)
"""Names that Windows keeps for itself."""


def free_folder(config: Config) -> Path:
    """runs/NAME, or runs/NAME-2, -3 ... where that is taken; a name that every system takes."""
    stem = re.sub(r"\W+", "_", Path(config.data).name).strip("_")[:60] or "run"
    stem += "_" * bool(RESERVED.fullmatch(stem))
    numbered = (Path("runs") / (stem if i == 1 else f"{stem}-{i}") for i in range(1, 1_000_000))
    return next(folder for folder in numbered if not os.path.exists(folder))
