"""The first number that is not finite stops the run; the sentence says where it came from and where to go on."""

import re
from pathlib import Path

import pytest
import torch

from dcgan_lib.config import Config
from dcgan_lib.data import PictureSet
from dcgan_lib.divergence import Diverged, Guard
from dcgan_lib.history import History
from dcgan_lib.lab import TrainingLab
from dcgan_lib.session import Session
from dcgan_lib.trainer import STATEFUL, Trainer

NAN, INF = float("nan"), float("inf")
GOOD = [1.4, 0.7, 0.5, 0.5, 0.4]


def poison(network: torch.nn.Module) -> None:
    """What an update with a gradient that is not a number leaves."""
    with torch.no_grad():
        network.layers[0].weight[0] = NAN


@pytest.mark.parametrize(
    ("row", "network", "words"),
    [
        ([NAN, NAN, 0.5, NAN, NAN], "generator", "d_loss is nan, g_loss is nan"),
        ([NAN, NAN, NAN, NAN, NAN], "discriminator", "d_loss is nan, g_loss is nan"),
        ([1.4, NAN, 0.5, 0.5, NAN], "discriminator", "d_loss is 1.4, g_loss is nan"),
        ([INF, 0.7, 0.0, 0.5, 0.4], "discriminator", "d_loss is inf, g_loss is 0.7"),
        ([1.4, INF, 0.5, 0.5, 0.0], "generator", "d_loss is 1.4, g_loss is inf"),
    ],
)
def test_step_and_network(row: list[float], network: str, words: str) -> None:
    history = History(torch.tensor([GOOD] * 70 + [row, [NAN] * 5]))
    with pytest.raises(Diverged, match=re.escape(f"The {network} has diverged at step 71 ({words}), so the run has")):
        Guard(torch.device("cpu")).losses(history)


def test_an_accelerator_is_asked_every_fifty_steps() -> None:
    """meta stands in for it: nothing there can be read."""
    guard = Guard(torch.device("meta"))
    row = torch.empty(5, device="meta")
    for step in range(1, 50):
        guard.after_step(row, step, None)
    guard.after_step(row, 100, History(torch.tensor([[NAN] * 5] * 50 + [GOOD] * 50)))  # told when it was new
    with pytest.raises(Diverged, match="at step 51 "):
        guard.after_step(row, 100, History(torch.tensor([GOOD] * 50 + [[NAN] * 5] * 50)))


@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_a_run_stops_at_that_step(tiny: Config, pictures: PictureSet, tmp_path: Path, network: str) -> None:
    trainer, reports = Trainer(tiny, pictures), []
    trainer.train(3)
    trainer.save(tmp_path / "run.pt")
    poison(getattr(trainer, network))
    with pytest.raises(Diverged) as raised:
        trainer.train(3, every=1, on_progress=lambda trainer: reports.append(trainer.steps_done))
    assert str(raised.value) == (
        f"The {network} has diverged at step 4 (d_loss is nan, g_loss is nan), so the run has stopped: go on from its "
        f"last good checkpoint, {tmp_path / 'run.pt'} of step 3, with a lower lr."
    )
    assert (trainer.steps_done, reports) == (4, [])
    good = trainer.history.rows[:3]
    assert good.isfinite().all()
    again = Trainer.load(tmp_path / "run.pt", pictures, lr=1e-4)
    assert torch.equal(again.history.rows, good)
    poison(again.generator)
    with pytest.raises(Diverged, match=re.escape(f"{tmp_path / 'run.pt'} of step 3, with")):
        again.step()


def test_no_checkpoint(tiny: Config, pictures: PictureSet) -> None:
    trainer = Trainer(tiny, pictures)
    poison(trainer.generator)
    with pytest.raises(Diverged, match="there is no checkpoint of it, so start again with a lower lr.$"):
        trainer.step()


@pytest.mark.parametrize("network", ["generator", "discriminator"])
@pytest.mark.parametrize("part", ["layers.0.weight", "layers.1.running_mean"])
def test_a_bad_weight_is_never_saved(
    tiny: Config, pictures: PictureSet, tmp_path: Path, network: str, part: str
) -> None:
    """The losses of the step that spoiled it are all good still."""
    trainer = Trainer(tiny, pictures)
    trainer.train(2)
    trainer.save(tmp_path / "run.pt")
    before = (tmp_path / "run.pt").read_bytes()
    state = getattr(trainer, network).state_dict()
    name = part if part in state else next(name for name in state if name.endswith(part.split(".")[-1]))
    state[name][0] = INF
    with pytest.raises(Diverged, match=f"The {network} has diverged by step 2 \\({name} is not finite\\)"):
        trainer.save(tmp_path / "run.pt")
    assert (tmp_path / "run.pt").read_bytes() == before


def test_a_session_is_as_new_after_a_reset(tiny: Config, pictures: PictureSet) -> None:
    session, untouched = Session(Trainer(tiny, pictures)), Trainer(tiny, pictures)
    session.advance(2)
    poison(session.trainer.generator)
    with pytest.raises(Diverged):
        session.advance(5)
    assert (session.trainer.steps_done, session.verdict().kind) == (3, "diverged")
    session.reset()
    session.advance(2)
    untouched.train(2)
    for name in STATEFUL:
        torch.testing.assert_close(
            getattr(session.trainer, name).state_dict(), getattr(untouched, name).state_dict(), rtol=0, atol=0
        )


@pytest.mark.parametrize("slow", [False, True])
def test_the_lab_stops_and_reset_mends_it(
    tiny: Config, pictures: PictureSet, monkeypatch: pytest.MonkeyPatch, slow: bool
) -> None:
    monkeypatch.delenv("DCGAN_HEADLESS", raising=False)
    lab = TrainingLab(Trainer(tiny, pictures))
    lab.slow.value = slow
    lab.draw()
    shown = lab.pictures.value
    poison(lab.session.trainer.generator)
    lab.play()
    for _ in range(6):
        lab._drawn = 0.0
        if lab.running:
            shown = lab.pictures.value
            lab._ticker.widget.value += 1
    assert (lab.running, lab.session.trainer.steps_done) == (False, 1)
    assert "The generator has diverged at step 1 (" in lab.status.value
    assert "Diverged" in lab.verdict.value
    assert lab.pictures.value == shown
    lab.reset_button.click()
    lab.start.click()
    lab._ticker.widget.value += 1
    assert (lab.running, lab.error) == (True, None)
    assert "diverged" not in lab.status.value
    lab.stop()
