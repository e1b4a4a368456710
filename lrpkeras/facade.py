"""What users call, whatever explains: an analyzer that was built, or one that was loaded."""

from __future__ import annotations

import dataclasses
import functools
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import keras

from lrpkeras import backend, batching, explore, jobs, targets
from lrpkeras.conditions import Conditions
from lrpkeras.decision import Decision
from lrpkeras.errors import InputError, TargetError
from lrpkeras.explanation import Explanation
from lrpkeras.explore.offer import Offer
from lrpkeras.options import Options
from lrpkeras.runner import Runner, check_finite
from lrpkeras.summary import About, Summary
from lrpkeras.versions import versions

if TYPE_CHECKING:
    from lrpkeras.explore.widget import Explorer

Array = Any
Runs = TypeVar("Runs", bound=Runner)


class Facade(ABC, Generic[Runs]):
    """Explains arrays and datasets.

    Parameters
    ----------
    explainer
        Explains batches.
    input_range
        Outside of which inputs are refused.
    """

    options: Options

    def __init__(self, explainer: Runs, input_range: tuple[float, float] | None) -> None:
        self._explainer, self._input_range = explainer, input_range

    @abstractmethod
    def _places(self, layers: str | Sequence[str] | None) -> dict[str, str]:
        """Return the nodes at whose outputs the relevance of layers is, by the layers' names."""

    @abstractmethod
    def _conditions(self, condition: Any) -> Conditions | None:
        """Return what relevance must flow through."""

    @abstractmethod
    def _offer(self) -> Offer:
        """Return what there is to explore."""

    @abstractmethod
    def _sent(self) -> Callable[[], Runner]:
        """Return a function that makes what explains in another process."""

    @abstractmethod
    def _table(self) -> Summary:
        """Return every node with its rule."""

    def _about(self) -> dict[str, Any]:
        """Return what is written down beside results: settings, model, versions."""
        about = {"config": self.get_config(), "fingerprint": self.fingerprint}
        return {**about, "versions": versions()}

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """16 hexadecimal digits that name the model: its graph and its weights."""

    @property
    @abstractmethod
    def decision(self) -> Decision:
        """How the model decides, as measures need to know it."""

    @abstractmethod
    def get_config(self) -> dict[str, Any]:
        """Return all settings but the model as plain values."""

    def __call__(self, x: Any, target: Any = None) -> Any:
        """Return the relevance of a batch.

        Parameters
        ----------
        x
            What the model is called with, batch first: array, tensor, or list or dict of them.
        target
            What is explained: None (each sample's winner), an int, one int per sample, a list of
            lists (several classes per sample), "all", a float array shaped like the output
            (relevance starts as array x output), or a callable from the output to such an array.
            For outputs with positions, `(batch, ..., classes)`, an int means the class everywhere.

        Returns
        -------
        tensor
            Shaped and nested like `x`; with several targets, `(batch, k, ...)`.

        Raises
        ------
        InputError, TargetError
            If `x` or `target` does not fit.
        """
        arrays = self._checked(x)
        parsed = targets.parse(target, arrays[0].shape[0], self._explainer.output_shape)
        relevance = self._explainer.run(arrays, parsed, 0, ())["relevance"]
        check_finite(relevance)
        return self._explainer.intake.pack(x, relevance)

    def logits(self, x: Any) -> Array:
        """Return the output that is explained, without its final softmax or sigmoid.

        Parameters
        ----------
        x
            As for `__call__`.

        Returns
        -------
        tensor
            Shape `(batch, classes)` for a classifier: the forward pass alone, compiled.

        Raises
        ------
        InputError
            If `x` does not fit.
        """
        inputs = self._explainer.converted(self._checked(x))
        return self._explainer.function("output")(inputs)

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """Shape of `logits`, with None for the batch and what else is free."""
        return self._explainer.output_shape

    def explain(
        self,
        x: Any,
        target: Any = None,
        *,
        batch_size: int = 32,
        layers: str | Sequence[str] | None = None,
        condition: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        verbose: str | int = "auto",
    ) -> Explanation:
        """Explain a data set in batches.

        Parameters
        ----------
        x
            Arrays or tensors as for `__call__`, or a dataset of batches of inputs, or of (inputs,
            labels): a `tf.data.Dataset`, a `keras.utils.PyDataset` or a torch `DataLoader`. The
            next batch is read while one is explained.
        target
            As for `__call__`; for a dataset, one that fits every batch.
        batch_size
            Samples at a time; a dataset brings its own.
        layers
            Names (or globs) of layers whose outputs' relevance is wanted too.
        condition
            `{layer: channels}`: only relevance that flows through these channels of the layer's
            output goes on to the inputs [Achtibat et al. 2023]. Channels are an int, ints, a
            boolean mask, or a float for each channel that multiplies its relevance. Of several
            layers all must be passed. A list of such dicts runs on one forward pass (ten at a
            time): results get an axis for the conditions behind that of the targets,
            `(batch, conditions, ...)` or `(batch, k, conditions, ...)`.
        verbose
            1 shows a progress bar, 0 none; "auto" shows it where there is more than one batch.

        Returns
        -------
        Explanation
            Relevance, logits and targets as NumPy arrays.

        Raises
        ------
        InputError, TargetError, RuleError
            If the data, target or condition, or a layer's name does not fit.

        Notes
        -----
        In the scope of a `tf.distribute.MirroredStrategy`, each batch is split over its devices; on
        JAX, over those of a `keras.distribution.DataParallel`, or all devices if there are several
        (but within `jax.default_device`). Where the analyzer was built does not matter.

        Conditions over all channels of a layer add up to the map without condition, less what
        flows past the layer (by a skip connection, say), of which nothing counts. This needs rules
        that are linear in relevance: "deconvnet" and "guided_backprop" are not, nor is `Relative`
        where it rescales residual branches, and layers within these are refused.

        Examples
        --------
        >>> import lrpkeras, numpy as np, keras
        >>> model = keras.Sequential(
        ...     [
        ...         keras.Input((6, 6, 1)),
        ...         keras.layers.Conv2D(4, 3, activation="relu", name="conv"),
        ...         keras.layers.Flatten(),
        ...         keras.layers.Dense(3),
        ...     ]
        ... )
        >>> analyzer = lrpkeras.Analyzer(model, preset="epsilon")
        >>> images = np.ones((2, 6, 6, 1), "float32")
        >>> analyzer.explain(images, condition={"conv": [0, 2]}).relevance.shape
        (2, 6, 6, 1)
        >>> each = [{"conv": channel} for channel in range(4)]
        >>> analyzer.explain(images, condition=each).relevance.shape
        (2, 4, 6, 6, 1)
        """
        batch_size = batching.positive(batch_size)
        nodes, conditioned = self._places(layers), self._conditions(condition)
        dataset = backend.is_dataset(x)
        arrays = None if dataset else self._checked(x)
        number = None if arrays is None else arrays[0].shape[0]
        parsed = targets.parse(target, number, self._explainer.output_shape)
        if dataset and parsed.counts_samples:
            raise TargetError("For a dataset, give one target for all samples, or None.")
        total = backend.count(x if dataset else arrays, batch_size)
        bar = batching.progress(total, verbose)
        explain = functools.partial(
            self._explainer.run,
            target=parsed,
            layers=tuple(nodes.values()),
            batch_size=batch_size,
            conditions=conditioned,
            devices=backend.devices(),
        )
        parts, like = [], x
        with closing(batching.ahead(self._batches(x, arrays, batch_size))) as batches:
            results = ((batch, explain(flat, start=start)) for batch, flat, start in batches)
            for batch, result in batching.one_behind(results):
                like = batch
                check_finite(result["relevance"])
                parts.append(keras.tree.map_structure(backend.to_numpy, result))
                if bar is not None:
                    bar.add(1)
        if not parts:
            raise InputError("The dataset is empty: there is no sample to explain.")
        explanation = self._gathered(parts, like, nodes)
        record = None if conditioned is None else conditioned.record
        return dataclasses.replace(explanation, condition=record)

    def _batches(
        self, x: Any, arrays: list[Array] | None, batch_size: int
    ) -> Generator[tuple[Any, list[Array], int], None, None]:
        """Yield what results are nested like, checked inputs, and the number of the first sample.

        Of a dataset where there are no `arrays`.
        """
        if arrays is None:
            for batch, start in batching.numbered(x, batch_size, True):
                yield batch, self._checked(batch), start
        else:
            for flat, start in batching.numbered(arrays, batch_size, False):
                yield x, flat, start

    def _gathered(self, parts: list[dict], like: Any, nodes: dict[str, str]) -> Explanation:
        whole = batching.joined(parts)
        return Explanation(
            relevance=self._explainer.intake.pack(like, whole["relevance"]),
            output=whole["output"],
            target=whole["target"],
            layers={layer: whole["layers"][name] for layer, name in nodes.items()},
            about=About(
                dataclasses.asdict(self.options), self.fingerprint, versions(), self._table()
            ),
        )

    def _checked(self, x: Any) -> list[Array]:
        arrays = self._explainer.intake.flatten(x)
        self._explainer.intake.check_values(arrays, self._input_range)
        return arrays

    def photos(
        self, paths: Sequence[str | os.PathLike], preprocess: Any = None
    ) -> jobs.FileSamples:
        """Return photos in files as this model takes them, read when asked for.

        Parameters
        ----------
        paths
            PNG, JPEG, BMP, GIF, WebP or TIFF files.
        preprocess
            As for `explain_dataset`.

        Returns
        -------
        FileSamples
            Its `read(start, stop)` returns a batch: `arrays` (one), `ids`, and what is
            `unreadable`, by position.

        Raises
        ------
        InputError
            If the model does not take photos, or `preprocess` is not known.
        """
        checked = jobs.Checked(self._explainer.intake, self._input_range)
        return jobs.FileSamples(paths, checked, preprocess)

    def explore(
        self,
        images: Any,
        *,
        labels: Sequence[str] | Mapping[int, str] | None = None,
        photos: Sequence[Array] | None = None,
    ) -> Explorer:
        """Return a notebook's widget to look at explanations of images, one at a time.

        It lets the reader choose image, class (the winner, those with the largest logits, any by
        its name), preset, layer, where colours are clipped, and whether the image lies below. A
        preset's analyzer has the settings of this one, is built when it is first chosen, and kept
        while it is among the four used last; explanations are kept, too (256 MB of them). Errors
        are shown where the picture would be. An exported analyzer has its one preset, and no
        hidden layers. Needs the extra `notebook`.

        Parameters
        ----------
        images
            What the model is called with, one input, `(n, ...)`. What is no image (vectors,
            series) is drawn as bars.
        labels
            Names of the classes: one for each, or a dict by class number.
        photos
            What to show in place of `images`, where those are preprocessed: `n` arrays
            `(height, width, 1 or 3)`, with values as `lrpkeras.plot.heatmap` takes them.

        Returns
        -------
        ipywidgets.VBox
            What a notebook shows. Its controls `image`, `target`, `search`, `preset`, `layer`,
            `clip` and `overlay` have a `value` that can be set; `explanation` is what is shown,
            and `choice` says of what.

        Raises
        ------
        InputError
            If the images, photos or labels do not fit, or the model takes several inputs.
        LrpError
            If ipywidgets is missing.

        Examples
        --------
        >>> import lrpkeras
        >>> images = lrpkeras.datasets.shapes(8, seed=0).images
        >>> analyzer = lrpkeras.Analyzer(lrpkeras.datasets.shapes_model())
        >>> explorer = analyzer.explore(images, labels=lrpkeras.datasets.shapes_classes)
        >>> explorer.preset.value = "z_plus"
        >>> explorer.explanation
        Explanation(relevance=(1, 48, 48, 3), output=(1, 6), target=[3])
        """
        arrays = self._checked(images)
        if len(arrays) > 1:
            raise InputError(
                f"explore shows models of one input; this one takes {len(arrays)}: draw what "
                "explain returns."
            )
        held = backend.to_numpy(arrays[0]) if backend.is_tensor(arrays[0]) else arrays[0]
        return explore.explorer(held, photos, labels, self._offer())

    def explain_dataset(
        self,
        data: Any,
        out: str | os.PathLike,
        *,
        target: Any = None,
        preprocess: Any = None,
        batch_size: int = 32,
        shard_size: int = 256,
        storage: str = "full",
        shard: str | tuple[int, int] | None = None,
        strict: bool = False,
        engine: str | None = None,
        workers: int | None = None,
        gpus: float = 0,
        verbose: str | int = "auto",
    ) -> jobs.Results:
        """Explain a data set of any size into HDF5 files, in constant memory.

        Every file holds `relevance`, `output` (logits), `target`, `index` and `ids` of `shard_size`
        samples. It is written aside and renamed when it is complete; `manifest.json` says what is
        done. An interrupted job is taken up by calling this again with the same arguments, and what
        comes out is what would have come out without the interruption, bit for bit.

        Parameters
        ----------
        data
            Arrays as for `__call__`, a list of the paths of photos, or a dataset as for `explain`
            that comes in the same order every time.
        out
            A folder for the results.
        target
            As for `explain`.
        preprocess
            Of photos: "mobilenet", "unit", "caffe", "torch", "none", or a function of an array
            `(height, width, channels)`, 0 to 255, that returns the model's values. Photos are
            resized as the model needs (bilinear).
        batch_size, shard_size
            Samples at a time, and in a file; memory holds the compressed maps of one file, and the
            maps of all classes of a batch, which for "all" of many classes are many.
        storage
            "full"; "float16" or "int8" relative to the largest value of each sample (and class),
            with errors of at most 2^-11 and 0.5 / 127 of that.
        shard
            "i/n": only every n-th file, beginning with the i-th, so that n machines that share
            nothing but the folder do the job together.
        strict
            Whether a sample that cannot be explained (an unreadable photo, NaN, relevance that is
            not finite) ends the job. Otherwise it is left out, and listed in the results.
        engine
            "ray": on a Ray cluster (a local one if there is none), for arrays and paths; actors
            build the analyzer once, and a shard whose worker dies is done again by another. Needs
            the extra `ray`.
        workers, gpus
            For Ray: how many actors (None: as many as there are processors), and the GPUs that each
            takes, such as 0.5.
        verbose
            As for `explain`.

        Returns
        -------
        Results
            What `lrpkeras.open_results(out)` returns.

        Raises
        ------
        LrpError
            If an argument does not fit, the folder is of another job, or the disk is full.

        Examples
        --------
        >>> import lrpkeras, tempfile
        >>> images = lrpkeras.datasets.shapes(8, seed=0).images
        >>> analyzer = lrpkeras.Analyzer(lrpkeras.datasets.shapes_model())
        >>> with tempfile.TemporaryDirectory() as out:
        ...     results = analyzer.explain_dataset(images, out, shard_size=4, verbose=0)
        ...     results, results.relevance[5:].shape
        (Results(8 samples), (3, 48, 48, 3))
        """
        runner, about = self._explainer.anew(), self._about()
        return jobs.explain_dataset(
            jobs.Explains(runner, about, self._input_range, self._sent),
            jobs.Request(
                data,
                out,
                target=target,
                preprocess=preprocess,
                batch_size=batch_size,
                shard_size=shard_size,
                storage=storage,
                shard=shard,
                strict=strict,
                engine=engine,
                workers=workers,
                gpus=gpus,
                verbose=verbose,
            ),
        )
