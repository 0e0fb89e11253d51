"""All settings of a run, and the presets.

Taught in notebooks/00_quickstart.ipynb.
"""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self, get_args

from dcgan_lib.utils.environment import default_preset
from dcgan_lib.utils.errors import require

SIZES = (
    "image_size", "g_width", "d_width", "batch_size", "steps", "lr", "d_lr", "beta1", "lr_decay_share", "ema_decay",
)  # fmt: skip
"""What presets choose; what a run is, they leave alone."""
PRECISIONS = ("auto", "float32", "bfloat16")
KINDS = {str: "text", int: "a whole number", float: "a number", bool: "True or False"}


@dataclass(frozen=True)
class Config:
    """One run, in numbers. The defaults are the paper's (Radford, Metz, Chintala 2016, section 4), but the widths of 64
    are the PyTorch example's.

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
    lr_decay_share: float = 0.0
    """The last share of a run, from 0 to 1, in which the learning rate falls in a straight line to 0. The paper has
    none."""
    ema_decay: float = 0.0
    """How slowly a second generator, whose weights are a moving average of the trained one's, follows it: this share of
    it stays in each step. 0, as in the paper: there is none (Yazici et al. 2019)."""
    seed: int = 0
    """Same seed, same run on the same machine."""
    precision: str = "auto"
    """float32, bfloat16, or auto: bfloat16 where the processor multiplies it fast."""
    device: str = "auto"
    """cpu, cuda, mps ..., or auto: an accelerator where there is one."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value, types = getattr(self, field.name), get_args(field.type) or (field.type,)
            if float in types and type(value) is int:  # lr=1 is as good as lr=1.0
                object.__setattr__(self, field.name, float(value))
            elif type(value) not in types:
                self._require(field.name, False, KINDS[types[0]])
        self._require("data", bool(self.data), "a name such as faces or folder:PATH")
        self._require("image_size", self.image_size in (16, 32, 64, 128, 256), "16, 32, 64, 128 or 256")
        self._require("channels", self.channels in (None, 1, 3), "1 (grey) or 3 (colour)")
        for name in ("latent_dim", "g_width", "d_width", "d_steps"):
            self._require(name, 1 <= getattr(self, name) <= 65_536, "from 1 to 65536")
        self._require("batch_size", self.batch_size >= 2, "at least 2, because batch norm compares images")
        self._require("lr", 0 < self.lr < float("inf"), "a number above 0")
        self._require("d_lr", self.d_lr is None or 0 < self.d_lr < float("inf"), "a number above 0")
        for name in ("beta1", "beta2", "label_smoothing", "ema_decay"):
            self._require(name, 0 <= getattr(self, name) < 1, "from 0 up to but not including 1")
        self._require("steps", self.steps >= 0, "0 or more")
        self._require("lr_decay_share", 0 <= self.lr_decay_share <= 1, "from 0 to 1")
        self._require("seed", 0 <= self.seed < 2**63, "from 0 up to 2**63 - 1")
        self._require("precision", self.precision in PRECISIONS, "one of " + ", ".join(PRECISIONS))

    def _require(self, name: str, condition: bool, rule: str) -> None:
        require(condition, f"{name} must be {rule}, and {getattr(self, name)!r} is not: change its value.")

    @classmethod
    def paper(cls, **changes: Any) -> Self:
        """The paper's 64x64 pictures, batches of 128 and Adam at 2e-4, with the PyTorch example's width. For a GPU."""
        return cls(**changes)

    @classmethod
    def laptop(cls, **changes: Any) -> Self:
        """The same network for two CPU cores and about a minute: 1,600 small steps, each as large as is safe.

        - 32x32 pixels, widths of 40 and 32, batches of 32: a step takes 40 ms. The discriminator is nearly as wide
          as the generator, so that it sees the grain of the fakes.
        - lr is fifteen times the paper's, because there is only time for 1,600 steps; the discriminator's is a third of
          that, or it runs ahead of the generator, and beta1 0.3 lets both answer sooner.
        - Over the last 80 % of the run the rates fall to 0, because weights that move so fast never come to rest, and
          the pictures show it as speckles; 30 % or the whole run do as well. The generator is averaged over about 250
          steps, which helps on the way, and at the end of such a decay hardly any more.

        Measured on five seeds each: table (i) of benchmarks/RESULTS.md.
        """
        sizes = {"image_size": 32, "g_width": 40, "d_width": 32, "batch_size": 32, "steps": 1600}
        rates = {"lr": 3e-3, "d_lr": 1e-3, "beta1": 0.3, "lr_decay_share": 0.8, "ema_decay": 0.996}
        return cls(**{**sizes, **rates, **changes})

    @classmethod
    def half_hour(cls, **changes: Any) -> Self:
        """The paper's 64x64 pixels on two CPU cores in half an hour: widths of 48 instead of 64, batches of 32.

        The rates are chosen as in `laptop`; a run so long can average the generator over 1,000 steps. One seed on the
        faces took 29 minutes of one processor core: FID 5.9, 48 of 48 attribute values, speckle 1.44.
        """
        sizes = {"image_size": 64, "g_width": 48, "d_width": 48, "batch_size": 32}
        rates = {"lr": 2e-3, "d_lr": 4e-4, "beta1": 0.3, "lr_decay_share": 1.0, "ema_decay": 0.999}
        return cls(**{**sizes, **rates, "steps": 6000, **changes})

    @classmethod
    def ci(cls, **changes: Any) -> Self:
        """The laptop run cut to seconds: it proves that everything runs, not that it learns."""
        return cls.laptop(**{"g_width": 8, "d_width": 8, "batch_size": 16, "steps": 20, **changes})

    def to_dict(self) -> dict[str, Any]:
        """Field names and values, ready for JSON."""
        return asdict(self)

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed."""
        return replace(self, **changes)


PRESETS = {"paper": Config.paper, "half_hour": Config.half_hour, "laptop": Config.laptop, "ci": Config.ci}


def load_config(preset: str | None = None, **changes: Any) -> Config:
    """A preset, left out: `default_preset()`, with some fields changed.

    Raises:
        InputError: there is no such preset, or a value is out of its range.
    """
    preset = preset or default_preset()
    require(preset in PRESETS, f"There is no preset {preset!r}: choose one of {', '.join(PRESETS)} (DCGAN_PRESET).")
    return PRESETS[preset](**changes)
