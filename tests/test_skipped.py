"""A few bad pictures are left out, counted and listed; more than one in ten stop the load."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from dcgan_lib import data
from dcgan_lib.data import PictureSet, load_pictures
from dcgan_lib.skipped import MOST_SKIPPED, read_report, report_of

pytestmark = pytest.mark.usefixtures("cache")


def make_album(root: Path, count: int, *bad: int) -> str:
    """Pictures in two classes, each in the grey of its number; the bad ones are empty files."""
    for i in range(count):
        path = root / "album" / "ab"[i % 2] / f"{i:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), (i, i, i)).save(path)
        if i in bad:
            path.write_bytes(b"")
    return f"folder:{root / 'album'}"


def shown(pictures: PictureSet) -> list[tuple[int, str]]:
    """What each picture is, and the class that it is said to have."""
    classes = [pictures.values["class"][number] for number in pictures.labels["class"]]
    return list(zip(pictures.images[:, 0, 8, 8].tolist(), classes, strict=True))


def expected(count: int, *bad: int) -> list[tuple[int, str]]:
    return [(i, "ab"[i % 2]) for i in [*range(0, count, 2), *range(1, count, 2)] if i not in bad]


def test_pictures_and_labels_still_fit(tmp_path: Path, cache: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    name = make_album(tmp_path, 40, 3, 10, 38)
    opened = []
    decode = data.decode
    monkeypatch.setattr(data, "decode", lambda image, *args: opened.append(image.filename) or decode(image, *args))
    assert shown(load_pictures(name, 16)) == expected(40, 3, 10, 38)
    (report,) = cache.glob("*.skipped.txt")
    assert capsys.readouterr().err == (
        f"3 of 40 pictures cannot be read and are left out, the first {tmp_path / 'album/a/010.png'}: "
        f"{report} lists what is wrong.\n"
    )
    head, *lines = report.read_text("utf-8").splitlines()
    assert head == "3 of 40 pictures were left out: number, file, what is wrong with it"
    assert lines == [
        f"{number}\t{tmp_path / 'album' / name}\tthe file is empty"
        for number, name in ((5, "a/010.png"), (19, "a/038.png"), (21, "b/003.png"))
    ]
    assert sorted(path.suffix for path in cache.iterdir()) == [".npy", ".txt"]
    assert len(opened) == len(set(opened)) == 37  # each once
    opened.clear()
    assert shown(load_pictures(name, 16)) == expected(40, 3, 10, 38)  # from the cache, and without a word
    assert (opened, capsys.readouterr().err) == ([], "")


@pytest.mark.parametrize(
    ("count", "bad", "stops"), [(10, 1, False), (9, 1, True), (40, 4, False), (40, 5, True), (5, 1, True)]
)
def test_the_stated_share(count: int, bad: int, stops: bool, refused, tmp_path: Path, cache: Path, capsys) -> None:
    assert MOST_SKIPPED == 0.10
    name = make_album(tmp_path, count, *range(bad))
    if not stops:
        assert len(load_pictures(name, 16)) == count - bad
        return
    assert refused(lambda: load_pictures(name, 16)) == (
        f"{bad} of {count} pictures cannot be read, {bad / count:.0%} where at most 10% may be left out, and the first "
        f"is {tmp_path / 'album/a/000.png'} (the file is empty): repair these files or take them out."
    )
    assert list(cache.iterdir()) == []
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("change", ["gone", "of noise", "of another number", "short"])
def test_cache_whose_report_does_not_fit_is_made_again(change: str, tmp_path: Path, cache: Path) -> None:
    """Anything in a cache may be deleted, but labels never slip against the pictures."""
    name = make_album(tmp_path, 40, 3, 10)
    load_pictures(name, 16)
    (report,) = cache.glob("*.skipped.txt")
    whole = report.read_text("utf-8")
    if change == "gone":
        report.unlink()
    else:
        lines = {"of noise": "head\nnoise\n", "of another number": "head\n1\n2\n3\n", "short": "head\n5\n"}
        report.write_text(lines[change])
    assert shown(load_pictures(name, 16)) == expected(40, 3, 10)
    assert report.read_text("utf-8") == whole


def test_the_array_is_named_last(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where its name is, all else is."""
    seen = []
    replace = Path.replace

    def watched(path: Path, target: Path) -> Path:
        seen.append((Path(target).suffix, [file.suffix for file in cache.glob("*.npy")]))
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", watched)
    load_pictures(make_album(tmp_path, 20, 3), 16)
    assert seen == [(".txt", []), (".npy", [])]


def test_no_report_where_nothing_is_wrong(tmp_path: Path, cache: Path, capsys) -> None:
    load_pictures(make_album(tmp_path, 4), 16)
    (file,) = cache.iterdir()
    assert read_report(file) == []
    assert not report_of(file).exists()
    assert capsys.readouterr().err == ""


def test_repaired_pictures_come_back(tmp_path: Path) -> None:
    name = make_album(tmp_path, 20, 3)
    assert len(load_pictures(name, 16)) == 19
    Image.new("RGB", (16, 16), (3, 3, 3)).save(tmp_path / "album/b/003.png")
    assert torch.equal(load_pictures(name, 16).labels["class"].bincount(), torch.tensor([10, 10]))
