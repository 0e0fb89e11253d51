"""Every number that a run depends on, the presets, and the only place that reads the environment.

Taught in notebooks/00_quickstart.ipynb.
"""

import os
import traceback
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from types import UnionType
from typing import Any, Self, get_args

PRECISIONS = ("auto", "float32", "bfloat16")
WIDEST = 65_536
"""Of every width: a layer this wide fits into no memory, and larger numbers end in all sorts of overflows."""


class InputError(ValueError):
    """Something that the reader can mend; the message says what is wrong, where, and what to do next."""

    def _render_traceback_(self) -> list[str]:
        """What Jupyter shows: the sentence, and with `DCGAN_TRACEBACK` set the way to it, too."""
        if _is_set("DCGAN_TRACEBACK"):
            return "".join(traceback.format_exception(self)).splitlines()
        return [f"{type(self).__name__}: {self}"]


@dataclass(frozen=True)
class Config:
    """One run, in numbers. The defaults are the paper's (Radford, Metz, Chintala 2016, section 4).

    Raises:
        InputError: a value is of the wrong type or out of its range.
    """

    data: str = "faces"
    """The pictures: faces, digits, mnist, fashion_mnist, cifar10, svhn, celeba, folder:PATH or shards:PATH."""
    image_size: int = 64
    """Height and width in pixels: 16, 32, 64, 128 or 256."""
    channels: int | None = None
    """1 for grey, 3 for colour; left out: what the data has."""
    latent_dim: int = 100
    """Length of z, the random vector that a picture is made from (nz in older tutorials)."""
    g_width: int = 64
    """Channels of the generator's last hidden layer; each layer before it has twice as many (ngf)."""
    d_width: int = 64
    """Channels of the discriminator's first layer; each layer after it has twice as many (ndf)."""
    batch_size: int = 128
    """Real pictures a step, and as many fakes, of all processes together."""
    sync_batch_norm: bool = False
    """Under torchrun, let batch norm average over the pictures of all processes instead of each one's own."""
    lr: float = 2e-4
    """Learning rate of Adam, for both networks."""
    d_lr: float | None = None
    """The discriminator's own learning rate; left out: lr (two time scales: Heusel et al. 2017)."""
    beta1: float = 0.5
    """Adam's memory of past gradients, from 0 up to but not including 1."""
    beta2: float = 0.999
    """Adam's memory of past squared gradients, from 0 up to but not including 1."""
    d_steps: int = 1
    """Updates of the discriminator in a step, each on another batch, before the generator's one (k of algorithm 1)."""
    label_smoothing: float = 0.0
    """How far below 1 the discriminator's label for real pictures is, from 0 up to but not including 1."""
    steps: int = 10_000
    """Length of the run in steps; one step updates each network once."""
    cool_down: float = 0.0
    """The last share of a run, from 0 to 1, in which the learning rate falls in a straight line to 0. The paper has
    none."""
    seed: int = 0
    """Same seed, same run on the same machine."""
    precision: str = "auto"
    """float32, bfloat16, or auto: bfloat16 where the processor multiplies it fast."""
    device: str = "auto"
    """cpu, cuda, mps ..., or auto: an accelerator where there is one."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type in (float, float | None) and type(value) is int:  # lr=1 is as good as lr=1.0
                object.__setattr__(self, field.name, float(value))
            elif type(value) not in (get_args(field.type) if isinstance(field.type, UnionType) else (field.type,)):
                kind = getattr(field.type, "__name__", None) or get_args(field.type)[0].__name__
                raise InputError(f"{field.name} must be of type {kind}, and {value!r} is not: change its value.")
        rules = {
            "data": (bool(self.data), "a name such as faces or folder:PATH"),
            "image_size": (self.image_size in (16, 32, 64, 128, 256), "16, 32, 64, 128 or 256"),
            "channels": (self.channels in (None, 1, 3), "1 (grey) or 3 (colour)"),
            "batch_size": (self.batch_size >= 2, "at least 2, because batch norm compares pictures"),
            "lr": (0 < self.lr < float("inf"), "a number above 0"),
            "d_lr": (self.d_lr is None or 0 < self.d_lr < float("inf"), "a number above 0"),
            "label_smoothing": (0 <= self.label_smoothing < 1, "from 0 up to but not including 1"),
            "beta1": (0 <= self.beta1 < 1, "from 0 up to but not including 1"),
            "beta2": (0 <= self.beta2 < 1, "from 0 up to but not including 1"),
            "precision": (self.precision in PRECISIONS, "one of " + ", ".join(PRECISIONS)),
            **{
                name: (1 <= getattr(self, name) <= WIDEST, f"from 1 to {WIDEST}")
                for name in ("latent_dim", "g_width", "d_width")
            },
            "d_steps": (1 <= self.d_steps < 2**63, "at least 1, and below 2**63"),
            "steps": (0 <= self.steps < 2**63, "0 or more, and below 2**63"),
            "cool_down": (0 <= self.cool_down <= 1, "from 0 to 1"),
            "seed": (0 <= self.seed < 2**63, "from 0 up to 2**63 - 1"),
        }
        for name, (ok, rule) in rules.items():
            if not ok:
                raise InputError(f"{name} must be {rule}, and {getattr(self, name)!r} is not: change its value.")

    @classmethod
    def paper(cls, **changes: Any) -> Self:
        """The paper's run: 64x64 pictures, 64 channels, batches of 128, Adam at 2e-4. For a GPU."""
        return cls(**changes)

    @classmethod
    def laptop(cls, **changes: Any) -> Self:
        """The same network for two CPU cores and a minute: a quarter of the pixels, half and a quarter of the widths.

        1,200 small steps take about a minute, so each must be larger: lr is ten times the paper's, and falls to 0 over
        the last 30 % of the run, or its pictures would stay speckled. The discriminator is the narrower of the two, or
        at this rate it runs ahead of the generator.
        """
        sizes = {"image_size": 32, "g_width": 32, "d_width": 16, "batch_size": 32}
        return cls(**{**sizes, "lr": 2e-3, "steps": 1200, "cool_down": 0.3, **changes})

    @classmethod
    def ci(cls, **changes: Any) -> Self:
        """The laptop run cut to seconds: it proves that everything runs, not that it learns."""
        return cls.laptop(**{"g_width": 8, "d_width": 8, "batch_size": 16, "steps": 20, **changes})

    def to_dict(self) -> dict[str, Any]:
        """Field names and values, ready for JSON."""
        return asdict(self)

    def to_code(self) -> str:
        """The config as Python, ready to paste: only what differs from the defaults."""
        changed = {name: value for name, value in asdict(self).items() if value != getattr(Config, name)}
        return f"Config({', '.join(f'{name}={value!r}' for name, value in changed.items())})"

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed."""
        return replace(self, **changes)


PRESETS = {"paper": Config.paper, "laptop": Config.laptop, "ci": Config.ci}


def default_preset() -> str:
    """The preset that `DCGAN_PRESET` names; without it, laptop."""
    return os.environ.get("DCGAN_PRESET") or "laptop"


def load_config(preset: str | None = None, **changes: Any) -> Config:
    """A preset, left out: `default_preset()`, with some fields changed.

    Raises:
        InputError: there is no such preset, or a value is out of its range.
    """
    preset = preset or default_preset()
    if preset not in PRESETS:
        raise InputError(f"There is no preset {preset!r}: choose one of {', '.join(PRESETS)} (DCGAN_PRESET).")
    return PRESETS[preset](**changes)


def headless() -> bool:
    """True when no browser will answer, so that widgets show a still of the same state (`DCGAN_HEADLESS`)."""
    return _is_set("DCGAN_HEADLESS")


def _is_set(variable: str) -> bool:
    return os.environ.get(variable, "") not in ("", "0")


def data_root() -> Path:
    """Where data sets are looked for and downloaded to: `DCGAN_DATA`, or the project's own data folder."""
    return Path(os.path.expanduser(os.environ.get("DCGAN_DATA") or Path(__file__).parent.parent / "data"))


def cache_root() -> Path:
    """Where decoded pictures are kept: `DCGAN_CACHE`, or data/cache of the project.

    A data root of one's own (`DCGAN_DATA`) may be read-only or shared, and so may the project; installed as a package,
    there is no project. Caches then go to the user's cache folder.

    Raises:
        InputError: there is no such folder, because the user has no home.
    """
    if chosen := os.environ.get("DCGAN_CACHE"):
        return Path(os.path.expanduser(chosen))  # no shell has seen what a .env file or %env says
    project, cache = Path(__file__).parent.parent, data_root() / "cache"
    if not os.environ.get("DCGAN_DATA") and (project / "pyproject.toml").exists() and _writable(cache):
        return cache
    user = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or os.path.expanduser("~/.cache")
    if str(user).startswith("~"):  # a container's user may have none
        raise InputError("You have no home folder to keep decoded pictures in: set DCGAN_CACHE to a folder.")
    return Path(user) / "dcgan_lib"


def _writable(folder: Path) -> bool:
    """Whether files can be made in it, or, where it is not there yet, it can be made."""
    return os.access(next(path for path in (folder, *folder.parents) if path.exists()), os.W_OK)
