//! A device from end to end over the emulated driver: kernels that run, copies, memory, events.

use cuda::{
    Allocation, Argument, Boxes, CudaErrorCode, Device, DeviceMemory, Driver, Stream, TensorElement,
};
use std::mem::MaybeUninit;
use std::sync::Arc;

/// target[i] = source[i] * factor + addend, for as many threads as there are.
const SCALE: &[u8] = b"
.version 8.0
.target sm_80
.address_size 64
.visible .entry scale(
	.param .u64 scale_param_0,
	.param .u64 scale_param_1,
	.param .f32 scale_param_2,
	.param .u32 scale_param_3,
	.param .u64 scale_param_4
)
.reqntid 32
{
	.reg .b32 %r<8>;
	.reg .b64 %rd<8>;
	ld.param.b64 %rd1, [scale_param_0];
	ld.param.b64 %rd2, [scale_param_1];
	ld.param.b32 %r1, [scale_param_2];
	ld.param.b32 %r2, [scale_param_3];
	mov.u32 %r3, %ctaid.x;
	mov.u32 %r4, %tid.x;
	shl.b32 %r3, %r3, 5;
	add.s32 %r3, %r3, %r4;
	mul.wide.s32 %rd3, %r3, 4;
	add.s64 %rd4, %rd1, %rd3;
	add.s64 %rd5, %rd2, %rd3;
	ld.global.b32 %r5, [%rd4];
	cvt.rn.f32.s32 %r6, %r2;
	fma.rn.f32 %r7, %r5, %r1, %r6;
	st.global.b32 [%rd5], %r7;
	ret;
}
\0";

fn open() -> Arc<Device> {
    // SAFETY: the emulator's functions have the signatures and contracts of the driver's.
    let driver = unsafe { Driver::with_symbols(&cuda_emulator::symbol) }.unwrap();
    assert!(driver.device_count().unwrap() >= 1);
    Device::open(&driver, 0).unwrap()
}

fn upload(device: &Arc<Device>, numbers: &[f32]) -> DeviceMemory {
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    let memory = device.allocate(bytes.len()).unwrap();
    // SAFETY: a block of that many bytes.
    unsafe { device.copy_to_device(memory.address(), &bytes) }.unwrap();
    memory
}

fn download(memory: &DeviceMemory) -> Vec<f32> {
    let mut bytes = vec![0; memory.bytes()];
    // SAFETY: the block's bytes.
    unsafe { memory.device().copy_to_host(&mut bytes, memory.address()) }.unwrap();
    bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

#[test]
fn a_kernel_reads_its_arguments_and_writes_its_result() {
    let device = open();
    assert_eq!(device.allocation(), &Allocation::StreamOrdered);
    assert!(!device.name().is_empty() && device.multiprocessors() > 0);
    let module = device.load_module(SCALE).unwrap();
    let function = module.function(c"scale").unwrap();
    let numbers: Vec<f32> = (0..96).map(|index| index as f32 / 8.0).collect();
    let source = upload(&device, &numbers);
    let target = device.allocate(source.bytes()).unwrap();
    let arguments = [
        Argument::Pointer(source.address()),
        Argument::Pointer(target.address()),
        Argument::F32(-2.5),
        Argument::I32(-7),
        Argument::I64(0),
    ];
    // SAFETY: the kernel's arguments; 96 elements in both blocks, for 3 blocks of 32 threads.
    unsafe { device.launch(&function, [3, 1, 1], 32, 0, &arguments) }.unwrap();
    let expected: Vec<f32> = numbers.iter().map(|number| number.mul_add(-2.5, -7.0)).collect();
    assert_eq!(download(&target), expected);
}

#[test]
fn a_kernel_that_leaves_its_memory_fails() {
    let device = open();
    let function = device.load_module(SCALE).unwrap().function(c"scale").unwrap();
    let source = upload(&device, &[1.0; 32]);
    let target = device.allocate(31 * 4).unwrap();
    let [source, target] = [source.address(), target.address()].map(Argument::Pointer);
    let arguments = [source, target, Argument::F32(1.0), Argument::I32(0), Argument::I64(0)];
    // SAFETY: the emulator checks every access, and this one is wrong.
    let error = unsafe { device.launch(&function, [1, 1, 1], 32, 0, &arguments) }
        .and_then(|()| device.synchronize())
        .unwrap_err();
    assert_eq!(error.code, CudaErrorCode::Failed);
}

#[test]
fn images_and_names_that_the_driver_refuses_are_errors() {
    let device = open();
    let error = device.load_module(b".visible .entry (\0").err().unwrap();
    assert_eq!((error.code, error.function), (CudaErrorCode::Failed, "cuModuleLoadDataEx"));
    assert!(error.message.contains("loading a PTX of 18 bytes"), "{error}");
    let module = device.load_module(SCALE).unwrap();
    let error = module.function(c"absent").err().unwrap();
    assert_eq!(error.name, "CUDA_ERROR_NOT_FOUND");
}

#[test]
fn bytes_come_back_over_both_streams() {
    let device = open();
    let bytes: Vec<u8> = (0..9_000_000u32).map(|index| (index % 253) as u8).collect();
    let memory = device.allocate(bytes.len()).unwrap();
    let other = device.allocate(bytes.len()).unwrap();
    let mut host = vec![0; bytes.len()];
    // SAFETY: blocks of that many bytes; the streams are ordered by events.
    unsafe {
        device.fill_bytes(memory.address(), 9, bytes.len()).unwrap();
        let filled = device.record_timed(Stream::Compute).unwrap();
        device.wait(Stream::Copy, &filled).unwrap();
        let copy = |from: &[u8], to: &mut [MaybeUninit<u8>]| {
            to.write_copy_of_slice(from);
        };
        let part = &bytes[..5_000_000];
        device.copy_to_device_on(Stream::Copy, memory.address(), part, &copy).unwrap();
        let copied = device.record_timed(Stream::Copy).unwrap();
        device.wait(Stream::Compute, &copied).unwrap();
        device.copy_on_device(other.address(), memory.address(), bytes.len()).unwrap();
        device.copy_to_host(&mut host, other.address()).unwrap();
        assert!(device.is_done(Stream::Compute).unwrap());
        assert!(copied.milliseconds_since(&filled).unwrap() >= 0.0);
    }
    assert!(host[..5_000_000] == bytes[..5_000_000]);
    assert!(host[5_000_000..].iter().all(|byte| *byte == 9));
}

#[test]
fn more_memory_than_there_is_is_refused_with_what_there_is() {
    let device = open();
    let total = usize::try_from(device.total_memory()).unwrap();
    let error = device.allocate(total + 1).err().unwrap();
    assert_eq!(error.code, CudaErrorCode::OutOfMemory);
    assert!(error.message.contains("asked for on CUDA device 0"), "{error}");
    device.allocate(1 << 10).unwrap();
}

#[test]
fn a_driver_that_can_not_share_memory_says_so() {
    let device = open();
    let memory = device.allocate_shareable(8).unwrap();
    let error = memory.ipc_handle().unwrap_err();
    assert_eq!((error.code, error.function), (CudaErrorCode::Unsupported, "cuIpcGetMemHandle"));
    // It is memory all the same.
    let mut host = [0; 8];
    // SAFETY: the block's bytes.
    unsafe {
        device.copy_to_device(memory.address(), &[5; 8]).unwrap();
        device.copy_to_host(&mut host, memory.address()).unwrap();
    }
    assert_eq!(host, [5; 8]);
}

#[test]
fn tensors_are_described_and_what_copies_cannot_take_is_refused() {
    let device = open();
    let memory = device.allocate(9 * 128 * 2).unwrap();
    let boxes = Boxes {
        element: TensorElement::Float16,
        address: memory.address(),
        sizes: [64, 2, 9, 1],
        strides: [64, 128, 9 * 128],
        box_sizes: [64, 1, 8, 1],
    };
    device.tensor_map(&boxes).unwrap();
    let odd = Boxes { strides: [64, 129, 9 * 128], ..boxes };
    let error = device.tensor_map(&odd).unwrap_err();
    assert!(error.to_string().contains("CUDA_ERROR_INVALID_VALUE"), "{error}");
    assert!(error.message.contains("strides: [64, 129, 1152]"), "{error}");
}
