"""Every wrong answer is rejected, and its fault named; every right one is accepted, whatever its style."""

import json
from pathlib import Path

import pytest
import torch

from dcgan_lib.checks import check, predict
from dcgan_lib.checks.exercises import EXERCISES
from dcgan_lib.utils.errors import InputError
from tests.checks.answers import RIGHT, WRONG

ANSWERED = sorted(set(EXERCISES) - {"09.hunt"})
"""Those whose answer is code; for the hunt see tests/clinic/test_hunt.py."""


@pytest.fixture(autouse=True)
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder of their own, and at the keyboard."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DCGAN_HEADLESS", raising=False)


@pytest.mark.parametrize("name", ANSWERED)
def test_wrong_answers(name: str) -> None:
    reports = [(check(name, answer), words) for exercise, words, answer in WRONG if exercise == name]
    assert len(reports) >= 7
    assert not any(report.passed for report, _ in reports)
    misnamed = [
        (words, report.message)
        for report, words in reports
        if words not in dict(report.lines).get("This behaves like", "")
    ]
    assert misnamed == []


@pytest.mark.parametrize("name", ANSWERED)
def test_right_answers(name: str) -> None:
    answers = [answer for exercise, answer in RIGHT if exercise == name]
    assert len(answers) >= 3
    for answer in answers:
        report = check(name, answer)
        assert report.passed, report.message
        assert "Not seen by this check" in report.message


@pytest.mark.parametrize("name", ANSWERED)
def test_stubs(name: str) -> None:
    """What the notebooks leave to the reader says what to do."""
    report = check(name, lambda *_: ...)
    assert not report.passed
    assert any(words in report.message for words in ("nothing yet", "passes", "the old ones")), report.message


def test_report(capsys: pytest.CaptureFixture[str]) -> None:
    def answer(real_probs: torch.Tensor, fake_probs: torch.Tensor) -> torch.Tensor:
        return real_probs.log().mean() + fake_probs.log().sum() / undefined  # noqa: F821

    report = check("01.value", answer, hint=2)
    assert "NameError: name 'undefined' is not defined, in line" in report.message
    assert "return real_probs.log().mean() + fake_probs.log().sum() / undefined" in report.message
    assert "Hint 2 of 3" in report.message and "Hint 3" not in report.message
    assert report.message in capsys.readouterr().out
    assert "<code>return real_probs" in report.html() and "✗ not yet" in report.html()


def test_leaves_no_trace() -> None:
    """The reader's own random numbers and gradients stay as they were."""
    torch.manual_seed(3)
    before = torch.get_rng_state()
    with torch.no_grad():
        assert check("07.train_step", next(answer for name, answer in RIGHT if name == "07.train_step")).passed
    assert torch.equal(before, torch.get_rng_state())


def test_progress(capsys: pytest.CaptureFixture[str]) -> None:
    check.progress()
    assert f"Solved: 0 of {len(EXERCISES)}: none yet" in capsys.readouterr().out
    assert check("06.g_loss", dict(RIGHT)["06.g_loss"]).passed
    guess = predict("Which loss?", "the first", "the second")
    guess.chosen = "the first"
    guess.reveal("the second")
    assert "✗ You said: the first. It is: the second." in capsys.readouterr().out
    check.progress()
    out = capsys.readouterr().out
    assert f"Solved: 1 of {len(EXERCISES)}: 06.g_loss" in out and "came true: 0 of 1" in out
    assert json.loads(Path(".dcgan_progress.json").read_text())["solved"] == {"06.g_loss": True}
    Path(".dcgan_progress.json").unlink()
    assert not list(Path().iterdir())


def test_headless(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Question and answer are shown, and nothing is written."""
    monkeypatch.setenv("DCGAN_HEADLESS", "1")
    predict("Which loss?", "the first", "the second").reveal("the first")
    out = capsys.readouterr().out
    assert "Which loss?\n  - the first\n  - the second\n" in out and "It is: the first." in out
    assert not list(Path().iterdir())


def test_input_errors() -> None:
    with pytest.raises(InputError, match="There is no exercise 7: choose one of 01.value, "):
        check("7", None)
    with pytest.raises(InputError, match="'a third' is none of the choices"):
        predict("Which loss?", "the first", "the second").reveal("a third")
