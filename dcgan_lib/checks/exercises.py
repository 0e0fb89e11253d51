"""`check`: an answer to an exercise, judged by what it does.

Used by the exercises of all notebooks.
"""

import warnings
from typing import Any

import torch

from dcgan_lib.checks import arrays, hunt, losses, networks, paper, progress, results, steps
from dcgan_lib.checks.report import Exercise, Fault, Report, show
from dcgan_lib.utils.errors import require

EXERCISES: dict[str, Exercise] = {
    exercise.name: exercise
    for part in (arrays, hunt, losses, networks, paper, results, steps)
    for exercise in part.EXERCISES
}


class Check:
    """Judges answers, and remembers which ones were right."""

    def __call__(self, name: str, answer: Any, hint: int = 1, **given: Any) -> Report:
        """Judge an answer by what it does, and show the report.

        Args:
            name: of the exercise, as its cell gives it: "07.d_step".
            answer: the reader's function or class.
            hint: how many hints to give, 1 to 3.
            given: what else the exercise asks for, as its cell says: the seed of a hunt.

        Returns:
            The report, with `passed` and `message`.

        Raises:
            InputError: there is no exercise of that name.
        """
        require(name in EXERCISES, f"There is no exercise {name}: choose one of {', '.join(sorted(EXERCISES))}.")
        exercise, fault = EXERCISES[name], None
        with torch.random.fork_rng(devices=[]), torch.enable_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.manual_seed(0)
            try:
                exercise.judge(answer, **given)
            except Fault as found:
                fault = found
        report = Report(exercise, fault, hint)
        if report.passed:
            progress.note("solved", name, True)
        show(report.message, report.html())
        return report

    def progress(self) -> None:
        """Show what is solved in this folder, and how many predictions came true."""
        found = progress.load()
        solved = sorted(name for name in EXERCISES if name in found["solved"])
        missing = sorted(set(EXERCISES) - set(solved))
        predicted = found["predicted"].values()
        print(f"Solved: {len(solved)} of {len(EXERCISES)}: {', '.join(solved) or 'none yet'}")
        print(f"To do:  {', '.join(missing) or 'nothing'}")
        print(f"Predictions that came true: {sum(predicted)} of {len(predicted)}")
        print(f"This is kept in {progress.FILE}; to begin again, delete it: Path({str(progress.FILE)!r}).unlink()")


check = Check()
