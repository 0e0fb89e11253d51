"""The repository's name in links: one placeholder until somebody publishes it, and what replaces it."""

import re
import subprocess
import tomllib
from pathlib import Path

PLACEHOLDER = "/".join(("OWNER", "REPO"))  # in two parts, so that no file of a published copy holds the placeholder
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,38}/(?!\.+$)[\w.-]{1,100}", re.ASCII)


class LinkError(ValueError):
    """What is wrong with a name or a checkout, in one sentence."""


def current(root: Path) -> str:
    """The name that the links in this checkout carry now."""
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["dcgan"]["repository"]


def rename(text: str, old: str, new: str) -> str:
    """`text` with `new` wherever a link to GitHub (or the setting that remembers the name) says `old`.

    Only there: a published name may be as short as a/b, which also is a fraction.
    """
    places = r'(github(?:usercontent)?(?:\.com)?[/:]|repository = ")'
    return re.sub(rf"{places}{re.escape(old)}(?![\w-])", lambda match: match[1] + new, text)


def set_links(root: Path, name: str) -> list[Path]:
    """Write `name` into every text file of the checkout, and say which files that changed.

    Raises:
        LinkError: the name is malformed, or git cannot list the files.
    """
    if not NAME.fullmatch(name):
        raise LinkError(f'REPO must read owner/name, as in the address of your repository, and "{name}" does not.')
    git = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(git, cwd=root, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        raise LinkError(f"git cannot list the files of {root}: run this in a clone of the repository.") from None
    old, changed = current(root), []
    for path in sorted({root / file.decode() for file in listed.split(b"\0") if file}):
        if not path.is_file() or path.is_symlink():
            continue
        try:
            before = path.read_bytes().decode()
        except UnicodeDecodeError:  # a picture
            continue
        after = rename(before, old, name)
        if after != before:
            path.write_bytes(after.encode())
            changed.append(path)
    return changed
