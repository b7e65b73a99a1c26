//! Attention by cuDNN's backend API, on the emulated device and by an emulated cuDNN that is stricter
//! than the real one about what it is asked.

use cuda::cudnn::{AttentionAddresses, AttentionShape, Cudnn, CudnnLibrary, Strides};
use cuda::{CudaError, CudaErrorCode, Device, DeviceMemory, Driver};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tensor_layout::DType;

/// One test at a time: they count what is alive of the emulated library in the process.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn device() -> Arc<Device> {
    // SAFETY: the emulator's functions have the signatures and contracts of the driver's.
    let driver = unsafe {
        cudnn_emulator::use_driver(&cuda_emulator::symbol);
        Driver::with_symbols(&cuda_emulator::symbol)
    };
    Device::open(&driver.unwrap(), 0).unwrap()
}

fn library() -> CudnnLibrary {
    // SAFETY: the emulator's functions have the signatures and contracts of cuDNN's.
    unsafe { CudnnLibrary::with_symbols(&cudnn_emulator::symbol) }.unwrap()
}

/// Numbers in (-2, 2) that bfloat16 holds exactly, the same for the same seed.
fn numbers(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|at| ((at * 37 + seed * 11) % 63) as f32 / 16.0 - 1.9375).collect()
}

fn upload(device: &Arc<Device>, values: &[f32]) -> DeviceMemory {
    let bytes: Vec<u8> =
        values.iter().flat_map(|value| ((value.to_bits() >> 16) as u16).to_le_bytes()).collect();
    let memory = device.allocate(bytes.len()).unwrap();
    // SAFETY: a block of that many bytes.
    unsafe { device.copy_to_device(memory.address(), &bytes) }.unwrap();
    memory
}

fn download(memory: &DeviceMemory) -> Vec<u8> {
    let mut bytes = vec![0; memory.bytes()];
    // SAFETY: the block's bytes.
    unsafe { memory.device().copy_to_host(&mut bytes, memory.address()) }.unwrap();
    bytes
}

/// An attention of bfloat16 whose tensors are parts of rows of `row` elements.
fn shape_of([batch, queries, keys, heads, size]: [usize; 5], row: usize) -> AttentionShape {
    let strides = |rows: usize| Strides { batch: rows * row, row, head: size };
    AttentionShape {
        dtype: DType::BFloat16,
        batch,
        queries,
        keys,
        heads,
        size,
        query: strides(queries),
        key: strides(keys),
        value: strides(keys),
        log_sum_exp: true,
    }
}

/// An attention's inputs, in memory and on the device.
struct Problem {
    shape: AttentionShape,
    values: [Vec<f32>; 3],
    inputs: [DeviceMemory; 3],
    output: DeviceMemory,
    sums: DeviceMemory,
}

impl Problem {
    fn new(device: &Arc<Device>, shape: AttentionShape) -> Problem {
        let AttentionShape { batch, queries, keys, heads, size, .. } = shape;
        let values = [(shape.query, 1), (shape.key, 2), (shape.value, 3)]
            .map(|(strides, seed)| numbers(batch * strides.batch, seed));
        assert!(batch * shape.key.batch >= batch * keys * heads * size);
        Problem {
            inputs: [0, 1, 2].map(|at| upload(device, &values[at])),
            output: device.allocate(batch * queries * heads * size * 2).unwrap(),
            sums: device.allocate(batch * queries * heads * 4).unwrap(),
            shape,
            values,
        }
    }

    fn addresses(&self) -> AttentionAddresses {
        AttentionAddresses {
            query: self.inputs[0].address(),
            key: self.inputs[1].address(),
            value: self.inputs[2].address(),
            output: self.output.address(),
            log_sum_exp: self.sums.address(),
        }
    }

    fn run(&self, cudnn: &Cudnn, scale: f32) -> Result<(), CudaError> {
        // SAFETY: blocks of the sizes that the shape says, which live until they are read.
        unsafe { cudnn.attention(&self.shape, &self.addresses(), scale) }
    }

    /// Compares what is on the device with another way of computing it.
    fn check(&self, scale: f64) {
        let AttentionShape { batch, queries, keys, heads, size, .. } = self.shape;
        let output = download(&self.output);
        let output: Vec<f64> = output
            .chunks_exact(2)
            .map(|half| f32::from_bits(u32::from(u16::from_le_bytes([half[0], half[1]])) << 16))
            .map(f64::from)
            .collect();
        let sums = download(&self.sums);
        let sums: Vec<f64> = sums
            .chunks_exact(4)
            .map(|four| f64::from(f32::from_le_bytes(four.try_into().unwrap())))
            .collect();
        let at = |of: usize, strides: Strides, [b, row, h, d]: [usize; 4]| {
            f64::from(self.values[of][b * strides.batch + row * strides.row + h * strides.head + d])
        };
        for (b, h, i) in (0..batch)
            .flat_map(|b| (0..heads).flat_map(move |h| (0..queries).map(move |i| (b, h, i))))
        {
            let weights: Vec<f64> = (0..keys)
                .map(|j| {
                    let dot: f64 = (0..size)
                        .map(|d| {
                            at(0, self.shape.query, [b, i, h, d])
                                * at(1, self.shape.key, [b, j, h, d])
                        })
                        .sum();
                    (scale * dot).exp()
                })
                .collect();
            let total: f64 = weights.iter().sum();
            let found = sums[(b * heads + h) * queries + i];
            assert!((found - total.ln()).abs() < 1e-4, "row {i} of {b}, {h}: {found}");
            for d in 0..size {
                let sum: f64 = weights
                    .iter()
                    .enumerate()
                    .map(|(j, weight)| weight * at(2, self.shape.value, [b, j, h, d]))
                    .sum();
                let found = output[((b * queries + i) * heads + h) * size + d];
                let near = (found - sum / total).abs() <= 2f64.powi(-8);
                assert!(near, "row {i} of {b}, {h}, {d}: {found}, not {}", sum / total);
            }
        }
    }
}

#[test]
fn attention_is_that_of_the_formula_in_every_layout() {
    let _alone = alone();
    let device = device();
    let cudnn = Cudnn::new(library(), &device).unwrap();
    for (sizes, row) in [
        ([1, 1, 1, 1, 8], 8),
        ([2, 5, 7, 3, 16], 3 * 16),
        // A projection that computes query, key and value at once.
        ([2, 6, 6, 2, 24], 3 * 2 * 24),
        ([1, 33, 2, 1, 128], 128),
    ] {
        let problem = Problem::new(&device, shape_of(sizes, row));
        for scale in [0.25f32, 0.0625] {
            problem.run(&cudnn, scale).unwrap();
            problem.check(f64::from(scale));
        }
    }
    // Heads before rows.
    let mut shape = shape_of([2, 5, 7, 3, 16], 48);
    shape.query = Strides { batch: 5 * 48, row: 16, head: 5 * 16 };
    let problem = Problem::new(&device, shape);
    problem.run(&cudnn, 0.25).unwrap();
    problem.check(0.25);
}

#[test]
fn a_shape_is_planned_once_and_all_goes_with_its_owner() {
    let _alone = alone();
    let device = device();
    let before = cudnn_emulator::live();
    let cudnn = Cudnn::new(library(), &device).unwrap();
    let problem = Problem::new(&device, shape_of([1, 3, 4, 2, 8], 16));
    problem.run(&cudnn, 0.5).unwrap();
    let once = cudnn_emulator::live();
    assert_eq!(once, (before.0 + 1, before.1 + 2), "a handle, a plan and its way are kept");
    problem.run(&cudnn, 0.25).unwrap();
    assert_eq!(cudnn_emulator::live(), once);
    let other = AttentionShape { log_sum_exp: false, ..problem.shape };
    // SAFETY: as in `Problem::run`.
    unsafe { cudnn.attention(&other, &problem.addresses(), 0.5) }.unwrap();
    assert_eq!(cudnn_emulator::live(), (once.0, once.1 + 2));
    drop(cudnn);
    assert_eq!(cudnn_emulator::live(), before);
}

#[test]
fn plans_of_many_shapes_are_forgotten() {
    let _alone = alone();
    let device = device();
    let cudnn = Cudnn::new(library(), &device).unwrap();
    let before = cudnn_emulator::live().1;
    for keys in 1..=130 {
        let problem = Problem::new(&device, shape_of([1, 1, keys, 1, 8], 8));
        problem.run(&cudnn, 0.5).unwrap();
        assert!(cudnn_emulator::live().1 - before <= 2 * 64, "{keys}");
        problem.check(0.5);
    }
}

#[test]
fn what_cudnn_is_not_asked_for_is_refused_with_the_reason() {
    let _alone = alone();
    let device = device();
    let cudnn = Cudnn::new(library(), &device).unwrap();
    let problem = Problem::new(&device, shape_of([2, 3, 4, 2, 16], 32));
    let good = problem.shape;
    let refusal = |shape: AttentionShape, addresses: AttentionAddresses| {
        // SAFETY: as in `Problem::run`; what is refused reads nothing.
        let error = unsafe { cudnn.attention(&shape, &addresses, 0.5) }.unwrap_err();
        assert_eq!(error.code, CudaErrorCode::Unsupported, "{error}");
        error.to_string()
    };
    let addresses = problem.addresses();
    for (shape, reason) in [
        (AttentionShape { dtype: DType::Float32, ..good }, "bfloat16 and float16"),
        (AttentionShape { size: 12, ..good }, "multiples of 8 up to 128"),
        (AttentionShape { size: 136, ..good }, "multiples of 8 up to 128"),
        (AttentionShape { keys: 0, ..good }, "no empty tensors"),
        (AttentionShape { key: Strides { row: 33, ..good.key }, ..good }, "key has Strides"),
        (AttentionShape { value: Strides { head: 0, ..good.value }, ..good }, "value has Strides"),
    ] {
        let message = refusal(shape, addresses);
        assert!(message.contains(reason), "{message}");
        assert!(message.contains("attention of"), "{message}");
    }
    let message = refusal(good, AttentionAddresses { key: addresses.key + 8, ..addresses });
    assert!(message.contains("must be multiples of 16"), "{message}");
}

#[test]
fn failures_have_cudnns_name_and_its_last_words() {
    let _alone = alone();
    let device = device();
    let cudnn = Cudnn::new(library(), &device).unwrap();
    let problem = Problem::new(&device, shape_of([1, 3, 4, 2, 16], 32));
    let nowhere = AttentionAddresses { value: 0x10, ..problem.addresses() };
    // SAFETY: the emulated device reads no memory that isn't its own.
    let error = unsafe { cudnn.attention(&problem.shape, &nowhere, 0.5) }.unwrap_err();
    assert_eq!(error.name, "CUDNN_STATUS_EXECUTION_FAILED_CUDA_DRIVER");
    assert_eq!((error.function, error.code), ("cudnnBackendExecute", CudaErrorCode::Failed));
    assert!(error.message.starts_with("attention of bfloat16, batch 1, 3 to 4, 2 heads of 16: "));
    assert!(error.message.contains("cuMemcpyDtoHAsync_v2 answered"), "{error}");
}
