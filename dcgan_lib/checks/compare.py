"""What the exercises share: results in few words, and the known fault that gives the same result."""

import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dcgan_lib.checks.report import Fault, call

Faults = dict[str, Callable[..., Any] | tuple[Callable[..., Any], ...]]
"""Words that follow "This behaves like", and a function with that fault, or several."""
EMPTY = "nothing yet: the answer is still `...`"


def brief(value: Any) -> str:
    """A value in few words."""
    if not isinstance(value, Tensor):
        return f"{value:.5g}" if isinstance(value, float) else repr(value)[:80]
    if value.numel() == 1:
        return f"{value.item():.5g}"
    if value.numel() <= 6:
        return "[" + ", ".join(f"{number:.4g}" for number in value.flatten().tolist()) + "]"
    low, high = value.min().item(), value.max().item()
    return f"shape {tuple(value.shape)}, from {low:.4g} to {high:.4g}, beginning with {brief(value.flatten()[:3])}"


def close(a: Any, b: Any, tolerance: float = 1e-4) -> bool:
    """Whether two results are the same but for rounding; results of different shapes are not."""
    a, b = (torch.as_tensor(value, dtype=torch.float64) for value in (a, b))
    return a.shape == b.shape and torch.allclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True)


def behaves_like(faults: Faults, result: Any, arguments: tuple[Any, ...], tolerance: float = 1e-4) -> str:
    """The first fault that gives the same result for these arguments; empty where none does."""
    for name, faulty in faults.items():
        for function in faulty if isinstance(faulty, tuple) else (faulty,):
            with suppress(RuntimeError, ValueError, IndexError):  # a fault may not get as far with such arguments
                if close(function(*arguments), result, tolerance):
                    return name
    return ""


def number(probe: str, result: Any) -> float:
    """The result as a number, if it is one."""
    if result is None or result is Ellipsis:
        raise Fault(probe, "a number", EMPTY)
    if isinstance(result, Tensor | np.ndarray) and math.prod(result.shape) != 1:
        name = "an answer that forgets to average over the batch" if result.ndim == 1 else ""
        raise Fault(probe, "one number", f"shape {tuple(result.shape)}", name)
    if "complex" in str(getattr(result, "dtype", type(result))):
        name = "a matrix root whose imaginary rounding error was kept: take `.real`"
        raise Fault(probe, "a real number", f"{result}", name)
    try:
        return float(result)
    except (TypeError, ValueError):
        raise Fault(probe, "a number", repr(result)[:80]) from None


def tensor(probe: str, result: Any, wanted: str) -> Tensor:
    """The result as a tensor, if it can be one."""
    if result is None or result is Ellipsis:
        raise Fault(probe, wanted, EMPTY)
    try:
        return torch.as_tensor(result)
    except (TypeError, ValueError, RuntimeError):
        raise Fault(probe, wanted, f"a {type(result).__name__}") from None


def judge_number(
    answer: Any, right: Callable[..., float], faults: Faults, cases: dict, tolerance: float = 1e-4
) -> None:
    """Compare a function that gives a number, case by case."""
    for probe, arguments in cases.items():
        result = number(probe, call(probe, answer, *arguments))
        expected = float(right(*arguments))
        if not close(result, expected, tolerance):
            raise Fault(probe, brief(expected), brief(result), behaves_like(faults, result, arguments, tolerance))


def draws(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
