"""Where pictures are in a vector, and the eyes that look at them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

from rl_meta.policies.layers import MLP
from rl_meta.policies.layout import Layout
from rl_meta.policies.normaliser import Normaliser
from rl_meta.policies.spaces import flat_size, flatten, is_continuous, is_picture, layout
from rl_meta.policies.vision import Eyes, neighbourhoods, tiles

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
ROUNDING = 1e-5
PICTURES = {"grey": (9, 8), "colour": (8, 9, 3), "frames": (4, 10, 8), "colour frames": (2, 8, 8, 3)}
CHANNELS = {"grey": (), "colour": (2,), "frames": (0,), "colour frames": (0, 3)}


def pixels(*shape):
    return spaces.Box(0, 255, shape, np.uint8)


BOTH = spaces.Dict({"camera": pixels(8, 8, 3), "speed": spaces.Box(-9, 9, (2,)), "gear": spaces.Discrete(3)})


@pytest.mark.parametrize("shape", PICTURES.values(), ids=PICTURES)
def test_a_picture_is_found_in_the_vector(shape):
    space = pixels(*shape)
    channels = next(axes for name, axes in CHANNELS.items() if PICTURES[name] == shape)
    shown = RNG.integers(0, 256, (5, *shape), np.uint8)
    batched = [1 + axis for axis in channels]
    rest = [axis for axis in range(1, shown.ndim) if axis not in batched]
    expected = shown.transpose(0, *rest, *batched).reshape(5, *(shown.shape[axis] for axis in rest), -1) / 255
    (picture,) = layout(space).pictures
    np.testing.assert_allclose(picture.image(flatten(space, shown)), expected, atol=ROUNDING)


@pytest.mark.parametrize(
    "space", [pixels(7, 7, 3), pixels(128), spaces.Box(0, 1, (16, 16, 3)), spaces.Box(0, 9, (9, 9), np.int32)]
)
def test_what_is_small_or_flat_or_not_of_bytes_is_no_picture(space):
    assert not is_picture(space)
    assert layout(space) == Layout(flat_size(space))
    assert is_continuous(space).all()


def test_pixels_are_scaled_to_one_by_their_bounds_and_not_normalised():
    shown = {"camera": np.full((2, 8, 8, 3), 51, np.uint8), "speed": np.ones((2, 2)), "gear": np.array([0, 2])}
    seen = Normaliser.unit(BOTH)
    seen = seen._replace(obs=seen.obs._replace(mean=seen.obs.mean + 0.5))
    vector, where = seen.see(BOTH, shown), layout(BOTH)
    (picture,) = where.pictures
    np.testing.assert_allclose(picture.image(vector), 0.2, atol=ROUNDING)
    others = where.without_pictures(vector)
    np.testing.assert_allclose(others, vector[:, where.others])
    np.testing.assert_allclose(others[0], [1, 0, 0, 0.5, 0.5], atol=ROUNDING)
    mask = spaces.Box(0, 1, (8, 8), np.uint8)
    np.testing.assert_array_equal(flatten(mask, np.ones((8, 8), np.uint8)), np.ones(64))


def test_joined_vectors_have_the_pictures_of_both():
    twice = layout(BOTH) + 4 + layout(BOTH)
    x = jnp.asarray(RNG.normal(size=(3, twice.size)))
    first, second = twice.pictures
    size = flat_size(BOTH)
    (alone,) = layout(BOTH).pictures
    np.testing.assert_array_equal(first.image(x), alone.image(x[:, :size]))
    np.testing.assert_array_equal(second.image(x), alone.image(x[:, size + 4 :]))
    assert twice.without_pictures(x).shape == (3, 14)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (7, 10), (5, 9)])
@pytest.mark.parametrize("side", [2, 4, None])
def test_filters_are_convolutions(side, height, width):
    image, size = jnp.float32(RNG.normal(size=(2, height, width, 3))), side or 3
    weight = RNG.normal(size=(size, size, 3, 5)).astype(np.float32)
    stride = side or 2
    after = [-(-length // stride) * stride - length for length in (height, width)]
    frame = [(int(side is None), n) for n in after]
    expected = jax.lax.conv_general_dilated(
        image, weight, (stride, stride), frame, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    found = neighbourhoods(image) if side is None else tiles(image, side)
    np.testing.assert_allclose(found @ weight.reshape(-1, 5), expected, atol=1e-4)


@pytest.mark.parametrize("shape", [(8, 8, 1), (16, 20, 3), (84, 84, 4), (210, 160, 3)])
def test_eyes_make_a_few_hundred_numbers_of_a_picture(shape):
    where = layout(pixels(*shape)) + 2
    eyes = Eyes(where, key=KEY)
    assert jax.eval_shape(eyes, jnp.zeros((3, where.size))).shape == (3, eyes.size_out)
    assert 200 < eyes.size_out < 700


def test_the_same_filters_see_pictures_of_the_same_shape():
    where = layout(pixels(8, 8)) + layout(pixels(8, 8)) + layout(pixels(9, 8))
    eyes = Eyes(where, key=KEY)
    assert len(eyes.filters) == 2
    x = RNG.random(64)
    first, second, _ = np.split(np.asarray(eyes(jnp.asarray([*x, *x, *np.zeros(72)]))), [256, 512])
    np.testing.assert_array_equal(first, second)


def test_layers_with_eyes_reread_what_is_no_pixel():
    where = layout(BOTH)
    network = MLP(where, (8,), 2, key=KEY)
    x = jnp.asarray(RNG.random((4, where.size)), jnp.float32)
    scale, shift = np.ones(where.size, np.float32), np.zeros(where.size, np.float32)
    scale[where.others], shift[where.others] = 2.0, 0.3
    assert network.size_in == where.size
    reread = network.rereading(jnp.asarray(scale), jnp.asarray(shift))
    np.testing.assert_allclose(reread(x), network(scale * x + shift), atol=1e-4)


def test_a_network_without_pictures_has_no_eyes():
    assert MLP(3, (4,), 2, key=KEY).eyes is None
