//! For tests: the emulated device in this process, tensors that it and the processor compute with,
//! and what both make of them.

use crate::{DType, DeviceView, Gpu, Layout};
use cpu_kernels::float::{bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16};
use cpu_kernels::{Cpu, InstructionSet, TensorMut, TensorRef, ThreadPool};
use cuda::{CudaError, Device, DeviceMemory, Driver};

/// What outputs and the memory round them are filled with before: a NaN in every float type.
const POISON: u8 = 0xff;
/// Bytes before and behind an output that a kernel has to leave alone.
const GUARD: usize = 256;

/// The emulated device.
pub(crate) fn gpu() -> Gpu {
    // SAFETY: the emulator's functions are those of `cuda.h` and part of this program.
    let driver = unsafe { Driver::with_symbols(&cuda_emulator::symbol) }.unwrap();
    Gpu::new(Device::open(&driver, 0).unwrap()).unwrap()
}

/// A tensor in the processor's memory.
#[derive(Clone)]
pub(crate) struct Tensor {
    /// As bytes, at an address for any element type.
    storage: Vec<u64>,
    pub dtype: DType,
    pub layout: Layout,
}

impl Tensor {
    /// A tensor whose storage's n-th element is `value(n)`, rounded to the type.
    pub fn with(dtype: DType, layout: Layout, value: impl Fn(usize) -> f32) -> Tensor {
        let elements = (0..layout.end()).flat_map(|place| {
            let value = value(place);
            match dtype {
                DType::Float32 => value.to_le_bytes().to_vec(),
                DType::BFloat16 => f32_to_bf16(value).to_le_bytes().to_vec(),
                DType::Float16 => f32_to_f16(value).to_le_bytes().to_vec(),
                DType::Int32 => (value as i32).to_le_bytes().to_vec(),
                DType::Int64 => (value as i64).to_le_bytes().to_vec(),
                DType::Int8 => (value as i8).to_le_bytes().to_vec(),
                DType::UInt8 => vec![value as u8],
            }
        });
        Tensor::from_bytes(dtype, layout, &elements.collect::<Vec<u8>>())
    }

    /// A contiguous tensor of numbers from -2 to 2, told apart by `seed`.
    pub fn random(dtype: DType, shape: &[usize], seed: u64) -> Tensor {
        Tensor::strided(dtype, Layout::contiguous(shape), seed)
    }

    /// A tensor of any layout with numbers as [`Tensor::random`] has.
    pub fn strided(dtype: DType, layout: Layout, seed: u64) -> Tensor {
        Tensor::with(dtype, layout, |place| random(seed, place as u64))
    }

    /// A contiguous tensor of what [`outputs`] gave.
    pub fn from_bytes(dtype: DType, layout: Layout, bytes: &[u8]) -> Tensor {
        let words = bytes.chunks(8).map(|chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            u64::from_ne_bytes(word)
        });
        Tensor { storage: words.collect(), dtype, layout }
    }

    /// The processor's view.
    pub fn host(&self) -> TensorRef<'_> {
        // SAFETY: the storage has as many elements as the layout reaches, and is borrowed.
        unsafe { TensorRef::new(self.storage.as_ptr().cast(), self.dtype, self.layout.clone()) }
    }

    /// A copy in the device's memory.
    pub fn on(&self, gpu: &Gpu) -> DeviceTensor {
        let bytes: Vec<u8> = self.storage.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let memory = gpu.device().allocate(bytes.len().max(1)).unwrap();
        // SAFETY: the memory has that many bytes.
        unsafe { gpu.device().copy_to_device(memory.address(), &bytes) }.unwrap();
        let address = memory.address();
        let view = DeviceView { address, dtype: self.dtype, layout: self.layout.clone() };
        DeviceTensor { view, _memory: memory }
    }
}

/// A tensor in the device's memory.
pub(crate) struct DeviceTensor {
    pub view: DeviceView,
    _memory: DeviceMemory,
}

/// A number from -2 to 2, by SplitMix64.
fn random(seed: u64, place: u64) -> f32 {
    let mut word = (seed << 32 | place).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((word ^ word >> 31) >> 40) as f32 / (1 << 22) as f32 - 2.0
}

/// The bytes of outputs that the device fills, which may write nothing else.
pub(crate) fn outputs<const N: usize>(
    gpu: &Gpu,
    kinds: [(DType, &[usize]); N],
    body: impl FnOnce([&DeviceView; N]) -> Result<(), CudaError>,
) -> [Vec<u8>; N] {
    let device = gpu.device();
    let size = |(dtype, shape): (DType, &[usize])| shape.iter().product::<usize>() * dtype.size();
    let memory = kinds.map(|kind| {
        let bytes = size(kind) + 2 * GUARD;
        let memory = device.allocate(bytes).unwrap();
        // SAFETY: the memory has that many bytes.
        unsafe { device.fill_bytes(memory.address(), POISON, bytes) }.unwrap();
        memory
    });
    let views: [DeviceView; N] = std::array::from_fn(|n| DeviceView {
        address: memory[n].address() + GUARD as u64,
        dtype: kinds[n].0,
        layout: Layout::contiguous(kinds[n].1),
    });
    body(views.each_ref()).unwrap();
    std::array::from_fn(|n| {
        let mut bytes = vec![0; size(kinds[n]) + 2 * GUARD];
        // SAFETY: the memory has that many bytes.
        unsafe { device.copy_to_host(&mut bytes, memory[n].address()) }.unwrap();
        let behind = bytes.split_off(bytes.len() - GUARD);
        let output = bytes.split_off(GUARD);
        let guards = bytes.iter().chain(&behind);
        assert!(guards.into_iter().all(|&byte| byte == POISON), "output {n}: written beside");
        output
    })
}

/// The bytes of outputs that the processor fills.
pub(crate) fn expected<const N: usize>(
    kinds: [(DType, &[usize]); N],
    body: impl FnOnce(&Cpu, [TensorMut; N]),
) -> [Vec<u8>; N] {
    let size = |(dtype, shape): (DType, &[usize])| shape.iter().product::<usize>() * dtype.size();
    let mut storages = kinds.map(|kind| vec![0u64; size(kind).div_ceil(8)]);
    let mut kinds_left = kinds.iter();
    let views = storages.each_mut().map(|storage| {
        let &(dtype, shape) = kinds_left.next().unwrap();
        // SAFETY: the storage is aligned, has the shape's elements and is borrowed.
        unsafe { TensorMut::new(storage.as_mut_ptr().cast(), dtype, shape) }
    });
    let pool = ThreadPool::new(1);
    body(&Cpu { pool: &pool, instruction_set: InstructionSet::Portable }, views);
    std::array::from_fn(|n| {
        let bytes = storages[n].iter().flat_map(|word| word.to_ne_bytes());
        bytes.take(size(kinds[n])).collect()
    })
}

/// Floats of a type, widened.
pub(crate) fn widened(dtype: DType, bytes: &[u8]) -> Vec<f32> {
    let halves = || bytes.chunks_exact(2).map(|half| u16::from_ne_bytes([half[0], half[1]]));
    match dtype {
        DType::Float32 => {
            let words = bytes.chunks_exact(4);
            words.map(|word| f32::from_ne_bytes(word.try_into().unwrap())).collect()
        }
        DType::BFloat16 => halves().map(bf16_to_f32).collect(),
        DType::Float16 => halves().map(f16_to_f32).collect(),
        other => panic!("{} is no float", other.name()),
    }
}

/// Refuses floats that are further from those expected than `relative` of them and `absolute`, or
/// more steps of their type than one.
///
/// 16-bit floats that were rounded from nearby numbers may be neighbours.
pub(crate) fn assert_near(
    dtype: DType,
    found: &[u8],
    expected: &[u8],
    relative: f32,
    absolute: f32,
    case: &str,
) {
    let step = match dtype {
        DType::BFloat16 => 2f32.powi(-7),
        DType::Float16 => 2f32.powi(-10),
        _ => 0.0,
    };
    let (found, expected) = (widened(dtype, found), widened(dtype, expected));
    assert_eq!(found.len(), expected.len(), "{case}");
    for (place, (&found, &expected)) in found.iter().zip(&expected).enumerate() {
        let allowed = (relative + step) * expected.abs() + absolute;
        let near = (found - expected).abs() <= allowed || found == expected;
        assert!(
            near || found.is_nan() && expected.is_nan(),
            "{case}: element {place} is {found}, expected {expected}"
        );
    }
}
