"""The commands, as users call them: each in a process of its own, on the shipped model."""

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image
from report_pages import Page

import lrpkeras
from lrpkeras import cli
from lrpkeras.cli import arguments
from lrpkeras.cli.evaluate import read_masks
from lrpkeras.cli.explain import _places
from lrpkeras.errors import InputError
from lrpkeras.report.area import at_size

MODEL = str(files("lrpkeras") / "data" / "shapes.keras")
SIZES = [(48, 48), (96, 60), (30, 77), (48, 48), (48, 48)]


@pytest.fixture(scope="module")
def data():
    return lrpkeras.datasets.shapes(len(SIZES), seed=0)


@pytest.fixture(scope="module")
def folder(data, tmp_path_factory):
    """Photos, one of them in a folder below, one no photo, one not even named like one."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "below").mkdir()
    for i, (image, size) in enumerate(zip(data.images, SIZES, strict=True)):
        pixels = Image.fromarray(np.rint(image * 255).astype("uint8")).resize(size)
        pixels.save(folder / ("below" if i == 4 else "") / f"{i}.png")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff no more")
    (folder / "notes.txt").write_text("no photo")
    return folder


def run(*words, cwd=None):
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-m", "lrpkeras", *map(str, words)],
        capture_output=True,
        text=True,
        env=environment,
        cwd=cwd,
        timeout=300,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done


def maps_of(data, numbers, **options):
    images = np.rint(data.images[numbers] * 255).astype("uint8").astype("float32") / 255
    return lrpkeras.Analyzer(lrpkeras.datasets.shapes_model()).explain(images, verbose=0, **options)


def close(got, expected):
    assert np.abs(got - expected).max() <= 1e-6 * np.abs(expected).max()


@pytest.mark.slow
def test_explain_writes_pictures_arrays_and_shards(data, folder, tmp_path):
    (tmp_path / "labels.txt").write_text("\n".join(lrpkeras.datasets.shapes_classes))
    done = run(
        "explain", MODEL, folder, "--preprocess", "unit", "--out", tmp_path / "out",
        "--format", "png,npy,h5", "--labels", tmp_path / "labels.txt", "--batch-size", "2",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "5 explained" in done.stdout
    assert "broken.jpg" in done.stderr
    assert "notes.txt" not in done.stderr
    names = {str(f.relative_to(tmp_path / "out")) for f in (tmp_path / "out").rglob("*.*")}
    each = {"0", "1", "2", "3", "below/4"}
    assert names == {
        *(f"{name}.heatmap.png" for name in each),
        *(f"{name}.npy" for name in each),
        "contact_sheet.png",
        "manifest.json",
        "shard-000000.h5",
    }
    expected = maps_of(data, [0, 3, 4])
    for name, relevance in zip(("0", "3", "below/4"), expected.relevance, strict=True):
        close(np.load(tmp_path / "out" / f"{name}.npy"), relevance)
    with h5py.File(tmp_path / "out" / "shard-000000.h5") as stream:
        ids = stream["ids"].asstr()[()].tolist()
        close(stream["relevance"][ids.index(str(folder / "0.png"))], expected.relevance[0])
    for file in (tmp_path / "out").rglob("*.png"):
        with Image.open(file) as image:
            assert image.width > 200


@pytest.mark.slow
def test_explain_several_classes_at_the_photo_s_size(data, folder, tmp_path):
    done = run(
        "explain", MODEL, folder / "1.png", folder / "0.png", "--preprocess", "unit",
        "--out", tmp_path, "--format", "npy", "--size", "photo", "--target", "1,4", "--quiet",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert sorted(file.name for file in tmp_path.iterdir()) == ["0.npy", "1.npy"]
    assert np.load(tmp_path / "1.npy").shape == (2, 60, 96, 3)
    close(np.load(tmp_path / "0.npy"), maps_of(data, [0], target=[[1, 4]]).relevance[0])


@pytest.mark.slow
def test_an_interrupted_job_is_taken_up_and_shared(folder, tmp_path):
    words = ["explain", MODEL, folder, "--preprocess", "unit", "--format", "h5", "--quiet"]
    words += ["--shard-size", "2", "--out", tmp_path]
    for part in ("2/2", "1/2", "1/2"):
        done = run(*words, "--shard", part)
        assert done.returncode == 0, done.stderr
    results = lrpkeras.open_results(tmp_path)
    assert results.complete
    assert [Path(name).stem for name in results.ids] == ["0", "1", "2", "3", "4"]
    assert [Path(one.id).name for one in results.unreadable] == ["broken.jpg"]
    strict = run(*words[:-1], tmp_path / "strict", "--strict")
    assert strict.returncode == 1
    assert "broken.jpg" in strict.stderr


@pytest.mark.slow
def test_summary_is_that_of_the_analyzer(capsys):
    done = run("summary", MODEL, "--preset", "epsilon", "--batch-norm", "identity")
    assert done.returncode == 0, done.stderr
    model = lrpkeras.datasets.shapes_model()
    expected = lrpkeras.Analyzer(model, "epsilon", batch_norm="identity").summary(print_fn=str)
    assert done.stdout.strip() == expected.strip()


@pytest.mark.slow
def test_presets_are_listed():
    done = run("presets")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == lrpkeras.presets.names()


@pytest.mark.slow
def test_check_accounts_for_photos(folder):
    done = run("check", MODEL, folder / "0.png", folder / "3.png", "--preprocess", "unit")
    assert done.returncode == 0, done.stderr
    assert "ledger closes" in done.stdout


@pytest.mark.slow
def test_evaluate_writes_a_table_json_and_plots(data, folder, tmp_path):
    masks = tmp_path / "masks"
    masks.mkdir()
    for i, mask in enumerate(data.masks):
        Image.fromarray(mask.astype("uint8") * 255).resize(SIZES[i]).save(masks / f"{i}.png")
    done = run(
        "evaluate", MODEL, folder, "--preprocess", "unit", "--masks", masks, "--quiet",
        "--measures", "conservation,mass,flipping", "--out", tmp_path / "out",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "broken.jpg" in done.stderr
    found = json.loads((tmp_path / "out" / "measures.json").read_text())
    assert list(found["measures"]) == ["conservation", "mass", "flipping gap"]
    assert f"{found['measures']['mass']['mean']:.4f}" in done.stdout
    assert len(found["measures"]["mass"]["values"]) == len(found["photos"]) == 5
    explained = maps_of(data, [0, 3])
    winners = explained.output.max(axis=1)
    kept = explained.relevance.sum(axis=(1, 2, 3)) / winners
    got = found["measures"]["conservation"]["values"]
    np.testing.assert_allclose([got[0], got[3]], kept, rtol=1e-4)
    plots = {file.name for file in (tmp_path / "out").glob("*.png")}
    assert plots == {"conservation.png", "mass.png", "flipping.png"}


@pytest.mark.slow
def test_report_writes_one_page(data, folder, tmp_path):
    (tmp_path / "labels.txt").write_text("\n".join(lrpkeras.datasets.shapes_classes))
    out = tmp_path / "page.html"
    done = run(
        "report", MODEL, folder, "--preprocess", "unit", "--out", out, "--classes", "2",
        "--layers", "stage*_pool", "--check", "--measures", "conservation,sensitivity", "--quiet",
        "--labels", tmp_path / "labels.txt", "--title", "Shapes & more", "--batch-size", "2",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "broken.jpg" in done.stderr
    assert str(out) in done.stdout
    page = Page(out)
    names = [sample["name"] for sample in page.data["samples"]]
    assert names == ["0.png", "1.png", "2.png", "3.png", "below/4.png"]
    expected = maps_of(data, [0])
    largest = np.argsort(-expected.output[0])[:2]
    captions = page.data["samples"][0]["captions"]
    classes = lrpkeras.datasets.shapes_classes
    assert [caption["name"] for caption in captions] == [classes[i] for i in largest]
    winner = expected.relevance[0].sum(axis=-1)
    assert np.abs(page.maps(0)[0] - winner).max() <= 1e-4 * np.abs(winner).max()
    places = [place["name"] for place in page.data["places"]]
    assert places == ["input", "stage1_pool", "stage2_pool", "stage3_pool"]
    assert [sort["name"] for sort in page.data["sorts"][2:]] == ["conservation", "sensitivity"]
    winners = sum(float(sample["captions"][0]["logit"]) for sample in page.data["samples"])
    began = re.search(r"began with <strong>([\d.]+)</strong>", page.text).group(1)
    assert float(began) == pytest.approx(winners, abs=0.03)  # five logits of two decimals
    assert "Shapes &amp; more" in page.text


@pytest.mark.slow
def test_a_report_s_ledger_is_of_the_classes_that_are_explained(data, folder, tmp_path, capsys):
    out = tmp_path / "page.html"
    words = ["report", MODEL, folder, "--preprocess", "unit", "--out", out, "--target", "2"]
    assert cli.main([*map(str, words), "--check", "--quiet"]) == 0
    capsys.readouterr()
    page = Page(out)
    logits = [
        float(sample["captions"][0]["logit"].replace("\u2212", "-"))
        for sample in page.data["samples"]
    ]
    assert logits[0] == pytest.approx(maps_of(data, [0]).output[0, 2], abs=0.005)
    began = re.search(r"began with <strong>([^<]+)</strong>", page.text).group(1)
    assert float(began.replace("\u2212", "-")) == pytest.approx(sum(logits), abs=0.03)


@pytest.mark.slow
def test_an_exported_analyzer_explains_like_the_model(data, folder, tmp_path):
    assert run("export", MODEL, tmp_path / "exported", "--preset", "epsilon").returncode == 0
    words = [folder / "0.png", "--preprocess", "unit", "--format", "npy", "--quiet"]
    done = run("explain", tmp_path / "exported", *words, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    image = np.rint(data.images[:1] * 255).astype("uint8").astype("float32") / 255
    analyzer = lrpkeras.Analyzer(lrpkeras.datasets.shapes_model(), "epsilon")
    expected = analyzer(image)
    close(np.load(tmp_path / "out" / "0.npy"), np.asarray(expected)[0])
    again = run("explain", tmp_path / "exported", *words, "--out", tmp_path, "--preset", "gamma")
    assert again.returncode == 1
    assert "leave out --preset" in again.stderr
    measures = ["--preprocess", "unit", "--measures", "conservation"]
    done = run("evaluate", tmp_path / "exported", folder / "0.png", *measures)
    assert done.returncode == 0, done.stderr
    kept = np.asarray(expected).sum() / analyzer.logits(image).numpy().max()
    assert f"{kept:.4f}" in done.stdout
    done = run("check", tmp_path / "exported", folder / "0.png", "--preprocess", "unit")
    assert done.returncode == 1
    assert "needs the model" in done.stderr


# In this process: what does not need one of its own


def fails(capsys, *words):
    assert cli.main([str(word) for word in words]) == 1
    error = capsys.readouterr().err
    assert error.startswith("lrpkeras: error: ")
    assert error.count("\n") == 1
    return error


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["explain", "absent.keras", "FOLDER", "--out", "OUT"], "no model file 'absent.keras'"),
        (["explain", MODEL, "absent/*.png", "--out", "OUT"], "no photo is there"),
        (["explain", MODEL, "EMPTY", "--out", "OUT"], "no photo is there"),
        (["explain", MODEL, "FOLDER", "--out", "FILE"], "that is a file"),
        (["explain", MODEL, "FOLDER", "--out", "OUT", "--format", "gif"], "--format is png"),
        (["explain", MODEL, "FOLDER", "--out", "OUT", "--target", "cat"], "--target is"),
        (["explain", MODEL, "FOLDER", "--out", "OUT", "--target", "9"], "out of range"),
        (["explain", MODEL, "FOLDER", "--out", "OUT", "--shard", "3/2"], "i/n"),
        (["explain", MODEL, "FOLDER", "--out", "OUT", "--preprocess", "vgg"], "preprocess is"),
        (["explain", MODEL, "FOLDER", "--out", "OUT", "--preprocess", "absent:f"], "absent"),
        (["explain", MODEL, "FOLDER", "--out", "OUT", "--preprocess", "json:f"], "json"),
        (["explain", MODEL, "FOLDER", "--out", "OUT", "--labels", "absent.txt"], "absent.txt"),
        (["explain", MODEL, "FOLDER", "--out", "OUT", "--preset", "epsilom"], "epsilom"),
        (["explain", MODEL, "FOLDER", "--out", "OUT", "--batch-size", "0"], "batch_size"),
        (["summary", MODEL, "--config", "absent.json"], "absent.json"),
        (["evaluate", MODEL, "FOLDER", "--measures", "beauty"], "is none of"),
        (["evaluate", MODEL, "FOLDER", "--measures", "mass"], "needs --masks"),
        (["report", MODEL, "FOLDER", "--out", "EMPTY"], "is a folder"),
        (["report", MODEL, "FOLDER", "--out", "OUT", "--classes", "9"], "K is from 1"),
        (["report", MODEL, "absent", "--out", "OUT", "--megabytes", "-1"], "megabytes is"),
        (["report", MODEL, "FOLDER", "--out", "OUT", "--classes", "2", "--target", "1"], "leave"),
        (["report", MODEL, "FOLDER", "--out", "OUT", "--measures", "beauty"], "is none of"),
        (["check", MODEL, "FOLDER"], "cannot be checked"),
        (["check", MODEL, "FOLDER", "--batch-size", "-1"], "batch_size"),
        (["check", MODEL, "FOLDER", "--target", "1,2"], "One class"),
        (["export", MODEL, "FOLDER"], "is there already"),
    ],
)
def test_an_error_is_one_line_that_says_why(capsys, folder, tmp_path, words, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    places = {
        "FOLDER": folder, "EMPTY": tmp_path / "empty", "FILE": tmp_path / "file",
        "OUT": tmp_path / "out",
    }  # fmt: skip
    assert message in fails(capsys, *(places.get(word, word) for word in words))


def test_debug_shows_where_an_error_comes_from(folder):
    with pytest.raises(lrpkeras.LrpError):
        cli.main(["explain", "absent.keras", str(folder), "--out", "x", "--debug"])


def test_a_mask_that_two_photos_may_mean_is_refused(tmp_path):
    with pytest.raises(InputError, match="several photos are named 'cat'"):
        read_masks(tmp_path, ["home/cat.png", "work/cat.jpg"], (4, 4))


@pytest.mark.parametrize(
    "name", ["presets", "summary", "check", "explain", "report", "evaluate", "export"]
)
def test_help_has_an_example_that_is_understood(name, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([name, "--help"])
    assert stop.value.code == 0
    example = capsys.readouterr().out.partition("example:\n")[2].split()
    assert example[:2] == ["lrpkeras", name]
    cli._parser().parse_args(example[1:])


@pytest.mark.parametrize(
    ("given", "told"),
    [([], True), (["--preprocess", "none"], False), (["--preprocess", "unit"], False)],
)
def test_photos_that_are_taken_as_they_are_are_told(folder, capsys, given, told):
    assert cli.main(["check", MODEL, str(folder / "0.png"), *given]) == 0
    assert ("taken as they are, 0 to 255" in capsys.readouterr().err) is told


def test_files_are_found_in_folders_and_patterns_once_each(folder):
    found = arguments.image_files([str(folder / "*.png"), str(folder), str(folder / "0.png")])
    assert [Path(file).name for file in found] == [
        "0.png", "1.png", "2.png", "3.png", "4.png", "broken.jpg",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.txt", "cat\ndog\n", {0: "cat", 1: "dog"}),
        ("a.json", '["cat", "dog"]', {0: "cat", 1: "dog"}),
        ("a.json", '{"7": "cat"}', {7: "cat"}),
        ("a.json", '{"7": ["n0123", "cat"]}', {7: "cat"}),
    ],
)
def test_labels_are_read(tmp_path, name, text, expected):
    (tmp_path / name).write_text(text)
    assert arguments.labels(str(tmp_path / name)) == expected


def test_a_function_of_the_user_s_preprocesses(tmp_path, monkeypatch):
    (tmp_path / "mine_for_test.py").write_text("def halved(x):\n    return x / 2\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    made = arguments.preprocess("mine_for_test:halved")
    np.testing.assert_array_equal(made(np.array([4.0])), [2.0])


def test_maps_at_the_photo_s_size_have_the_same_sums():
    rng = np.random.default_rng(0)
    for shape in ((8, 6, 3), (2, 8, 6, 1)):
        relevance = rng.uniform(0.5, 1, shape).astype("float32")
        large = at_size(relevance, (31, 20))
        assert large.shape == (*shape[:-3], 31, 20, shape[-1])
        np.testing.assert_allclose(
            large.sum(axis=(-3, -2)), relevance.sum(axis=(-3, -2)), rtol=1e-5
        )
    assert at_size(relevance, (8, 6)) is relevance
    # One bright pixel, made smaller: none of it is lost.
    one = np.zeros((224, 224, 1), "float32")
    one[17, 40] = 1
    np.testing.assert_allclose(at_size(one, (40, 57)).sum(), 1, rtol=1e-6)


def test_results_lie_in_their_folder_each_with_a_name_of_its_own():
    names = ["../ph/0.png", "x.png", "a.jpg", "a.png", "a.jpg.png"]
    places = _places(names)
    assert not any(place.is_absolute() or ".." in place.parts for place in places.values())
    assert len(set(places.values())) == len(names)


def test_results_are_no_photos(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "photos")
    out = tmp_path / "photos" / "maps"
    out.mkdir()
    shutil.copy(folder / "0.png", out / "0.heatmap.png")
    found = arguments.image_files([str(tmp_path / "photos")], out)
    assert not any("maps" in file for file in found)
    with pytest.raises(lrpkeras.LrpError, match="empty name"):
        arguments.image_files([""])


# Real data


@pytest.mark.reference
def test_mobilenet_explains_fifty_photos(data_folder, tmp_path):
    from experiments import data

    photos = data.photos(data_folder, 50).images
    (tmp_path / "photos").mkdir()
    for i, photo in enumerate(photos):
        size = [(224, 224), (320, 240), (200, 300)][i % 3]
        Image.fromarray(photo).resize(size).save(tmp_path / "photos" / f"{i:02d}.png")
    data.mobilenet(data_folder).save(tmp_path / "mobilenet.keras")
    common = ["--preprocess", "mobilenet", "--quiet"]
    done = run(
        "explain", tmp_path / "mobilenet.keras", tmp_path / "photos", *common,
        "--out", tmp_path / "out", "--format", "png,h5",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    results = lrpkeras.open_results(tmp_path / "out")
    assert len(results) == 50
    first = [i for i in range(50) if i % 3 == 0]
    x = (photos[first] / np.float32(127.5) - 1).astype("float32")
    analyzer = lrpkeras.Analyzer(data.mobilenet(data_folder))
    expected = analyzer.explain(x, verbose=0)
    np.testing.assert_array_equal(np.asarray(results.target)[first], expected.target)
    # Batches of other sizes run in other graphs, and maps of MobileNet have few digits.
    got = np.asarray(results.relevance)[first]
    assert np.abs(got - expected.relevance).max() <= 1e-4 * np.abs(expected.relevance).max()
    done = run("evaluate", tmp_path / "mobilenet.keras", tmp_path / "photos", *common)
    assert done.returncode == 0, done.stderr
    assert "flipping gap" in done.stdout
    exported = tmp_path / "exported"
    assert run("export", tmp_path / "mobilenet.keras", exported).returncode == 0
    done = run(
        "explain", exported, tmp_path / "photos", *common, "--out", tmp_path / "again",
        "--format", "h5",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    again = np.asarray(lrpkeras.open_results(tmp_path / "again").relevance)
    assert np.abs(again[first] - got).max() <= 1e-4 * np.abs(got).max()
