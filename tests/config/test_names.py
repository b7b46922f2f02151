"""Folder names are valid on every file system, and different inputs never share one."""

import subprocess
import sys
import tempfile
import unicodedata
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mnist_resnet.config.names import abbreviated, distinct_names, job_name, new_sweep_folder, sweep_folder
from mnist_resnet.errors import UsageError

REPOSITORY = Path(__file__).parents[2]
WINDOWS_DEVICES = {"con", "prn", "aux", "nul"} | {
    f"{port}{digit}" for port in ("com", "lpt") for digit in "0123456789¹²³"
}

any_text = st.text(st.characters())
"""Includes lone surrogates, by which Python represents command-line bytes that are not UTF-8."""

awkward = st.sampled_from(
    ["a", "A", "=", ",", "é", "e\u0301", "ß", "SS", "ı", "/", ".", "-", " ", "[", "]", "\0", "con"]
)
overrides = st.lists(st.one_of(any_text, st.lists(awkward, max_size=6).map("".join)), max_size=4)


def folded(name: str) -> str:
    """Return what a file system might compare: decomposed and case-folded, repeatedly."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold()).casefold()


def assert_safe(name: str) -> None:
    assert name
    assert len(name.encode()) <= 100
    assert name == unicodedata.normalize("NFC", name)
    assert not set(name) & set('<>:"/\\|?*$`')
    assert not any(unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for char in name)
    assert not name.startswith((".", "-", " "))
    assert not name.endswith((".", " "))
    assert name.split(".")[0].rstrip().casefold() not in WINDOWS_DEVICES


@pytest.mark.parametrize(
    ("given_overrides", "name"),
    [
        (["optim.lr=0.02", "model=stem3x3"], "model=stem3x3,optim.lr=0.02"),
        (["+experiment=report_a", "seed=3"], "+experiment=report_a,seed=3"),
        (["model.blocks=[3,4,6,3]", "seed=1"], "model.blocks=[3,4,6,3],seed=1"),
        (["optim.lr=1e-3"], "optim.lr=1e-3"),
        ([], "defaults"),
    ],
)
def test_plain_overrides_are_the_job_name(given_overrides: list[str], name: str) -> None:
    assert job_name(given_overrides) == name


def test_name_with_a_hash_stays_readable() -> None:
    assert job_name(["data.root=/Data/Größe"]).startswith("data.root=_Data_Größe-")
    assert job_name(["aux.weight=0.1"]).startswith("_aux.weight=0.1-")


@given(overrides)
@example(["con.x=1"])
@example(["=" + "\u0338"])
@example(["k=" + "é" * 60])
def test_any_overrides_give_a_valid_name(parts: list[str]) -> None:
    name = job_name(parts)
    assert_safe(name)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).mkdir()


@given(overrides, overrides)
@example(["a=1,b=2"], ["a=1", "b=2"])
@example(["A=1,b=2"], ["A=1", "b=2"])
@example(["a=B"], ["a=b"])
@example(["a=é"], ["a=e\u0301"])
@example(["a=ı"], ["a=i"])
@example(["a=\ud83d\ude00"], ["a=😀"])
@example(["a=1", "a=2"], ["a=2", "a=1"])
@example(["a=" + "b" * 99], ["a=" + "b" * 100])
@example(["defaults"], [])
def test_different_overrides_never_share_a_folder(first: list[str], second: list[str]) -> None:
    def by_key(override: str) -> str:
        return override.partition("=")[0]

    same = sorted(first, key=by_key) == sorted(second, key=by_key)
    assert (folded(job_name(first)) == folded(job_name(second))) == same


@given(any_text.map(lambda value: [f"a={value}"]))
@example([])
def test_generated_name_differs_from_the_name_of_a_job_with_that_override(parts: list[str]) -> None:
    generated = job_name(["a=/", *parts])
    assert job_name([generated]) != generated


@given(st.lists(overrides, max_size=6), st.sets(st.sampled_from(["a=1", "A=1", "defaults", "DEFAULTS-2"])))
@example([["a=1"], ["a=1"], ["a=1-2"], ["a=" + "b" * 98], ["a=" + "b" * 98]], {"A=1"})
def test_names_are_distinct_from_each_other_and_from_taken_names(jobs: list[list[str]], taken: set[str]) -> None:
    names = distinct_names(jobs, taken)
    assert len(names) == len(jobs)
    assert len({folded(name) for name in names} | {folded(name) for name in taken}) == len(names) + len(
        {folded(name) for name in taken}
    )
    for name in names:
        assert_safe(name)


def test_only_repeated_names_are_numbered() -> None:
    assert distinct_names([["a=1"], ["a=2"], ["a=1"]], set()) == ["a=1", "a=2", "a=1-2"]


LONG = [f"model.blocks=[{depth},4,6,3]" for depth in range(12)]


@pytest.mark.parametrize(
    ("swept", "shown"),
    [
        (["loss._target_=my_project.losses.focal", "loss._target_=my_project.losses.dice"], ["focal", "dice"]),
        (["data.root=/a/north/of/here/images", "data.root=/a/south/of/here/images"], ["north", "south"]),
        (["experiment=report_d_block_norm", "experiment=report_d_block_norm_late"], ["block_norm", "late"]),
        (["experiment=report_d_block_norm", "experiment=report_d_no_block_norm"], ["=block_norm", "=no_bl_norm"]),
        (["optim.lr=0.0012345678901", "optim.lr=0.0012345678902"], ["0.0012345678901", "0.0012345678902"]),
        (["data.root=/a/" + "b" * 40 + "1/c", "data.root=/a/" + "b" * 40 + "2/c"], ["=1,", "=2,"]),
        (["data.root=/a/AAAAAAAAAAAA1", "data.root=/a/CCCCCCCCCCCC2"], ["AAAAAAAAA1", "CCCCCCCCC2"]),
    ],
)
def test_long_name_shows_in_what_the_jobs_differ(swept: list[str], shown: list[str]) -> None:
    equal = [f"trainer.some_long_key_{number}=3" for number in range(6)]
    jobs = [[*equal, level, f"tracking.notes={'long ' * 12}{note}"] for level, note in zip(swept, "ab", strict=True)]
    names = distinct_names(jobs, set())
    for name, part in zip(names, shown, strict=True):
        assert part in name
        assert "some" not in name
        assert "not=" in name
    # A job that is added later is named beside the others, and theirs are known by their hashes.
    assert [abbreviated(job_name(job)) for job in jobs] == [abbreviated(name) for name in names]
    (added,) = distinct_names([[*jobs[1], "seed=3"]], set(names), jobs)
    assert "=3" in added


def test_first_of_several_long_names_shows_the_last_words_of_its_values() -> None:
    name = job_name([*LONG, "loss._target_=my_project.losses.focal"])
    assert abbreviated("a=1") == "a=1"
    assert len(name) == 100
    name = job_name(["loss._target_=my_project.losses.focal_loss_of_mine", "tracking.project=" + "long_" * 12])
    assert "of_mine" in name


@given(any_text)
@example("..")
@example("../elsewhere")
@example("/etc")
@example("a\\b")
@example("C:")
@example("nul.txt")
@example("e\u0301")
@example("a" * 101)
@example("records")
@example("x\0")
@example("\udcff")
def test_any_sweep_name_gives_a_one_line_error_or_a_folder_inside_multirun(name: str) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        multirun = Path(temporary)
        try:
            folder = sweep_folder(multirun, name)
        except UsageError as error:
            message = str(error)
        else:
            message = ""
        if message:
            assert message.startswith("sweep.name=")
            assert message.splitlines() == [message]
            return
        assert folder.parent == multirun
        assert_safe(folder.name)
        folder.mkdir()
        assert [created.name for created in multirun.iterdir()] == [folder.name]
        assert sweep_folder(multirun, name) == folder


@pytest.mark.parametrize("name", ["lr_vs_stem", "Study 2", "größe", "2026-11-24_20-00-00", "a=1,b=[2]"])
def test_valid_sweep_names_are_kept(tmp_path: Path, name: str) -> None:
    assert sweep_folder(tmp_path / "multirun", name) == tmp_path / "multirun" / name


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "a/b", "/a", "a\\b", ".git", "-m", "a.", "a ", "records", "Records", "COM1", "a:b", "x" * 101],
)
def test_invalid_sweep_names_are_rejected(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"sweep\.name="):
        sweep_folder(tmp_path, name)


def test_sweep_name_equivalent_to_an_existing_folder_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "lr_vs_stem").mkdir()
    with pytest.raises(UsageError, match="lr_vs_stem"):
        sweep_folder(tmp_path, "LR_vs_stem")


def test_sweep_name_of_a_file_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "notes").touch()
    with pytest.raises(UsageError, match="notes"):
        sweep_folder(tmp_path, "notes")


def test_unnamed_sweep_is_named_by_its_start_time(tmp_path: Path) -> None:
    now = datetime(2026, 11, 24, 20, 0, 0, tzinfo=UTC)
    folders = [new_sweep_folder(tmp_path / "multirun", now) for _ in range(3)]
    assert [folder.name for folder in folders] == [
        "2026-11-24_20-00-00",
        "2026-11-24_20-00-00-2",
        "2026-11-24_20-00-00-3",
    ]


def test_sweeps_started_in_the_same_second_by_several_processes_get_distinct_folders(tmp_path: Path) -> None:
    program = """
import sys
from datetime import datetime
from pathlib import Path
from mnist_resnet.config.names import new_sweep_folder
sys.stdin.readline()
for _ in range(20):
    print(new_sweep_folder(Path(sys.argv[1]), datetime(2026, 11, 24)))
"""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    folders = [line for process in processes for line in process.communicate(timeout=300)[0].splitlines()]
    assert len(folders) == len(set(folders)) == len(list(tmp_path.iterdir())) == 60


def test_message_names_a_folder_that_is_not_writable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="file/multirun"):
        new_sweep_folder(tmp_path / "file" / "multirun", datetime(2026, 11, 24, tzinfo=UTC))


def test_long_names_keep_what_tells_the_jobs_apart() -> None:
    recipe = ["augmentation=translate", "averaging=none", "loss=label_smoothing", "optim.weight_decay=0.1"]
    names = [job_name([*recipe, "schedule=constant", f"seed={seed}"]) for seed in range(1, 11)]
    assert names[2].startswith("aug=translate,ave=none,los=label_smoothing,wei=0.1,sch=constant,see=3-")
    assert len(set(names)) == 10
    assert all(f"see={seed}-" in name for seed, name in enumerate(names, 1))


def test_very_long_values_are_cut_before_other_levels() -> None:
    name = job_name(["data.root=" + "deep/" * 40, "optim.lr=0.1", "seed=7"])
    assert name.startswith("roo=deep_deep_,lr=0.1,see=7-")
