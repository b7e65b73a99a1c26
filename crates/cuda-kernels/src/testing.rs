//! What tests share: a device that the processor plays, and tensors on both sides.
//!
//! The device is `cuda_emulator`'s, which interprets the kernels' PTX; the CPU's kernels are the
//! reference.

mod elements;

pub(crate) use elements::{assert_same, expected, layouts, numbers, outputs, permuted, special};

use crate::{DType, DeviceView, Gpu, Layout};
use cpu_kernels::float::{bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16};
use cpu_kernels::{Cpu, InstructionSet, TensorMut, TensorRef, ThreadPool};
use cuda::{Device, DeviceMemory, Driver};

/// Bytes before and behind what a kernel may write.
const GUARD: usize = 64;
/// What memory that nobody wrote holds. As a float of any type it is NaN or far from all values.
const POISON: u8 = 0xff;

pub(crate) const FLOATS: [DType; 3] = [DType::Float32, DType::BFloat16, DType::Float16];

/// The emulated device.
pub(crate) fn gpu() -> Gpu {
    // SAFETY: the emulator's functions have the signatures and contracts of the driver's.
    let driver = unsafe { Driver::with_symbols(&cuda_emulator::symbol) }.unwrap();
    Gpu::new(Device::open(&driver, 0).unwrap()).unwrap()
}

/// Runs `reference` with one thread.
pub(crate) fn on_cpu<R>(reference: impl FnOnce(&Cpu) -> R) -> R {
    let pool = ThreadPool::new(1);
    reference(&Cpu { pool: &pool, instruction_set: InstructionSet::detect() })
}

/// A tensor's storage and the view of it that a kernel gets.
#[derive(Clone)]
pub(crate) struct HostTensor {
    pub dtype: DType,
    pub layout: Layout,
    bytes: Vec<u8>,
}

impl HostTensor {
    /// Rounds `values`, the whole storage, to the type.
    pub fn new(dtype: DType, values: &[f32], layout: Layout) -> HostTensor {
        assert!(layout.end() <= values.len());
        let bytes = values.iter().flat_map(|&value| encoded(dtype, value)).collect();
        HostTensor { dtype, layout, bytes }
    }

    /// A contiguous tensor of numbers in (-1, 1), the same for the same seed.
    pub fn random(dtype: DType, shape: &[usize], seed: u64) -> HostTensor {
        HostTensor::random_view(dtype, Layout::contiguous(shape), seed)
    }

    /// Numbers in (-1, 1), between the view's elements too.
    pub fn random_view(dtype: DType, layout: Layout, seed: u64) -> HostTensor {
        HostTensor::new(dtype, &random(layout.end(), seed), layout)
    }

    /// Bytes that a kernel has to fill.
    pub fn unwritten(dtype: DType, shape: &[usize]) -> HostTensor {
        let layout = Layout::contiguous(shape);
        HostTensor { dtype, bytes: vec![POISON; layout.count() * dtype.size()], layout }
    }

    /// The same storage by another layout.
    pub fn viewed(&self, layout: Layout) -> HostTensor {
        HostTensor { layout, ..self.clone() }
    }

    /// Sets an element of the storage.
    pub fn set(&mut self, place: usize, value: f32) {
        let size = self.dtype.size();
        self.bytes[place * size..][..size].copy_from_slice(&encoded(self.dtype, value));
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The view's elements in its order.
    pub fn floats(&self) -> Vec<f32> {
        let mut places = vec![self.layout.offset];
        for (&size, &stride) in self.layout.shape.iter().zip(&self.layout.strides) {
            places = places
                .iter()
                .flat_map(|place| (0..size).map(move |step| place + step * stride))
                .collect();
        }
        let size = self.dtype.size();
        places.iter().map(|place| decoded(self.dtype, &self.bytes[place * size..])).collect()
    }

    /// For the CPU's kernels to read.
    pub fn host(&self) -> TensorRef<'_> {
        // SAFETY: the storage is borrowed and holds the layout's elements; `Vec`s of this size are
        // aligned for numbers, which the assertion checks.
        let view = unsafe { TensorRef::new(self.bytes.as_ptr(), self.dtype, self.layout.clone()) };
        assert_eq!(self.bytes.as_ptr() as usize % self.dtype.size(), 0);
        view
    }

    /// For the CPU's kernels to fill.
    pub fn host_mut(&mut self) -> TensorMut<'_> {
        assert!(self.layout.is_contiguous() && self.layout.offset == 0);
        assert_eq!(self.bytes.as_ptr() as usize % self.dtype.size(), 0);
        // SAFETY: the storage is mutably borrowed and has the shape's elements.
        unsafe { TensorMut::new(self.bytes.as_mut_ptr(), self.dtype, &self.layout.shape) }
    }

    /// A copy on the device.
    pub fn on(&self, gpu: &Gpu) -> DeviceTensor {
        let memory = gpu.device().allocate(self.bytes.len() + 2 * GUARD).unwrap();
        let guarded = [&[POISON; GUARD], &self.bytes[..], &[POISON; GUARD]].concat();
        // SAFETY: the memory was allocated for these bytes and is used by nothing else yet.
        unsafe { gpu.device().copy_to_device(memory.address(), &guarded) }.unwrap();
        let address = memory.address() + GUARD as u64;
        let view = DeviceView { address, dtype: self.dtype, layout: self.layout.clone() };
        DeviceTensor { memory, view, bytes: self.bytes.len() }
    }
}

/// A tensor on the device, with memory around it that must stay as it is.
pub(crate) struct DeviceTensor {
    memory: DeviceMemory,
    pub view: DeviceView,
    bytes: usize,
}

impl DeviceTensor {
    /// Copies it back.
    ///
    /// # Panics
    /// Where a kernel wrote beside it.
    pub fn back(&self) -> HostTensor {
        let mut bytes = vec![0; self.bytes + 2 * GUARD];
        // SAFETY: the memory has as many bytes.
        unsafe { self.memory.device().copy_to_host(&mut bytes, self.memory.address()) }.unwrap();
        let behind = bytes.split_off(GUARD + self.bytes);
        let inside = bytes.split_off(GUARD);
        assert!([bytes, behind].concat().iter().all(|&byte| byte == POISON), "wrote beside it");
        HostTensor { dtype: self.view.dtype, layout: self.view.layout.clone(), bytes: inside }
    }
}

/// Numbers in (-1, 1), the same for the same seed.
pub(crate) fn random(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// The relative error of one rounding to a type.
pub(crate) fn rounding(dtype: DType) -> f64 {
    match dtype {
        DType::BFloat16 => 2f64.powi(-8),
        DType::Float16 => 2f64.powi(-11),
        _ => 2f64.powi(-24),
    }
}

/// Refuses elements that are farther apart than `relative · |expected| + absolute`; those that aren't
/// finite must be the same.
pub(crate) fn assert_near(
    what: &str,
    found: &HostTensor,
    expected: &HostTensor,
    relative: f64,
    absolute: f64,
) {
    assert_eq!(found.layout.shape, expected.layout.shape, "{what}");
    for (place, (&found, expected)) in found.floats().iter().zip(expected.floats()).enumerate() {
        let allowed = relative * f64::from(expected).abs() + absolute;
        let near = match expected.is_finite() {
            true => (f64::from(found) - f64::from(expected)).abs() <= allowed,
            false => found == expected || found.is_nan() && expected.is_nan(),
        };
        assert!(near, "{what}: element {place} is {found}, expected {expected} within {allowed:e}");
    }
}

fn encoded(dtype: DType, value: f32) -> Vec<u8> {
    match dtype {
        DType::Float32 => value.to_le_bytes().to_vec(),
        DType::BFloat16 => f32_to_bf16(value).to_le_bytes().to_vec(),
        DType::Float16 => f32_to_f16(value).to_le_bytes().to_vec(),
        other => panic!("{} holds no floats", other.name()),
    }
}

fn decoded(dtype: DType, bytes: &[u8]) -> f32 {
    let half = || u16::from_le_bytes([bytes[0], bytes[1]]);
    match dtype {
        DType::Float32 => f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
        DType::BFloat16 => bf16_to_f32(half()),
        DType::Float16 => f16_to_f32(half()),
        other => panic!("{} holds no floats", other.name()),
    }
}
