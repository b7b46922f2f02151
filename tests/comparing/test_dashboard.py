"""The dashboard's data and HTML file: content, escaping, and handling of broken folders."""

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
from mnist_resnet.comparing.dashboard.static_view import LEFT, WIDTH
from mnist_resnet.comparing.effects import effects
from mnist_resnet.comparing.factors import other_factors, varying_factors
from mnist_resnet.comparing.frame import load_sweep
from mnist_resnet.comparing.job_reader import load_jobs
from mnist_resnet.comparing.significance import holm
from mnist_resnet.comparing.verdicts import judgements
from mnist_resnet.job_folder import LOG, METRICS, PREDICTIONS, RESULT, SWEEP, Status
from tests.made_up_jobs import write_job
from tests.synthetic_sweep import SyntheticSweep

MALICIOUS = "</script><img src=x onerror=alert(1)><script>alert(2)</script>"


def page(folders: Sequence[Path], output: Path) -> str:
    write_dashboard(folders, output)
    return output.read_text()


def data_of(text: str) -> dict[str, Any]:
    """Return the JSON that the page's scripts read; fails on JSON that a browser would reject."""
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
    return SyntheticSweep(statuses=statuses, names={0: MALICIOUS}, epochs=4).write(tmp_path / "sweep")


def test_curves_of_one_epoch_are_dots_where_no_script_runs(tmp_path: Path) -> None:
    text = page([SyntheticSweep(epochs=1).write(tmp_path / "sweep")], tmp_path / "page.html")
    picture = text[text.index("<h2>Training curves</h2>") :].partition("</svg>")[0]
    dots = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', picture)
    assert len(dots) == len(data_of(text)["jobs"])
    assert {float(x) for x, _ in dots} == {(LEFT + WIDTH - 20) / 2}, "beside the axis"
    assert len({y for _, y in dots}) > 1


def test_page_of_a_small_sweep_is_below_a_megabyte(tmp_path: Path) -> None:
    page([SyntheticSweep().write(tmp_path / "sweep")], tmp_path / "page.html")
    assert (tmp_path / "page.html").stat().st_size < 1e6


def test_malicious_job_name_is_escaped(sweep: Path, tmp_path: Path) -> None:
    tame = page([SyntheticSweep(epochs=4).write(tmp_path / "tame")], tmp_path / "tame.html")
    text = page([sweep], tmp_path / "page.html")
    assert data_of(text)["jobs"][0]["name"] == MALICIOUS
    assert "<img src=x" not in text
    assert text.count("</script") == tame.count("</script")


def test_malicious_sweep_name_is_escaped_in_the_title(tmp_path: Path) -> None:
    text = page([SyntheticSweep(name=f"</title>{MALICIOUS}").write(tmp_path / "sweep")], tmp_path / "page.html")
    assert "<title>&lt;/title&gt;" in text
    assert "<img src=x" not in text


def test_placeholder_in_a_name_is_not_replaced(tmp_path: Path) -> None:
    text = page([SyntheticSweep(names={0: "{{style}}"}).write(tmp_path / "sweep")], tmp_path / "page.html")
    assert data_of(text)["jobs"][0]["name"] == "{{style}}"


def test_names_that_are_not_utf8_are_accepted(tmp_path: Path) -> None:
    sweep = SyntheticSweep(name="a\udcffb", names={0: "\udcff"}).write(tmp_path / "sweep")
    assert data_of(page([sweep], tmp_path / "page.html"))["jobs"][0]["name"] == "\udcff"


def test_page_counts_every_status_and_lists_every_job(sweep: Path) -> None:
    data = page_data(sweep)
    assert data["statuses"] == {"completed": 8, "failed": 1, "diverged": 1, "running": 1, "queued": 1}
    assert len(data["jobs"]) == 12
    assert data["jobs"][1]["error"] == "ValueError: no such <image>"
    assert "Traceback" in data["jobs"][1]["traceback"]
    assert data["jobs"][4]["done"] == 2
    assert data["jobs"][5]["test_accuracy"] is None


def test_job_entries_agree_with_the_frame(sweep: Path) -> None:
    frame = load_sweep(sweep)
    data = page_data(sweep)
    for job, (_, row) in zip(data["jobs"], frame.iterrows(), strict=True):
        levels = {f["key"]: f["levels"][number] for f, number in zip(data["factors"], job["levels"], strict=True)}
        assert levels == {"optim.lr": f"{row['optim.lr']:g}", "model": row["model"], "seed": str(row["seed"])}
        if job["test_accuracy"] is not None:
            assert job["test_accuracy"] == pytest.approx(row["test_accuracy"], abs=1e-6)


def test_numeric_levels_are_sorted(tmp_path: Path) -> None:
    factors: dict[str, list[Any]] = {"optim.lr": [0.02, 0.001, 0.01], "data.train_size": [None, 1000], "seed": [1]}
    data = page_data(SyntheticSweep(factors=factors).write(tmp_path / "sweep"))
    assert [factor["levels"] for factor in data["factors"]] == [["0.001", "0.01", "0.02"], ["1000", "null"]]
    assert [factor["numeric"] for factor in data["factors"]] == [True, False]


def test_curves_hold_the_metrics_by_epoch(sweep: Path) -> None:
    data = page_data(sweep)
    frame = load_sweep(sweep, epochs=True)
    first = frame[frame["index"] == 3]
    assert data["curves"]["test_accuracy"][3] == pytest.approx(first["test_accuracy"].tolist())
    assert data["curves"]["test_accuracy"][5] == []
    assert "val_accuracy" not in data["curves"]


def test_job_entry_lists_differences_from_the_base(tmp_path: Path) -> None:
    rows = [{"optim.lr": lr, "seed": seed} for lr, seed in ((0.001, 1), (0.02, 1), (0.001, 2))]
    data = page_data(SyntheticSweep(rows=rows).write(tmp_path / "sweep"))
    assert data["jobs"][0]["changed"] == []
    assert data["jobs"][1]["changed"] == [["optim.lr", "0.001", "0.02"]]
    assert data["jobs"][2]["changed"] == [["seed", "1", "2"]]
    assert data["sweeps"][0]["base"]["model.stem"] == "3x3"


def test_notes_are_counted(tmp_path: Path) -> None:
    sweep = SyntheticSweep(notes=["tested on <b>few</b> images"]).write(tmp_path / "sweep")
    edit_result(sweep / "optim.lr=0.001,model=stem3x3,seed=1", notes=["another"])
    assert page_data(sweep)["notes"] == [["tested on <b>few</b> images", 11], ["another", 1]]


def test_claims_and_effects_agree_with_the_report(tmp_path: Path) -> None:
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
    everything = [*data["effects"]["alone"], *data["effects"]["together"]]
    corrected = holm([effect["p"] for effect in everything])
    assert [effect["p"] for effect in data["effects"]["alone"]] == [effect.p for effect in found]
    assert [effect["corrected"] for effect in everything] == pytest.approx(corrected)
    assert corrected != [effect["p"] for effect in everything]
    assert [group["n"] for group in data["groups"]] == [3, 3, 3, 3]


def test_random_search_has_no_pairs_and_is_listed_as_left_out(tmp_path: Path) -> None:
    rows = [{"optim.lr": 0.001 * (1 + number / 100), "seed": 1} for number in range(30)]
    data = page_data(SyntheticSweep(rows=rows).write(tmp_path / "sweep"))
    assert data["effects"]["alone"] == []
    assert data["effects"]["left_out"] == ["optim.lr"]


def test_confusion_matrix_counts_every_test_image(sweep: Path) -> None:
    data = page_data(sweep)
    predictions = np.load(sweep / "optim.lr=0.001,model=stem3x3,seed=1" / PREDICTIONS)
    matrix = np.array(data["mistakes"]["confusion"][0]).reshape(10, 10)
    assert matrix.sum() == len(predictions["label"]) == 500
    assert matrix.trace() == np.sum(predictions["label"] == predictions["predicted"])
    assert matrix[3].sum() == np.sum(predictions["label"] == 3)
    assert data["mistakes"]["confusion"][1] is None


def test_misread_images_keep_their_pixels(sweep: Path) -> None:
    data = page_data(sweep)["mistakes"]
    predictions = np.load(sweep / "optim.lr=0.001,model=stem3x3,seed=1" / PREDICTIONS)
    test_set = data["sets"][0]
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(test_set["sheet"].partition(",")[2]))))
    assert len(data["misread"][0]) == len(predictions["misread_index"]) > 0
    for place, index, label, predicted, confidence, _ in data["misread"][0]:
        top, left = place // test_set["across"] * 28, place % test_set["across"] * 28
        stored = predictions["misread_pixels"][predictions["misread_index"].tolist().index(index)][0]
        assert np.array_equal(sheet[top : top + 28, left : left + 28], stored)
        assert (label, predicted) == (predictions["label"][index], predictions["predicted"][index])
        assert confidence == pytest.approx(np.exp(float(predictions["predicted_log_probability"][index])), abs=1e-4)
    confidences = [entry[4] for entry in data["misread"][0]]
    assert confidences == sorted(confidences, reverse=True)


def test_most_often_misread_images_come_first(sweep: Path) -> None:
    often = page_data(sweep)["mistakes"]["sets"][0]["often"]
    every = [np.load(path) for path in sweep.glob(f"*/{PREDICTIONS}")]
    counts = Counter(
        int(index)
        for predictions in every
        for index in np.flatnonzero(predictions["label"] != predictions["predicted"])
    )
    assert [entry["jobs"] for entry in often] == sorted(counts.values(), reverse=True)[: len(often)]
    assert all(counts[entry["index"]] == entry["jobs"] for entry in often)
    assert all(sum(len(jobs) for _, jobs, _ in entry["taken"]) == entry["jobs"] for entry in often)


def test_different_test_sets_are_kept_apart(tmp_path: Path) -> None:
    SyntheticSweep(name="large", test_images=300, factors={"seed": [1]}).write(tmp_path / "a")
    SyntheticSweep(name="small", test_images=200, factors={"seed": [1]}).write(tmp_path / "b")
    data = data_of(page([tmp_path / "a", tmp_path / "b"], tmp_path / "page.html"))["mistakes"]
    assert data["set"] == [0, 1]
    assert [test_set["images"] for test_set in data["sets"]] == [300, 200]


def test_broken_files_become_remarks(sweep: Path) -> None:
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


def test_results_of_unexpected_types_are_accepted(sweep: Path) -> None:
    job = sweep / "optim.lr=0.001,model=stem3x3,seed=1"
    odd = {"notes": {"a": 1}, "attempts": ["x"], "error": "text", "epochs": "ten", "environment": [], "best": 3}
    edit_result(job, **odd)
    assert page_data(sweep)["jobs"][0]["notes"] == []


def test_values_that_are_not_finite_become_null(sweep: Path) -> None:
    job = sweep / "optim.lr=0.001,model=stem3x3,seed=1"
    lines = '{"epoch": 0, "test_loss": NaN, "test_accuracy": 0.5}\n{"epoch": 1, "test_loss": Infinity}\n'
    (job / METRICS).write_text(lines)
    edit_result(job, last={"epoch": 1, "test_loss": float("inf")})
    data = page_data(sweep)
    assert data["curves"]["test_loss"][0] == [None, None]
    assert data["jobs"][0]["test_loss"] is None


@pytest.mark.parametrize("keep", [False, True])
def test_folder_without_jobs_gives_a_page(tmp_path: Path, keep: bool) -> None:
    folder = SyntheticSweep(rows=[]).write(tmp_path / "sweep") if keep else tmp_path / "nowhere"
    data = data_of(page([folder], tmp_path / "page.html"))
    assert data["jobs"] == []
    assert keep or data["remarks"]


def test_single_run_gives_a_page(sweep: Path, tmp_path: Path) -> None:
    job = tmp_path / "alone"
    shutil.copytree(sweep / "optim.lr=0.001,model=stem3x3,seed=1", job)
    edit_result(job, sweep=None, swept={})
    data = data_of(page([job], tmp_path / "page.html"))
    assert [job["name"] for job in data["jobs"]] == [MALICIOUS]
    assert data["factors"] == []
    assert data["pairs"] == []


def test_page_of_a_running_sweep_is_rewritten_without_leftover_files(sweep: Path, tmp_path: Path) -> None:
    output = tmp_path / "pages" / "dashboard.html"
    output.parent.mkdir()
    before = data_of(page([sweep], output))
    edit_result(sweep / "optim.lr=0.02,model=stem3x3,seed=1", status="completed")
    edit_result(sweep / "optim.lr=0.001,model=stem7x7,seed=2", status="completed")
    after = data_of(page([sweep], output))
    assert before["statuses"]["running"] == 1
    assert "running" not in after["statuses"]
    assert list(output.parent.iterdir()) == [output]


def test_two_sweeps_are_paired_with_a_list_of_changes(tmp_path: Path) -> None:
    SyntheticSweep(name="before").write(tmp_path / "a")
    SyntheticSweep(name="after", luck=1, commit="fedc987", torch="2.15.0").write(tmp_path / "b")
    data = data_of(page([tmp_path / "a", tmp_path / "b"], tmp_path / "page.html"))
    (pair,) = data["pairs"]
    assert (pair["first"], pair["second"], pair["count"]) == ("before", "after", 12)
    assert ["environment.torch", "2.14.0", "2.15.0"] in pair["changes"]
    assert data["factors"][0] == {"key": "sweep", "levels": ["before", "after"], "numeric": False}


def test_two_sweeps_without_accuracies_are_compared_by_their_own_metric(tmp_path: Path) -> None:
    for name, loss in (("before", 0.5), ("after", 0.25)):
        for seed in (1, 2):
            last = {"epoch": 0, "train_loss": 0.1, "test_loss": loss * seed}
            config = {"data.classes": None, "optim.lr": loss}
            job = write_job(tmp_path / name / f"s{seed}", seed=seed, sweep=name, config=config, last=last, best=None)
            (job / METRICS).write_text(json.dumps(last))
    data = data_of(page([tmp_path / "before", tmp_path / "after"], tmp_path / "page.html"))
    (pair,) = data["pairs"]
    assert (pair["count"], pair["mean"], data["effect_unit"]["what"]) == (2, -0.375, "test loss")
    assert pair["interval"][0] >= -0.75, "a loss of 0.75 can't fall by more"


def test_sweeps_with_the_same_name_are_labelled_by_folder(tmp_path: Path) -> None:
    SyntheticSweep().write(tmp_path / "monday")
    SyntheticSweep(luck=1).write(tmp_path / "tuesday")
    data = data_of(page([tmp_path / "monday", tmp_path / "tuesday"], tmp_path / "page.html"))
    assert [sweep["label"] for sweep in data["sweeps"]] == ["lr_vs_stem (monday)", "lr_vs_stem (tuesday)"]
    assert data["pairs"][0]["count"] == 12


def test_page_makes_no_network_requests(sweep: Path, tmp_path: Path) -> None:
    text = page([sweep], tmp_path / "page.html")
    assert "default-src 'none'" in text
    assert not re.search(r"<(script|img|link|iframe)[^>]*(src|href)=[\"'](?!data:)", text)


def test_malformed_sweep_file_is_escaped(sweep: Path) -> None:
    content = json.loads((sweep / SWEEP).read_text())
    (sweep / SWEEP).write_text(json.dumps(content | {"command": {"a": [MALICIOUS]}, "created": 3, "commit": []}))
    assert MALICIOUS in page_data(sweep)["sweeps"][0]["command"]


def test_log_is_cut_to_its_end(tmp_path: Path) -> None:
    sweep = SyntheticSweep().write(tmp_path / "sweep")
    job = sweep / "optim.lr=0.001,model=stem3x3,seed=1"
    (job / LOG).write_text("".join(f"line number {number}\n" for number in range(10_000)))
    log = page_data(sweep)["jobs"][0]["log"]
    assert log.endswith("line number 9999\n")
    assert log.startswith("line number ")
    assert len(log) < 5_000


@pytest.mark.slow
def test_page_of_a_thousand_jobs_stays_small(tmp_path: Path) -> None:
    factors: dict[str, list[Any]] = {
        "optim.lr": [0.001, 0.002, 0.005, 0.02],
        "model": ["stem3x3", "stem7x7"],
        "seed": list(range(125)),
    }
    sweep = SyntheticSweep(factors=factors, epochs=30, test_images=10000).write(tmp_path / "sweep")
    assert len(page_data(sweep)["jobs"]) == 1000
    assert (tmp_path / "page.html").stat().st_size < 15e6


def test_number_has_one_spelling(tmp_path: Path) -> None:
    factors: dict[str, list[Any]] = {"optim.lr": [1e6, 10 ** (-1 / 3)], "seed": [1, 2]}
    folders = [SyntheticSweep(name=name, factors=factors).write(tmp_path / name) for name in ("one", "two")]
    data = data_of(page(folders, tmp_path / "page.html"))
    (lr,) = [factor for factor in data["factors"] if factor["key"] == "optim.lr"]
    assert {*lr["levels"]} == {"1000000", "0.464158883361"}
    names = {f"optim.lr={level},seed={seed}" for level in lr["levels"] for seed in (1, 2)}
    assert {job["name"] for job in data["jobs"]} == names
    assert {name for name, *_ in data["pairs"][0]["pairs"]} == names


def test_seeds_of_single_sources_tell_runs_apart(tmp_path: Path) -> None:
    rows = [{"seeds.init": init, "seeds.order": order} for init, order in ((1, 1), (2, 1), (1, 2))]
    data = page_data(SyntheticSweep(rows=rows).write(tmp_path / "sources"))
    assert [factor["key"] for factor in data["factors"]] == ["seeds.init", "seeds.order"]
    assert len({tuple(job["levels"]) for job in data["jobs"]}) == 3
