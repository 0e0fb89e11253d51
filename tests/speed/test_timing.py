"""Counts by hand against torch's, and a clock whose seconds are known."""

from types import SimpleNamespace

import pytest
import torch

from dcgan_lib.config import Config
from dcgan_lib.speed import timing

CPU = torch.device("cpu")


def test_step_flops_by_hand() -> None:
    """16x16, one channel, widths g and d: three forwards of D and one of G, and the backward passes that are needed."""
    g, d, n, z = 3, 5, 4, 7
    config = Config(image_size=16, channels=1, g_width=g, d_width=d, batch_size=n, latent_dim=z)
    kernel = 16
    generator = [z * 2 * g * kernel, 2 * g * g * kernel * 16, g * 1 * kernel * 64]
    discriminator = [1 * d * kernel * 64, d * 2 * d * kernel * 16, 2 * d * 1 * kernel]
    forwards = sum(generator) + 3 * sum(discriminator)
    for_weights = sum(generator) + 2 * sum(discriminator)
    for_inputs = sum(generator[1:]) + 2 * sum(discriminator[1:]) + sum(discriminator)
    assert timing.step_flops(config) == 2 * n * (forwards + for_weights + for_inputs)


def test_compare(monkeypatch: pytest.MonkeyPatch) -> None:
    """The slow call takes 4 s, the fast one 1 s but 9 s in one round; they take turns."""
    now, calls = [0.0], []

    def call(name: str, seconds: float) -> None:
        calls.append(name)
        now[0] += seconds

    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    slow, fast = lambda: call("slow", 4.0), lambda: call("fast", 9.0 if calls.count("fast") == 8 else 1.0)
    assert timing.compare([slow, fast], seconds=3.0, rounds=3) == [4.0, 1.0]
    assert calls == ["slow"] * 2 + ["fast"] * 2 + (["slow"] * 2 + ["fast"] * 3) * 3


def test_matmul_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both forms are the same product, and the faster one counts."""

    def compare(calls: list, *options: object, **more: object) -> list[float]:
        product, convolution = (call() for call in calls)
        torch.testing.assert_close(convolution.reshape(8, 8).T, product)
        return [0.5, 0.25]

    monkeypatch.setattr(timing, "compare", compare)
    assert timing.matmul_speed(torch.float32, CPU, size=8) == 2 * 8**3 / 0.25
