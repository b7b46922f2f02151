"""The studies in `conf/sweep` and a user's own: planned at full size, and run at toy scale up to the verdicts."""

import csv
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.small_sweeps import CHECKOUT, CommandResult, Place, attempts, run_in_process, statuses

JOBS_PER_SEED = {
    "report_ablation": 5,
    "report_factorial": 16,
    "report_claims": 7,
    "report_causes": 6,
    "epochs": 4,
    "seeds": 1,
    "lean_ablation": 12,
}

PLAN = ("sweep.dry_run=true", "sweep.try_recipes=false", "sweep.keep=none")

STUDIES = [*JOBS_PER_SEED, "variance"]

Train = Callable[..., CommandResult]


@pytest.fixture
def train(place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Train:
    """Runs `train.py` with the given arguments in the folder of `place`."""
    return lambda *arguments: run_in_process(arguments, place, monkeypatch, capfd)


def _planned(ended: CommandResult) -> list[str]:
    """Return the names of the jobs that a dry run lists."""
    assert ended.code == 0, ended.err
    return [match[1] for line in ended.out.splitlines() if (match := re.match(r"\d+ (\S+) +queued +run$", line))]


def _seed(name: str) -> int:
    match = re.search(r"seed=(\d+)", name)
    assert match, name
    return int(match[1])


def _tiny(place: Place) -> list[str]:
    """Return the overrides of small sweeps, without the number of epochs."""
    return [override for override in place.common if not override.startswith("trainer.epochs")]


def test_every_study_is_listed_here() -> None:
    assert {file.stem for file in (CHECKOUT / "conf/sweep").glob("*.yaml")} == {*STUDIES}


@pytest.mark.parametrize("study", JOBS_PER_SEED)
def test_study_plans_each_config_with_each_seed(study: str, train: Train, place: Place) -> None:
    names = _planned(train(f"+sweep={study}", "sweep.seeds=[3,17]", *PLAN))
    assert len(names) == len(set(names)) == 2 * JOBS_PER_SEED[study]
    # Long names are truncated and may lack their seed.
    seeds = [_seed(name) for name in names if "seed=" in name]
    assert set(seeds) == {3, 17}
    assert max(seeds.count(3), seeds.count(17)) <= JOBS_PER_SEED[study]
    assert not (place.folder / "multirun").exists()


def test_study_of_variance_plans_each_source_alone_and_all_together(train: Train) -> None:
    names = _planned(train("+sweep=variance", "sweep.seeds=3", *PLAN))
    assert len(set(names)) == 1 + 4 * 2 + 2


@pytest.mark.parametrize(
    ("study", "given", "seeds"), [("report_ablation", [], 5), ("seeds", [], 10), ("epochs", ["sweep.seeds=2"], 2)]
)
def test_seeds_start_from_the_seed_of_the_report(study: str, given: list[str], seeds: int, train: Train) -> None:
    names = _planned(train(f"+sweep={study}", *given, *PLAN))
    assert sorted(map(_seed, names)) == sorted([*range(1, seeds + 1)] * JOBS_PER_SEED[study])


def test_command_line_overrides_the_values_of_a_study(train: Train) -> None:
    names = _planned(train("+sweep=epochs", "trainer.epochs=3", "optim.lr=0.1,0.2", "sweep.seeds=1", *PLAN))
    assert len(names) == 2
    assert all(f"optim.lr={lr}" in name for lr, name in zip(("0.1", "0.2"), names, strict=True))


@pytest.mark.parametrize("study", STUDIES)
def test_quick_study_has_a_separate_folder(study: str, train: Train) -> None:
    names = []
    for scale in ("full", "quick"):
        shown = train(f"+sweep={study}", f"scale={scale}", "--cfg", "job", "--resolve", "-p", "sweep")
        names += re.findall(r"^name: (.*)$", shown.out, re.MULTILINE)
    assert names == [study, f"{study}_quick"]


def test_quick_ablation_gives_a_verdict_on_every_claim(train: Train, place: Place) -> None:
    sizes = ["data.train_size=48", "data.test_size=32"]
    ended = train("+sweep=report_ablation", "scale=quick", "sweep.seeds=3", *_tiny(place), *sizes)
    assert ended.code == 0, ended.err
    sweep = place.folder / "multirun" / "report_ablation_quick"
    assert list(statuses(sweep).values()) == ["completed"] * 15
    epochs = {row["experiment"]: row["epochs"] for row in _rows(sweep)}
    assert epochs.pop("report_e_30_epochs") == "6", "the scale multiplies each config's epochs"
    assert set(epochs.values()) == {"2"}
    verdicts = _table(sweep, "Claims")
    claimed = [(row["config"], row["claimed"]) for row in verdicts]
    assert claimed == [
        ("report_a_stem7x7", "about 85 %"),
        ("report_b_stem3x3", "up to 99 %"),
        ("report_b_stem3x3", "about 95 %"),
        ("report_c_dropout", "up to 99 %"),
        ("report_c_dropout", "not stated"),
        ("report_d_block_norm", "99.59 %"),
        ("report_d_block_norm", "99.36 % at the end"),
        ("report_d_block_norm", "best 99.41 % in epoch 7"),
        ("report_e_30_epochs", "99.92 % (59,950 / 60,000)"),
        ("report_e_30_epochs", "99.44 % (9,944 / 10,000)"),
    ]
    for row in verdicts:
        assert row["n"] == "3"
        assert row["verdict"] == ("not stated" if row["claimed"] == "not stated" else "not at full scale")
    answered = {row["question"]: row["finding"] for row in _table(sweep, "Claims without a figure")}
    assert set(answered.values()) == {"not at full scale"}, answered
    assert len(answered) == 4


def test_study_of_variance_says_what_each_source_contributes(train: Train, place: Place) -> None:
    sizes = ["data.train_size=48", "data.test_size=32", "data.val_size=8", "regularization=none", "trainer.epochs=1"]
    ended = train("+sweep=variance", "sweep.seeds=2", *_tiny(place), *sizes)
    assert ended.code == 0, ended.err
    sweep = place.folder / "multirun" / "variance"
    assert list(statuses(sweep).values()) == ["completed"] * 6
    rows = {row["source"]: row for row in _table(sweep, "Variance by source")}
    assert list(rows)[:5] == [
        *("initial weights", "order of the training images", "dropout", "data split", "all together")
    ]
    assert {row["runs"] for row in list(rows.values())[:5]} == {"2"}
    assert rows["dropout"]["95 % interval of sd"] == "no effect: all runs are equal", "bit for bit"
    notes = re.findall(r"Note.*: seeds.dropout=(\d): had no effect", (sweep / "table.md").read_text())
    assert notes == ["1", "2"]


@pytest.mark.slow
def test_claims_without_a_figure_are_answered_and_seeds_can_be_added(train: Train, place: Place) -> None:
    study = ["+sweep=report_claims", "trainer.epochs=2", *_tiny(place)]
    sweep = place.folder / "multirun" / "report_claims"
    assert train(*study, "sweep.seeds=1").code == 0
    longer = train(*study, "sweep.seeds=2")
    assert "7 of 14 jobs to run, 7 ended already" in longer.out
    assert set(attempts(sweep).values()) == {1}
    answered = _table(sweep, "Claims without a figure")
    comparisons = json.loads((sweep / "sweep.json").read_text())["jobs"][0]["config"]["comparisons"]
    assert [row["question"] for row in answered] == [comparison["question"] for comparison in comparisons]
    assert {row["finding"] for row in answered} == {"not at full scale"}
    for row in answered:
        assert re.match(r"[+-]\d", row["difference"]), f"{row['measure']} is available in the runs"


def test_a_users_claims_get_verdicts(train: Train, place: Place) -> None:
    """The example of docs/comparing.md, as it is printed but for a smaller network and fewer epochs."""
    text = (CHECKOUT / "docs/comparing.md").read_text()
    example = re.search(r"```yaml\n(# @package.*?)```", text, re.DOTALL)
    command = re.search(r"^    python train.py (.*sweep.name=table2.*)$", text, re.MULTILINE)
    assert example
    assert command
    arguments = shlex.split(command[1])
    for row in ("table2_row2", "table2_row3"):
        _write(place.folder / "papers/experiment" / f"{row}.yaml", example[1])
    assert len(_planned(train("--config-dir=papers", *arguments, *PLAN))) == 10
    small = (
        example[1].replace("epochs: 20", "epochs: 2").replace("claims:", "model:\n  width: 2\n  blocks: [1]\nclaims:")
    )
    _write(place.folder / "papers/experiment/table2_row3.yaml", small)
    _write(place.folder / "papers/experiment/table2_row2.yaml", small.replace("value: 0.97", "value: 0.15"))
    arguments = [argument.replace("1,2,3,4,5", "1,2,3") for argument in arguments]
    ended = train("--config-dir=papers", *arguments, "tracking=none", "trainer.threads=1")
    assert ended.code == 0, ended.err
    verdicts = _table(place.folder / "multirun/table2", "Claims")
    assert [(row["config"], row["n"]) for row in verdicts] == [("table2_row2", "3"), ("table2_row3", "3")]
    assert [row["verdict"] for row in verdicts] == ["stands", "higher than we find"]

    _write(place.folder / "papers/experiment/table2_row3.yaml", small.replace("0.97", "0.15").replace("97 %", "15 %"))
    question = "{question: Is seed 2 better?, factor: seed, better: 2, worse: 1, measure: test_error, words: it is}"
    ended = train("--config-dir=papers", *arguments, "tracking=none", "trainer.threads=1", f"+comparisons=[{question}]")
    assert ended.code == 0, ended.err
    assert set(attempts(place.folder / "multirun/table2").values()) == {1}, "claims change nothing that a job computes"
    verdicts = _table(place.folder / "multirun/table2", "Claims")
    assert [(row["claimed"], row["verdict"]) for row in verdicts] == [
        ("about 97 %", "stands"),
        ("about 15 %", "stands"),
    ]
    answered = _table(place.folder / "multirun/table2", "Claims without a figure")
    assert [row["question"] for row in answered] == ["Is seed 2 better?"]


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def _rows(sweep: Path) -> list[dict[str, str]]:
    with (sweep / "results.csv").open() as file:
        return list(csv.DictReader(file))


def _table(sweep: Path, heading: str) -> list[dict[str, str]]:
    """Return the rows of the table below a heading of `table.md`."""
    text = (sweep / "table.md").read_text()
    section = re.search(rf"^#+ {heading}\n(.*?)(?=^#|\Z)", text, re.MULTILINE | re.DOTALL)
    assert section, text
    lines = [line.strip("| ") for line in section[1].splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.split(" | ")] for line in lines]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]
