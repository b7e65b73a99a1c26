//! Memory for packed panels and running sums, lent for one product.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::NonNull;
use std::sync::Mutex;

/// A cache line, so that a panel's rows of sixteen lanes never straddle two.
const ALIGNMENT: usize = 64;

/// Uninitialised memory.
pub(crate) struct Scratch<T> {
    data: NonNull<T>,
    layout: Layout,
}

// SAFETY: a scratch owns its memory.
unsafe impl<T: Send> Send for Scratch<T> {}
// SAFETY: it hands out raw pointers only; who writes through them keeps threads apart.
unsafe impl<T: Sync> Sync for Scratch<T> {}

impl<T> Scratch<T> {
    /// Room for `count` values.
    pub(crate) fn new(count: usize) -> Scratch<T> {
        let layout = Layout::array::<T>(count.max(1))
            .and_then(|layout| layout.align_to(ALIGNMENT))
            .expect("the operands of a product fit the address space");
        // SAFETY: the layout isn't empty.
        let data = NonNull::new(unsafe { alloc(layout) }.cast());
        Scratch { data: data.unwrap_or_else(|| handle_alloc_error(layout)), layout }
    }

    /// The first value.
    pub(crate) fn as_ptr(&self) -> *mut T {
        self.data.as_ptr()
    }
}

impl<T> Drop for Scratch<T> {
    fn drop(&mut self) {
        // SAFETY: `new` allocated it with this layout.
        unsafe { dealloc(self.data.as_ptr().cast(), self.layout) }
    }
}

/// Things that one task after the other borrows; there come to be as many as tasks run at a time.
pub(crate) struct Lending<T> {
    idle: Mutex<Vec<T>>,
}

impl<T> Lending<T> {
    /// Nothing made yet.
    pub(crate) fn new() -> Lending<T> {
        Lending { idle: Mutex::new(Vec::new()) }
    }

    /// Runs `task` with an idle thing, or with a new one.
    pub(crate) fn with<R>(&self, make: impl FnOnce() -> T, task: impl FnOnce(&T) -> R) -> R {
        let idle = || self.idle.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let thing = idle().pop().unwrap_or_else(make);
        let result = task(&thing);
        idle().push(thing);
        result
    }
}
