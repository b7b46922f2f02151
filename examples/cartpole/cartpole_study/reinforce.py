"""REINFORCE (Williams, 1992) with a linear policy on CartPole: one episode is one step that can be resumed."""

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from mnist_resnet.jobs.function_task import Run
from mnist_resnet.jobs.read_config import ReadConfig

DISCOUNT = 0.99
LAST = 50
"""Episodes over which the return is averaged."""


def reinforce(_: ReadConfig, run: Run, rate: float, episodes: int, baseline: bool) -> None:
    """Learn to balance by steps of `rate` along the gradient of the expected return; report every tenth episode.

    With a `baseline`, an action is credited with what its return exceeds the mean of all returns so far by.
    """
    environment = gymnasium.make("CartPole-v1")
    random = np.random.default_rng(run.seed)
    state: dict[str, Any] = run.resume() or {"weights": np.zeros(5), "returns": [], "mean": 0.0, "count": 0}
    random.bit_generator.state = state.get("random", random.bit_generator.state)
    for episode in range(len(state["returns"]), episodes):
        seen, actions, steps = _play(environment, state["weights"], random, seed=run.seed * 100_000 + episode)
        gains = _discounted(steps)
        state["count"] += steps
        state["mean"] += (gains - state["mean"]).sum() / state["count"]
        advantages = gains - state["mean"] if baseline else gains
        surprise = actions - _probability(seen, state["weights"])
        state["weights"] = state["weights"] + rate * (advantages * surprise) @ seen / steps
        state["returns"].append(steps)
        state["random"] = random.bit_generator.state
        if (episode + 1) % 10 == 0:
            run.report(episode + 1, {"mean_return": float(np.mean(state["returns"][-LAST:]))})
        run.save(state)


def _play(
    environment: Any, weights: NDArray[np.float64], random: np.random.Generator, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """Play an episode; return what was seen [steps, 5], with a constant one, the actions [steps], and their number."""
    observation, _ = environment.reset(seed=seed)
    seen, actions, done = [], [], False
    while not done:
        seen.append([*observation, 1.0])
        actions.append(float(random.random() < _probability(np.array(seen[-1]), weights)))
        observation, _, fell, ended, _ = environment.step(int(actions[-1]))
        done = fell or ended
    return np.array(seen), np.array(actions), len(actions)


def _probability(seen: NDArray[np.float64], weights: NDArray[np.float64]) -> Any:
    return 1 / (1 + np.exp(-np.clip(seen @ weights, -30, 30)))


def _discounted(steps: int) -> NDArray[np.float64]:
    """Return the discounted return from each step on; each one is rewarded with 1."""
    return (1 - DISCOUNT ** np.arange(steps, 0, -1)) / (1 - DISCOUNT)
