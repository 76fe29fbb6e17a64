"""Problems: what a name, a preset and a seed fix, and that training on one works."""

import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.every_scheme import needs_compiler
from support.python_process import run_python

import jasgd
from jasgd import problems
from jasgd.problems import problem as problem_module
from jasgd.problems.datasets import Dataset, load_dataset, locate


@pytest.fixture(scope="module")
def digits():
    return problems.load("digits", "mlp", batch_size=32, seed=3)


@pytest.fixture(scope="module")
def published():
    return problems.load("digits", "mlp", batch_size=32, seed=3, preset="published")


def flat(params):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(params)])


def logits_of(problem, images):
    return np.asarray(jax.jit(problem.apply)(problem.params, images), np.float64)


def cross_entropies(logits, labels):
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(labels)), labels]


def test_fields(digits):
    assert (digits.name, digits.model, digits.batch_size, digits.seed) == ("digits/mlp", "mlp", 32, 3)
    assert digits.preset is None
    assert digits.dataset.name == "digits"


def test_loss_is_the_mean_cross_entropy(digits):
    images, labels = digits.batches(7)
    loss = jax.jit(digits.loss_fn)(digits.params, (images, labels))
    assert (loss.shape, loss.dtype) == ((), jnp.float32)
    expected = cross_entropies(logits_of(digits, images), labels).mean()
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_loss_closes_over_no_data(digits):
    closed = jax.make_jaxpr(digits.loss_fn)(digits.params, digits.batches(0))
    assert sum(np.size(constant) for constant in closed.consts) < 100


def test_batches_are_fresh_and_from_the_ticket_alone(digits):
    images, labels = digits.batches(5)
    assert (images.dtype, labels.dtype) == (np.float32, np.int32)
    assert (images.shape, labels.shape) == ((32, 28, 28, 1), (32,))
    kept = images.copy()
    images[:] = 0
    np.testing.assert_array_equal(digits.batches(5)[0], kept)
    assert not np.array_equal(digits.batches(6)[0], kept)


def test_images_and_labels_belong_together(published):
    raw = {
        image.tobytes(): label
        for image, label in zip(published.dataset.train_images, published.dataset.train_labels, strict=True)
    }
    images, labels = published.batches(11)
    assert [raw[image.astype(np.uint8).tobytes()] for image in images] == labels.tolist()


def test_seed_fixes_parameters_and_batches(digits):
    same = problems.load("digits", "mlp", batch_size=32, seed=3)
    other = problems.load("digits", "mlp", batch_size=32, seed=4)
    np.testing.assert_array_equal(flat(same.params), flat(digits.params))
    assert not np.array_equal(flat(other.params), flat(digits.params))
    for ticket in (0, 100):
        np.testing.assert_array_equal(same.batches(ticket)[0], digits.batches(ticket)[0])
        assert not np.array_equal(other.batches(ticket)[0], digits.batches(ticket)[0])


def test_parameters_do_not_depend_on_the_batch_size_nor_batches_on_the_model(digits):
    other = problems.load("digits", "mlp", batch_size=16, seed=3)
    np.testing.assert_array_equal(flat(other.params), flat(digits.params))
    lenet = problems.load("digits", "lenet", batch_size=32, seed=3)
    np.testing.assert_array_equal(lenet.batches(9)[0], digits.batches(9)[0])


def test_pixels_are_standardised_with_the_training_sets_constants():
    whole = problems.load("digits", "mlp", batch_size=1437)
    images, _ = whole.batches(0)
    assert abs(images.mean(dtype=np.float64)) < 1e-6
    assert abs(images.std(dtype=np.float64) - 1) < 1e-6
    raw = np.unique(whole.dataset.train_images) / 255.0
    steps = np.diff(np.unique(images)) / np.diff(raw)  # affine, with one slope
    np.testing.assert_allclose(steps, 1 / (whole.dataset.train_images / 255).std(), rtol=1e-3)


def test_test_pixels_are_scaled_with_the_training_sets_constants(digits):
    train = digits.dataset.train_images / 255
    images = ((digits.dataset.test_images / 255 - train.mean()) / train.std()).astype(np.float32)
    expected = cross_entropies(logits_of(digits, images), digits.dataset.test_labels).mean()
    np.testing.assert_allclose(digits.evaluate(digits.params)["loss"], expected, rtol=1e-5)


def test_each_channel_has_constants_of_its_own():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 4, 4, 3), np.uint8) // np.array([1, 2, 5], np.uint8)
    labels = np.zeros(40, np.int32)
    data = Dataset("made", images, labels, images, labels, published_divisor=255)
    scaled = problem_module._scaled(images, problem_module._standardised_pixels(data))
    np.testing.assert_allclose(scaled.mean(axis=(0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(scaled.std(axis=(0, 1, 2)), 1, rtol=1e-5)
    raw = problem_module._scaled(images, problem_module._published_pixels(data))
    np.testing.assert_array_equal(raw, (images / 255).astype(np.float32))


def test_published_preset(published):
    images, _ = published.batches(0)
    assert images.dtype == np.float32
    assert images.min() == 0
    assert images.max() == 255
    assert (images == np.rint(images)).all()
    values = flat(published.params)
    assert abs(values.std() / 0.01 - 1) < 0.02
    assert (np.asarray(published.params["output"]["bias"]) != 0).all()
    per_epoch = 1437 // 32
    for ticket in (0, 3):
        np.testing.assert_array_equal(published.batches(ticket)[0], published.batches(ticket + per_epoch)[0])


def test_batches_are_shuffled_anew_by_default(digits):
    first, second = ({image.tobytes() for image in digits.batches(t)[0]} for t in (0, 1437 // 32))
    assert first != second


@pytest.mark.parametrize(("test_examples", "chunk"), [(None, 100), (360, 360), (37, 10), (1, 1_000)])
def test_evaluation_in_chunks_is_the_mean_over_all(test_examples, chunk, monkeypatch):
    monkeypatch.setattr(problem_module, "EVALUATED_AT_ONCE", chunk)
    problem = problems.load("digits", "mlp", preset="published", test_examples=test_examples)
    # The small published parameters alone hardly prefer any class.
    problem.params["output"]["bias"] = jnp.linspace(0, 3, 10)
    images = problem.dataset.test_images[:test_examples].astype(np.float32)
    labels = problem.dataset.test_labels[:test_examples]
    logits = logits_of(problem, images)
    measured = problem.evaluate(problem.params)
    assert list(measured) == ["loss", "accuracy"]
    assert all(type(value) is float for value in measured.values())
    np.testing.assert_allclose(measured["loss"], cross_entropies(logits, labels).mean(), rtol=1e-5)
    assert measured["accuracy"] == (logits.argmax(axis=1) == labels).mean()


def test_evaluation_traces_once_and_takes_the_images_as_an_argument():
    traced = []

    def apply(params, images):
        assert isinstance(images, jax.core.Tracer)
        traced.append(images.shape)
        return images.reshape(len(images), -1)[:, :10] * params

    images = np.eye(10, dtype=np.float32)[np.arange(2_500) % 10].reshape(-1, 2, 5, 1)
    labels = (np.arange(2_500) % 10).astype(np.int32)
    labels[-1] = 0  # the one wrong answer lies beside the padding
    evaluate = problem_module._evaluation(apply, images, labels)
    assert evaluate(1.0)["accuracy"] == 2_499 / 2_500
    assert evaluate(-1.0)["accuracy"] == 1 / 2_500  # the smallest logit is never chosen, and that one is right
    assert traced == [(1_000, 2, 5, 1)]


def test_non_finite_parameters_evaluate_to_nan(digits):
    broken = jax.tree.map(lambda p: p * jnp.nan, digits.params)
    assert np.isnan(digits.evaluate(broken)["loss"])


@pytest.mark.parametrize("model", ["mlp", "lenet"])
def test_a_few_steps_reduce_the_loss(model):
    problem = problems.load("digits", model, batch_size=64)
    tx = optax.sgd(0.02)

    @jax.jit
    def step(params, state, batch):
        loss, grads = jax.value_and_grad(problem.loss_fn)(params, batch)
        updates, state = tx.update(grads, state)
        return optax.apply_updates(params, updates), state, loss

    params, state = problem.params, tx.init(problem.params)
    before = problem.evaluate(params)
    for ticket in range(60):
        params, state, _ = step(params, state, problem.batches(ticket))
    after = problem.evaluate(params)
    assert after["loss"] < before["loss"] / 3
    assert before["accuracy"] < 0.3
    assert after["accuracy"] > 0.8


def test_problem_trains_asynchronously():
    problem = problems.load("digits", "mlp", batch_size=64)
    result = jasgd.train(
        problem.loss_fn, problem.params, optax.sgd(0.01), problem.batches, scheme="leashed", workers=2, steps=60
    )
    assert problem.evaluate(result.params)["loss"] < problem.evaluate(problem.params)["loss"] / 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dataset": "svhn"}, "dataset must be one of mnist, fashion_mnist, cifar10, digits, got 'svhn'"),
        ({"model": "resnet"}, "model must be one of mlp, lenet, lenet5, got 'resnet'"),
        ({"preset": "fast"}, "preset must be None or one of published, got 'fast'"),
        ({"batch_size": 0}, "batch_size must be an integer ≥ 1, got 0"),
        ({"batch_size": 2.5}, "batch_size must be an integer ≥ 1, got 2.5"),
        ({"batch_size": 1438}, "batch_size must be an integer in 1…1437, got 1438"),
        ({"seed": -1}, "seed must be an integer ≥ 0, got -1"),
        ({"seed": None}, "seed must be an integer ≥ 0, got None"),
        ({"test_examples": 0}, "test_examples must be an integer ≥ 1, got 0"),
        ({"test_examples": 361}, "test_examples must be an integer in 1…360, got 361"),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(ValueError, match=message):
        problems.load(**arguments)


def test_names_are_refused_before_data_is_loaded(monkeypatch):
    monkeypatch.setattr(problem_module, "load_dataset", lambda *_: pytest.fail("loaded"))
    for arguments in ({"model": "resnet"}, {"preset": "fast"}, {"batch_size": 0}, {"seed": -1}):
        with pytest.raises(ValueError, match=r"must be"):
            problems.load(**arguments)


def test_data_dir_and_download_are_handed_on(tmp_path):
    with pytest.raises(problems.DatasetError, match="data_dir"):
        problems.load("mnist", data_dir=tmp_path)


def test_importing_jasgd_imports_no_model_library():
    code = "import sys, jasgd; sys.exit(any(m in sys.modules for m in ('flax', 'sklearn', 'scipy.ndimage', 'pooch')))"
    run_python("-c", code)


def test_problems_and_the_other_parts_with_extras_are_there_after_import_jasgd():
    code = (
        "import jasgd; print(sorted(jasgd.problems.MODELS), jasgd.report.plot.__name__, jasgd.compare.__name__)\n"
        "from jasgd import *\n"
        "jasgd.nothing"
    )
    done = run_python("-c", code, check=False)
    assert done.stdout == "['lenet', 'lenet5', 'mlp'] plot compare\n"
    assert done.stderr.strip().endswith("AttributeError: module 'jasgd' has no attribute 'nothing'")


def test_all_names_can_be_imported_without_any_extra():
    code = "import sys\nfor name in ('flax', 'sklearn', 'pooch', 'tyro', 'rich', 'matplotlib', 'sympy', 'flint'):\n"
    code += (
        "    sys.modules[name] = None\nfrom jasgd import *\nprint(train.__name__, report.__name__, problems.__name__)"
    )
    assert run_python("-c", code).stdout == "train jasgd.report jasgd.problems\n"


@pytest.mark.data
@pytest.mark.parametrize(("name", "largest"), [("mnist", 255), ("fashion_mnist", 255), ("cifar10", 1)])
def test_published_pixels_of_the_real_data(name, largest):
    if locate(name).folder is None:
        pytest.skip(f"{name} is not on this machine")
    data = load_dataset(name, download=False)
    scaled = problem_module._scaled(data.test_images, problem_module._published_pixels(data))
    assert (scaled.min(), scaled.max()) == (0, largest)


@pytest.mark.data
def test_training_on_mnist():
    if locate("mnist").folder is None:
        pytest.skip("mnist is not on this machine")
    problem = problems.load("mnist", "mlp", batch_size=64, download=False, test_examples=1_000)
    step = jax.jit(
        lambda params, batch: jax.tree.map(lambda p, g: p - 0.05 * g, params, jax.grad(problem.loss_fn)(params, batch))
    )
    params = problem.params
    for ticket in range(150):
        params = step(params, problem.batches(ticket))
    assert problem.evaluate(params)["accuracy"] > 0.85


@pytest.mark.parametrize("native", [pytest.param(True, marks=needs_compiler), False])
def test_a_large_batch_of_lenet_is_computed_in_the_worker_s_thread(native):
    """Where XLA's executor goes over to its pool, all workers queue for the one thread that is there."""
    problem, seen = problems.load("digits", "lenet", batch_size=512), {}

    def batches(ticket):
        if (name := threading.current_thread().name).startswith("jasgd-worker"):
            seen.setdefault(name, []).append((time.thread_time(), time.process_time()))
        return problem.batches(0)

    jasgd.train(problem.loss_fn, problem.params, optax.sgd(1e-3), batches, workers=2, steps=16,
                scheme=jasgd.schemes.leashed(native=native))  # fmt: skip
    own = sum(times[-1][0] - times[1][0] for times in seen.values())
    of_all = max(times[-1][1] for times in seen.values()) - min(times[1][1] for times in seen.values())
    assert own > 0.6 * of_all
