"""A cell that trains and shows what the fixed z give on the way."""

from types import SimpleNamespace

import pytest
from IPython.display import Image as PngImage

from dcgan_lib import watch as watch_module
from dcgan_lib.config import Config
from dcgan_lib.data import PictureSet
from dcgan_lib.grids import grid
from dcgan_lib.trainer import Trainer
from dcgan_lib.viz import show_progress, to_png
from dcgan_lib.watch import watch


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list:
    """What was displayed, or updated later."""
    things = []

    def display(thing, display_id: bool = False) -> SimpleNamespace | None:
        things.append(thing)
        return SimpleNamespace(update=things.append) if display_id else None

    monkeypatch.setattr(watch_module, "display", display)
    return things


@pytest.mark.parametrize("headless", ["1", "0"])
def test_watch(shown: list, tiny: Config, pictures: PictureSet, monkeypatch: pytest.MonkeyPatch, headless: str) -> None:
    monkeypatch.setenv("DCGAN_HEADLESS", headless)
    trainer, other = Trainer(tiny, pictures), Trainer(tiny, pictures)
    frames = watch(trainer, steps=5, every=2)
    expected = [grid(other.sample())]
    other.train(5, every=2, on_progress=lambda other: expected.append(grid(other.sample())))
    assert [frame.tobytes() for frame in frames] == [frame.tobytes() for frame in expected]
    assert len(frames) == 4  # before the first step, after 2, 4 and 5
    assert trainer.steps_done == 5
    assert len(shown) == (1 if headless == "1" else 4)
    assert all(isinstance(thing, PngImage) for thing in shown)
    assert shown[-1].data == to_png(show_progress(other.history, other.sample()))


def test_watch_goes_to_the_end_of_the_run(
    shown: list, tiny: Config, pictures: PictureSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_module, "show_progress", lambda history, images: grid(images))
    trainer = Trainer(tiny, pictures)
    watch(trainer, steps=1)
    watch(trainer)
    assert trainer.steps_done == 6
    watch(trainer, seconds=0)
    assert trainer.steps_done == 6
    assert len(shown) == 3
