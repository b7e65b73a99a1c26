//! Kernels that Triton compiled, against float64.

mod device;

use device::Argument::{F32, I32, I64, Pointer};
use device::{Argument, Device, Tensor, random_floats, random_words};

/// A fixture's text, bytes of shared memory and threads.
struct Fixture {
    text: &'static str,
    shared: u32,
    threads: u32,
}

macro_rules! fixture {
    ($name:literal) => {
        fixture(include_str!(concat!("../fixtures/", $name, ".ptx")))
    };
}

fn fixture(text: &'static str) -> Fixture {
    let numbers: Vec<u32> =
        text.lines().next().unwrap().split(' ').filter_map(|word| word.parse().ok()).collect();
    Fixture { text, shared: numbers[0], threads: numbers[1] }
}

fn run(device: &Device, fixture: &Fixture, name: &str, grid: [u32; 3], arguments: &[Argument]) {
    // Triton's kernels end their arguments with two pointers to scratch memory.
    let mut all = arguments.to_vec();
    all.extend([Pointer(0), Pointer(0)]);
    device.run(fixture.text, name, grid, fixture.threads, fixture.shared, &all).unwrap();
}

fn to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16
}

fn from_bf16(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// Of a normal float16 or zero.
fn from_f16(bits: u16) -> f32 {
    let magnitude = f32::from_bits((u32::from(bits) & 0x7fff) << 13) * 2.0_f32.powi(112);
    if bits & 0x8000 == 0 { magnitude } else { -magnitude }
}

/// Nearest float16 with a normal exponent, by search from below.
fn to_f16(value: f32) -> u16 {
    let bits = (value.abs() * 2.0_f32.powi(-112)).to_bits();
    let rounded = (bits + 0xfff + (bits >> 13 & 1)) >> 13;
    rounded as u16 | if value < 0.0 { 0x8000 } else { 0 }
}

fn assert_near(got: &[f32], expected: &[f64], relative: f64, absolute: f64) {
    assert_eq!(got.len(), expected.len());
    for (place, (got, expected)) in got.iter().zip(expected).enumerate() {
        let difference = (f64::from(*got) - expected).abs();
        let allowed = absolute + relative * expected.abs();
        assert!(difference <= allowed, "{place}: {got} for {expected}");
    }
}

/// The error function by its series, for numbers below 1.
fn erf(x: f64) -> f64 {
    let mut term = x;
    let mut sum = x;
    for step in 1..40 {
        let n = f64::from(step);
        term *= -x * x / n;
        sum += term / (2.0 * n + 1.0);
    }
    sum * 2.0 / std::f64::consts::PI.sqrt()
}

fn silu_product(x: f64, y: f64) -> f64 {
    x / (1.0 + (-x).exp()) * y + erf(x) - y.tanh()
}

#[test]
fn elementwise_kernels_of_float32_and_bfloat16() {
    let device = Device::open();
    let count = 1300;
    let (x, y) = (random_floats(count, 1), random_floats(count, 2));
    let grid = [(count as u32).div_ceil(512), 1, 1];

    let memory = [device.upload(&x), device.upload(&y), device.allocate(4 * count)];
    let mut arguments = memory.map(Pointer).to_vec();
    arguments.push(I64(count as i64));
    run(&device, &fixture!("silu-product-fp32"), "silu_product", grid, &arguments);
    let expected: Vec<f64> =
        x.iter().zip(&y).map(|(x, y)| silu_product(f64::from(*x), f64::from(*y))).collect();
    assert_near(&device.download::<f32>(memory[2], count), &expected, 1e-6, 1e-6);
    memory.into_iter().for_each(|address| device.free(address));

    let [x, y] = [x, y].map(|values| values.into_iter().map(to_bf16).collect::<Vec<_>>());
    let memory = [device.upload(&x), device.upload(&y), device.allocate(2 * count)];
    let mut arguments = memory.map(Pointer).to_vec();
    arguments.push(I64(count as i64));
    run(&device, &fixture!("silu-product-bf16"), "silu_product", grid, &arguments);
    let value = |bits: &u16| f64::from(from_bf16(*bits));
    let expected: Vec<f64> =
        x.iter().zip(&y).map(|(x, y)| silu_product(value(x), value(y))).collect();
    let got: Vec<f32> =
        device.download::<u16>(memory[2], count).into_iter().map(from_bf16).collect();
    assert_near(&got, &expected, 2.0_f64.powi(-8), 1e-6);
    memory.into_iter().for_each(|address| device.free(address));
}

#[test]
fn softmax_over_rows() {
    let device = Device::open();
    let (rows, columns) = (3, 700);
    let values = random_floats(rows * columns, 3);
    let memory = [device.upload(&values), device.allocate(4 * values.len())];
    let [input, output] = memory.map(Pointer);
    let arguments = [input, output, I32(columns as i32)];
    run(&device, &fixture!("softmax"), "softmax", [rows as u32, 1, 1], &arguments);
    let mut expected = Vec::new();
    for row in values.chunks(columns) {
        let powers: Vec<f64> = row.iter().map(|value| f64::from(*value).exp()).collect();
        let total: f64 = powers.iter().sum();
        expected.extend(powers.iter().map(|power| power / total));
    }
    assert_near(&device.download::<f32>(memory[1], values.len()), &expected, 5e-7, 0.0);
    memory.into_iter().for_each(|address| device.free(address));
}

/// Checks `a · b` of a type that `encode` and `decode` stand for; the sum is rounded to it once.
fn check_product<T: Copy + Default>(
    fixture: &Fixture,
    encode: fn(f32) -> T,
    decode: fn(T) -> f32,
    step: f64,
) {
    let device = Device::open();
    let (m, n, k) = (45, 48, 80);
    let a: Vec<T> = random_floats(m * k, 4).into_iter().map(encode).collect();
    let b: Vec<T> = random_floats(k * n, 5).into_iter().map(encode).collect();
    let memory = [device.upload(&a), device.upload(&b), device.allocate(size_of::<T>() * m * n)];
    let mut arguments = memory.map(Pointer).to_vec();
    arguments.extend([m, n, k].map(|size| I32(size as i32)));
    run(&device, fixture, "product", [2, 2, 1], &arguments);
    let mut expected = vec![0.0; m * n];
    for row in 0..m {
        for column in 0..n {
            for depth in 0..k {
                let (a, b) = (decode(a[row * k + depth]), decode(b[depth * n + column]));
                expected[row * n + column] += f64::from(a) * f64::from(b);
            }
        }
    }
    let got: Vec<f32> = device.download::<T>(memory[2], m * n).into_iter().map(decode).collect();
    // The sum of 80 products below 1 in float32, then the output's own rounding.
    assert_near(&got, &expected, step, 80.0 * 80.0 * 2.0_f64.powi(-24) / 4.0);
    memory.into_iter().for_each(|address| device.free(address));
}

#[test]
fn products_of_bfloat16() {
    check_product(&fixture!("product-bf16"), to_bf16, from_bf16, 2.0_f64.powi(-8));
}

#[test]
fn products_of_float16() {
    check_product(&fixture!("product-fp16"), to_f16, from_f16, 2.0_f64.powi(-11));
}

#[test]
fn products_of_float32() {
    check_product(&fixture!("product-fp32"), |value| value, |value| value, 0.0);
}

#[test]
fn attention_over_ragged_lengths() {
    attention(&fixture!("attention"), 32, 64);
}

/// Triton's products of warpgroups show that ours are read as it means them.
#[test]
fn attention_as_compiled_for_compute_capability_9_0() {
    attention(&fixture!("attention-9.0"), 64, 128);
}

/// Of two heads of `d` channels; a block has `rows` queries.
fn attention(fixture: &Fixture, rows: usize, d: usize) {
    let device = Device::open();
    let (heads, s, t) = (2, 75, 177);
    let [q, k, v] = [(6, s), (7, t), (8, t)].map(|(seed, length)| {
        let values = random_floats(heads * length * d, seed);
        values.into_iter().map(to_bf16).collect::<Vec<u16>>()
    });
    let memory =
        [device.upload(&q), device.upload(&k), device.upload(&v), device.allocate(2 * q.len())];
    // The kernel's powers are of 2.
    let scale = 0.125 * std::f32::consts::LOG2_E;
    let mut arguments = memory.map(Pointer).to_vec();
    arguments.extend([F32(scale), I32(s as i32), I32(t as i32)]);
    let grid = [s.div_ceil(rows) as u32, heads as u32, 1];
    run(&device, fixture, "attention", grid, &arguments);
    let mut expected = vec![0.0; q.len()];
    let value = |values: &[u16], place: usize| f64::from(from_bf16(values[place]));
    for head in 0..heads {
        for row in 0..s {
            let query = (head * s + row) * d;
            let mut total = 0.0;
            for key in 0..t {
                let place = (head * t + key) * d;
                let score: f64 = (0..d).map(|i| value(&q, query + i) * value(&k, place + i)).sum();
                let power = (score * 0.125).exp();
                total += power;
                for i in 0..d {
                    expected[query + i] += power * value(&v, place + i);
                }
            }
            expected[query..query + d].iter_mut().for_each(|sum| *sum /= total);
        }
    }
    let got: Vec<f32> =
        device.download::<u16>(memory[3], q.len()).into_iter().map(from_bf16).collect();
    // Powers and output are rounded to bfloat16; the values are below 1.
    assert_near(&got, &expected, 2.0_f64.powi(-8), 2.0_f64.powi(-8) * 0.2);
    memory.into_iter().for_each(|address| device.free(address));
}

/// Triton's copies of boxes show that ours are read as it means them: where rows lie, how they are
/// swizzled, when barriers are passed, zeros past the ends.
#[test]
fn products_of_boxes_as_compiled_for_compute_capability_9_0() {
    let device = Device::open();
    let (m, n, k) = (70, 100, 200);
    let [a, b] = [(10, m), (11, n)].map(|(seed, rows)| {
        let values = random_floats(rows * k, seed);
        values.into_iter().map(to_bf16).collect::<Vec<u16>>()
    });
    let memory = [device.upload(&a), device.upload(&b), device.allocate(4 * m * n)];
    let mut arguments = Vec::new();
    for (address, rows) in [(memory[0], m), (memory[1], n)] {
        let (sizes, strides) = (vec![k as u64, rows as u64], vec![2 * k as u64]);
        let tensor = Tensor { address, sizes, strides, extents: vec![64, 64], swizzle: 3 };
        // Triton passes shape and strides besides.
        arguments.push(device.map(&tensor).unwrap());
        arguments.extend([I32(rows as i32), I32(k as i32), I64(k as i64), I64(1)]);
    }
    arguments.extend([Pointer(memory[2]), I32(m as i32), I32(n as i32), I32(k as i32)]);
    run(&device, &fixture!("boxes-9.0"), "boxes", [2, 2, 1], &arguments);
    let value = |values: &[u16], place: usize| f64::from(from_bf16(values[place]));
    let product = |row, column| -> f64 {
        (0..k).map(|i| value(&a, row * k + i) * value(&b, column * k + i)).sum()
    };
    let expected: Vec<f64> =
        (0..m).flat_map(|row| (0..n).map(move |column| product(row, column))).collect();
    assert_near(&device.download(memory[2], m * n), &expected, 1e-5, 1e-5);
    memory.into_iter().for_each(|address| device.free(address));
}

#[test]
fn atomics_of_many_blocks() {
    let device = Device::open();
    let count = 10_000;
    let values: Vec<i32> =
        random_words(count, 9).into_iter().map(|word| (word % 1000) as i32).collect();
    let memory = [device.upload(&values), device.upload(&[0_i32; 18]), device.upload(&[0.0_f32])];
    let mut arguments = memory.map(Pointer).to_vec();
    arguments.push(I32(count as i32));
    let grid = [(count as u32).div_ceil(256), 1, 1];
    run(&device, &fixture!("histogram"), "histogram", grid, &arguments);
    let mut expected = [0; 18];
    for value in &values {
        expected[*value as usize % 16] += 1;
        let most = &mut expected[16 + *value as usize % 2];
        *most = (*most).max(*value);
    }
    assert_eq!(device.download::<i32>(memory[1], 18), expected);
    // Whole numbers below 2²⁴ sum exactly in any order.
    let sum: i32 = values.iter().sum();
    assert_eq!(device.download::<f32>(memory[2], 1), [sum as f32]);
    memory.into_iter().for_each(|address| device.free(address));
}
