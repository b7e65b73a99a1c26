//! The emulated device through function pointers alone, as a program that opened the library has it.

// Each test file uses a part of this.
#![allow(dead_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::mem::transmute;

pub const SUCCESS: c_int = 0;
pub const INVALID_VALUE: c_int = 1;
pub const OUT_OF_MEMORY: c_int = 2;
pub const INVALID_CONTEXT: c_int = 201;
pub const NO_BINARY_FOR_GPU: c_int = 209;
pub const INVALID_PTX: c_int = 218;
pub const INVALID_HANDLE: c_int = 400;
pub const NOT_FOUND: c_int = 500;
pub const ILLEGAL_ADDRESS: c_int = 700;
pub const MISALIGNED_ADDRESS: c_int = 716;
pub const LAUNCH_FAILED: c_int = 719;
pub const NOT_SUPPORTED: c_int = 801;

/// A failed call: its status, the name and the text that the driver gives.
#[derive(Clone, Debug)]
pub struct Failed {
    pub status: c_int,
    pub name: String,
    pub text: String,
}

macro_rules! driver {
    ($($name:ident($($argument:ident: $type:ty),*);)+) => {
        /// The driver's functions.
        #[allow(non_snake_case, reason = "the names of cuda.h")]
        pub struct Functions {
            $(pub $name: unsafe extern "C" fn($($type),*) -> c_int,)+
        }

        impl Functions {
            fn find() -> Functions {
                let symbol = |name: &str| {
                    let name = CString::new(name).unwrap();
                    cuda_emulator::symbol(&name).unwrap_or_else(|| panic!("{name:?} is missing"))
                };
                Functions {
                    $(
                        // SAFETY: these are the signatures of cuda.h.
                        $name: unsafe {
                            transmute::<*const c_void, unsafe extern "C" fn($($type),*) -> c_int>(
                                symbol(stringify!($name)),
                            )
                        },
                    )+
                }
            }
        }
    };
}

driver! {
    cuInit(flags: c_uint);
    cuDriverGetVersion(version: *mut c_int);
    cuDeviceGetCount(count: *mut c_int);
    cuDeviceGet(device: *mut c_int, ordinal: c_int);
    cuDeviceGetName(name: *mut c_char, length: c_int, device: c_int);
    cuDeviceGetAttribute(value: *mut c_int, attribute: c_int, device: c_int);
    cuDeviceTotalMem_v2(bytes: *mut usize, device: c_int);
    cuDeviceGetUuid(uuid: *mut [u8; 16], device: c_int);
    cuDevicePrimaryCtxRetain(context: *mut *mut c_void, device: c_int);
    cuDevicePrimaryCtxRelease_v2(device: c_int);
    cuCtxSetCurrent(context: *mut c_void);
    cuMemGetInfo_v2(free: *mut usize, total: *mut usize);
    cuStreamCreate(stream: *mut *mut c_void, flags: c_uint);
    cuStreamDestroy_v2(stream: *mut c_void);
    cuStreamSynchronize(stream: *mut c_void);
    cuStreamQuery(stream: *mut c_void);
    cuStreamWaitEvent(stream: *mut c_void, event: *mut c_void, flags: c_uint);
    cuEventCreate(event: *mut *mut c_void, flags: c_uint);
    cuEventRecord(event: *mut c_void, stream: *mut c_void);
    cuEventSynchronize(event: *mut c_void);
    cuEventElapsedTime(milliseconds: *mut f32, start: *mut c_void, end: *mut c_void);
    cuEventDestroy_v2(event: *mut c_void);
    cuMemAlloc_v2(address: *mut u64, bytes: usize);
    cuMemFree_v2(address: u64);
    cuMemPoolCreate(pool: *mut *mut c_void, properties: *const c_void);
    cuMemPoolDestroy(pool: *mut c_void);
    cuMemPoolSetAttribute(pool: *mut c_void, attribute: c_int, value: *mut c_void);
    cuMemPoolTrimTo(pool: *mut c_void, keep: usize);
    cuMemAllocFromPoolAsync(address: *mut u64, bytes: usize, pool: *mut c_void, stream: *mut c_void);
    cuMemFreeAsync(address: u64, stream: *mut c_void);
    cuMemHostAlloc(pointer: *mut *mut c_void, bytes: usize, flags: c_uint);
    cuMemFreeHost(pointer: *mut c_void);
    cuMemcpyHtoDAsync_v2(target: u64, source: *const c_void, bytes: usize, stream: *mut c_void);
    cuMemcpyDtoHAsync_v2(target: *mut c_void, source: u64, bytes: usize, stream: *mut c_void);
    cuMemcpyDtoDAsync_v2(target: u64, source: u64, bytes: usize, stream: *mut c_void);
    cuMemsetD8Async(target: u64, byte: u8, bytes: usize, stream: *mut c_void);
    cuModuleLoadDataEx(module: *mut *mut c_void, image: *const c_void, count: c_uint, options: *mut c_int, values: *mut *mut c_void);
    cuModuleGetFunction(function: *mut *mut c_void, module: *mut c_void, name: *const c_char);
    cuModuleUnload(module: *mut c_void);
    cuFuncSetAttribute(function: *mut c_void, attribute: c_int, value: c_int);
    cuLaunchKernel(function: *mut c_void, gx: c_uint, gy: c_uint, gz: c_uint, tx: c_uint, ty: c_uint, tz: c_uint, shared: c_uint, stream: *mut c_void, arguments: *mut *mut c_void, extra: *mut *mut c_void);
    cuGetErrorName(error: c_int, name: *mut *const c_char);
    cuGetErrorString(error: c_int, text: *mut *const c_char);
    cuTensorMapEncodeTiled(map: *mut TensorMap, kind: c_int, rank: c_uint, address: *mut c_void, sizes: *const u64, strides: *const u64, extents: *const u32, steps: *const u32, interleave: c_int, swizzle: c_int, promotion: c_int, fill: c_int);
    cuIpcGetMemHandle(handle: *mut c_void, address: u64);
    cuIpcOpenMemHandle_v2(address: *mut u64, handle: [u64; 8], flags: c_uint);
    cuIpcCloseMemHandle(address: u64);
}

/// An argument of a kernel.
#[derive(Clone, Copy)]
pub enum Argument {
    Pointer(u64),
    I32(i32),
    I64(i64),
    F32(f32),
    Map(TensorMap),
}

/// What a tensor map is written to.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub struct TensorMap(pub [u8; 128]);

/// How a tensor of 16-bit numbers lies in device memory, its innermost dimension first.
pub struct Tensor {
    pub address: u64,
    pub sizes: Vec<u64>,
    /// Bytes, of all dimensions but the first.
    pub strides: Vec<u64>,
    pub extents: Vec<u32>,
    /// `CUtensorMapSwizzle`.
    pub swizzle: c_int,
}

/// The device, its context current on this thread.
pub struct Device {
    pub functions: Functions,
}

impl Device {
    pub fn open() -> Device {
        let functions = Functions::find();
        let mut context = std::ptr::null_mut();
        // SAFETY: pointers of this frame.
        unsafe {
            assert_eq!((functions.cuInit)(0), SUCCESS);
            assert_eq!((functions.cuDevicePrimaryCtxRetain)(&mut context, 0), SUCCESS);
            assert_eq!((functions.cuCtxSetCurrent)(context), SUCCESS);
        }
        Device { functions }
    }

    /// The answer of a call.
    pub fn check(&self, status: c_int) -> Result<(), Failed> {
        if status == SUCCESS {
            return Ok(());
        }
        let (mut name, mut text) = (std::ptr::null(), std::ptr::null());
        // SAFETY: the driver gives strings that end.
        unsafe {
            assert_eq!((self.functions.cuGetErrorName)(status, &mut name), SUCCESS);
            assert_eq!((self.functions.cuGetErrorString)(status, &mut text), SUCCESS);
            let [name, text] =
                [name, text].map(|text| CStr::from_ptr(text).to_str().unwrap().into());
            Err(Failed { status, name, text })
        }
    }

    pub fn allocate(&self, bytes: usize) -> u64 {
        let mut address = 0;
        // SAFETY: a pointer of this frame.
        self.check(unsafe { (self.functions.cuMemAlloc_v2)(&mut address, bytes) }).unwrap();
        address
    }

    pub fn free(&self, address: u64) {
        // SAFETY: takes any address.
        self.check(unsafe { (self.functions.cuMemFree_v2)(address) }).unwrap();
    }

    /// Memory that holds `values`.
    pub fn upload<T: Copy>(&self, values: &[T]) -> u64 {
        let bytes = size_of_val(values);
        let address = self.allocate(bytes);
        let source = values.as_ptr().cast();
        let stream = std::ptr::null_mut();
        // SAFETY: the source has that many bytes.
        let status =
            unsafe { (self.functions.cuMemcpyHtoDAsync_v2)(address, source, bytes, stream) };
        self.check(status).unwrap();
        address
    }

    pub fn download<T: Copy + Default>(&self, address: u64, count: usize) -> Vec<T> {
        let mut values = vec![T::default(); count];
        let (target, bytes) = (values.as_mut_ptr().cast(), count * size_of::<T>());
        let stream = std::ptr::null_mut();
        // SAFETY: the target has that many bytes.
        let status =
            unsafe { (self.functions.cuMemcpyDtoHAsync_v2)(target, address, bytes, stream) };
        self.check(status).unwrap();
        values
    }

    /// The map of a tensor of float16.
    pub fn map(&self, tensor: &Tensor) -> Result<Argument, Failed> {
        let mut map = TensorMap([0; 128]);
        let rank = tensor.sizes.len();
        assert!(tensor.strides.len() + 1 == rank && tensor.extents.len() == rank);
        // SAFETY: the lists are as long as they must be.
        self.check(unsafe {
            (self.functions.cuTensorMapEncodeTiled)(
                &mut map,
                6,
                rank as c_uint,
                tensor.address as *mut c_void,
                tensor.sizes.as_ptr(),
                tensor.strides.as_ptr(),
                tensor.extents.as_ptr(),
                [1; 5].as_ptr(),
                0,
                tensor.swizzle,
                0,
                0,
            )
        })?;
        Ok(Argument::Map(map))
    }

    pub fn load(&self, text: &str) -> Result<*mut c_void, Failed> {
        let text = CString::new(text).unwrap();
        let mut module = std::ptr::null_mut();
        let none = std::ptr::null_mut;
        // SAFETY: the text ends with a NUL; there are no options.
        self.check(unsafe {
            let values = std::ptr::null_mut();
            (self.functions.cuModuleLoadDataEx)(
                &mut module,
                text.as_ptr().cast(),
                0,
                none(),
                values,
            )
        })?;
        Ok(module)
    }

    pub fn function(&self, module: *mut c_void, name: &str) -> Result<*mut c_void, Failed> {
        let name = CString::new(name).unwrap();
        let mut function = std::ptr::null_mut();
        // SAFETY: the name ends with a NUL.
        self.check(unsafe {
            (self.functions.cuModuleGetFunction)(&mut function, module, name.as_ptr())
        })?;
        Ok(function)
    }

    pub fn launch(
        &self,
        function: *mut c_void,
        grid: [u32; 3],
        threads: u32,
        shared: u32,
        arguments: &[Argument],
    ) -> Result<(), Failed> {
        let mut pointers: Vec<*mut c_void> = arguments
            .iter()
            .map(|argument| match argument {
                Argument::Pointer(value) => std::ptr::from_ref(value).cast_mut().cast(),
                Argument::I32(value) => std::ptr::from_ref(value).cast_mut().cast(),
                Argument::I64(value) => std::ptr::from_ref(value).cast_mut().cast(),
                Argument::F32(value) => std::ptr::from_ref(value).cast_mut().cast(),
                Argument::Map(value) => std::ptr::from_ref(value).cast_mut().cast(),
            })
            .collect();
        let [x, y, z] = grid;
        let none = std::ptr::null_mut();
        // SAFETY: a pointer for each argument.
        self.check(unsafe {
            let (stream, extra) = (std::ptr::null_mut(), none);
            let arguments = pointers.as_mut_ptr();
            (self.functions.cuLaunchKernel)(
                function, x, y, z, threads, 1, 1, shared, stream, arguments, extra,
            )
        })
    }

    /// Loads `text` and runs its kernel `name`.
    pub fn run(
        &self,
        text: &str,
        name: &str,
        grid: [u32; 3],
        threads: u32,
        shared: u32,
        arguments: &[Argument],
    ) -> Result<(), Failed> {
        let module = self.load(text)?;
        let function = self.function(module, name)?;
        if shared > 48 << 10 {
            // SAFETY: takes any values.
            self.check(unsafe {
                (self.functions.cuFuncSetAttribute)(function, 8, shared as c_int)
            })?;
        }
        let outcome = self.launch(function, grid, threads, shared, arguments);
        // SAFETY: the module is loaded.
        self.check(unsafe { (self.functions.cuModuleUnload)(module) })?;
        outcome
    }
}

/// A kernel named `test` of `parameters` with registers for tests, around `body`.
pub fn kernel(parameters: &str, body: &str) -> String {
    format!(
        ".version 8.0\n.target sm_80\n.address_size 64\n\
         .extern .shared .align 16 .b8 dynamic[];\n\
         .visible .entry test({parameters})\n{{\n\
         .reg .pred %p<16>;\n.reg .b16 %rs<16>;\n.reg .b32 %r<64>;\n.reg .b64 %rd<32>;\n\
         {body}\nret;\n}}\n"
    )
}

/// Numbers that look random, the same every time.
pub fn random_words(count: usize, seed: u64) -> Vec<u32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 24) as u32
        })
        .collect()
}

/// Floats in (-1, 1) that look random.
pub fn random_floats(count: usize, seed: u64) -> Vec<f32> {
    random_words(count, seed).iter().map(|word| *word as f32 / 2.0_f32.powi(31) - 1.0).collect()
}
