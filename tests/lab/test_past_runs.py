"""What the live lab shows of runs that are over, and that nothing stays of those that it no longer shows."""

import gc
import io
import weakref

import ipywidgets as widgets
import pytest
import torch
from PIL import Image

from dcgan_lib.images import grid
from dcgan_lib.lab import render
from dcgan_lib.lab.render import PastRuns
from dcgan_lib.lab.session import Session


def texts(runs: PastRuns) -> list[str]:
    return [words.value for _, words in (column.children for column in runs.children)]


def test_the_newest_comes_first_and_the_oldest_make_room(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render, "MOST_RUNS", 2)
    runs = PastRuns()
    for steps in (1, 2, 3, 4):
        session.trainer.history.append(torch.ones(5))
        runs.add(session)
        assert [f"<br>{n} steps<br>" in text for n, text in zip((steps, steps - 1), texts(runs), strict=False)] == [
            True
        ] * min(2, steps)
    assert len(runs.children) == 2
    with Image.open(io.BytesIO(runs.children[0].children[0].value)) as shown:
        assert shown.tobytes() == grid(session.trainer.sample()).tobytes()


def test_nothing_stays_of_what_has_made_room(session: Session) -> None:
    """ipywidgets keeps every widget until the kernel ends."""
    made: list[weakref.ref] = []
    widgets.Widget.on_widget_constructed(lambda widget: made.append(weakref.ref(widget)))
    runs, counts = PastRuns(), []
    for _ in range(2):
        for _ in range(render.MOST_RUNS):
            runs.add(session)
        gc.collect()
        counts.append(sum(widget() is not None for widget in made))
    widgets.Widget.on_widget_constructed(None)
    assert counts[0] == counts[1] > render.MOST_RUNS
