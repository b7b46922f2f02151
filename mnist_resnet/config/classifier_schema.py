"""Config schema of an image classifier: network, data and training."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from mnist_resnet.config.section import Component, Fraction, Section, check_device


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
    classes: int = Field(ge=1)


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
    classes: int = Field(ge=1)

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


KINDS_OF_MODEL = {
    "mnist_resnet.models.lean.LeanNetwork": "lean",
    "mnist_resnet.models.resnet.ResNet": "report",
}


def kind_of_model(model: Any) -> str:
    """Return which of our networks a node builds, or `other`."""
    # Pydantic asks for the kind of a node that it validates, and of a validated one that it dumps.
    target = model.get("_target_") if isinstance(model, dict) else getattr(model, "target", None)
    return KINDS_OF_MODEL.get(str(target), "other")


Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Seeds(Section):
    """Seeds of single sources of randomness; one that is not set does what `seed` says (see `Config.seed_of`).

    Attributes:
        init: initial weights.
        order: order of the training images in each epoch.
        dropout: what is drawn during training: dropout, and augmentation unless it has a seed of its own.
        augmentation: augmentation, which then draws from a generator of its own.
        split: which images are trained on, and which are held out; not set: the first and the last ones.
    """

    init: Seed | None = None
    order: Seed | None = None
    dropout: Seed | None = None
    augmentation: Seed | None = None
    split: Seed | None = None


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
    batches: Annotated[int, Field(ge=1)] | None = None


class Data(Component):
    """The data set; keys not declared here are arguments of the source that `_target_` names.

    `classes` is the number of classes, 2 or more, or of yes-or-no labels; null says that the targets are numbers.
    """

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
            "shuffle",
        )
    )

    train_size: int | None = Field(None, ge=1)
    val_size: int = Field(0, ge=0)
    test_size: int | None = Field(None, ge=1)
    batch_size: int = Field(64, ge=2)
    test_batch_size: int = Field(1000, ge=1)
    balanced: bool = False
    shuffle: bool = True  # the default is for sweeps frozen before this key existed
    classes: Annotated[int, Field(ge=1)] | None = 10
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
    def order_is_not_drawn_twice(self) -> "Data":
        """Reject an order that is not shuffled of images that are drawn at random."""
        if self.balanced and not self.shuffle:
            raise ValueError("data.shuffle=false: has no effect with data.balanced=true, which draws images at random")
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
    metrics: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], Component] = Field(default_factory=dict)

    @field_validator("metrics")
    @classmethod
    def metrics_have_names_of_their_own(cls, metrics: dict[str, Component]) -> dict[str, Component]:
        """Reject the names of what is measured anyway: `test_accuracy` would be something else."""
        for name in metrics.keys() & {"loss", "accuracy"}:
            raise ValueError(f"training.metrics.{name}: test_{name} is measured anyway; choose another name")
        return metrics


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
        return check_device("trainer.device", device)


class Scale(Section):
    """Scale of a study: a factor on every job's epochs, so that 10 and 30 epochs stay different."""

    epochs: float = Field(gt=0, le=1)
