"""Arithmetic on elements: bit for bit what float32, rounded once, makes of them; activations against
float64."""

import itertools
import math
import struct

import torch

from interpret._places import SHAPES, apart, programs, repeated, sizes, strides
from interpret.movement import INTEGERS, same
from interpret.problem import DTYPES, ROUNDING, constants, is_near, launch, poisoned, random

ROOM = "elementwise"
ADD, SUBTRACT, MULTIPLY, DIVIDE, MAXIMUM, MINIMUM, CLAMP, SILU, GELU, GELU_TANH, QUICK_GELU = range(11)
BINARY = (ADD, SUBTRACT, MULTIPLY, DIVIDE, MAXIMUM, MINIMUM)
INFINITY, NAN = float("inf"), float("nan")
SPECIAL = [0.0, -0.0, 1.0, -1.0, INFINITY, -INFINITY, NAN, 1e-40, 3e38, 0.1, -2.5]


def block_of(name: str) -> tuple[int, int]:
    return constants(ROOM, name)["ROWS"], constants(ROOM, name)["COLUMNS"]


def values(*shape: int, dtype: torch.dtype, seed: int) -> torch.Tensor:
    """Numbers of a type, those that aren't finite among them."""
    if not dtype.is_floating_point:
        limits = torch.iinfo(dtype)
        generator = torch.Generator().manual_seed(seed)
        return torch.randint(limits.min, limits.max, shape, dtype=dtype, generator=generator)
    numbers = random(*shape, seed=seed) * 3
    places = range(seed % 5, numbers.numel(), 7)
    for place, index in enumerate(places):
        numbers.view(-1)[index] = SPECIAL[(place * 5 + seed) % len(SPECIAL)]
    return numbers.to(dtype)


def wide(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.float() if tensor.dtype.is_floating_point else tensor.long()


def combined(operation: int, left: torch.Tensor, right: torch.Tensor | float | int) -> torch.Tensor:
    """left ∘ right in float32 or int64; the greater and the smaller as the CPU chooses."""
    left = wide(left)
    if isinstance(right, torch.Tensor):
        right = wide(right)
    else:
        right = torch.tensor(right, dtype=left.dtype)
    match operation:
        case 0:
            return left + right
        case 1:
            return left - right
        case 2:
            return left * right
        case 3:
            return left / right
        case 4:
            return torch.where((left > right) | (left != left), left, right)
        case _:
            return torch.where((left < right) | (left != left), left, right)


def operations(dtype: torch.dtype) -> tuple[int, ...]:
    """Integers aren't divided."""
    return BINARY if dtype.is_floating_point else tuple(set(BINARY) - {DIVIDE})


def check_binary() -> None:
    """Between any strides, with repeated dimensions."""
    for (name, dtype), shape in itertools.product({**DTYPES, **INTEGERS}.items(), SHAPES):
        for operation in operations(dtype):
            left = apart(values(*shape, dtype=dtype, seed=1))
            right = repeated(values(*shape, dtype=dtype, seed=2), len(shape) - 1)
            output = poisoned(*shape, dtype=dtype)
            places = {**sizes(shape), **strides("left", left), **strides("right", right)}
            grid = programs(shape, *block_of(f"binary_{name}"))
            operands = {"left": left, "right": right, "output": output, "operation": operation}
            launch(ROOM, f"binary_{name}", grid, **operands, **places)
            assert same(output, combined(operation, left, right).to(dtype)), (name, operation, shape)


def check_binary_flat() -> None:
    """In whole blocks and a rest."""
    for (name, dtype), operation in itertools.product(DTYPES.items(), BINARY):
        block = constants(ROOM, f"binary_flat_{name}")["BLOCK"]
        for count in (1, 2 * block + 77):
            left, right = (values(count, dtype=dtype, seed=seed) for seed in (3, 4))
            output = poisoned(count + 1, dtype=dtype)
            operands = {"left": left, "right": right, "output": output, "operation": operation}
            launch(ROOM, f"binary_flat_{name}", (-(-count // block),), **operands, count=count)
            assert same(output[:count], combined(operation, left, right).to(dtype)), (name, operation)
            assert output[count:].isnan().all()


def applied(name: str, operation: int, first, second, input: torch.Tensor) -> torch.Tensor:
    shape, output = tuple(input.shape), poisoned(*input.shape, dtype=input.dtype)
    places = {**sizes(shape), **strides("input", input)}
    numbers = {"operation": operation, "first": first, "second": second}
    grid = programs(shape, *block_of(f"unary_{name}"))
    launch(ROOM, f"unary_{name}", grid, input=input, output=output, **numbers, **places)
    return output


def applied_flat(name: str, operation: int, first, second, input: torch.Tensor) -> torch.Tensor:
    count = input.numel()
    output = poisoned(count + 1, dtype=input.dtype)
    block = constants(ROOM, f"unary_flat_{name}")["BLOCK"]
    numbers = {"operation": operation, "first": first, "second": second, "count": count}
    launch(ROOM, f"unary_flat_{name}", (-(-count // block),), input=input, output=output, **numbers)
    assert output[count:].isnan().all()
    return output[:count]


def check_arithmetic_with_a_number() -> None:
    for name, dtype in {**DTYPES, **INTEGERS}.items():
        input = values(70, 33, dtype=dtype, seed=5)
        for operation in operations(dtype):
            number = 2.625 if dtype.is_floating_point else 77
            expected = combined(operation, input, number).to(dtype)
            zero = 0.0 if dtype.is_floating_point else 0
            assert same(applied(name, operation, number, zero, apart(input)), expected), (name, operation)
            if dtype.is_floating_point:
                flat = applied_flat(name, operation, number, zero, input.flatten())
                assert same(flat, expected.flatten()), (name, operation)


def check_clamp() -> None:
    for name, dtype in {**DTYPES, **INTEGERS}.items():
        input = values(70, 33, dtype=dtype, seed=6)
        floats = dtype.is_floating_point
        far = (-INFINITY, INFINITY) if floats else (-(2**63), 2**63 - 1)
        for low, high in ((-1.25, 0.75), (0.0, far[1]), far):
            low, high = (low, high) if floats else (int(low), int(high))
            expected = wide(input)
            expected = torch.where(expected > high, torch.tensor(high, dtype=expected.dtype), expected)
            expected = torch.where(expected < low, torch.tensor(low, dtype=expected.dtype), expected)
            assert same(applied(name, CLAMP, low, high, apart(input)), expected.to(dtype)), name
            if floats:
                flat = applied_flat(name, CLAMP, low, high, input.flatten())
                assert same(flat, expected.to(dtype).flatten()), name


def check_activations() -> None:
    """Within a millionth of float64, to the farthest tails; rounded once to 16 bits."""
    functions = {
        SILU: lambda x: x / (1 + (-x).exp()),
        GELU: lambda x: 0.5 * x * torch.special.erfc(-x * math.sqrt(0.5)),
        GELU_TANH: lambda x: x / (1 + (-2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)).exp()),
        QUICK_GELU: lambda x: x / (1 + (-1.702 * x).exp()),
    }
    # Where the exponential in it is a normal number.
    reaches = {SILU: 86.0, GELU: 13.0, GELU_TANH: 10.0, QUICK_GELU: 50.0}
    for (name, dtype), (operation, function) in itertools.product(DTYPES.items(), functions.items()):
        reach = reaches[operation]
        near = torch.cat([torch.linspace(-1, 1, 1501) * reach, torch.tensor([1e-30, -1e-6, 0.0])])
        input = near.to(dtype)
        exact = function(input.double())
        # Sixteen bits end at smaller numbers than float32 does.
        least = torch.finfo(dtype).smallest_normal * 2.0**-11
        relative = 1e-6 if name == "f32" else ROUNDING[name] + 1e-5
        for result in (
            applied(name, operation, 0.0, 0.0, apart(input[None])).flatten(),
            applied_flat(name, operation, 0.0, 0.0, input),
        ):
            is_near(result, exact, relative, least)
        far = torch.tensor([INFINITY, NAN, 0.0, -0.0, 300.0, -300.0]).to(dtype)
        result = applied_flat(name, operation, 0.0, 0.0, far)
        assert result[0] == INFINITY and result[1].isnan() and bool((result[2:4] == 0).all())
        assert result[4] == 300 and abs(float(result[5])) < 1e-35, (name, operation)


def check_gated_residual() -> None:
    for (name, dtype), shape in itertools.product(DTYPES.items(), SHAPES):
        residual = apart(values(*shape, dtype=dtype, seed=7))
        update = values(*shape, dtype=dtype, seed=8)
        gate = repeated(values(*shape, dtype=torch.float32, seed=9), 0)
        output = poisoned(*shape, dtype=dtype)
        operands = {"residual": residual, "update": update, "gate": gate}
        places = dict(sizes(shape))
        for operand, tensor in operands.items():
            places |= strides(operand, tensor)
        grid = programs(shape, *block_of(f"gated_residual_{name}"))
        launch(ROOM, f"gated_residual_{name}", grid, **operands, output=output, **places)
        assert same(output, (residual.float() + update.float() * gate).to(dtype)), (name, shape)


def check_gated_residual_rows() -> None:
    """With gates of one row for a batch, for a token, and for each row."""
    for (name, dtype), channels in itertools.product(DTYPES.items(), (16, 1056)):
        shape = (2, 5, channels)
        residual, update = (values(*shape, dtype=dtype, seed=seed) for seed in (10, 11))
        for gates in ((2, 1), (1, 5), (2, 5), (1, 1)):
            gate = values(*gates, channels, dtype=torch.float32, seed=12).expand(shape)
            output = poisoned(*shape, dtype=dtype)
            places = {"channels": channels, "tokens": 5}
            places |= {"gate_batch": gate.stride(0), "gate_token": gate.stride(1)}
            name_of = f"gated_residual_rows_{name}"
            blocks = -(-channels // constants(ROOM, name_of)["BLOCK"])
            operands = {"residual": residual, "update": update, "gate": gate, "output": output}
            launch(ROOM, name_of, (10 * blocks,), **operands, **places)
            assert same(output, (residual.float() + update.float() * gate).to(dtype)), (name, gates)


def bits_of(number: float) -> int:
    """The bits of a float64, as a signed integer."""
    return struct.unpack("<q", struct.pack("<d", number))[0]


def check_weighted_sum() -> None:
    """In float64, in order, and in two launches as in one."""
    coefficients = [1 / 3, -0.7, 1e-3, 2.0, -1.0, 0.1, 1e8, -1e8]
    block = constants(ROOM, "weighted_sum")["BLOCK"]
    for terms, count in itertools.product((0, 1, 5, 8), (1, block + 33)):
        inputs = [random(count, seed=20 + term) for term in range(8)]
        expected = torch.zeros(count, dtype=torch.float64)
        for input, coefficient in zip(inputs[:terms], coefficients, strict=False):
            expected += coefficient * input.double()
        carry = poisoned(count, dtype=torch.float64)
        output = poisoned(count + 1, dtype=torch.float32)
        split = terms // 2
        for parts in ([(0, terms)], [(0, split), (split, terms)]):
            output.fill_(NAN)
            for place, (start, end) in enumerate(parts):
                here = range(start, end)
                given = {f"input{term}": inputs[0] for term in range(8)}
                given |= {f"input{at}": inputs[term] for at, term in enumerate(here)}
                bits = {f"bits{term}": 0 for term in range(8)}
                bits |= {f"bits{at}": bits_of(coefficients[term]) for at, term in enumerate(here)}
                rest = {"output": output, "carry": carry, "terms": len(here), "first": int(place == 0)}
                rest |= {"last": int(place == len(parts) - 1), "count": count}
                launch(ROOM, "weighted_sum", (-(-count // block),), **given, **bits, **rest)
            assert same(output[:count], expected.float()), (terms, count)
            assert output[count:].isnan().all()
