"""The curves of a run that is going on, drawn in a few milliseconds.

Used by `lab.TrainingLab`.
"""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from dcgan_lib.history import History
from dcgan_lib.viz import D_COLOUR, G_COLOUR, MEAN_OF, REAL_COLOUR

CURVES = {"d_loss": D_COLOUR, "g_loss": G_COLOUR, "d_x": REAL_COLOUR, "d_gz_before": G_COLOUR}
NAMES = {"d_loss": "d_loss", "g_loss": "g_loss", "d_x": "D(x)", "d_gz_before": "D(G(z))"}
TOPS, SHORTEST = (3, 6, 12), 100
MARK_COLOUR = "#777777"


class Panel:
    """Losses above, D(x) and D(G(z)) below, and a line where a control moved.

    Axes and legend are drawn once for a range of steps, and only the curves anew: matplotlib's blitting.
    """

    def __init__(self, size: tuple[float, float] = (4.2, 4.3), dpi: int = 100) -> None:
        self._figure = Figure(figsize=size, dpi=dpi, layout="constrained")
        self._canvas = FigureCanvasAgg(self._figure)
        self._range: tuple[int, int] | None = None

    def draw(self, history: History, marks: Sequence[tuple[int, str]] = ()) -> Image.Image:
        """The curves as an RGB image, 420 x 430 pixels by default."""
        finite = np.nan_to_num(history.rows[:, :2].numpy(), nan=0.0, posinf=0.0)
        highest = max(float(_mean(column).max()) for column in finite.T) if len(finite) else 0.0
        top = next((top for top in TOPS if highest < top), TOPS[-1])
        steps = SHORTEST * 2 ** math.ceil(math.log2(max(len(history) / SHORTEST, 1)))
        if (steps, top) != self._range:
            self._prepare(steps, top)
        self._canvas.restore_region(self._background)
        for column, (pale, mean) in self._lines.items():
            values = history[column]
            pale.set_data(history["step"], values)
            mean.set_data(history["step"][-len(_mean(values)) :] if len(values) else [], _mean(values))
        for axes in self._axes:
            for line in axes.lines:
                if line.get_animated():
                    axes.draw_artist(line)
            for step, _ in marks:
                self._once(axes, axes.axvline(step, color=MARK_COLOUR, lw=0.8))
        for step, words in marks[-3:]:
            label = self._axes[0].annotate(words, (step, 0.98), xycoords=("data", "axes fraction"), rotation=90)
            label.set(fontsize=7, color=MARK_COLOUR, va="top", ha="left" if step < steps / 20 else "right")
            self._once(self._axes[0], label)
        return Image.fromarray(np.asarray(self._canvas.buffer_rgba())[..., :3])

    @staticmethod
    def _once(axes: Axes, artist: Artist) -> None:
        axes.draw_artist(artist)
        artist.remove()

    def _prepare(self, steps: int, top: int) -> None:
        self._range = steps, top
        self._figure.clear()
        self._axes = upper, lower = self._figure.subplots(2, sharex=True)
        self._lines = {}
        for column, colour in CURVES.items():
            axes = upper if column.endswith("loss") else lower
            (pale,) = axes.plot([], [], color=colour, lw=0.8, alpha=0.3, animated=True)
            (mean,) = axes.plot([], [], color=colour, lw=1.5, animated=True)
            axes.plot([], [], color=colour, lw=1.5, label=NAMES[column])  # for the legend, which is not animated
            self._lines[column] = pale, mean
        for value, colour in ((2 * math.log(2), D_COLOUR), (math.log(2), G_COLOUR)):
            upper.axhline(value, color=colour, lw=0.8, ls=":")
        lower.axhline(0.5, color="grey", lw=0.8, ls=":")
        upper.set(xlim=(0, steps), ylim=(0, top))
        upper.set_title("losses", loc="left", fontsize=10)
        lower.set(ylim=(0, 1), xlabel="step")
        lower.set_title("probabilities", loc="left", fontsize=10)
        for axes in self._axes:
            axes.legend(loc="lower right", bbox_to_anchor=(1.02, 0.98), ncols=2, frameon=False, fontsize=9)
        self._canvas.draw()
        self._background = self._canvas.copy_from_bbox(self._figure.bbox)


def _mean(values: np.ndarray) -> np.ndarray:
    """The running mean over 25 steps; over fewer where there are fewer."""
    return np.convolve(values, np.full(n := min(MEAN_OF, len(values)), 1 / n), mode="valid") if len(values) else values
