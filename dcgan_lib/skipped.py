"""Pictures that cannot be read: a few are left out, counted and listed; many stop the load.

Used by `cache`.
"""

import sys
from pathlib import Path

from dcgan_lib.config import InputError
from dcgan_lib.terminal import printable
from dcgan_lib.writing import write_text

MOST_SKIPPED = 0.10
"""The largest share of a source's pictures that may be left out."""


def report_of(cache: Path) -> Path:
    """The report file that lies beside a cache file."""
    return cache.with_suffix(".skipped.txt")


def require_few(bad: dict[int, tuple[Path, str]], count: int) -> None:
    """Raises InputError where more than `MOST_SKIPPED` of `count` pictures are bad.

    Args:
        bad: for each number of a bad picture its file and what is wrong with it.
    """
    if len(bad) > MOST_SKIPPED * count:
        path, reason = bad[min(bad)]
        raise InputError(
            f"{len(bad)} of {count} pictures cannot be read, {len(bad) / count:.0%} where at most {MOST_SKIPPED:.0%} "
            f"may be left out, and the first is {path} ({reason}): repair these files or take them out."
        )


def write_report(cache: Path, bad: dict[int, tuple[Path, str]], count: int) -> None:
    """Write the report file, one line a picture, and say in one sentence on stderr that it is there."""
    first = bad[min(bad)][0]
    lines = [f"{len(bad)} of {count} pictures were left out: number, file, what is wrong with it"]
    lines += [f"{number}\t{printable(str(path))}\t{reason}" for number, (path, reason) in sorted(bad.items())]
    write_text(report_of(cache), "\n".join(lines) + "\n")
    said = f"{len(bad)} of {count} pictures cannot be read and are left out, the first {first}"
    said += f": {report_of(cache)} lists what is wrong."
    print(printable(said), file=sys.stderr)


def read_report(cache: Path) -> list[int]:
    """The numbers of the pictures that a cache was made without; none where there is no report that can be read."""
    try:
        return [int(line.split("\t")[0]) for line in report_of(cache).read_text(encoding="utf-8").splitlines()[1:]]
    except (OSError, ValueError):
        return []
