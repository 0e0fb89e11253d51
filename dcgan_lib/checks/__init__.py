"""Checked exercises: `check` names what is wrong with an answer, `predict` asks before a run."""

from dcgan_lib.checks.exercises import check
from dcgan_lib.checks.prediction import predict

__all__ = ["check", "predict"]
