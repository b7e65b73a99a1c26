//! The thread that computes.

use crate::cancellation::CancelToken;
use crate::error::{ErrorCode, RuntimeError};
use crate::memory::Block;
use crate::rehearsal::Rehearsal;
use crate::storage::{Storage, out_of_memory};
use crate::tensor::Tensor;
use cpu_kernels::{Cpu, DType, InstructionSet, Layout, TensorMut, TensorRef, ThreadPool};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Instant;

/// Runs operations one after the other, in the order of submission, on its own thread. Each
/// operation shares its work over the stream's thread pool.
pub struct Stream {
    shared: Arc<Shared>,
}

struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    settings: Mutex<Settings>,
    running: Mutex<Running>,
    trace: Mutex<Option<Vec<TraceEvent>>>,
    rehearsal: Mutex<Option<Rehearsal>>,
    started: Instant,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    /// Whether a job that was taken from the queue still runs.
    busy: bool,
    token: Option<CancelToken>,
    closed: bool,
}

struct Settings {
    pool: Arc<ThreadPool>,
    instruction_set: InstructionSet,
}

/// The token of the operation under way and the pool it runs on.
#[derive(Default)]
struct Running {
    token: Option<CancelToken>,
    pool: Option<Arc<ThreadPool>>,
}

/// An operation that ran, for a trace.
#[derive(Clone, Debug)]
pub struct TraceEvent {
    /// The operation.
    pub operation: &'static str,
    /// Microseconds from the stream's start to the operation's.
    pub start: f64,
    /// Microseconds it took.
    pub duration: f64,
    /// What went to other processes and came from them, for a collective.
    pub traffic: Option<Traffic>,
}

/// What a collective moved.
#[derive(Clone, Debug, PartialEq)]
pub struct Traffic {
    /// The group's name.
    pub group: String,
    /// Payload bytes to other members.
    pub bytes_sent: u64,
    /// Payload bytes from other members.
    pub bytes_received: u64,
}

enum Job {
    Operation(Box<Operation>),
    Callback(Box<dyn FnOnce() + Send>),
}

pub(crate) type Kernel = Box<
    dyn FnOnce(&Cpu<'_>, &[TensorRef<'_>], &[TensorMut<'_>]) -> Result<(), RuntimeError> + Send,
>;

struct Operation {
    name: &'static str,
    inputs: Vec<Tensor>,
    outputs: Vec<Pending>,
    kernel: Kernel,
    token: Option<CancelToken>,
    traced: bool,
}

pub(crate) struct Pending {
    pub(crate) storage: Arc<Storage>,
    pub(crate) dtype: DType,
    pub(crate) shape: Vec<usize>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Stream {
    /// A stream whose operations share `threads` threads and use at most `instruction_set`, of what
    /// the machine has.
    pub fn new(threads: usize, instruction_set: InstructionSet) -> Stream {
        let instruction_set = instruction_set.min(InstructionSet::detect());
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            wake: Condvar::new(),
            settings: Mutex::new(Settings {
                pool: Arc::new(ThreadPool::new(threads)),
                instruction_set,
            }),
            running: Mutex::default(),
            trace: Mutex::new(None),
            rehearsal: Mutex::new(None),
            started: Instant::now(),
        });
        let executor = shared.clone();
        std::thread::Builder::new()
            .name("wan-stream".into())
            .spawn(move || execute(&executor))
            .expect("the system starts a thread");
        Stream { shared }
    }

    /// How many threads share an operation.
    pub fn threads(&self) -> usize {
        lock(&self.shared.settings).pool.threads()
    }

    /// Operations that begin from now on share `threads` threads.
    pub fn set_threads(&self, threads: usize) {
        lock(&self.shared.settings).pool = Arc::new(ThreadPool::new(threads));
    }

    /// The widest instruction set in use.
    pub fn instruction_set(&self) -> InstructionSet {
        lock(&self.shared.settings).instruction_set
    }

    /// Operations that begin from now on use at most `instruction_set`, which the machine must
    /// have.
    pub fn set_instruction_set(&self, instruction_set: InstructionSet) -> Result<(), RuntimeError> {
        if instruction_set > InstructionSet::detect() {
            return Err(RuntimeError::argument(
                "setInstructionSet",
                "instructionSet",
                format!("at most {}, what this machine has", InstructionSet::detect().name()),
                instruction_set.name(),
            ));
        }
        lock(&self.shared.settings).instruction_set = instruction_set;
        Ok(())
    }

    /// Operations submitted from now on belong to `token`.
    pub fn set_cancel_token(&self, token: Option<CancelToken>) {
        lock(&self.shared.queue).token = token;
    }

    /// Skips what was submitted under `token` and has not run; cuts the running operation short.
    pub fn cancel(&self, token: &CancelToken) {
        let running = lock(&self.shared.running);
        token.set();
        if let (Some(current), Some(pool)) = (&running.token, &running.pool)
            && current.is(token)
        {
            pool.cancel();
        }
    }

    /// Hands an operation over and returns its outputs, which are computed later. `kernel` gets
    /// views of `inputs` and of the outputs in order; it fills every output.
    pub(crate) fn submit<const N: usize>(
        &self,
        name: &'static str,
        inputs: Vec<Tensor>,
        outputs: [(DType, Vec<usize>); N],
        kernel: impl FnOnce(&Cpu<'_>, &[TensorRef<'_>], &[TensorMut<'_>]) -> Result<(), RuntimeError>
        + Send
        + 'static,
    ) -> Result<[Tensor; N], RuntimeError> {
        let tensors = self.submit_all(name, inputs, outputs.into(), Box::new(kernel), true)?;
        Ok(tensors.try_into().unwrap_or_else(|_| unreachable!("one tensor for each output")))
    }

    /// [`Stream::submit`] of as many outputs as there are; an operation that isn't `traced` tells a
    /// trace of itself.
    pub(crate) fn submit_all(
        &self,
        name: &'static str,
        inputs: Vec<Tensor>,
        outputs: Vec<(DType, Vec<usize>)>,
        kernel: Kernel,
        traced: bool,
    ) -> Result<Vec<Tensor>, RuntimeError> {
        for (_, shape) in &outputs {
            crate::tensor::element_count(name, shape)?;
        }
        let pending = |(dtype, shape): (DType, Vec<usize>)| {
            let bytes = shape.iter().product::<usize>() * dtype.size();
            Pending { storage: Arc::new(Storage::pending(bytes)), dtype, shape }
        };
        let outputs: Vec<Pending> = outputs.into_iter().map(pending).collect();
        let tensor = |output: &Pending| Tensor {
            storage: output.storage.clone(),
            dtype: output.dtype,
            layout: Layout::contiguous(&output.shape),
        };
        let tensors = outputs.iter().map(tensor).collect();
        if let Some(rehearsal) = self.rehearsal().as_mut() {
            rehearsal.submit(name, inputs, outputs);
            return Ok(tensors);
        }
        let mut queue = lock(&self.shared.queue);
        let token = queue.token.clone();
        let operation = Operation { name, inputs, outputs, kernel, token, traced };
        queue.jobs.push_back(Job::Operation(Box::new(operation)));
        drop(queue);
        self.shared.wake.notify_one();
        Ok(tensors)
    }

    /// Calls `callback` on the stream's thread after everything submitted so far.
    pub fn after(&self, callback: impl FnOnce() + Send + 'static) {
        if let Some(rehearsal) = self.rehearsal().as_mut() {
            rehearsal.settle();
        }
        lock(&self.shared.queue).jobs.push_back(Job::Callback(Box::new(callback)));
        self.shared.wake.notify_one();
    }

    /// Calls `callback` once everything submitted so far has run: now, on this thread, where that is
    /// so already, else on the stream's. It must be short and leave the stream alone.
    pub fn once_reached(&self, callback: impl FnOnce() + Send + 'static) {
        let mut queue = lock(&self.shared.queue);
        if queue.jobs.is_empty() && !queue.busy {
            return callback();
        }
        queue.jobs.push_back(Job::Callback(Box::new(callback)));
        drop(queue);
        self.shared.wake.notify_one();
    }

    /// The pool that operations share, for measuring the machine itself.
    pub fn pool(&self) -> Arc<ThreadPool> {
        lock(&self.shared.settings).pool.clone()
    }

    /// Waits until everything submitted so far has run.
    pub fn synchronize(&self) {
        let done = Arc::new((Mutex::new(false), Condvar::new()));
        let signal = done.clone();
        self.after(move || {
            *lock(&signal.0) = true;
            signal.1.notify_one();
        });
        let mut finished = lock(&done.0);
        while !*finished {
            finished = done.1.wait(finished).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
    }

    /// The rehearsal under way.
    pub(crate) fn rehearsal(&self) -> MutexGuard<'_, Option<Rehearsal>> {
        lock(&self.shared.rehearsal)
    }

    /// Starts to record operations, or starts anew.
    pub fn start_trace(&self) {
        *lock(&self.shared.trace) = Some(Vec::new());
    }

    /// Ends the recording and returns what is left of it; empty where none was started.
    pub fn take_trace(&self) -> Vec<TraceEvent> {
        lock(&self.shared.trace).take().unwrap_or_default()
    }

    /// What was recorded since the last call; the recording goes on.
    pub fn drain_trace(&self) -> Vec<TraceEvent> {
        lock(&self.shared.trace).as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Microseconds from the stream's start until now, as traces count them.
    pub fn clock(&self) -> f64 {
        self.shared.started.elapsed().as_secs_f64() * 1e6
    }

    /// Records what an operation of another crate did from `start`, of [`Stream::clock`], until now.
    pub fn record(&self, operation: &'static str, start: f64, traffic: Traffic) {
        if let Some(events) = lock(&self.shared.trace).as_mut() {
            let duration = self.clock() - start;
            events.push(TraceEvent { operation, start, duration, traffic: Some(traffic) });
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        lock(&self.shared.queue).closed = true;
        self.shared.wake.notify_one();
    }
}

fn execute(shared: &Shared) {
    loop {
        let job = {
            let mut queue = lock(&shared.queue);
            queue.busy = false;
            loop {
                if let Some(job) = queue.jobs.pop_front() {
                    queue.busy = true;
                    break job;
                }
                if queue.closed {
                    return;
                }
                queue = shared.wake.wait(queue).unwrap_or_else(|poisoned| poisoned.into_inner());
            }
        };
        match job {
            Job::Operation(operation) => run(shared, *operation),
            // A callback that panics would take the stream with it.
            Job::Callback(callback) => drop(catch_unwind(AssertUnwindSafe(callback))),
        }
    }
}

fn run(shared: &Shared, operation: Operation) {
    let (pool, instruction_set) = {
        let settings = lock(&shared.settings);
        (settings.pool.clone(), settings.instruction_set)
    };
    {
        let mut running = lock(&shared.running);
        running.token = operation.token.clone();
        running.pool = Some(pool.clone());
    }
    let started = shared.started.elapsed();
    let Operation { name, inputs, outputs, kernel, token, traced } = operation;
    let outcome = compute(name, &inputs, &outputs, kernel, &token, &pool, instruction_set);
    {
        let mut running = lock(&shared.running);
        *running = Running::default();
        pool.resume();
    }
    // Inputs go first: what this operation was the last to need is free before anyone is told.
    drop(inputs);
    match outcome {
        Ok(blocks) => {
            for (output, block) in outputs.iter().zip(blocks) {
                output.storage.complete(block);
            }
        }
        Err(error) => outputs.iter().for_each(|output| output.storage.fail(error.clone())),
    }
    if traced && let Some(events) = lock(&shared.trace).as_mut() {
        events.push(TraceEvent {
            operation: name,
            start: started.as_secs_f64() * 1e6,
            duration: (shared.started.elapsed() - started).as_secs_f64() * 1e6,
            traffic: None,
        });
    }
}

fn compute(
    name: &'static str,
    inputs: &[Tensor],
    outputs: &[Pending],
    kernel: Kernel,
    token: &Option<CancelToken>,
    pool: &ThreadPool,
    instruction_set: InstructionSet,
) -> Result<Vec<Block>, RuntimeError> {
    let is_cancelled = || token.as_ref().is_some_and(CancelToken::is_cancelled);
    let cancelled = || RuntimeError::new(ErrorCode::Cancelled, name, "", "", "");
    if is_cancelled() {
        return Err(cancelled());
    }
    let mut views = Vec::with_capacity(inputs.len());
    for input in inputs {
        let base = input.storage.pointer()?;
        // SAFETY: a tensor's layout lies within its storage (every constructor and view checks it),
        // which is ready, held by `inputs`, and never written again.
        views.push(unsafe { TensorRef::new(base, input.dtype, input.layout.clone()) });
    }
    let mut blocks = Vec::with_capacity(outputs.len());
    let mut results = Vec::with_capacity(outputs.len());
    for output in outputs {
        let bytes = output.storage.bytes();
        let block = Block::allocate(bytes).ok_or_else(|| out_of_memory(name, bytes))?;
        // SAFETY: the block is new, of the shape's size, and only this operation has it.
        results.push(unsafe { TensorMut::new(block.pointer(), output.dtype, &output.shape) });
        blocks.push(block);
    }
    let cpu = Cpu { pool, instruction_set };
    match catch_unwind(AssertUnwindSafe(|| kernel(&cpu, &views, &results))) {
        Ok(outcome) => outcome?,
        Err(panic) => {
            let message = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("a panic without a message");
            return Err(RuntimeError::new(ErrorCode::Internal, name, "", "", message));
        }
    }
    if is_cancelled() {
        return Err(cancelled());
    }
    Ok(blocks)
}
