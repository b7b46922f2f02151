"""Config schema: the type, range and meaning of every key, checked when a config is composed.

A node with a `_target_` may have further keys, which are arguments of the object it builds. The keys declared for a
group have the same names and types in each of the group's options.
"""

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, field_validator, model_validator

from mnist_resnet.config.classifier_schema import (
    Augmentation,
    Data,
    LeanNetwork,
    Loss,
    Model,
    Optim,
    Regularization,
    ReportNetwork,
    Scale,
    Schedule,
    Seeds,
    Trainer,
    TrainingParts,
    WeightAveraging,
    kind_of_model,
)
from mnist_resnet.config.levels import flatten
from mnist_resnet.config.metric import BUILT_IN, RESERVED, is_image_classifier
from mnist_resnet.config.objective import CONSTRAINT
from mnist_resnet.config.section import Component, Section, check_device
from mnist_resnet.config.signature import NEUTRAL
from mnist_resnet.config.validation_errors import first_problem
from mnist_resnet.errors import UsageError

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
    design: Literal["all", "one_change", "one_source"] = "all"
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
    constraints: list[str] = Field(default_factory=list)
    seeds: (
        Annotated[int, Field(ge=1)]
        | Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
        | Literal["auto"]
    )
    interval_width: float | None = Field(None, gt=0, allow_inf_nan=False)
    max_seeds: int = Field(30, ge=2)

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


class Task(Component):
    """The training function of a task; keys not declared here are its arguments."""

    device: str = "auto"
    checkpoint_interval: float = Field(60.0, ge=0)
    checkpoint_every: int | None = Field(None, ge=1)

    @model_validator(mode="before")
    @classmethod
    def names_a_function(cls, node: Any) -> Any:
        """Say what lacks where the project's own file is chosen."""
        if isinstance(node, dict) and "_target_" not in node:
            raise ValueError(
                "task._target_: must be given; task=function names no function, a file of yours inherits it and does, "
                "see docs/own_study.md"
            )
        return node

    @field_validator("device")
    @classmethod
    def device_is_a_known_kind(cls, device: str) -> str:
        """Check the device's form."""
        return check_device("task.device", device)


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
    def metrics_have_names_of_their_own(self) -> "JobConfig":
        """Reject declared metrics that are named as what is recorded of every job, or as a key of the config."""
        of_the_task = BUILT_IN.keys() if self.claimed_metrics else ()
        keys = flatten(self.model_extra or {})
        for name in self.metrics:
            if name in RESERVED.difference(of_the_task):
                raise ValueError(f"metrics.{name}: {name} is recorded of every job; choose another name for the metric")
            if name in keys:
                raise ValueError(f"metrics.{name}: {name} is a key of the config; choose another name for the metric")
        return self

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
        Discriminator(kind_of_model),
    ]
    optim: Optim
    schedule: Schedule
    # The defaults are for sweeps frozen before these groups existed.
    augmentation: Augmentation = Augmentation.model_validate(NEUTRAL["augmentation"])
    loss: Loss = Loss.model_validate(NEUTRAL["loss"])
    averaging: WeightAveraging = WeightAveraging.model_validate(NEUTRAL["averaging"])
    training: TrainingParts = TrainingParts()
    seeds: Seeds = Seeds()
    trainer: Trainer
    scale: Scale

    @model_validator(mode="after")
    def network_fits_the_images(self) -> "Config":
        """Check channels and classes of our own networks; a user's network has its own arguments."""
        model = self.model
        if isinstance(model, ReportNetwork | LeanNetwork) and model.channels != self.data.channels:
            raise ValueError(f"model.channels={model.channels}: the images have data.channels={self.data.channels}")
        classes = self.data.classes
        if isinstance(model, ReportNetwork | LeanNetwork) and classes is not None and model.classes < classes:
            raise ValueError(
                f"model.classes={model.classes}: must be data.classes={classes} or more, one for each label"
            )
        return self

    @model_validator(mode="after")
    def numbers_have_a_loss_of_their_own(self) -> "Config":
        """Reject cross entropy for numbers: it would take them for probabilities, and train nothing."""
        if self.data.classes is None and self.loss.target.endswith("CrossEntropyLoss"):
            raise ValueError(
                f"loss._target_={self.loss.target}: is for classes, and data.classes=null; take "
                f"loss=mean_squared_error, or set data.classes"
            )
        return self

    @property
    def objectives(self) -> tuple[str, ...]:
        """Metrics that a search may be judged by."""
        return _without_accuracy(self.data.classes, "val_accuracy", "val_loss", "test_accuracy", "test_loss")

    @property
    def claimed_metrics(self) -> tuple[str, ...]:
        """Metrics of which figures may be claimed."""
        return _without_accuracy(self.data.classes, "train_accuracy", "test_accuracy", "train_loss", "test_loss")

    @property
    def checkpoint_settings(self) -> tuple[float, int | None]:
        """`trainer.checkpoint_interval` and `trainer.checkpoint_every`."""
        return self.trainer.checkpoint_interval, self.trainer.checkpoint_every

    def seed_of(self, source: Literal["init", "order", "dropout"]) -> int:
        """Return the seed of a source of randomness: its own if it is set, else `seed`."""
        own: int | None = getattr(self.seeds, source)
        return self.seed if own is None else own

    @property
    def epochs(self) -> int:
        """Number of epochs that the job trains: `trainer.epochs` times the scale, at least one."""
        return epochs_at(self.trainer.epochs, self.scale.epochs)


def _without_accuracy(classes: int | None, *names: str) -> tuple[str, ...]:
    return tuple(name for name in names if classes is not None or not name.endswith("_accuracy"))


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
