"""The exercise whose answer is a line: which one of a broken trainer's.

Used by notebook 09.
"""

from typing import Any

from dcgan_lib.checks.compare import EMPTY
from dcgan_lib.checks.report import Exercise, Fault
from dcgan_lib.clinic.hunt import fault, line_number, numbered
from dcgan_lib.utils.errors import require


def judge_hunt(answer: Any, seed: int | None = None) -> None:
    """Compare the number of a line, or its text, with the one that is broken."""
    require(seed is not None, 'This check needs the seed of the trainer: check("09.hunt", line, seed=0).')
    lines = [line[3:].strip() for line in numbered().splitlines()]
    probe = f"the trainer of seed {seed}"
    if answer is None or answer is Ellipsis or callable(answer):
        raise Fault(probe, "the number of its broken line", EMPTY)
    text = str(answer).strip()
    known = int(text) if text.isdigit() else next((i for i, line in enumerate(lines, 1) if text and text in line), 0)
    if not 1 <= known <= len(lines):
        raise Fault(probe, f"a line of the loop, 1 to {len(lines)}, or its text", repr(answer)[:80])
    if known != line_number(fault(seed)[0]):
        raise Fault(probe, "its broken line", f"line {known}, `{lines[known - 1]}`, which is as it should be")


EXERCISES = [
    Exercise(
        "09.hunt",
        judge_hunt,
        (
            "Which weights move? Keep a copy of both networks' weights, take one step, and compare.",
            "What has gone into the loop? Look at `real`, `z` and `fake` of two steps: their ranges, and whether they "
            "differ from step to step. Then at the logits.",
            "Work out both losses from the logits, by hand. Then the gradients: after a step, `.grad` holds what "
            "each optimizer was given, if it was cleared when it should have been.",
        ),
        "how you found it.",
    )
]
