"""Times operations in PyTorch, for `bun run bench --peers`.

Reads a task a line on standard input, as `PeerTask` in case.ts describes it, and answers each with a
line of JSON: {"name", "medianSeconds"}, {"absent"} where a library is missing, or {"error"}.
"""

import json
import statistics
import sys
import time


def answer(value):
    print(json.dumps(value), flush=True)


try:
    import torch
except ImportError as error:
    answer({"error": str(error)})
    sys.exit(1)

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class Absent(Exception):
    """A library that is not installed."""


def uniform(*shape, dtype):
    return torch.rand(*shape).mul_(2).sub_(1).to(dtype)


def linear(task, dtype):
    layer = torch.nn.Linear(task["inputs"], task["outputs"], bias=False, dtype=dtype)
    value = uniform(task["rows"], task["inputs"], dtype=dtype)
    return "", lambda: layer(value)


def attention(task, dtype):
    def of(length):
        return uniform(1, task["heads"], length, task["headDim"], dtype=dtype)

    query, key, value = of(task["queries"]), of(task["keys"]), of(task["keys"])
    return "", lambda: torch.nn.functional.scaled_dot_product_attention(query, key, value)


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


def blocks(task, dtype):
    library = diffusers()
    model = library.WanTransformer3DModel(
        num_attention_heads=12,
        attention_head_dim=128,
        ffn_dim=8960,
        num_layers=2,
        in_channels=36,
        text_dim=4096,
        image_dim=1280,
        added_kv_proj_dim=1536,
    ).to(dtype)
    # As from_pretrained loads it.
    for name, parameter in model.named_parameters():
        if any(part in model._keep_in_fp32_modules for part in name.split(".")):
            parameter.data = parameter.data.float()
    frames, height, width = task["grid"]
    rotary = model.rope(torch.zeros(1, 36, frames, 2 * height, 2 * width))
    hidden = uniform(1, frames * height * width, 1536, dtype=dtype)
    # Image tokens come before the text's; diffusers takes 512 of the latter for granted.
    context = uniform(1, task["image"] + task["text"], 1536, dtype=dtype)
    temb = uniform(1, 6, 1536, dtype=dtype)

    def run():
        states = hidden
        for block in model.blocks:
            states = block(states, context, temb, rotary)
        return states

    return f"diffusers {library.__version__}", run


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
    "attention": attention,
    "conv3d": conv3d,
    "blocks": blocks,
    "vae-decode": vae,
    "vae-encode": vae,
    "text-encoder": text_encoder,
}


def timed(task):
    torch.set_num_threads(task["threads"])
    name, run = OPERATIONS[task["operation"]](task, DTYPES[task["dtype"]])
    run()
    seconds = []
    while sum(seconds) < task["longestSeconds"] and len(seconds) < 1000:
        if len(seconds) >= task["runs"] and sum(seconds) >= task["shortestSeconds"]:
            break
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
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
