"""Every notebook in the collection keeps the rules of tools/rules.py, which test_tools.py tests themselves."""

from pathlib import Path

import pytest

from tools import rules

ALL = rules.notebooks()
LESSONS = [path for path in ALL if path.parent.name == "notebooks"]


def name_of(path: Path) -> str:
    return str(path.relative_to(rules.ROOT))


@pytest.mark.parametrize("path", ALL, ids=name_of)
def test_stored_form(path: Path) -> None:
    """Bootstrap cell, fresh outputs, tidy metadata, size; no stderr, error, warning, widget or machine path."""
    assert list(rules.stored_problems(path)) == []


@pytest.mark.parametrize("path", LESSONS, ids=name_of)
def test_lesson(path: Path) -> None:
    """Length, balance, badge, ending, and nothing about where packages come from."""
    assert list(rules.lesson_problems(path)) == []
