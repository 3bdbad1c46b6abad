"""A model of the task: an encoder that makes a belief of what was lived through, and decoders that predict from it.

The networks of VariBAD (Zintgraf et al. 2020, figure 2). The belief is a diagonal normal over a latent vector.
"""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp

from rl_meta.numerics.distributions import DiagonalNormal
from rl_meta.policies.gru import GRU
from rl_meta.policies.layers import MLP, Linear
from rl_meta.policies.layout import Layout
from rl_meta.policies.memory import Encoded
from rl_meta.types import Array, Key

LOG_STD_LIMIT = 5.0
"""Of beliefs: neither certainty nor its absence is ever complete, so that no divergence overflows."""


class BeliefEncoder(eqx.Module):
    """A recurrent network whose output is a belief: q(m | what was seen up to now)."""

    memory: Encoded
    posterior: Linear

    def __init__(self, size_in: int | Layout, embedding: Sequence[int], size: int, latent: int, *, key: Key) -> None:
        """embedding: widths of layers before the GRU. size: of the GRU."""
        key_memory, key_posterior = jax.random.split(key)
        make = lambda size_read, key: GRU(size_read, size, key=key)
        self.memory = Encoded(size_in, embedding, make, key=key_memory)
        self.posterior = Linear(size, 2 * latent, key=key_posterior)

    def start(self) -> Array:
        """The memory at the start of a lifetime, [H]."""
        return self.memory.start()

    def step(self, hidden: Array, x: Array) -> tuple[Array, DiagonalNormal]:
        """[..., H], [..., in] -> memory [..., H] and belief [..., d]."""
        hidden, y = self.memory.step(hidden, x)
        return hidden, self._believe(y)

    def unroll(self, xs: Array) -> DiagonalNormal:
        """Whole lifetimes [T, ..., in] -> beliefs [T, ..., d]; the same numbers as T calls of `step`."""
        start = jnp.broadcast_to(self.start(), (*xs.shape[1:-1], *self.start().shape))
        return self._believe(self.memory.unroll(start, xs))

    def _believe(self, y: Array) -> DiagonalNormal:
        mean, raw = jnp.split(self.posterior(y), 2, -1)
        return DiagonalNormal(mean, LOG_STD_LIMIT * jnp.tanh(raw / LOG_STD_LIMIT))


class Decoder(eqx.Module):
    """A prediction from every pair of a latent and a query.

    Both are embedded, and a network reads the two embeddings together. Its first layer is computed as the sum of its
    two halves, so that all products but those of the last layers are per latent or per query, not per pair.
    """

    of_latent: MLP
    of_query: MLP
    rest: MLP

    def __init__(self, latent: int, query: int | Layout, widths: Sequence[int], size_out: int, *, key: Key) -> None:
        """widths: of the embeddings' tanh layer, and of the tanh layers after them; two or more."""
        key_latent, key_query, key_rest = jax.random.split(key, 3)
        embedding, joint, *rest = widths
        self.of_latent = MLP(latent, (embedding,), joint, key=key_latent)
        self.of_query = MLP(query, (embedding,), joint, key=key_query)
        self.rest = MLP(joint, rest, size_out, key=key_rest)

    def __call__(self, latents: Array, queries: Array) -> Array:
        """[..., K, d], [..., M, query] -> [..., K, M, out]: of every query, given every latent."""
        pairs = self.of_latent(latents)[..., :, None, :] + self.of_query(queries)[..., None, :, :]
        return self.rest(jnp.tanh(pairs))


class TaskModel(eqx.Module):
    """Encoder and decoders: what a lifetime says of the task, and what the task says of a lifetime."""

    encoder: BeliefEncoder
    reward: Decoder
    transition: Decoder | None
    """None: only rewards are predicted."""
