"""Processes that are killed, at random moments and while they save: the run that comes out is the same."""

from pathlib import Path

from processes import Fork, command_line

from benchmarks import kills


def test_killed_runs_equal_the_one_that_was_left_alone(tmp_path: Path, album: Path) -> None:
    def start(words: list[str], cache: Path) -> Fork:
        return Fork(command_line, *words, output=tmp_path / "output", DCGAN_CACHE=cache)

    counts, wrong = kills.soak(6, tmp_path, [f"--data=folder:{album}"], start, seed=3, steps=60)
    assert wrong == []
    assert counts["saving"] >= 1
    assert sum(counts[what] for what in counts if what != "runs") == 6
    assert not list(tmp_path.glob("run*/**/*.dcgan-part"))
