"""The first press is noted, the second interrupts, and afterwards everything is as it was."""

import signal
import threading
from collections.abc import Iterator

import pytest

from dcgan_lib.utils import distributed
from dcgan_lib.utils.stop_button import stop_button


@pytest.fixture(autouse=True)
def heard() -> Iterator[list[str]]:
    """A handler of our own at the beginning, whatever pytest runs in, and what it has heard."""
    heard: list[str] = []
    before = signal.signal(signal.SIGINT, lambda *_: heard.append("old"))
    yield heard
    signal.signal(signal.SIGINT, before)


def press() -> None:
    signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("presses", [0, 1, 2])
def test_one_press_is_noted_and_the_old_handler_comes_back(presses: int, heard: list[str]) -> None:
    with stop_button() as pressed:
        for _ in range(presses):
            press()
            assert pressed.is_set()
    assert (pressed.is_set(), heard) == (bool(presses), ["old"] * (presses == 2))
    press()
    assert len(heard) == (1, 1, 2)[presses]


def test_a_second_press_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.raises(KeyboardInterrupt), stop_button():
        press()
        press()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_background_job_goes_on_ignoring() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with stop_button() as pressed:
        press()
        assert not pressed.is_set()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_nothing_is_installed_in_another_thread() -> None:
    """There `signal.signal` would raise."""
    seen = []

    def run() -> None:
        with stop_button() as pressed:
            seen.append(pressed.is_set())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [False]


@pytest.mark.parametrize("by", ["a press", "two presses", "another process", "nobody"])
def test_among_several_processes_torchruns_second_press_does_nothing(by: str, heard: list[str], monkeypatch) -> None:
    monkeypatch.setattr(distributed, "size", lambda: 2)
    with stop_button() as pressed:
        for _ in range({"a press": 1, "two presses": 2}.get(by, 0)):
            press()
        if by == "another process":
            pressed.set()
    press()
    assert heard == (["old"] if by == "nobody" else [])
