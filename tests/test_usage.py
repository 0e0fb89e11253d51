"""Bad usage ends with exit status 2 and exactly one line that says what to do."""

from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("cache")

BAD_USAGE = [
    ("", "Expected one of {train, sample, evaluate}"),
    ("paint", "There is no command 'paint': choose one of train, sample, evaluate."),
    ("train --bath-size 4", "Unrecognized options: --bath-size"),
    ("train extra", "extra"),
    ("train --lr x", "--lr must be a number, and this is not: 'x'."),
    ("train --batch-size few", "--batch-size must be a whole number, and this is not: 'few'."),
    ("train --lr -1", "lr must be a number above 0, and -1.0 is not"),
    ("train --image-size 48", "image_size must be 16, 32, 64, 128 or 256, and 48 is not"),
    ("train --batch-size", "--batch-size"),
    ("train --seed 99999999999999999999999", "seed must be"),
    ("train --preset huge", "invalid choice: 'huge'"),
    ("train --out", "expected one argument"),
    ("train --resume", "add --out"),
    ("train --resume --out nowhere", "There is no checkpoint nowhere"),
    ("train --resume --preset ci --out nowhere", "--preset has no effect: leave it out"),
    ("train --seconds -1", "--seconds must be 0 or more"),
    ("train --save-every 0", "--save-every must be at least 1"),
    ("train --data minst", "There is no data called 'minst'"),
    ("train --data folder:nowhere", "There is no folder nowhere"),
    ("train --data digits --device nonsense", "cannot use the device 'nonsense'"),
    ("sample --n 3", "Missing: --run PATH and --out PATH."),
    ("sample --run nowhere --out a.npy", "There is no generator nowhere"),
    ("sample --run nowhere --out a.jpg", "--out must end in .npy or .png"),
    ("sample --run nowhere --out a.npy --n 0", "--n must be from 1 to 1000000"),
    ("evaluate", "--run"),
    ("evaluate --run nowhere --n 128", "--n must be at least 129"),
]


@pytest.mark.parametrize(("words", "message"), BAD_USAGE, ids=[words or "nothing" for words, _ in BAD_USAGE])
def test_bad_usage(cli, words: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, err = cli(*words.split())
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("dcgan_lib: ")
    assert message in err
    assert "helptext" not in err
    assert list(tmp_path.iterdir()) == []
