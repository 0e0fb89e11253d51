"""README's code does what the sentences around it say."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")


@pytest.mark.usefixtures("cache")
def test_a_run_in_tensorboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With smaller pictures than the preset's."""
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    (code,) = (block for block in re.findall(r"```python\n(.*?)```", README, re.S) if "SummaryWriter" in block)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DCGAN_PRESET", "ci")
    exec(code.replace("load_config()", 'load_config(data="digits", image_size=16, steps=50, device="cpu")'), {})
    board = events.EventAccumulator("runs/board")
    board.Reload()
    assert {"d_loss", "g_loss", "d_x", "d_gz_before"} <= set(board.Tags()["scalars"])
    assert [event.step for event in board.Scalars("d_loss")] == [25, 50]
    assert [event.step for event in board.Images("samples")] == [25, 50]


def test_the_lines_that_run_an_export_are_the_same_in_notebook_08() -> None:
    (code,) = (block for block in re.findall(r"```python\n(.*?)```", README, re.S) if "InferenceSession" in block)
    notebook = json.loads((ROOT / "notebooks" / "08_results.ipynb").read_text("utf-8"))
    assert any(code in "".join(cell["source"]) for cell in notebook["cells"])
