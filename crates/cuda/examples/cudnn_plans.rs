//! Has NVIDIA's cuDNN make plans for the attentions of Wan, on devices that need not be here:
//! `cargo run -p cuda --example cudnn_plans`.
//!
//! Prints a line for each plan, `planned` or `refused`. Ends with status 1 where one is refused. The
//! loader has to find a driver, `libcuda.so.1`: that of the example `idle_driver` will do.

use cuda::cudnn::{AttentionShape, CudnnLibrary, Strides};
use std::process::ExitCode;
use std::sync::Arc;
use tensor_layout::DType;

/// A device's compute capability, multiprocessors, shared memory of a block, threads and blocks of a
/// multiprocessor, and L2 cache.
const DEVICES: [(&str, [u64; 6]); 5] = [
    ("NVIDIA A100-SXM4-80GB", [800, 108, 166_912, 2048, 32, 40 << 20]),
    ("NVIDIA L40", [890, 142, 101_376, 1536, 24, 96 << 20]),
    ("NVIDIA H200", [900, 132, 232_448, 2048, 32, 60 << 20]),
    ("NVIDIA B200", [1000, 148, 232_448, 2048, 32, 126 << 20]),
    ("NVIDIA GeForce RTX 5090", [1200, 170, 101_376, 1536, 24, 96 << 20]),
];

/// A device as cuDNN 9.8 to 9.28 wants it described.
fn description(
    name: &str,
    [capability, multiprocessors, shared, threads, blocks, cache]: [u64; 6],
) -> String {
    format!(
        r#"{{"maxGridSize":[2147483647,65535,65535],"maxBlockSize":[1024,1024,64],
        "cudaDeviceId":0,"deviceVer":{capability},"driverVer":13000,"regsPerBlock":65536,
        "multiProcessorCount":{multiprocessors},"smCountOrigin":0,"smClockRateKHz":1980000,
        "memClockRateKHz":2619000,"memoryBusWidth":5120,"l2CacheSize":{cache},"warpSize":32,
        "maxSharedMemoryPerBlock":49152,"maxSharedMemoryPerBlockOptin":{shared},
        "reservedSharedMemoryPerBlock":1024,"oversizedSharedMemoryPerBlock":0,
        "maxRegistersPerSM":65536,"maxCtasPerSM":{blocks},"maxThreadsPerBlock":1024,
        "maxThreadsPerSM":{threads},"pciDeviceId":0,"isTccDriver":0,"supportCoopLaunch":1,
        "totalGlobalMem":34359738368,"deviceName":"{name}"}}"#
    )
}

/// An attention whose query, key and value are contiguous.
fn contiguous(dtype: DType, [batch, queries, keys, heads, size]: [usize; 5]) -> AttentionShape {
    let row = heads * size;
    let of = |rows: usize| Strides { batch: rows * row, row, head: size };
    let (query, key, value) = (of(queries), of(keys), of(keys));
    let log_sum_exp = false;
    AttentionShape { dtype, batch, queries, keys, heads, size, query, key, value, log_sum_exp }
}

fn shapes() -> Vec<AttentionShape> {
    let mut shapes = Vec::new();
    for dtype in [DType::BFloat16, DType::Float16] {
        for size in [64, 128] {
            // A video's tokens to each other, to the text and to the image, and of a rank's share.
            for (queries, keys, log_sum_exp) in
                [(32_760, 32_760, false), (1560, 512, false), (1560, 257, true), (391, 8190, true)]
            {
                let shape = contiguous(dtype, [1, queries, keys, 12, size]);
                shapes.push(AttentionShape { log_sum_exp, ..shape });
            }
        }
    }
    let tokens = [2, 75, 75, 40, 128];
    let contiguous_tokens = contiguous(DType::BFloat16, tokens);
    let row = 3 * 40 * 128;
    let fused = Strides { batch: 75 * row, row, head: 128 };
    shapes.push(AttentionShape { query: fused, key: fused, value: fused, ..contiguous_tokens });
    let heads_first = Strides { batch: 40 * 75 * 128, row: 128, head: 75 * 128 };
    shapes.push(AttentionShape { key: heads_first, value: heads_first, ..contiguous_tokens });
    for sizes in [[1, 1, 1, 1, 8], [1, 37, 19, 3, 40], [3, 1, 130, 2, 120], [1, 65, 1, 5, 16]] {
        shapes.push(AttentionShape { log_sum_exp: true, ..contiguous(DType::BFloat16, sizes) });
    }
    shapes
}

fn main() -> ExitCode {
    let library = match CudnnLibrary::open(None) {
        Ok(library) => Arc::new(library),
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let path = library.path().map_or(String::new(), |path| path.display().to_string());
    println!("cuDNN {} {path}", library.version());
    let mut refused = false;
    for (name, numbers) in DEVICES {
        for shape in shapes() {
            let AttentionShape { dtype, batch, queries, keys, heads, size, .. } = shape;
            let sums = if shape.log_sum_exp { ", log-sum-exp" } else { "" };
            let what = format!(
                "{} for {name}: {batch} × {queries} to {keys}, {heads} heads of {size}{sums}",
                dtype.name()
            );
            match library.plan_for(&description(name, numbers), &shape) {
                Ok(bytes) => println!("planned {what}, {bytes} bytes of workspace"),
                Err(error) => {
                    refused = true;
                    println!("refused {what}: {error}");
                }
            }
        }
    }
    if refused { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
