"""The environment's variables that the project reads; nothing else in it does.

Taught in notebooks/02_data.ipynb.
"""

import os
import tempfile
from pathlib import Path

PROJECT = Path(__file__).parent.parent.parent
"""The checkout; of an installed package, the folder that packages are installed in."""


def default_preset() -> str:
    """The preset that `DCGAN_PRESET` names; without it, laptop."""
    return os.environ.get("DCGAN_PRESET") or "laptop"


def headless() -> bool:
    """True when no browser will answer, so that widgets show a still of the same state (`DCGAN_HEADLESS`)."""
    return _is_set("DCGAN_HEADLESS")


def wants_traceback() -> bool:
    """True when an error that a reader can mend is to show where it came from, too (`DCGAN_TRACEBACK`)."""
    return _is_set("DCGAN_TRACEBACK")


def _is_set(variable: str) -> bool:
    return os.environ.get(variable, "") not in ("", "0")


def data_root() -> Path:
    """Where data sets are looked for and downloaded to: `DCGAN_DATA`, or the project's own data folder.

    Installed as a package, there is no project, and data sets go below the user's cache folder.
    """
    if chosen := os.environ.get("DCGAN_DATA"):
        return Path(chosen).expanduser()  # no shell has seen what a .env file or %env says
    return PROJECT / "data" if _is_checkout() else _user_cache() / "data"


def cache_root() -> Path:
    """Where decoded images are kept: `DCGAN_CACHE`, or data/cache of the project.

    A data root of one's own (`DCGAN_DATA`) may be read-only or shared, and so may the project; installed as a package,
    there is no project. Caches then go to the user's cache folder, or, for a user without a home, to the system's
    folder for temporary files.
    """
    if chosen := os.environ.get("DCGAN_CACHE"):
        return Path(chosen).expanduser()
    cache = PROJECT / "data" / "cache"
    if not os.environ.get("DCGAN_DATA") and _is_checkout() and writable(cache):
        return cache
    return _user_cache()


def _is_checkout() -> bool:
    return (PROJECT / "pyproject.toml").exists()


def _user_cache() -> Path:
    user = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or os.path.expanduser("~/.cache")
    return Path(tempfile.gettempdir() if user.startswith("~") else user) / "dcgan_lib"  # a container's may have no home


def writable(folder: Path) -> bool:
    """Whether files can be made in it, or, where it is not there yet, it can be made."""
    nearest = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    return nearest.is_dir() and os.access(nearest, os.W_OK)
