"""Times operations in PyTorch, for `bun run bench --peers`.

Usage: python torch-peer.py cpu|cuda:N

Reads a task a line on standard input, as `PeerTask` in case.ts describes it, and answers each with a
line of JSON: {"name", "medianSeconds"}, {"absent"} where a library is missing, or {"error"}. float32 is
float32 everywhere: TF32 is off.
"""

import gc
import json
import statistics
import sys
import time


def answer(value):
    print(json.dumps(value), flush=True)


try:
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
except ImportError as error:
    answer({"error": str(error)})
    sys.exit(1)

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
DEVICE = torch.device(sys.argv[1] if len(sys.argv) > 1 else "cpu")
ON_CUDA = DEVICE.type == "cuda"

if ON_CUDA and not torch.cuda.is_available():
    answer({"error": f"torch {torch.__version__} finds no CUDA device"})
    sys.exit(1)

torch.set_default_device(DEVICE)
torch.backends.cuda.matmul.allow_tf32 = False
torch.backends.cudnn.allow_tf32 = False

# A CUDA device is waited for once for so many seconds of work, as measure.ts does.
SAMPLE_SECONDS = 0.02
MOST_RUNS_OF_SAMPLE = 100


class Absent(Exception):
    """A library that is not installed."""


def uniform(*shape, dtype):
    return torch.rand(*shape).mul_(2).sub_(1).to(dtype)


def finish():
    if ON_CUDA:
        torch.cuda.synchronize()


def seconds_of(run, runs):
    started = time.perf_counter()
    for _ in range(runs):
        run()
    finish()
    return (time.perf_counter() - started) / runs


def times(run, task):
    """Seconds of runs, after one to warm up."""
    run()
    finish()
    runs = 1
    if ON_CUDA:
        runs = max(1, min(MOST_RUNS_OF_SAMPLE, round(SAMPLE_SECONDS / seconds_of(run, 1) + 0.5)))
    seconds = []
    while sum(seconds) * runs < task["longestSeconds"] and len(seconds) < 1000:
        if len(seconds) >= task["runs"] and sum(seconds) * runs >= task["shortestSeconds"]:
            break
        seconds.append(seconds_of(run, runs))
    return seconds


def linear(task, dtype):
    layer = torch.nn.Linear(task["inputs"], task["outputs"], bias=False, dtype=dtype)
    value = uniform(task["rows"], task["inputs"], dtype=dtype)
    return "", lambda: layer(value)


def attention(task, dtype):
    def of(length):
        return uniform(1, task["heads"], length, task["headDim"], dtype=dtype)

    query, key, value = of(task["queries"]), of(task["keys"]), of(task["keys"])

    def run():
        return torch.nn.functional.scaled_dot_product_attention(query, key, value)

    return ("", run) if not ON_CUDA else best_backend(run, task)


def best_backend(run, task):
    """The fastest of PyTorch's attention backends, by name."""

    def under(backend):
        def attend():
            with sdpa_kernel(backend):
                return run()

        return attend

    found = {}
    backends = ("CUDNN_ATTENTION", "FLASH_ATTENTION", "EFFICIENT_ATTENTION", "MATH")
    for name in backends:
        # What the plain one holds of long sequences fills a device.
        if name == "MATH" and found:
            continue
        candidate = under(getattr(SDPBackend, name))
        try:
            found[name] = (statistics.median(times(candidate, {**task, "runs": 3, "shortestSeconds": 0})), candidate)
        except RuntimeError:
            continue
    if not found:
        raise RuntimeError("none of the attention backends takes these inputs")
    name = min(found, key=lambda backend: found[backend][0])
    return f"SDPA by {name}", found[name][1]


def copy(task, dtype):
    value = uniform(task["elements"], dtype=dtype)
    return "", lambda: value.clone()


def conv3d(task, dtype):
    channels = task["channels"]
    layer = torch.nn.Conv3d(channels, channels, 3, padding=(0, 1, 1), bias=False, dtype=dtype)
    layer = layer.to(memory_format=torch.channels_last_3d)
    value = uniform(1, channels, task["frames"] + 2, task["height"], task["width"], dtype=dtype)
    value = value.to(memory_format=torch.channels_last_3d)
    return "", lambda: layer(value)


def diffusers():
    try:
        import diffusers as library
    except ImportError as error:
        raise Absent(str(error)) from error
    return library


def transformer(task, dtype):
    library = diffusers()
    name = f"diffusers {library.__version__}"
    # Made in the dtype at once: 14B in float32 would fill a device.
    torch.set_default_dtype(dtype)
    try:
        model = library.WanTransformer3DModel(**task["config"])
    finally:
        torch.set_default_dtype(torch.float32)
    # As from_pretrained loads it.
    for parameter_name, parameter in model.named_parameters():
        if any(part in model._keep_in_fp32_modules for part in parameter_name.split(".")):
            parameter.data = parameter.data.float()
    config = task["config"]
    frames, height, width = task["grid"]
    channels = config["in_channels"]
    dim = config["num_attention_heads"] * config["attention_head_dim"]
    latents = uniform(1, channels, frames, 2 * height, 2 * width, dtype=dtype)
    if task["whole"]:
        text = uniform(1, task["text"], config["text_dim"], dtype=dtype)
        image = uniform(1, task["image"], config["image_dim"], dtype=dtype) if task["image"] else None
        step = torch.tensor([500])
        return name, lambda: model(latents, step, text, image, return_dict=False)
    rotary = model.rope(latents)
    hidden = uniform(1, frames * height * width, dim, dtype=dtype)
    # Image tokens come before the text's; diffusers takes 512 of the latter for granted.
    context = uniform(1, task["image"] + task["text"], dim, dtype=dtype)
    temb = uniform(1, 6, dim, dtype=dtype)

    def run():
        states = hidden
        for block in model.blocks:
            states = block(states, context, temb, rotary)
        return states

    return name, run


def vae(task, dtype):
    library = diffusers()
    model = library.AutoencoderKLWan().to(dtype).eval()
    frames, height, width = task["frames"], task["height"], task["width"]
    name = f"diffusers {library.__version__}"
    if task["operation"] == "vae-encode":
        video = uniform(1, 3, frames, height, width, dtype=dtype)
        return name, lambda: model.encode(video)
    latents = uniform(1, 16, (frames - 1) // 4 + 1, height // 8, width // 8, dtype=dtype)
    return name, lambda: model.decode(latents)


def text_encoder(task, dtype):
    try:
        import transformers
    except ImportError as error:
        raise Absent(str(error)) from error
    config = transformers.UMT5Config(
        vocab_size=512, d_model=4096, d_kv=64, d_ff=10240, num_heads=64, num_layers=1,
        feed_forward_proj="gated-gelu",
    )
    model = transformers.UMT5EncoderModel(config).to(dtype).eval()
    tokens = torch.arange(task["tokens"]).mul(31).remainder(512)[None]
    return f"transformers {transformers.__version__}", lambda: model(tokens)


OPERATIONS = {
    "linear": linear,
    "copy": copy,
    "attention": attention,
    "conv3d": conv3d,
    "transformer": transformer,
    "vae-decode": vae,
    "vae-encode": vae,
    "text-encoder": text_encoder,
}


def timed(task):
    torch.set_num_threads(task["threads"])
    name, run = OPERATIONS[task["operation"]](task, DTYPES[task["dtype"]])
    seconds = times(run, task)
    label = f"{name}, torch {torch.__version__}" if name else f"torch {torch.__version__}"
    return {"name": label, "medianSeconds": statistics.median(seconds)}


answer({"ready": torch.__version__})
for line in sys.stdin:
    try:
        with torch.inference_mode():
            answer(timed(json.loads(line)))
    except Absent as error:
        answer({"absent": str(error)})
    except Exception as error:  # Whatever it is, the benchmarks tell it.
        answer({"error": f"{type(error).__name__}: {error}"})
    gc.collect()
    if ON_CUDA:
        # Memory that isn't held any more is for the next that asks, in whichever process.
        torch.cuda.empty_cache()
