"""A run is a function of its config; stopping, resuming and steering it do exactly what they say."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from dcgan_lib import loop
from dcgan_lib import trainer as trainer_module
from dcgan_lib.config import Config, InputError
from dcgan_lib.data import PictureSet
from dcgan_lib.history import History
from dcgan_lib.networks import Discriminator, Generator
from dcgan_lib.rng import rng
from dcgan_lib.sampling import draw_z
from dcgan_lib.sampling import sample as sample_of
from dcgan_lib.trainer import STATEFUL, Trainer
from dcgan_lib.training import Part, train_step


def assert_same(a: Trainer, b: Trainer) -> None:
    for name in STATEFUL:
        torch.testing.assert_close(getattr(a, name).state_dict(), getattr(b, name).state_dict(), rtol=0, atol=0)
    assert torch.equal(a.history.rows, b.history.rows)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[SimpleNamespace]:
    """What `step_parts` was called with, instead of training."""
    seen = []

    def record(generator, discriminator, g_optimizer, d_optimizer, real, z, dtype, real_label) -> Iterator[Part]:
        modes = generator.training, discriminator.training
        order = g_optimizer.param_groups[0]["params"][0] is next(generator.parameters())
        lrs = {optimizer.param_groups[0]["lr"] for optimizer in (g_optimizer, d_optimizer)}
        seen.append(SimpleNamespace(real=real, z=z, dtype=dtype, modes=modes, order=order, lrs=lrs))
        yield Part("g_update", real, torch.zeros(len(real)), torch.zeros(5))

    monkeypatch.setattr(trainer_module, "step_parts", record)
    return seen


def test_same_seed_same_run(tiny: Config, pictures: PictureSet) -> None:
    a, b, other = Trainer(tiny, pictures), Trainer(tiny, pictures), Trainer(tiny.replace(seed=4), pictures)
    a.train(3)
    torch.manual_seed(99)  # the reader's own random numbers play no part
    b.train(3)
    other.train(3)
    assert_same(a, b)
    assert not torch.equal(a.history.rows, other.history.rows)
    assert not torch.equal(a.fixed_z, other.fixed_z)


def test_resumed_run_equals_an_uninterrupted_one(tiny: Config, pictures: PictureSet, tmp_path: Path) -> None:
    whole, first = Trainer(tiny, pictures), Trainer(tiny, pictures)
    whole.train(6)
    first.train(4)  # in the middle of the second epoch
    first.sample()
    first.save(tmp_path / "run.pt")
    second = Trainer.load(tmp_path / "run.pt", pictures)
    assert (second.config, second.steps_done) == (first.config, 4)
    second.train()
    assert second.steps_done == 6
    assert_same(whole, second)


def test_two_runs_in_one_process_share_nothing(tiny: Config, pictures: PictureSet) -> None:
    """Step by step beside each other they are what each is alone."""
    configs = tiny, tiny.replace(seed=4, lr=5e-3, d_steps=2)
    alone, beside = ([Trainer(config, pictures) for config in configs] for _ in range(2))
    for trainer in alone:
        trainer.train(4)
    for _ in range(4):
        for trainer in beside:
            trainer.step()
            trainer.sample()
    for pair in zip(alone, beside, strict=True):
        assert_same(*pair)


def test_what_a_step_gets(tiny: Config, pictures: PictureSet, calls: list[SimpleNamespace]) -> None:
    trainer = Trainer(tiny.replace(batch_size=7, precision="bfloat16"), pictures)
    trainer.generator.eval(), trainer.discriminator.eval()
    trainer.train(6)
    for epoch in (calls[:3], calls[3:]):  # 21 pictures are three batches: each picture once
        seen = torch.cat([call.real for call in epoch]).flatten(1)
        wanted = pictures.images.flatten(1) / 127.5 - 1
        assert (torch.cdist(wanted, seen).min(1).values < 1e-3).all()
    assert not torch.equal(calls[0].real, calls[3].real)
    zs = torch.stack([call.z for call in calls])
    assert zs.shape == (6, 7, 8)
    assert torch.unique(zs).numel() == zs.numel()
    assert {(call.dtype, call.modes, call.order) for call in calls} == {(torch.bfloat16, (True, True), True)}
    Trainer(tiny.replace(batch_size=7, seed=4), pictures).step()
    assert not torch.equal(calls[6].z, calls[0].z)
    assert not torch.equal(calls[6].real, calls[0].real)


def test_optimisers_are_as_configured(tiny: Config, pictures: PictureSet) -> None:
    trainer = Trainer(tiny.replace(lr=3e-4, beta1=0.25, beta2=0.9), pictures)
    for optimizer in (trainer.g_optimizer, trainer.d_optimizer):
        (group,) = optimizer.param_groups
        assert (group["lr"], group["betas"], group["weight_decay"]) == (3e-4, (0.25, 0.9), 0)


def test_set_acts_on_the_very_next_step(tiny: Config, pictures: PictureSet) -> None:
    steered, by_hand, left = (Trainer(tiny, pictures) for _ in range(3))
    for trainer in (steered, by_hand, left):
        trainer.train(2)
    optimizers = by_hand.g_optimizer, by_hand.d_optimizer
    for optimizer in optimizers:
        optimizer.param_groups[0].update(lr=5e-3, betas=(0.9, 0.999))
    real = pictures.batch(tiny.batch_size, tiny.seed, 2)
    z = torch.randn(tiny.batch_size, tiny.latent_dim, generator=rng(tiny.seed, "z", 2))
    by_hand.history.append(train_step(by_hand.generator, by_hand.discriminator, *optimizers, real, z))
    steered.set(lr=5e-3, beta1=0.9)
    steered.step()
    left.step()
    assert_same(steered, by_hand)
    for old, new in ((left.generator, steered.generator), (left.discriminator, steered.discriminator)):
        assert not torch.equal(next(old.parameters()), next(new.parameters()))


def test_two_time_scales_two_turns_and_smooth_labels_by_hand(tiny: Config, pictures: PictureSet) -> None:
    """One step with k = 2, a learning rate for each player and real labels of 0.75, as algorithm 1 has it."""
    config = tiny.replace(d_lr=4e-3, d_steps=2, label_smoothing=0.25)
    ours, by_hand = Trainer(config, pictures), Trainer(tiny, pictures)
    g_optimizer, d_optimizer = by_hand.g_optimizer, by_hand.d_optimizer
    d_optimizer.param_groups[0]["lr"] = 4e-3
    ours.step()
    for turn in (1, 0):
        seed = tiny.seed + turn * 2**63
        real, z = pictures.batch(8, seed, 0), torch.randn(8, 8, generator=rng(seed, "z", 0))
        fake = by_hand.generator(z)
        logits = by_hand.discriminator(real), by_hand.discriminator(fake.detach())
        labels = torch.full((8,), 0.75), torch.zeros(8)
        by_hand.discriminator.zero_grad()
        sum(map(binary_cross_entropy_with_logits, logits, labels)).backward()
        d_optimizer.step()
        by_hand.discriminator(fake)  # moves the running statistics, and no more
    binary_cross_entropy_with_logits(by_hand.discriminator(fake), torch.ones(8)).backward()
    g_optimizer.step()
    for a, b in ((ours.generator, by_hand.generator), (ours.discriminator, by_hand.discriminator)):
        torch.testing.assert_close(list(a.parameters()), list(b.parameters()))


@pytest.mark.parametrize("player", ["generator", "discriminator"])
def test_one_player_alone(tiny: Config, pictures: PictureSet, player: str) -> None:
    trainer = Trainer(tiny.replace(d_steps=3), pictures)
    before = {name: getattr(trainer, name).layers[0].weight.clone() for name in ("generator", "discriminator")}
    row = trainer.step(player=player)
    assert (trainer.steps_done, len(row), bool(row.isfinite().all())) == (1, 5, True)
    for name, weight in before.items():
        assert torch.equal(weight, getattr(trainer, name).layers[0].weight) == (name != player)


def test_a_step_in_parts_is_the_same_step(tiny: Config, pictures: PictureSet) -> None:
    whole, parts = Trainer(tiny, pictures), Trainer(tiny, pictures)
    whole.step()
    seen = []
    for part in parts.parts():
        seen.append(part.name)
        assert parts.steps_done == (part.name == "g_update")
        assert (part.images.shape, part.logits.shape) == ((8, 1, 16, 16), (8,))
    assert seen == ["real", "fake", "d_update", "g_turn", "g_update"]
    assert_same(whole, parts)


def test_set_keeps_what_it_is_not_told(tiny: Config, pictures: PictureSet, tmp_path: Path) -> None:
    trainer = Trainer(tiny, pictures)
    trainer.set(lr=5e-3)
    trainer.set(steps=0)
    with pytest.raises(InputError, match="beta1 must be"):
        trainer.set(lr=0.1, beta1=1.0)
    with pytest.raises(InputError, match="seed cannot change during a run"):
        trainer.set(lr=0.1, seed=5)
    assert trainer.config == tiny.replace(channels=1, lr=5e-3, steps=0)
    trainer.save(tmp_path / "run.pt")
    assert Trainer.load(tmp_path / "run.pt", pictures).config.lr == 5e-3


def test_cool_down(tiny: Config, pictures: PictureSet, calls: list[SimpleNamespace]) -> None:
    trainer = Trainer(tiny.replace(steps=10, cool_down=0.4, lr=1.0), pictures)
    trainer.train(8)  # a part of the run knows its place in the whole
    trainer.train()
    trainer.train(1)  # beyond the end it is hot again
    assert [lr for call in calls for lr in call.lrs] == pytest.approx([1] * 7 + [0.75, 0.5, 0.25] + [1])
    trainer.step()
    assert calls[-1].lrs == {1}


def test_cool_down_by_the_clock(
    tiny: Config, pictures: PictureSet, calls: list[SimpleNamespace], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(100))  # one second passes between any two looks at it
    monkeypatch.setattr(loop, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    Trainer(tiny.replace(cool_down=0.5, lr=1.0), pictures).train(seconds=8)
    assert [lr for call in calls for lr in call.lrs] == pytest.approx([1] * 5 + [0.75, 0.5, 0.25])


@pytest.mark.parametrize(
    ("options", "steps"),
    [({}, 6), ({"steps": 4}, 4), ({"steps": 0}, 0), ({"seconds": 0}, 0), ({"steps": 5, "seconds": 1e9}, 5)],
)
def test_length(tiny: Config, pictures: PictureSet, calls: list, options: dict, steps: int) -> None:
    trainer = Trainer(tiny, pictures)
    trainer.train(**options)
    assert trainer.steps_done == len(calls) == steps
    trainer.train()  # goes on to config.steps and not beyond
    assert trainer.steps_done == 6


def test_seconds(tiny: Config, pictures: PictureSet, calls: list, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(100))  # one second passes between any two looks at it
    monkeypatch.setattr(loop, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    ends = []
    Trainer(tiny, pictures).train(seconds=3, on_progress=lambda trainer: ends.append(trainer.steps_done))
    assert (len(calls), ends) == (3, [3])


@pytest.mark.parametrize(("steps", "reports"), [(5, [2, 4, 5]), (4, [2, 4]), (1, [1]), (0, [])])
def test_on_progress(tiny: Config, pictures: PictureSet, calls: list, steps: int, reports: list[int]) -> None:
    seen = []
    Trainer(tiny, pictures).train(steps, every=2, on_progress=lambda trainer: seen.append(trainer.steps_done))
    assert seen == reports


OUT_OF_RANGE = [
    ({"steps": -1}, "steps must be a whole number, 0 or more, and -1 is not"),
    ({"steps": 2.5}, "steps must be a whole number, 0 or more, and 2.5 is not"),
    ({"steps": "x"}, "steps must be a whole number, 0 or more, and 'x' is not"),
    ({"seconds": -0.5}, "seconds must be a number, 0 or more, and -0.5 is not"),
    ({"steps": 3, "seconds": float("nan")}, "seconds must be a number, 0 or more, and nan is not"),
    ({"seconds": "x"}, "seconds must be a number, 0 or more, and 'x' is not"),
    ({"every": 0}, "every must be a whole number, 1 or more, and 0 is not"),
    ({"every": None}, "every must be a whole number, 1 or more, and None is not"),
]


def test_numpys_numbers_are_numbers(tiny: Config, pictures: PictureSet) -> None:
    trainer = Trainer(tiny, pictures)
    trainer.train(steps=np.int64(1), seconds=np.float32(60), every=np.int32(1))
    assert trainer.steps_done == 1


@pytest.mark.parametrize(("options", "message"), OUT_OF_RANGE, ids=[str(options) for options, _ in OUT_OF_RANGE])
def test_length_out_of_range(tiny: Config, pictures: PictureSet, refused, options: dict, message: str) -> None:
    assert refused(lambda: Trainer(tiny, pictures).train(**options)) == f"{message}: change its value."


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_size": 32}, "16 pixels wide with 1 channels, and the config asks for 32, 1"),
        ({"channels": 3}, "with 1 channels, and the config asks for 16, 3"),
        ({"batch_size": 22}, "noise has 21 pictures, fewer than one batch of 22"),
        ({"device": "nonsense"}, "cannot use the device 'nonsense'"),
    ],
)
def test_pictures_and_device_that_do_not_fit(tiny: Config, pictures: PictureSet, changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Trainer(tiny.replace(**changes), pictures)


def test_pictures_left_out_are_loaded(tiny: Config, pictures: PictureSet, monkeypatch: pytest.MonkeyPatch) -> None:
    load: Callable[..., PictureSet] = lambda *wanted: pictures if wanted == ("digits", 16, None) else None  # noqa: E731
    monkeypatch.setattr(trainer_module, "load_pictures", load)
    trainer = Trainer(tiny.replace(data="digits"))
    assert trainer.pictures is pictures
    assert trainer.config.channels == 1


def test_networks_of_ones_own(tiny: Config, pictures: PictureSet, tmp_path: Path) -> None:
    generator, discriminator = Generator(8, 2, 1, 16), Discriminator(2, 1, 16)
    trainer = Trainer(tiny, pictures, generator, discriminator)
    assert (trainer.generator, trainer.discriminator) == (generator, discriminator)
    before = generator.layers[0].weight.clone()
    trainer.step()
    assert not torch.equal(generator.layers[0].weight, before)
    trainer.save(tmp_path / "run.pt")
    with pytest.raises(InputError, match="does not fit the networks"):
        Trainer.load(tmp_path / "run.pt", pictures)


def test_sample(tiny: Config, pictures: PictureSet) -> None:
    trainer = Trainer(tiny, pictures)
    trainer.train(2)
    assert torch.equal(trainer.sample(), sample_of(trainer.generator, trainer.fixed_z))
    assert trainer.fixed_z.shape == (64, 8)
    z = draw_z(3, 8, seed=5)
    assert torch.equal(trainer.sample(z, train_mode=True), sample_of(trainer.generator, z, train_mode=True))
    assert not torch.equal(trainer.sample(z, train_mode=True), trainer.sample(z))


def test_a_long_history_is_saved_without_its_spare_room(tiny: Config, pictures: PictureSet, tmp_path: Path) -> None:
    trainer = Trainer(tiny, pictures)
    trainer.history = History(torch.rand(3000, 5))
    trainer.history.append(torch.rand(5))
    for name in ("a", "b"):
        assert len(trainer.history.rows) == 3001
        trainer.save(tmp_path / name)
        trainer.history = History(trainer.history.rows.clone())
    sizes = [(tmp_path / name).stat().st_size for name in "ab"]
    assert abs(sizes[0] - sizes[1]) < 1000


def test_load_with_changes(tiny: Config, pictures: PictureSet, tmp_path: Path) -> None:
    trainer = Trainer(tiny, pictures)
    trainer.train(2)
    trainer.save(tmp_path / "run.pt")
    again = Trainer.load(tmp_path / "run.pt", pictures, lr=5e-3, precision="bfloat16")
    assert (again.config, again.dtype) == (trainer.config.replace(lr=5e-3, precision="bfloat16"), torch.bfloat16)
    again.step()
    assert again.g_optimizer.param_groups[0]["lr"] == 5e-3
    for changes, message in (({"seed": 4}, "seed cannot change"), ({"lr": -1}, "lr must be a number above 0")):
        with pytest.raises(InputError, match=message):
            Trainer.load(tmp_path / "run.pt", pictures, **changes)


@pytest.mark.parametrize("at", [2, 6])
def test_ctrl_c_ends_the_run_after_a_whole_step(
    tiny: Config, pictures: PictureSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys, at: int
) -> None:
    whole, stopped, reports = Trainer(tiny, pictures), Trainer(tiny, pictures), []
    whole.train()
    parts = trainer_module.step_parts

    def pressed(*game, **options) -> Iterator[Part]:
        for part in parts(*game, **options):
            if part.name == "d_update" and stopped.steps_done + 1 == at:
                signal.raise_signal(signal.SIGINT)
            yield part

    with monkeypatch.context() as patch:
        patch.setattr(trainer_module, "step_parts", pressed)
        stopped.train(every=4, on_progress=lambda trainer: reports.append(trainer.steps_done))
    said = capsys.readouterr().out
    if at == 2:
        assert said == "Stopped after step 2, as asked: the run can go on from there.\n"
        assert (stopped.steps_done, reports) == (2, [2])
    else:  # at the end anyway
        assert (said, reports) == ("", [4, 6])
    stopped.save(tmp_path / "run.pt")
    for trainer in (stopped, Trainer.load(tmp_path / "run.pt", pictures)):
        trainer.train()
        assert_same(whole, trainer)


def test_half_a_step_is_not_saved(tiny: Config, pictures: PictureSet, tmp_path: Path) -> None:
    """As a second press of the stop button leaves it: the discriminator has learned, the generator has not."""
    trainer, path = Trainer(tiny, pictures), tmp_path / "run.pt"
    trainer.train(2)
    trainer.save(path)
    before = path.read_bytes()
    parts = trainer.parts()
    while next(parts).name != "d_update":
        pass
    parts.close()
    with pytest.raises(InputError, match="Step 3 was interrupted midway, .* load the last checkpoint, or train on."):
        trainer.save(path)
    assert path.read_bytes() == before
    trainer.step()
    trainer.save(path)
    assert Trainer.load(path, pictures).steps_done == 3


def test_a_picture_that_cannot_be_read_leaves_the_step_whole(
    tiny: Config, pictures: PictureSet, tmp_path: Path
) -> None:
    def refuse(turn: int = 0) -> None:
        raise InputError("The picture cannot be read.")

    trainer = Trainer(tiny, pictures)
    trainer.train(2)
    object.__setattr__(trainer._near, "batch", lambda *_: refuse())
    with pytest.raises(InputError, match="cannot be read"):
        trainer.step()
    trainer.save(tmp_path / "run.pt")
    assert Trainer.load(tmp_path / "run.pt", pictures).steps_done == 2
