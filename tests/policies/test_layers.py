import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rl_meta.numerics.moments import Moments
from rl_meta.policies.layers import MLP, Linear, PolicyHead, ValueHead, functional

ROUNDING = 1e-5
"""Single-precision products of length 8, relative to the largest of them."""
KEY = jax.random.key(0)
X = jnp.float32(np.random.default_rng(0).normal(size=(6, 3)))

few = settings(max_examples=40, deadline=None)


def make(key):
    """A module that holds arrays and what is not an array."""
    return MLP(3, (8, 4), 2, key=key)


def moments(mean, std):
    return Moments(jnp.array(1.0), jnp.float32(mean), jnp.float32(std) ** 2)


def value_head():
    head = ValueHead(3, (8,), key=KEY)
    return eqx.tree_at(lambda h: h.mlp.layers[-1].bias, head, jnp.array([0.7]))


rescaled_outputs = jax.jit(lambda head, old, new: head.rescaled(old, new)(X))


def test_functional_parameters_are_arrays_only():
    params = functional(make)[0](KEY)
    assert all(eqx.is_array(leaf) for leaf in jax.tree.leaves(params))


def test_functional_parameters_make_the_module_that_was_constructed():
    init, apply = functional(make)
    np.testing.assert_array_equal(apply(init(KEY))(X), make(KEY)(X))


def test_functional_parameters_pass_through_jit():
    init, apply = functional(make)
    np.testing.assert_allclose(jax.jit(lambda p, x: apply(p)(x))(jax.jit(init)(KEY), X), make(KEY)(X), atol=ROUNDING)


def test_functional_parameters_have_gradients_of_their_own_structure():
    init, apply = functional(make)
    params = init(KEY)
    gradient = jax.grad(lambda params: (apply(params)(X) ** 2).sum())(params)
    assert jax.tree.map(jnp.shape, gradient) == jax.tree.map(jnp.shape, params)


def test_functional_parameters_may_be_stacked():
    init, apply = functional(make)
    keys = jax.random.split(KEY, 3)
    together = jax.vmap(lambda params: apply(params)(X))(jax.vmap(init)(keys))
    np.testing.assert_allclose(together, [make(key)(X) for key in keys], atol=ROUNDING)


@pytest.mark.parametrize(("size_in", "size_out"), [(4, 4), (3, 7), (7, 3)])
def test_a_linear_layer_is_orthogonal_times_its_gain(size_in, size_out):
    weight = np.asarray(Linear(size_in, size_out, gain=3.0, key=KEY).weight)
    gram = weight @ weight.T if size_in < size_out else weight.T @ weight
    np.testing.assert_allclose(gram, 9 * np.eye(min(size_in, size_out)), atol=10 * ROUNDING)


def as_matrix(layer):
    """[in, out]"""
    weight = np.asarray(layer.weight, float)
    return weight.T if layer.narrow else weight


@pytest.mark.parametrize("size_in", [3, 16])
def test_a_layer_is_narrow_or_not_without_a_difference_in_what_it_computes(size_in):
    layer = Linear(size_in, 4, key=KEY)
    x = jax.random.normal(KEY, (5, size_in))
    assert layer.narrow == (size_in == 16)
    np.testing.assert_allclose(layer(x), np.asarray(x) @ as_matrix(layer), atol=ROUNDING)


def test_a_linear_layer_is_a_product_and_a_sum():
    layer = eqx.tree_at(lambda l: l.bias, Linear(3, 2, key=KEY), jnp.array([1.0, -1.0]))
    expected = np.asarray(X, float) @ np.asarray(layer.weight, float) + [1, -1]
    np.testing.assert_allclose(layer(X), expected, atol=ROUNDING)


def test_the_bias_of_a_new_layer_is_zero():
    np.testing.assert_array_equal(Linear(3, 2, key=KEY).bias, [0, 0])


@pytest.mark.parametrize(("size_out", "expected"), [(2, (5, 6, 2)), (None, (5, 6, 4))])
def test_the_last_axis_of_an_mlp_is_its_output_or_its_last_hidden_layer(size_out, expected):
    assert MLP(3, (8, 4), size_out, key=KEY)(jnp.zeros((5, 6, 3))).shape == expected


def test_an_mlp_without_hidden_layers_is_linear():
    mlp = MLP(3, (), 2, key=KEY)
    np.testing.assert_allclose(mlp(2 * X), 2 * mlp(X), atol=ROUNDING)


@pytest.mark.parametrize("final", [True, False])
def test_an_mlp_has_tanh_after_every_layer_but_a_final_one(final):
    mlp = MLP(3, (8, 4), 2 if final else None, key=KEY)
    expected = np.asarray(X, float)
    for index, layer in enumerate(mlp.layers):
        expected = expected @ as_matrix(layer) + np.asarray(layer.bias, float)
        expected = expected if final and index == len(mlp.layers) - 1 else np.tanh(expected)
    np.testing.assert_allclose(mlp(X), expected, atol=ROUNDING)


def test_hidden_layers_have_gain_root_two_and_the_output_its_own():
    mlp = MLP(3, (8, 4), 2, gain=0.5, key=KEY)
    norms = [np.linalg.norm(layer.weight, 2) for layer in mlp.layers]
    np.testing.assert_allclose(norms, [2**0.5, 2**0.5, 0.5], rtol=ROUNDING)


def test_layers_of_the_same_size_have_weights_of_their_own():
    first, second, _ = MLP(4, (4, 4), 1, key=KEY).layers
    assert float(jnp.abs(first.weight - second.weight).max()) > 0.1


def test_a_new_policy_head_is_nearly_indifferent():
    outputs = PolicyHead(3, (8,), (4, 0), key=KEY)(X)
    assert float(jnp.abs(outputs).max()) < 0.1


def test_free_parameters_of_a_policy_head_are_the_same_in_every_state():
    outputs = PolicyHead(3, (8,), (2, 2), key=KEY)(jnp.stack([X, 2 * X]))
    np.testing.assert_array_equal(outputs[..., 2:], np.full((2, 6, 2), -0.5))


def test_a_value_head_gives_one_number_per_state():
    assert ValueHead(3, (8,), key=KEY)(jnp.zeros((5, 6, 3))).shape == (5, 6)


@few
@given(st.floats(-50, 50), st.floats(0.1, 50), st.floats(-50, 50), st.floats(0.1, 50))
def test_a_rescaled_value_head_predicts_the_same_returns(old_mean, old_std, new_mean, new_std):
    head, old, new = value_head(), moments(old_mean, old_std), moments(new_mean, new_std)
    before = old.mean + old.std * head(X)
    after = new.mean + new.std * rescaled_outputs(head, old, new)
    largest = 100 + 5 * old_std
    np.testing.assert_allclose(after, before, atol=ROUNDING * largest)


def test_rescaling_to_the_same_units_changes_nothing():
    head, units = value_head(), moments(3.0, 2.0)
    np.testing.assert_allclose(rescaled_outputs(head, units, units), head(X), atol=ROUNDING)


def test_rescaling_leaves_the_hidden_layers_alone():
    head = value_head()
    hidden = head.rescaled(moments(0.0, 1.0), moments(5.0, 3.0)).mlp.layers[0]
    np.testing.assert_array_equal(hidden.weight, head.mlp.layers[0].weight)
