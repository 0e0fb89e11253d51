"""What a check says about an answer, and how it is shown.

Used by the exercises of all notebooks.
"""

import html
import linecache
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from IPython import get_ipython
from IPython.display import display

LIBRARY = Path(__file__).parents[1]
ERRORS = {
    "backward through the graph a second time": "the fakes without `detach` in the discriminator's turn: its backward "
    "pass has used up the generator's graph, and the generator's turn finds nothing left",
    "does not require grad": "a loss with no way back to the weights: somewhere on the way stands `detach`, `no_grad`, "
    "`.item()` or `.data`",
    "modified by an inplace operation": "an update that comes before a backward pass which still needs the old weights",
    "expected 3d (unbatched) or 4d (batched)": "z with two axes handed to a layer that wants four: reshape it to "
    "(N, 100, 1, 1)",
    "grad can be implicitly created only for scalar": "a loss per image: average it before `backward`",
    "should be between 0 and 1": "BCELoss on logits: the sigmoid is missing, or use the loss with logits",
    "has no attribute 'weight'": "a function that takes every layer for one with weights, but `apply` "
    "also brings activations",
    "must match the size of tensor": "tensors whose shapes do not fit together",
    "target size": "labels of another shape than the logits, which are (N,)",
    "doesn't match the broadcast shape": "a result of another shape than what it is added to",
    "only support backward for": "a backward pass through an integer",
}
"""What PyTorch says, and which answer it comes from."""


class Exercise(NamedTuple):
    """One exercise: its probes and its words."""

    name: str
    judge: Callable[..., None]
    """Raises `Fault` where an answer is wrong."""
    hints: tuple[str, str, str]
    unseen: str
    """What the probes cannot see, for an answer that passes."""


class Fault(Exception):
    """The first probe that an answer failed: what was looked at, what was expected, what came.

    Args:
        name: the fault, to follow "This behaves like"; empty where the probes don't know it.
    """

    def __init__(self, probe: str, expected: str, came: str, name: str = "") -> None:
        super().__init__(probe)
        self.probe, self.expected, self.came, self.name = probe, expected, came, name


class Report:
    """The outcome of a check.

    Args:
        exercise: what was checked.
        fault: what is wrong, or None.
        hint: how many hints to give, 1 to 3.
    """

    def __init__(self, exercise: Exercise, fault: Fault | None, hint: int = 1) -> None:
        self.name, self.passed = exercise.name, fault is None
        if fault is None:
            self.lines = [("Not seen by this check", exercise.unseen)]
        else:
            seen = [("Looked at", fault.probe), ("Expected", fault.expected), ("Came", fault.came)]
            named = [("This behaves like", f"{fault.name}.")] if fault.name else []
            hints = [(f"Hint {i} of 3", text) for i, text in enumerate(exercise.hints[:hint], 1)]
            self.lines = seen + named + hints

    @property
    def message(self) -> str:
        """The report in plain text."""
        width = max(len(label) for label, _ in self.lines) + 2
        return "\n".join([self._title(), *(f"  {label + ':':{width}}{text}" for label, text in self.lines)])

    def __repr__(self) -> str:
        return f"Report({self.name!r}, passed={self.passed})"

    def _ipython_display_(self) -> None:
        """Nothing: `check` has shown it."""

    def _title(self) -> str:
        return f"{self.name}: {'✓ right' if self.passed else '✗ not yet'}"

    def html(self) -> str:
        """The report as a coloured box, which takes the notebook's own text colour."""
        cell = "<td style='text-align: left; vertical-align: top; background: none; padding: 1px 8px{}'>{}</td>"
        rows = "".join(
            f"<tr>{cell.format('; white-space: nowrap', f'<b>{label}</b>')}{cell.format('', _code(text))}</tr>"
            for label, text in self.lines
        )
        colour = "#2e8b57" if self.passed else "#d2691e"
        box = f"border-left: 5px solid {colour}; padding: 4px 10px; margin: 4px 0"
        return f'<div style="{box}"><b style="color: {colour}">{self._title()}</b><table>{rows}</table></div>'


def show(text: str, body: str) -> None:
    """Show it in a notebook as HTML, elsewhere as text."""
    if get_ipython() is None:
        print(text)
    else:
        display({"text/plain": text, "text/html": body}, raw=True)


def _code(text: str) -> str:
    """The text as HTML; what stands between back quotes becomes code."""
    parts = html.escape(text).split("`")
    return "".join(f"<code>{part}</code>" if i % 2 else part for i, part in enumerate(parts))


def call(probe: str, answer: Callable[..., Any], *arguments: Any) -> Any:
    """What the reader's function gives.

    Raises:
        Fault: it raises; the fault shows the error with the reader's own line.
    """
    try:
        return answer(*arguments)
    except Exception as error:
        text = str(error).strip().partition("\n")[0]
        name = next((words for part, words in ERRORS.items() if part.lower() in str(error).lower()), "")
        came = f"{type(error).__name__}: {text}{_own_line(error)}"
        raise Fault(probe, "no error", came, name) from None


def _own_line(error: Exception) -> str:
    """Where in the reader's code it was raised."""
    frames = [
        (frame, number)
        for frame, number in traceback.walk_tb(error.__traceback__)
        if "site-packages" not in (file := frame.f_code.co_filename) and not Path(file).is_relative_to(LIBRARY)
    ]
    if not frames:
        return ""
    frame, number = frames[-1]
    line = linecache.getline(frame.f_code.co_filename, number, frame.f_globals).strip()
    return f", in line {number} of your code" + (f": `{line}`" if line else "")
