"""What the live lab shows of runs that are over, and that nothing stays of those that it no longer shows."""

import gc
import io
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace

import ipywidgets as widgets
import pytest
from PIL import Image

from dcgan_lib import past
from dcgan_lib.config import Config
from dcgan_lib.judge import Verdict
from dcgan_lib.past import PastRuns, discard
from dcgan_lib.session import PastRun

ODD = Verdict("balanced", "<i>a & b", "<script>", "08_results")
RUN = PastRun(Config(d_steps=2), 120, ODD, Image.new("RGB", (9, 7), "teal"), ())


@pytest.fixture
def alive() -> Iterator[Callable[[], int]]:
    """How many of the widgets made during the test there still are."""
    made: list[weakref.ref] = []
    widgets.Widget.on_widget_constructed(lambda widget: made.append(weakref.ref(widget)))

    def count() -> int:
        gc.collect()
        return sum(widget() is not None for widget in made)

    yield count
    widgets.Widget.on_widget_constructed(None)


def test_words() -> None:
    settings = "<b>lr 2.00e-04 · beta1 0.50 · k 2</b>"
    assert past.past_html(RUN) == f"{settings}<br>120 steps<br>&lt;i&gt;a &amp; b"
    moved = past.past_html(replace(RUN, marks=((0, "lr 1"), (40, "k 2"))))
    assert moved == f"{settings}<br>120 steps, moved at step 0, 40<br>&lt;i&gt;a &amp; b"


def test_the_newest_comes_first_and_the_oldest_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past, "MOST", 2)
    runs = PastRuns()
    for steps in (10, 20, 30):
        runs.add(replace(RUN, steps=steps))
    assert ["30 steps" in runs.children[0].children[1].value, "20 steps" in runs.children[1].children[1].value] == [
        True
    ] * 2
    assert len(runs.children) == 2
    for column in runs.children:
        with Image.open(io.BytesIO(column.children[0].value)) as shown:
            assert shown.tobytes() == RUN.picture.tobytes()


def test_nothing_stays_of_what_has_made_room(alive: Callable[[], int]) -> None:
    runs, counts = PastRuns(), []
    for _ in range(3 * past.MOST):
        runs.add(RUN)
        counts.append(alive())
    assert counts[past.MOST - 1] > counts[0]
    assert set(counts[past.MOST - 1 :]) == {counts[past.MOST - 1]}


def test_discarded_widgets_are_gone(alive: Callable[[], int]) -> None:
    kept, gone = widgets.HTML(), widgets.VBox([widgets.HTML()])
    before = alive()
    discard(gone, *gone.children)
    del gone
    parts = 3 if hasattr(kept, "style") else 2  # with its layout, and in ipywidgets 8 its style
    assert before - alive() == 2 + parts
    assert kept.comm is not None
