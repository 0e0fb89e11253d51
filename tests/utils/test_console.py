"""What a terminal and a notebook show while something runs."""

import pytest

from dcgan_lib.utils import console


def test_headless_there_is_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "tqdm", lambda items, **options: options)
    for value, expected in (("0", {"desc": "a"}), ("1", {"desc": "a", "disable": True})):
        monkeypatch.setenv("DCGAN_HEADLESS", value)
        assert console.progress(desc="a") == expected
