"""A bar takes file names as descriptions, whatever is in them."""

import pytest
import tqdm.notebook

from dcgan_lib import progress as progress_module


def test_no_markup_reaches_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    """tqdm's widget would show it as HTML until the first step is done."""
    monkeypatch.setenv("DCGAN_HEADLESS", "0")
    monkeypatch.setattr(progress_module, "tqdm", tqdm.notebook.tqdm)
    name = "folder:<img src=x onerror=alert(1)>&lt;\x1b[31m"
    bar = progress_module.progress(total=1, desc=name, disable=False, display=False)
    seen = [part.value for part in bar.container.children if isinstance(part.value, str)]
    assert any("folder:" in value for value in seen)
    assert not any(sign in value for value in seen for sign in ("<img", "\x1b"))


def test_plain_descriptions_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DCGAN_HEADLESS", "0")
    monkeypatch.setattr(progress_module, "tqdm", lambda items, **options: options["desc"])
    assert progress_module.progress(desc="folder:/写真/2024 (a)") == "folder:/写真/2024 (a)"
