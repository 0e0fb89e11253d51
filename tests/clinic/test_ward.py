"""The records are complete, and the evidence in them leads to the right diagnosis and to no other."""

from pathlib import Path

import pytest

from dcgan_lib.clinic.cases import CASES, EXPECTED, MEDICINES, PATIENTS
from dcgan_lib.clinic.loop import play
from dcgan_lib.clinic.signs import WORDS, follow
from dcgan_lib.clinic.ward import RECORDS, Ward, diagnosis, evidence, load_records, load_trial
from dcgan_lib.data import load_images
from dcgan_lib.metrics.verdict import VERDICTS
from dcgan_lib.utils.errors import InputError


def test_records_are_complete_and_small() -> None:
    runs = {(record.name, record.seed): record for record in load_records()}
    assert set(runs) == {(name, seed) for name in CASES for seed in range(3)}
    assert {name: len(signs) for name, signs in load_trial().items()} == dict.fromkeys(MEDICINES, 5)
    assert RECORDS.stat().st_size < 2_000_000
    for record in runs.values():
        assert len(record.history) == 500 and record.verdict in VERDICTS
        assert set(record.signs) == set(WORDS)
        assert record.images.shape == (24, 3, 32, 32) and record.images.float().std() > 1


@pytest.mark.parametrize(
    "record", [r for r in load_records() if r.name in PATIENTS], ids=lambda r: f"{r.name} {r.seed}"
)
def test_evidence_is_for_the_right_diagnosis_alone(record) -> None:
    against = {name: evidence(name, record.signs)[1] for name in EXPECTED}
    assert [name for name, words in against.items() if not words] == [diagnosis(record.name)]


def test_signs_of_a_run_have_words() -> None:
    run = follow(play, load_images("faces", 32), steps=3, at=(2,), count=4)
    assert set(run.signs) == set(WORDS) - {"fid", "covered"}
    assert {step: tuple(images.shape) for step, images in run.pictures.items()} == dict.fromkeys((2, 3), (4, 3, 32, 32))
    assert len(run.history) == 3 and run.last.step == 2


def test_ward_counts_first_answers() -> None:
    ward = Ward(seed=0)
    assert sorted(record.name for record in ward.patients) == sorted(PATIENTS)
    assert [r.name for r in ward.patients] != [r.name for r in Ward(seed=1).patients]
    true = diagnosis(ward.patients[2].name)
    wrong = next(name for name in EXPECTED if name != true)
    assert ward.diagnose(3, wrong).startswith("<b>✗") and "Against it: " in ward.diagnose(3, wrong)
    assert ward.diagnose(3, true).startswith("<b>✓") and "Against it" not in ward.diagnose(3, true)
    assert ward.score().endswith("0 of 1")
    with pytest.raises(InputError, match="none of the diagnoses"):
        ward.diagnose(1, "a cold")


def test_ward_as_a_widget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DCGAN_HEADLESS", raising=False)
    shown: list = []
    monkeypatch.setattr("dcgan_lib.clinic.ward.display", lambda thing, **_raw: shown.append(thing))
    ward = Ward(seed=4)
    ward.show()
    row, words, score, picture, hide = shown[0].children
    assert ".dcgan-still { display: none !important; }" in hide.value and "dcgan-still" in shown[1]["text/html"]
    number, choice, button = row.children
    first = picture.value
    number.value = 2
    assert picture.value != first and picture.value[:4] == b"\x89PNG"
    choice.value = diagnosis(ward.patients[1].name)
    button.click()
    assert "✓" in words.value and "1 of 1" in score.value


def test_missing_records(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("dcgan_lib.clinic.ward.RECORDS", tmp_path / "clinic.npz")
    with pytest.raises(InputError, match="make clinic"):
        load_records()
