//! Attention against the CPU's.

use super::*;
use crate::Layout;
use crate::pack::{Manifest, Target};
use crate::testing::{FLOATS, HostTensor, assert_near, gpu, on_cpu, random, rounding};
use cpu_kernels::attention as cpu;

/// Inputs of one attention.
struct Case {
    /// Query, key, value.
    inputs: [HostTensor; 3],
    mask: Option<HostTensor>,
    scale: f32,
}

/// Output, and the log-sum-exp in two numbers.
type Results = [HostTensor; 3];

impl Case {
    /// Query, key and value as one product leaves them: (B, S, 3, H, D).
    fn new(dtype: DType, [batch, queries, keys, heads, size]: [usize; 5]) -> Case {
        let rows = queries.max(keys);
        let row = 3 * heads * size;
        let storage: Vec<f32> =
            random(batch * rows * row, 1).iter().map(|value| 1.7 * value).collect();
        let inputs = [(0, queries), (1, keys), (2, keys)].map(|(part, length)| {
            let shape = vec![batch, length, heads, size];
            let strides = vec![rows * row, row, size, 1];
            HostTensor::new(dtype, &storage, Layout { shape, strides, offset: part * heads * size })
        });
        Case { inputs, mask: None, scale: (size as f32).sqrt().recip() }
    }

    fn unwritten(&self) -> Results {
        let query = &self.inputs[0];
        let sums = HostTensor::unwritten(DType::Float32, &query.layout.shape[..3]);
        [HostTensor::unwritten(query.dtype, &query.layout.shape), sums.clone(), sums]
    }

    fn on_device(&self, gpu: &Gpu) -> Results {
        let [query, key, value] = self.inputs.each_ref().map(|tensor| tensor.on(gpu));
        let mask = self.mask.as_ref().map(|mask| mask.on(gpu));
        let [output, rounded, residue] = self.unwritten().map(|tensor| tensor.on(gpu));
        let arguments = AttentionArguments {
            query: &query.view,
            key: &key.view,
            value: &value.view,
            mask: mask.as_ref().map(|mask| &mask.view),
            scale: self.scale,
            output: &output.view,
            log_sum_exp: Some(LogSumExp { rounded: &rounded.view, residue: &residue.view }),
        };
        attention(gpu, &arguments).unwrap();
        [output, rounded, residue].map(|tensor| tensor.back())
    }

    fn on_host(&self) -> Results {
        let [mut output, mut rounded, mut residue] = self.unwritten();
        let arguments = cpu::AttentionArguments {
            query: self.inputs[0].host(),
            key: self.inputs[1].host(),
            value: self.inputs[2].host(),
            mask: self.mask.as_ref().map(HostTensor::host),
            scale: self.scale,
            output: output.host_mut(),
            log_sum_exp: Some(cpu::LogSumExp {
                rounded: rounded.host_mut(),
                residue: residue.host_mut(),
            }),
        };
        on_cpu(|on| cpu::attention(on, &arguments));
        [output, rounded, residue]
    }

    /// Sets channel 5 of head 1 of a row of an input.
    fn spoil(&mut self, which: usize, row: usize, value: f32) {
        let Layout { strides, offset, .. } = &self.inputs[which].layout;
        let place = offset + row * strides[1] + strides[2] + 5;
        self.inputs[which].set(place, value);
    }

    /// Compares with the CPU: probabilities are rounded to the type, or to a finer one.
    fn check(&self, what: &str, gpu: &Gpu) {
        let dtype = self.inputs[0].dtype;
        let what = format!("{what}, {} {:?}", dtype.name(), self.inputs[1].layout.shape);
        let [output, rounded, residue] = self.on_device(gpu);
        let [expected, sums, _] = self.on_host();
        // Either's float32 scores, sums of terms of 0.7 each, and exponentials are off by this much.
        let terms = 0.7 * f64::from(self.scale).abs() * self.inputs[0].layout.shape[3] as f64;
        let score = 1e-6 + 2f64.powi(-24) * terms;
        let (relative, absolute) = (2.0 * rounding(dtype), 4.0 * rounding(dtype) + score);
        assert_near(&what, &output, &expected, relative, absolute);
        assert_near(&what, &rounded, &sums, 2f64.powi(-22), 2.0 * score);
        for (rounded, residue) in rounded.floats().into_iter().zip(residue.floats()) {
            assert!(if rounded.is_finite() {
                rounded + residue == rounded
            } else {
                residue == 0.0
            });
        }
    }
}

/// Sizes of heads for each kernel.
fn sizes(dtype: DType) -> &'static [usize] {
    if dtype == DType::Float32 { &[24] } else { &[24, 48, 64, 128] }
}

/// The emulated device by the kernels of any device, and by those of compute capability 9.0.
fn gpus() -> [Gpu; 2] {
    [gpu(), gpu().with_pipelined_attention(None)]
}

#[test]
fn any_numbers_of_queries_and_keys() {
    for gpu in gpus() {
        for dtype in FLOATS {
            for &size in sizes(dtype) {
                for [queries, keys] in [[1, 1], [1, 70], [130, 64], [5, 131], [3, 0]] {
                    Case::new(dtype, [2, queries, keys, 2, size]).check("lengths", &gpu);
                }
            }
        }
    }
}

#[test]
fn any_size_of_heads() {
    let gpu = gpu();
    for dtype in FLOATS {
        for size in [1, 33, 80, 129, 272] {
            Case::new(dtype, [1, 5, 37, 2, size]).check("head sizes", &gpu);
        }
    }
}

#[test]
fn scales_that_turn_the_order_or_make_all_alike() {
    let gpu = gpu();
    for dtype in FLOATS {
        for scale in [0.0, -0.25, 3.0] {
            let case = Case { scale, ..Case::new(dtype, [1, 5, 37, 1, 64]) };
            case.check("scales", &gpu);
        }
    }
}

#[test]
fn masks_that_repeat_and_hide() {
    let gpu = gpu();
    let hidden = f32::NEG_INFINITY;
    for dtype in FLOATS {
        let sizes @ [_, queries, keys, heads, _] = [2, 7, 67, 2, 64];
        let mut case = Case::new(dtype, sizes);
        let bias = HostTensor::random(DType::Float32, &[2, heads, queries, keys], 5);
        let mut with = |mask: HostTensor| {
            case.mask = Some(mask);
            case.check("masks", &gpu);
        };
        with(bias);
        // One row of keys for all: the first block is hidden wholly.
        let values: Vec<f32> = (0..keys).map(|key| if key < 40 { hidden } else { 0.5 }).collect();
        let shape = vec![2, heads, queries, keys];
        with(HostTensor::new(
            DType::Float32,
            &values,
            Layout { shape: shape.clone(), strides: vec![0, 0, 0, 1], offset: 0 },
        ));
        // Rows hidden, and rows that hold nothing but the lowest number.
        let values = [hidden, f32::MIN, 0.0, 1.0, f32::MIN, hidden, -2.0];
        with(HostTensor::new(
            DType::Float32,
            &values,
            Layout { shape, strides: vec![0, 0, 1, 0], offset: 0 },
        ));
    }
}

#[test]
fn what_is_not_finite_spoils_its_rows_and_channels_alone() {
    for (gpu, dtype) in gpus().iter().flat_map(|gpu| FLOATS.map(|dtype| (gpu, dtype))) {
        for &size in sizes(dtype) {
            for which in 0..3 {
                for spoiled in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    let mut case = Case::new(dtype, [1, 7, 70, 2, size]);
                    case.spoil(which, 3, spoiled);
                    case.check(&format!("{spoiled} in input {which}"), gpu);
                }
            }
        }
    }
}

#[test]
fn a_row_has_the_same_bytes_whatever_else_is_computed() {
    for (gpu, dtype) in gpus().iter().flat_map(|gpu| FLOATS.map(|dtype| (gpu, dtype))) {
        for &size in sizes(dtype) {
            let whole = Case::new(dtype, [2, 140, 70, 2, size]);
            let all = whole.on_device(gpu)[0].clone();
            let mut part = Case::new(dtype, [2, 140, 70, 2, size]);
            for (input, rows) in part.inputs.iter_mut().zip([3, 70, 70]) {
                let first = if rows == 3 { 133 } else { 0 };
                let Layout { shape, strides, offset } = &mut input.layout;
                *offset += strides[0] + first * strides[1] + strides[2];
                *shape = vec![1, rows, 1, size];
            }
            let alone = part.on_device(gpu)[0].floats();
            let row = 2 * size;
            let same: Vec<f32> = (133..136)
                .flat_map(|query| all.floats()[(140 + query) * row + size..][..size].to_vec())
                .collect();
            assert_eq!(alone, same, "{} {size}", dtype.name());
        }
    }
}

#[test]
fn whole_vectors_have_a_kernel_of_their_own() {
    let [gpu, pipelined] = gpus();
    let by = |gpu: &Gpu, case: &Case| {
        let [query, key, value] = case.inputs.each_ref().map(|tensor| tensor.on(gpu));
        let output = case.unwritten()[0].on(gpu);
        let (query, key, value, output) = (&query.view, &key.view, &value.view, &output.view);
        let (mask, scale) = (None, case.scale);
        let arguments =
            AttentionArguments { query, key, value, mask, scale, output, log_sum_exp: None };
        let found = Kernel::of(gpu.attentions(), &arguments, case.inputs[0].layout.shape[3]);
        match found {
            Kernel::Pipelined(name) => format!("pipelined {name}"),
            Kernel::Flash(name) => format!("flash {name}"),
            Kernel::General(name) => format!("general {name}"),
        }
    };
    let kernel = |case: &Case| by(&gpu, case);
    let case = |dtype, size| Case::new(dtype, [1, 3, 5, 2, size]);
    let general = |name| format!("general {name}");
    let flash = "flash flash_attention_bf16_64";
    assert_eq!(kernel(&case(DType::BFloat16, 64)), flash);
    assert_eq!(kernel(&case(DType::Float16, 128)), "flash flash_attention_f16_128");
    assert_eq!(kernel(&case(DType::BFloat16, 384)), general("attention_bf16_aligned"));
    assert_eq!(kernel(&case(DType::BFloat16, 40)), general("attention_bf16"));
    assert_eq!(kernel(&case(DType::Float32, 64)), general("attention_f32"));
    let turned = Case { scale: -1.0, ..case(DType::BFloat16, 64) };
    assert_eq!(kernel(&turned), general("attention_bf16_aligned"));
    let mut odd = case(DType::BFloat16, 64);
    odd.inputs[1].layout.offset -= 1;
    assert_eq!(kernel(&odd), general("attention_bf16"));

    let plain = case(DType::BFloat16, 64);
    assert_eq!(by(&pipelined, &plain), "pipelined pipelined_attention_bf16_64");
    assert_eq!(by(&pipelined, &turned), general("attention_bf16_aligned"));
    assert_eq!(by(&pipelined, &odd), general("attention_bf16"));
    // Rows, heads or batches that repeat, whatever their number, and no keys.
    for (which, dim) in [(0, 0), (1, 1), (2, 2)] {
        let mut repeated = case(DType::BFloat16, 64);
        repeated.inputs[which].layout.strides[dim] = 0;
        assert_eq!(by(&pipelined, &repeated), flash);
    }
    assert_eq!(by(&pipelined, &Case::new(DType::BFloat16, [1, 3, 0, 2, 64])), flash);
}

#[test]
fn the_pipelined_kernel_goes_over_many_blocks_and_tiles() {
    let gpu = gpu().with_pipelined_attention(None);
    for (dtype, size) in [(DType::BFloat16, 128), (DType::Float16, 128), (DType::BFloat16, 64)] {
        // One block exactly, two, two and more, many; tiles of queries that several blocks of threads
        // share out, the last of them ragged.
        let block = if size == 128 { 176 } else { 128 };
        for [queries, keys] in
            [[64, block], [9, 2 * block], [193, 2 * block + 1], [385, 7 * block - 3]]
        {
            Case::new(dtype, [2, queries, keys, 2, size]).check("blocks", &gpu);
        }
        for (key, spoiled) in [(0, f32::NAN), (200, f32::INFINITY), (519, f32::NEG_INFINITY)] {
            for which in [1, 2] {
                let mut case = Case::new(dtype, [1, 70, 520, 2, size]);
                case.spoil(which, key, spoiled);
                case.check(&format!("{spoiled} at key {key} of input {which}"), &gpu);
            }
        }
    }
}

#[test]
fn the_pipelined_kernel_by_any_tiles_is_right() {
    let manifest = Manifest::read().unwrap();
    let names = manifest.variants.iter().map(|variant| variant.name.as_str());
    let tiles = names.filter_map(|name| name.strip_prefix("pipelined_attention_bf16_"));
    let mut count = 0;
    for (size, tiles) in tiles.filter_map(|name| name.split_once('_')) {
        let gpu = gpu().with_pipelined_attention(Some(tiles));
        let size = size.parse().unwrap();
        Case::new(DType::BFloat16, [1, 200, 610, 2, size]).check(tiles, &gpu);
        count += 1;
    }
    assert!(count > 0);
}

#[test]
fn the_pipelined_kernels_rows_do_not_depend_on_where_they_are() {
    let gpu = gpu().with_pipelined_attention(None);
    for size in [64, 128] {
        let sizes = [1, 400, 390, 3, size];
        let whole = Case::new(DType::BFloat16, sizes).on_device(&gpu);
        let mut part = Case::new(DType::BFloat16, sizes);
        let Layout { shape, strides, offset } = &mut part.inputs[0].layout;
        *offset += 77 * strides[1];
        shape[1] = 131;
        let alone = part.on_device(&gpu);
        for (whole, alone) in whole.iter().zip(&alone) {
            let row = whole.floats().len() / 400;
            assert_eq!(alone.floats(), whole.floats()[77 * row..208 * row]);
        }
    }
}

#[test]
fn pipelined_kernels_spill_no_registers() {
    let manifest = Manifest::read().unwrap();
    let kernels =
        manifest.variants.iter().filter(|one| one.name.starts_with("pipelined_attention"));
    let spilled: Vec<u32> = kernels.map(|one| one.targets[Target::V9_0.name()].spilled).collect();
    assert!(spilled.len() >= 4 && spilled.iter().all(|bytes| *bytes == 0), "{spilled:?}");
}
