"""From the end of a cycle to the start of the next one, as one compiled program a policy."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from silo_jax.diagnostics import gradient_width
from silo_jax.distributed import state_shardings
from silo_jax.rewinding import RewindPoint, finetune, reinit, rewind_lr, rewind_weights
from silo_jax.training.config import rewind_policies
from silo_jax.training.experiment import DeviceData, Experiment
from silo_jax.training.state import TrainState, init_network
from silo_jax.training.step import DeviceSplit, Recipe, learning_rate

_IMAGES_TO_MATCH = 512


class NextCycle:
    """Rewinds as the config says, and sets the coming max_lr where the schedule measures it."""

    def __init__(self, experiment: Experiment, state: TrainState) -> None:
        """Args:
        experiment: with the policies.
        state: of any seed, for its placement.
        """
        self._policies = rewind_policies(experiment.config)
        self._steps_per_cycle = experiment.lengths.steps_per_cycle
        rewound = {policy: _rewinding(experiment, policy) for policy in set(self._policies)}
        if experiment.config.schedule.name == "gradient_matched":
            match = partial(_gradient_matched, experiment.recipe, _first_images(experiment))
            rewound = {policy: partial(match, rewind) for policy, rewind in rewound.items()}
        jit = partial(jax.jit, out_shardings=state_shardings(experiment.recipe.mesh, state))
        self.programs = {policy: jit(rewind) for policy, rewind in rewound.items()}

    def policy_after(self, state: TrainState) -> str:
        """The policy by which the cycle that has just ended is left."""
        return self._policies[int(state.step) // self._steps_per_cycle - 1]

    def __call__(self, state: TrainState, point: RewindPoint | None) -> TrainState:
        """The state at the next cycle's start.

        Args:
          state: at the end of a cycle.
          point: where the policy is "weights", that to which they go back.
        """
        return self.programs[self.policy_after(state)](state, point)


def _rewinding(experiment: Experiment, policy: str) -> Any:
    """A function from the state at a cycle's end, and the rewind point, to the next one's start."""
    recipe, rewind = experiment.recipe, experiment.config.rewind
    kept: Any = {"optimizer": recipe.optimizer, "reset_optimizer": rewind.optimizer}
    back = kept | {"rewind_batch_stats": rewind.batch_stats}
    match policy:
        case "weights":
            return partial(rewind_weights, **back)
        case "lr":
            return lambda state, _: rewind_lr(state, **kept)
        case "finetune":
            return lambda state, _: finetune(
                state,
                learning_rate(recipe, state.replace(step=state.step - 1)),
                steps_per_cycle=recipe.steps_per_cycle,
                **kept,
            )
        case _:
            init = partial(
                init_network,
                recipe.model,
                experiment.image_shape,
                initialization=experiment.config.training.initialization,
            )
            return lambda state, _: reinit(state, init, **back)


def _gradient_matched(
    recipe: Recipe, batch: DeviceSplit, rewind: Any, state: TrainState, point: RewindPoint | None
) -> TrainState:
    """Rewinds, and gives the coming cycle the max_lr that keeps max_lr × gradient width.

    Both widths are those of the network from which the next cycle starts: once under the masks
    before the prune, once under those after it. A width that is 0 or not finite leaves max_lr.
    """
    start = rewind(state, point)
    unpruned = rewind(state.replace(next_masks=state.masks), point)
    growth = gradient_width(recipe, unpruned, batch) / gradient_width(recipe, start, batch)
    growth = jnp.where(jnp.isfinite(growth) & (growth > 0), growth, 1.0)
    cycle = state.step // recipe.steps_per_cycle
    return start.replace(peaks=start.peaks.at[cycle].set(state.peaks[cycle - 1] * growth))


def _first_images(experiment: Experiment) -> DeviceSplit:
    assert isinstance(experiment.data, DeviceData), "check_config refuses streamed data"
    first = (leaf[:_IMAGES_TO_MATCH] for leaf in experiment.data.train)
    return DeviceSplit(*jax.device_get(tuple(first)))
