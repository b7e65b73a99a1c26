//! What the driver knows: devices, and handles of what was made.

use std::cell::Cell;
use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::execute::InstructionSet;
use crate::memory::Allocations;

use super::device::CAPABILITY;
use super::launch::Function;
use super::module::Module;
use super::pool::Pool;
use super::status::{Failure, Status};
use super::stream::{Event, Stream};

/// Locks; what a panicking thread left is as good as it was between two calls.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Things by their handles.
pub struct Registry<T> {
    things: Mutex<HashMap<usize, Arc<T>>>,
    next: AtomicUsize,
    kind: &'static str,
}

impl<T> Registry<T> {
    /// An empty one. Handles begin at `first`, so that those of different kinds differ.
    fn new(kind: &'static str, first: usize) -> Registry<T> {
        Registry { things: Mutex::default(), next: AtomicUsize::new(first), kind }
    }

    /// Adds a thing; gives its handle.
    pub fn insert(&self, thing: T) -> *mut c_void {
        let handle = self.next.fetch_add(16, Ordering::Relaxed);
        lock(&self.things).insert(handle, Arc::new(thing));
        handle as *mut c_void
    }

    fn unknown(&self, handle: *mut c_void) -> Failure {
        let message = format!("{handle:p} is the handle of no {}", self.kind);
        Failure::new(Status::INVALID_HANDLE, message)
    }

    /// The thing of a handle.
    pub fn get(&self, handle: *mut c_void) -> Result<Arc<T>, Failure> {
        let found = lock(&self.things).get(&(handle as usize)).cloned();
        found.ok_or_else(|| self.unknown(handle))
    }

    /// Takes the thing of a handle out.
    pub fn remove(&self, handle: *mut c_void) -> Result<Arc<T>, Failure> {
        let found = lock(&self.things).remove(&(handle as usize));
        found.ok_or_else(|| self.unknown(handle))
    }

    /// Takes out what `keep` refuses.
    pub fn retain(&self, keep: impl Fn(&T) -> bool) {
        lock(&self.things).retain(|_, thing| keep(thing));
    }
}

/// A device.
pub struct Device {
    /// Its memory.
    pub memory: Mutex<Allocations>,
    /// How many times its primary context is retained.
    pub retained: AtomicU32,
    /// The stream that a null handle names.
    pub default_stream: Arc<Stream>,
}

/// The driver's state.
pub struct Emulator {
    /// Devices by number.
    pub devices: Vec<Device>,
    /// The devices' compute capability.
    pub capability: (u32, u32),
    /// What kernels' loops are compiled for.
    pub set: InstructionSet,
    /// Streams made.
    pub streams: Registry<Stream>,
    /// Events made.
    pub events: Registry<Event>,
    /// Pools made.
    pub pools: Registry<Pool>,
    /// Modules loaded.
    pub modules: Registry<Module>,
    /// Functions asked for.
    pub functions: Registry<Function>,
    /// Pinned host memory: bytes by address.
    pub pinned: Mutex<HashMap<usize, usize>>,
}

/// Bytes of a device's memory where `WAN_EMULATOR_MEMORY` doesn't say.
const MEMORY: usize = 8 << 30;

static EMULATOR: OnceLock<Emulator> = OnceLock::new();

thread_local! {
    /// The device whose context is current on this thread.
    static CURRENT: Cell<Option<usize>> = const { Cell::new(None) };
}

fn setting(name: &str, otherwise: usize) -> Result<usize, Failure> {
    let Some(value) = std::env::var_os(name) else { return Ok(otherwise) };
    value.to_str().and_then(|value| value.parse().ok()).ok_or_else(|| {
        let message = format!("{name} is {value:?}, expected a whole number");
        Failure::new(Status::INVALID_VALUE, message)
    })
}

/// The compute capability that `WAN_EMULATOR_CAPABILITY` says.
fn capability() -> Result<(u32, u32), Failure> {
    let name = "WAN_EMULATOR_CAPABILITY";
    let Some(value) = std::env::var_os(name) else { return Ok(CAPABILITY) };
    let parts = value.to_str().and_then(|value| value.split_once('.'));
    let numbers = parts.and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    numbers.ok_or_else(|| {
        let message = format!("{name} is {value:?}, expected one such as 9.0");
        Failure::new(Status::INVALID_VALUE, message)
    })
}

impl Emulator {
    fn new(devices: usize, memory: usize, capability: (u32, u32)) -> Emulator {
        let device = |number| Device {
            memory: Mutex::new(Allocations::new(memory)),
            retained: AtomicU32::new(0),
            default_stream: Arc::new(Stream::new(number)),
        };
        Emulator {
            devices: (0..devices).map(device).collect(),
            capability,
            set: InstructionSet::detect(),
            streams: Registry::new("stream", 0x1000_0001),
            events: Registry::new("event", 0x2000_0002),
            pools: Registry::new("memory pool", 0x3000_0003),
            modules: Registry::new("module", 0x4000_0004),
            functions: Registry::new("function", 0x5000_0005),
            pinned: Mutex::default(),
        }
    }

    /// Makes the process's state, as the environment says, unless it is made.
    pub fn initialize() -> Result<(), Failure> {
        let devices = setting("WAN_EMULATOR_DEVICES", 1)?;
        let memory = setting("WAN_EMULATOR_MEMORY", MEMORY)?;
        if devices == 0 {
            return Err(Failure::new(Status::NO_DEVICE, "WAN_EMULATOR_DEVICES is 0"));
        }
        let capability = capability()?;
        EMULATOR.get_or_init(|| Emulator::new(devices, memory, capability));
        Ok(())
    }

    /// The process's state.
    pub fn get() -> Result<&'static Emulator, Failure> {
        let message = "cuInit wasn't called";
        EMULATOR.get().ok_or_else(|| Failure::new(Status::NOT_INITIALIZED, message))
    }

    /// A device by its number.
    pub fn device(&self, number: i32) -> Result<&Device, Failure> {
        let device = usize::try_from(number).ok().and_then(|number| self.devices.get(number));
        device.ok_or_else(|| {
            let count = self.devices.len();
            let message = format!("no device {number}; there are {count}");
            Failure::new(Status::INVALID_DEVICE, message)
        })
    }

    /// The device whose context is current on this thread, with its number.
    pub fn current(&self) -> Result<(usize, &Device), Failure> {
        let number = CURRENT.get().ok_or_else(|| {
            let message = "no context is current on this thread (cuCtxSetCurrent)";
            Failure::new(Status::INVALID_CONTEXT, message)
        })?;
        let device = &self.devices[number];
        if device.retained.load(Ordering::Acquire) == 0 {
            let message = format!("the context of device {number} isn't retained any more");
            return Err(Failure::new(Status::INVALID_CONTEXT, message));
        }
        Ok((number, device))
    }

    /// Makes a device's context current on this thread; none for no device.
    pub fn set_current(&self, device: Option<usize>) {
        CURRENT.set(device);
    }

    /// The stream of a handle; that of the current device where it is null.
    pub fn stream(&self, handle: *mut c_void) -> Result<Arc<Stream>, Failure> {
        // 1 and 2 name the default streams of a process and of a thread.
        if (handle as usize) <= 2 {
            return Ok(self.current()?.1.default_stream.clone());
        }
        self.streams.get(handle)
    }

    /// The device that an address lies in, with all bytes behind it.
    pub fn holder(&self, address: u64, bytes: usize) -> Result<&Device, Failure> {
        let holds = |device: &&Device| lock(&device.memory).holds(address, bytes as u64);
        self.devices.iter().find(holds).ok_or_else(|| {
            let near = self.devices.first().map(|device| lock(&device.memory).describe(address));
            let message = format!(
                "{bytes} bytes at {address:#x} aren't device memory: {}",
                near.unwrap_or_default()
            );
            Failure::new(Status::INVALID_VALUE, message)
        })
    }
}
