"""Jobs on a local Ray of two workers give the files that a job in one process gives."""

import os
import signal
import threading
import time

import numpy as np
import pytest
import tensorflow as tf
from test_jobs import bits, run

import lrpkeras
from lrpkeras.errors import InputError, LrpError

pytestmark = [
    pytest.mark.slow,
    # Ray's node forks; where another test has imported JAX, that warns.
    pytest.mark.filterwarnings(r"ignore:os\.fork\(\) was called:RuntimeWarning"),
]
COUNT = 120


@pytest.fixture(scope="module")
def ray():
    module = pytest.importorskip("ray", reason="needs Ray: pip install lrpkeras[ray]")
    module.init(
        num_cpus=2, logging_level="ERROR", log_to_driver=False, include_dashboard=False,
        runtime_env={"env_vars": {"TF_CPP_MIN_LOG_LEVEL": "3"}},
    )  # fmt: skip
    yield module
    module.shutdown()


@pytest.fixture(scope="module")
def images():
    return lrpkeras.datasets.shapes(COUNT, seed=0).images


@pytest.fixture(scope="module")
def analyzer():
    return lrpkeras.Analyzer(lrpkeras.datasets.shapes_model())


@pytest.fixture(scope="module")
def expected(analyzer, images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("expected")
    run(analyzer, images, folder)
    return bits(folder)


def test_two_workers_do_what_one_process_does(ray, analyzer, images, expected, tmp_path):
    results = run(analyzer, images, tmp_path, engine="ray", workers=2)
    assert results.complete
    assert bits(tmp_path) == expected


def test_a_worker_that_is_killed_changes_nothing(ray, analyzer, images, expected, tmp_path):
    killed = []

    def kill():
        """Kill whoever writes the next shard, as soon as a few are there."""
        while len(list(tmp_path.glob("shard-*.h5"))) < 3:
            time.sleep(0.005)
        while not killed:
            for file in tmp_path.glob(".shard-*.part"):
                pid = int(file.name.split(".")[-2])
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
                return

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    results = run(analyzer, images, tmp_path, engine="ray", workers=2)
    killer.join(timeout=1)
    assert killed
    assert len(results) == COUNT
    assert bits(tmp_path) == expected
    assert not list(tmp_path.glob(".*"))


def test_a_loaded_analyzer_is_sent_by_its_folder(ray, analyzer, images, expected, tmp_path):
    analyzer.export(tmp_path / "exported")
    loaded = lrpkeras.load(tmp_path / "exported")
    results = run(loaded, images[:8], tmp_path / "out", engine="ray", workers=2)
    whole = np.asarray(analyzer.explain(images[:8], verbose=0).relevance)
    assert np.abs(results.relevance[:] - whole).max() <= 1e-6 * np.abs(whole).max()


def test_what_cannot_be_sent_is_named(analyzer, images, tmp_path):
    dataset = tf.data.Dataset.from_tensor_slices(images).batch(2)
    with pytest.raises(InputError, match="not a dataset"):
        run(analyzer, dataset, tmp_path / "a", engine="ray")
    with pytest.raises(InputError, match="engine is"):
        run(analyzer, images, tmp_path / "b", engine="spark")


def test_a_sample_that_ends_the_job_ends_it(ray, analyzer, images, tmp_path):
    spoilt = images[:8].copy()
    spoilt[5] = np.nan
    with pytest.raises(LrpError, match="NaN"):
        run(analyzer, spoilt, tmp_path, engine="ray", workers=2, strict=True)
