"""Models: their sizes, their initial parameters, and that each is a pure function of them."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from support.python_process import run_python

from jasgd.problems import convolutions
from jasgd.problems.convolutions import features, max_pool
from jasgd.problems.models import MODELS, functional

GREY, COLOUR = (28, 28, 1), (32, 32, 3)


@pytest.fixture(scope="module")
def built():
    """Each model's parameters and function, built once."""
    cache = {}

    def make(model, initial="default"):
        if (model, initial) not in cache:
            cache[model, initial] = functional(model, GREY, 10, 0, initial)
        return cache[model, initial]

    return make


def images(count, shape=GREY, seed=0):
    return np.random.default_rng(seed).normal(size=(count, *shape)).astype(np.float32)


def flat(params):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(params)])


@pytest.mark.parametrize(
    ("model", "shape", "count"),
    [
        ("mlp", GREY, 134_794),
        ("mlp", COLOUR, 32 * 32 * 3 * 128 + 128 + 2 * (128 * 128 + 128) + 128 * 10 + 10),
        ("lenet", GREY, 34_622),
        ("lenet", COLOUR, 52_202),
        ("lenet5", GREY, 61_706),
        ("lenet5", COLOUR, 62_006),
    ],
)
def test_parameter_counts(model, shape, count):
    def both(x):  # on shapes alone, since nothing here depends on values
        params, apply = functional(model, shape, 10, 0)
        return params, apply(params, x)

    params, logits = jax.eval_shape(both, images(3, shape))
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == count
    assert (logits.shape, logits.dtype) == ((3, 10), jnp.float32)


@pytest.mark.parametrize("model", MODELS)
def test_parameters_are_nested_dicts_of_jax_arrays(model, built):
    params, _ = built(model)
    assert type(params) is dict
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        assert isinstance(leaf, jax.Array)
        assert (leaf.dtype, leaf.weak_type) == (jnp.float32, False)
        assert all(isinstance(key, jax.tree_util.DictKey) and isinstance(key.key, str) for key in path)


@pytest.mark.parametrize("model", MODELS)
def test_published_initial_parameters_are_small_normals(model, built):
    params, _ = built(model, initial="published")
    values = flat(params) / 0.01
    error = 5 / np.sqrt(values.size)  # five standard errors
    assert abs(values.mean()) < error
    assert abs(values.std() - 1) < error
    assert abs((np.abs(values) < 1).mean() - 0.6827) < error
    assert np.abs(values).max() > 3.2  # not truncated
    biases = np.concatenate([np.ravel(layer["bias"]) for layer in params.values()]) / 0.01
    assert 0.8 < biases.std() < 1.2
    assert (biases != 0).all()


@pytest.mark.parametrize("model", MODELS)
def test_default_initial_parameters_are_he_normals(model, built):
    params, _ = built(model)
    for name, layer in params.items():
        kernel = np.asarray(layer["kernel"])
        fan_in = np.prod(kernel.shape[:-1])
        expected = np.sqrt(2 / fan_in)
        assert abs(kernel.std() / expected - 1) < 5 / np.sqrt(kernel.size), name
        assert abs(kernel.mean() / expected) < 5 / np.sqrt(kernel.size), name
        assert (np.asarray(layer["bias"]) == 0).all()


@pytest.mark.parametrize("initial", ["default", "published"])
def test_parameters_come_from_the_seed(initial, built):
    params, _ = built("mlp", initial=initial)
    again, _ = functional("mlp", GREY, 10, 0, initial)
    other, _ = functional("mlp", GREY, 10, 1, initial)
    np.testing.assert_array_equal(flat(params), flat(again))
    assert not np.array_equal(flat(params), flat(other))


def test_layers_are_not_copies_of_each_other(built):
    params, _ = built("mlp", initial="published")
    assert not np.array_equal(params["hidden2"]["kernel"], params["hidden3"]["kernel"])
    assert not np.array_equal(params["hidden2"]["bias"], params["hidden3"]["bias"])


def dense(layer, x):
    return x @ layer["kernel"] + layer["bias"]


def convolution(layer, x, padding="VALID"):
    out = lax.conv_general_dilated(x, layer["kernel"], (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return out + layer["bias"]


def pooled(x):
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


@jax.jit
def reference_mlp(params, x):
    x = x.reshape(len(x), -1)
    for name in ("hidden1", "hidden2", "hidden3"):
        x = jax.nn.relu(dense(params[name], x))
    return dense(params["output"], x)


@jax.jit
def reference_lenet(params, x):
    x = pooled(jax.nn.relu(convolution(params["conv1"], x)))
    x = pooled(jax.nn.relu(convolution(params["conv2"], x)))
    x = jax.nn.relu(dense(params["dense1"], x.reshape(len(x), -1)))
    return dense(params["output"], x)


@jax.jit
def reference_lenet5(params, x):
    x = pooled(jax.nn.relu(convolution(params["conv1"], x, [(2, 2), (2, 2)])))
    x = pooled(jax.nn.relu(convolution(params["conv2"], x)))
    x = jax.nn.relu(dense(params["dense1"], x.reshape(len(x), -1)))
    x = jax.nn.relu(dense(params["dense2"], x))
    return dense(params["output"], x)


@pytest.mark.parametrize(
    ("model", "reference"),
    [("mlp", reference_mlp), ("lenet", reference_lenet), ("lenet5", reference_lenet5)],
)
def test_models_compute_what_their_names_say(model, reference, built):
    params, apply = built(model)
    # Biases too, which start at zero.
    params = jax.tree.map(lambda p: p + 0.02 * jnp.cos(jnp.arange(p.size, dtype=p.dtype)).reshape(p.shape), params)
    x = images(5)
    expected = reference(params, x)
    assert expected.std() > 0.1
    np.testing.assert_allclose(jax.jit(apply)(params, x), expected, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("model", MODELS)
def test_apply_is_pure_and_can_be_transformed(model, built):
    params, apply = built(model)
    before = flat(params).copy()
    x = images(4)

    def total(params, x):
        return (apply(params, x) ** 2).mean()

    grads = jax.jit(jax.grad(total))(params, x)
    assert jax.tree.structure(grads) == jax.tree.structure(params)
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(grads))
    stacked = jax.tree.map(lambda p: jnp.stack([p, 2 * p]), params)
    both = jax.jit(jax.vmap(apply, in_axes=(0, None)))(stacked, x)
    np.testing.assert_allclose(both[0], jax.jit(apply)(params, x), rtol=1e-4, atol=1e-4)
    assert np.abs(both[1] - both[0]).max() > 0.1
    np.testing.assert_array_equal(flat(params), before)


def test_max_pool_and_its_gradient():
    x = jnp.asarray(images(2, (6, 8, 3)))
    np.testing.assert_array_equal(max_pool(x), pooled(x))
    weights = images(2, (3, 4, 3), seed=1)
    ours, theirs = (jax.grad(lambda x, f=f: (f(x) * weights).sum())(x) for f in (max_pool, pooled))
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("resnet", GREY, 10, 0), "model must be one of mlp, lenet, lenet5, got 'resnet'"),
        (("mlp", GREY, 10, 0, "ones"), "initial must be one of default, published, got 'ones'"),
        (("mlp", GREY, 10, -1), "seed must be ≥ 0, got -1"),
        (("lenet", (8, 8, 1), 10, 0), r"at least 16 .* got \(8, 8, 1\)"),
        (("lenet", (28, 30, 1), 10, 0), r"halve twice, such as 28 or 32, got \(28, 30, 1\)"),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(ValueError, match=message):
        functional(*arguments)


def test_models_need_no_library_for_models():
    code = (
        "import sys; sys.modules['flax'] = None; from jasgd import *; import numpy as np\n"
        "params, apply = problems.models.functional('lenet', (28, 28, 1), 10, 0)\n"
        "print(apply(params, np.ones((2, 28, 28, 1), np.float32)).shape)"
    )
    assert run_python("-c", code).stdout == "(2, 10)\n"


def of_flax(model, shape, initial, seed):
    """Parameters as Flax draws them, which saved runs began with."""
    nnx = pytest.importorskip("flax.nnx")
    network = MODELS[model](shape, 10)
    small = nnx.initializers.normal(0.01)
    default = {"kernel_init": nnx.initializers.he_normal(), "bias_init": nnx.initializers.zeros_init()}
    published = {"kernel_init": small, "bias_init": small}
    options = {"rngs": nnx.Rngs(seed)} | (published if initial == "published" else default)
    layers = {}
    for name, kernel in network.kernels.items():
        if len(kernel) == 4:
            layers[name] = nnx.Conv(*kernel[2:], kernel_size=kernel[:2], padding="VALID", **options)
        else:
            layers[name] = nnx.Linear(*kernel, **options)
    return {name: nnx.to_pure_dict(nnx.state(layer)) for name, layer in layers.items()}, layers


@pytest.mark.newest
@pytest.mark.parametrize("initial", ["default", "published"])
@pytest.mark.parametrize(("model", "shape"), [("mlp", GREY), ("lenet", COLOUR), ("lenet5", GREY)])
def test_parameters_are_those_of_flax(model, shape, initial):
    for seed in (0, 2**32 - 1):
        params, _ = functional(model, shape, 10, seed, initial)
        expected, _ = of_flax(model, shape, initial, seed)
        assert jax.tree.structure(params) == jax.tree.structure(expected)
        np.testing.assert_array_equal(flat(params), flat(expected))


def test_a_perceptron_computes_the_same_program_as_that_of_flax():
    nnx = pytest.importorskip("flax.nnx")
    params, apply = functional("mlp", GREY, 10, 3)
    _, layers = of_flax("mlp", GREY, "default", 3)
    x = images(4)

    def reference(params, images):
        x = images.reshape(images.shape[0], -1)
        for name in ("hidden1", "hidden2", "hidden3", "output"):
            graph, _ = nnx.split(layers[name])
            x = nnx.merge(graph, params[name])(x)
            x = x if name == "output" else nnx.relu(x)
        return x

    programs = [
        jax.jit(jax.grad(lambda params, x, of=of: of(params, x).sum())).lower(params, x) for of in (apply, reference)
    ]
    assert programs[0].as_text() == programs[1].as_text()


def random_layers(channels, *outputs):
    layers, rng = [], np.random.default_rng(3)
    for of, to in itertools.pairwise((channels, *outputs)):
        layers += [rng.normal(size=(5, 5, of, to)) / np.sqrt(25 * of), rng.normal(size=to) / 4]
    return [jnp.asarray(array, jnp.float32) for array in layers]


@pytest.mark.parametrize(
    ("shape", "outputs"),
    [((28, 28, 1), (6, 16)), ((32, 32, 3), (6, 16)), ((16, 20, 2), (3, 5)), ((6, 6, 1), (4,)), ((14, 10, 3), (2,))],
)
def test_both_forms_of_the_convolutions_are_one_function(shape, outputs):
    x = jnp.asarray(np.random.default_rng(1).normal(size=(7, *shape)), jnp.float32)
    layers = random_layers(shape[-1], *outputs)
    direct, tiled = jax.jit(convolutions._direct)(x, *layers), jax.jit(convolutions._tiled)(x, *layers)
    assert 0.2 < (direct > 0).mean() < 1  # some pools are cut off by the ReLU, most are not
    np.testing.assert_allclose(tiled, direct, rtol=1e-5, atol=1e-5)
    weights = jnp.cos(jnp.arange(direct.size, dtype=jnp.float32)).reshape(direct.shape)

    def gradients(form):
        total = jax.grad(lambda x, layers: (form(x, *layers) * weights).sum(), argnums=(0, 1))
        return jax.tree.leaves(jax.jit(total)(x, layers))

    for ours, theirs in zip(gradients(convolutions._tiled), gradients(convolutions._direct), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4 * float(jnp.abs(theirs).max()))


@pytest.mark.parametrize("batch", [131, 150, 256])  # as a whole, in three parts of 50, in four of 64
def test_large_batches_are_computed_in_parts_to_the_same_features_and_gradients(batch):
    assert convolutions.part_of(batch) == {131: 131, 150: 50, 256: 64}[batch]
    x = jnp.asarray(np.random.default_rng(1).normal(size=(batch, 16, 16, 1)), jnp.float32)
    layers = random_layers(1, 6, 16)
    np.testing.assert_allclose(convolutions._tiled(x, *layers), convolutions._direct(x, *layers), rtol=1e-5, atol=1e-5)

    def gradients(form):
        return jax.jit(jax.grad(lambda layers, x: (form(x, *layers) ** 2).sum(), argnums=(0, 1)))(layers, x)

    for ours, theirs in zip(*map(jax.tree.leaves, map(gradients, (convolutions._tiled, convolutions._direct))),
                            strict=True):  # fmt: skip
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4 * float(jnp.abs(theirs).max()))


def test_the_gradient_of_large_batches_is_differentiated_forwards():
    """As an audit does, which estimates the curvature by products with the Hessian."""
    x = jnp.asarray(np.random.default_rng(1).normal(size=(256, 16, 16, 1)), jnp.float32)
    layers = random_layers(1, 6, 16)

    def product(form):
        def gradient(layers):
            return jax.grad(lambda layers: (form(x, *layers) ** 3).sum())(layers)

        return jax.jit(lambda layers: jax.jvp(gradient, (layers,), (layers,))[1])(layers)

    for ours, theirs in zip(product(convolutions._tiled), product(convolutions._direct), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3 * float(jnp.abs(theirs).max()))


def test_this_platform_takes_its_own_form():
    x, layers = jnp.ones((1, 16, 16, 1)), random_layers(1, 6, 16)
    pairs = [(layers[0], layers[1]), (layers[2], layers[3])]
    # The tests run on CPUs, where XLA's convolutions would be three times slower.
    assert "stablehlo.convolution" not in jax.jit(features).lower(x, pairs).as_text()
    assert "stablehlo.convolution" in jax.jit(convolutions._direct).lower(x, *layers).as_text()


@pytest.mark.parametrize("sides", [(12, 16), (18, 16), (16, 17)])
def test_sides_that_poolings_do_not_halve_are_refused(sides):
    first, second = random_layers(1, 6, 16)[:2], random_layers(6, 16)
    with pytest.raises(ValueError, match=r"images must have sides that are multiples of 4, from 16 on, got \(1, "):
        features(jnp.ones((1, *sides, 1)), [first, second])
    with pytest.raises(ValueError, match="layers must be one or two, got 3"):
        features(jnp.ones((1, 64, 64, 1)), [first, second, second])
