"""The study: Optuna's record of the trials, in a file of the sweep folder that all workers share."""

import hashlib
import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from hydra.errors import HydraException
from hydra.utils import instantiate
from optuna.pruners import BasePruner, NopPruner
from optuna.samplers import BaseSampler, RandomSampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial

from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import UnreadableFolder
from mnist_resnet.jobs.objective import direction
from mnist_resnet.search.space import Parameter

JOURNAL = "study.journal"
NAME = "search"
"""Of the study in its journal; the folder's own may change."""

GRID = "optuna.samplers.GridSampler"
ONE_SEED = frozenset([GRID, "optuna.samplers.QMCSampler", "optuna.samplers.CmaEsSampler"])
"""Samplers that go through one sequence by the trial's number, or add it to the seed: it must stay the same."""

TRUSTED_COMPONENTS = frozenset(
    [
        GRID,
        "optuna.samplers.TPESampler",
        "optuna.samplers.RandomSampler",
        "optuna.pruners.HyperbandPruner",
        "optuna.pruners.MedianPruner",
        "optuna.pruners.NopPruner",
        "optuna.pruners.SuccessiveHalvingPruner",
    ]
)
"""Samplers and pruners that a recipe from elsewhere may name."""

GRACE = 30
"""Seconds of a journal that does not change after which its lock is taken from whoever holds it."""

JOB, REMARK = "job", "remark"
"""What a trial's user attributes say: its job folder's name; why it has none."""


def quiet_optuna() -> None:
    """Leave the telling to the screen."""
    optuna.logging.set_verbosity(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"optuna\..*")


def open_storage(folder: Path) -> JournalStorage:
    """The journal in a sweep folder; made if it is missing.

    Raises:
        UnreadableFolder: it is damaged.
    """
    file = folder / JOURNAL
    _cut_torn_line(file)
    try:
        return JournalStorage(JournalFileBackend(str(file), lock_obj=_lock(file)))
    except (ValueError, KeyError, TypeError) as error:
        raise UnreadableFolder(f"{file}: can't be read ({' '.join(str(error).split())})") from None


def _cut_torn_line(file: Path) -> None:
    """A writer that was killed, or a full disk, leaves half a line; the next one written would be glued to it."""
    if not file.exists():
        return
    lock = _lock(file)
    lock.acquire()
    try:
        content = file.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            with file.open("r+b") as opened:
                opened.truncate(whole)
    finally:
        lock.release()


def _lock(file: Path) -> JournalFileSymlinkLock:
    """The journal's lock, a link to it: a relative one would dangle, and never be taken from a dead holder."""
    return JournalFileSymlinkLock(str(file.absolute()), grace_period=GRACE)


def make_study(storage: JournalStorage, metric: str) -> None:
    """Begin the study in a new journal."""
    if not any(study.study_name == NAME for study in storage.get_all_studies()):
        optuna.create_study(storage=storage, study_name=NAME, direction=direction(metric), load_if_exists=True)


def load_study(storage: JournalStorage, sampler: BaseSampler | None = None, pruner: BasePruner | None = None) -> Study:
    """The study with these hands; without, it is there to be read and written."""
    return optuna.load_study(
        storage=storage, study_name=NAME, sampler=sampler or RandomSampler(), pruner=pruner or NopPruner()
    )


def build_sampler(node: Mapping[str, Any], space: Sequence[Parameter], number: int) -> BaseSampler:
    """The sampler for the trial of this number.

    It is built anew for each trial, with a seed of the trial's own: whichever worker asks, of equal histories comes
    the same proposal, and two that ask at once don't draw the same.

    Raises:
        UsageError: it can't be built.
    """
    content = dict(node)
    if content["_target_"] == GRID:
        content["search_space"] = {one.name: one.points() for one in space}
    elif isinstance(content.get("seed"), int) and content["_target_"] not in ONE_SEED:
        content["seed"] = _seed(content["seed"], number)
    sampler: BaseSampler = _built("sampler", content, BaseSampler)
    return sampler


def grid_size(node: Mapping[str, Any], space: Sequence[Parameter]) -> int | None:
    """How many trials the sampler has at most; None: any number."""
    if node["_target_"] != GRID:
        return None
    size = 1
    for one in space:
        size *= len(one.points())
    return size


def build_pruner(node: Mapping[str, Any], epochs: int) -> BasePruner:
    """The pruner; where it asks for the longest trial and is told `auto`, it is told that trial's epochs.

    Raises:
        UsageError: it can't be built.
    """
    content = dict(node)
    if content.get("max_resource") == "auto":
        content["max_resource"] = epochs
    pruner: BasePruner = _built("pruner", content, BasePruner)
    return pruner


def _built(name: str, node: dict[str, Any], kind: type[Any]) -> Any:
    shown = f"hydra.sweeper.{name}._target_={node['_target_']}"
    try:
        built = instantiate(node, _convert_="all")
    except (HydraException, ImportError) as error:
        cause = error.__cause__ or error
        raise UsageError(f"{shown}: {' '.join(str(cause).split())}") from None
    if not isinstance(built, kind):
        raise UsageError(f"{shown}: is no {kind.__name__} of Optuna's")
    return built


def _seed(seed: int, number: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed} {number}".encode()).digest()[:4])


def propose(study: Study, space: Sequence[Parameter], unborn: FrozenTrial | None) -> tuple[int, dict[str, Any]]:
    """Ask for a trial's values, and round them.

    Args:
        study: with the sampler for this trial.
        space: what is searched.
        unborn: a trial that a process began to ask for and died; it is completed. None: ask for a new one.

    Returns:
        The trial's id in the storage, and its values by parameter name.
    """
    trial = Trial(study, unborn._trial_id) if unborn else study.ask()
    values: dict[str, Any] = {}
    for one in space:
        proposed = one.suggested(trial)
        values[one.name] = one.rounded(proposed)
        if values[one.name] != proposed:
            # What is trained is what the sampler learns of.
            study._storage.set_trial_param(
                trial._trial_id, one.name, one.distribution.to_internal_repr(values[one.name]), one.distribution
            )
    return trial._trial_id, values


def reporting_trial(storage: JournalStorage, number: int, pruner: BasePruner) -> Trial:
    """A trial to report to, and to ask whether it should be pruned; also one that another process began."""
    study = load_study(storage, pruner=pruner)
    return Trial(study, storage.get_trial_id_from_study_id_trial_number(study._study_id, number))
