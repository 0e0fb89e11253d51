"""Recorded runs whose illness is hidden, and a reader who says what they have.

Used in notebook 09; benchmarks/clinic.py makes the records.
"""

import html
import io
import json
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import ipywidgets as widgets
import numpy as np
import torch
from IPython.display import display
from matplotlib.figure import Figure
from PIL import Image

from dcgan_lib.clinic.cases import CASES, EXPECTED, PATIENTS
from dcgan_lib.clinic.signs import WORDS
from dcgan_lib.history import History
from dcgan_lib.images import grid, side_by_side
from dcgan_lib.utils.environment import headless
from dcgan_lib.utils.errors import require
from dcgan_lib.utils.rng import rng
from dcgan_lib.viz import HIDE_STILL, named, plot_history, show_picture, still, to_image, to_png

RECORDS = Path(__file__).parents[2] / "assets" / "clinic.npz"


class Record(NamedTuple):
    """A run as benchmarks/clinic.py has stored it."""

    name: str
    seed: int
    history: History
    images: torch.Tensor
    """Eight images of the same z after 100 steps, then after 250, then after 500: uint8 (24, 3, 32, 32)."""
    signs: dict[str, float]
    verdict: str
    """What the live lab said of it at the end, a key of `metrics.verdict.VERDICTS`."""


def load_records() -> list[Record]:
    """The recorded runs of all cases, three seeds each.

    Raises:
        InputError: the records are not there.
    """
    arrays, found = _load("case"), []
    for key in dict.fromkeys(key.rpartition("|")[0] for key in arrays):
        _, name, seed = key.split("|")
        rows = torch.from_numpy(arrays[f"{key}|history"].astype(np.float32))
        grids = np.array(Image.open(io.BytesIO(arrays[f"{key}|pictures"].tobytes())))[1:, 1:]  # less the first border
        images = torch.from_numpy(grids.reshape(3, 33, 8, 33, 3)[:, :32, :, :32]).permute(0, 2, 4, 1, 3).flatten(0, 1)
        signs, verdict = json.loads(str(arrays[f"{key}|signs"])), str(arrays[f"{key}|verdict"])
        found.append(Record(name, int(seed), History(rows), images, signs, verdict))
    return found


def load_trial() -> dict[str, list[dict[str, float]]]:
    """The vital signs of the sick run (`cases.SICK`) with each medicine, five seeds; raises as `load_records` does."""
    trial: dict[str, list[dict[str, float]]] = defaultdict(list)
    for key, signs in _load("medicine").items():
        trial[key.split("|")[1]].append(json.loads(str(signs)))
    return dict(trial)


def _load(kind: str) -> dict[str, np.ndarray]:
    require(RECORDS.exists(), f"{RECORDS} is missing: get it from the repository, or make it with make clinic.")
    with np.load(RECORDS) as file:
        return {key: file[key] for key in file.files if key.startswith(f"{kind}|")}


def evidence(name: str, signs: dict[str, float]) -> tuple[list[str], list[str]]:
    """What speaks for a diagnosis and what against it, in words: the signs that are where it would have them or not."""
    found: tuple[list[str], list[str]] = [], []
    for sign, (low, high) in EXPECTED[name].items():
        found[not low <= signs[sign] <= high].append(WORDS[sign].format(signs[sign]))
    return found


def diagnosis(case: str) -> str:
    """The right answer: the case itself, or "nothing" where it is no illness."""
    return "nothing" if CASES[case].kind == CASES["nothing"].kind else case


class Ward:
    """Sixteen patients, recorded runs whose order and seeds are shuffled.

    Args:
        seed: of the shuffling.
    """

    def __init__(self, seed: int = 0) -> None:
        records = {(record.name, record.seed): record for record in load_records()}
        dice = rng(seed, "ward")
        order = torch.randperm(len(PATIENTS), generator=dice).tolist()
        self.patients = [records[PATIENTS[i], int(torch.randint(3, (), generator=dice))] for i in order]
        self.answers: dict[int, str] = {}

    def picture(self, patient: int) -> Image.Image:
        """What is to be seen of a patient, counted from 1: images on the left, curves on the right."""
        record = self.patients[patient - 1]
        curves = to_image(plot_history(record.history, Figure(figsize=(5, 3.8), layout="constrained")))
        return side_by_side(grid(record.images, scale=2), curves, gap=12)

    def diagnose(self, patient: int, name: str) -> str:
        """Answer a diagnosis with the evidence; the first one for each patient counts.

        Returns:
            HTML: whether it is right, and what speaks for it and against it.
        """
        require(name in EXPECTED, f"{name!r} is none of the diagnoses: choose one of {', '.join(EXPECTED)}.")
        record = self.patients[patient - 1]
        self.answers.setdefault(patient, name)
        right = name == diagnosis(record.name)
        parts = [f"<b>{'✓' if right else '✗'} {html.escape(name)}</b>"]
        for words, signs in zip(("For it", "Against it"), evidence(name, record.signs), strict=True):
            parts += [f"{words}: {html.escape('; '.join(signs))}."] if signs else []
        return "<br>".join(parts)

    def score(self) -> str:
        """How many first answers were right, by kind of illness."""
        count: dict[str, list[bool]] = defaultdict(list)
        for patient, name in self.answers.items():
            true = self.patients[patient - 1].name
            count[CASES[true].kind].append(name == diagnosis(true))
        return ", ".join(f"{kind} {sum(right)} of {len(right)}" for kind, right in count.items())

    def show(self) -> None:
        """The ward as a widget; headless a still of the first patient."""
        text = "Patient 1: images of the same eight z after 100, 250 and 500 steps, and the curves of both players."
        if headless():
            show_picture(self.picture(1), text)
            return
        self._picture = named("patient", widgets.Image(layout={"max_width": "100%", "object_fit": "contain"}))
        self._patient = widgets.BoundedIntText(value=1, min=1, max=len(self.patients), description="patient")
        self._choice = widgets.Dropdown(options=sorted(EXPECTED), description="diagnosis", layout={"width": "24em"})
        button = named("diagnose", widgets.Button(description="That is it", button_style="success"))
        self._words, self._score = named("evidence", widgets.HTML()), named("score", widgets.HTML())
        self._patient.observe(lambda _change: self._turn(), "value")
        button.on_click(lambda _button: self._answer())
        self._turn()
        row = widgets.HBox([named("number", self._patient), named("diagnosis", self._choice), button])
        row.layout.flex_flow = "row wrap"
        display(widgets.VBox([row, self._words, self._score, self._picture, widgets.HTML(HIDE_STILL)]))
        display(still(self.picture(1), text), raw=True)

    def _turn(self) -> None:
        self._picture.value, self._words.value = to_png(self.picture(self._patient.value)), ""

    def _answer(self) -> None:
        self._words.value = self.diagnose(self._patient.value, self._choice.value)
        self._score.value = f"Right at first sight: {self.score()}"
