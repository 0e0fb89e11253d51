"""Endless labelled cartoon portraits, painted from a seed."""

from dcgan_lib.data.faces.portraits import ATTRIBUTES, VERSION, attributes, paint
