//! Launches.

use std::ffi::{c_int, c_uint, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::execute::{FaultKind, Program, Shape, launch};

use super::device::{
    MOST_BLOCKS_ALONG, MOST_THREADS, MOST_THREADS_ALONG, SHARED_MEMORY, SHARED_MEMORY_MOST,
};
use super::functions::{functions, put};
use super::state::{Emulator, lock};
use super::status::{Answer, Failure, Status};

/// A kernel that was asked for by name.
pub struct Function {
    program: Arc<Program>,
    device: usize,
    /// Handle of its module.
    pub module: usize,
    most_dynamic_shared: AtomicUsize,
}

impl Function {
    /// A kernel of a module that is loaded on a device.
    pub fn new(program: Arc<Program>, device: usize, module: usize) -> Function {
        let most_dynamic_shared =
            AtomicUsize::new(SHARED_MEMORY.saturating_sub(program.shared_bytes(0)));
        Function { program, device, module, most_dynamic_shared }
    }
}

fn refused(message: String) -> Failure {
    Failure::new(Status::INVALID_VALUE, message)
}

fn check_shape(function: &Function, shape: &Shape) -> Answer {
    let program = &function.program;
    for axis in 0..3 {
        let (blocks, most) = (shape.grid[axis], MOST_BLOCKS_ALONG[axis]);
        if blocks == 0 || blocks > most {
            return Err(refused(format!("a grid of {:?} blocks", shape.grid)));
        }
        let (threads, most) = (shape.threads[axis], MOST_THREADS_ALONG[axis]);
        if threads == 0 || threads > most {
            return Err(refused(format!("blocks of {:?} threads", shape.threads)));
        }
    }
    if shape.thread_count() > MOST_THREADS {
        return Err(refused(format!("blocks of {:?} threads", shape.threads)));
    }
    if program.required_threads.is_some_and(|threads| threads != shape.threads) {
        let required = program.required_threads.unwrap_or_default();
        let message = format!(
            "blocks of {:?} threads; {} is compiled for {required:?}",
            shape.threads, program.name
        );
        return Err(refused(message));
    }
    if let Some(most) = program.maximum_threads
        && shape.thread_count() > most.iter().product()
    {
        let message =
            format!("blocks of {:?} threads; {} takes {most:?}", shape.threads, program.name);
        return Err(refused(message));
    }
    let most = function.most_dynamic_shared.load(Ordering::Relaxed);
    if shape.dynamic_shared as usize > most {
        let message = format!(
            "{} bytes of shared memory asked for, {most} allowed; more need \
             CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES",
            shape.dynamic_shared
        );
        return Err(refused(message));
    }
    Ok(())
}

/// Copies arguments together.
///
/// # Safety
/// `arguments` points to a pointer for each parameter, to as many bytes as the parameter has.
unsafe fn gather(program: &Program, arguments: *mut *mut c_void) -> Result<Vec<u8>, Failure> {
    let mut bytes = vec![0; program.parameter_bytes()];
    if program.parameters.is_empty() {
        return Ok(bytes);
    }
    if arguments.is_null() {
        return Err(refused(format!("{} has arguments and none were given", program.name)));
    }
    for (place, parameter) in program.parameters.iter().enumerate() {
        // SAFETY: the caller vouches for a pointer for each parameter.
        let argument = unsafe { *arguments.add(place) };
        if argument.is_null() {
            return Err(refused(format!("the pointer to argument {place} is null")));
        }
        let target = &mut bytes[parameter.offset..parameter.offset + parameter.bytes];
        // SAFETY: the caller vouches for as many bytes as the parameter has.
        unsafe {
            let source = argument.cast::<u8>().cast_const();
            std::ptr::copy_nonoverlapping(source, target.as_mut_ptr(), parameter.bytes);
        }
    }
    Ok(bytes)
}

/// `CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES`.
const MAX_DYNAMIC_SHARED: c_int = 8;

functions! {
    /// Sets a property of a kernel.
    fn cuFuncSetAttribute(function: *mut c_void, attribute: c_int, value: c_int) {
        let function = Emulator::get()?.functions.get(function)?;
        match attribute {
            MAX_DYNAMIC_SHARED => {
                let most = SHARED_MEMORY_MOST.saturating_sub(function.program.shared_bytes(0));
                let bytes = usize::try_from(value).ok().filter(|bytes| *bytes <= most);
                let bytes = bytes.ok_or_else(|| {
                    refused(format!("{value} bytes of shared memory, at most {most} possible"))
                })?;
                function.most_dynamic_shared.store(bytes, Ordering::Relaxed);
                Ok(())
            }
            // How the caches' memory is shared out, which there is none of.
            9 => Ok(()),
            _ => Err(refused(format!("function attribute {attribute} can't be set"))),
        }
    }

    /// A property of a kernel.
    fn cuFuncGetAttribute(value: *mut c_int, attribute: c_int, function: *mut c_void) {
        let function = Emulator::get()?.functions.get(function)?;
        let threads = function.program.required_threads.or(function.program.maximum_threads);
        let found = match attribute {
            0 => threads.map_or(MOST_THREADS, |threads| threads.iter().product()) as c_int,
            1 => function.program.shared_bytes(0) as c_int,
            3 => function.program.local_bytes as c_int,
            4 => function.program.words as c_int,
            MAX_DYNAMIC_SHARED => function.most_dynamic_shared.load(Ordering::Relaxed) as c_int,
            _ => return Err(refused(format!("function attribute {attribute}"))),
        };
        // SAFETY: the caller's pointer.
        unsafe { put(value, found) }
    }

    /// Runs a kernel.
    fn cuLaunchKernel(
        function: *mut c_void,
        grid_x: c_uint,
        grid_y: c_uint,
        grid_z: c_uint,
        threads_x: c_uint,
        threads_y: c_uint,
        threads_z: c_uint,
        shared_bytes: c_uint,
        stream: *mut c_void,
        arguments: *mut *mut c_void,
        extra: *mut *mut c_void,
    ) {
        let emulator = Emulator::get()?;
        let (current, device) = emulator.current()?;
        let function = emulator.functions.get(function)?;
        let stream = emulator.stream(stream)?;
        if function.device != current || stream.device != current {
            let message = format!(
                "the kernel is loaded on device {}, the stream is of device {}, current is {current}",
                function.device, stream.device
            );
            return Err(Failure::new(Status::INVALID_CONTEXT, message));
        }
        if !extra.is_null() {
            let message = "arguments by `extra` aren't supported";
            return Err(Failure::new(Status::NOT_SUPPORTED, message));
        }
        let shape = Shape {
            grid: [grid_x, grid_y, grid_z],
            threads: [threads_x, threads_y, threads_z],
            dynamic_shared: shared_bytes,
        };
        check_shape(&function, &shape)?;
        // SAFETY: the caller's arguments.
        let parameters = unsafe { gather(&function.program, arguments) }?;
        let _order = lock(&stream.order);
        lock(&device.memory).begin_use();
        let outcome = launch(&function.program, &device.memory, &shape, &parameters);
        lock(&device.memory).end_use();
        outcome.map_err(|fault| {
            let status = match fault.kind {
                FaultKind::IllegalAddress => Status::ILLEGAL_ADDRESS,
                FaultKind::MisalignedAddress => Status::MISALIGNED_ADDRESS,
                FaultKind::LaunchFailed => Status::LAUNCH_FAILED,
                FaultKind::Timeout => Status::LAUNCH_TIMEOUT,
            };
            Failure::new(status, fault.to_string())
        })
    }
}
