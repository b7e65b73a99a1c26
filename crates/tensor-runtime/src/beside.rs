//! The thread beside the stream, for operations that wait for other processes.
//!
//! The stream hands an operation over when it comes to it, so that its inputs are computed, and goes
//! on. Operations beside run one after the other. Where the stream needs an output of one, it waits.

use crate::execute::run;
use crate::stream::{Operation, Running, Shared, lock};
use crate::tensor::Tensor;
use cpu_kernels::ThreadPool;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};

/// What runs beside a stream.
#[derive(Default)]
pub(crate) struct Beside {
    state: Mutex<State>,
    changed: Condvar,
    pub(crate) running: Mutex<Running>,
}

#[derive(Default)]
struct State {
    operations: VecDeque<Box<Operation>>,
    /// Handed over and not yet done.
    under_way: usize,
    started: bool,
    closed: bool,
}

impl Beside {
    /// Waits until no operation is beside the stream.
    pub(crate) fn wait_until_idle(&self) {
        self.wait_while(|| true);
    }

    /// Waits until `tensor` is computed or failed, if an operation beside the stream does that.
    pub(crate) fn wait_for(&self, tensor: &Tensor) {
        if tensor.storage.is_pending() {
            self.wait_while(|| tensor.storage.is_pending());
        }
    }

    /// Waits for as long as something is beside the stream and `condition` holds.
    fn wait_while(&self, condition: impl Fn() -> bool) {
        let mut state = lock(&self.state);
        while state.under_way > 0 && condition() {
            state = self.changed.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
    }

    /// Ends the thread once it has done what it was given.
    pub(crate) fn close(&self) {
        lock(&self.state).closed = true;
        self.changed.notify_all();
    }
}

/// Has `operation` run beside the stream, after those handed over before.
pub(crate) fn hand_over(shared: &Arc<Shared>, operation: Box<Operation>) {
    let mut state = lock(&shared.beside.state);
    if !state.started {
        state.started = true;
        let shared = shared.clone();
        std::thread::Builder::new()
            .name("wan-beside".into())
            .spawn(move || work(&shared))
            .expect("the system starts a thread");
    }
    state.operations.push_back(operation);
    state.under_way += 1;
    drop(state);
    shared.beside.changed.notify_all();
}

fn work(shared: &Shared) {
    let beside = &shared.beside;
    // Kernels take a pool; waiting and copying need no further threads.
    let pool = Arc::new(ThreadPool::new(1));
    let mut state = lock(&beside.state);
    loop {
        if let Some(operation) = state.operations.pop_front() {
            drop(state);
            run(shared, *operation, &beside.running, &pool);
            state = lock(&beside.state);
            // Counted only now that the operation's tensors are let go of.
            state.under_way -= 1;
            beside.changed.notify_all();
        } else if state.closed {
            return;
        } else {
            state = beside.changed.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
    }
}
