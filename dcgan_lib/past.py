"""The runs of the live lab that are over, side by side.

Used by `lab.TrainingLab`.
"""

import html

import ipywidgets as widgets

from dcgan_lib.board import settings_html
from dcgan_lib.session import PastRun
from dcgan_lib.viz import to_png

MOST = 6  # runs beside each other
COLUMN = {"width": "15em", "margin": "0 1em 0 0"}


class PastRuns(widgets.Box):
    """The last picture of each run above its words, the newest run first; the oldest make room."""

    def __init__(self) -> None:
        super().__init__(layout={"flex_flow": "row wrap"})

    def add(self, run: PastRun) -> None:
        """Show this run, too."""
        picture = widgets.Image(value=to_png(run.picture), format="png", layout=COLUMN)
        columns = [widgets.VBox([picture, widgets.HTML(past_html(run), layout=COLUMN)]), *self.children]
        self.children = columns[:MOST]
        for column in columns[MOST:]:
            discard(column, *column.children)


def past_html(run: PastRun) -> str:
    """The settings, length and verdict of a run that is over."""
    moved = f", moved at step {', '.join(str(step) for step, _ in run.marks)}" if run.marks else ""
    return f"<b>{settings_html(run.config)}</b><br>{run.steps} steps{moved}<br>{html.escape(run.verdict.sentence)}"


def discard(*gone: widgets.Widget) -> None:
    """Close widgets with their layouts and styles; ipywidgets keeps all others until the kernel ends."""
    for widget in gone:
        for part in (widget.layout, getattr(widget, "style", None), widget):
            if part is not None:
                part.close()
