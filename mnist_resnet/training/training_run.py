"""A training run: its network, data and everything that changes while it trains, and what one step does to it."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from mnist_resnet.config.build import build
from mnist_resnet.config.metric import declared_metrics
from mnist_resnet.config.schema import Config
from mnist_resnet.data.batches import DataSplits
from mnist_resnet.data.targets import count_right, positions
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import Metrics
from mnist_resnet.jobs.checkpoint import State
from mnist_resnet.jobs.random_states import random_states, seed_everything, set_random_states
from mnist_resnet.training.allocator import return_freed_memory
from mnist_resnet.training.averaging import Averaging
from mnist_resnet.training.component_state import ComponentState, has_state
from mnist_resnet.training.components import building, on_device, trained_parameters, without_parameters
from mnist_resnet.training.cuda_graph import Update
from mnist_resnet.training.eager_optimizer import use_eager_optimizers
from mnist_resnet.training.learning_rate import ScheduleSteps, build_schedule
from mnist_resnet.training.memory_format import use_channels_last, use_fused_optimizer
from mnist_resnet.training.numerics import Numerics
from mnist_resnet.training.optimizer import build_optimizer, takes_channels_last
from mnist_resnet.training.optimizer_state import load_optimizer_state
from mnist_resnet.training.outputs import asks_for_classes, check_outputs
from mnist_resnet.training.own_stream import OwnStream
from mnist_resnet.training.parameter_groups import parameter_groups
from mnist_resnet.training.step import LossFunction, Step, StepParts

Forward = Callable[[nn.Module, LossFunction, Numerics, Tensor, Tensor], tuple[Tensor, Tensor]]
"""`predict`, or a compiled version of it."""


def predict(
    model: nn.Module, loss: LossFunction, numerics: Numerics, images: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor]:
    """Run the forward pass of a training step; this is the part of a step that is compiled.

    Args:
        model: the network.
        loss: the loss function.
        numerics: device and precision.
        images: normalised, float32 [batch, channels, height, width].
        labels: int64 [batch].

    Returns:
        The batch's mean loss, float32 [], and its logits, float32 [batch, classes].
    """
    with numerics.autocast(), numerics.faster_convolutions():
        logits = model(images).float()
    return loss(logits, labels), logits


class Training:
    """A training run: its network, data and everything that changes while it trains.

    Attributes:
        config: the job's config.
        splits: training, validation and test images on the device.
        numerics: device, precision, threads, and whether steps are compiled or a CUDA graph.
        model: the network in training.
        optimizer: updates the network's parameters.
        schedule: sets the optimiser's learning rate.
        schedule_steps: steps the schedule after each batch or epoch.
        steps_per_epoch: optimiser steps in one epoch.
        averaging: its `model` is evaluated, exported and saved: the trained network or an average of its weights.
        augment: augments normalised training images, float32 [batch, channels, height, width].
        loss: the training loss; evaluations always use cross entropy. Its parameters are trained with the network's.
        metrics: by name, what is computed of the logits and labels of each evaluation, beside loss and accuracy.
        declared: what the config declares of metrics, by their names with the split: `test_f1`.
        components: what else of the run's components changes while it trains.
        own_step: the step that the config names, in place of the plain one.
        forward: `predict`, or a compiled version of it.
        replay: a CUDA graph of `update`, used in its place if it is set.
        epoch: the current epoch, from 0; the number of epochs after the last one.
        step: optimiser steps completed in this epoch.
        losses: float32 [steps per epoch] on the device, each batch's mean loss in this epoch.
        correct: int64 [] on the device, images in this epoch classified correctly, each before its batch's update.
        seconds: training time in this epoch so far.
        lr: learning rate of the last completed step.
        history: metrics of each completed epoch.
        batch_losses: float32 [steps per epoch] on the CPU, one tensor for each completed epoch.
    """

    def __init__(self, config: Config, splits: DataSplits, numerics: Numerics) -> None:
        self.config, self.splits, self.numerics = config, splits, numerics
        after_building = _random_states_of_dropout(config, splits, numerics)
        seed_everything(config.seed_of("init"))
        with building("model"):
            self.model = _network(config).to(numerics.device)
            if any(map(is_lazy, self.model.parameters())):  # their shapes follow from the images
                self.model.eval()(splits.train.batch(slice(0, 1))[0])
        use_eager_optimizers()
        if takes_channels_last(config.optim):
            use_channels_last(self.model, numerics)
        with building("loss"):
            self.loss: LossFunction = on_device(build(config.loss.node()), numerics.device)
        trained = trained_parameters(self.model, self.loss, config.model.target)
        groups = config.optim.groups
        parameters = parameter_groups(trained, groups) if groups else [parameter for _, parameter in trained]
        with building("optim"):
            self.optimizer: Optimizer = build_optimizer(config.optim, parameters)
        use_fused_optimizer(self.optimizer)
        self.steps_per_epoch = -(-len(splits.train) // config.data.batch_size)
        total_steps = config.epochs * self.steps_per_epoch
        with building("schedule"):
            self.schedule: LRScheduler = build_schedule(
                config.schedule, self.optimizer, self.steps_per_epoch, config.epochs
            )
            self.schedule_steps = ScheduleSteps(self.schedule, config.schedule.interval, self.has_accuracy)
        with building("averaging"):
            self.averaging: Averaging = build(config.averaging.node())(self.model, total_steps=total_steps)
        # Augmentations fill uncovered areas with the normalised value of a black pixel, float32 [channels, 1, 1].
        example = splits.train.example[0].to(numerics.device)
        black = splits.train.normalise(torch.zeros_like(example[:, :1, :1] if example.ndim == 3 else example))
        with building("augmentation"):
            augment = build(config.augmentation.node())
            augment = on_device(augment(black) if config.augmentation.partial else augment, numerics.device)
        self.augment: Callable[[Tensor], Tensor] = without_parameters(augment)
        if config.seeds.augmentation is not None:
            self.augment = OwnStream(self.augment, config.seeds.augmentation, numerics.device)
        own = {"model": self.model, "optim": self.optimizer, "schedule": self.schedule, "averaging": self.averaging}
        self.own_step: Step | None = None
        self._asks_for_classes = asks_for_classes(config)
        others = {"loss": self.loss, "augmentation": self.augment}
        if config.training.step is not None:
            with building("training.step"):
                self.own_step = on_device(build(config.training.step.node()), numerics.device)
            others |= {"training.step": self.own_step}
        self.metrics: dict[str, Any] = {}
        for name, node in config.training.metrics.items():
            with building(f"training.metrics.{name}"):
                self.metrics[name] = metric = on_device(build(node.node()), numerics.device)
            if not hasattr(metric, "reset"):  # else it begins anew in each evaluation
                others[f"training.metrics.{name}"] = metric
        # A schedule is only stepped, and need not have a state_dict.
        self._has_schedule_state = has_state(self.schedule)
        covered = set(own) - (set() if self._has_schedule_state else {"schedule"})
        self.components = ComponentState(own | others, covered, device=numerics.device)
        self.declared = declared_metrics(config.model_dump())
        self.epoch = self.step = 0
        self.losses = torch.zeros(self.steps_per_epoch, device=numerics.device)
        self.correct = torch.zeros((), dtype=torch.int64, device=numerics.device)
        self.seconds, self.lr = 0.0, 0.0
        self.history: list[Metrics] = []
        self.batch_losses: list[Tensor] = []
        self.forward: Forward = predict
        self.replay: Update | None = None
        if after_building is not None:
            set_random_states(after_building, numerics.device)

    @property
    def has_accuracy(self) -> bool:
        """Whether targets are classes or yes-or-no labels, of which predictions are right or wrong."""
        return self.splits.train.kind != "numbers"

    def accuracy(self, correct: float, examples: int) -> float:
        """Return the share of right predictions among those of so many examples; NaN if targets are numbers."""
        if not self.has_accuracy:
            return math.nan
        return correct / (examples * positions(self.splits.train.example[1].unsqueeze(0)))

    def update(self, indices: Tensor) -> Tensor:
        """Do one optimiser step.

        It never synchronises with the host or branches on a tensor's value, so that it can be a CUDA graph.

        Args:
            indices: int64 [batch], which training images to use.

        Returns:
            The batch's mean loss, float32 [].
        """
        images, labels = self.splits.train.batch(indices)
        if self.own_step is not None:
            parts = StepParts(self.model, self.loss, self.optimizer, self.numerics)
            loss, logits = self.own_step(parts, self.augment(images), labels)
        else:
            self.optimizer.zero_grad()
            loss, logits = self.forward(self.model, self.loss, self.numerics, self.augment(images), labels)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
        if self._asks_for_classes:  # here, too: a sweep starts jobs whose recipe has failed
            check_outputs(self.config, logits, labels, self.splits.train.kind)
        if self.has_accuracy:
            self.correct += count_right(logits, labels, self.splits.train.kind)
        return loss.detach()

    def free_gradients(self) -> None:
        """Free the gradients, which the next step does not read: an evaluation uses their memory.

        A step of the config's own may collect gradients over several batches, and a CUDA graph writes to their memory.
        """
        if self.own_step is None and self.replay is None:
            self.optimizer.zero_grad()

    def free_optimizer(self) -> None:
        """Free the gradients and the optimiser's state after training: saving the network takes memory, too."""
        self.optimizer.zero_grad()
        for state in self.optimizer.state.values():
            state.clear()
        return_freed_memory()

    def state(self) -> State:
        """Return the state for a checkpoint; on a CPU, a run restored from it ends with bitwise the same results."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict() if self._has_schedule_state else {},
            "averaging": self.averaging.state_dict(),
            "components": self.components.state(),
            "random": random_states(self.numerics.device),
            "epoch": self.epoch,
            "step": self.step,
            "losses": self.losses,
            "correct": self.correct,
            "seconds": self.seconds,
            "lr": self.lr,
            "history": self.history,
            "batch_losses": self.batch_losses,
        }

    def restore(self, state: State) -> None:
        """Restore what `state` returned, possibly in another process."""
        self.model.load_state_dict(state["model"])
        load_optimizer_state(self.optimizer, state["optimizer"])
        if self._has_schedule_state:
            self.schedule.load_state_dict(state["schedule"])
        self.averaging.load_state_dict(state.get("averaging", {}))  # missing in checkpoints of older versions
        self.components.restore(state.get("components", {}))  # the same
        set_random_states(state["random"], self.numerics.device)
        self.epoch, self.step = state["epoch"], state["step"]
        self.seconds, self.lr = state["seconds"], state["lr"]
        self.losses.copy_(state["losses"])
        self.correct.copy_(state["correct"])
        self.history, self.batch_losses = list(state["history"]), list(state["batch_losses"])


def _network(config: Config) -> nn.Module:
    """Build the network.

    Raises:
        UsageError: The target returns something else.
    """
    built = build(config.model.node())
    if not isinstance(built, nn.Module):
        kind = type(built).__name__
        raise UsageError(f"model._target_={config.model.target}: must return a torch.nn.Module, returned a {kind}")
    return built


def _random_states_of_dropout(config: Config, splits: DataSplits, numerics: Numerics) -> State | None:
    """Return where the generators of a run with the seed of dropout stand once it is built; None if that is this run.

    Building a network draws from the same generators as dropout. So with `seed=1 seeds.init=2`, dropout draws what it
    does with `seed=1`, and `seed=1 seeds.init=1` is bitwise the same run as `seed=1`.
    """
    dropout = config.seed_of("dropout")
    if dropout == config.seed_of("init"):
        return None
    seeds = config.seeds.model_copy(update={"init": dropout, "augmentation": None})
    Training(config.model_copy(update={"seeds": seeds}), splits, numerics)
    return random_states(numerics.device)
