"""The sliders of the live lab.

Used by `lab.TrainingLab`.
"""

import math
from typing import Any

import ipywidgets as widgets

from dcgan_lib.config import Config
from dcgan_lib.viz.explore import style_control

OWN = "your own"
PRESETS: dict[str, dict[str, Any]] = {
    "as it began": {},
    "the paper's: lr 0.0002, beta1 0.5": {"lr": 2e-4, "d_lr": None, "beta1": 0.5},
    "too fast: lr 0.03": {"lr": 0.03, "d_lr": 0.01},
    "long memory: beta1 0.9": {"beta1": 0.9},
    "five turns for D: k = 5": {"d_steps": 5},
    "D too weak: its lr 0.00002": {"d_lr": 2e-5},
}
"""For each entry of the drop-down, what differs from the config that the lab began with."""


class Controls:
    """Widgets for the steerable fields of a config, which always hold what the next step will use."""

    def __init__(self, config: Config) -> None:
        self._began = self._chosen = config
        self._choosing = False
        d_lr, smoothing = config.d_lr or config.lr, config.label_smoothing
        powers = [-5, -1, math.log10(config.lr), math.log10(d_lr)]  # no slider clips what it is given
        rate = {"min": min(powers), "max": max(powers), "step": 0.02, "readout_format": ".1e"}
        self.preset = widgets.Dropdown(options=[*PRESETS, OWN], description="settings")
        self.lr = widgets.FloatLogSlider(config.lr, description="lr", **rate)
        self.two_rates = widgets.Checkbox(config.d_lr is not None, description="own lr for D")
        self.d_lr = widgets.FloatLogSlider(d_lr, description="lr of D", **rate)
        self.beta1 = widgets.FloatSlider(config.beta1, max=max(0.99, config.beta1), step=0.01, description="beta1")
        self.d_steps = widgets.IntSlider(config.d_steps, min=1, max=max(5, config.d_steps), description="D steps (k)")
        self.label_smoothing = widgets.FloatSlider(smoothing, max=max(0.3, smoothing), step=0.05)
        self.label_smoothing.description = "label smoothing"
        self.all = [self.preset, self.lr, self.two_rates, self.d_lr, self.beta1, self.d_steps, self.label_smoothing]
        for name, control in vars(self).items():
            if isinstance(control, widgets.Widget):
                style_control(name, control)
        for control in self.all[1:]:
            control.observe(self._move, "value")
        self.preset.observe(self._choose, "value")
        self._move()

    def values(self) -> dict[str, Any]:
        """The fields of the config, by name, as the widgets have them now."""
        d_lr = _rate(self.d_lr, self._chosen.d_lr) if self.two_rates.value else None
        values = {name: getattr(self, name).value for name in ("beta1", "d_steps", "label_smoothing")}
        return {"lr": _rate(self.lr, self._chosen.lr), "d_lr": d_lr, **values}

    def move(self, changes: dict[str, Any]) -> None:
        """Put the widgets on new values of the config's fields, as a reader would."""
        values = self.values() | changes
        self.two_rates.value = values["d_lr"] is not None
        self.d_lr.value = values["d_lr"] or values["lr"]
        for name in ("lr", "beta1", "d_steps", "label_smoothing"):
            getattr(self, name).value = values[name]

    def _choose(self, _change: Any) -> None:
        if self.preset.value == OWN:
            return
        self._chosen = config = self._began.replace(**PRESETS[self.preset.value])
        self._choosing = True
        for name in ("lr", "beta1", "d_steps", "label_smoothing"):
            getattr(self, name).value = getattr(config, name)
        self.two_rates.value = config.d_lr is not None
        self.d_lr.value = config.d_lr or config.lr
        self._choosing = False

    def _move(self, _change: Any = None) -> None:
        self.lr.description = "lr of G" if self.two_rates.value else "lr"
        self.d_lr.layout.display = "" if self.two_rates.value else "none"
        moved = any(value != getattr(self._chosen, name) for name, value in self.values().items())
        if moved and not self._choosing:
            self.preset.value = OWN  # so that every entry of the list can be chosen again


def _rate(slider: widgets.FloatLogSlider, chosen: float | None) -> float:
    """A browser puts a slider on a multiple of its step; near the place it was put at, nobody has moved it."""
    near = chosen is not None and abs(math.log10(slider.value / chosen)) < slider.step / 2
    return chosen if near else slider.value
