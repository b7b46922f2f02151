"""The environment in which an array is submitted: the user's, without what an outer Slurm job left in it."""

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

CLUSTER_VARIABLES = ("SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_CLUSTERS", "SLURM_JWT")
"""Variables that address the cluster, and say nothing about a job."""
JOB_PREFIXES = ("SLURM_", "SLURMD_", "SRUN_", "SBATCH_CPU_BIND", "SBATCH_MEM_BIND", "PMI_", "PMIX_")
"""Prefixes of the variables that Slurm sets in a job. A job submitted from there would inherit them all."""
DEVICE_VARIABLES = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL", "ZE_AFFINITY_MASK")
"""Variables in which Slurm lists a job's GPUs."""
OTHER_NAMES = {
    "array": ("SBATCH_ARRAY_INX",),
    "mem": ("SBATCH_MEM_PER_NODE", "SBATCH_MEM_PER_CPU", "SBATCH_MEM_PER_GPU"),
    "requeue": ("SBATCH_NO_REQUEUE",),
    "time": ("SBATCH_TIMELIMIT",),
}
"""Variables that set or contradict an option of sbatch, beside `SBATCH_` and the option's name."""
ALWAYS_GIVEN = ("array", "job-name", "open-mode", "signal", "wckey")
"""Options that submitit writes into each script."""


@contextmanager
def submission_environment(options: Collection[str]) -> Iterator[None]:
    """Set aside variables that would change or break the submitted jobs; restore them at the end.

    Args:
        options: The options of sbatch that the launch sets.
    """
    aside = {name: os.environ.pop(name) for name in unwanted(os.environ, options)}
    try:
        yield
    finally:
        os.environ.update(aside)


def unwanted(environment: Mapping[str, str], options: Collection[str]) -> list[str]:
    """Return the names of variables in `environment` that must not reach sbatch.

    These are the variables of an outer job (`salloc`, `sbatch`), and variables that take precedence over options of
    the script, such as `SBATCH_PARTITION` over a partition that the launch sets. A user's other defaults stay.
    """
    overriding: set[str] = set()
    for option in (*ALWAYS_GIVEN, *options):
        overriding |= {f"SBATCH_{option.replace('-', '_').upper()}", *OTHER_NAMES.get(option, ())}
    is_in_job = "SLURM_JOB_ID" in environment or "SLURM_JOBID" in environment
    return [name for name in environment if name in overriding or (is_in_job and _belongs_to_job(name))]


def _belongs_to_job(name: str) -> bool:
    return name in DEVICE_VARIABLES or (name.startswith(JOB_PREFIXES) and name not in CLUSTER_VARIABLES)
