"""The properties of benchmarks/fuzz.py hold for a handful of examples, always the same; and it would see a failure."""

from pathlib import Path

import pytest

from benchmarks import fuzz
from dcgan_lib.data import cache


@pytest.mark.parametrize("target", fuzz.TARGETS)
def test_result_or_one_sentence(target: str) -> None:
    fuzz.fuzz(target, examples=25)


def test_a_failure_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(path: Path, shape: tuple[int, ...]) -> None:
        if len(path.read_bytes()) < 1000:
            raise ZeroDivisionError

    monkeypatch.setattr(cache, "read", read)
    with pytest.raises(ZeroDivisionError):
        fuzz.fuzz("cache", examples=40)
