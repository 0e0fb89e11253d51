"""No name of a file or a folder becomes HTML, SVG or code in what a notebook shows."""

from html.parser import HTMLParser
from pathlib import Path

import ipywidgets as widgets
import pytest
import torch
from torch import nn

from dcgan_lib import lab as lab_module
from dcgan_lib.config import Config, InputError
from dcgan_lib.data import PictureSet
from dcgan_lib.diagram import draw_network
from dcgan_lib.explore import error_text
from dcgan_lib.lab import TrainingLab
from dcgan_lib.trainer import Trainer
from dcgan_lib.viz import show_rows

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror='alert(1)'>",
    "'><svg onload=alert(1)>",
    "</pre><b>&lt;i&gt;",
]
OURS = {"b", "a", "br", "code", "pre", "span"}


class Tags(HTMLParser):
    """Collects the tags that a browser would see, and their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.seen.append((tag, dict(attrs)))


def require_plain(text: str) -> None:
    for tag, attributes in Tags(text).seen:
        assert tag in OURS
        assert not any(name.startswith("on") for name in attributes)


@pytest.mark.parametrize("name", HOSTILE)
def test_lab_of_a_folder_with_a_hostile_name(
    name: str, tiny: Config, pictures: PictureSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DCGAN_HEADLESS", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lab_module, "display", lambda thing: None)
    lab = TrainingLab(Trainer(tiny.replace(data=f"folder:{name}"), pictures))
    lab.show()
    lab.g_step.click()
    for button in (lab.code, lab.checkpoint):
        button.click()
        seen = [value.value for value in vars(lab).values() if isinstance(value, widgets.HTML)]
        assert any(seen)
        for text in seen:
            require_plain(text)
    lab.code.click()
    assert "<" not in lab.said.value.removeprefix("<pre>").removesuffix("</pre>")


@pytest.mark.parametrize("name", HOSTILE)
def test_error_about_a_hostile_name(name: str) -> None:
    text = error_text(InputError(f"There is no folder {name}: write folder:PATH."))
    require_plain(text)
    assert len(Tags(text).seen) == 1


def test_pictures_of_text_are_pictures() -> None:
    """Captions and names of layers end as pixels, so there is nothing to escape."""
    rows = show_rows({name: torch.zeros(2, 1, 8, 8, dtype=torch.uint8) for name in HOSTILE})
    assert rows.mode == "P"

    class Layer(nn.Conv2d):
        pass

    Layer.__name__ = HOSTILE[0]
    network = nn.Sequential(nn.Conv2d(1, 1, 3), Layer(1, 1, 3))
    assert draw_network(network, torch.zeros(1, 1, 16, 16)).axes
