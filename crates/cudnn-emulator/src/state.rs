//! Handles and descriptors that are alive.

use crate::descriptor::{Descriptor, Finalized};
use crate::status::{Failure, Status};
use driver_in_use::Stream;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// All that programs hold of this library. Handles and descriptors are numbers, so that one that was
/// destroyed is known as such.
pub struct State {
    next: usize,
    pub descriptors: BTreeMap<usize, Descriptor>,
    pub handles: BTreeMap<usize, Option<Stream>>,
}

static STATE: Mutex<State> =
    Mutex::new(State { next: 0, descriptors: BTreeMap::new(), handles: BTreeMap::new() });

/// The one state, for one function at a time.
pub fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many handles and descriptors were created and not destroyed.
pub fn live() -> (usize, usize) {
    let state = state();
    (state.handles.len(), state.descriptors.len())
}

impl State {
    /// A number that nothing had before; none looks like an address.
    pub fn name(&mut self) -> usize {
        self.next += 1;
        0xcd00_0000_0000_0000 | self.next << 4
    }

    pub fn descriptor(&mut self, name: usize) -> Result<&mut Descriptor, Failure> {
        self.descriptors.get_mut(&name).ok_or_else(|| {
            Failure::new(
                Status::NULL_POINTER,
                format!("{name:#x} is no descriptor, or was destroyed"),
            )
        })
    }

    pub fn finalized(&mut self, name: usize) -> Result<Arc<Finalized>, Failure> {
        self.descriptor(name)?.finalized().cloned()
    }

    pub fn handle(&mut self, name: usize) -> Result<&mut Option<Stream>, Failure> {
        self.handles.get_mut(&name).ok_or_else(|| {
            Failure::new(Status::BAD_PARAM, format!("{name:#x} is no handle, or was destroyed"))
        })
    }
}
