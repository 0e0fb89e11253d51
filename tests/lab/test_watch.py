"""A cell that trains and shows what the fixed z give on the way."""

import base64
from types import SimpleNamespace

import pytest

from dcgan_lib.config import Config
from dcgan_lib.data.dataset import ImageDataset
from dcgan_lib.images import grid
from dcgan_lib.lab import training_lab, watch
from dcgan_lib.lab.render import caption
from dcgan_lib.trainer import Trainer
from dcgan_lib.viz import show
from dcgan_lib.viz.show import show_progress, to_png


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list:
    """What was displayed, or updated later."""
    things = []

    def display(thing, display_id: bool = False, **_: object) -> SimpleNamespace | None:
        things.append(thing)
        return SimpleNamespace(update=lambda thing, **_: things.append(thing)) if display_id else None

    monkeypatch.setattr(training_lab, "display", display)
    monkeypatch.setattr(show, "display", display)
    return things


@pytest.mark.parametrize("headless", ["1", "0"])
def test_watch(
    shown: list, tiny: Config, dataset: ImageDataset, monkeypatch: pytest.MonkeyPatch, headless: str
) -> None:
    monkeypatch.setenv("DCGAN_HEADLESS", headless)
    trainer, other = Trainer(tiny, dataset), Trainer(tiny, dataset)
    frames = watch(trainer, every=2)
    expected = [grid(other.sample())]
    other.train(every=2, on_progress=lambda other: expected.append(grid(other.sample())))
    assert [frame.tobytes() for frame in frames] == [frame.tobytes() for frame in expected]
    assert len(frames) == 4  # before the first step, after 2, 4 and 6
    assert trainer.steps_done == 6
    assert len(shown) == (1 if headless == "1" else 4)
    assert base64.b64decode(shown[-1]["image/png"]) == to_png(
        show_progress(other.history, other.sample(), caption(other))
    )
    assert shown[-1]["text/plain"].startswith("64 generated pictures after 6 steps")
