"""What a config may say: the type, range and meaning of every knob, declared once and checked as it is composed.

A node that has a `_target_` may hold further keys of its own: they are arguments of the thing it builds. The knobs
declared for its group keep their names and types in each of the group's options.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, field_validator, model_validator

from mnist_resnet.config.signature import NEUTRAL
from mnist_resnet.config.validation_errors import one_line
from mnist_resnet.errors import UsageError

Share = Annotated[float, Field(ge=0, lt=1)]


class Section(BaseModel):
    """A node with a fixed set of keys; YAML's types are taken as they are, `"3"` is no number."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Component(Section):
    """A node that builds something; keys that are not declared here are arguments of its `_target_`."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True, allow_inf_nan=False)
    target: str = Field(alias="_target_", min_length=1)


class Model(Component):
    """Any network: a callable that gives a module from images [batch, channels, height, width] to logits."""

    width: int | None = Field(None, ge=1)
    block_norm: Literal["none", "after_repeats", "after_every"] | None = None


class ReportNetwork(Model):
    """The report's ResNet; its arguments are those of `mnist_resnet.models.resnet.ResNet`."""

    model_config = ConfigDict(extra="forbid")
    stem: Literal["3x3", "7x7"]
    width: int = Field(ge=1, le=4096)
    blocks: Annotated[list[Annotated[int, Field(ge=1, le=1000)]], Field(min_length=1, max_length=5)]
    block_norm: Literal["none", "after_repeats", "after_every"]
    dropout: Share
    channels: int = Field(ge=1)
    classes: int = Field(ge=2)


class LeanNetwork(Model):
    """A small plain network; its arguments are those of `mnist_resnet.models.lean.LeanNetwork`."""

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
    dropout: Share
    logit_scale: float = Field(gt=0)
    channels: int = Field(ge=1)
    classes: int = Field(ge=2)

    @model_validator(mode="after")
    def kernels_keep_the_size(self) -> "LeanNetwork":
        """An even kernel at stride 1 would shrink each feature map by a pixel or add one."""
        if self.kernel % 2 == 0:
            raise ValueError(f"model.kernel={self.kernel}: must be odd")
        if self.stem_kernel < self.stem_stride or (self.stem_stride == 1 and self.stem_kernel % 2 == 0):
            raise ValueError(
                f"model.stem_kernel={self.stem_kernel}: must be odd at stride 1, and no less than "
                f"model.stem_stride={self.stem_stride}"
            )
        return self


class Regularization(Section):
    """What keeps the network from learning its training images by heart."""

    model_config = ConfigDict(extra="allow")
    dropout: Share


class Optim(Component):
    """The optimiser: a callable from the parameters to a `torch.optim.Optimizer`."""

    partial: Literal[True] = Field(alias="_partial_")
    lr: float = Field(gt=0)
    weight_decay: float | None = Field(None, ge=0)
    momentum: Share | None = None
    eps: float | None = Field(None, gt=0)
    betas: Annotated[list[Share], Field(min_length=2, max_length=2)] | None = None
    nesterov: bool | None = None
    amsgrad: bool | None = None

    @model_validator(mode="after")
    def nesterov_has_a_momentum(self) -> "Optim":
        """PyTorch refuses it too, but only once the job has begun."""
        if self.nesterov and not self.momentum:
            raise ValueError(f"optim.nesterov=true: needs a momentum above 0, not optim.momentum={self.momentum}")
        return self


class Schedule(Component):
    """The learning rate's course: a callable from (optimizer, total_steps) to a scheduler stepped after each batch."""

    partial: Literal[True] = Field(alias="_partial_")
    warmup: Share | None = None
    final: Share | None = None


class Augmentation(Component):
    """What changes the training images: a callable from a normalised black pixel to one from images to images."""

    partial: Literal[True] = Field(alias="_partial_")
    pixels: int | None = Field(None, ge=1)
    translate: float | None = Field(None, ge=0)
    rotate: float | None = Field(None, ge=0, le=180)
    scale: Share | None = None
    shear: float | None = Field(None, ge=0, lt=90)
    alpha: float | None = Field(None, ge=0)
    sigma: float | None = Field(None, gt=0)


class Loss(Component):
    """What is minimised: a callable from logits [batch, classes] and labels [batch] to a number."""

    label_smoothing: Share | None = None


class WeightAveraging(Component):
    """Which weights are kept: a callable from (model, total_steps) to an `averaging.Averaging`."""

    partial: Literal[True] = Field(alias="_partial_")
    decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    share: Annotated[float, Field(gt=0, le=1)] | None = None


class Data(Component):
    """The images; what is not declared here goes to the source that `_target_` names."""

    train_size: int | None = Field(None, ge=1)
    val_size: int = Field(0, ge=0)
    test_size: int | None = Field(None, ge=1)
    batch_size: int = Field(64, ge=2)
    test_batch_size: int = Field(1000, ge=1)
    classes: int = Field(10, ge=2, le=256)
    channels: int = Field(1, ge=1)
    mean: float | list[float] = 0.1307
    std: Annotated[float, Field(gt=0)] | list[Annotated[float, Field(gt=0)]] = 0.3081

    @model_validator(mode="after")
    def last_batch_is_no_single_image(self) -> "Data":
        """Batch norm can't train on one image where its feature map is 1 × 1, so a last batch of one is refused."""
        if self.train_size is not None and self.train_size % self.batch_size == 1:
            near = f"{self.train_size - 1} or {self.train_size + 1}" if self.train_size > 1 else "2 or more"
            raise ValueError(
                f"data.train_size={self.train_size}: leaves a last batch of one image at "
                f"data.batch_size={self.batch_size}, on which batch norm can't train; take {near}"
            )
        return self

    @model_validator(mode="after")
    def root_is_a_path(self) -> "Data":
        """`root` is an argument of the source, not declared here, and a knob all the same."""
        root = (self.model_extra or {}).get("root")
        if not isinstance(root, str | None):
            raise ValueError(f"data.root={root}: must be a folder's path, or null")
        return self


class Trainer(Section):
    """How a run is carried out: for how long, on what, how precisely, and how often it reports."""

    epochs: int = Field(ge=1)
    device: str
    precision: Literal["auto", "fp32", "tf32", "bf16"]
    compile: Literal["auto"] | bool = "auto"  # sweeps that were frozen before it was there go on
    threads: int | None = Field(ge=1)
    log_interval: int = Field(ge=1)
    checkpoint_interval: float = Field(ge=0)
    checkpoint_every: int | None = Field(ge=1)
    detect_anomaly: bool
    profile: bool

    @field_validator("device")
    @classmethod
    def device_is_of_a_kind_that_is_known(cls, device: str) -> str:
        """Whether the machine has it is found out later, with PyTorch."""
        if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", device):
            raise ValueError(f"trainer.device={device}: must be auto, cpu, mps, cuda or cuda:N")
        return device


class Scale(Section):
    """How much of the study is done: a factor on every job's epochs, so that 10 and 30 stay apart."""

    epochs: float = Field(gt=0, le=1)


class Tracking(Component):
    """Who mirrors the job folder: an `Callback`."""

    mode: Literal["auto", "online", "offline"]


class Sweep(Section):
    """The sweep as a whole; none of it changes what a job computes."""

    name: str | None
    design: Literal["all", "one_change"] = "all"
    exclude: list[str]
    rerun: list[str | int] | Literal["failed", "all"]
    dry_run: bool
    on_failure: Literal["continue", "stop"]
    retries: int = Field(2, ge=0)  # sweeps that were frozen before it was there go on
    detach: bool = False
    keep: Literal["checkpoint", "model", "none"]
    suffix: str = ""
    trials: int = Field(20, ge=1)
    objective: Literal["val_accuracy", "val_loss", "test_accuracy", "test_loss"] = "val_accuracy"
    objective_epoch: Literal["last", "best"] = "last"
    objective_on_test: bool = False
    seeds: Annotated[int, Field(ge=1)] | Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]


class Slurm(Section):
    """What each worker of a Slurm job array is given; what is null is left to the cluster."""

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
    parameters: dict[str, str | int | float | bool]

    @field_validator("time")
    @classmethod
    def time_is_as_slurm_writes_it(cls, time: int | str | None) -> int | str | None:
        """Slurm itself takes `soon` for no limit."""
        if time is not None and not re.fullmatch(r"[1-9]\d*|(\d+-)?\d+(:\d\d){1,2}|\d+-\d+", str(time)):
            raise ValueError(f"hydra.launcher.slurm.time={time}: must be minutes, or as in 2:30:00 or 1-12:00:00")
        return time

    @field_validator("memory")
    @classmethod
    def memory_has_a_unit_that_slurm_knows(cls, memory: int | str | None) -> int | str | None:
        """A number alone is megabytes; 0 is all that the node has."""
        if memory is not None and not re.fullmatch(r"\d+[KMGT]?", str(memory)):
            raise ValueError(f"hydra.launcher.slurm.memory={memory}: must be a number and K, M, G or T, as in 8G")
        return memory


class Ray(Section):
    """Where Ray is, and what each worker is given of it, in Ray's own words."""

    address: Annotated[str, Field(min_length=1)] | None
    num_cpus: float = Field(ge=0)
    num_gpus: float = Field(ge=0)
    resources: dict[str, Annotated[float, Field(gt=0)]]


class Workers(Section):
    """`hydra.launcher` of `hydra/launcher=workers`: who starts how many workers, and what each is given."""

    engine: Literal["local", "slurm", "ray"]
    workers: int | None = Field(ge=1)
    jobs_per_device: int = Field(ge=1)
    slurm: Slurm
    ray: Ray


class Claim(Section):
    """A figure that somebody states of this config, and the words it was stated in."""

    metric: Literal["train_accuracy", "test_accuracy", "train_loss", "test_loss"]
    epoch: Literal["last", "best"] = "last"
    value: float | None
    approximate: bool = False
    words: str


class Comparison(Section):
    """A claim that one level of a factor does better than another, by a measure that decides."""

    question: str
    factor: str
    better: str | int | float | bool | None
    worse: str | int | float | bool | None
    measure: str
    words: str


KINDS_OF_MODEL = {
    "mnist_resnet.models.lean.LeanNetwork": "lean",
    "mnist_resnet.models.resnet.ResNet": "report",
}


def _kind_of_model(model: Any) -> str:
    target = model.get("_target_") if isinstance(model, dict) else None
    return KINDS_OF_MODEL.get(str(target), "other")


class Config(BaseModel):
    """One job's whole config; groups that a user adds stand beside these and are not looked into."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True, allow_inf_nan=False)

    # The model refers to regularization and data; a wrong value is told of the key where it was given.
    seed: int = Field(ge=0, lt=2**32)
    regularization: Regularization
    data: Data
    model: Annotated[
        Annotated[ReportNetwork, Tag("report")] | Annotated[LeanNetwork, Tag("lean")] | Annotated[Model, Tag("other")],
        Discriminator(_kind_of_model),
    ]
    optim: Optim
    schedule: Schedule
    # Sweeps that were frozen before these were there go on.
    augmentation: Augmentation = Augmentation.model_validate(NEUTRAL["augmentation"])
    loss: Loss = Loss.model_validate(NEUTRAL["loss"])
    averaging: WeightAveraging = WeightAveraging.model_validate(NEUTRAL["averaging"])
    trainer: Trainer
    scale: Scale
    tracking: Tracking
    sweep: Sweep
    comparisons: list[Comparison] = []
    claims: list[Claim] = []

    @model_validator(mode="after")
    def network_fits_the_images(self) -> "Config":
        """Our own networks take the images' channels and know their classes; another's arguments are its own."""
        model = self.model
        if isinstance(model, ReportNetwork | LeanNetwork) and model.channels != self.data.channels:
            raise ValueError(f"model.channels={model.channels}: the images have data.channels={self.data.channels}")
        if isinstance(model, ReportNetwork | LeanNetwork) and model.classes < self.data.classes:
            raise ValueError(
                f"model.classes={model.classes}: must be data.classes={self.data.classes} or more, one for each label"
            )
        return self

    @property
    def epochs(self) -> int:
        """Epochs that the job really trains: `trainer.epochs` at this scale, one at the least."""
        return epochs_at(self.trainer.epochs, self.scale.epochs)


def epochs_at(epochs: int, scale: float) -> int:
    """Of `trainer.epochs`, how many are trained at a scale: one at the least."""
    return max(1, round(epochs * scale))


def check(container: dict[str, Any]) -> Config:
    """The typed view of a composed, resolved config.

    Raises:
        UsageError: a knob is missing, unknown, of a wrong type or out of its range; names the first one.
    """
    try:
        return Config.model_validate(container)
    except ValidationError as error:
        raise UsageError(one_line(error, container)) from None


class _Hydra(Section):
    launcher: Workers


class _WithLauncher(Section):
    hydra: _Hydra


def check_launcher(node: dict[str, Any]) -> Workers:
    """The typed view of `hydra.launcher`, as `hydra/launcher=workers` has it.

    Raises:
        UsageError: as of `check`.
    """
    container = {"hydra": {"launcher": node}}
    try:
        return _WithLauncher.model_validate(container).hydra.launcher
    except ValidationError as error:
        raise UsageError(one_line(error, container)) from None
