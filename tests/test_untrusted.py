"""Models and images of strangers: refused by an LrpError, in bounded time and memory."""

import json
import os
import random
import shutil
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from PIL import Image

import lrpkeras
from lrpkeras import contents, photos
from lrpkeras.errors import InputError, ModelError, UnsupportedLayerError

SCRIPT = Path(__file__).with_name("untrusted_script.py")
HARMLESS = "read"


def small():
    return keras.Sequential(
        [
            keras.Input((6, 6, 3)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(3, activation="softmax"),
        ]
    )


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """One file, or folder, of each kind."""
    folder = tmp_path_factory.mktemp("good")
    model = small()
    model.save(folder / "model.keras")
    weights = model.get_weights()
    with h5py.File(folder / "model.h5", "w") as stream:
        # Keras warns when it writes this format, and reads it without.
        from keras.src.legacy.saving import legacy_h5_format

        legacy_h5_format.save_model_to_hdf5(model, stream)
    model.export(folder / "saved", verbose=False)
    rng = np.random.default_rng(0)
    pixels = Image.fromarray(rng.integers(0, 256, (40, 50, 3), "uint8"))
    for ending in ("png", "jpg", "gif", "bmp", "webp", "tiff"):
        pixels.save(folder / f"image.{ending}")
    assert weights
    return folder


def read_all(files):
    """Read files in one other process; return what each came to, seconds and megabytes."""
    root = str(Path(__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": root, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, files)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        timeout=600,
    )
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith("/")]
    found = {line[0]: (line[1], float(line[2]), float(line[3])) for line in lines if len(line) == 4}
    assert done.returncode == 0, (lines[-1], done.stderr[-2000:])
    assert len(found) == len(files)
    return found


def mutated(content: bytes, rng: random.Random) -> bytes:
    """Cut, flip, blank, repeat or insert a part."""
    length = len(content)
    at = rng.randrange(length)
    some = min(length - at, rng.choice([1, 4, 16, 256, 4096]))
    kind = rng.randrange(6)
    if kind == 0:
        return content[:at]
    if kind == 1:
        flipped = bytearray(content)
        for i in range(at, at + some):
            flipped[i] ^= 1 << rng.randrange(8)
        return bytes(flipped)
    if kind == 2:
        return content[:at] + b"\x00" * some + content[at + some :]
    if kind == 3:
        return content[:at] + b"\xff" * some + content[at + some :]
    if kind == 4:
        return content[:at] + content[at : at + some] + content[at:]
    return content[:at] + bytes(rng.randrange(256) for _ in range(some)) + content[at:]


def mutated_archive(file: Path, out: Path, rng: random.Random) -> None:
    """Change one entry of a zip file, and keep it a whole zip file."""
    with zipfile.ZipFile(file) as archive, zipfile.ZipFile(out, "w") as new:
        chosen = rng.choice(archive.namelist())
        for name in archive.namelist():
            content = archive.read(name)
            if name == chosen:
                content = changed_text(content, rng) if name.endswith("json") else content
                content = mutated(content, rng) if content == archive.read(name) else content
            new.writestr(name, content)


def changed_text(content: bytes, rng: random.Random) -> bytes:
    """Change a number, a name or a bracket of a JSON text."""
    text = content.decode()
    places = [i for i, c in enumerate(text) if c.isdigit() or c in '{}[]",:']
    at = rng.choice(places)
    new = rng.choice(["9" * 12, "-1", "0", "null", '"', "{", "[" * 2000, "1e999", ""])
    return (text[:at] + new + text[at + 1 :]).encode()


@pytest.mark.slow
def test_two_hundred_malformed_files_are_refused_or_read(good, tmp_path):
    rng, files = random.Random(0), []
    for i in range(200):
        kind = i % 4
        if kind == 0:
            out = tmp_path / f"{i}.keras"
            if rng.random() < 0.6:
                mutated_archive(good / "model.keras", out, rng)
            else:
                out.write_bytes(mutated((good / "model.keras").read_bytes(), rng))
        elif kind == 1:
            out = tmp_path / f"{i}.h5"
            out.write_bytes(mutated((good / "model.h5").read_bytes(), rng))
        elif kind == 2:
            image = rng.choice(sorted(good.glob("image.*")))
            out = tmp_path / f"{i}{image.suffix}"
            out.write_bytes(mutated(image.read_bytes(), rng))
        else:
            out = tmp_path / f"{i}"
            shutil.copytree(good / "saved", out)
            inside = rng.choice([f for f in sorted(out.rglob("*")) if f.is_file()])
            inside.write_bytes(mutated(inside.read_bytes(), rng))
        files.append(out)
    found = read_all(files)
    outcomes = {name: outcome for name, (outcome, _, _) in found.items()}
    wrong = {n: o for n, o in outcomes.items() if o not in ("LrpError", HARMLESS)}
    assert not wrong
    assert sum(outcome == "LrpError" for outcome in outcomes.values()) > 100
    assert max(seconds for _, seconds, _ in found.values()) < 60
    assert max(more for _, _, more in found.values()) < 1000


# One by one


def archive_with(good, out, **entries):
    with zipfile.ZipFile(good / "model.keras") as archive, zipfile.ZipFile(out, "w") as new:
        for name in archive.namelist():
            new.writestr(name, entries.pop(name.replace(".", "_"), archive.read(name)))
        for name, content in entries.items():
            new.writestr(name, content)
    return out


def refused(path, match):
    with pytest.raises(ModelError, match=match):
        lrpkeras.Analyzer(path)


def test_entries_that_lead_out_of_an_archive_are_refused(good, tmp_path):
    for i, name in enumerate(("../out.txt", "/etc/out.txt", "assets/../../x", "C:\\x")):
        out = tmp_path / f"{i}.keras"
        shutil.copy(good / "model.keras", out)
        with zipfile.ZipFile(out, "a") as archive:
            archive.writestr(name, "x")
        refused(out, "could not be loaded: its entry .* leads out of it")
    link = tmp_path / "link.keras"
    shutil.copy(good / "model.keras", link)
    with zipfile.ZipFile(link, "a") as archive:
        entry = zipfile.ZipInfo("assets/link")
        entry.external_attr = 0o120777 << 16
        archive.writestr(entry, "/etc/passwd")
    refused(link, "leads out of it")


def test_bombs_are_refused(good, tmp_path):
    zipped = tmp_path / "zip.keras"
    shutil.copy(good / "model.keras", zipped)
    with zipfile.ZipFile(zipped, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("assets/zeros", bytes(2**28))
    refused(zipped, "bomb")
    arrays = tmp_path / "arrays.h5"
    shutil.copy(good / "model.h5", arrays)
    with h5py.File(arrays, "a") as stream:
        # Of a chunked array nothing is written until it is filled.
        stream.create_dataset("huge", (2**40,), "float32", chunks=(2**20,))
    refused(arrays, "bomb")


def test_descriptions_of_more_weights_than_there_are_are_refused(good, tmp_path):
    with zipfile.ZipFile(good / "model.keras") as archive:
        config = archive.read("config.json").decode()
    assert '"units": 3' in config
    large = config.replace('"units": 3', '"units": 3000000000')
    refused(archive_with(good, tmp_path / "large.keras", config_json=large), "bytes of weights")
    out = tmp_path / "large.h5"
    shutil.copy(good / "model.h5", out)
    with h5py.File(out, "a") as stream:
        known = json.loads(stream.attrs["model_config"])
        known["config"]["layers"][-1]["config"]["units"] = 3_000_000_000
        stream.attrs["model_config"] = json.dumps(known)
    refused(out, "bytes of weights")


def test_links_and_arrays_in_other_files_are_refused(good, tmp_path):
    with h5py.File(tmp_path / "secret.h5", "w") as stream:
        stream["x"] = np.zeros(3)
    for i, make in enumerate(
        (
            lambda stream: stream.__setitem__("l", h5py.ExternalLink("secret.h5", "x")),
            lambda stream: stream.__setitem__("l", h5py.SoftLink("/model_weights")),
            lambda stream: stream.create_dataset(
                "l", (3,), "f4", external=[(str(tmp_path / "secret.h5"), 0, 12)]
            ),
        )
    ):
        out = tmp_path / f"{i}.h5"
        shutil.copy(good / "model.h5", out)
        with h5py.File(out, "a") as stream:
            make(stream)
        refused(out, r"is a link|another file")


def test_types_that_no_model_has_are_refused(good, tmp_path):
    out = tmp_path / "opaque.h5"
    shutil.copy(good / "model.h5", out)
    with h5py.File(out, "a") as stream:
        stream.attrs["odd"] = np.void(b"123")
    refused(out, "is none of a model")


@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_files_of_another_kind_are_named(good, tmp_path, ending):
    for i, content in enumerate((b"", b"no model", (good / "image.png").read_bytes())):
        out = tmp_path / f"{i}.{ending}"
        out.write_bytes(content)
        refused(out, "is no whole")


def test_good_files_are_read(good):
    for name in ("model.keras", "model.h5", "saved"):
        lrpkeras.Analyzer(good / name)
    for image in good.glob("image.*"):
        assert photos.read(image).size == (50, 40)


def test_a_child_that_cannot_be_started_is_no_fault_of_the_file(good, monkeypatch, tmp_path):
    silent = tmp_path / "python"
    silent.symlink_to(shutil.which("true"))
    for executable in ("", None, "/nowhere/python", "/usr/bin/editor", str(silent)):
        monkeypatch.setattr(sys, "executable", executable)
        assert contents.held_bytes(good / "model.h5") > 0
    monkeypatch.undo()
    monkeypatch.setattr(sys, "path", [Path("here"), *sys.path])
    assert contents.held_bytes(good / "model.h5") > 0


def test_a_file_that_ends_its_reader_is_refused(good, monkeypatch):
    begun = contents.BEGUN.decode()
    monkeypatch.setattr(contents, "__file__", str(good / "reader.py"))
    (good / "reader.py").write_text(f"import os; print({begun!r}, end='', flush=True); os.abort()")
    with pytest.raises(contents.UnsoundError, match="ends the process that reads"):
        contents.held_bytes(good / "model.h5")
    monkeypatch.setattr(contents, "SECONDS", 1)
    monkeypatch.setattr(contents, "PATIENCE", 1)
    (good / "reader.py").write_text("import time; time.sleep(60)")
    with pytest.raises(contents.UnsoundError, match="does not end within 1 s"):
        contents.held_bytes(good / "model.h5")


def test_chunks_larger_than_the_file_are_bombs(good, tmp_path):
    out = tmp_path / "chunks.h5"
    shutil.copy(good / "model.h5", out)
    with h5py.File(out, "a") as stream:
        stream.create_dataset("c", (3,), "f4", maxshape=(None,), chunks=(2**27,), compression=9)
    refused(out, "bomb")


def test_descriptions_larger_than_any_are_refused(good, tmp_path):
    layer = '{"class_name": "Activation", "config": {"activation": "relu"}}'
    for i, many in enumerate(("[" + "[]," * 600_000 + "[]]", "[" + f"{layer}," * 20_000 + "0]")):
        out = archive_with(good, tmp_path / f"{i}.keras", config_json=many)
        refused(out, "its description is larger than any")
        with h5py.File(tmp_path / f"{i}.h5", "w") as stream:
            stream.attrs.create("model_config", many[:60_000])  # an attribute holds no more
    refused(tmp_path / "1.h5", "could not be loaded")


def test_a_description_that_is_no_text_is_refused(good, tmp_path):
    out = tmp_path / "x.h5"
    shutil.copy(good / "model.h5", out)
    with h5py.File(out, "a") as stream:
        text = stream.attrs["model_config"].replace("relu", "re\udceflu")
        stream.attrs["model_config"] = text.encode(errors="surrogateescape")
    refused(out, "could not be loaded")


def test_what_is_no_file_is_not_opened(tmp_path):
    for name in ("x.keras", "x.h5"):
        os.mkfifo(tmp_path / name)
        refused(tmp_path / name, "neither a file nor a folder")
    os.mkfifo(tmp_path / "x.png")
    with pytest.raises(InputError, match="is no file"):
        photos.read(tmp_path / "x.png")


def test_inputs_of_any_size_are_not_drawn(tmp_path):
    inputs = keras.Input((40_000, 40_000, 3))
    keras.Model(inputs, layers.GlobalMaxPooling2D()(inputs)).save(tmp_path / "x.keras")
    refused(tmp_path / "x.keras", "numbers for each sample")


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
def test_weights_of_every_type_are_read(tmp_path, dtype):
    model = keras.Sequential([keras.Input((8,)), layers.Dense(4, dtype=dtype)])
    model.save(tmp_path / "x.keras")
    assert contents.held_bytes(tmp_path / "x.keras", "model.weights.h5") > 0
    lrpkeras.Analyzer(tmp_path / "x.keras", verify=False)


# SavedModels


class Table(tf.saved_model.experimental.TrackableResource):
    """Runs something when it is loaded."""

    def __init__(self, run):
        super().__init__(device="")
        self._run = run

    def _create_resource(self):
        return tf.raw_ops.MutableHashTableV2(key_dtype=tf.string, value_dtype=tf.int64)

    def _initialize(self):
        self._run()

    def _destroy_resource(self):
        pass


def saved(folder, compute, resource=None):
    module = tf.Module()
    module.resource, module.kernel = resource, tf.Variable(tf.ones((3, 2)))

    @tf.function(input_signature=[tf.TensorSpec((None, 3), "float32")])
    def serve(x):
        if resource is not None:
            tf.raw_ops.LookupTableSizeV2(table_handle=resource.resource_handle)
        return compute(tf.matmul(x, module.kernel))

    tf.saved_model.save(module, folder, signatures=serve)
    return folder


def test_saved_models_that_reach_files_are_refused(tmp_path):
    file = tmp_path / "written"

    def writes():
        tf.io.write_file(str(file), "x")

    def written(x):
        writes()
        return x

    def added(x):
        return x + tf.cast(tf.strings.length(tf.io.read_file("/etc/hostname")), "float32")

    def branch(x):
        return tf.cond(tf.reduce_sum(x) > 0, lambda: written(x), lambda: x)

    def called_back(x):
        return tf.ensure_shape(tf.py_function(lambda y: y, [x], "float32"), (None, 2))

    for i, (compute, resource, name) in enumerate(
        (
            (tf.identity, Table(writes), "WriteFile"),
            (written, None, "WriteFile"),
            (added, None, "ReadFile"),
            (branch, None, "WriteFile"),
            (called_back, None, "EagerPyFunc"),
        )
    ):
        folder = saved(str(tmp_path / str(i)), compute, resource)
        file.unlink(missing_ok=True)
        refused(folder, f"it runs {name}, which may reach files or code")
        assert not file.exists()


def test_constants_that_reach_files_or_fill_the_memory_are_not_computed(tmp_path):
    def reads(x):
        return x + tf.cast(tf.strings.length(tf.io.read_file("/etc/hostname")), "float32")

    def large(x):
        return x + tf.reduce_sum(tf.fill([1500, 1000, 1000], 1e-9))

    for i, (compute, why) in enumerate(((reads, "it runs ReadFile"), (large, "a constant of"))):
        loaded = tf.saved_model.load(saved(str(tmp_path / str(i)), compute))
        with pytest.raises(UnsupportedLayerError, match=why):
            lrpkeras.Analyzer(loaded.signatures["serving_default"], verify=False)


def test_graphs_that_are_too_large_are_not_opened(good, tmp_path):
    shutil.copytree(good / "saved", tmp_path / "x")
    with open(tmp_path / "x" / "saved_model.pb", "r+b") as stream:
        stream.truncate(5 * 2**30)  # of holes
    refused(tmp_path / "x", "is no graph")


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("signatures", {}),
        ("maps", ["nothing"]),
        ("decision", {"head": "evil", "channels_first": False, "signless": False}),
        ("config", {"preset": None}),
        ("format", 1),
    ],
)
def test_records_that_were_not_written_so_are_refused(tmp_path, part, value):
    lrpkeras.Analyzer(small()).export(tmp_path / "x")
    file = tmp_path / "x" / "assets" / "lrpkeras.json"
    record = json.loads(file.read_text())
    file.write_text(json.dumps(record | {part: value}))
    with pytest.raises(ModelError, match=r"is not what analyzer\.export wrote"):
        lrpkeras.load(tmp_path / "x")


# Images


def png_of(width, height):
    """The beginning of a PNG that says how large it is, with a few bytes of pixels."""

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(2**20))
    parts = [chunk(b"IHDR", head), chunk(b"IDAT", pixels), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_images_that_are_too_large_or_cut_are_refused(tmp_path):
    for width, height, match in (
        (100_000, 100_000, "damaged|pixels"), (9000, 9000, "pixels"), (3000, 3000, "read|damaged"),
    ):  # fmt: skip
        (tmp_path / "x.png").write_bytes(png_of(width, height))
        with pytest.raises(InputError, match=match):
            photos.read(tmp_path / "x.png")


def test_scans_that_repeat_are_refused(tmp_path):
    Image.new("L", (4000, 4000)).save(tmp_path / "x.jpg", progressive=True)
    content = (tmp_path / "x.jpg").read_bytes()
    assert photos.read(tmp_path / "x.jpg", 1).size == (4000, 4000)
    last = content[content.rindex(photos.SCAN) : -2]
    (tmp_path / "x.jpg").write_bytes(content[:-2] + 200 * last + content[-2:])
    with pytest.raises(InputError, match=r"\d+ scans: that is a bomb"):
        photos.read(tmp_path / "x.jpg", 1)


def test_scripts_named_like_images_are_no_images(tmp_path):
    (tmp_path / "x.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage")
    with pytest.raises(InputError, match="no image of a known format"):
        photos.read(tmp_path / "x.eps")


def test_photos_are_upright(tmp_path):
    image = Image.new("RGB", (30, 20))
    exif = image.getexif()
    exif[0x0112] = 6  # the camera was turned
    image.save(tmp_path / "x.jpg", exif=exif)
    assert photos.read(tmp_path / "x.jpg").size == (20, 30)


def test_photos_of_16_bits_are_made_8_and_numbers_of_no_range_refused(tmp_path):
    ramp = np.linspace(0, 65535, 64).astype("uint16").reshape(8, 8)
    Image.fromarray(ramp).save(tmp_path / "x.png")
    np.testing.assert_array_equal(photos.read(tmp_path / "x.png", 1), np.rint(ramp / 257))
    Image.fromarray(np.full((8, 8), 0.5, "float32")).save(tmp_path / "x.tiff")
    with pytest.raises(InputError, match="no known range"):
        photos.read(tmp_path / "x.tiff")


def test_photos_that_pillow_warns_of_are_read(tmp_path):
    image = Image.new("P", (4, 3))
    image.putpalette([0, 0, 0, 255, 255, 255])
    image.save(tmp_path / "x.png", transparency=b"\x00\xff")
    assert photos.read(tmp_path / "x.png").size == (4, 3)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "1"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_photos_of_every_mode_get_the_model_s_channels(tmp_path, mode, channels):
    file = tmp_path / ("x.tiff" if mode == "CMYK" else "x.png")
    Image.new(mode, (4, 3)).save(file)
    assert len(photos.read(file, channels).getbands()) == channels
