"""The page's data and its file: what it says of a sweep, what it escapes, and what it makes of broken folders."""

import base64
import io
import json
import re
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mnist_resnet.comparing.dashboard import write_dashboard
from mnist_resnet.comparing.effects import effects
from mnist_resnet.comparing.factors import other_factors, varying_factors
from mnist_resnet.comparing.frame import load_sweep
from mnist_resnet.comparing.job_reader import load_jobs
from mnist_resnet.comparing.verdicts import judgements
from mnist_resnet.job_folder import LOG, METRICS, PREDICTIONS, RESULT, SWEEP, Status
from tests.synthetic_sweep import SyntheticSweep

HOSTILE = "</script><img src=x onerror=alert(1)><script>alert(2)</script>"


def page(folders: Sequence[Path], output: Path) -> str:
    write_dashboard(folders, output)
    return output.read_text()


def data_of(text: str) -> dict[str, Any]:
    """What the page's scripts will read; fails on JSON that a browser would refuse."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found
    data: dict[str, Any] = json.loads(found[1], parse_constant=pytest.fail)
    return data


def page_data(folder: Path) -> dict[str, Any]:
    return data_of(page([folder], folder.parent / "page.html"))


def edit_result(job: Path, **changes: Any) -> None:
    result = json.loads((job / RESULT).read_text())
    (job / RESULT).write_text(json.dumps(result | changes))


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    statuses = {1: Status.FAILED, 2: Status.DIVERGED, 4: Status.RUNNING, 5: None}
    return SyntheticSweep(statuses=statuses, names={0: HOSTILE}, epochs=4).write(tmp_path / "sweep")


def test_a_hostile_name_stays_data(sweep: Path, tmp_path: Path) -> None:
    tame = page([SyntheticSweep(epochs=4).write(tmp_path / "tame")], tmp_path / "tame.html")
    text = page([sweep], tmp_path / "page.html")
    assert data_of(text)["jobs"][0]["name"] == HOSTILE
    assert "<img src=x" not in text
    assert text.count("</script") == tame.count("</script")


def test_a_hostile_sweep_name_is_escaped_in_the_title(tmp_path: Path) -> None:
    text = page([SyntheticSweep(name=f"</title>{HOSTILE}").write(tmp_path / "sweep")], tmp_path / "page.html")
    assert "<title>&lt;/title&gt;" in text
    assert "<img src=x" not in text


def test_a_placeholder_in_a_name_is_not_filled(tmp_path: Path) -> None:
    text = page([SyntheticSweep(names={0: "{{style}}"}).write(tmp_path / "sweep")], tmp_path / "page.html")
    assert data_of(text)["jobs"][0]["name"] == "{{style}}"


def test_a_name_that_is_no_utf8_does_no_harm(tmp_path: Path) -> None:
    sweep = SyntheticSweep(name="a\udcffb", names={0: "\udcff"}).write(tmp_path / "sweep")
    assert data_of(page([sweep], tmp_path / "page.html"))["jobs"][0]["name"] == "\udcff"


def test_every_status_is_counted_and_every_job_is_there(sweep: Path) -> None:
    data = page_data(sweep)
    assert data["statuses"] == {"completed": 8, "failed": 1, "diverged": 1, "running": 1, "queued": 1}
    assert len(data["jobs"]) == 12
    assert data["jobs"][1]["error"] == "ValueError: no such <image>"
    assert "Traceback" in data["jobs"][1]["traceback"]
    assert data["jobs"][4]["done"] == 2
    assert data["jobs"][5]["test_accuracy"] is None


def test_the_rows_say_what_the_frame_says(sweep: Path) -> None:
    frame = load_sweep(sweep)
    data = page_data(sweep)
    for job, (_, row) in zip(data["jobs"], frame.iterrows(), strict=True):
        levels = {f["key"]: f["levels"][number] for f, number in zip(data["factors"], job["levels"], strict=True)}
        assert levels == {"optim.lr": f"{row['optim.lr']:g}", "model": row["model"], "seed": str(row["seed"])}
        if job["test_accuracy"] is not None:
            assert job["test_accuracy"] == pytest.approx(row["test_accuracy"], abs=1e-6)


def test_levels_that_are_numbers_stand_in_order(tmp_path: Path) -> None:
    factors: dict[str, list[Any]] = {"optim.lr": [0.02, 0.001, 0.01], "data.train_size": [None, 1000], "seed": [1]}
    data = page_data(SyntheticSweep(factors=factors).write(tmp_path / "sweep"))
    assert [factor["levels"] for factor in data["factors"]] == [["0.001", "0.01", "0.02"], ["1000", "null"]]
    assert [factor["numeric"] for factor in data["factors"]] == [True, False]


def test_curves_are_the_epochs(sweep: Path) -> None:
    data = page_data(sweep)
    frame = load_sweep(sweep, epochs=True)
    first = frame[frame["index"] == 3]
    assert data["curves"]["test_accuracy"][3] == pytest.approx(first["test_accuracy"].tolist())
    assert data["curves"]["test_accuracy"][5] == []
    assert "val_accuracy" not in data["curves"]


def test_a_job_tells_what_differs_from_the_base(tmp_path: Path) -> None:
    rows = [{"optim.lr": lr, "seed": seed} for lr, seed in ((0.001, 1), (0.02, 1), (0.001, 2))]
    data = page_data(SyntheticSweep(rows=rows).write(tmp_path / "sweep"))
    assert data["jobs"][0]["changed"] == []
    assert data["jobs"][1]["changed"] == [["optim.lr", "0.001", "0.02"]]
    assert data["jobs"][2]["changed"] == [["seed", "1", "2"]]
    assert data["sweeps"][0]["base"]["model.stem"] == "3x3"


def test_notes_of_the_jobs_are_counted_once(tmp_path: Path) -> None:
    sweep = SyntheticSweep(notes=["tested on <b>few</b> images"]).write(tmp_path / "sweep")
    edit_result(sweep / "optim.lr=0.001,model=stem3x3,seed=1", notes=["another"])
    assert page_data(sweep)["notes"] == [["tested on <b>few</b> images", 11], ["another", 1]]


def test_claims_and_effects_are_those_of_their_rooms(tmp_path: Path) -> None:
    claim = {"metric": "test_accuracy", "epoch": "last", "value": 0.9, "approximate": True, "words": "about 90 %"}
    sweep = SyntheticSweep(claims=[claim], test_images=10000).write(tmp_path / "sweep")
    data = page_data(sweep)
    expected = judgements(load_jobs([sweep])[0])
    assert [claim["verdict"] for claim in data["claims"]] == [str(judgement.verdict) for judgement in expected]
    assert data["claims"][0]["prediction"][0] == expected[0].measured.prediction_low
    frame = load_sweep(sweep)
    found = [
        effect for factor in varying_factors(frame) for effect in effects(frame, factor, other_factors(frame, factor))
    ]
    assert [effect["mean"] for effect in data["effects"]["alone"]] == [effect.mean for effect in found]
    assert [group["n"] for group in data["groups"]] == [3, 3, 3, 3]


def test_a_random_search_has_no_pairs_and_says_so(tmp_path: Path) -> None:
    rows = [{"optim.lr": 0.001 * (1 + number / 100), "seed": 1} for number in range(30)]
    data = page_data(SyntheticSweep(rows=rows).write(tmp_path / "sweep"))
    assert data["effects"]["alone"] == []
    assert data["effects"]["left_out"] == ["optim.lr"]


def test_the_confusion_matrix_counts_every_test_image(sweep: Path) -> None:
    data = page_data(sweep)
    said = np.load(sweep / "optim.lr=0.001,model=stem3x3,seed=1" / PREDICTIONS)
    matrix = np.array(data["mistakes"]["confusion"][0]).reshape(10, 10)
    assert matrix.sum() == len(said["label"]) == 500
    assert matrix.trace() == np.sum(said["label"] == said["predicted"])
    assert matrix[3].sum() == np.sum(said["label"] == 3)
    assert data["mistakes"]["confusion"][1] is None


def test_misread_images_are_shown_as_they_were_stored(sweep: Path) -> None:
    data = page_data(sweep)["mistakes"]
    said = np.load(sweep / "optim.lr=0.001,model=stem3x3,seed=1" / PREDICTIONS)
    test_set = data["sets"][0]
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(test_set["sheet"].partition(",")[2]))))
    assert len(data["misread"][0]) == len(said["misread_index"]) > 0
    for place, index, label, predicted, sure, _ in data["misread"][0]:
        top, left = place // test_set["across"] * 28, place % test_set["across"] * 28
        stored = said["misread_pixels"][said["misread_index"].tolist().index(index)][0]
        assert np.array_equal(sheet[top : top + 28, left : left + 28], stored)
        assert (label, predicted) == (said["label"][index], said["predicted"][index])
        assert sure == pytest.approx(np.exp(float(said["predicted_log_probability"][index])), abs=1e-4)
    surest_first = [entry[4] for entry in data["misread"][0]]
    assert surest_first == sorted(surest_first, reverse=True)


def test_the_images_that_most_jobs_misread_come_first(sweep: Path) -> None:
    often = page_data(sweep)["mistakes"]["sets"][0]["often"]
    every = [np.load(path) for path in sweep.glob(f"*/{PREDICTIONS}")]
    counts = Counter(int(index) for said in every for index in np.flatnonzero(said["label"] != said["predicted"]))
    assert [entry["jobs"] for entry in often] == sorted(counts.values(), reverse=True)[: len(often)]
    assert all(counts[entry["index"]] == entry["jobs"] for entry in often)
    assert all(sum(times for _, times, _ in entry["taken"]) == entry["jobs"] for entry in often)


def test_jobs_with_other_test_sets_are_not_mixed(tmp_path: Path) -> None:
    SyntheticSweep(name="large", test_images=300, factors={"seed": [1]}).write(tmp_path / "a")
    SyntheticSweep(name="small", test_images=200, factors={"seed": [1]}).write(tmp_path / "b")
    data = data_of(page([tmp_path / "a", tmp_path / "b"], tmp_path / "page.html"))["mistakes"]
    assert data["set"] == [0, 1]
    assert [test_set["images"] for test_set in data["sets"]] == [300, 200]


def test_what_is_broken_becomes_a_remark(sweep: Path) -> None:
    jobs = sorted(path for path in sweep.iterdir() if path.is_dir())
    (jobs[0] / PREDICTIONS).write_bytes(b"PK\x03\x04 torn")
    (jobs[1] / METRICS).write_text('{"epoch": 0, "test_acc')
    (jobs[2] / RESULT).write_text("{")
    (jobs[3] / LOG).unlink()
    data = page_data(sweep)
    assert len(data["jobs"]) == 12
    assert any(PREDICTIONS in line for line in data["remarks"])
    assert any(RESULT in line for line in data["remarks"])
    assert data["statuses"]["unreadable"] == 1


def test_a_result_of_odd_types_does_no_harm(sweep: Path) -> None:
    job = sweep / "optim.lr=0.001,model=stem3x3,seed=1"
    odd = {"notes": {"a": 1}, "attempts": ["x"], "error": "text", "epochs": "ten", "environment": [], "best": 3}
    edit_result(job, **odd)
    assert page_data(sweep)["jobs"][0]["notes"] == []


def test_what_is_not_finite_is_null(sweep: Path) -> None:
    job = sweep / "optim.lr=0.001,model=stem3x3,seed=1"
    lines = '{"epoch": 0, "test_loss": NaN, "test_accuracy": 0.5}\n{"epoch": 1, "test_loss": Infinity}\n'
    (job / METRICS).write_text(lines)
    edit_result(job, last={"epoch": 1, "test_loss": float("inf")})
    data = page_data(sweep)
    assert data["curves"]["test_loss"][0] == [None, None]
    assert data["jobs"][0]["test_loss"] is None


@pytest.mark.parametrize("keep", [False, True])
def test_a_folder_without_jobs_still_makes_a_page(tmp_path: Path, keep: bool) -> None:
    folder = SyntheticSweep(rows=[]).write(tmp_path / "sweep") if keep else tmp_path / "nowhere"
    data = data_of(page([folder], tmp_path / "page.html"))
    assert data["jobs"] == []
    assert keep or data["remarks"]


def test_a_single_run_makes_a_page(sweep: Path, tmp_path: Path) -> None:
    job = tmp_path / "alone"
    shutil.copytree(sweep / "optim.lr=0.001,model=stem3x3,seed=1", job)
    edit_result(job, sweep=None, swept={})
    data = data_of(page([job], tmp_path / "page.html"))
    assert [job["name"] for job in data["jobs"]] == [HOSTILE]
    assert data["factors"] == []
    assert data["pairs"] == []


def test_a_live_sweep_is_written_again_and_nothing_else_is_left(sweep: Path, tmp_path: Path) -> None:
    output = tmp_path / "pages" / "dashboard.html"
    output.parent.mkdir()
    before = data_of(page([sweep], output))
    edit_result(sweep / "optim.lr=0.02,model=stem3x3,seed=1", status="completed")
    edit_result(sweep / "optim.lr=0.001,model=stem7x7,seed=2", status="completed")
    after = data_of(page([sweep], output))
    assert before["statuses"]["running"] == 1
    assert "running" not in after["statuses"]
    assert list(output.parent.iterdir()) == [output]


def test_two_sweeps_are_paired_and_what_changed_is_listed(tmp_path: Path) -> None:
    SyntheticSweep(name="before").write(tmp_path / "a")
    SyntheticSweep(name="after", luck=1, commit="fedc987", torch="2.15.0").write(tmp_path / "b")
    data = data_of(page([tmp_path / "a", tmp_path / "b"], tmp_path / "page.html"))
    (pair,) = data["pairs"]
    assert (pair["first"], pair["second"], pair["count"]) == ("before", "after", 12)
    assert ["environment.torch", "2.14.0", "2.15.0"] in pair["changes"]
    assert data["factors"][0] == {"key": "sweep", "levels": ["before", "after"], "numeric": False}


def test_sweeps_of_one_name_in_two_places_are_two(tmp_path: Path) -> None:
    SyntheticSweep().write(tmp_path / "monday")
    SyntheticSweep(luck=1).write(tmp_path / "tuesday")
    data = data_of(page([tmp_path / "monday", tmp_path / "tuesday"], tmp_path / "page.html"))
    assert [sweep["label"] for sweep in data["sweeps"]] == ["lr_vs_stem (monday)", "lr_vs_stem (tuesday)"]
    assert data["pairs"][0]["count"] == 12


def test_the_page_asks_the_network_for_nothing(sweep: Path, tmp_path: Path) -> None:
    text = page([sweep], tmp_path / "page.html")
    assert "default-src 'none'" in text
    assert not re.search(r"<(script|img|link|iframe)[^>]*(src|href)=[\"'](?!data:)", text)


def test_a_sweep_file_that_lies_about_its_command_does_no_harm(sweep: Path) -> None:
    content = json.loads((sweep / SWEEP).read_text())
    (sweep / SWEEP).write_text(json.dumps(content | {"command": {"a": [HOSTILE]}, "created": 3, "commit": []}))
    assert HOSTILE in page_data(sweep)["sweeps"][0]["command"]


def test_the_log_keeps_its_end(tmp_path: Path) -> None:
    sweep = SyntheticSweep().write(tmp_path / "sweep")
    job = sweep / "optim.lr=0.001,model=stem3x3,seed=1"
    (job / LOG).write_text("".join(f"line number {number}\n" for number in range(10_000)))
    log = page_data(sweep)["jobs"][0]["log"]
    assert log.endswith("line number 9999\n")
    assert log.startswith("line number ")
    assert len(log) < 5_000


@pytest.mark.slow
def test_a_thousand_jobs_of_thirty_epochs_stay_small(tmp_path: Path) -> None:
    factors: dict[str, list[Any]] = {
        "optim.lr": [0.001, 0.002, 0.005, 0.02],
        "model": ["stem3x3", "stem7x7"],
        "seed": list(range(125)),
    }
    sweep = SyntheticSweep(factors=factors, epochs=30, test_images=10000).write(tmp_path / "sweep")
    assert len(page_data(sweep)["jobs"]) == 1000
    assert (tmp_path / "page.html").stat().st_size < 15e6
