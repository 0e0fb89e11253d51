"""Training that a reader watches and steers. Used in notebooks 00, 07 and 08."""

from dcgan_lib.lab.training_lab import TrainingLab, watch
