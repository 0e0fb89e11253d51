"""Steering, stopping and going back change nothing else about a run."""

import random
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from dcgan_lib.config import Config
from dcgan_lib.data.dataset import ImageDataset
from dcgan_lib.history import History
from dcgan_lib.images import grid
from dcgan_lib.lab import session as session_module
from dcgan_lib.lab.session import CONTROLS, Session
from dcgan_lib.losses import discriminator_loss, generator_loss
from dcgan_lib.trainer import Trainer
from dcgan_lib.utils.errors import InputError

STEERED = {"lr": 5e-3, "d_lr": 2e-3, "beta1": 0.8, "d_steps": 2, "label_smoothing": 0.25}


def assert_same(a: Trainer, b: Trainer) -> None:
    torch.testing.assert_close(a.tensors(), b.tensors(), rtol=0, atol=0)


def twin(trainer: Trainer, **changes: float | None) -> Trainer:
    """Another trainer at the same step, built with a changed config."""
    built = Trainer(trainer.config.replace(**changes), trainer.dataset)
    built.restore(trainer.tensors())
    return built


@pytest.mark.parametrize("names", [*[(name,) for name in CONTROLS], CONTROLS])
def test_steering_acts_on_the_very_next_step(session: Session, names: tuple[str, ...]) -> None:
    session.advance(2)
    changes = {name: STEERED[name] for name in names}
    left, built = twin(session.trainer), twin(session.trainer, **changes)
    session.steer(**changes)
    session.advance(1)
    built.step()
    left.step()
    assert_same(session.trainer, built)
    weights = [next(trainer.discriminator.parameters()) for trainer in (session.trainer, left)]
    assert not torch.equal(*weights)


def test_marks(session: Session) -> None:
    session.steer(**{name: getattr(session.trainer.config, name) for name in CONTROLS})
    assert session.marks == []
    session.steer(lr=2e-2, beta1=0.5)  # beta1 is that already
    session.advance(2)
    session.steer(d_lr=1e-4, d_steps=3)
    session.steer(d_lr=1e-4, d_steps=3)
    session.steer(d_lr=None)
    assert session.marks == [(0, "lr 0.02"), (2, "lr of D 0.0001, k 3"), (2, "lr of D as G")]


def test_a_slider_that_is_dragged_leaves_one_mark(session: Session) -> None:
    for i in range(1, 5):
        session.steer(lr=i / 100)
        session.trainer.history = History(torch.zeros(8 * i, 5))  # 8 steps later
    assert session.marks == [(24, "lr 0.04")]
    session.steer(beta1=0.9)
    session.steer(lr=0.05)
    session.trainer.history = History(torch.zeros(44, 5))
    session.steer(lr=0.06)  # somebody has come back to it
    assert session.marks == [(24, "lr 0.04"), (32, "beta1 0.9"), (32, "lr 0.05"), (44, "lr 0.06")]
    assert session.trainer.config.lr == 0.06


def test_a_bad_value_changes_nothing(session: Session) -> None:
    before = session.trainer.config
    with pytest.raises(InputError, match="beta1 must be"):
        session.steer(lr=0.01, beta1=1.5)
    assert (session.trainer.config, session.marks) == (before, [])


def test_advance_is_train(session: Session, tiny: Config, dataset: ImageDataset) -> None:
    whole = Trainer(tiny, dataset)
    whole.train(7)
    for steps in (1, 0, 4, 2):
        step = session.advance(steps)
        assert step is None if steps == 0 else torch.equal(step.row(), session.trainer.history.rows[-1])
    assert_same(session.trainer, whole)


def test_advance_by_the_clock(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(100))  # one second passes between any two looks at it
    monkeypatch.setattr(session_module, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    for options, steps in (({"seconds": 3}, 3), ({"seconds": 0}, 1), ({"seconds": 9, "steps": 2}, 2)):
        before = session.trainer.steps_done
        session.advance(**options)
        assert session.trainer.steps_done == before + steps


@pytest.mark.parametrize("player", ["generator", "discriminator", None])
def test_ctrl_c_ends_after_a_whole_step(session: Session, monkeypatch: pytest.MonkeyPatch, player: str | None) -> None:
    straight, batch = Session(twin(session.trainer)), ImageDataset.batch
    act = lambda session: session.step_alone(player) if player else session.advance(1)  # noqa: E731
    with monkeypatch.context() as patch:
        patch.setattr(ImageDataset, "batch", lambda *a: (signal.raise_signal(signal.SIGINT), batch(*a))[1])
        with pytest.raises(KeyboardInterrupt, match="stopped after step 1, as asked"):
            act(session)
    act(straight)
    for each in (session, straight):
        each.advance(2)
    assert_same(session.trainer, straight.trainer)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_discriminator_alone(tiny: Config, dataset: ImageDataset, precision: str) -> None:
    """It learns as in a whole step, and the step has the same numbers; the generator's weights stay."""
    session = Session(Trainer(tiny.replace(precision=precision, label_smoothing=0.2), dataset))
    for _ in range(2):
        before, whole = twin(session.trainer).tensors(), twin(session.trainer)
        session.step_alone("discriminator")
        whole.step()
        found, expected = session.trainer.tensors(), whole.tensors()
        for name in expected:
            if name.startswith(("discriminator", "d_optimizer", "history")):
                assert torch.equal(found[name], expected[name]), name
            elif "running" not in name and "num_batches" not in name:
                assert torch.equal(found[name], before[name]), name


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_generator_alone(tiny: Config, dataset: ImageDataset, precision: str) -> None:
    """It learns from the discriminator as that is, whose weights stay."""
    session = Session(Trainer(tiny.replace(precision=precision), dataset))
    session.advance(1)
    by_hand = twin(session.trainer)
    session.step_alone("generator")
    real, z = by_hand.begin_step()
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
        logits = by_hand.discriminator(by_hand.generator(z))
        real_logits = by_hand.discriminator(real)
    by_hand.g_optimizer.zero_grad()
    generator_loss(logits).backward()
    by_hand.g_optimizer.step()
    for name in ("generator", "discriminator"):
        networks = [getattr(trainer, name) for trainer in (session.trainer, by_hand)]
        assert all(map(torch.equal, *(network.parameters() for network in networks))), name
    d_x, d_gz = (values.float().sigmoid().mean() for values in (real_logits, logits))
    row = torch.stack([discriminator_loss(real_logits, logits), generator_loss(logits), d_x, d_gz, d_gz])
    torch.testing.assert_close(session.trainer.history.rows[1], row)


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fixed z are measured after 3 steps instead of 25."""
    assert session_module.SAMPLE_EVERY == 25
    monkeypatch.setattr(session_module, "SAMPLE_EVERY", 3)


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("chunks", [[8], [2, 2, 4]])
def test_samples(session: Session, tiny: Config, dataset: ImageDataset, chunks: list[int]) -> None:
    for steps in chunks:
        session.advance(steps)
    trainer = Trainer(tiny, dataset)
    averaged, seen = [trainer.sample()], [trainer.sample(raw=True)]
    for _ in range(2):
        trainer.train(3)
        averaged.append(trainer.sample())
        seen.append(trainer.sample(raw=True))
    assert len(session.samples) == 2
    assert [frame.tobytes() for frame in session.frames] == [grid(images).tobytes() for images in averaged]
    real = (dataset.images / 127.5 - 1).std(0).mean()
    for stats, images in zip(session.samples, seen[1:], strict=True):
        assert stats.diversity == pytest.approx((images.std(0).mean() / real).item(), rel=1e-4)
    change = (seen[2] - seen[1]).square().mean().sqrt() / real
    assert [stats.change for stats in session.samples] == pytest.approx(
        [float("nan"), change.item()], rel=1e-4, nan_ok=True
    )


@pytest.mark.parametrize("came_with", [0, 3])
def test_reset_goes_back_bit_for_bit(tiny: Config, dataset: ImageDataset, came_with: int) -> None:
    """More than once, and from half a step, as a second press of the stop button leaves it."""
    trainer = Trainer(tiny, dataset)
    trainer.train(came_with)
    session, beginning, straight = Session(trainer), twin(trainer), twin(trainer)
    straight.train(4)
    for spoil in ({"lr": 0.02}, {"d_steps": 2, "beta1": 0.9}, {"label_smoothing": 0.2}):
        session.steer(**spoil)
        session.advance(5)
        session.step_alone("generator")
        trainer.begin_step()
        session.steer(**{name: getattr(straight.config, name) for name in CONTROLS})
        session.reset()
        assert trainer.config == straight.config
        assert_same(trainer, beginning)  # Adam remembers nothing that is not there yet
        assert (session.marks, session.samples, len(session.frames)) == ([], [], 1)
        random.random(), torch.rand(3)  # the reader's own random numbers play no part
        session.advance(4)
        assert_same(trainer, straight)


def test_verdict_of_a_trainer_that_came_trained(tiny: Config, dataset: ImageDataset) -> None:
    """Nothing has been measured yet, so nothing has collapsed, and nobody knows whether all is well."""
    trainer = Trainer(tiny, dataset)
    trainer.history = History(torch.tensor([1.2, 0.9, 0.6, 0.4, 0.4]).repeat(80, 1))
    assert Session(trainer).verdict() == "early"


@pytest.mark.usefixtures("often")
def test_files(
    session: Session, tiny: Config, dataset: ImageDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs/faces").mkdir(parents=True)  # another run's
    session.advance(6)
    assert session.folder == Path("runs/faces-2")
    session.folder.mkdir()
    assert session.folder == Path("runs/faces-2")
    assert Session(Trainer(tiny, dataset)).folder == Path("runs/faces-3")


@pytest.mark.usefixtures("often")
def test_a_long_run_keeps_few_frames(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "MOST_FRAMES", 4)
    first = session.frames[0]
    session.advance(30)
    assert len(session.frames) <= 4
    assert session.frames[0] is first
    assert session.frames[-1].tobytes() == grid(session.trainer.sample()).tobytes()
