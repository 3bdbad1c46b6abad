import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_meta.exporting.draws import BITS, Draw, explicit
from rl_meta.exporting.walking import UnknownError


def choose(key, logits):
    key_choice, key_noise, _ = jax.random.split(key, 3)
    noise = jax.jit(lambda k: 3.0 + 2.0 * jax.random.normal(k, (2,)))(jax.random.fold_in(key_noise, 7))
    return jax.random.categorical(key_choice, logits), noise, jax.random.bits(key, (2, 2))


LOGITS = jnp.array([0.1, 0.2, 0.3, 0.0])


def test_every_draw_becomes_an_input():
    made = explicit(choose, LOGITS)
    assert made.draws == (Draw("normal", (2,)), Draw("gumbel", (4,)), Draw(BITS, (2, 2)))


def test_with_what_a_key_draws_the_function_returns_what_it_returns_with_the_key():
    made = explicit(choose, LOGITS)
    for seed in range(5):
        key = jax.random.key(seed)
        got, expected = made.function(made.drawn(key, LOGITS), LOGITS), choose(key, LOGITS)
        jax.tree.map(np.testing.assert_array_equal, got, expected)


def test_zeros_choose_the_mode():
    made = explicit(choose, LOGITS)
    action, noise, _ = made.function(tuple(jnp.zeros(draw.shape, draw.like.dtype) for draw in made.draws), LOGITS)
    assert int(action) == 2
    assert noise.tolist() == [3.0, 3.0]


def test_a_function_that_does_not_look_at_its_key_draws_nothing():
    assert explicit(lambda key, x: 2 * x, LOGITS).draws == ()


def test_drawing_inside_a_loop_is_refused():
    def loop(key, x):
        return jax.lax.fori_loop(0, 3, lambda i, x: x + jax.random.normal(jax.random.fold_in(key, i)), x)

    with pytest.raises(UnknownError, match=r"draws random numbers inside a `(scan|while)`"):
        explicit(loop, jnp.array(0.0))
