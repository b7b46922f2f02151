"""Every command line in the README, docs/ and the benchmarks' notes still works, and every path that they name exists.

`python train.py` lines are composed and checked as dry runs, and so are single settings in running text and the
examples in the comments of `conf/`. `python -m mnist_resnet…` and `mnist-resnet` lines run on
a small sweep. `python -m benchmarks…` lines run until their arguments are parsed. `NOT_RUN` lists the others, with the
reason.
"""

import argparse
import json
import os
import re
import runpy
import shlex
import shutil
import sys
import tomllib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image, ImageDraw

from mnist_resnet import command_line
from mnist_resnet.config.hydra_versions import VERSION_BASE
from mnist_resnet.config.launcher_schema import check_launcher
from mnist_resnet.job_folder import SWEEP
from mnist_resnet.sweeps.record import publish
from tests.small_sweeps import CHECKOUT, CommandResult, Place, make_place, run_in_process

README = CHECKOUT / "README.md"
OWN_STUDY = CHECKOUT / "docs" / "own_study.md"
"""Its commands run in a folder of their own, in `test_own_study.py`."""
PAGES = [
    README,
    *(page for page in sorted((CHECKOUT / "docs").glob("*.md")) if page != OWN_STUDY),
    CHECKOUT / "benchmarks" / "NOTES.md",
]

NOT_RUN = {
    r"pip install -e .*": "changes the environment; its extras are compared with pyproject.toml",
    r"pip install torch torchvision .*|uv pip install .*": "changes the environment",
    r"pip install optuna-dashboard|optuna-dashboard .*": "serves until it is stopped; test_search.py starts it",
    r"pip install (tensorboard|mlflow)|.* tracking=everywhere .*": "needs trackers that nothing else does here",
    r"pytest( -m slow( tests/\S+)?)?": "runs this test",
    r"git worktree add .*": "changes the repository",
    r"wandb init": "needs an account; test_wandb_settings.py writes the file that it leaves",
    r"wandb (sweep|agent).*": "needs an account; test_wandb_end_to_end.py runs it against a local server",
    r"runs=\$\(mktemp -d\)|ln -s .*|wandb leet .*": "needs a terminal; test_wandb_end_to_end.py runs the line in one",
    r"python train\.py .* sweep\.name=table2": "needs the page's config file; test_studies.py writes it, runs the line",
    r"python train\.py -m (group=option|key=value|\+sweep=…)": "stands for any",
    r"python train\.py -m (num_gpus=0\.25|address=null)": "leaves out the node; test_engines.py gives the whole keys",
    r"python train\.py -m model=stem3x3,optim\.lr=0\.02": "is the name of a job",
    r"python train\.py -m sweep\.rerun=failed": "needs a sweep; test_faults.py gives it one",
    r"python train\.py -m .*hydra\.launcher\.ray\.init\..*": "needs a running Ray; test_public_launchers.py starts one",
    r"python train\.py -m hydra/launcher=basic": "is Hydra's own launcher; test_options.py runs jobs with it",
}
"""Commands that are not run here, as regular expressions, each with the reason."""

PLACEHOLDERS = {
    "SWEEP_DIR": "multirun/small",
    "SWEEP_A": "multirun/small",
    "SWEEP_B": "multirun/other",
    "JOB_DIR": "outputs/single",
    "RECORD_DIR": "multirun/records/elsewhere",
    "multirun/report_ablation": "multirun/small",
    "multirun/records/report_ablation": "multirun/records/elsewhere",
}

SHELL = ("", "bash", "sh", "console")
"""Languages of fenced blocks that hold commands."""

SETTING = re.compile(r"`('?\+?[a-z][\w./]+=[^`]+)`")
CONF_EXAMPLE = re.compile(r" *(\w+): .*# .*such as (.*)")
INLINE = re.compile(r"`((?:python|pip|pytest|wandb|sbatch|mnist-resnet) [^`]+)`")


@dataclass(frozen=True)
class Command:
    """A command, without `&&` and comment, and where it is written."""

    text: str
    where: str


def commands(page: Path) -> Iterator[Command]:
    """Yield the commands of a page, from its code blocks and from its running text."""
    for number, line in _lines(page):
        for part in line.split(" && "):
            yield Command(re.sub(r"\s+# .*", "", part).strip(), f"{page.name}:{number}")


def _lines(page: Path) -> Iterator[tuple[int, str]]:
    fence: str | None = None
    whole, start, before = "", 0, ""
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if match := re.match(r"\s*```(\w*)", line):
            fence = None if fence is not None else match[1]
        elif fence in SHELL or (fence is None and line.startswith("    ") and (whole or _opens_code(before))):
            start = start if whole else number
            whole += line.strip().removesuffix("\\").strip() + " "
            if not line.endswith("\\"):
                yield start, whole.strip()
                whole = ""
        elif fence is None:
            yield from ((number, inline) for inline in INLINE.findall(line))
            yield from ((number, _as_command(setting)) for setting in SETTING.findall(line) if "…" not in setting)
        before = line


def _opens_code(before: str) -> bool:
    return not before.strip() or before.startswith("    ")


def _as_command(setting: str) -> str:
    """Return a command with a setting as it stands in running text, and with what makes it valid."""
    if setting.lstrip("'").startswith("hydra.launcher."):
        return _launch(_quoted(setting))
    if setting.startswith("sweep.seeds="):
        return f"python train.py +sweep=lean_ablation {setting}"
    if setting == "sweep.detach=true":
        return f"python train.py -m hydra/launcher=workers {setting}"
    if "(" in setting and not re.search(r"=\W?(range|sort|shuffle|glob)\(", setting):
        return f"python train.py -m hydra/sweeper=search data.val_size=5000 {setting}"
    if re.match(r"\+?hydra[./]sweeper|sweep\.(trials|objective)", setting):
        search = "" if setting == "hydra/sweeper=search" else "hydra/sweeper=search "
        return f"python train.py -m {search}data.val_size=5000 optim.lr='interval(0.1,0.2)' {setting}"
    return f"python train.py -m {_quoted(setting)}"


def _quoted(setting: str) -> str:
    """Return a setting with shell quotes where braces or spaces need them."""
    return setting if "'" in setting or not re.search(r"[{} ]", setting) else f"'{setting}'"


def commands_of_conf() -> Iterator[Command]:
    """Yield a command for each example in the comments of `conf/hydra/launcher/workers.yaml`."""
    file, node = CHECKOUT / "conf" / "hydra" / "launcher" / "workers.yaml", "hydra.launcher"
    for number, line in enumerate(file.read_text().splitlines(), 1):
        if section := re.match(r"(\w+): #", line):
            node = f"hydra.launcher.{section[1]}"
        if example := CONF_EXAMPLE.match(line):
            setting = f"{node}.{example[1]}={example[2]}"
            yield Command(_launch(f'"{setting}"'), f"{file.name}:{number}")


def _launch(setting: str) -> str:
    """Return a sweep's command with a launcher's setting, and with the engine that reads it."""
    engine = re.match(r"\W?hydra\.launcher\.(slurm|ray)\.", setting)
    return (
        f"python train.py -m hydra/launcher=workers {f'hydra.launcher.engine={engine[1]} ' if engine else ''}{setting}"
    )


def commands_of_help() -> Iterator[Command]:
    """Yield the examples of `python train.py --help`, each of which is followed by what it does."""
    text = (CHECKOUT / "conf" / "hydra" / "help" / "train.yaml").read_text()
    for example in re.findall(r"^ +(python train\.py.*?)  ", text, re.MULTILINE):
        yield Command(example, "train.py --help")


FOUND = [*(command for page in PAGES for command in commands(page)), *commands_of_help(), *commands_of_conf()]
COMMANDS = list({command.text: command for command in FOUND}.values())


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A place with a finished run, `outputs/single`, and a finished sweep, `multirun/small`."""
    place = make_place(tmp_path_factory.mktemp("finished"))
    single = [override for override in place.common if not override.startswith("sweep.keep")]
    swept = ("model=stem3x3,stem7x7", "optim.lr=0.02,0.001", "trainer.epochs=1")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(place.folder)
        for words in ([*single, "hydra.run.dir=outputs/single"], place.sweep("small", *swept)):
            monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
            monkeypatch.setattr(sys, "argv", ["train.py", *words])
            runpy.run_path(str(CHECKOUT / "train.py"), run_name="__main__")
    return place


@pytest.fixture
def place(tmp_path: Path, finished: Place) -> Place:
    """A folder such as the pages' reader has: the project's tests, a finished search, and the picture of a digit."""
    (tmp_path / "tests").symlink_to(CHECKOUT / "tests")
    (tmp_path / "examples").symlink_to(CHECKOUT / "examples")
    best = tmp_path / "multirun" / "lr_search" / "experiment" / "best.yaml"
    best.parent.mkdir(parents=True)
    best.write_text("# @package _global_\noptim:\n  lr: 0.0123\n")
    picture = Image.new("L", (60, 60), 255)
    ImageDraw.Draw(picture).line((30, 10, 30, 50), fill=0, width=6)
    picture.save(tmp_path / "photo.png")
    return Place(tmp_path, finished.images)


def add_finished(place: Place, finished: Place) -> None:
    """Add the finished run, and two copies of the finished sweep."""
    (place.folder / "outputs").symlink_to(finished.folder / "outputs")
    for name in ("small", "other"):
        shutil.copytree(finished.folder / "multirun" / "small", place.folder / "multirun" / name)


def add_record(place: Place) -> None:
    """Add the record of a sweep that was run elsewhere."""
    record = place.folder / PLACEHOLDERS["RECORD_DIR"]
    publish(place.folder / "multirun" / "small", record)
    content = json.loads((record / SWEEP).read_text())
    (record / SWEEP).write_text(json.dumps(content | {"name": record.name}))


@pytest.fixture
def run(place: Place, finished: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> "Run":
    return Run(place, finished, monkeypatch, capfd)


class Run:
    """Runs one command of a page in this process, and fails if the command does."""

    def __init__(
        self, place: Place, finished: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        self._place, self._finished, self._monkeypatch, self._capfd = place, finished, monkeypatch, capfd
        monkeypatch.chdir(place.folder)
        for name in [name for name in os.environ if name.startswith(("WANDB", "MNIST_RESNET"))]:
            monkeypatch.delenv(name)
        monkeypatch.setattr("mnist_resnet.tracking.wandb_view.save_view", lambda *_: ["https://wandb.ai/view"])

    def __call__(self, text: str) -> None:
        words = shlex.split(text)
        while "=" in words[0]:
            name, _, value = words.pop(0).partition("=")
            assert name == "PYTHONPATH", f"{text}: sets {name}, which this test does not know"
            self._monkeypatch.syspath_prepend(str(self._place.folder / value))
        if words[:2] == ["python", "train.py"]:
            self._compose(words[2:])
        elif words[:2] == ["python", "-m"] and words[2].startswith("mnist_resnet."):
            self._run_module(words[2], [_filled_in(word) for word in words[3:]])
        elif words[0] == "mnist-resnet":
            self._run_module("mnist_resnet.command_line", [_filled_in(word) for word in words[1:]])
        elif words[:2] == ["python", "-m"] and words[2].startswith("benchmarks."):
            self._parse(words[2], words[3:])
        else:
            raise AssertionError(f"{text}: no command that this test knows, and not in NOT_RUN")

    def _compose(self, words: list[str]) -> None:
        """Compose and check all jobs of a `train.py` line; of a study one seed."""
        if "--help" not in words and "--cfg" not in words:
            words = ["-m", *(word for word in words if word != "-m")]
            keys = {word.partition("=")[0] for word in words}
            added = ["sweep.dry_run=true", "sweep.try_recipes=false", "sweep.keep=none"]
            added += ["sweep.seeds=1"] if "+sweep" in keys else []
            words += [override for override in added if override.partition("=")[0] not in keys]
        ended: CommandResult = run_in_process(words, self._place, self._monkeypatch, self._capfd)
        assert ended.code == 0, ended.err
        assert not ended.err
        assert re.search(r" queued |trials|== Config groups|_target_", ended.out), ended.out
        if any(word.startswith("hydra.launcher.") for word in words):
            _check_workers([word for word in words if word.startswith("hydra")])

    def _run_module(self, module: str, arguments: list[str]) -> None:
        """Run a command of the package on the finished run or sweep."""
        add_finished(self._place, self._finished)
        if PLACEHOLDERS["RECORD_DIR"] in arguments:
            add_record(self._place)
        self._monkeypatch.setattr(sys, "argv", [module, *arguments])
        code: Any = 0
        try:
            if module == "mnist_resnet.command_line":
                code = command_line.main()
            else:
                _run_as_main(module)
        except SystemExit as end:
            code = end.code
        assert not code, self._capfd.readouterr().err

    def _parse(self, module: str, arguments: list[str]) -> None:
        """Run a module until it has parsed its arguments."""
        parse = argparse.ArgumentParser.parse_args

        def stop(parser: argparse.ArgumentParser, given: list[str] | None = None) -> None:
            parse(parser, given)
            raise _Parsed

        self._monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)
        self._monkeypatch.setattr(sys, "argv", [module, *arguments])
        with pytest.raises(_Parsed):
            _run_as_main(module)


class _Parsed(Exception):
    pass


def _run_as_main(module: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the module may have been imported before
        runpy.run_module(module, run_name="__main__")


def _filled_in(word: str) -> str:
    return PLACEHOLDERS.get(word, word)


def _check_workers(overrides: list[str]) -> None:
    """Check the settings of `hydra/launcher=workers`, which a dry run does not look at."""
    with initialize_config_dir(str(CHECKOUT / "conf"), **VERSION_BASE):
        config = compose("config", overrides=overrides, return_hydra_config=True)
    node = OmegaConf.to_container(config.hydra.launcher)
    assert isinstance(node, dict)
    check_launcher({str(key): value for key, value in node.items() if key != "_target_"})


def _is_run(command: Command) -> bool:
    return not any(re.fullmatch(pattern, command.text) for pattern in NOT_RUN)


@pytest.mark.parametrize(
    "command", [pytest.param(command.text, id=command.where) for command in COMMANDS if _is_run(command)]
)
def test_command_works(command: str, run: Run) -> None:
    run(command)


@pytest.mark.parametrize(
    "broken",
    [
        "python train.py optim.lrr=0.02",
        "python train.py -m optim.lr=0.02,high",
        "python train.py -m hydra/sweeper=search optim.lr='interval(0.1)' data.val_size=5000",
        "python train.py -m seed=1,2 hydra/launcher=workers hydra.launcher.workers=many",
        "python -m mnist_resnet.compare SWEEP_DIR --bye model",
        "python -m mnist_resnet.compare NO_SUCH_DIR",
        "python -m benchmarks.throughput --devise cpu",
        "python -m mnist_resnet.no_such_command SWEEP_DIR",
        "make train",
    ],
)
def test_broken_command_is_noticed(broken: str, run: Run) -> None:
    with pytest.raises((Exception, SystemExit, pytest.fail.Exception)):
        run(broken)


def test_each_reason_for_not_running_is_used() -> None:
    texts = [command.text for command in COMMANDS]
    assert [pattern for pattern in NOT_RUN if not any(re.fullmatch(pattern, text) for text in texts)] == []


def test_extras_are_those_of_the_project() -> None:
    known = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = {extra for page in PAGES for extra in re.findall(r"\.\[([\w-]+)\]", page.read_text())}
    assert named <= known.keys()


def test_python_in_the_pages_runs(place: Place, finished: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    add_finished(place, finished)
    monkeypatch.chdir(place.folder)
    blocks = [block for page in PAGES for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)]
    assert blocks
    for block in blocks:
        for name, real in PLACEHOLDERS.items():
            block = block.replace(name, real)
        exec(compile(block, "page", "exec"), {})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"(?:\]\(|src=\")([^)\"]+)", _prose(page)):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        assert not anchor or anchor in _anchors(file), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_files_and_tests_exist(page: Path) -> None:
    folders = "mnist_resnet|tests|conf|benchmarks|hydra_plugins|multirun/records|docs"
    for path, test in re.findall(rf"`((?:{folders})/[^`:… ]*)(?:::(\w+))?`", _prose(page)):
        assert (CHECKOUT / path).exists(), path
        assert not test or f"def {test}(" in (CHECKOUT / path).read_text(), f"{path}::{test}"


def test_every_promise_of_reliability_names_its_test() -> None:
    tables = re.findall(r"(?:^\|.*\n)+", _prose(CHECKOUT / "docs" / "reliability.md"), re.MULTILINE)
    assert len(tables) >= 4
    for table in tables:
        header, _, *rows = (line.strip("| ").split(" | ") for line in table.splitlines())
        assert header[-1] == "Test", f"a line without a table: {header[0]}"
        for row in rows:
            assert len(row) == len(header), row
            assert re.search(r"`tests/\w+/test_\w+\.py::test_\w+`", row[-1]), f"names no test: {row[0]}"


def _prose(page: Path) -> str:
    return re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)


def _anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    headings = re.findall(r"^#+ (.*)$", _prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_readme_is_short_and_starts_with_the_two_commands() -> None:
    lines = README.read_text().splitlines()
    assert len(lines) <= 150
    assert [line for line in lines if line.startswith("    ")][:2] == [
        "    pip install -e . && python train.py -m optim.lr=0.02,0.001 model=stem3x3,stem7x7 scale=quick",
        "    pip install -e '.[test]' && pytest",
    ]


def test_readme_lists_every_group_and_option() -> None:
    rows = dict(re.findall(r"^\| `(\S+)`[^|]* \| (.*) \|$", README.read_text(), re.MULTILINE))
    for group in (folder for folder in (CHECKOUT / "conf").iterdir() if folder.is_dir() and folder.name != "hydra"):
        options = {file.stem for file in group.glob("*.yaml")}
        if group.name == "experiment":  # too many to list: the first and last row, and the others
            options = {"report_a_stem7x7", "report_e_30_epochs", "lean", "lean99"} & options
        assert {option for option in options if f"`{option}`" not in rows[group.name]} == set(), group.name


def test_readme_and_the_page_on_the_report_show_one_table() -> None:
    measured = [line for line in README.read_text().splitlines() if re.match(r"\| [A-E]: ", line)]
    assert len(measured) == 5
    assert set(measured) <= set((CHECKOUT / "docs" / "report.md").read_text().splitlines())
