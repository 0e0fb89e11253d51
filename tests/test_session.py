"""Steering, stopping, looking closely and going back change nothing else about a run."""

import random
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from dcgan_lib import session as session_module
from dcgan_lib.config import Config, InputError
from dcgan_lib.data import PictureSet
from dcgan_lib.divergence import Diverged
from dcgan_lib.grids import grid
from dcgan_lib.history import History
from dcgan_lib.judge import VERDICTS
from dcgan_lib.session import CONTROLS, Session
from dcgan_lib.trainer import STATEFUL, Trainer

STEERED = {"lr": 5e-3, "d_lr": 2e-3, "beta1": 0.8, "d_steps": 2, "label_smoothing": 0.25}


@pytest.fixture
def session(tiny: Config, pictures: PictureSet) -> Session:
    return Session(Trainer(tiny, pictures))


def assert_same(a: Trainer, b: Trainer) -> None:
    for name in STATEFUL:
        torch.testing.assert_close(getattr(a, name).state_dict(), getattr(b, name).state_dict(), rtol=0, atol=0)
    assert torch.equal(a.history.rows, b.history.rows)


def twin(trainer: Trainer, path: Path, **changes: float | None) -> Trainer:
    """Another trainer at the same step, built with a changed config."""
    trainer.save(path / "twin.pt")
    saved = Trainer.load(path / "twin.pt", trainer.pictures)
    built = Trainer(trainer.config.replace(**changes), trainer.pictures, saved.generator, saved.discriminator)
    for name in ("g_optimizer", "d_optimizer"):
        getattr(built, name).load_state_dict(getattr(saved, name).state_dict())
    built.history = saved.history
    return built


@pytest.mark.parametrize("names", [*[(name,) for name in CONTROLS], CONTROLS])
def test_steering_acts_on_the_very_next_step(session: Session, tmp_path: Path, names: tuple[str, ...]) -> None:
    session.advance(2)
    changes = {name: STEERED[name] for name in names}
    left, built = twin(session.trainer, tmp_path), twin(session.trainer, tmp_path, **changes)
    session.steer(**changes)
    session.advance(1)
    built.step()
    left.step()
    assert_same(session.trainer, built)
    weights = [next(trainer.discriminator.parameters()) for trainer in (session.trainer, left)]
    assert not torch.equal(*weights)


def test_ctrl_c_ends_after_a_whole_step(
    session: Session, tiny: Config, pictures: PictureSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = PictureSet.batch
    with monkeypatch.context() as patch:
        patch.setattr(PictureSet, "batch", lambda *a: (signal.raise_signal(signal.SIGINT), batch(*a))[1])
        with pytest.raises(KeyboardInterrupt, match="stopped after step 1, as asked"):
            session.advance(3)
    session.advance(2)
    straight = Trainer(tiny, pictures)
    straight.train(3)
    assert_same(session.trainer, straight)


def test_past_runs_are_not_kept_for_ever(session: Session) -> None:
    for _ in range(session_module.MOST_PAST + 3):
        session.trainer.history.append(torch.ones(5))
        session.reset()
    assert len(session.past) == session_module.MOST_PAST


def test_marks(session: Session) -> None:
    session.steer(**{name: getattr(session.trainer.config, name) for name in CONTROLS})
    assert session.marks == []
    session.steer(lr=2e-2, beta1=0.5)  # beta1 is that already
    session.advance(2)
    session.steer(d_lr=1e-4, d_steps=3)
    session.steer(d_lr=1e-4, d_steps=3)
    session.steer(d_lr=None)
    assert session.marks == [(0, "lr 0.02"), (2, "d lr 0.0001, d steps 3"), (2, "d lr as G")]


def test_a_slider_that_is_dragged_leaves_one_mark(session: Session) -> None:
    for i in range(1, 5):
        session.steer(lr=i / 100)
        session.trainer.history = History(torch.zeros(8 * i, 5))  # 8 steps later
    assert session.marks == [(0, "lr 0.04")]
    session.steer(beta1=0.9)
    session.steer(lr=0.05)
    session.trainer.history = History(torch.zeros(44, 5))
    session.steer(lr=0.06)  # somebody has come back to it
    assert session.marks == [(0, "lr 0.04"), (32, "beta1 0.9"), (32, "lr 0.05"), (44, "lr 0.06")]
    assert session.trainer.config.lr == 0.06


def test_a_bad_value_changes_nothing(session: Session) -> None:
    before = session.trainer.config
    with pytest.raises(InputError, match="beta1 must be"):
        session.steer(lr=0.01, beta1=1.5)
    assert (session.trainer.config, session.marks) == (before, [])


def test_advance_is_train(session: Session, tiny: Config, pictures: PictureSet) -> None:
    whole = Trainer(tiny, pictures)
    whole.train(7)
    for steps in (1, 0, 4, 2):
        session.advance(steps)
    assert_same(session.trainer, whole)


def test_advance_by_the_clock(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(100))  # one second passes between any two looks at it
    monkeypatch.setattr(session_module, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    for options, steps in (({"seconds": 3}, 3), ({"seconds": 0}, 1), ({"seconds": 9, "steps": 2}, 2)):
        before = session.trainer.steps_done
        session.advance(**options)
        assert session.trainer.steps_done == before + steps


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look after 3 steps instead of 25."""
    assert session_module.LOOK_EVERY == 25
    monkeypatch.setattr(session_module, "LOOK_EVERY", 3)


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("chunks", [[8], [1] * 8, [2, 2, 4]])
def test_looks(session: Session, tiny: Config, pictures: PictureSet, chunks: list[int]) -> None:
    for steps in chunks:
        session.advance(steps)
    trainer, seen = Trainer(tiny, pictures), [Trainer(tiny, pictures).sample()]
    trainer.train(6, every=3, on_progress=lambda trainer: seen.append(trainer.sample()))
    assert [look.step for look in session.looks] == [3, 6]
    assert [frame.tobytes() for frame in session.frames] == [grid(images).tobytes() for images in seen]
    real = (pictures.images / 127.5 - 1).std(0).mean()
    for look, images in zip(session.looks, seen[1:], strict=True):
        assert look.spread == pytest.approx((images.std(0).mean() / real).item(), rel=1e-4)
    change = (seen[2] - seen[1]).square().mean().sqrt() / real
    assert [look.change for look in session.looks] == pytest.approx([0, change.item()], rel=1e-4)


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("finish", ["parts", "advance"])
def test_looks_in_slow_motion(session: Session, finish: str) -> None:
    """The step has its look, whoever ends it."""
    session.advance(2)
    session.next_part()
    if finish == "advance":
        session.advance(1)
    while session.trainer.steps_done < 3:
        session.next_part()
    assert [look.step for look in session.looks] == [3]
    assert len(session.frames) == 2


@pytest.mark.parametrize("player", ["generator", "discriminator"])
def test_one_player_alone(session: Session, player: str) -> None:
    networks = {name: getattr(session.trainer, name) for name in ("generator", "discriminator")}
    before = {name: [weight.clone() for weight in network.parameters()] for name, network in networks.items()}
    session.advance(2, player=player)
    for name, network in networks.items():
        same = map(torch.equal, before[name], network.parameters())
        assert not any(same) if name == player else all(same)
    assert session.trainer.steps_done == 2


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_slow_motion(tiny: Config, pictures: PictureSet, precision: str) -> None:
    config = tiny.replace(precision=precision)
    session, whole = Session(Trainer(config, pictures)), Trainer(config, pictures)
    names = []
    for _ in range(10):
        names.append(session.next_part().name)
        session.trainer.sample()  # the reader may look at any time
    whole.train(2)
    assert names == ["real", "fake", "d_update", "g_turn", "g_update"] * 2
    assert_same(session.trainer, whole)


@pytest.mark.parametrize("parts", range(1, 6))
def test_a_slow_step_is_ended_first(session: Session, tiny: Config, pictures: PictureSet, parts: int) -> None:
    for _ in range(parts):
        session.next_part()
    session.advance(2)
    whole = Trainer(tiny, pictures)
    whole.train(3)
    assert_same(session.trainer, whole)
    assert session.next_part().name == "real"


def test_a_checkpoint_of_a_slow_step_goes_on_exactly(
    session: Session, tiny: Config, pictures: PictureSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for part in range(1, 4):  # the discriminator has learned already, the generator not yet
        assert session.trainer.steps_done == 0, part
        session.next_part()
    loaded, whole = Trainer.load(session.save_checkpoint(), pictures), Trainer(tiny, pictures)
    loaded.train(3 - loaded.steps_done)
    whole.train(3)
    assert_same(loaded, whole)


@pytest.mark.parametrize("came_with", [0, 3])
def test_reset_goes_back_bit_for_bit(tiny: Config, pictures: PictureSet, tmp_path: Path, came_with: int) -> None:
    trainer = Trainer(tiny, pictures)
    trainer.train(came_with)
    session, straight = Session(trainer), twin(trainer, tmp_path)
    straight.train(4)
    for spoil in ({"lr": 0.02}, {"d_steps": 2, "beta1": 0.9}, {"label_smoothing": 0.2}):  # more than once
        session.steer(**spoil)
        session.advance(5)
        session.next_part(), session.next_part(), session.next_part()
        session.steer(**{name: getattr(straight.config, name) for name in CONTROLS})
        session.reset()
        assert (trainer.steps_done, session.marks, len(session.frames)) == (came_with, [], 1)
        assert not [look for look in session.looks if look.step > came_with]
        random.random(), torch.rand(3)  # the reader's own random numbers play no part
        session.advance(4)
        assert_same(trainer, straight)


def test_a_reset_mends_half_a_step(tiny: Config, pictures: PictureSet, tmp_path: Path) -> None:
    """As a second press of the stop button leaves it; what the trainer knew of its last checkpoint is known again."""
    trainer = Trainer(tiny, pictures)
    trainer.guard.saved("the first.pt", 0)
    session = Session(trainer)
    session.advance(1)
    parts = trainer.parts()
    next(parts), next(parts), next(parts)
    parts.close()
    session.reset()
    trainer.save(tmp_path / "another.pt")
    session.reset()
    trainer.generator.state_dict()["layers.0.weight"].fill_(float("nan"))
    with pytest.raises(Diverged, match="go on from its last good checkpoint, the first.pt"):
        trainer.save(tmp_path / "run.pt")


def test_reset_keeps_the_controls(session: Session) -> None:
    session.steer(**STEERED)
    session.advance(1)
    session.reset()
    assert {name: getattr(session.trainer.config, name) for name in CONTROLS} == STEERED


def test_past_runs(session: Session) -> None:
    session.reset()
    assert session.past == []  # nothing has happened
    session.steer(lr=0.01)
    session.advance(2)
    picture = grid(session.trainer.sample())
    session.reset()
    session.steer(lr=0.02)
    session.trainer.history = History(torch.full((76, 5), float("nan")))
    session.reset()
    second, first = session.past
    assert (first.config.lr, first.steps, first.marks) == (0.01, 2, ((0, "lr 0.01"),))
    assert (second.config.lr, second.steps, second.marks) == (0.02, 76, ((0, "lr 0.02"),))
    assert first.picture.tobytes() == picture.tobytes()
    assert (first.verdict, second.verdict) == (VERDICTS["early"], VERDICTS["diverged"])


def test_verdict_of_a_trainer_that_came_trained(tiny: Config, pictures: PictureSet) -> None:
    """Its pictures differ as real ones do, so nothing has collapsed, although no look was taken yet."""
    trainer = Trainer(tiny, pictures)
    trainer.history = History(torch.tensor([1.2, 0.9, 0.6, 0.4, 0.4]).repeat(80, 1))
    with torch.no_grad():
        for weight in trainer.generator.parameters():
            weight.mul_(10)
    assert trainer.sample().std(0).mean() > 0.3
    assert Session(trainer).verdict() == VERDICTS["balanced"]


@pytest.mark.usefixtures("often")
def test_files(
    session: Session, tiny: Config, pictures: PictureSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs/faces").mkdir(parents=True)  # another run's
    session.advance(6)
    assert session.save_gif() == Path("runs/faces-2/progress.gif")
    with Image.open("runs/faces-2/progress.gif") as animation:
        assert animation.n_frames == 3
    assert session.save_checkpoint() == Path("runs/faces-2/checkpoint.pt")
    assert_same(Trainer.load("runs/faces-2/checkpoint.pt", pictures), session.trainer)
    assert Session(Trainer(tiny, pictures)).folder == Path("runs/faces-3")


@pytest.mark.usefixtures("often")
def test_a_long_run_keeps_few_frames(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "MOST_FRAMES", 4)
    first = session.frames[0]
    session.advance(30)
    assert len(session.frames) <= 4
    assert session.frames[0] is first
    assert session.frames[-1].tobytes() == grid(session.trainer.sample()).tobytes()
