"""Each broken trainer is broken in one line, runs, and its line alone passes the check."""

import inspect

import pytest
import torch

from dcgan_lib.checks import check
from dcgan_lib.clinic import play
from dcgan_lib.clinic.hunt import FAULTS, BrokenTrainer, fault, line_number
from dcgan_lib.data import load_images
from dcgan_lib.utils.errors import InputError


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("seed", range(len(FAULTS)))
def test_one_line(seed: int) -> None:
    old, new = fault(seed)
    lines = inspect.getsource(play).splitlines()
    (changed_line,) = [i for i, line in enumerate(lines, 1) if old in line]
    assert "\n" not in old + new and changed_line == line_number(old)
    for answer in range(1, len(lines) + 1):
        assert check("09.hunt", answer, seed=seed).passed == (answer == changed_line)
    assert check("09.hunt", lines[changed_line - 1], seed=seed).passed
    trainer, healthy = BrokenTrainer(load_images("faces", 32), seed), play(load_images("faces", 32), seed)
    seen, well = trainer.train(2), [next(healthy) for _ in range(2)][-1]
    weights = [
        torch.cat([p.flatten() for n in (s.generator, s.discriminator) for p in n.parameters()]) for s in (seen, well)
    ]
    assert not torch.equal(*weights)


def test_every_fault_has_its_turn() -> None:
    for start in (0, len(FAULTS)):
        assert sorted(fault(seed) for seed in range(start, start + len(FAULTS))) == sorted(FAULTS)


def test_what_is_no_line() -> None:
    assert "nothing yet" in check("09.hunt", ..., seed=0).message
    assert "a line of the loop, 1 to 26" in check("09.hunt", 99, seed=0).message
    with pytest.raises(InputError, match="needs the seed"):
        check("09.hunt", 3)
