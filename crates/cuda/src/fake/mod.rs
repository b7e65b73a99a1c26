//! A driver for tests, whose device's memory is the host's and whose streams are as late as they
//! may be: queued work runs only when somebody waits for it. So a copy whose source is reused too
//! early, or a block that is freed too early, shows.

mod functions;

pub(crate) use functions::symbol;

use crate::driver::Driver;
use crate::error::CudaError;
use crate::lock;
use crate::sys::{ContextHandle, EventHandle, Status, StreamHandle};
use std::cell::Cell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

thread_local! {
    /// What the thread's calls go to: set by [`Fake::new`], and by `cuCtxSetCurrent`.
    static CURRENT: Cell<Option<&'static Fake>> = const { Cell::new(None) };
}

type Work = Box<dyn FnOnce(&Fake) + Send>;

/// A machine with devices.
pub(crate) struct Fake {
    /// The names of the functions that were called, in order.
    calls: Mutex<Vec<&'static str>>,
    /// What the next calls of a function answer instead of doing anything.
    failures: Mutex<HashMap<&'static str, VecDeque<Status>>>,
    /// Names that the driver doesn't export.
    missing: Mutex<Vec<&'static str>>,
    pub devices: AtomicI32,
    pub pools: AtomicBool,
    pub version: AtomicI32,
    /// Bytes of the device's memory.
    pub capacity: AtomicUsize,
    /// Bytes that a pool holds and nobody uses.
    pub idle: AtomicUsize,
    memory: Mutex<BTreeMap<u64, Block>>,
    streams: Mutex<Vec<Queue>>,
    events: Mutex<Vec<Option<(usize, usize)>>>,
    modules: Mutex<Vec<Vec<u8>>>,
    functions: Mutex<Vec<(String, String)>>,
    pub launches: Mutex<Vec<Launch>>,
    /// What a compiler says of the next image; refuses it.
    pub compiler_log: Mutex<Option<&'static str>>,
    /// Uses of memory that isn't there.
    faults: Mutex<Vec<String>>,
}

struct Block {
    bytes: Box<[u8]>,
    host: bool,
}

#[derive(Default)]
struct Queue {
    work: VecDeque<Work>,
    submitted: usize,
    done: usize,
}

/// A kernel as it was launched.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Launch {
    pub name: String,
    pub grid: [u32; 3],
    pub block: [u32; 3],
    pub shared_bytes: u32,
    pub arguments: Vec<String>,
}

impl Fake {
    /// A machine with one device of 64 MiB, the calling thread's. It stays: handles are its address.
    pub fn new() -> &'static Fake {
        let fake: &'static Fake = Box::leak(Box::new(Fake {
            calls: Mutex::default(),
            failures: Mutex::default(),
            missing: Mutex::default(),
            devices: AtomicI32::new(1),
            pools: AtomicBool::new(true),
            version: AtomicI32::new(12080),
            capacity: AtomicUsize::new(64 << 20),
            idle: AtomicUsize::new(0),
            memory: Mutex::default(),
            streams: Mutex::default(),
            events: Mutex::default(),
            modules: Mutex::default(),
            functions: Mutex::default(),
            launches: Mutex::default(),
            compiler_log: Mutex::default(),
            faults: Mutex::default(),
        }));
        CURRENT.set(Some(fake));
        fake
    }

    pub fn current() -> &'static Fake {
        CURRENT.get().expect("the thread made a fake, or was given its context")
    }

    fn context(&'static self) -> ContextHandle {
        ContextHandle(std::ptr::from_ref(self).cast_mut().cast())
    }

    fn set_current(context: ContextHandle) {
        // SAFETY: made by `context`, of a machine that stays.
        CURRENT.set(unsafe { context.0.cast::<Fake>().as_ref() });
    }

    pub fn driver(&'static self) -> Result<Arc<Driver>, CudaError> {
        let missing = lock(&self.missing).clone();
        let symbols = |name: &std::ffi::CStr| {
            let hidden = missing.iter().any(|hidden| hidden.as_bytes() == name.to_bytes());
            if hidden { None } else { symbol(name) }
        };
        // SAFETY: the functions below have the header's signatures.
        unsafe { Driver::with_symbols(&symbols) }
    }

    pub fn device(&'static self) -> Arc<crate::Device> {
        crate::Device::open(&self.driver().unwrap(), 0).unwrap()
    }

    /// Leaves a function out of the driver.
    pub fn lacks(&self, function: &'static str) {
        lock(&self.missing).push(function);
    }

    /// Has the next call of `function` that isn't failing yet answer `status`.
    pub fn fail(&self, function: &'static str, status: Status) {
        lock(&self.failures).entry(function).or_default().push_back(status);
    }

    /// Notes a call; gives what it is to answer where it is to fail.
    pub fn enter(&self, function: &'static str) -> Option<Status> {
        lock(&self.calls).push(function);
        lock(&self.failures).get_mut(function)?.pop_front()
    }

    /// The calls since this was last asked, without those that say which context is current.
    pub fn take_calls(&self) -> Vec<&'static str> {
        let mut calls = std::mem::take(&mut *lock(&self.calls));
        calls.retain(|name| *name != "cuCtxSetCurrent");
        calls
    }

    pub fn count(&self, function: &str) -> usize {
        lock(&self.calls).iter().filter(|name| **name == function).count()
    }

    /// Fails where memory was used that wasn't there, or where blocks of memory are left.
    pub fn assert_clean(&self) {
        assert_eq!(*lock(&self.faults), Vec::<String>::new());
        assert_eq!(lock(&self.memory).len(), 0, "blocks are left");
    }

    pub fn allocate(&self, bytes: usize, host: bool) -> Option<u64> {
        let mut memory = lock(&self.memory);
        let used: usize = memory.values().filter(|block| !block.host).map(|b| b.bytes.len()).sum();
        let idle = self.idle.load(Ordering::Relaxed);
        if !host && used + idle + bytes > self.capacity.load(Ordering::Relaxed) {
            return None;
        }
        // Whoever reads what was never written sees it.
        let block = vec![0xa5; bytes].into_boxed_slice();
        let address = block.as_ptr() as u64;
        memory.insert(address, Block { bytes: block, host });
        Some(address)
    }

    pub fn free(&self, address: u64) {
        if lock(&self.memory).remove(&address).is_none() {
            lock(&self.faults).push("freed what isn't there".into());
        }
    }

    fn used(&self) -> usize {
        let memory = lock(&self.memory);
        let used: usize = memory.values().filter(|block| !block.host).map(|b| b.bytes.len()).sum();
        used + self.idle.load(Ordering::Relaxed)
    }

    /// The memory at an address, if all of it is there.
    pub fn at(&self, address: u64, bytes: usize) -> Option<*mut u8> {
        let memory = lock(&self.memory);
        let inside = memory.range(..=address).next_back().is_some_and(|(start, block)| {
            address - start + bytes as u64 <= block.bytes.len() as u64
        });
        if !inside {
            lock(&self.faults).push(format!("{bytes} bytes that aren't there"));
        }
        inside.then_some(address as *mut u8)
    }

    fn new_stream(&self) -> StreamHandle {
        let mut streams = lock(&self.streams);
        streams.push(Queue::default());
        StreamHandle(std::ptr::without_provenance_mut(streams.len()))
    }

    pub fn enqueue(&self, stream: StreamHandle, work: impl FnOnce(&Fake) + Send + 'static) {
        let queue = &mut lock(&self.streams)[stream.0.addr() - 1];
        queue.submitted += 1;
        queue.work.push_back(Box::new(work));
    }

    fn position(&self, stream: StreamHandle) -> (usize, usize) {
        let index = stream.0.addr() - 1;
        (index, lock(&self.streams)[index].submitted)
    }

    fn is_done(&self, stream: StreamHandle) -> bool {
        let queue = &lock(&self.streams)[stream.0.addr() - 1];
        queue.done == queue.submitted
    }

    /// Runs what a stream has queued up to a position.
    fn run(&self, (index, position): (usize, usize)) {
        loop {
            let work = {
                let queue = &mut lock(&self.streams)[index];
                if queue.done >= position {
                    return;
                }
                queue.done += 1;
                queue.work.pop_front()
            };
            work.expect("as many as were submitted")(self);
        }
    }

    fn new_event(&self) -> EventHandle {
        let mut events = lock(&self.events);
        events.push(None);
        EventHandle(std::ptr::without_provenance_mut(events.len()))
    }

    fn event(&self, event: EventHandle) -> Option<(usize, usize)> {
        lock(&self.events)[event.0.addr() - 1]
    }
}
