"""`make paper` says what data is missing, and its record has what notebook 10 reads."""

import json
from pathlib import Path

import pytest
import torch

from benchmarks import paper
from dcgan_lib.clinic.ladder import GUIDELINES, LADDER
from dcgan_lib.utils.errors import InputError


@pytest.mark.parametrize("name", ["mnist", "cifar10", "svhn"])
def test_missing_data(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DCGAN_DATA", str(tmp_path))
    with pytest.raises(InputError, match=f"{name} is not below .*: fetch it with torchvision"):
        paper.labelled(name, "train")


def test_record() -> None:
    runs = json.loads(paper.FILE.read_text())["runs"]
    tables = {"figure 5, D", "figure 7, faces64", "table 1, cifar10", "table 2, mnist", "table 3, mnist"}
    assert tables <= set(runs)
    assert set(runs["ladder, milliseconds"]) == {*LADDER, "seconds"}
    for part, names in (("ladder", list(LADDER)[1:]), ("guidelines", GUIDELINES)):
        for name in names:
            assert sum(key.startswith(f"{part}, {name}, ") for key in runs) >= 2, name
    assert paper.FILE.stat().st_size < 300_000 and paper.D_FILE.stat().st_size < 300_000


def test_few_labels_are_as_many_of_each_class() -> None:
    data = torch.arange(60), torch.arange(60) % 3
    images, labels = paper.draw(data, 5, seed=1)
    assert labels.bincount().tolist() == [5, 5, 5] and torch.equal(images % 3, labels)
    assert len(images.unique()) == 15 and not torch.equal(images, paper.draw(data, 5, seed=2)[0])


def test_accuracy_picks_c_by_held_out_images() -> None:
    dice = torch.Generator().manual_seed(0)
    x = torch.randn(300, 50, generator=dice)
    labels = (x[:, 0] > 0).long()
    right, c = paper.accuracy(x[:200], labels[:200], x[200:], labels[200:])
    assert right > 80 and c in paper.CS
