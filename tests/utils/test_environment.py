"""What the environment decides."""

import os
from pathlib import Path

import pytest

from dcgan_lib.utils import environment
from dcgan_lib.utils.environment import cache_root, data_root, headless


@pytest.mark.parametrize(("value", "answer"), [(None, False), ("", False), ("0", False), ("1", True), ("yes", True)])
def test_headless(value: str | None, answer: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DCGAN_HEADLESS", raising=False)
    if value is not None:
        monkeypatch.setenv("DCGAN_HEADLESS", value)
    assert headless() is answer


@pytest.mark.parametrize(
    ("variables", "data", "cache"),
    [
        ({}, "PROJECT/data", "PROJECT/data/cache"),
        ({"DCGAN_DATA": "sets"}, "sets", "user/dcgan_lib"),
        ({"DCGAN_CACHE": "fast"}, "PROJECT/data", "fast"),
        ({"DCGAN_DATA": "sets", "DCGAN_CACHE": "fast"}, "sets", "fast"),
        ({"DCGAN_DATA": "~/sets", "DCGAN_CACHE": "~/fast"}, "home/sets", "home/fast"),
    ],
)
def test_folders(variables: dict[str, str], data: str, cache: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DCGAN_DATA", "DCGAN_CACHE"):
        monkeypatch.delenv(name, raising=False)
    for name, folder in (("XDG_CACHE_HOME", "user"), ("HOME", "home"), ("USERPROFILE", "home")):
        monkeypatch.setenv(name, folder)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    project = str(Path(__file__).resolve().parents[2])
    assert data_root() == Path(data.replace("PROJECT", project))
    assert cache_root() == Path(cache.replace("PROJECT", project))


@pytest.mark.parametrize("installed", [False, True])
def test_a_project_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: bool) -> None:
    """Read-only, or a package below site-packages, where nobody looks for images."""
    for name in ("DCGAN_DATA", "DCGAN_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "user")
    monkeypatch.setattr(environment, "PROJECT", tmp_path)
    if not installed:
        (tmp_path / "pyproject.toml").touch()
        assert cache_root() == tmp_path / "data/cache"
        monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    assert cache_root() == Path("user/dcgan_lib")
    assert data_root() == (Path("user/dcgan_lib/data") if installed else tmp_path / "data")


def test_a_user_without_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DCGAN_DATA", "DCGAN_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(environment, "PROJECT", tmp_path)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    monkeypatch.setattr(environment.tempfile, "gettempdir", lambda: "temporary")
    assert cache_root() == Path("temporary/dcgan_lib")
