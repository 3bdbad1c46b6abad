"""A policy that judges each action by what came of it, whenever in the lifetime it was taken where one is now.

    y_a = Σ_s w_s 1[action_s = a] f(what followed s) / (n_a + exp(sink)),    n_a = Σ_s w_s 1[action_s = a]
    e_a = (y_a, log(1 + n_a)),      z = (mean of e over actions, maximum of e over actions)
    log π(a) = logit_a + g(e_a, z) + const., where the logits and the value are those of a network that reads (x, z)

The weights w are those of `recall`: every action has an episodic memory of its own, as in neural episodic control
(Pritzel et al. 2017). f and g are the same for all actions, so that what is learned about one of them holds for all
(Zaheer et al. 2017, "Deep sets"), and g is a rule for exploring such as Thompson's or Gittins's: how good an action
looks by its mean and its count, beside how good the others look. A network that reads outcomes one after the other has
to learn that rule anew for every action.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from rl_meta.policies.actor_critic import MakeNetwork
from rl_meta.policies.layers import MLP, Linear, ValueHead
from rl_meta.policies.layout import Layout
from rl_meta.policies.recall import Recall, Tally, mean_of, with_one
from rl_meta.types import Array, Key, PyTree


class OutcomesByAction(eqx.Module):
    """See `recall.Outcomes`: e_a of every action is recalled."""

    value: MLP
    """f"""
    sink: Array
    action_at: int = eqx.field(static=True)
    """Where in an outcome the action begins, a one-hot vector."""
    actions: int = eqx.field(static=True)
    """How many there are."""

    def __init__(self, outcome: Layout, action_at: int, actions: int, width: int, *, key: Key) -> None:
        """outcome: with the action. width: of f's output."""
        self.value = MLP(outcome, (width, width), key=key)
        self.sink = jnp.zeros(())
        self.action_at, self.actions = action_at, actions

    @property
    def size_in(self) -> int:
        """See `Outcomes`."""
        return self.value.size_in

    @property
    def size(self) -> int:
        """See `Outcomes`: width of e_a."""
        return self.value.size_out + 1

    @property
    def size_kept(self) -> int:
        """See `Outcomes`."""
        return self.actions * self.size

    def keep(self, outcome: Array) -> Array:
        """[..., outcome] -> [..., kept]: f and 1 in the place of the action that was taken, else 0."""
        taken = outcome[..., self.action_at : self.action_at + self.actions]
        place = np.arange(self.size_in) - self.action_at
        followed = jnp.where((place < 0) | (place >= self.actions), outcome, 0.0)
        kept = taken[..., :, None] * with_one(self.value(followed))[..., None, :]
        return kept.reshape(*kept.shape[:-2], -1)

    def read(self, sums: Array) -> Array:
        """[..., kept] -> e [..., actions, width + 1]."""
        sums = sums.reshape(*sums.shape[:-1], self.actions, self.size)
        return jnp.concatenate([mean_of(sums, self.sink), jnp.log1p(sums[..., -1:])], -1)


class ActionJudge(eqx.Module):
    """g: two tanh layers and a number; what is the same for all actions enters the first layer once."""

    each: Linear
    common: Linear
    rest: MLP

    def __init__(self, size: int, width: int, *, key: Key) -> None:
        """size: of e_a; z is twice as long."""
        key_each, key_common, key_rest = jax.random.split(key, 3)
        self.each, self.common = Linear(size, width, key=key_each), Linear(2 * size, width, key=key_common)
        self.rest = MLP(width, (width,), 1, gain=0.01, key=key_rest)

    def __call__(self, each: Array, z: Array) -> Array:
        """Of e [..., actions, size] and z [..., 2 size] -> [..., actions]."""
        return self.rest(jnp.tanh(self.each(each) + self.common(z)[..., None, :]))[..., 0]


class JudgingActorCritic(eqx.Module):
    """A network with a memory, beside a judge of each action by itself."""

    recall: Recall | Tally
    """Of `OutcomesByAction`."""
    judge: ActionJudge
    network: Any
    """As `RecurrentActorCritic`."""

    def __init__(self, recall: Recall | Tally, layout: Layout, make: MakeNetwork, width: int, *, key: Key) -> None:
        """layout: of the inputs. width: of g's hidden layers."""
        key_judge, key_network = jax.random.split(key)
        size = recall.lookup.outcomes.size
        self.recall = recall
        self.judge = ActionJudge(size, width, key=key_judge)
        self.network = make(layout + 2 * size, key_network)

    @property
    def value(self) -> ValueHead:
        """The network's."""
        return self.network.value

    def start(self) -> tuple[PyTree, PyTree]:
        """The memory at the start of a lifetime."""
        return self.recall.start(), self.network.start()

    def step(self, memory: tuple[PyTree, PyTree], x: Array) -> tuple[tuple[PyTree, PyTree], Array, Array]:
        """memory, [..., in] -> memory, logits [..., actions], value [...]."""
        recollections, each = self.recall.step(memory[0], x)
        z = summary(each)
        hidden, logits, value = self.network.step(memory[1], jnp.concatenate([x, z], -1))
        return (recollections, hidden), logits + self.judge(each, z), value

    def unroll(self, memory: tuple[PyTree, PyTree], xs: Array) -> tuple[Array, Array]:
        """From a lifetime's start: memory, [T, ..., in] -> logits [T, ..., actions], values [T, ...]."""
        each = self.recall.unroll(xs)
        z = summary(each)
        logits, values = self.network.unroll(memory[1], jnp.concatenate([xs, z], -1))
        return logits + self.judge(each, z), values


def summary(each: Array) -> Array:
    """Of e [..., actions, n] -> z [..., 2 n], the same in whatever order the actions stand."""
    return jnp.concatenate([each.mean(-2), each.max(-2)], -1)
