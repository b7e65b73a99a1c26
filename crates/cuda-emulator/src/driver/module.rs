//! Modules: PTX, decoded for this device.

use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::Arc;

use crate::execute::{Program, decode};
use crate::ptx::{PtxError, Space, Variable, parse};

use super::functions::{functions, put};
use super::launch::Function;
use super::memory::free;
use super::state::{Emulator, lock};
use super::status::{Failure, Status};

/// A loaded module.
pub struct Module {
    device: usize,
    programs: HashMap<String, Arc<Program>>,
    /// Addresses of its variables in device memory.
    variables: Vec<u64>,
}

impl Drop for Module {
    fn drop(&mut self) {
        for address in &self.variables {
            // It was allocated when the module was loaded and is freed here alone.
            let _ = free(*address);
        }
    }
}

/// Why a module isn't loaded, before its memory.
enum Refusal {
    Ptx(PtxError),
    Failure(Failure),
}

impl From<PtxError> for Refusal {
    fn from(error: PtxError) -> Refusal {
        Refusal::Ptx(error)
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Refusal {
        Refusal::Failure(failure)
    }
}

/// Puts a module's variables into device memory; gives their addresses by name.
fn place_variables(
    emulator: &Emulator,
    module: &mut Module,
    variables: &mut dyn Iterator<Item = &Variable>,
) -> Result<HashMap<String, u64>, Failure> {
    let mut globals = HashMap::new();
    for variable in variables {
        if !matches!(variable.space, Space::Global | Space::Constant) || variable.bytes == 0 {
            continue;
        }
        let memory = &emulator.devices[module.device].memory;
        let address = lock(memory).allocate(variable.bytes).map_err(|refused| {
            let message =
                format!("{} of {} bytes, {} free", variable.name, refused.asked, refused.free);
            Failure::new(Status::OUT_OF_MEMORY, message)
        })?;
        module.variables.push(address);
        let rest = variable.bytes - variable.values.len();
        // SAFETY: `variable.bytes` bytes were just allocated there.
        unsafe {
            let target = address as *mut u8;
            std::ptr::copy_nonoverlapping(variable.values.as_ptr(), target, variable.values.len());
            target.add(variable.values.len()).write_bytes(0, rest);
        }
        globals.insert(variable.name.clone(), address);
    }
    Ok(globals)
}

fn load(emulator: &Emulator, device: usize, text: &str) -> Result<Module, Refusal> {
    let parsed = parse(text)?;
    let mut module = Module { device, programs: HashMap::new(), variables: Vec::new() };
    let own = parsed.kernels.iter().flat_map(|kernel| &kernel.variables);
    let globals = place_variables(emulator, &mut module, &mut parsed.variables.iter().chain(own))?;
    let lines: Vec<&str> = text.lines().collect();
    for kernel in &parsed.kernels {
        let mut program = decode(kernel, &parsed.variables, &globals, emulator.set)?;
        for instruction in &kernel.instructions {
            let line = lines.get(instruction.line as usize - 1).copied().unwrap_or("");
            let line = line.split("//").next().unwrap_or("").trim();
            let after = parsed.places.partition_point(|place| place.ptx_line <= instruction.line);
            let source = match after.checked_sub(1).map(|last| parsed.places[last]) {
                Some(place) if place.line != 0 => {
                    let file = parsed.files.get(&place.file).copied().unwrap_or("?");
                    format!(", from {file}:{}", place.line)
                }
                _ => String::new(),
            };
            program.text.push((instruction.line, format!("{line}{source}")));
        }
        program.text.dedup_by_key(|(line, _)| *line);
        module.programs.insert(program.name.clone(), Arc::new(program));
    }
    Ok(module)
}

/// `CU_JIT_ERROR_LOG_BUFFER` and its size in bytes, of `CUjit_option`.
const ERROR_LOG: c_int = 5;
const ERROR_LOG_BYTES: c_int = 6;

/// Writes `message` to the buffer that the options name, if they do.
///
/// # Safety
/// Both arrays have `count` elements, and the values are what the options say.
unsafe fn log(count: usize, options: *const c_int, values: *const *mut c_void, message: &str) {
    if count == 0 || options.is_null() || values.is_null() {
        return;
    }
    // SAFETY: the caller vouches for both.
    let (options, values) = unsafe {
        (std::slice::from_raw_parts(options, count), std::slice::from_raw_parts(values, count))
    };
    let value = |option| options.iter().position(|found| *found == option).map(|at| values[at]);
    if let (Some(buffer), Some(bytes)) = (value(ERROR_LOG), value(ERROR_LOG_BYTES))
        && !buffer.is_null()
        && bytes as usize > 0
    {
        let kept = message.len().min(bytes as usize - 1);
        // SAFETY: the caller's buffer has that many bytes.
        unsafe {
            std::ptr::copy_nonoverlapping(message.as_ptr(), buffer.cast(), kept);
            buffer.cast::<u8>().add(kept).write(0);
        }
    }
}

functions! {
    /// Loads PTX into the current context.
    fn cuModuleLoadDataEx(
        target: *mut *mut c_void,
        image: *const c_void,
        count: c_uint,
        options: *mut c_int,
        values: *mut *mut c_void,
    ) {
        let emulator = Emulator::get()?;
        let (device, _) = emulator.current()?;
        if image.is_null() {
            return Err(Failure::new(Status::INVALID_VALUE, "the image is null"));
        }
        // SAFETY: an image is longer than 4 bytes.
        let magic = unsafe { image.cast::<[u8; 4]>().read_unaligned() };
        if magic == *b"\x7fELF" || magic == 0xba55_ed50_u32.to_le_bytes() {
            let message = "an image compiled for a GPU; this device runs PTX";
            return Err(Failure::new(Status::NO_BINARY_FOR_GPU, message));
        }
        // SAFETY: what isn't compiled is PTX, which ends with a NUL.
        let text = unsafe { CStr::from_ptr(image.cast::<c_char>()) }
            .to_str()
            .map_err(|error| Failure::new(Status::INVALID_IMAGE, error.to_string()))?;
        let module = load(emulator, device, text).map_err(|refusal| match refusal {
            Refusal::Failure(failure) => failure,
            Refusal::Ptx(error) => {
                let line = text.lines().nth(error.line as usize - 1).unwrap_or("").trim();
                let message = format!("{error} ({line})");
                // SAFETY: the caller's arrays.
                unsafe { log(count as usize, options, values, &message) };
                Failure::new(Status::INVALID_PTX, message)
            }
        })?;
        // SAFETY: the caller's pointer.
        unsafe { put(target, emulator.modules.insert(module)) }
    }

    /// A kernel of a module.
    fn cuModuleGetFunction(target: *mut *mut c_void, module: *mut c_void, name: *const c_char) {
        let emulator = Emulator::get()?;
        let found = emulator.modules.get(module)?;
        if name.is_null() {
            return Err(Failure::new(Status::INVALID_VALUE, "the name is null"));
        }
        // SAFETY: the caller's string.
        let name = unsafe { CStr::from_ptr(name) }.to_string_lossy();
        let program = found.programs.get(&*name).ok_or_else(|| {
            let mut kernels: Vec<&str> = found.programs.keys().map(String::as_str).collect();
            kernels.sort_unstable();
            let message = format!("no kernel {name}; there are {}", kernels.join(", "));
            Failure::new(Status::NOT_FOUND, message)
        })?;
        let function = Function::new(program.clone(), found.device, module as usize);
        // SAFETY: the caller's pointer.
        unsafe { put(target, emulator.functions.insert(function)) }
    }

    /// Unloads a module; its functions' handles end with it.
    fn cuModuleUnload(module: *mut c_void) {
        let emulator = Emulator::get()?;
        emulator.modules.remove(module)?;
        emulator.functions.retain(|function| function.module != module as usize);
        Ok(())
    }
}
