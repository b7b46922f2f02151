"""Checks a single run before Hydra creates its folder. Sweeps check their own jobs."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from mnist_resnet.errors import UsageError

if TYPE_CHECKING:
    from mnist_resnet.config.job_spec import JobSpec

SWEEP_NODES = ("hydra.sweep.", "hydra.sweeper.", "hydra.launcher.")
"""Nodes of Hydra's that a single run does not read."""

SWEEP_ONLY_SETTINGS: dict[str, Any] = {"name": None, "exclude": [], "rerun": [], "dry_run": False, "detach": False}
"""Keys of `sweep` that a single run does not have, with their default values."""


def check_run(config: DictConfig) -> None:
    """Check a composed config: first what was typed, which is fast, then what requires PyTorch.

    Raises:
        UsageError: the config or the command line is invalid.
    """
    from mnist_resnet.config.compose import as_hydras_config, naming_the_file

    job = _checked_job(config)
    with as_hydras_config(config):
        folder = Path(config.hydra.run.dir)
    with naming_the_file(config, job.overrides):
        _check_folder(folder, job)


def _checked_job(config: DictConfig) -> "JobSpec":
    from mnist_resnet.config.combinations import refuse_search_settings
    from mnist_resnet.config.compose import resolve_job
    from mnist_resnet.config.defaults_lists import PLUGINS, refuse_ignored_choices
    from mnist_resnet.config.hydra_keys import refuse_unread_hydra_keys
    from mnist_resnet.config.missing_values import asked_values, refuse_unanswered
    from mnist_resnet.config.rerun import is_rerun
    from mnist_resnet.config.sweep_grammar import refuse_inner_sweep, refuse_repeated_keys, sweep_parser
    from mnist_resnet.config.typed_overrides import typed_overrides
    from mnist_resnet.config.validation_errors import as_typed
    from mnist_resnet.config.yaml_values import refuse_ambiguous_values
    from mnist_resnet.sweeps.added_seeds import refuse_without_added_seeds

    overrides = typed_overrides(config, "task")
    if not is_rerun():
        refuse_repeated_keys(one.partition("=")[0] for one in [*overrides, *typed_overrides(config, "hydra")])
    for parsed in sweep_parser().parse_overrides([*overrides, *typed_overrides(config, "hydra")]):
        refuse_inner_sweep(parsed)
    refuse_search_settings(overrides)
    if config.sweep.get("seeds") != "auto":
        refuse_without_added_seeds(overrides)
    for override in typed_overrides(config, "hydra"):
        key = override.lstrip("+~").partition("=")[0]
        if key in PLUGINS or f"{key}.".startswith(SWEEP_NODES):
            raise UsageError(f"{override}: is for a sweep; add -m, or leave it out")
    refuse_ambiguous_values(config)
    refuse_ignored_choices(config)
    refuse_unread_hydra_keys(config)
    refuse_unanswered(asked_values(config), [*overrides, *typed_overrides(config, "hydra")])
    job = resolve_job(config, overrides, swept=[])
    for key, default in SWEEP_ONLY_SETTINGS.items():
        if job.config["sweep"][key] != default:
            value = as_typed(job.config["sweep"][key])
            raise UsageError(f"sweep.{key}={value}: is for a sweep; add -m, or leave it out")
    return job


def _check_folder(folder: Path, job: "JobSpec") -> None:
    from mnist_resnet.jobs.disk_space import check_disk_space
    from mnist_resnet.jobs.preflight import check_writable, preflight
    from mnist_resnet.sweeps.recipes import try_recipe_of_run

    check_writable("hydra.run.dir", folder)
    _refuse_links(folder)
    _check_no_other_job(folder, job)
    preflight([job.config])
    check_disk_space(folder, [job])
    if job.config["sweep"]["try_recipes"]:
        try_recipe_of_run(job)


def _refuse_links(folder: Path) -> None:
    from mnist_resnet.jobs.lease import refuse_job_links
    from mnist_resnet.stored_file import RefusedFile

    try:
        refuse_job_links(folder.resolve())
    except RefusedFile as error:
        raise UsageError(f"hydra.run.dir={folder}: no job can run there ({error.strerror})") from None


def _check_no_other_job(folder: Path, job: "JobSpec") -> None:
    from mnist_resnet.jobs.result import read_result

    result = read_result(folder)
    if result is not None and result["signature"] != job.as_recorded(result).signature:
        raise UsageError(f"hydra.run.dir={folder}: holds another job, {result['name']}; choose another folder")
