//! The stream's thread, and how an operation is run.

use crate::beside;
use crate::cancellation::CancelToken;
use crate::error::{ErrorCode, RuntimeError};
use crate::memory::{Block, OutputMemory};
use crate::storage::out_of_memory;
use crate::stream::{Awaited, Job, Kernel, Lane, Operation, Pending, Running, Shared, lock};
use crate::tensor::Tensor;
use crate::trace::TraceEvent;
use cpu_kernels::{Cpu, TensorMut, TensorRef, ThreadPool};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

/// The stream's thread: takes jobs in order until the stream is gone.
pub(crate) fn execute(shared: &Arc<Shared>) {
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
                    shared.beside.close();
                    return;
                }
                queue = shared.wake.wait(queue).unwrap_or_else(|poisoned| poisoned.into_inner());
            }
        };
        match job {
            Job::Operation(operation) => match operation.lane {
                Lane::Beside => beside::hand_over(shared, operation),
                lane => {
                    if lane == Lane::InTurn {
                        shared.beside.wait_until_idle();
                    }
                    operation.inputs.iter().for_each(|input| shared.beside.wait_for(input));
                    run(shared, *operation, &shared.running, &pool(shared));
                }
            },
            Job::Callback(awaited, callback) => {
                match awaited {
                    Awaited::Stream => {}
                    Awaited::Tensor(tensor) => shared.beside.wait_for(&tensor),
                    Awaited::All => shared.beside.wait_until_idle(),
                }
                // A callback that panics would take the stream with it.
                drop(catch_unwind(AssertUnwindSafe(callback)));
            }
        }
    }
}

fn pool(shared: &Shared) -> Arc<ThreadPool> {
    lock(&shared.settings).pool.clone()
}

/// Runs an operation on this thread and on `pool`; `running` tells others of it meanwhile.
pub(crate) fn run(
    shared: &Shared,
    operation: Operation,
    running: &Mutex<Running>,
    pool: &Arc<ThreadPool>,
) {
    {
        let mut running = lock(running);
        running.token = operation.token.clone();
        running.pool = Some(pool.clone());
    }
    let started = shared.started.elapsed();
    let Operation { name, inputs, outputs, kernel, token, memory, traced, .. } = operation;
    let instruction_set = lock(&shared.settings).instruction_set;
    let cpu = Cpu { pool, instruction_set };
    let outcome = compute(name, &inputs, &outputs, kernel, &token, memory.as_deref(), &cpu);
    {
        let mut running = lock(running);
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
    memory: Option<&dyn OutputMemory>,
    cpu: &Cpu<'_>,
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
        let block = match memory {
            Some(memory) => Block::foreign(memory, name, bytes)?,
            None => Block::allocate(bytes).ok_or_else(|| out_of_memory(name, bytes))?,
        };
        // SAFETY: the block is new, of the shape's size, and only this operation has it.
        results.push(unsafe { TensorMut::new(block.pointer(), output.dtype, &output.shape) });
        blocks.push(block);
    }
    match catch_unwind(AssertUnwindSafe(|| kernel(cpu, &views, &results))) {
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
