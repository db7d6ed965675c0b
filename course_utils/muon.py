"""Muon, the optimiser of a network's convolutions in `training.fit(optimiser="muon")`."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

STEP = 1 / 3  # of the learning rate, which SGD beside it takes whole: with 0.3 both do their best here
ITERATIONS, A, B, C = 4, 3.4445, -4.7750, 2.0315  # Jordan 2024: quick, and singular values near 1 are enough
TINY = 1e-7


class Muon(torch.optim.Optimizer):
    """Nesterov momentum whose step for a convolution is made orthogonal before it is taken.

    A convolution's weight `[out, in, k, k]` is a matrix `[out, in k k]`. Its step keeps its directions and gets
    singular values near 1, so that no direction is learned slowly; the weight's norm, which has no meaning where
    normalisation follows, is held at sqrt(out). Raises ValueError for no kernel, or one without four dimensions.
    Source: Jordan et al. 2024, "Muon: an optimizer for hidden layers"; its use in KellerJordan/cifar10-airbench.
    """

    def __init__(self, kernels: Iterable[nn.Parameter], lr: float = 0.1, momentum: float = 0.6) -> None:
        kernels = list(kernels)
        if not kernels or any(kernel.ndim != 4 for kernel in kernels):
            shapes = ", ".join(str(list(kernel.shape)) for kernel in kernels) or "none"
            raise ValueError(f"Muon takes weights of convolutions, [out, in, height, width]; got {shapes}.")
        super().__init__(kernels, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure=None) -> None:
        """One step; kernels of one shape take theirs together, as one batch of matrices, others stay."""
        (group,) = self.param_groups
        moved = [kernel for kernel in group["params"] if kernel.grad is not None]
        for shape in dict.fromkeys(kernel.shape for kernel in moved):
            kernels = [kernel for kernel in moved if kernel.shape == shape]
            gradients = torch.stack([kernel.grad.flatten(1) for kernel in kernels])
            still = torch.zeros_like(gradients[0])
            before = torch.stack([self.state[kernel].get("velocity", still) for kernel in kernels])
            velocities = group["momentum"] * before + gradients
            steps = orthogonal(gradients + group["momentum"] * velocities)
            for kernel, velocity, step in zip(kernels, velocities, steps, strict=True):
                self.state[kernel]["velocity"] = velocity
                kernel.mul_(len(kernel) ** 0.5 / kernel.norm().clamp(min=TINY))
                kernel.sub_(step.view_as(kernel), alpha=STEP * group["lr"])


def orthogonal(matrices: Tensor) -> Tensor:
    """Matrices `[N, rows, columns]` with singular values near 1: Newton-Schulz iteration with Jordan's coefficients."""
    x = matrices / (matrices.norm(dim=(1, 2), keepdim=True) + TINY)
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    for _ in range(ITERATIONS):
        squares = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(squares, squares, squares, beta=B, alpha=C), x, beta=A)
    return x.mT if tall else x
