"""Several optimisers as one, each for its own parameters, such as Muon for matrices and AdamW for the rest."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from mnist_resnet.training.optimizer_state import load_optimizer_state


class CombinedOptimizer(Optimizer):
    """Several optimisers as one.

    Args:
        params: parameter groups, or parameters. The key `optimizer` of a group names its optimiser.
        lr: learning rate of those optimisers that are given none.
        optimizers: by name, what builds an optimiser from parameter groups. The first is that of groups without a name.

    Raises:
        ValueError: a group names none of them, or one has no group.
    """

    def __init__(self, params: Iterable[Any], lr: float, optimizers: Mapping[str, "partial[Optimizer]"]) -> None:
        super().__init__(params, {"lr": lr})
        first = next(iter(optimizers))
        chosen: dict[str, list[dict[str, Any]]] = {name: [] for name in optimizers}
        for group in self.param_groups:
            name = group.get("optimizer", first)
            if name not in chosen:
                raise ValueError(f"optim.groups: optimizer={name} is none of optim.optimizers: {', '.join(optimizers)}")
            own = {key: value for key, value in group.items() if key not in ("lr", "optimizer")}
            chosen[name].append(own)
        if unused := [name for name, groups in chosen.items() if not groups]:
            raise ValueError(f"optim.optimizers.{unused[0]}: has no parameters; name it in optim.groups")
        self.optimizers = {
            name: build(chosen[name], **({} if "lr" in build.keywords else {"lr": lr}))
            for name, build in optimizers.items()
        }
        self.param_groups = [group for optimizer in self.optimizers.values() for group in optimizer.param_groups]

    @property
    def state(self) -> defaultdict[Tensor, Any]:
        """The states of the parameters in all optimisers."""
        inner = getattr(self, "optimizers", {}).values()
        return defaultdict(dict, {key: value for optimizer in inner for key, value in optimizer.state.items()})

    @state.setter
    def state(self, _: Any) -> None:
        """Ignore what the base class sets: the state is that of the optimisers."""

    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Step each optimiser.

        Raises:
            ValueError: there is a closure: each optimiser would move what the others' closures compute.
        """
        if closure is not None:
            raise ValueError("training.step.closure: optimisers that need one can't be combined")
        for optimizer in self.optimizers.values():
            optimizer.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients of all parameters."""
        for optimizer in self.optimizers.values():
            optimizer.zero_grad(set_to_none)

    def train(self) -> None:
        """Tell the optimisers that have modes that training goes on."""
        set_mode(self.optimizers.values(), "train")

    def eval(self) -> None:
        """Tell the optimisers that have modes that the network is evaluated."""
        set_mode(self.optimizers.values(), "eval")

    def state_dict(self) -> dict[str, Any]:
        """Return the states of all optimisers."""
        return {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        for name, optimizer in self.optimizers.items():
            load_optimizer_state(optimizer, state_dict[name])
        self.param_groups = [group for optimizer in self.optimizers.values() for group in optimizer.param_groups]


def set_mode(optimizers: Iterable[Optimizer], mode: str) -> None:
    """Call `train()` or `eval()` of those optimisers that have it: schedule-free ones evaluate other weights."""
    for optimizer in optimizers:
        change = getattr(optimizer, mode, None)
        if callable(change):
            change()
