"""The curves of a run: as a figure, and for a run that is going on, drawn again in a few milliseconds.

Used by `lab` in notebooks 00, 07 and 08, and for the page in a run's folder.
"""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from dcgan_lib.history import History

D_COLOUR, G_COLOUR, REAL_COLOUR = "#2f6db3", "#d9742b", "#3a8f57"
"""The discriminator is blue, the generator orange and real data green, in every figure."""
MEAN_OF = 25
"""Over how many steps the bold curves are averaged."""
TOPS = (3, 6, 12)
"""The axis of the losses ends at the first of these above the bold curves; higher losses are out of sight."""
SHORTEST = 100
"""The live axis of steps is as long as this, then twice, four times ... as long."""
GREY = "#7a7a7a"
"""Of axes and words: it can be read on a white page and on a dark one."""
LABEL = {"xycoords": ("data", "axes fraction"), "rotation": 90, "va": "top", "fontsize": 7, "color": GREY}

PLOTS = {
    "losses": [("d_loss", "d_loss", D_COLOUR), ("g_loss", "g_loss", G_COLOUR)],
    "probabilities": [("d_x", "D(x)", REAL_COLOUR), ("d_gz_before", "D(G(z))", G_COLOUR)],
}
"""By title: columns of the history, with their names and colours."""
LANDMARKS = [("2 ln 2", 2 * math.log(2), D_COLOUR), ("ln 2", math.log(2), G_COLOUR)]
"""The losses of a discriminator that knows nothing, and of a generator against it."""


def plot_history(history: History, figure: Figure | None = None) -> Figure:
    """The curves of a run: losses above, and below D(x) and D(G(z)), with a line where a discriminator only guesses.

    Args:
        figure: where to draw; left out, a new one.
    """
    figure = figure or Figure(figsize=(6, 5.6), layout="constrained")
    upper, lower = figure.subplots(2, sharex=True)
    for name, value, colour in LANDMARKS:
        upper.axhline(value, color=colour, lw=0.8, ls=":")
        upper.annotate(f" {name}", (1, value), None, ("axes fraction", "data"), color=colour, fontsize=8, va="center")
    upper.set_ylim(0, _top(history))
    lower.axhline(0.5, color=GREY, lw=0.8, ls=":")
    lower.set(ylim=(0, 1), xlabel="step")
    for axes, title in zip((upper, lower), PLOTS, strict=True):
        _add_curves(history, axes, title)
        axes.set_title(title, loc="left", fontsize=10, color=GREY)
        axes.legend(loc="lower right", bbox_to_anchor=(1.02, 0.98), ncols=2, frameon=False, fontsize=9, labelcolor=GREY)
        axes.set_facecolor("none")
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(GREY)
        axes.tick_params(colors=GREY)
        axes.xaxis.label.set_color(GREY)
    return figure


def running_mean(values: np.ndarray) -> np.ndarray:
    """For each of the values (N,) the mean of the last 25 up to there, or of all where there are fewer."""
    if not len(values):
        return values
    sums = np.convolve(values, np.ones(MEAN_OF))[: len(values)]
    return sums / np.minimum(np.arange(1, len(values) + 1), MEAN_OF)


class LiveCurves:
    """The same plots for a run that is going on, with a line where a control moved.

    Axes and legends are drawn once for a range of steps and losses, and only the rest anew: matplotlib's blitting.

    Args:
        size: of the figure in inches.
        transparent: paint no background, so that the curves look well on a dark page, too.
    """

    def __init__(self, size: tuple[float, float] = (4.2, 4.3), dpi: int = 100, transparent: bool = False) -> None:
        self._mode = "RGBA" if transparent else "RGB"
        self._figure = Figure(figsize=size, dpi=dpi, layout="constrained", facecolor="none" if transparent else "white")
        self._canvas = FigureCanvasAgg(self._figure)
        self._range: tuple[int, int] | None = None

    def draw(self, history: History, marks: Sequence[tuple[int, str]] = ()) -> Image.Image:
        """The curves as an image, 420 x 430 pixels by default; RGBA where the background is transparent, else RGB.

        Args:
            marks: steps, and for each what happened there; the last three are written out.
        """
        steps = SHORTEST * 2 ** math.ceil(math.log2(max(len(history) / SHORTEST, 1)))
        if self._range != (steps, _top(history)):
            self._range = steps, _top(history)
            self._draw_background(*self._range)
        self._canvas.restore_region(self._background)
        for axes, title in zip(self._figure.axes, PLOTS, strict=True):
            artists = _add_curves(history, axes, title)
            artists += [axes.axvline(step, color=GREY, lw=0.8) for step, _ in marks]
            if title == "losses":
                artists += [axes.annotate(words, (step, 0.98), **LABEL) for step, words in marks[-3:]]
            for artist in artists:
                axes.draw_artist(artist)
                artist.remove()
        return Image.fromarray(np.asarray(self._canvas.buffer_rgba())).convert(self._mode)

    def _draw_background(self, steps: int, top: int) -> None:
        self._figure.clear()
        plot_history(History(), self._figure).axes[0].set(xlim=(0, steps), ylim=(0, top))
        self._canvas.draw()
        self._background = self._canvas.copy_from_bbox(self._figure.bbox)


def _add_curves(history: History, axes: Axes, title: str) -> list[Line2D]:
    """The columns of a plot against the step, each one pale, with its running mean over it."""
    lines = []
    for column, name, colour in PLOTS[title]:
        lines += axes.plot(history["step"], history[column], color=colour, lw=0.8, alpha=0.3)
        lines += axes.plot(history["step"], running_mean(history[column]), color=colour, lw=1.5, label=name)
    return lines


def _top(history: History) -> int:
    finite = np.nan_to_num(history.rows[:, :2].numpy(), nan=0.0, posinf=0.0)
    highest = max(running_mean(losses).max(initial=0) for losses in finite.T)
    return next((top for top in TOPS if highest < top), TOPS[-1])
