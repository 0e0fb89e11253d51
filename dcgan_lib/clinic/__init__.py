"""The training loop, with lines to change so that it falls ill or gets well. Taught in notebooks/09_clinic.ipynb."""

from dcgan_lib.clinic.loop import bce, changed, play, show_change
