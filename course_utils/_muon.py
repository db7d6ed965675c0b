"""Muon, the optimiser of `training.fit(optimiser="muon")`."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

STEP = 1 / 3  # of the learning rate, which is SGD's: with 0.3 both do their best here
ITERATIONS, A, B, C = 4, 3.4445, -4.7750, 2.0315  # Jordan 2024: quick, and singular values near 1 are enough


class Muon(torch.optim.Optimizer):
    """SGD with Nesterov momentum whose step for a convolution is made orthogonal before it is taken.

    A convolution's weight `[out, in, k, k]` is a matrix `[out, in k k]`. Its step keeps its directions and
    gets singular values near 1, so that no direction is learned slowly; the weight's norm is held at
    sqrt(out). That suits networks with normalisation behind each convolution, where the norm has no
    meaning. All else is left to `sgd`.
    Source: Jordan et al. 2024, "Muon: an optimizer for hidden layers"; its use in KellerJordan/cifar10-airbench.
    """

    def __init__(self, kernels: Sequence[nn.Parameter], sgd: torch.optim.SGD, momentum: float = 0.6) -> None:
        super().__init__(kernels, {"lr": 0.0, "momentum": momentum})
        self.sgd = sgd
        self.param_groups += sgd.param_groups
        by_shape: dict[torch.Size, list[nn.Parameter]] = {}
        for kernel in kernels:
            by_shape.setdefault(kernel.shape, []).append(kernel)
        self.stacks = [(same, same[0].new_zeros(len(same), len(same[0]), 1)) for same in by_shape.values()]

    @torch.no_grad()
    def step(self, closure=None) -> None:
        """Kernels of one shape take their steps together, as one batch of matrices."""
        momentum, rate = self.param_groups[0]["momentum"], STEP * self.param_groups[0]["lr"]
        for n, (kernels, velocity) in enumerate(self.stacks):
            gradients = torch.stack([kernel.grad.flatten(1) for kernel in kernels])
            velocity = momentum * velocity + gradients
            self.stacks[n] = kernels, velocity
            for kernel, step in zip(kernels, orthogonal(gradients + momentum * velocity), strict=True):
                kernel.mul_(len(kernel) ** 0.5 / kernel.norm())
                kernel.sub_(step.view_as(kernel), alpha=rate)
        self.sgd.step(closure)


def orthogonal(matrices: Tensor) -> Tensor:
    """Matrices `[N, rows, columns]` with the same singular vectors and singular values near 1.

    Source: Newton-Schulz iteration with the coefficients of Jordan 2024; no singular value decomposition.
    """
    x = matrices / (matrices.norm(dim=(1, 2), keepdim=True) + 1e-7)
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    for _ in range(ITERATIONS):
        squares = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(squares, squares, squares, beta=B, alpha=C), x, beta=A)
    return x.mT if tall else x
