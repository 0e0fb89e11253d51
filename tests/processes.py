"""Processes for tests: forks of one that has imported torch once, for that takes longer than what most of them do."""

import multiprocessing
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from dcgan_lib import __main__

if "forkserver" not in multiprocessing.get_all_start_methods():
    pytest.skip("this system cannot fork", allow_module_level=True)
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["processes", "dcgan_lib.cli.commands", "sklearn.datasets"])


class Fork:
    """`act(*arguments)` in a process of its own, with these variables; what it prints goes to two files.

    It is as much of `subprocess.Popen` as benchmarks/kills.py needs.
    """

    def __init__(self, act: Callable[..., object], *arguments: object, output: Path, **variables: object) -> None:
        self.output, environment = output, {name: str(value) for name, value in variables.items()}
        output.mkdir(parents=True, exist_ok=True)
        self.process = FORKS.Process(target=begin, args=(act, arguments, output, environment))
        self.process.start()
        self.pid = self.process.pid

    def poll(self) -> int | None:
        return self.process.exitcode

    def wait(self) -> int:
        self.process.join(120)
        if self.process.exitcode is None:
            self.process.kill()
            pytest.fail("a process hangs")
        return self.process.exitcode

    @property
    def stdout(self) -> str:
        return (self.output / "stdout").read_text()

    @property
    def stderr(self) -> str:
        return (self.output / "stderr").read_text()


def begin(act: Callable[..., object], arguments: tuple, output: Path, variables: dict[str, str]) -> None:
    """The beginning of a fork."""
    torch.set_num_threads(1)
    os.environ.update(variables)
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(output / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    act(*arguments)


def command_line(*words: object) -> None:
    """`python -m dcgan_lib WORDS`."""
    sys.argv = ["dcgan_lib", *map(str, words)]
    sys.exit(__main__.main())
