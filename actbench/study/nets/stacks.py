"""Many networks of one shape, trained as one.

A stack holds E independent networks in tensors with a leading ``member`` axis and back-propagates
through the linear layers by explicit batched products; activations and their derivatives are
torch's own kernels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from actbench.study.catalog.activations import trained
from actbench.study.nets.kernels import Kernel, kernel_of, learnable_kernel
from actbench.study.nets.networks import Architecture, activation_modules, linear_layers

# A vectorized CPU kernel handles 32 floats at a time and what is left over one by one, which can
# round differently. Memory in multiples of 32 x (1, 2, 3 or 4 threads) leaves nothing over, so a
# member's bits do not depend on where in a stack it lies.
_ALIGNMENT = 32 * 12


def _aligned(numel: int) -> int:
    return math.ceil(numel / _ALIGNMENT) * _ALIGNMENT


class Stack:
    """E independent networks of one architecture, as one batched tensor program.

    A member's numbers depend on nothing but its own weights, up to rounding; bit for bit where the
    library behind ``torch.bmm`` rounds alike at every place and size, as MKL does under
    ``MKL_CBWR=AUTO,STRICT``, and as it was seen to do at the study's shape (64 units, 200 points)
    without (``docs/processors.md``).

    Args:
        architecture: Shape and activation of every member.
        networks: The members, as ``reference_network`` builds them; each is copied and let go.
        count: How many members there are.
        points: Number of inputs of the batch that the stack will see.
        device: Where the tensors live.
        dtype: Floating-point type of all tensors.

    Attributes:
        parameters: All weights and biases of all members in one flat tensor, and behind them the
            parameters that the activation has of its own.
        gradients: Like ``parameters``, of which it is the ``grad``; filled by ``backward``.
        linear_parameters: Its part with the weights and biases, a view.
        weights: Per layer ``(member, fan_out, fan_in)``, views of ``parameters``.
        biases: Per layer ``(member, 1, fan_out)``, views of ``parameters``.
        weight_gradients: Like ``weights``; filled by ``backward``.
        bias_gradients: Like ``biases``; filled by ``backward``.
        learnable: Per hidden layer the activation's own parameters by name, each ``(member, ...)``,
            views of ``parameters``; empty for an activation that has none.
        activations: Output of each hidden layer, with its skip connection where there is one,
            ``(member, points, width)``; filled by ``forward``.
    """

    def __init__(
        self,
        architecture: Architecture,
        networks: Iterable[nn.Sequential],
        count: int,
        points: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.architecture = architecture
        self.count = count
        linear = sum(
            _aligned(count * fan_out * fan_in) + _aligned(count * fan_out)
            for fan_out, fan_in in architecture.layer_shapes
        )
        activation = architecture.activation.module().to(device, dtype)
        own = sum(_aligned(count * p.numel()) for p in trained(activation).values())
        values = torch.zeros(linear + architecture.depth * own, device=device, dtype=dtype)
        self.gradients = torch.zeros_like(values)
        self.weights, self.biases = self._views(values)
        self._transposed = [weight.mT for weight in self.weights]
        self.weight_gradients, self.bias_gradients = self._views(self.gradients)
        self.learnable = self._learnable_views(values[linear:], activation)
        learnable_gradients = self._learnable_views(self.gradients[linear:], activation)
        self._copy_members(networks, activation)
        self.parameters = nn.Parameter(values)
        self.parameters.grad = self.gradients
        self.linear_parameters = values[:linear]
        self._kernels = self._kernels_of(activation, learnable_gradients, points)
        self._allocate_activity(points, values)

    def _views(self, flat: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        weights: list[Tensor] = []
        biases: list[Tensor] = []
        start = 0
        for fan_out, fan_in in self.architecture.layer_shapes:
            for views, shape in (
                (weights, (self.count, fan_out, fan_in)),
                (biases, (self.count, 1, fan_out)),
            ):
                numel = math.prod(shape)
                views.append(flat[start : start + numel].view(shape))
                start += _aligned(numel)
        return weights, biases

    def _learnable_views(self, flat: Tensor, activation: nn.Module) -> list[dict[str, Tensor]]:
        layers: list[dict[str, Tensor]] = []
        start = 0
        for _ in range(self.architecture.depth):
            layers.append({})
            for name, parameter in trained(activation).items():
                numel = self.count * parameter.numel()
                layers[-1][name] = flat[start : start + numel].view(self.count, *parameter.shape)
                start += _aligned(numel)
        return layers

    def _kernels_of(
        self, activation: nn.Module, gradients: list[dict[str, Tensor]], points: int
    ) -> list[Kernel]:
        if not any(self.learnable):
            return [kernel_of(activation)] * self.architecture.depth
        shape = (self.count, points, self.architecture.width)
        pairs = zip(self.learnable, gradients, strict=True)
        return [learnable_kernel(activation, own, gradient, shape) for own, gradient in pairs]

    def _copy_members(self, networks: Iterable[nn.Sequential], activation: nn.Module) -> None:
        with torch.no_grad():
            for own in self.learnable:  # where no network is given, as the activation starts
                for name, parameter in trained(activation).items():
                    own[name][:] = parameter
            for member, network in enumerate(networks):
                for own, module in zip(self.learnable, activation_modules(network), strict=True):
                    for name, parameter in trained(module).items() if own else ():
                        own[name][member] = parameter
                for number, layer in enumerate(linear_layers(network)):
                    self.weights[number][member] = layer.weight
                    self.biases[number][member, 0] = layer.bias

    def _allocate_activity(self, points: int, like: Tensor) -> None:
        shape = (self.count, points, self.architecture.width)
        numel = math.prod(shape)

        def buffer() -> tuple[Tensor, Tensor]:
            flat = like.new_zeros(_aligned(numel))
            return flat, flat[:numel].view(shape)

        depth = self.architecture.depth
        pre = [buffer() for _ in range(depth)]
        post = pre if self._kernels[0].in_place else [buffer() for _ in range(depth)]
        self._flat_pre, self._pre = [b[0] for b in pre], [b[1] for b in pre]
        self._flat_post, self.activations = [b[0] for b in post], [b[1] for b in post]
        self._errors = [(flat, error, error.mT) for flat, error in (buffer(), buffer())]
        if self.architecture.skip:
            # The sum needs a place of its own: the derivative is read off the activation alone.
            self._skip_terms = self.activations
            self.activations = [self.activations[0], *(buffer()[1] for _ in range(depth - 1))]
        self._output = like.new_empty(self.count, points, 1)

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """Compute every member's output.

        Args:
            x: Inputs shared by all members, shape ``(points, 1)``, or of each member, shape
                ``(member, points, 1)``.

        Returns:
            Outputs, shape ``(member, points, 1)``; overwritten by the next call.
        """
        for number, pre in enumerate(self._pre):
            if number == 0:
                torch.mul(x, self._transposed[0], out=pre)  # (member, points, width)
                pre.add_(self.biases[0])
            else:
                below = self.activations[number - 1]
                torch.baddbmm(self.biases[number], below, self._transposed[number], out=pre)
            self._kernels[number].forward(self._flat_pre[number], self._flat_post[number])
            if self.architecture.skip and number > 0:
                torch.add(
                    self._skip_terms[number],
                    self.activations[number - 1],
                    out=self.activations[number],
                )
        _product(self.activations[-1], self._transposed[-1], self._output)
        return self._output.add_(self.biases[-1])

    @torch.no_grad()
    def pre_activation(self, x: Tensor, layer: int) -> Tensor:
        """Compute a hidden layer's input to its activation again, which training overwrites.

        Args:
            x: The inputs of the last ``forward``, shape ``(points, 1)``.
            layer: 1 to the depth; one more gives the output, which for a stack of one may differ
                from ``forward``'s in the last bit.

        Returns:
            Pre-activations, a new tensor of shape ``(member, points, fan_out)``.
        """
        below = x.expand(self.count, -1, -1) if layer == 1 else self.activations[layer - 2]
        return torch.bmm(below, self._transposed[layer - 1]).add_(self.biases[layer - 1])

    @torch.no_grad()
    def backward(
        self,
        x: Tensor,
        output_gradient: Tensor,
        observe: Callable[[int, Tensor], None] | None = None,
    ) -> None:
        """Back-propagate, filling ``weight_gradients`` and ``bias_gradients``.

        The chain rule through a linear layer z = a W^T + b: dW = dz^T a, db = sum dz, da = dz W
        (Rumelhart, Hinton and Williams 1986, eqs. 4 to 6).

        Args:
            x: The inputs of the last ``forward``.
            output_gradient: Derivative of each member's loss by its output, shape
                ``(member, points, 1)``.
            observe: Called with each layer's number and its error signal d loss / d z, shape
                ``(member, points, fan_out)``, the output layer first; overwritten afterwards.
        """
        if observe is not None:
            observe(self.architecture.depth + 1, output_gradient)
        _product(output_gradient.mT, self.activations[-1], self.weight_gradients[-1])
        torch.sum(output_gradient, 1, keepdim=True, out=self.bias_gradients[-1])
        now, other = self._errors
        flat, error, transposed = now
        torch.mul(output_gradient, self.weights[-1], out=error)
        for number in reversed(range(self.architecture.depth)):
            passed_on = error.clone() if self.architecture.skip and number > 0 else None
            self._kernels[number].backward(flat, self._flat_pre[number], self._flat_post[number])
            if observe is not None:
                observe(number + 1, error)
            torch.sum(error, 1, keepdim=True, out=self.bias_gradients[number])
            if number == 0:
                inputs = x.mT.expand(self.count, 1, -1)
                # (member, 1, width) and (member, width, 1) are the same memory; this order of
                # the product is ten times faster.
                first = self.weight_gradients[0].view(self.count, 1, -1)
                _product(inputs, error, first)
                return
            torch.bmm(transposed, self.activations[number - 1], out=self.weight_gradients[number])
            now, other = other, now
            torch.bmm(error, self.weights[number], out=now[1])
            flat, error, transposed = now
            if passed_on is not None:
                error.add_(passed_on)


def _product(one: Tensor, other: Tensor, out: Tensor) -> None:
    """Multiply batches of matrices of which one factor has a single row or column."""
    if len(out) > 1:
        torch.bmm(one, other, out=out)
    else:
        # A batch of one is sent to a matrix-vector routine that rounds differently; a batch of
        # two equal ones takes the path of every other stack.
        out.copy_(torch.bmm(one.expand(2, -1, -1), other.expand(2, -1, -1))[:1])


def bytes_per_member(architecture: Architecture, points: int, itemsize: int) -> int:
    """Estimate the bytes of one member's parameters, gradients, moments of Adam, and activity."""
    layer_activity = points * architecture.width
    activity = layer_activity * (2 * architecture.depth + 2)
    return itemsize * (4 * architecture.parameter_count + activity)
