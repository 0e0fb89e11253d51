"""`predict`: a question before a run, and its answer afterwards.

Used by all notebooks.
"""

import html

import ipywidgets as widgets
from IPython.display import display

from dcgan_lib.checks import progress
from dcgan_lib.checks.report import show
from dcgan_lib.utils.environment import headless
from dcgan_lib.utils.errors import require


class Prediction:
    """A question with several choices; the reader picks one before the run.

    Attributes:
        chosen: the reader's choice, or None.
    """

    def __init__(self, question: str, *choices: str) -> None:
        self.question, self.choices = question, choices
        self.chosen: str | None = None
        if headless():
            listed = "".join(f"<li>{html.escape(choice)}</li>" for choice in choices)
            text = "\n".join([question, *(f"  - {choice}" for choice in choices)])
            self._show(text, f"<b>{html.escape(question)}</b><ul>{listed}</ul>")
            return
        buttons = widgets.RadioButtons(options=choices, value=None, layout=widgets.Layout(width="auto"))
        buttons.observe(self._choose, "value")
        display(widgets.VBox([widgets.HTML(f"<b>{html.escape(question)}</b>"), buttons]))

    def reveal(self, truth: str) -> None:
        """Show what came true, beside what the reader said.

        Args:
            truth: one of the choices, computed from the run.
        """
        require(truth in self.choices, f"{truth!r} is none of the choices of this question: {', '.join(self.choices)}.")
        said = ""
        if self.chosen is not None:
            right = self.chosen == truth
            said = f"{'✓' if right else '✗'} You said: {self.chosen}. "
            progress.note("predicted", self.question, right)
        answer = f"{said}It is: {truth}."
        self._show(f"{self.question}\n  {answer}", f"{html.escape(self.question)}<br><b>{html.escape(answer)}</b>")

    def _choose(self, change: dict) -> None:
        self.chosen = change["new"]

    @staticmethod
    def _show(text: str, body: str) -> None:
        box = "border-left: 5px solid #2f6db3; padding: 4px 10px; margin: 4px 0"
        show(text, f'<div style="{box}">{body}</div>')


def predict(question: str, *choices: str) -> Prediction:
    """Ask before a run. Keep what it returns, and call its `reveal` with the answer that the run gave."""
    return Prediction(question, *choices)
