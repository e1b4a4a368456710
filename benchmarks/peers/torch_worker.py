"""zennit and captum on torch: `python -m benchmarks.peers.torch_worker` answers requests.

zennit: its composites of the same names as our presets, with `SequentialMergeBatchNorm` (folds each
normalization into the convolution defined in front of it, as its canonizers for torchvision's
networks do) and with sums as its `Sum` modules, which those put in. captum: `LRP` with its
default, `EpsilonRule` in every module, also in normalizations, which it does not fold; a plain `+`
is not supported, so sums are its own `Addition_Module`.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
import types
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from benchmarks.peers import torch_networks, worker

BOUNDS = (-1.0, 1.0)
Explain = Callable[[torch.Tensor], torch.Tensor]


def import_zennit() -> Any:
    """Import zennit, with placeholders for the torchvision classes that it names on import.

    Its canonizers look for them; no network here has any.
    """
    try:
        importlib.import_module("torchvision.models.resnet")
    except (ImportError, RuntimeError):
        names = ("torchvision", "torchvision.models", "torchvision.models.resnet")
        sys.modules.update({name: types.ModuleType(name) for name in names})
        sys.modules["torchvision"].ops = types.SimpleNamespace(  # type: ignore[attr-defined]
            FrozenBatchNorm2d=type("FrozenBatchNorm2d", (), {})
        )
        resnet = sys.modules["torchvision.models.resnet"]
        resnet.Bottleneck, resnet.BasicBlock = type("Bottleneck", (), {}), type("Block", (), {})
    zennit = importlib.import_module("zennit")
    for part in ("attribution", "canonizers", "composites", "layer"):
        importlib.import_module(f"zennit.{part}")
    return zennit


class Stacked(nn.Module):
    """Adds two tensors by zennit's `Sum`, which wants them stacked."""

    def __init__(self) -> None:
        super().__init__()
        self.sum = import_zennit().layer.Sum()

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Return the sum."""
        return self.sum(torch.stack([a, b], dim=-1))


def winners(output: torch.Tensor) -> torch.Tensor:
    """Return where relevance starts: each sample's largest logit."""
    return output * nn.functional.one_hot(output.argmax(1), output.shape[1])


def by_zennit(name: str, network: nn.Module) -> Explain:
    """Return zennit's explanation with one of its composites; it stays registered."""
    zennit = import_zennit()
    options: dict[str, Any] = {"canonizers": [zennit.canonizers.SequentialMergeBatchNorm()]}
    if name == "EpsilonGammaBox":
        like = next(network.parameters())
        low, high = (like.new_full((1, 3, 1, 1), bound) for bound in BOUNDS)
        options |= {"low": low, "high": high}
    composite = getattr(zennit.composites, name)(**options)
    attributor = zennit.attribution.Gradient(network, composite)
    attributor.__enter__()

    def explain(images: torch.Tensor) -> torch.Tensor:
        return attributor(images, winners)[1]

    return explain


def by_captum(network: nn.Module) -> Explain:
    """Return captum's explanation with its default rules."""
    method = importlib.import_module("captum.attr").LRP(network)

    def explain(images: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            target = network(images).argmax(1)
        return method.attribute(images, target)

    return explain


def by_gradient(network: nn.Module) -> Explain:
    """Return torch's own gradient of the winner to the input, to compare with TensorFlow's."""

    def explain(images: torch.Tensor) -> torch.Tensor:
        return torch.autograd.grad(network(images).max(1).values.sum(), images)[0]

    return explain


class Torch:
    """What the worker offers."""

    def about(self) -> dict[str, str]:
        """Return versions; captum may be absent."""
        names = ("torch", "zennit", "captum")
        found = {name: _version(name) for name in names}
        threads = {"torch threads": str(torch.get_num_threads())}
        return {name: version for name, version in found.items() if version} | threads

    def prepare(
        self, network: str, what: str, size: int, device: str = "cpu", precision: str = "float32"
    ) -> worker.Prepared:
        """Build a network of its own for a way of explaining it: hooks stay on it.

        `device` as torch names it; `precision` is "float32", "tf32" or "bfloat16".
        """
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = (
            precision == "tf32"
        )
        library, _, name = what.partition(" ")
        built = torch_networks.NETWORKS[network](ADDS[library](), size).eval().requires_grad_(False)
        number = torch_networks.parameters(built)
        count = torch_networks.multiply_adds(built, torch.zeros(1, 3, size, size))
        dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
        method = METHODS[library](name, built.to(device, dtype))

        def images(batch: int) -> torch.Tensor:
            return random_images(batch, size).to(device, dtype).requires_grad_()

        def explain(batch: torch.Tensor) -> None:
            # To wait for a GPU, a number of the result is fetched.
            method(batch).sum().item()

        return worker.Prepared(images, explain, number, count, _memory(explain, device))


def _memory(explain: Callable[[torch.Tensor], None], device: str) -> Callable:
    """Return what explains once and tells the most bytes that were allocated on a GPU."""

    def memory(images: torch.Tensor) -> int | None:
        if device == "cpu":
            return None
        torch.cuda.reset_peak_memory_stats()
        explain(images)
        return torch.cuda.max_memory_allocated()

    return memory


def random_images(batch: int, size: int) -> torch.Tensor:
    """Return random images between `BOUNDS`."""
    generator = torch.Generator().manual_seed(0)
    low, high = BOUNDS
    return low + (high - low) * torch.rand(batch, 3, size, size, generator=generator)


def _captum_sum() -> torch_networks.Add:
    return importlib.import_module("captum.attr._utils.custom_modules").Addition_Module


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


ADDS: dict[str, Callable[[], torch_networks.Add]] = {
    "zennit": lambda: Stacked,
    "captum": _captum_sum,
    "torch": lambda: torch_networks.Plus,
}
METHODS: dict[str, Callable[[str, nn.Module], Explain]] = {
    "zennit": by_zennit,
    "captum": lambda name, network: by_captum(network),
    "torch": lambda name, network: by_gradient(network),
}

if __name__ == "__main__":
    worker.serve(Torch())
