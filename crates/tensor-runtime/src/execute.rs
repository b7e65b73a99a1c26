//! The stream's thread, and how an operation is run.

use crate::beside;
use crate::compute::{Place, compute, reserve};
use crate::device::Device;
use crate::spare;
use crate::stream::{Awaited, Job, Lane, Operation, Running, Shared, Stream, lock};
use crate::trace::TraceEvent;
use cpu_kernels::{Cpu, ThreadPool};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long a stream has nothing to do until memory is given back that is kept for what comes next.
const REST: Duration = Duration::from_millis(100);

/// The stream's thread: takes jobs in order until the stream is gone.
pub(crate) fn execute(shared: &Arc<Shared>) {
    loop {
        let job = {
            let mut queue = lock(&shared.queue);
            queue.busy = false;
            let mut is_resting = false;
            loop {
                if let Some(job) = queue.jobs.pop_front() {
                    queue.busy = true;
                    break job;
                }
                if queue.closed {
                    shared.beside.close();
                    return;
                }
                if is_resting {
                    queue =
                        shared.wake.wait(queue).unwrap_or_else(|poisoned| poisoned.into_inner());
                    continue;
                }
                let waited = shared.wake.wait_timeout(queue, REST);
                let (waiting, result) = waited.unwrap_or_else(|poisoned| poisoned.into_inner());
                queue = waiting;
                if result.timed_out() && queue.jobs.is_empty() {
                    is_resting = true;
                    drop(queue);
                    spare::release();
                    queue = lock(&shared.queue);
                }
            }
        };
        match job {
            Job::Operation(mut operation) => match operation.lane {
                Lane::Beside => {
                    reserve(&mut operation, &shared.gpus);
                    beside::hand_over(shared, operation);
                }
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
                    Awaited::All => {
                        shared.beside.wait_until_idle();
                        Stream::settle_devices(shared);
                    }
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
    let Operation { name, inputs, outputs, work, device, token, memory, traced, .. } = operation;
    let (instruction_set, copying_threads) = {
        let settings = lock(&shared.settings);
        (settings.instruction_set, settings.pool.threads())
    };
    let cpu = Cpu { pool, instruction_set };
    let (gpus, memory) = (&shared.gpus, memory.as_deref());
    let place = Place { device, gpus, copying_threads, memory, cpu };
    let outcome = compute(name, &inputs, &outputs, work, &token, &place);
    if traced && device != Device::Cpu && lock(&shared.trace).is_some() {
        // So that the trace shows how long the device took, not how long it took to be told.
        Stream::settle_devices(shared);
    }
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
                block.complete(&output.storage);
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
