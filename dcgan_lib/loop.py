"""How long a run goes on, how hot it is on the way, and who is told. Taught in notebooks/07_training.ipynb."""

import time
from collections.abc import Callable
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from dcgan_lib import parallel
from dcgan_lib.config import Config, InputError
from dcgan_lib.interrupt import stop_button
from dcgan_lib.progress import progress

if TYPE_CHECKING:
    from dcgan_lib.trainer import Trainer


def heat(config: Config, done: float) -> float:
    """The factor on lr when this share of the run is done; beyond its end a run is hot again."""
    left = 1 - done
    return min(1.0, left / config.cool_down) if config.cool_down and left > 0 else 1.0


def run(
    trainer: "Trainer",
    steps: int | None,
    seconds: float | None,
    every: int,
    on_progress: Callable[["Trainer"], Any] | None,
) -> None:
    """`Trainer.train`, with its arguments and errors."""
    whole = steps is None or isinstance(steps, Integral) and steps >= 0
    positive = seconds is None or isinstance(seconds, Real) and seconds >= 0  # which NaN is not
    for name, value, ok, rule in (
        ("steps", steps, whole, "a whole number, 0 or more"),
        ("seconds", seconds, positive, "a number, 0 or more"),
        ("every", every, isinstance(every, Integral) and every >= 1, "a whole number, 1 or more"),
    ):
        if not ok:
            raise InputError(f"{name} must be {rule}, and {value!r} is not: change its value.")
    config = trainer.config
    if steps is None and seconds is None:
        steps = max(0, config.steps - trainer.steps_done)
    first, start, passed, stopped = trainer.steps_done, time.perf_counter(), 0.0, False
    total, unit = (steps, "step") if seconds is None else (seconds, "s")
    look = {"bar_format": "{l_bar}{bar}| {n:.0f}/{total:.0f} {unit}{postfix}"}
    look |= {} if parallel.is_first() else {"disable": True}  # False would overrule TQDM_DISABLE
    with progress(total=total, unit=unit, **look) as bar, stop_button() as pressed:
        while not stopped and bar.n < total and (steps is None or trainer.steps_done - first < steps):
            trainer.step(heat(config, passed / seconds if seconds else trainer.steps_done / max(1, config.steps)))
            done, passed = trainer.steps_done - first, time.perf_counter() - start
            passed, stopped = parallel.agree(passed, pressed.is_set())
            bar.n = done if seconds is None else min(passed, seconds)
            last = bar.n == total or done == steps
            if stopped:
                pressed.set()  # by Ctrl-C in another process; this one's may come yet
            stopped = stopped and not last
            if trainer.steps_done % every == 0 or last or stopped:
                trainer.guard.losses(trainer.history)
                losses = ", ".join(f"{name} {trainer.history[name][-1]:.2f}" for name in ("d_loss", "g_loss"))
                bar.set_postfix_str(
                    f"step {trainer.steps_done}, {losses}, {done * config.batch_size / passed:.0f} images/s"
                )
                if on_progress:
                    on_progress(trainer)
    if stopped and parallel.is_first():
        print(f"Stopped after step {trainer.steps_done}, as asked: the run can go on from there.")
