"""A training loop whose lines can be changed, so that a run falls ill, or gets well. Taught in notebooks/09_clinic.ipynb."""

from dcgan_lib.clinic.loop import bce, changed, play, show_change
