import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from rl_meta.policies.task_model import LOG_STD_LIMIT, BeliefEncoder, Decoder

CLOSE = 1e-5
"""Products batched in another way are rounded in another way."""

KEY = jax.random.key(0)


def normals(*shape):
    return jax.random.normal(jax.random.key(1), shape)


def test_unrolling_the_encoder_is_stepping_it():
    encoder, xs = BeliefEncoder(4, (6,), 5, 3, key=KEY), normals(7, 2, 4)
    hidden, stepped = jnp.zeros((2, 5)), []
    for x in xs:
        hidden, belief = encoder.step(hidden, x)
        stepped.append(belief)
    expected = jax.tree.map(lambda *b: jnp.stack(b), *stepped)
    for ours, theirs in zip(encoder.unroll(xs), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=CLOSE)


def test_a_belief_does_not_depend_on_what_comes_later():
    encoder, xs = BeliefEncoder(4, (), 5, 3, key=KEY), normals(7, 4)
    before, after = encoder.unroll(xs), encoder.unroll(xs.at[4].add(1.0))
    np.testing.assert_array_equal(before.mean[:4], after.mean[:4])
    assert (before.mean[4:] != after.mean[4:]).all()


def test_the_spread_of_a_belief_stays_within_its_limits():
    encoder = BeliefEncoder(4, (), 5, 3, key=KEY)
    wild = eqx.tree_at(lambda e: e.posterior.bias, encoder, jnp.full(6, 1e6))
    np.testing.assert_allclose(wild.unroll(normals(2, 4)).log_std, LOG_STD_LIMIT)


def test_decoding_pairs_is_the_network_of_latent_and_query_together():
    decoder, latents, queries = Decoder(3, 4, (8, 5), 2, key=KEY), normals(6, 3), normals(7, 4)
    first = [mlp.layers[0] for mlp in (decoder.of_latent, decoder.of_query)]
    last = [mlp.layers[1] for mlp in (decoder.of_latent, decoder.of_query)]
    weight = jnp.concatenate([layer.weight.T if layer.narrow else layer.weight for layer in last])
    bias = last[0].bias + last[1].bias
    for k in range(6):
        for m in range(7):
            embedded = [jnp.tanh(layer(x)) for layer, x in zip(first, (latents[k], queries[m]), strict=True)]
            expected = decoder.rest(jnp.tanh(jnp.concatenate(embedded) @ weight + bias))
            np.testing.assert_allclose(decoder(latents, queries)[k, m], expected, atol=CLOSE)
