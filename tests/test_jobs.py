"""Data sets explained into files: complete, in order, the same whatever interrupts them.

What `explain` returns in memory is the expected value.
"""

import functools
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import h5py
import job_script
import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from PIL import Image

import lrpkeras
from lrpkeras import jobs
from lrpkeras.errors import InputError, LrpError, TargetError
from lrpkeras.jobs import shard as shards
from lrpkeras.jobs.shard import decode, encode

COUNT = 11


@pytest.fixture(scope="module")
def analyzer():
    return lrpkeras.Analyzer(lrpkeras.datasets.shapes_model())


@pytest.fixture(scope="module")
def images():
    return lrpkeras.datasets.shapes(COUNT, seed=0).images


@pytest.fixture(scope="module")
def expected(analyzer, images):
    return analyzer.explain(images, batch_size=2, verbose=0)


def run(analyzer, data, out, **options):
    settings = {"batch_size": 2, "shard_size": 4, "verbose": 0, **options}
    return analyzer.explain_dataset(data, out, **settings)


def bits(out):
    """Everything that shards hold, by file and name."""
    found = {}
    for file in sorted(out.glob("shard-*.h5")):
        with h5py.File(file) as stream:

            def note(name, part, file=file):
                if isinstance(part, h5py.Dataset):
                    text = h5py.check_string_dtype(part.dtype)
                    content = part.asstr()[()].tolist() if text else part[()].tobytes()
                    found[file.name, name] = content, part.shape, str(part.dtype)

            stream.visititems(note)
            found[file.name, "attributes"] = dict(stream.attrs)
    return found


def close(got, expected, tolerance=1e-6):
    got = np.asarray(got)
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() <= tolerance * np.abs(expected).max()


# What is written


def test_files_hold_what_explain_returns(analyzer, images, expected, tmp_path):
    results = run(analyzer, images, tmp_path / "new" / "out")
    assert len(results) == COUNT
    assert results.complete
    close(results.relevance, expected.relevance)
    close(results.output, expected.output)
    np.testing.assert_array_equal(results.target, expected.target)
    np.testing.assert_array_equal(results.index, range(COUNT))
    assert list(results.ids) == [str(i) for i in range(COUNT)]
    files = sorted(file.name for file in (tmp_path / "new" / "out").iterdir())
    assert files == ["manifest.json", *(f"shard-{i:06d}.h5" for i in range(3))]
    with h5py.File(tmp_path / "new" / "out" / "shard-000002.h5") as stream:
        assert stream["relevance"].chunks is not None
        assert stream["relevance"].compression == "gzip"
        assert stream.attrs["fingerprint"] == analyzer.fingerprint
        assert json.loads(stream.attrs["config"])["preset"]["name"] == "epsilon_plus_flat"
        assert json.loads(stream.attrs["versions"])["keras"] == keras.__version__
    assert results.fingerprint == analyzer.fingerprint


@pytest.mark.slow
def test_datasets_of_any_batch_size_give_the_same_files(analyzer, images, tmp_path):
    run(analyzer, images, tmp_path / "array")
    for size in (1, 3, 5, 100):
        dataset = tf.data.Dataset.from_tensor_slices(images).batch(size)
        run(analyzer, dataset, tmp_path / f"{size}")
        got, expected = bits(tmp_path / f"{size}"), bits(tmp_path / "array")
        assert got.keys() == expected.keys()
        for key, value in expected.items():
            assert got[key] == value


def test_a_dataset_whose_end_is_that_of_a_shard(analyzer, images, tmp_path):
    results = run(analyzer, tf.data.Dataset.from_tensor_slices(images[:8]).batch(3), tmp_path)
    assert len(results) == 8
    assert len(list(tmp_path.glob("*.h5"))) == 2


@pytest.mark.slow
def test_targets_of_each_sample_keep_to_it(analyzer, images, tmp_path):
    target = np.arange(COUNT) % 6
    several = np.stack([target, (target + 1) % 6], axis=1)
    for number, given in enumerate((target, several, lambda logits: logits > 0)):
        results = run(analyzer, images, tmp_path / str(number), target=given)
        expected = analyzer.explain(images, given, batch_size=2, verbose=0)
        close(results.relevance, expected.relevance)
        np.testing.assert_array_equal(results.target, expected.target)


def test_several_inputs_have_relevance_each(tmp_path):
    keras.utils.set_random_seed(0)
    left, right = keras.Input((3,), name="left"), keras.Input((2,), name="right")
    model = keras.Model([left, right], layers.Dense(2)(layers.Concatenate()([left, right])))
    analyzer = lrpkeras.Analyzer(model, "zero")
    x = [np.random.default_rng(0).normal(size=(5, n)).astype("float32") for n in (3, 2)]
    results = run(analyzer, x, tmp_path)
    expected = analyzer.explain(x, verbose=0).relevance
    assert list(results.relevance) == ["left", "right"]
    for got, part in zip(results.relevance.values(), expected, strict=True):
        close(got, part)


def test_a_loaded_analyzer_explains_data_sets_too(analyzer, images, expected, tmp_path):
    analyzer.export(tmp_path / "exported")
    results = run(lrpkeras.load(tmp_path / "exported"), images, tmp_path / "out")
    close(results.relevance, expected.relevance)


# Storage


@pytest.mark.parametrize(("storage", "step"), [("float16", 2**-11), ("int8", 0.5 / 127)])
@pytest.mark.parametrize("several", [False, True])
def test_narrow_storage_is_as_exact_as_it_says(storage, step, several):
    rng = np.random.default_rng(0)
    relevance = rng.normal(size=(3, 2, 5, 4)).astype("float32")
    # From one sample to the next, relevance differs by any factor; some is all zero.
    relevance *= np.array([1e-20, 1, 1e20], "float32")[:, None, None, None]
    relevance[1, 0] = 0
    stored, scale = encode(relevance, storage, several)
    assert stored.dtype == storage
    axes = tuple(range(1 + several, 4))
    error = np.abs(decode(stored, scale) - relevance).max(axis=axes)
    # One more rounding, that of float32.
    assert np.all(error <= (step + 2**-23) * np.abs(relevance).max(axis=axes))
    assert shards.LARGEST_ERROR[storage] == step


def test_narrow_storage_comes_back_as_relevance(analyzer, images, expected, tmp_path):
    sizes = {}
    for storage in ("full", "float16", "int8"):
        results = run(analyzer, images, tmp_path / storage, storage=storage)
        close(results.relevance, expected.relevance, results.largest_error + 1e-6)
        sizes[storage] = sum(file.stat().st_size for file in (tmp_path / storage).glob("*.h5"))
    assert sizes["full"] > sizes["float16"] > sizes["int8"]


# Interrupted


class Stop(BaseException):
    """As sudden as a kill, but within this process."""


@pytest.mark.parametrize(
    "when", [pytest.param(n, marks=[pytest.mark.slow] if n % 3 else []) for n in range(6)]
)
def test_an_interrupted_job_goes_on_where_it_was(analyzer, images, tmp_path, monkeypatch, when):
    run(analyzer, images, tmp_path / "whole")
    append, count = shards.ShardWriter.append, iter(range(100))

    def stopped(writer, rows):
        if next(count) == when:
            raise Stop
        append(writer, rows)

    with monkeypatch.context() as patch:
        patch.setattr(shards.ShardWriter, "append", stopped)
        # A killed process abandons nothing.
        patch.setattr(shards.ShardWriter, "abandon", lambda writer: None)
        with pytest.raises(Stop):
            run(analyzer, images, tmp_path / "out")
    left = len(list((tmp_path / "out").glob("shard-*.h5")))
    assert left == when // 2
    assert list((tmp_path / "out").glob(".shard*.part"))
    with pytest.raises(InputError, match="not complete"):
        jobs.open_results(tmp_path / "out")
    written = []
    monkeypatch.setattr(
        shards.ShardWriter,
        "append",
        lambda writer, rows: (written.append(writer.number), append(writer, rows)),
    )
    run(analyzer, images, tmp_path / "out")
    assert sorted(set(written)) == list(range(left, 3))
    assert bits(tmp_path / "out") == bits(tmp_path / "whole")
    assert not list((tmp_path / "out").glob(".*"))


def test_what_is_done_is_not_done_again(analyzer, images, tmp_path, monkeypatch):
    run(analyzer, images, tmp_path)
    monkeypatch.setattr(shards.ShardWriter, "__init__", None)
    assert len(run(analyzer, images, tmp_path)) == COUNT


@pytest.mark.parametrize("size", [None, 3], ids=["array", "dataset"])
@pytest.mark.parametrize("damage", ["cut", "emptied", "not HDF5"])
def test_a_damaged_shard_is_done_again(analyzer, images, tmp_path, damage, size):
    if size:
        images = tf.data.Dataset.from_tensor_slices(images).batch(size)
    run(analyzer, images, tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "out")
    file = tmp_path / "out" / "shard-000001.h5"
    whole = file.read_bytes()
    left = {"cut": whole[: len(whole) // 2], "emptied": b"", "not HDF5": b"x" * 1000}[damage]
    file.write_bytes(left)
    with pytest.raises(InputError, match="damaged"):
        jobs.open_results(tmp_path / "out")
    run(analyzer, images, tmp_path / "out")
    assert bits(tmp_path / "out") == bits(tmp_path / "whole")


def test_a_full_disk_leaves_what_is_complete(analyzer, images, tmp_path, monkeypatch):
    finish, count = shards.ShardWriter.finish, iter(range(100))

    def full(writer, *arguments):
        if next(count) == 1:
            raise OSError(28, "No space left on device")
        return finish(writer, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(shards.ShardWriter, "finish", full)
        with pytest.raises(LrpError, match=r"No space left.*run the same again"):
            run(analyzer, images, tmp_path)
    assert [file.name for file in tmp_path.glob("*.h5")] == ["shard-000000.h5"]
    assert not list(tmp_path.glob(".*"))
    assert len(run(analyzer, images, tmp_path)) == COUNT


FULL = """
import resource, sys
import job_script
job_script.explain(sys.argv[1], 8)  # what building writes is no matter here
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    job_script.explain(sys.argv[2], 24)
except job_script.lrpkeras.LrpError as error:
    print(error)
"""


@pytest.mark.slow
def test_a_disk_that_takes_no_more_ends_the_job_not_the_process(tmp_path):
    """HDF5 itself ends the process."""
    root = Path(__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{root / 'tests'}"}
    words = [sys.executable, "-c", FULL, str(tmp_path / "before"), str(tmp_path / "out")]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert "run the same again" in done.stdout
    assert "Traceback" not in done.stderr
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["manifest.json"]
    results = job_script.explain(str(tmp_path / "out"), 24)
    assert len(results) == 24


GROWN = """
import resource, sys
import numpy as np
import tensorflow as tf
import lrpkeras

def noise(batches):
    # Made when they are asked for: 110 MB of four thousand images, and as much of their maps.
    draw = lambda i: tf.random.stateless_uniform((32, 48, 48, 3), tf.stack([i, 0]))
    return tf.data.Dataset.range(batches).map(draw)

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

analyzer = lrpkeras.Analyzer(lrpkeras.datasets.shapes_model())
explained = {}
for batches in (8, 8, 128):
    out = f"{sys.argv[1]}/{len(explained)}"
    explained[out] = analyzer.explain_dataset(noise(batches), out, shard_size=64, verbose=0)
    explained[out] = len(explained[out]), peak() >> 10
print(*explained.values())
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_samples(tmp_path):
    words = [sys.executable, "-c", GROWN, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=True)
    *_, before, after = re.findall(r"\((\d+), (\d+)\)", done.stdout)
    assert (before[0], after[0]) == ("256", "4096")
    assert int(after[1]) - int(before[1]) < 60  # MB, of 220


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"batch_size": 3}, "batch_size"),
        ({"shard_size": 5}, "shard_size"),
        ({"storage": "int8"}, "storage"),
        ({"target": 1}, "target"),
        ({"data": 9}, "samples"),
        ({"preset": "epsilon"}, "config"),
    ],
)
def test_another_job_does_not_go_on(analyzer, images, tmp_path, changed, named):
    run(analyzer, images, tmp_path)
    data = images[: changed.pop("data", COUNT)]
    if "preset" in changed:
        analyzer = lrpkeras.Analyzer(analyzer.model, changed.pop("preset"))
    with pytest.raises(InputError, match=rf"of another job \({named}"):
        run(analyzer, data, tmp_path, **changed)


def test_other_samples_or_another_order_are_noticed(analyzer, images, tmp_path):
    run(analyzer, images, tmp_path)
    (tmp_path / "shard-000002.h5").unlink()
    with pytest.raises(InputError, match="not the samples that this job began with: sample 0"):
        run(analyzer, images[::-1], tmp_path)


# Several machines


def test_parts_do_the_job_together(analyzer, images, tmp_path):
    run(analyzer, images, tmp_path / "whole")
    for number in (3, 1):
        results = run(analyzer, images, tmp_path / "out", shard=f"{number}/3")
        assert not results.complete
    with pytest.raises(InputError, match="not complete"):
        jobs.open_results(tmp_path / "out")
    assert run(analyzer, images, tmp_path / "out", shard=(2, 3)).complete
    assert bits(tmp_path / "out") == bits(tmp_path / "whole")
    assert len(jobs.open_results(tmp_path / "out")) == COUNT


@pytest.mark.slow
def test_parts_of_several_divisions_are_complete_when_all_files_are_there(
    analyzer, images, tmp_path
):
    for data, name in ((images, "array"), (tf.data.Dataset.from_tensor_slices(images), "dataset")):
        source = data if name == "array" else data.batch(3)
        run(analyzer, source, tmp_path / name, shard="1/2")
        mixed = run(analyzer, source, tmp_path / name, shard="1/3")
        assert not mixed.complete
        whole = run(analyzer, source, tmp_path / name)
        assert whole.complete
        np.testing.assert_array_equal(whole.index, range(COUNT))


def test_a_part_without_a_file_is_done(analyzer, images, tmp_path):
    results = run(analyzer, images[:3], tmp_path, shard="2/2")
    assert len(results) == 0
    assert not results.complete


def test_a_dataset_that_has_grown_is_explained_to_its_new_end(analyzer, images, tmp_path):
    def dataset(count):
        return tf.data.Dataset.from_tensor_slices(images[:count]).batch(4)

    run(analyzer, dataset(6), tmp_path)
    assert len(run(analyzer, dataset(COUNT), tmp_path)) == COUNT


@pytest.mark.slow
def test_maps_are_recorded_for_the_weights_that_they_are_of(images, tmp_path):
    model = lrpkeras.datasets.shapes_model()
    analyzer = lrpkeras.Analyzer(model)
    before = analyzer.fingerprint
    model.trainable_variables[0].assign(model.trainable_variables[0] * 1.1)
    results = run(analyzer, images, tmp_path)
    assert results.fingerprint == analyzer.fingerprint == before
    with pytest.raises(InputError, match=r"call refresh\(\)"):
        run(analyzer, images, tmp_path / "ray", engine="ray")
    analyzer.refresh()
    assert analyzer.fingerprint != before
    with pytest.raises(InputError, match=r"of another job \(fingerprint"):
        run(analyzer, images, tmp_path)


@pytest.mark.parametrize("wrong", ["0/3", "4/3", "2", "a/b", (1, 2, 3), "1/0"])
def test_parts_that_are_none_are_named(analyzer, images, tmp_path, wrong):
    with pytest.raises(InputError, match="i/n"):
        run(analyzer, images, tmp_path, shard=wrong)


# Samples that cannot be explained


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    paths = []
    for i in range(7):
        size = [(48, 48), (100, 60), (30, 200)][i % 3]
        Image.fromarray(rng.integers(0, 256, (*size, 3), "uint8")).save(folder / f"{i}.png")
        paths.append(str(folder / f"{i}.png"))
    return paths


def test_photos_are_read_resized_and_explained(analyzer, photos, tmp_path):
    results = run(analyzer, photos, tmp_path / "out", preprocess="unit")
    assert list(results.ids) == photos
    arrays = [
        np.asarray(Image.open(path).resize((48, 48), Image.Resampling.BILINEAR), "float32") / 255
        for path in photos
    ]
    close(results.relevance, analyzer.explain(np.stack(arrays), verbose=0).relevance)


def test_unreadable_photos_are_listed_and_the_others_explained(analyzer, photos, tmp_path):
    whole = run(analyzer, photos, tmp_path / "whole", preprocess="unit")
    for path, content in ((photos[0], b"no image"), (photos[5], None)):
        Path(path).unlink()
        if content:
            Path(path).write_bytes(content)
    results = run(analyzer, photos, tmp_path / "out", preprocess="unit")
    assert [one.id for one in results.unreadable] == [photos[0], photos[5]]
    assert "no image" in results.unreadable[0].why
    assert "No such file" in results.unreadable[1].why
    left = [1, 2, 3, 4, 6]
    np.testing.assert_array_equal(results.index, left)
    np.testing.assert_array_equal(results.relevance[:], whole.relevance[:][left])
    with pytest.raises(InputError, match=r"0\.png"):
        run(analyzer, photos, tmp_path / "out", preprocess="unit", strict=True)
    with pytest.raises(InputError, match=r"0\.png"):
        run(analyzer, photos, tmp_path / "strict", preprocess="unit", strict=True)
    assert not list((tmp_path / "strict").glob(".*"))


def test_a_shard_of_which_nothing_can_be_read(analyzer, photos, tmp_path):
    for path in photos[:4]:
        Path(path).write_bytes(b"")
    results = run(analyzer, photos, tmp_path / "out", preprocess="unit")
    np.testing.assert_array_equal(results.index, [4, 5, 6])
    assert len(results.unreadable) == 4
    assert len(run(analyzer, photos, tmp_path / "out", preprocess="unit")) == 3


def test_all_unreadable_photos_are_listed(analyzer, photos, tmp_path):
    for path in photos:
        Path(path).write_bytes(b"")
    results = run(analyzer, photos, tmp_path / "out", preprocess="unit")
    assert len(results) == 0
    assert [one.id for one in results.unreadable] == photos


def test_names_that_are_no_text_are_kept(analyzer, photos, tmp_path):
    name = os.fsdecode(b"caf\xe9.png")
    shutil.copy(photos[0], tmp_path / name)
    results = run(analyzer, [str(tmp_path / name)], tmp_path / "out", preprocess="unit")
    assert results.ids[0] == str(tmp_path / name)


def test_reading_photos_leaves_warnings_as_they_are(analyzer, photos):
    before = list(warnings.filters)
    for _ in range(5):
        analyzer.photos(photos, "unit").read(0, len(photos))
    assert warnings.filters == before


def test_functions_that_do_other_things_are_other_jobs(analyzer, photos, tmp_path):
    def made(scale):
        return lambda x: x * np.float32(scale)

    run(analyzer, photos, tmp_path / "out", preprocess=made(1 / 255))
    run(analyzer, photos, tmp_path / "out", preprocess=made(1 / 255))
    for other in (made(1 / 510), functools.partial(np.multiply, np.float32(1 / 255))):
        with pytest.raises(InputError, match="of another job \\(target"):
            run(analyzer, photos, tmp_path / "out", preprocess=other)


def test_samples_with_nan_are_left_out(analyzer, images, tmp_path):
    spoilt = images.copy()
    spoilt[3, 0, 0, 0] = np.nan
    results = run(analyzer, spoilt, tmp_path)
    assert [(one.index, one.id) for one in results.unreadable] == [(3, "3")]
    assert "NaN" in results.unreadable[0].why
    np.testing.assert_array_equal(results.index, np.delete(range(COUNT), 3))


# Reading


def test_rows_are_read_as_from_an_array(analyzer, images, tmp_path):
    relevance = run(analyzer, images, tmp_path).relevance
    whole = np.asarray(relevance)
    assert relevance.shape == whole.shape
    assert relevance.dtype == whole.dtype
    mask = np.arange(COUNT) % 3 == 1
    for key in (
        0, -1, 7, slice(None), slice(2, 9, 3), slice(None, None, -2), [9, 0, 9, 4], mask,
        np.array([3]), (5, 1, 2), (slice(3, 6), ..., 0), (..., 1), slice(5, 5), [], (), None,
        ([0, 9, 4], [1, 2, 3]), ([[0, 9], [4, 4]], 1), (mask, ..., [0, 1, 2, 0]),
        (slice(2, 4), [0, 1]), (7, [0, 1]),
    ):  # fmt: skip
        np.testing.assert_array_equal(relevance[key], whole[key])
    np.testing.assert_array_equal(np.stack(list(relevance)), whole)
    for wrong in (COUNT, -COUNT - 1, [0, COUNT]):
        with pytest.raises(IndexError):
            relevance[wrong]


def test_links_to_other_files_are_not_followed(analyzer, images, tmp_path):
    run(analyzer, images, tmp_path / "out")
    with h5py.File(tmp_path / "secret.h5", "w") as stream:
        stream["relevance"] = np.zeros((4, 2))
    file = tmp_path / "out" / "shard-000000.h5"
    with h5py.File(file, "r+") as stream:
        del stream["relevance"]
        stream["relevance"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "relevance")
    with pytest.raises(InputError, match="not in the file itself"):
        jobs.open_results(tmp_path / "out")
    with h5py.File(file, "r+") as stream:
        del stream["relevance"]
        stream.create_dataset(
            "relevance", (4, 2), "float32", external=[(str(tmp_path / "secret.h5"), 0, 32)]
        )
    with pytest.raises(InputError, match="in another file"):
        jobs.open_results(tmp_path / "out")


# Bad input


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"storage": "int4"}, InputError, "storage is"),
        ({"shard_size": 0}, InputError, "positive integer"),
        ({"preprocess": "unit"}, InputError, "for photos"),
        ({"target": 9}, TargetError, "out of range"),
    ],
)
def test_bad_arguments_are_named_before_anything_is_written(
    analyzer, images, tmp_path, options, error, match
):
    with pytest.raises(error, match=match):
        run(analyzer, images, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_bad_folders_are_named(analyzer, images, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"):
        run(analyzer, images, tmp_path / "file")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "shard-000000.h5").write_text("")
    with pytest.raises(InputError, match="of no job"):
        run(analyzer, images, tmp_path / "data")
    (tmp_path / "wrong").mkdir()
    (tmp_path / "wrong" / "manifest.json").write_text("{}")
    with pytest.raises(InputError, match="no manifest"):
        run(analyzer, images, tmp_path / "wrong")
    for wrong in ("nothing", "data", "wrong"):
        with pytest.raises(InputError):
            jobs.open_results(tmp_path / wrong)


def test_bad_data_is_named(analyzer, tmp_path, photos):
    for data, options, match in (
        ("photos", {}, "Give a list of paths"),
        (photos, {"preprocess": "vgg"}, "preprocess is one of"),
        (np.zeros((0, 48, 48, 3)), {}, "empty"),
        (tf.data.Dataset.range(0).map(lambda i: tf.zeros((48, 48, 3))).batch(2), {}, "no sample"),
    ):
        with pytest.raises(InputError, match=match):
            run(analyzer, data, tmp_path / "out", **options)


# Killed


@pytest.mark.slow
def test_a_job_that_is_killed_at_any_point_goes_on(tmp_path):
    """Twenty times `kill -9`, at random points; then what was written is what would have been."""
    count, rng, killed, halfway = 640, random.Random(0), 0, 0
    outs = [tmp_path / "0"]
    root = str(Path(__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": root, "TF_CPP_MIN_LOG_LEVEL": "3"}

    def script(out):
        return [sys.executable, Path(__file__).with_name("job_script.py"), out, str(count)]

    while killed < 20:
        out = outs[-1]
        before, wanted = _there(out), rng.randint(0, 3)
        with subprocess.Popen(script(out), env=environment) as job:
            while job.poll() is None and _there(out) < before + wanted:
                time.sleep(0.001)
            # Anywhere between two files, or (wanted == 0) before the first.
            time.sleep(rng.uniform(0, 0.3 if wanted else 8))
            job.kill()
        if job.returncode == 0:  # It was faster; the next one begins anew.
            outs.append(tmp_path / str(len(outs)))
            continue
        assert job.returncode == -signal.SIGKILL
        killed, halfway = killed + 1, halfway + (0 < _there(out) < count // 8)
        # On the way no file is there that cannot be read.
        assert all(shards.inspect(file) is not None for file in out.glob("*.h5"))
    assert halfway >= 5
    subprocess.run(script(outs[-1]), env=environment, check=True)
    job_script.explain(str(tmp_path / "whole"), count)
    for out in outs:
        assert bits(out) == bits(tmp_path / "whole")
        assert not list(out.glob(".*"))
        assert len(jobs.open_results(out)) == count


def _there(out):
    return len(list(out.glob("shard-*.h5")))
