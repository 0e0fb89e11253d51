"""The paper's numbers, the presets and what is refused."""

import dataclasses
import json

import pytest
from IPython.core.interactiveshell import InteractiveShell

from dcgan_lib.config import PRESETS, Config, load_config
from dcgan_lib.utils.errors import InputError


def test_defaults_are_the_papers() -> None:
    paper = {"image_size": 64, "latent_dim": 100, "g_width": 64, "d_width": 64, "batch_size": 128}
    adam = {"lr": 0.0002, "beta1": 0.5, "beta2": 0.999}
    assert Config.paper() == Config() == Config(data="faces", channels=None, seed=0, **paper, **adam)


def test_presets_change_how_much_and_never_what() -> None:
    how_much = {"image_size", "g_width", "d_width", "batch_size", "steps"}
    how_much |= {"lr", "d_lr", "beta1", "lr_decay_share", "ema_decay"}
    for preset in (Config.laptop(), Config.half_hour(), Config.ci()):
        changed = {name for name, value in preset.to_dict().items() if value != getattr(Config(), name)}
        assert changed <= how_much
    assert Config.ci().steps < Config.laptop().steps < Config.paper().steps


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_take_changes(preset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = {"steps": 3, "g_width": 5, "lr": 0.5}
    expected = dataclasses.replace(getattr(Config, preset)(), **changes)
    assert PRESETS[preset](**changes) == load_config(preset, **changes) == expected
    monkeypatch.setenv("DCGAN_PRESET", preset)
    assert load_config(**changes) == expected
    assert load_config("paper") == Config.paper()  # what is asked for wins


def test_preset_without_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DCGAN_PRESET", raising=False)
    assert load_config() == Config.laptop()
    monkeypatch.setenv("DCGAN_PRESET", "desktop")
    with pytest.raises(InputError, match="no preset 'desktop': choose one of paper, half_hour, laptop, ci"):
        load_config()


GOOD = {
    "image_size": [16, 32, 64, 128, 256],
    "channels": [None, 1, 3],
    "batch_size": [2],
    "lr": [1e-9, 1, 10.0],
    "beta1": [0, 0.0, 0.999],
    "beta2": [0, 0.9999],
    "latent_dim": [1],
    "g_width": [1],
    "d_width": [1],
    "steps": [0],
    "seed": [0, 2**63 - 1],
    "precision": ["auto", "float32", "bfloat16"],
}
BAD = {
    "data": ["", 3, None],
    "image_size": [0, 8, 48, 512, 64.0, "64"],
    "channels": [0, 2, 4, 1.0, True],
    "batch_size": [1, 0, -3, 8.0],
    "lr": [0, -1e-3, float("nan"), float("inf"), "1", None],
    "beta1": [-0.1, 1, 1.5, float("nan")],
    "beta2": [-0.1, 1.0, float("nan"), "x"],
    "latent_dim": [0, 1.5],
    "g_width": [0, True],
    "d_width": [0, "64"],
    "steps": [-1, 1.0, None],
    "seed": [-1, 0.5, 2**64],
    "precision": ["half", "", None],
    "device": [None, 0],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in GOOD.items() for value in values])
def test_values_in_range(name: str, value) -> None:
    config = Config(**{name: value})
    assert getattr(config, name) == value
    assert type(getattr(config, name)) is float or name not in ("lr", "beta1", "beta2")


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_values_out_of_range(name: str, value) -> None:
    with pytest.raises(InputError, match=f"^{name} must be .*: change its value.$"):
        Config(**{name: value})
    with pytest.raises(InputError):
        Config().replace(**{name: value})


def test_config_is_frozen_and_survives_json() -> None:
    config = Config.laptop(seed=5, channels=1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.lr = 1.0
    assert Config(**json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize("variable", [None, "0", "1"])
def test_a_notebook_shows_the_sentence_and_on_demand_the_traceback(variable: str | None, monkeypatch, capsys) -> None:
    if variable is not None:
        monkeypatch.setenv("DCGAN_TRACEBACK", variable)
    shell = InteractiveShell()
    shell.run_cell("from dcgan_lib.config import Config\nConfig(lr=-1.0)")
    shown = capsys.readouterr().out.strip()
    sentence = "InputError: lr must be a number above 0, and -1.0 is not: change its value."
    assert shown.splitlines()[-1].endswith(sentence)
    assert ("Traceback" in shown) == (variable == "1")
    assert variable == "1" or shown == sentence
