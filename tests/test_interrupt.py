"""The first press is noted, the second interrupts, and afterwards everything is as it was."""

import signal
import threading
from collections.abc import Iterator

import pytest

from dcgan_lib import parallel
from dcgan_lib.interrupt import stop_button


@pytest.fixture(autouse=True)
def handler() -> Iterator[None]:
    """Python's own at the beginning and after every test, whatever pytest runs in."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press() -> None:
    signal.raise_signal(signal.SIGINT)


def test_a_press_is_noted_and_the_next_one_interrupts() -> None:
    with pytest.raises(KeyboardInterrupt), stop_button() as pressed:
        assert not pressed.is_set()
        press()
        assert pressed.is_set()
        press()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("presses", [0, 1])
def test_the_old_handler_comes_back(presses: int) -> None:
    heard = []
    signal.signal(signal.SIGINT, lambda *_: heard.append("old"))
    with stop_button() as pressed:
        for _ in range(presses):
            press()
    assert (pressed.is_set(), heard) == (bool(presses), [])
    press()
    assert heard == ["old"]


def test_an_error_in_the_block_brings_the_old_handler_back() -> None:
    with pytest.raises(ZeroDivisionError), stop_button():
        _ = 1 / 0
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


@pytest.mark.parametrize("early", [False, True])
def test_among_several_processes_torchruns_second_press_does_nothing(
    early: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "size", lambda: 2)
    with stop_button() as pressed:
        press()
        if early:
            press()
    press()
    assert pressed.is_set()


def test_another_process_may_have_heard_it_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "size", lambda: 2)
    with stop_button() as pressed:
        pressed.set()
    press()


def test_several_processes_that_nobody_stopped_have_the_old_handler_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "size", lambda: 2)
    with stop_button():
        pass
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
