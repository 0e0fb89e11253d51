"""A run is a function of its config; stopping, resuming and steering it do exactly what they say."""

import re
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.data import TensorDataset

from dcgan_lib import trainer as trainer_module
from dcgan_lib.checkpoint import load_generator, save_generator
from dcgan_lib.config import Config
from dcgan_lib.data.loading import ImageDataset
from dcgan_lib.history import Diverged
from dcgan_lib.networks import Discriminator, Generator, build_networks
from dcgan_lib.sampling import sample as sample_of
from dcgan_lib.sampling import sample_latents
from dcgan_lib.trainer import Trainer
from dcgan_lib.training import Step, train_step
from dcgan_lib.utils.errors import InputError
from dcgan_lib.utils.rng import rng


def assert_same(a: Trainer, b: Trainer) -> None:
    torch.testing.assert_close(a.tensors(), b.tensors(), rtol=0, atol=0)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[SimpleNamespace]:
    """What `train_step` was called with, instead of training."""
    seen = []

    def record(generator, discriminator, g_optimizer, d_optimizer, real, z, real_label) -> Step:
        modes, dtypes = zip(*((n.training, n.dtype) for n in (generator, discriminator)), strict=True)
        order = g_optimizer.param_groups[0]["params"][0] is next(generator.parameters())
        lrs = {optimizer.param_groups[0]["lr"] for optimizer in (g_optimizer, d_optimizer)}
        seen.append(SimpleNamespace(real=real, z=z, dtypes=dtypes, modes=modes, order=order, lrs=lrs))
        nothing = torch.zeros(())
        return Step(real, nothing, nothing, nothing, nothing, nothing)

    monkeypatch.setattr(trainer_module, "train_step", record)
    return seen


def test_same_seed_same_run(tiny: Config, dataset: ImageDataset) -> None:
    a, b, other = Trainer(tiny, dataset), Trainer(tiny, dataset), Trainer(tiny.replace(seed=4), dataset)
    a.train(3)
    torch.manual_seed(99)  # the reader's own random numbers play no part
    b.train(3)
    other.train(3)
    assert_same(a, b)
    assert not torch.equal(a.history.rows, other.history.rows)
    assert not torch.equal(a.fixed_z, other.fixed_z)


def test_resumed_run_equals_an_uninterrupted_one(tiny: Config, dataset: ImageDataset, tmp_path: Path) -> None:
    whole, first = Trainer(tiny, dataset), Trainer(tiny, dataset)
    whole.train(6)
    first.train(4)  # in the middle of the second epoch
    first.sample()
    first.save(tmp_path / "run")
    second = Trainer.load(tmp_path / "run", dataset)
    assert (second.config, second.steps_done) == (first.config, 4)
    second.train()
    assert second.steps_done == 6
    assert_same(whole, second)


def test_two_runs_in_one_process_share_nothing(tiny: Config, dataset: ImageDataset) -> None:
    """Step by step beside each other they are what each is alone."""
    configs = tiny, tiny.replace(seed=4, lr=5e-3, d_steps=2)
    alone, beside = ([Trainer(config, dataset) for config in configs] for _ in range(2))
    for trainer in alone:
        trainer.train(4)
    for _ in range(4):
        for trainer in beside:
            trainer.step()
            trainer.sample()
    for pair in zip(alone, beside, strict=True):
        assert_same(*pair)


def test_what_a_step_gets(tiny: Config, dataset: ImageDataset, calls: list[SimpleNamespace]) -> None:
    trainer = Trainer(tiny.replace(batch_size=7, precision="bfloat16"), dataset)
    trainer.generator.eval(), trainer.discriminator.eval()
    trainer.train(6)
    for epoch in (calls[:3], calls[3:]):  # 21 pictures are three batches: each picture once
        seen = torch.cat([call.real for call in epoch]).flatten(1)
        wanted = dataset.images.flatten(1) / 127.5 - 1
        assert (torch.cdist(wanted, seen).min(1).values < 1e-3).all()
    assert not torch.equal(calls[0].real, calls[3].real)
    zs = torch.stack([call.z for call in calls])
    assert zs.shape == (6, 7, 8)
    assert torch.unique(zs).numel() == zs.numel()
    assert {(call.dtypes, call.modes, call.order) for call in calls} == {((torch.bfloat16,) * 2, (True, True), True)}
    Trainer(tiny.replace(batch_size=7, seed=4), dataset).step()
    assert not torch.equal(calls[6].z, calls[0].z)
    assert not torch.equal(calls[6].real, calls[0].real)


def test_optimizers_are_as_configured(tiny: Config, dataset: ImageDataset) -> None:
    trainer = Trainer(tiny.replace(lr=3e-4, beta1=0.25, beta2=0.9), dataset)
    for optimizer in (trainer.g_optimizer, trainer.d_optimizer):
        (group,) = optimizer.param_groups
        assert (group["lr"], group["betas"], group["weight_decay"]) == (3e-4, (0.25, 0.9), 0)


def test_set_acts_on_the_very_next_step(tiny: Config, dataset: ImageDataset) -> None:
    steered, by_hand, left = (Trainer(tiny, dataset) for _ in range(3))
    for trainer in (steered, by_hand, left):
        trainer.train(2)
    optimizers = by_hand.g_optimizer, by_hand.d_optimizer
    for optimizer in optimizers:
        optimizer.param_groups[0].update(lr=5e-3, betas=(0.9, 0.999))
    real = dataset.batch(tiny.batch_size, tiny.seed, 2)
    z = torch.randn(tiny.batch_size, tiny.latent_dim, generator=rng(tiny.seed, "z", 2))
    by_hand.end_step(train_step(by_hand.generator, by_hand.discriminator, *optimizers, real, z))
    steered.set(lr=5e-3, beta1=0.9)
    steered.step()
    left.step()
    assert_same(steered, by_hand)
    for old, new in ((left.generator, steered.generator), (left.discriminator, steered.discriminator)):
        assert not torch.equal(next(old.parameters()), next(new.parameters()))


def test_two_time_scales_two_turns_and_smooth_labels_by_hand(tiny: Config, dataset: ImageDataset) -> None:
    """One step with k = 2, a learning rate for each player and real labels of 0.75, as algorithm 1 has it."""
    config = tiny.replace(d_lr=4e-3, d_steps=2, label_smoothing=0.25)
    ours, by_hand = Trainer(config, dataset), Trainer(tiny, dataset)
    g_optimizer, d_optimizer = by_hand.g_optimizer, by_hand.d_optimizer
    d_optimizer.param_groups[0]["lr"] = 4e-3
    ours.step()
    for which in (" 1", ""):
        real = dataset.batch(8, tiny.seed, 0, owner=f"order{which}")
        z = torch.randn(8, 8, generator=rng(tiny.seed, f"z{which}", 0))
        fake = by_hand.generator(z)
        logits = by_hand.discriminator(real), by_hand.discriminator(fake.detach())
        labels = torch.full((8,), 0.75), torch.zeros(8)
        by_hand.discriminator.zero_grad()
        sum(map(binary_cross_entropy_with_logits, logits, labels)).backward()
        d_optimizer.step()
    binary_cross_entropy_with_logits(by_hand.discriminator(fake), torch.ones(8)).backward()
    g_optimizer.step()
    for a, b in ((ours.generator, by_hand.generator), (ours.discriminator, by_hand.discriminator)):
        torch.testing.assert_close(list(a.parameters()), list(b.parameters()))


def test_set_keeps_what_it_is_not_told(tiny: Config, dataset: ImageDataset, tmp_path: Path) -> None:
    trainer = Trainer(tiny, dataset)
    trainer.set(lr=5e-3)
    trainer.set(steps=0)
    with pytest.raises(InputError, match="beta1 must be"):
        trainer.set(lr=0.1, beta1=1.0)
    with pytest.raises(InputError, match="seed cannot change during a run"):
        trainer.set(lr=0.1, seed=5)
    assert trainer.config == tiny.replace(channels=1, lr=5e-3, steps=0)
    trainer.save(tmp_path / "run")
    assert Trainer.load(tmp_path / "run", dataset).config.lr == 5e-3


def test_lr_decay(tiny: Config, dataset: ImageDataset, calls: list[SimpleNamespace]) -> None:
    trainer = Trainer(tiny.replace(steps=10, lr_decay_share=0.4, lr=1.0), dataset)
    trainer.train(8)  # a part of the run knows its place in the whole
    trainer.train()
    trainer.train(1)  # beyond the end it is whole again
    assert [lr for call in calls for lr in call.lrs] == pytest.approx([1] * 7 + [0.75, 0.5, 0.25] + [1])
    trainer.step()
    assert calls[-1].lrs == {1}


def test_lr_decay_by_the_clock(
    tiny: Config, dataset: ImageDataset, calls: list[SimpleNamespace], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(100))  # one second passes between any two looks at it
    monkeypatch.setattr(trainer_module, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    Trainer(tiny.replace(lr_decay_share=0.5, lr=1.0), dataset).train(seconds=8)
    assert [lr for call in calls for lr in call.lrs] == pytest.approx([1] * 5 + [0.75, 0.5, 0.25])


@pytest.mark.parametrize(
    ("options", "steps"),
    [({}, 6), ({"steps": 4}, 4), ({"steps": 0}, 0), ({"seconds": 0}, 0), ({"steps": 5, "seconds": 1e9}, 5)],
)
def test_length(tiny: Config, dataset: ImageDataset, calls: list, options: dict, steps: int) -> None:
    trainer = Trainer(tiny, dataset)
    trainer.train(**options)
    assert trainer.steps_done == len(calls) == steps
    trainer.train()  # goes on to config.steps and not beyond
    assert trainer.steps_done == 6


def test_seconds(tiny: Config, dataset: ImageDataset, calls: list, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(100))  # one second passes between any two looks at it
    monkeypatch.setattr(trainer_module, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    ends = []
    Trainer(tiny, dataset).train(seconds=3, on_progress=lambda trainer: ends.append(trainer.steps_done))
    assert (len(calls), ends) == (3, [3])


@pytest.mark.parametrize(("steps", "reports"), [(5, [2, 4, 5]), (4, [2, 4]), (1, [1]), (0, [])])
def test_on_progress(tiny: Config, dataset: ImageDataset, calls: list, steps: int, reports: list[int]) -> None:
    seen = []
    Trainer(tiny, dataset).train(steps, every=2, on_progress=lambda trainer: seen.append(trainer.steps_done))
    assert seen == reports


def test_numpys_numbers_are_numbers(tiny: Config, dataset: ImageDataset) -> None:
    trainer = Trainer(tiny, dataset)
    trainer.train(steps=np.int64(1), seconds=np.float32(60), every=np.int32(1))
    assert trainer.steps_done == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_size": 32}, "size and channels 16, 1, and the config asks for 32, 1"),
        ({"channels": 3}, "size and channels 16, 1, and the config asks for 16, 3"),
        ({"batch_size": 22}, "noise has 21 pictures, fewer than one batch of 22"),
        ({"device": "nonsense"}, "cannot use the device 'nonsense'"),
    ],
)
def test_images_and_device_that_do_not_fit(tiny: Config, dataset: ImageDataset, changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Trainer(tiny.replace(**changes), dataset)


def test_a_dataset_left_out_is_loaded(tiny: Config, dataset: ImageDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    load: Callable[..., ImageDataset] = lambda *wanted: dataset if wanted == ("digits", 16, None) else None  # noqa: E731
    monkeypatch.setattr(trainer_module, "load_images", load)
    trainer = Trainer(tiny.replace(data="digits"))
    assert trainer.dataset is dataset
    assert trainer.config.channels == 1


def test_networks_of_ones_own(tiny: Config, dataset: ImageDataset, tmp_path: Path) -> None:
    generator, discriminator = Generator(8, 2, 1, 16), Discriminator(2, 1, 16)
    trainer = Trainer(tiny, dataset, generator, discriminator)
    assert (trainer.generator, trainer.discriminator) == (generator, discriminator)
    before = generator.layers[0].weight.clone()
    trainer.step()
    assert not torch.equal(generator.layers[0].weight, before)


def own_networks() -> tuple[nn.Module, nn.Module]:
    """A discriminator with spectral norm; and a generator whose tensors have the names and shapes of the library's."""
    generator, discriminator = Generator(8, 4, 1, 16), Discriminator(3, 1, 16)
    generator.layers[2] = nn.Tanh()
    for layer in discriminator.layers:
        if isinstance(layer, nn.Conv2d):
            nn.utils.parametrizations.spectral_norm(layer)
    return generator, discriminator


def test_networks_of_ones_own_go_on(tiny: Config, dataset: ImageDataset, tmp_path: Path) -> None:
    whole, first = (Trainer(tiny, dataset, *own_networks()) for _ in range(2))
    for a, b in zip(first.tensors().values(), whole.tensors().values(), strict=True):
        a.copy_(b)  # spectral norm draws its own beginning
    whole.train(4)
    first.train(2)
    first.save(tmp_path / "run")
    generator, discriminator = own_networks()
    second = Trainer.load(tmp_path / "run", dataset, generator=generator, discriminator=discriminator)
    assert (second.generator, second.discriminator) == (generator, discriminator)
    second.train(2)
    assert_same(whole, second)


def test_networks_of_ones_own_that_are_missing(tiny: Config, dataset: ImageDataset, tmp_path: Path, refused) -> None:
    """Also where the library's would take the tensors, and be another network."""
    path = tmp_path / "run"
    Trainer(tiny, dataset, *own_networks()).save(path)
    said = f"{path} was trained with networks of one's own: give Trainer.load the same "
    assert refused(lambda: Trainer.load(path, dataset)) == f"{said}generator=..., discriminator=...."
    given = {"discriminator": own_networks()[1]}
    assert refused(lambda: Trainer.load(path, dataset, **given)) == f"{said}generator=...."
    given = {"generator": Generator(8, 4, 1, 16), "discriminator": Discriminator(3, 1, 16)}
    message = refused(lambda: Trainer.load(path, dataset, **given))
    assert f"{path} does not fit the networks given (" in message
    assert message.endswith("): give the same as before.")


class Wrapped(nn.Module):
    """As `DataParallel` and `torch.compile` hold a network."""

    def __init__(self, network: nn.Module, name: str) -> None:
        super().__init__()
        self.add_module(name, network)
        self.forward = network.forward


@pytest.mark.parametrize("name", ["module", "_orig_mod"])
def test_wrapped_networks_have_the_same_checkpoint(
    tiny: Config, dataset: ImageDataset, tmp_path: Path, name: str
) -> None:
    plain, networks = Trainer(tiny, dataset), build_networks(tiny.replace(channels=1))
    wrapped = Trainer(tiny.replace(ema_decay=0.0), dataset, *(Wrapped(network, name) for network in networks))
    wrapped.train(2)
    wrapped.save(tmp_path / "run")
    plain.train(2)
    tensors = wrapped.tensors()
    assert tensors.keys() < plain.tensors().keys()
    torch.testing.assert_close(tensors, {name: plain.tensors()[name] for name in tensors}, rtol=0, atol=0)
    loaded, _ = load_generator(tmp_path / "run")
    torch.testing.assert_close(loaded.state_dict(), plain.generator.state_dict(), rtol=0, atol=0)


def test_any_dataset(tiny: Config, dataset: ImageDataset, tmp_path: Path) -> None:
    """The same run as with the library's own, and it goes on."""
    pictures = TensorDataset(dataset.images / 255, dataset.labels["class"])
    whole, run = Trainer(tiny, dataset), Trainer(tiny, pictures)
    run.train(2)
    run.save(tmp_path / "run")
    run = Trainer.load(tmp_path / "run", pictures)
    assert run.config.channels == 1
    whole.train(3)
    run.train(1)
    assert_same(whole, run)


@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_a_run_begins_with_trained_networks(tiny: Config, dataset: ImageDataset, tmp_path: Path, decay: float) -> None:
    """Whether or not that run, or this one, has an average; optimizers and history are new."""
    old, new = Trainer(tiny.replace(ema_decay=decay), dataset), Trainer(tiny.replace(seed=9), dataset)
    old.train(3)
    old.save(tmp_path / "old")
    fresh = {name: t.clone() for name, t in new.tensors().items() if "optimizer" in name}
    new.init_from(tmp_path / "old")
    expected = old.generator if not decay else old.ema_generator
    for ours, theirs in (
        (new.generator, old.generator),
        (new.discriminator, old.discriminator),
        (new.ema_generator, expected),
    ):
        torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), rtol=0, atol=0)
    torch.testing.assert_close({name: new.tensors()[name] for name in fresh}, fresh, rtol=0, atol=0)
    assert (new.steps_done, new.config.seed) == (0, 9)
    plain = Trainer(tiny.replace(ema_decay=0.0), dataset)
    plain.init_from(tmp_path / "old")
    torch.testing.assert_close(plain.generator.state_dict(), old.generator.state_dict(), rtol=0, atol=0)
    new.train(1)


def test_a_run_begins_with_a_generator_alone(tiny: Config, dataset: ImageDataset, tmp_path: Path, refused) -> None:
    old, new = Trainer(tiny, dataset), Trainer(tiny.replace(seed=9), dataset)
    save_generator(tmp_path / "g", old.generator, old.config)
    before = {name: t.clone() for name, t in new.discriminator.state_dict().items()}
    new.init_from(tmp_path / "g")
    for ours in (new.generator, new.ema_generator):
        torch.testing.assert_close(ours.state_dict(), old.generator.state_dict(), rtol=0, atol=0)
    torch.testing.assert_close(new.discriminator.state_dict(), before, rtol=0, atol=0)
    message = refused(lambda: Trainer(tiny.replace(g_width=5), dataset).init_from(tmp_path / "g"))
    assert message.startswith(f"{tmp_path / 'g'} does not fit the networks of this run (")
    assert message.endswith("): give this run the sizes of that one.")


def test_sample(tiny: Config, dataset: ImageDataset) -> None:
    trainer = Trainer(tiny, dataset)
    trainer.train(2)
    assert torch.equal(trainer.sample(), sample_of(trainer.ema_generator, trainer.fixed_z))
    assert torch.equal(trainer.sample(raw=True), sample_of(trainer.generator, trainer.fixed_z))
    assert not torch.equal(trainer.sample(raw=True), trainer.sample())
    assert trainer.fixed_z.shape == (64, 8)
    z = sample_latents(3, 8, seed=5)
    assert torch.equal(trainer.sample(z, train_mode=True), sample_of(trainer.ema_generator, z, train_mode=True))
    assert not torch.equal(trainer.sample(z, train_mode=True), trainer.sample(z))
    assert trainer.best_generator is trainer.ema_generator


def test_without_an_average(tiny: Config, dataset: ImageDataset) -> None:
    trainer, averaged = Trainer(tiny.replace(ema_decay=0.0), dataset), Trainer(tiny, dataset)
    for each in (trainer, averaged):
        each.train(2)
    assert (trainer.ema_generator, trainer.best_generator) == (None, trainer.generator)
    assert torch.equal(trainer.sample(), averaged.sample(raw=True))  # and the average changes nothing of the training


def test_the_average_by_hand(tiny: Config, dataset: ImageDataset) -> None:
    """0.1 of the random weights after the first step, 2 / 11 of the average after the second ... and 0.5 at most."""
    trainer = Trainer(tiny.replace(steps=20), dataset)
    averages = {name: values.double() for name, values in trainer.generator.state_dict().items()}
    for decay in [0.1, 2 / 11, 3 / 12, 4 / 13, 5 / 14, 6 / 15, 7 / 16, 8 / 17, *[0.5] * 12]:
        trainer.step()
        for name, values in trainer.generator.state_dict().items():
            averages[name] = decay * averages[name] + (1 - decay) * values
    for name, values in trainer.ema_generator.state_dict().items():
        expected = trainer.generator.state_dict()[name] if "num_batches" in name else averages[name].float()
        torch.testing.assert_close(values, expected, rtol=1e-4, atol=1e-6)


def test_load_with_changes(tiny: Config, dataset: ImageDataset, tmp_path: Path) -> None:
    trainer = Trainer(tiny, dataset)
    trainer.train(2)
    trainer.save(tmp_path / "run")
    again = Trainer.load(tmp_path / "run", dataset, lr=5e-3, precision="bfloat16")
    assert (again.config, again.dtype) == (trainer.config.replace(lr=5e-3, precision="bfloat16"), torch.bfloat16)
    again.step()
    assert again.g_optimizer.param_groups[0]["lr"] == 5e-3
    for changes, message in (({"seed": 4}, "seed cannot change"), ({"lr": -1}, "lr must be a number above 0")):
        with pytest.raises(InputError, match=message):
            Trainer.load(tmp_path / "run", dataset, **changes)


def test_another_number_of_threads(tiny: Config, dataset: ImageDataset, tmp_path: Path, monkeypatch, capsys) -> None:
    Trainer(tiny, dataset).save(tmp_path / "run")
    Trainer.load(tmp_path / "run", dataset)
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    Trainer.load(tmp_path / "run", dataset)
    message = capsys.readouterr().out
    assert message.startswith(f"{tmp_path / 'run'} was saved by a process with ")
    assert "and this one has 64: the run goes on, equal but for rounding and no longer bit for bit" in message


@pytest.mark.parametrize("at", [2, 6])
def test_ctrl_c_ends_the_run_after_a_whole_step(
    tiny: Config, dataset: ImageDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys, at: int
) -> None:
    whole, stopped, reports = Trainer(tiny, dataset), Trainer(tiny, dataset), []
    whole.train()

    def pressed(*game) -> Step:
        if stopped.steps_done + 1 == at:
            signal.raise_signal(signal.SIGINT)
        return train_step(*game)

    with monkeypatch.context() as patch:
        patch.setattr(trainer_module, "train_step", pressed)
        stopped.train(every=4, on_progress=lambda trainer: reports.append(trainer.steps_done))
    message = capsys.readouterr().out
    if at == 2:
        assert message == "Stopped after step 2, as asked: the run can go on from there.\n"
        assert (stopped.steps_done, reports) == (2, [2])
    else:  # at the end anyway
        assert (message, reports) == ("", [4, 6])
    stopped.save(tmp_path / "run")
    for trainer in (stopped, Trainer.load(tmp_path / "run", dataset)):
        trainer.train()
        assert_same(whole, trainer)


def test_half_a_step_is_not_saved(tiny: Config, dataset: ImageDataset, tmp_path: Path, monkeypatch) -> None:
    """As a second press of the stop button leaves it: the discriminator has learned, the generator has not."""
    trainer, path = Trainer(tiny, dataset), tmp_path / "run"
    trainer.train(2)
    trainer.save(path)
    before = path.read_bytes()

    def interrupted(*_: object) -> Step:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(trainer_module, "train_step", interrupted)
        trainer.step()
    with pytest.raises(InputError, match="Step 3 was interrupted midway, .* load the last checkpoint, or train on."):
        trainer.save(path)
    assert path.read_bytes() == before
    trainer.step()
    trainer.save(path)
    assert Trainer.load(path, dataset).steps_done == 3


def test_an_image_that_cannot_be_read_leaves_the_step_whole(
    tiny: Config, dataset: ImageDataset, tmp_path: Path
) -> None:
    def refuse(*_: object) -> None:
        raise InputError("The image cannot be read.")

    trainer = Trainer(tiny, dataset)
    trainer.train(2)
    object.__setattr__(trainer._batches, "batch", refuse)
    with pytest.raises(InputError, match="cannot be read"):
        trainer.step()
    trainer.save(tmp_path / "run")
    assert Trainer.load(tmp_path / "run", dataset).steps_done == 2


def test_back_to_the_beginning(tiny: Config, dataset: ImageDataset) -> None:
    trainer, untouched = Trainer(tiny, dataset), Trainer(tiny, dataset)
    begin = {name: values.clone() for name, values in trainer.tensors().items()}
    trainer.train(3)
    trainer.restore(begin)
    assert_same(trainer, untouched)
    trainer.train(2)
    untouched.train(2)
    assert_same(trainer, untouched)


def test_a_player_that_was_never_updated(tiny: Config, dataset: ImageDataset, tmp_path: Path) -> None:
    """Adam makes its moments in its first step; ours exist before, and that changes no update."""
    trainer, lazy = Trainer(tiny, dataset), Trainer(tiny, dataset)
    for optimizer in (lazy.g_optimizer, lazy.d_optimizer):
        optimizer.state.clear()
    for each in (trainer, lazy):
        each.train(2)
    assert_same(trainer, lazy)


def poison(network: torch.nn.Module) -> None:
    """What an update with a gradient that is not a number leaves."""
    with torch.no_grad():
        network.layers[0].weight[0] = float("nan")


@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_a_run_that_diverges_stops_at_that_step(
    tiny: Config, dataset: ImageDataset, tmp_path: Path, network: str
) -> None:
    trainer, reports = Trainer(tiny, dataset), []
    trainer.train(3)
    trainer.save(tmp_path / "run")
    poison(getattr(trainer, network))
    with pytest.raises(Diverged) as raised:
        trainer.train(3, every=1, on_progress=lambda trainer: reports.append(trainer.steps_done))
    assert str(raised.value) == (
        f"The {network} has diverged at step 4 (d_loss is nan, g_loss is nan), so the run has stopped: go on from its "
        f"last good checkpoint, {tmp_path / 'run'} of step 3, with a lower lr."
    )
    assert (trainer.steps_done, reports) == (4, [])
    again = Trainer.load(tmp_path / "run", dataset, lr=1e-4)
    assert torch.equal(again.history.rows, trainer.history.rows[:3])
    poison(again.generator)
    with pytest.raises(Diverged, match=re.escape(f"{tmp_path / 'run'} of step 3, with")):
        again.step()


def test_a_run_that_diverges_without_a_checkpoint(tiny: Config, dataset: ImageDataset) -> None:
    trainer = Trainer(tiny, dataset)
    poison(trainer.generator)
    with pytest.raises(Diverged, match="there is no checkpoint of it, so start again with a lower lr.$"):
        trainer.step()


@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_a_bad_weight_is_never_saved(tiny: Config, dataset: ImageDataset, tmp_path: Path, network: str) -> None:
    """The losses of the step that spoiled it are all good still."""
    trainer = Trainer(tiny, dataset)
    trainer.train(2)
    trainer.save(tmp_path / "run")
    before = (tmp_path / "run").read_bytes()
    poison(getattr(trainer, network))
    with pytest.raises(Diverged, match=f"The {network} has diverged by step 2 "):
        trainer.save(tmp_path / "run")
    assert (tmp_path / "run").read_bytes() == before


def test_an_accelerators_losses_are_looked_at_every_fifty_steps(
    tiny: Config, dataset: ImageDataset, monkeypatch
) -> None:
    """A look waits for the device, so 49 steps may go on after a bad one."""
    trainer = Trainer(tiny, dataset)
    bad = torch.tensor(float("nan"))
    monkeypatch.setattr(trainer_module, "train_step", lambda *_: Step(bad, bad, bad, bad, bad, bad))
    monkeypatch.setattr(trainer, "device", torch.device("cuda"))
    monkeypatch.setattr(trainer, "_draw", lambda *_: (bad, bad))
    for _ in range(49):
        trainer.step()
    with pytest.raises(Diverged, match="at step 1 "):
        trainer.step()
