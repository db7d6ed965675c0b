"""What flows through a network while it trains, measured without leaving a trace in it."""

from collections.abc import Iterable
from contextlib import ExitStack
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Signals(NamedTuple):
    """For each convolution, what it hands on (root mean square, behind addition and ReLU) and its gradient's norm."""

    activations: tuple[float, ...]
    gradients: tuple[float, ...]
    loss: float


def layer_signals(model: nn.Module, images: Tensor, targets: Tensor) -> Signals:
    """Activations and gradients of one training step in every convolution of a `ResNet` but those of the shortcuts.

    images: `[N, C, H, W]`, targets: `[N]`, on any device. Batch normalisation takes the statistics of these
    images, as in training. The model is left as it was, on its device. Raises ValueError as the model's `forward` does.
    """
    activations: list[Tensor] = []
    with unchanged(model), torch.enable_grad(), ExitStack() as hooks:
        for relu in (model.relu, *(block.relu for block in _blocks(model))):
            hooks.enter_context(relu.register_forward_hook(lambda _, __, out: activations.append(out)))
        device = model.conv1.weight.device
        loss = F.cross_entropy(model.train()(images.to(device)), targets.to(device))
        gradients = torch.autograd.grad(loss, [layer.weight for layer in main_path(model)])
    sizes = [norm / a.numel() ** 0.5 for norm, a in zip(_norms(activations), activations, strict=True)]
    return Signals(tuple(sizes), tuple(_norms(gradients)), loss.item())


def main_path(model: nn.Module) -> list[nn.Conv2d]:
    """The convolutions of a residual or plain network from first to last, without those of the shortcuts."""
    children = [child for block in _blocks(model) for child in block.named_children()]
    return [model.conv1, *(child for name, child in children if name.startswith("conv"))]


def unchanged(model: nn.Module) -> ExitStack:
    """Afterwards modes and buffers (batch norm's statistics) are what they were, whatever happens inside."""
    modes = [(module, module.training) for module in model.modules()]
    held = [(module._buffers, dict(module._buffers)) for module in model.modules()]
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]

    @torch.no_grad()
    def put_back() -> None:
        for module, mode in modes:
            module.training = mode
        for current, before in held:  # forward may have put others in their place
            current.update(before)
        for buffer, before in buffers:
            if not (buffer.is_meta or torch.equal(buffer, before)):
                buffer.copy_(before)

    afterwards = ExitStack()
    afterwards.callback(put_back)
    return afterwards


def _blocks(model: nn.Module) -> list[nn.Module]:
    return [block for block in model.blocks if hasattr(block, "residual")]  # a deleted one left its shortcut


def _norms(tensors: Iterable[Tensor]) -> list[float]:
    # In double precision, which Apple's MPS lacks: without normalisation the squares leave single precision's range.
    return [torch.linalg.vector_norm(t.detach().cpu(), dtype=torch.float64).item() for t in tensors]
