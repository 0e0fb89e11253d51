"""The sliders and the config say the same."""

import pytest

from dcgan_lib.config import Config
from dcgan_lib.lab.session import CONTROLS
from dcgan_lib.lab.sliders import OWN, PRESETS, Controls

CONFIGS = {
    "paper": Config(),
    "laptop": Config.laptop(),
    "all moved": Config(lr=1.23e-3, d_lr=4.5e-4, beta1=0.123, d_steps=4, label_smoothing=0.12),
}


def steerable(config: Config) -> dict[str, float | None]:
    return {name: getattr(config, name) for name in CONTROLS}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_values_are_those_of_the_config(config: Config) -> None:
    assert Controls(config).values() == steerable(config)


@pytest.mark.parametrize("name", ["lr", "beta1", "d_steps", "label_smoothing"])
def test_moving_one_moves_no_other(name: str) -> None:
    config = CONFIGS["all moved"]
    controls = Controls(config)
    getattr(controls, name).value = (value := {"lr": 1e-2, "beta1": 0.9, "d_steps": 2, "label_smoothing": 0.3}[name])
    assert controls.values() == steerable(config.replace(**{name: value}))


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("preset", PRESETS)
def test_presets(config: Config, preset: str) -> None:
    controls = Controls(config)
    controls.lr.value, controls.two_rates.value, controls.d_lr.value = 3e-5, True, 5e-2  # a preset forgets these
    controls.preset.value = other = next(name for name in PRESETS if name not in (preset, "as it began"))
    assert controls.values() == steerable(config.replace(**PRESETS[other]))
    controls.preset.value = preset
    assert controls.values() == steerable(config.replace(**PRESETS[preset]))
    controls.preset.value = "as it began"
    assert controls.values() == steerable(config)


def test_a_rate_between_two_notches_of_its_slider_is_kept() -> None:
    """A browser puts a slider on a multiple of its step; that is no move of the reader's."""
    controls = Controls(CONFIGS["all moved"])
    controls.lr.value, controls.d_lr.value = 10**-2.92, 10**-3.34  # for 0.00123 and 0.00045
    assert controls.values() == steerable(CONFIGS["all moved"])
    controls.lr.value, controls.d_lr.value = 10**-2.85, 10**-3.3
    assert (controls.values()["lr"], controls.values()["d_lr"]) == (10**-2.85, 10**-3.3)
    controls.preset.value = "too fast: lr 0.03"
    controls.lr.value = 10**-1.52
    assert (controls.values()["lr"], controls.preset.value) == (0.03, "too fast: lr 0.03")


def test_a_rate_for_d_alone() -> None:
    controls = Controls(Config(lr=1e-3))
    assert (controls.two_rates.value, controls.d_lr.layout.display, controls.lr.description) == (False, "none", "lr")
    controls.d_lr.value = 5e-4
    assert controls.values()["d_lr"] is None
    controls.two_rates.value = True
    assert (controls.d_lr.layout.display, controls.lr.description) == ("", "lr of G")
    assert (controls.values()["lr"], controls.values()["d_lr"]) == (1e-3, 5e-4)
    controls.two_rates.value = False
    assert (controls.values()["d_lr"], controls.d_lr.layout.display) == (None, "none")


def test_a_config_beyond_the_usual_ranges_is_not_clipped(tiny: Config) -> None:
    wide = {"lr": 0.5, "d_lr": 1e-6, "d_steps": 8, "label_smoothing": 0.5, "beta1": 0.995}
    assert Controls(tiny.replace(**wide)).values() == wide


def test_a_setting_can_be_chosen_again_after_a_slider_has_moved(tiny: Config) -> None:
    controls = Controls(tiny)
    began, first = controls.values(), controls.preset.value
    controls.beta1.value = 0.7
    assert controls.preset.value == OWN
    assert controls.values() == began | {"beta1": 0.7}
    controls.preset.value = first
    assert (controls.values(), controls.preset.value) == (began, first)
