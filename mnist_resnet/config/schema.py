"""Config schema: the type, range and meaning of every key, checked when a config is composed.

A node with a `_target_` may have further keys, which are arguments of the object it builds. The keys declared for a
group have the same names and types in each of the group's options.
"""

import re
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, field_validator, model_validator

from mnist_resnet.config.metric import is_image_classifier
from mnist_resnet.config.objective import CONSTRAINT
from mnist_resnet.config.signature import NEUTRAL
from mnist_resnet.config.validation_errors import first_problem
from mnist_resnet.errors import UsageError

Fraction = Annotated[float, Field(ge=0, lt=1)]


def _check_device(key: str, device: str) -> str:
    """Check the device's form; whether the machine has it is checked later, by PyTorch."""
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", device):
        raise ValueError(f"{key}={device}: must be auto, cpu, mps, cuda or cuda:N")
    return device


class Section(BaseModel):
    """A node with a fixed set of keys. Types are strict: `"3"` is not a number."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Component(Section):
    """A node that builds an object; keys not declared here are arguments of its `_target_`."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True, allow_inf_nan=False)
    target: str = Field(alias="_target_", min_length=1)
    settings: ClassVar[frozenset[str]] = frozenset()
    """Keys that the program reads itself: no arguments."""

    def node(self) -> dict[str, Any]:
        """Return the `_target_` and its arguments, as they were given."""
        given = self.model_dump(by_alias=True, exclude_unset=True)
        return {key: value for key, value in given.items() if key not in self.settings}


class Model(Component):
    """Any network: builds a module from images [batch, channels, height, width] to logits [batch, classes]."""

    width: int | None = Field(None, ge=1)
    block_norm: Literal["none", "after_repeats", "after_every"] | None = None


class ReportNetwork(Model):
    """The report's ResNet: arguments of `mnist_resnet.models.resnet.ResNet`."""

    model_config = ConfigDict(extra="forbid")
    stem: Literal["3x3", "7x7"]
    width: int = Field(ge=1, le=4096)
    blocks: Annotated[list[Annotated[int, Field(ge=1, le=1000)]], Field(min_length=1, max_length=5)]
    block_norm: Literal["none", "after_repeats", "after_every"]
    dropout: Fraction
    channels: int = Field(ge=1)
    classes: int = Field(ge=2)


class LeanNetwork(Model):
    """A small plain network: arguments of `mnist_resnet.models.lean.LeanNetwork`."""

    model_config = ConfigDict(extra="forbid")
    width: int = Field(ge=1, le=4096)
    growth: float = Field(ge=0.1, le=10)
    blocks: Annotated[list[Annotated[int, Field(ge=1, le=1000)]], Field(min_length=1, max_length=5)]
    kernel: int = Field(ge=1, le=27)
    stem_kernel: int = Field(ge=1, le=27)
    stem_stride: int = Field(ge=1, le=4)
    pool: Literal["max", "average", "stride"]
    head: Literal["max", "average"]
    block_norm: Literal["none", "after_repeats", "after_every"]
    dropout: Fraction
    logit_scale: float = Field(gt=0)
    channels: int = Field(ge=1)
    classes: int = Field(ge=2)

    @model_validator(mode="after")
    def kernels_keep_the_size(self) -> "LeanNetwork":
        """Reject even kernels at stride 1, which would make each feature map one pixel smaller or larger."""
        if self.kernel % 2 == 0:
            raise ValueError(f"model.kernel={self.kernel}: must be odd")
        if self.stem_kernel < self.stem_stride or (self.stem_stride == 1 and self.stem_kernel % 2 == 0):
            raise ValueError(
                f"model.stem_kernel={self.stem_kernel}: must be odd at stride 1, and no less than "
                f"model.stem_stride={self.stem_stride}"
            )
        return self


class Regularization(Section):
    """Regularization against overfitting."""

    model_config = ConfigDict(extra="allow")
    dropout: Fraction


class ParameterGroup(Section):
    """A rule for some of the parameters; keys not declared here are the optimiser's settings for them.

    `parameters` is `vectors` (biases, weights of norms), `matrices`, `kernels` (of convolutions), or a regular
    expression that is searched in the parameters' names.
    """

    model_config = ConfigDict(extra="allow")
    parameters: str = Field(min_length=1)


class Optim(Component):
    """Optimizer: builds a `torch.optim.Optimizer` from the parameters."""

    settings = frozenset({"groups"})
    groups: Annotated[list[ParameterGroup], Field(min_length=1)] | None = None
    partial: Literal[True] = Field(alias="_partial_")
    lr: float = Field(gt=0)
    weight_decay: float | None = Field(None, ge=0)
    momentum: Fraction | None = None
    eps: float | None = Field(None, gt=0)
    betas: Annotated[list[Fraction], Field(min_length=2, max_length=2)] | None = None
    nesterov: bool | None = None
    amsgrad: bool | None = None

    @model_validator(mode="after")
    def nesterov_has_a_momentum(self) -> "Optim":
        """Reject Nesterov without momentum now; PyTorch would only do so once the job runs."""
        if self.nesterov and not self.momentum:
            raise ValueError(f"optim.nesterov=true: needs a momentum above 0, not optim.momentum={self.momentum}")
        return self


class Schedule(Component):
    """Learning-rate schedule: builds a scheduler from an optimizer and, if it takes it, `total_steps`."""

    settings = frozenset({"interval"})
    interval: Literal["step", "epoch"] = "step"
    partial: Literal[True] = Field(alias="_partial_")
    warmup: Fraction | None = None
    final: Fraction | None = None


class Augmentation(Component):
    """Augmentation of training images: builds a function from images to images.

    With `_partial_` it is built from a normalised black pixel, which it fills uncovered areas with.
    """

    partial: Literal[True] | None = Field(None, alias="_partial_")
    pixels: int | None = Field(None, ge=1)
    translate: Annotated[float, Field(ge=0)] | list[float] | None = None
    rotate: float | None = Field(None, ge=0, le=180)
    scale: Fraction | list[float] | None = None
    shear: Annotated[float, Field(ge=0, lt=90)] | list[float] | None = None
    alpha: float | None = Field(None, ge=0)
    sigma: float | None = Field(None, gt=0)


class Loss(Component):
    """Training loss: a callable from logits [batch, classes] and labels [batch] to a scalar."""

    label_smoothing: Fraction | None = None


class WeightAveraging(Component):
    """Weights to evaluate and keep: builds an `averaging.Averaging` from (model, total_steps)."""

    partial: Literal[True] = Field(alias="_partial_")
    decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    share: Annotated[float, Field(gt=0, le=1)] | None = None


class Data(Component):
    """The data set; keys not declared here are arguments of the source that `_target_` names."""

    settings = frozenset(
        (
            "train_size",
            "val_size",
            "test_size",
            "batch_size",
            "test_batch_size",
            "classes",
            "channels",
            "mean",
            "std",
            "balanced",
        )
    )

    train_size: int | None = Field(None, ge=1)
    val_size: int = Field(0, ge=0)
    test_size: int | None = Field(None, ge=1)
    batch_size: int = Field(64, ge=2)
    test_batch_size: int = Field(1000, ge=1)
    balanced: bool = False
    classes: int = Field(10, ge=2)
    channels: int = Field(1, ge=1)
    mean: float | list[float] = 0.1307
    std: Annotated[float, Field(gt=0)] | list[Annotated[float, Field(gt=0)]] = 0.3081

    @model_validator(mode="after")
    def last_batch_is_no_single_image(self) -> "Data":
        """Reject a last batch of one image, on which batch norm can't train if its feature map is 1 × 1."""
        if self.train_size is not None and self.train_size % self.batch_size == 1:
            near = f"{self.train_size - 1} or {self.train_size + 1}" if self.train_size > 1 else "2 or more"
            raise ValueError(
                f"data.train_size={self.train_size}: leaves a last batch of one image at "
                f"data.batch_size={self.batch_size}, on which batch norm can't train; take {near}"
            )
        return self

    @model_validator(mode="after")
    def root_is_a_path(self) -> "Data":
        """Check `root`, which is an argument of the source and therefore not declared here."""
        root = (self.model_extra or {}).get("root")
        if not isinstance(root, str | None):
            raise ValueError(f"data.root={root}: must be a folder's path, or null")
        return self


class TrainingParts(Section):
    """The training step, and the metrics of each evaluation beside loss and accuracy."""

    step: Component | None = None
    metrics: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], Component] = {}


class Trainer(Section):
    """Training settings: length, device, numerics, and intervals of logs and checkpoints."""

    epochs: int = Field(ge=1)
    device: str
    precision: Literal["auto", "fp32", "tf32", "bf16"]
    compile: Literal["auto"] | bool = "auto"  # the default is for sweeps frozen before this key existed
    convolutions: Literal["auto", "pytorch", "winograd"] = "auto"  # the same
    threads: int | None = Field(ge=1)
    log_interval: int = Field(ge=1)
    checkpoint_interval: float = Field(ge=0)
    checkpoint_every: int | None = Field(ge=1)
    detect_anomaly: bool
    profile: bool

    @field_validator("device")
    @classmethod
    def device_is_a_known_kind(cls, device: str) -> str:
        """Check the device's form."""
        return _check_device("trainer.device", device)


class Scale(Section):
    """Scale of a study: a factor on every job's epochs, so that 10 and 30 epochs stay different."""

    epochs: float = Field(gt=0, le=1)


WANDB_TRACKER = "mnist_resnet.tracking.wandb.WandbTracker"
SEVERAL_TRACKERS = "mnist_resnet.tracking.several.SeveralTrackers"


class Tracking(Component):
    """Tracker that mirrors the job folder: a `Tracker`. `SeveralTrackers` has others below it, by name."""

    mode: Literal["auto", "online", "offline"] | None = None
    trackers: "dict[str, Tracking] | None" = None

    @model_validator(mode="after")
    def is_usable(self) -> "Tracking":
        """Reject a list without trackers, and a W&B project that W&B's server would refuse."""
        project = (self.model_extra or {}).get("project")
        if self.target == SEVERAL_TRACKERS and not self.trackers:
            raise ValueError("tracking.trackers: has none; add some, as in docs/extending.md, or take tracking=none")
        if self.target == WANDB_TRACKER and isinstance(project, str) and re.search(r"[/\\#?%:]", project):
            team, slash, name = project.partition("/")
            instead = f"; take tracking.entity={team} tracking.project={name}" if slash else ""
            raise ValueError(f"tracking.project={project}: W&B takes no / \\ # ? % : in it{instead}")
        return self


class Sweep(Section):
    """Settings of the sweep as a whole; none of them changes a job's results."""

    name: str | None
    design: Literal["all", "one_change"] = "all"
    exclude: list[str]
    rerun: list[str | int] | Literal["failed", "all"]
    dry_run: bool
    on_failure: Literal["continue", "stop"]
    try_recipes: bool = True
    retries: int = Field(2, ge=0)  # the default is for sweeps frozen before this key existed
    detach: bool = False
    keep: Literal["checkpoint", "model", "none"]
    suffix: str = ""
    trials: int = Field(20, ge=1)
    objective: str | list[str] | None = None
    objective_epoch: Literal["last", "best"] = "last"
    objective_on_test: bool = False
    constraints: list[str] = []
    seeds: Annotated[int, Field(ge=1)] | Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]

    @field_validator("objective")
    @classmethod
    def several_objectives_differ(cls, objective: str | list[str] | None) -> str | list[str] | None:
        """Reject a list of one objective or of equal ones, which trades nothing off."""
        if isinstance(objective, list) and (len(objective) < 2 or len(set(objective)) < len(objective)):
            raise ValueError(f"sweep.objective={objective}: a list must have two or more, and each once")
        return objective

    @field_validator("constraints")
    @classmethod
    def constraints_are_limits(cls, constraints: list[str]) -> list[str]:
        """Check the form of each constraint."""
        for constraint in constraints:
            if not CONSTRAINT.fullmatch(constraint):
                raise ValueError(
                    f"sweep.constraints={constraint}: must be a metric, <= or >=, and a number, as in "
                    f"'training_seconds<=60' or 'val_accuracy>=0.9'"
                )
        return constraints


class Slurm(Section):
    """Resources of each worker in a Slurm job array; null means the cluster's default."""

    partition: str | None
    account: str | None
    qos: str | None
    constraint: str | None
    time: int | str | None
    gpus_per_worker: int = Field(ge=0)
    cpus_per_worker: int = Field(ge=1)
    memory: int | str | None
    grace: int = Field(ge=1, le=65535)
    setup: list[str]
    parameters: dict[str, str | int | float | bool] | None

    @field_validator("time")
    @classmethod
    def time_has_slurm_format(cls, time: int | str | None) -> int | str | None:
        """Reject other formats, which Slurm itself may accept: it takes `soon` as no limit."""
        if time is not None and not re.fullmatch(r"[1-9]\d*|(\d+-)?\d+(:\d\d){1,2}|\d+-\d+", str(time)):
            raise ValueError(f"hydra.launcher.slurm.time={time}: must be minutes, or as in 2:30:00 or 1-12:00:00")
        return time

    @field_validator("memory")
    @classmethod
    def memory_has_slurm_unit(cls, memory: int | str | None) -> int | str | None:
        """Check the unit; a plain number means megabytes, 0 all of the node's memory."""
        if memory is not None and not re.fullmatch(r"\d+[KMGT]?", str(memory)):
            raise ValueError(f"hydra.launcher.slurm.memory={memory}: must be a number and K, M, G or T, as in 8G")
        return memory


class Ray(Section):
    """Ray cluster, and resources of each worker, by Ray's own names."""

    address: Annotated[str, Field(min_length=1)] | None
    num_cpus: float = Field(ge=0)
    num_gpus: float = Field(ge=0)
    resources: dict[str, Annotated[float, Field(gt=0)]] | None


class Workers(Section):
    """Settings of `hydra/launcher=workers`: engine, number of workers, and resources of each."""

    engine: Literal["local", "slurm", "ray"]
    workers: int | None = Field(ge=1)
    jobs_per_device: int = Field(ge=1)
    slurm: Slurm
    ray: Ray


class Claim(Section):
    """A published result for this config, and the original wording."""

    metric: str
    epoch: Literal["last", "best"] = "last"
    value: float | None
    approximate: bool = False  # says nothing more: every figure counts as rounded to the digits in `words`
    words: str


class Comparison(Section):
    """A claim that one level of a factor is better than another, and the measure that decides it."""

    question: str
    factor: str
    better: str | int | float | bool | None
    worse: str | int | float | bool | None
    measure: str
    words: str


class MetricDeclaration(Section):
    """What a reported metric means; see `mnist_resnet.config.metric.Metric`."""

    better: Literal["higher", "lower"] | None = None
    scale: Literal["share", "count", "seconds", "positive", "free"] = "free"
    unit: str = ""
    pick: Literal["last", "best"] = "last"
    heading: str = ""

    @model_validator(mode="after")
    def best_has_a_direction(self) -> "MetricDeclaration":
        """Reject a best value where nothing says which one that is."""
        if self.pick == "best" and self.better is None:
            raise ValueError("metrics: pick=best needs a direction; add better: higher or better: lower to it")
        return self


KINDS_OF_MODEL = {
    "mnist_resnet.models.lean.LeanNetwork": "lean",
    "mnist_resnet.models.resnet.ResNet": "report",
}


def _kind_of_model(model: Any) -> str:
    # Pydantic asks for the kind of a node that it validates, and of a validated one that it dumps.
    target = model.get("_target_") if isinstance(model, dict) else getattr(model, "target", None)
    return KINDS_OF_MODEL.get(str(target), "other")


class Task(Component):
    """The training function of a task; keys not declared here are its arguments."""

    device: str = "auto"
    checkpoint_interval: float = Field(60.0, ge=0)
    checkpoint_every: int | None = Field(None, ge=1)

    @field_validator("device")
    @classmethod
    def device_is_a_known_kind(cls, device: str) -> str:
        """Check the device's form."""
        return _check_device("task.device", device)


class JobConfig(BaseModel):
    """What the config of every job has, whatever its task; what else there is, its task reads."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True, allow_inf_nan=False)

    seed: int = Field(ge=0, lt=2**32)
    task: Task | None = None
    tracking: Tracking
    sweep: Sweep
    metrics: dict[str, MetricDeclaration] = {}
    comparisons: list[Comparison] = []
    claims: list[Claim] = []

    @model_validator(mode="after")
    def metrics_are_known(self) -> "JobConfig":
        """Check the names of metrics: what is claimed, and what a search is judged by."""
        own = [name for name, metric in self.metrics.items() if metric.better]
        objectives, claimed = [*self.objectives, *own], [*self.claimed_metrics, *self.metrics]
        # The seconds of training alone are no objective, only something to trade off or to limit.
        traded = [*objectives, *(["training_seconds"] if self.objectives else [])]
        named = self.sweep.objective
        several = named if isinstance(named, list) else []
        judged = [("objective", name, traded) for name in several]
        judged += [("objective", named, objectives)] if isinstance(named, str) else []
        judged += [("constraints", re.split("[<>]", limit)[0].strip(), traded) for limit in self.sweep.constraints]
        for key, name, known in judged:
            if name not in known:
                raise ValueError(_unknown_metric(f"sweep.{key}", name, known))
        for number, claim in enumerate(self.claims):
            if claim.metric not in claimed:
                raise ValueError(_unknown_metric(f"claims.{number}.metric", claim.metric, claimed))
        return self

    @property
    def objectives(self) -> tuple[str, ...]:
        """Metrics of the task itself that a search may be judged by."""
        return ()

    @property
    def claimed_metrics(self) -> tuple[str, ...]:
        """Metrics of the task itself of which figures may be claimed."""
        return ()

    @property
    def checkpoint_settings(self) -> tuple[float, int | None]:
        """Seconds between two checkpoints, and steps, if a number of steps is set."""
        assert self.task is not None
        return self.task.checkpoint_interval, self.task.checkpoint_every

    @property
    def epochs(self) -> int | None:
        """Number of epochs that the job trains; None if only its task knows."""
        return None


def _unknown_metric(key: str, name: str, known: Sequence[str]) -> str:
    if known:
        return f"{key}={name}: must be {', '.join(known[:-1])}{' or ' * (len(known) > 1)}{known[-1]}"
    return f"{key}={name}: no such metric; declare it under `metrics`, with what is better: higher or lower"


class Config(JobConfig):
    """The complete config of an image classifier's job; groups that a user adds are allowed and not checked."""

    # regularization and data come first: the model refers to them, and an error must name the key that was set.
    seed: int = Field(ge=0, lt=2**32)
    regularization: Regularization
    data: Data
    model: Annotated[
        Annotated[ReportNetwork, Tag("report")] | Annotated[LeanNetwork, Tag("lean")] | Annotated[Model, Tag("other")],
        Discriminator(_kind_of_model),
    ]
    optim: Optim
    schedule: Schedule
    # The defaults are for sweeps frozen before these groups existed.
    augmentation: Augmentation = Augmentation.model_validate(NEUTRAL["augmentation"])
    loss: Loss = Loss.model_validate(NEUTRAL["loss"])
    averaging: WeightAveraging = WeightAveraging.model_validate(NEUTRAL["averaging"])
    training: TrainingParts = TrainingParts()
    trainer: Trainer
    scale: Scale

    @model_validator(mode="after")
    def network_fits_the_images(self) -> "Config":
        """Check channels and classes of our own networks; a user's network has its own arguments."""
        model = self.model
        if isinstance(model, ReportNetwork | LeanNetwork) and model.channels != self.data.channels:
            raise ValueError(f"model.channels={model.channels}: the images have data.channels={self.data.channels}")
        if isinstance(model, ReportNetwork | LeanNetwork) and model.classes < self.data.classes:
            raise ValueError(
                f"model.classes={model.classes}: must be data.classes={self.data.classes} or more, one for each label"
            )
        return self

    @property
    def objectives(self) -> tuple[str, ...]:
        """Metrics that a search may be judged by."""
        return ("val_accuracy", "val_loss", "test_accuracy", "test_loss")

    @property
    def claimed_metrics(self) -> tuple[str, ...]:
        """Metrics of which figures may be claimed."""
        return ("train_accuracy", "test_accuracy", "train_loss", "test_loss")

    @property
    def checkpoint_settings(self) -> tuple[float, int | None]:
        """`trainer.checkpoint_interval` and `trainer.checkpoint_every`."""
        return self.trainer.checkpoint_interval, self.trainer.checkpoint_every

    @property
    def epochs(self) -> int:
        """Number of epochs that the job trains: `trainer.epochs` times the scale, at least one."""
        return epochs_at(self.trainer.epochs, self.scale.epochs)


AnyConfig = TypeVar("AnyConfig", bound=JobConfig)


def epochs_at(epochs: int, scale: float) -> int:
    """Return the number of epochs trained at a scale, at least one."""
    return max(1, round(epochs * scale))


def check(container: dict[str, Any]) -> Config:
    """Validate the composed, resolved config of an image classifier's job and return it in typed form.

    Raises:
        UsageError: a key is missing, unknown, of the wrong type or out of range; the message names the first one.
    """
    return _validated(Config, container)


def check_job(container: dict[str, Any]) -> JobConfig:
    """Validate the composed, resolved config of any job: a `Config` if its task is the image classifier.

    Raises:
        UsageError: as for `check`.
    """
    return _validated(config_class(container), container)


def config_class(container: dict[str, Any]) -> type[JobConfig]:
    """Return the class of a job's config: `Config` if its task is the image classifier."""
    return Config if is_image_classifier(container) else JobConfig


def _validated(kind: type[AnyConfig], container: dict[str, Any]) -> AnyConfig:
    try:
        return kind.model_validate(container)
    except ValidationError as error:
        raise UsageError(first_problem(error, container)) from None


class _Hydra(Section):
    launcher: Workers


class _WithLauncher(Section):
    hydra: _Hydra


def check_launcher(node: dict[str, Any]) -> Workers:
    """Validate the settings of `hydra/launcher=workers` and return them in typed form.

    Raises:
        UsageError: as for `check`.
    """
    container = {"hydra": {"launcher": node}}
    try:
        return _WithLauncher.model_validate(container).hydra.launcher
    except ValidationError as error:
        raise UsageError(first_problem(error, container)) from None
