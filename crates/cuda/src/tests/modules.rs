//! Loading and launching kernels.

use crate::fake::{Fake, Launch};
use crate::sys::CUDA_ERROR_LAUNCH_FAILED;
use crate::{Argument, Boxes, CudaErrorCode, Device, TensorElement, lock};

#[test]
fn kernels_get_their_arguments_in_order() {
    let fake = Fake::new();
    let device = fake.device();
    let module = device.load_module(b"other\naxpy pilfp\n\0").unwrap();
    let function = module.function(c"axpy").unwrap();
    assert_eq!(function.name(), c"axpy");
    let arguments = [
        Argument::Pointer(1 << 40),
        Argument::I32(-3),
        Argument::I64(i64::MIN),
        Argument::F32(0.25),
        Argument::Pointer(0),
    ];
    // SAFETY: the fake only notes it.
    unsafe { device.launch(&function, [7, 2, 3], 128, 1024, &arguments) }.unwrap();
    let launch = Launch {
        name: "axpy".into(),
        grid: [7, 2, 3],
        block: [128, 1, 1],
        shared_bytes: 1024,
        arguments: [
            "pointer 1099511627776",
            "i32 -3",
            "i64 -9223372036854775808",
            "f32 0.25",
            "pointer 0",
        ]
        .map(str::to_owned)
        .into(),
    };
    assert_eq!(*lock(&fake.launches), [launch]);
    assert_eq!(fake.count("cuFuncSetAttribute"), 0);
}

#[test]
fn more_shared_memory_is_asked_for_once_and_only_if_there_is_as_much() {
    let fake = Fake::new();
    let device = fake.device();
    let module = device.load_module(b"kernel\0").unwrap();
    let function = module.function(c"kernel").unwrap();
    // SAFETY: the fake only notes it.
    let launch = |function, bytes| unsafe { device.launch(function, [1; 3], 32, bytes, &[]) };
    let asked = |bytes| {
        launch(&function, bytes).unwrap();
        fake.count("cuFuncSetAttribute")
    };
    assert_eq!([48 << 10, 64 << 10, 60 << 10, 64 << 10, 200 << 10].map(asked), [0, 1, 1, 1, 2]);
    let again = module.function(c"kernel").unwrap();
    launch(&again, 100 << 10).unwrap();
    assert_eq!(fake.count("cuFuncSetAttribute"), 2, "the limit is the kernel's");
    let error = launch(&function, 232_449).unwrap_err();
    assert_eq!(error.code, CudaErrorCode::Unsupported);
    assert!(
        error.message.ends_with("232449 bytes shared: Fake 0 has 232448 for a block"),
        "{error}"
    );
}

#[test]
fn a_launch_that_is_refused_names_the_kernel() {
    let fake = Fake::new();
    let device = fake.device();
    let function = device.load_module(b"kernel\0").unwrap().function(c"kernel").unwrap();
    fake.fail("cuLaunchKernel", CUDA_ERROR_LAUNCH_FAILED);
    // SAFETY: the fake only notes it.
    let error = unsafe { device.launch(&function, [5, 1, 1], 64, 0, &[]) }.unwrap_err();
    let start =
        "cuLaunchKernel: CUDA_ERROR_LAUNCH_FAILED: kernel kernel, grid [5, 1, 1], 64 threads";
    assert!(error.to_string().starts_with(start), "{error}");
    let other = Device::open(device.driver(), 0).unwrap();
    // SAFETY: refused.
    let error = unsafe { other.launch(&function, [1; 3], 32, 0, &[]) }.unwrap_err();
    assert!(error.message.ends_with("loaded on another device"), "{error}");
}

#[test]
fn modules_live_as_long_as_their_kernels() {
    let fake = Fake::new();
    let device = fake.device();
    let module = device.load_module(b"kernel\0").unwrap();
    let function = module.function(c"kernel").unwrap();
    drop(module);
    assert_eq!(fake.count("cuModuleUnload"), 0);
    drop(function);
    assert_eq!(fake.count("cuModuleUnload"), 1);
}

#[test]
fn images_that_are_none_are_refused_before_the_driver_reads_them() {
    let fake = Fake::new();
    let device = fake.device();
    let error = device.load_module(b"kernel").err().unwrap();
    assert_eq!((error.code, error.name.as_str()), (CudaErrorCode::Failed, ""));
    assert_eq!(fake.count("cuModuleLoadDataEx"), 0);
    let error = device.load_module(b"kernel\0").unwrap().function(c"kern").err().unwrap();
    assert_eq!(
        error.to_string(),
        "cuModuleGetFunction: CUDA_ERROR_NOT_FOUND: kernel kern: named symbol not found"
    );
}

#[test]
fn what_the_drivers_compiler_says_is_passed_on() {
    let fake = Fake::new();
    let device = fake.device();
    *lock(&fake.compiler_log) = Some("ptxas fatal : Unresolved extern function 'f'\n");
    let error = device.load_module(b"kernel\0").err().unwrap();
    assert_eq!(
        error.to_string(),
        "cuModuleLoadDataEx: CUDA_ERROR_INVALID_PTX: loading a PTX of 7 bytes on Fake 0 (9.0): a \
         PTX JIT compilation failed; the driver's compiler: ptxas fatal : Unresolved extern \
         function 'f'"
    );
}

#[test]
fn a_driver_that_describes_no_tensors_is_told() {
    let device = Fake::new().device();
    let boxes = Boxes {
        element: TensorElement::BFloat16,
        address: 1 << 30,
        sizes: [64, 2, 9, 1],
        strides: [64, 128, 9 * 128],
        box_sizes: [64, 1, 8, 1],
    };
    let error = device.tensor_map(&boxes).unwrap_err();
    assert_eq!(error.code, CudaErrorCode::Unsupported);
    assert!(error.message.contains("older than CUDA 12"), "{error}");
}
