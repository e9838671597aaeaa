"""Laws of the tasks: what a sample is, which samples there are, in what order they come, and what is said of a bad file."""

from __future__ import annotations

import gzip
import re
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from aimco import rng, tasks
from aimco.data.goals import Classification
from aimco.data.idx import read_idx
from aimco.record import InputError
from aimco.tasks.mnist import FILES

TRAIN_X, TRAIN_Y, TEST_X, TEST_Y = FILES

# The split as it was first made: figures measured with it stay comparable.
FIRST_TRAIN = [5, 3, 3, 6, 1, 1, 1, 5, 0, 9, 1, 2]
FIRST_TEST = [1, 6, 3, 2, 9, 8, 2, 7, 4, 0, 4, 4]


def idx(values: np.ndarray, magic: int | None = None) -> bytes:
    """An IDX file of bytes."""
    magic = 0x0800 + values.ndim if magic is None else magic
    return struct.pack(f">{1 + values.ndim}I", magic, *values.shape) + values.astype(np.uint8).tobytes()


def write_mnist(folder: Path, *, train: int = 12, test: int = 5, packed: bool = True) -> dict[str, np.ndarray]:
    """Four small files with the names of MNIST; the arrays in them by name."""
    generator = np.random.default_rng(0)
    content = {}
    for images, labels, count in ((TRAIN_X, TRAIN_Y, train), (TEST_X, TEST_Y, test)):
        content[images] = generator.integers(0, 256, (count, 28, 28), np.uint8)
        content[labels] = generator.integers(0, 10, count).astype(np.uint8)
    for name, values in content.items():
        path = folder / (name if packed else name.removesuffix(".gz"))
        path.write_bytes(gzip.compress(idx(values)) if packed else idx(values))
    return content


def refusal(*args, **kwargs) -> str:
    """The one sentence with which `load` refuses."""
    with pytest.raises(InputError) as caught:
        tasks.load(*args, **kwargs)
    sentence = str(caught.value)
    assert "\n" not in sentence and ". " not in sentence
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return sentence


@pytest.fixture
def folder(tmp_path):
    write_mnist(tmp_path)
    return tmp_path


def assert_well_formed(task):
    for x, y in ((task.train_x, task.train_y), (task.test_x, task.test_y)):
        assert x.dtype == torch.float32 and x.shape == (len(y), task.inputs) and x.is_contiguous()
        if isinstance(task.goal, Classification):
            assert y.dtype == torch.int64 and y.ndim == 1 and y.min() >= 0 and y.max() < task.classes == task.outputs
            assert x.min() >= 0 and x.max() <= 1 and np.prod(task.image) == task.inputs
        else:
            assert y.dtype == torch.float32 and y.shape == (len(x), task.outputs) and task.classes is None and task.image is None


@pytest.mark.parametrize("name", tasks.names())
def test_every_task_is_well_formed_and_says_its_name(name, folder):
    task = tasks.load(name, data_dir=folder, limit=10)
    assert_well_formed(task)
    assert task.name == name and len(task.train_x) == 10


@pytest.mark.parametrize("name", tasks.names())
def test_a_limit_keeps_the_first_training_samples_and_every_test_sample(name, folder):
    whole, part = tasks.load(name, data_dir=folder), tasks.load(name, data_dir=folder, limit=7)
    assert torch.equal(part.train_x, whole.train_x[:7]) and torch.equal(part.train_y, whole.train_y[:7])
    assert torch.equal(part.test_x, whole.test_x) and torch.equal(part.test_y, whole.test_y)


def test_an_unknown_task_is_refused_with_a_suggestion():
    others = "a FILE of arrays (.npz, .npy, .csv, .pt), a FOLDER of images, or FILE.py:CLASS"
    assert refusal("mnits") == f"task 'mnits' is unknown (did you mean mnist?); the tasks are digits, mnist, program, {others}"
    assert "did you mean" not in refusal("zzz") and "must be a pair (x, y), a torch Dataset or the name of a task" in refusal(3)


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, "10"])
@pytest.mark.parametrize("name", tasks.names())
def test_a_limit_out_of_range_is_refused(name, limit, folder):
    assert refusal(name, data_dir=folder, limit=limit).startswith(f"limit must be a whole number of at least 1, got {limit!r}")


def test_a_limit_beyond_the_data_is_refused(folder):
    assert "limit must be in 1..1437 for task digits, got 1438" in refusal("digits", limit=1438)
    assert "limit must be in 1..12 for task mnist, got 13" in refusal("mnist", data_dir=folder, limit=13)
    assert len(tasks.load("mnist", data_dir=folder, limit=12).train_x) == 12


def test_a_seed_that_is_not_whole_is_refused():
    assert "seed must be a whole number, got 0.5" in refusal("program", seed=0.5)


# digits


def test_the_digits_split_is_disjoint_and_complete():
    from sklearn.datasets import load_digits

    task = tasks.load("digits")
    order = rng.permutation(0, "digits split", 0, 1797)
    assert sorted(order) == list(range(1797))
    x, y = torch.cat([task.train_x, task.test_x]), torch.cat([task.train_y, task.test_y])
    assert (len(task.train_x), len(task.test_x), task.image) == (1437, 360, (1, 8, 8))
    data = load_digits()
    np.testing.assert_array_equal(x[np.argsort(order)] * 16, data.data)  # sixteenths are exact in float32
    np.testing.assert_array_equal(y[np.argsort(order)], data.target)


def test_the_digits_split_is_stable_and_does_not_depend_on_the_seed():
    a, b = tasks.load("digits", seed=0), tasks.load("digits", seed=5)
    assert torch.equal(a.train_x, b.train_x) and torch.equal(a.test_y, b.test_y)
    assert a.train_y[:12].tolist() == FIRST_TRAIN and a.test_y[:12].tolist() == FIRST_TEST


def test_each_digit_is_in_both_parts_of_the_split_in_fair_share():
    task = tasks.load("digits")
    share = torch.bincount(task.test_y, minlength=10) / torch.bincount(torch.cat([task.train_y, task.test_y]), minlength=10)
    # 360 / 1797 = 0.20; a class of about 180 has a standard deviation of 0.027, so 4 of them are 0.11
    assert ((share - 0.2).abs() < 0.11).all()


# mnist


def test_mnist_has_its_known_counts_and_first_labels(mnist_dir):
    task = tasks.load("mnist", data_dir=mnist_dir)
    assert_well_formed(task)
    assert (len(task.train_x), len(task.test_x), task.image) == (60_000, 10_000, (1, 28, 28))
    assert task.train_y[:5].tolist() == [5, 0, 4, 1, 9] and task.test_y[:5].tolist() == [7, 2, 1, 0, 4]
    assert task.train_x.max() == 1
    assert task.train_x.mean() == pytest.approx(0.1307, abs=1e-4)  # the figure that everybody normalises with


@pytest.mark.parametrize("packed", [True, False])
def test_mnist_is_read_packed_and_unpacked(packed, tmp_path):
    content = write_mnist(tmp_path, packed=packed)
    task = tasks.load("mnist", data_dir=str(tmp_path))
    np.testing.assert_array_equal(task.train_x.reshape(-1, 28, 28), content[TRAIN_X] / np.float32(255))
    np.testing.assert_array_equal(task.test_x.reshape(-1, 28, 28), content[TEST_X] / np.float32(255))
    np.testing.assert_array_equal(task.train_y, content[TRAIN_Y])
    np.testing.assert_array_equal(task.test_y, content[TEST_Y])


@given(values=hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=3, max_side=6)), packed=st.booleans())
def test_what_is_written_as_idx_is_read_back(values, packed, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / ("values.gz" if packed else "values")
    path.write_bytes(gzip.compress(idx(values)) if packed else idx(values))
    read = read_idx(path, values.ndim)
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, values)


@given(data=st.data(), packed=st.booleans())
def test_an_idx_file_cut_anywhere_is_refused_by_name(data, packed, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / ("cut.gz" if packed else "cut")
    whole = idx(np.arange(24, dtype=np.uint8).reshape(2, 3, 4))
    whole = gzip.compress(whole, mtime=0) if packed else whole
    # A gzip file of no bytes at all is a sound one: it unpacks to no bytes, which is too short a header.
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(InputError) as caught:
        read_idx(path, 3)
    assert str(caught.value).startswith(f"{path}: must ")


@given(place=st.integers(0, 10_000), value=st.integers(1, 255))
def test_a_damaged_gzip_is_refused_or_reads_the_same(place, value, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "damaged.gz"
    values = np.random.default_rng(0).integers(0, 256, (2, 30, 4), np.uint8)
    packed = bytearray(gzip.compress(idx(values), mtime=0))
    packed[place % len(packed)] ^= value
    path.write_bytes(packed)
    try:
        read = read_idx(path, 3)
    except InputError as error:
        assert str(error).startswith(f"{path}: must ")
    else:
        np.testing.assert_array_equal(read, values)


def test_mnist_without_a_folder_says_which_files_and_which_option():
    sentence = refusal("mnist")
    assert all(name in sentence for name in FILES) and "--data-dir" in sentence


@pytest.mark.parametrize("gone", FILES)
def test_a_missing_file_is_named_with_the_folder_and_the_option(gone, folder):
    (folder / gone).unlink()
    sentence = refusal("mnist", data_dir=folder)
    assert gone in sentence and str(folder) in sentence and "--data-dir" in sentence
    assert not any(name in sentence for name in FILES if name != gone)


def test_a_folder_that_is_not_there_or_is_a_file_misses_all_four(folder):
    for where in (folder / "nowhere", folder / TRAIN_X):
        sentence = refusal("mnist", data_dir=where)
        assert all(name in sentence for name in FILES) and str(where) in sentence


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_gzip_is_refused(name, folder):
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: len(whole) - 9])
    assert (
        refusal("mnist", data_dir=folder) == f"{folder / name}: must be a whole gzip file, got one that is cut short; fetch the file again"
    )


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_not_gzip_is_refused(name, folder):
    (folder / name).write_bytes(b"<html>not found</html>")
    sentence = refusal("mnist", data_dir=folder)
    assert sentence.startswith(f"{folder / name}: must be a sound gzip file") and "drop .gz" in sentence


def test_a_path_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(InputError, match="must be readable, got Is a directory"):
        read_idx(tmp_path, 3)


def test_broken_deflate_data_is_refused(folder):
    packed = bytearray((folder / TRAIN_X).read_bytes())
    packed[10] = 0xFF  # a block type that deflate does not have
    (folder / TRAIN_X).write_bytes(packed)
    assert refusal("mnist", data_dir=folder).startswith(f"{folder / TRAIN_X}: must be a sound gzip file")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (TRAIN_X, idx(np.zeros((12, 28, 28)), magic=2049), ("must begin with 2051, the magic number of images, got 2049",)),
        (TRAIN_X, idx(np.arange(10) % 10), ("must begin with 2051, the magic number of images, got 2049",)),
        (TEST_Y, idx(np.zeros((5, 28, 28))), ("must begin with 2049, the magic number of labels, got 2051",)),
        (TRAIN_X, b"", ("must have a header of 16 bytes, got 0 bytes",)),
        (TRAIN_Y, b"\0\0\x08\x01\0\0", ("must have a header of 8 bytes, got 6 bytes",)),
        (TRAIN_X, idx(np.zeros((12, 28, 28)))[:-1], ("must hold 12 x 28 x 28 values as its header says, got 9407",)),
        (TRAIN_Y, idx(np.zeros(12)) + b"\0", ("must hold 12 values as its header says, got more",)),
        (TRAIN_X, struct.pack(">4I", 2051, *[2**32 - 1] * 3), ("as its header says, got 0",)),
        (TRAIN_Y, idx(np.zeros(0)), ("must hold at least one value, got 0",)),
        (TRAIN_X, idx(np.zeros((12, 0, 28))), ("must hold at least one value, got 12 x 0 x 28",)),
        (TRAIN_Y, idx(np.zeros(11)), ("must hold as many labels as", TRAIN_X, "12, got 11")),
        (TEST_Y, idx(np.zeros(6)), ("must hold as many labels as", TEST_X, "5, got 6")),
        (TEST_Y, idx(np.full(5, 10)), ("labels must be in 0..9, got 10",)),
        (TEST_X, idx(np.zeros((5, 14, 14))), ("images must be of the size (28, 28)", "got (14, 14)")),
    ],
)
def test_a_wrong_content_is_refused_with_the_file_the_rule_and_the_fix(name, content, words, folder):
    (folder / name).write_bytes(gzip.compress(content))
    sentence = refusal("mnist", data_dir=folder)
    assert sentence.startswith(f"{folder / name}: ") and all(word in sentence for word in words)
    assert sentence.count("; ") == 1 and sentence.partition("; ")[2]


# program


def test_a_program_task_is_its_target_times_its_inputs():
    task = tasks.load("program", limit=500)
    assert task.goal.target.shape == (task.inputs, task.outputs) == (20, 20)
    for x, y in ((task.train_x, task.train_y), (task.test_x, task.test_y)):
        torch.testing.assert_close(y, x @ task.goal.target)


def test_the_target_and_the_inputs_of_a_program_have_the_asked_spread():
    task = tasks.load("program")
    assert (len(task.train_x), len(task.test_x)) == (20_000, 1000)
    assert task.goal.target.std().item() == pytest.approx(0.3, abs=4 * 0.3 / 800**0.5)  # 4 standard errors of 400 draws
    for x in (task.train_x, task.test_x):
        assert abs(x.mean().item()) < 4 / x.numel() ** 0.5
        assert x.std().item() == pytest.approx(1, abs=4 / (2 * x.numel()) ** 0.5)
    # Uncorrelated inputs: 190 correlations of 20000 samples each, standard error 1 / 20000^0.5, 5 of them.
    assert (torch.corrcoef(task.train_x.T) - torch.eye(20)).abs().max() < 5 / 20_000**0.5


def test_a_program_task_is_a_function_of_the_seed_alone():
    a, b, c = (tasks.load("program", seed=seed, limit=50) for seed in (3, 3, 4))
    for field in ("train_x", "train_y", "test_x", "test_y"):
        assert torch.equal(getattr(a, field), getattr(b, field)) and not torch.equal(getattr(a, field), getattr(c, field))
    assert torch.equal(a.goal.target, rng.normal(rng.stream_keys((3,), "program", "target"), 0, (20, 20))[0] * 0.3)


def test_training_and_test_samples_of_a_program_differ():
    task = tasks.load("program")
    rows = torch.cat([task.train_x, task.test_x])
    assert len(torch.unique(rows, dim=0)) == len(rows)


# batches


def small_task(count: int) -> tasks.Data:
    x, y = torch.zeros(count, 2), torch.zeros(count, dtype=torch.int64)
    return tasks.Data("small", Classification(2), x, y, x, y, (x.shape[1],))


@given(count=st.integers(1, 200), size=st.integers(1, 250), epoch=st.integers(0, 1000), seed=st.integers(0, 2**40))
def test_an_epoch_brings_every_sample_once_in_the_order_of_the_seed(count, size, epoch, seed):
    parts = list(tasks.batches(small_task(count), size, epoch, seed))
    order = np.concatenate(parts)
    np.testing.assert_array_equal(order, rng.permutation(seed, "order", epoch, count))
    assert order.dtype == np.int64 and sorted(order) == list(range(count))
    assert [len(p) for p in parts[:-1]] == [size] * (len(parts) - 1) and 1 <= len(parts[-1]) <= size


@given(count=st.integers(1, 100), size=st.integers(1, 120), seeds=st.lists(st.integers(0, 50), min_size=1, max_size=5))
def test_a_member_of_an_ensemble_sees_the_batches_of_its_seed_alone(count, size, seeds):
    task = small_task(count)
    together = list(tasks.ensemble_batches(task, size, 2, seeds))
    for e, seed in enumerate(seeds):
        for index, alone in zip(together, tasks.batches(task, size, 2, seed), strict=True):
            assert index.shape == (len(seeds), len(alone)) and index.dtype == np.int64
            np.testing.assert_array_equal(index[e], alone)


def test_epochs_and_seeds_have_orders_of_their_own():
    task = small_task(100)
    orders = {tuple(np.concatenate(list(tasks.batches(task, 8, epoch, seed)))) for epoch in range(3) for seed in range(3)}
    assert len(orders) == 9


@pytest.mark.parametrize("size", [0, -3, 2.0, True])
def test_a_batch_size_below_one_is_refused_at_the_call(size):
    with pytest.raises(InputError, match="batch_size must be a whole number of at least 1, got"):
        tasks.batches(small_task(4), size, 0, 0)


@given(st.integers(1, 8), st.integers(1, 8))
def test_a_cropped_image_is_its_middle(height, width):
    whole = tasks.load("digits", limit=3)
    part = tasks.cropped(whole, height, width)
    top, left = (8 - height) // 2, (8 - width) // 2
    images = whole.train_x.reshape(-1, 8, 8)[:, top : top + height, left : left + width]
    assert torch.equal(part.train_x, images.reshape(3, -1))
    assert (part.image, part.inputs, part.test_x.shape) == ((1, height, width), height * width, (360, height * width))
    assert torch.equal(part.train_y, whole.train_y)
    assert part.name != whole.name


@pytest.mark.parametrize(
    ("task", "size", "message"),
    [
        ("digits", (9, 8), "height must be a whole number in 1..8"),
        ("digits", (8, 0), "width must be a whole number in 1..8"),
        ("digits", (8, 7.5), "width must be a whole number in 1..8"),
        ("program", (4, 4), "its samples must be images"),
    ],
)
def test_a_crop_that_cannot_be_is_refused(task, size, message):
    with pytest.raises(InputError, match=re.escape(message)):
        tasks.cropped(tasks.load(task, limit=3), *size)
