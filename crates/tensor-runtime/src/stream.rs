//! Operations handed over to a thread that computes.

use crate::beside::Beside;
use crate::cancellation::CancelToken;
use crate::device::Device;
use crate::error::{ErrorCode, RuntimeError};
use crate::execute::execute;
use crate::external::External;
use crate::gpus::Gpus;
use crate::memory::{OutputMemory, Reserved};
use crate::rehearsal::Rehearsal;
use crate::storage::Storage;
use crate::tensor::Tensor;
use crate::trace::TraceEvent;
use cpu_kernels::{Cpu, DType, InstructionSet, Layout, TensorMut, TensorRef, ThreadPool};
use cuda::CudaError;
use cuda_kernels::{DeviceView, Gpu};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Instant;

/// Runs operations one after the other, in the order of submission, on its own thread. Each
/// operation shares its work over the stream's thread pool. Operations that wait for other processes
/// may run beside it (see [`crate::Order`]).
pub struct Stream {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) queue: Mutex<Queue>,
    pub(crate) wake: Condvar,
    pub(crate) settings: Mutex<Settings>,
    pub(crate) running: Mutex<Running>,
    pub(crate) beside: Beside,
    pub(crate) gpus: Gpus,
    pub(crate) trace: Mutex<Option<Vec<TraceEvent>>>,
    rehearsal: Mutex<Option<Rehearsal>>,
    pub(crate) started: Instant,
}

#[derive(Default)]
pub(crate) struct Queue {
    pub(crate) jobs: VecDeque<Job>,
    /// Whether a job that was taken from the queue still runs.
    pub(crate) busy: bool,
    token: Option<CancelToken>,
    /// Where outputs are allocated; the last one counts.
    memories: Vec<Arc<dyn OutputMemory>>,
    pub(crate) closed: bool,
}

pub(crate) struct Settings {
    pub(crate) pool: Arc<ThreadPool>,
    pub(crate) instruction_set: InstructionSet,
}

/// The token of the operation under way and the pool it runs on.
#[derive(Default)]
pub(crate) struct Running {
    pub(crate) token: Option<CancelToken>,
    pub(crate) pool: Option<Arc<ThreadPool>>,
}

impl Running {
    /// Cuts the operation short if it belongs to `token`.
    fn cancel(&self, token: &CancelToken) {
        if let (Some(current), Some(pool)) = (&self.token, &self.pool)
            && current.is(token)
        {
            pool.cancel();
        }
    }
}

pub(crate) enum Job {
    Operation(Box<Operation>),
    Callback(Awaited, Box<dyn FnOnce() + Send>),
}

/// What a callback waits for beside the stream itself.
pub(crate) enum Awaited {
    Stream,
    Tensor(Tensor),
    All,
}

/// Where an operation runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// On the stream.
    Stream,
    /// On the stream, after everything beside it that was submitted before.
    InTurn,
    /// On a thread beside the stream, once the stream has come to it.
    Beside,
}

pub(crate) type CpuKernel = Box<
    dyn FnOnce(&Cpu<'_>, &[TensorRef<'_>], &[TensorMut<'_>]) -> Result<(), RuntimeError> + Send,
>;

pub(crate) type CudaKernel =
    Box<dyn FnOnce(&Gpu, &[DeviceView], &[DeviceView]) -> Result<(), GpuFailure> + Send>;

/// Why a kernel on a CUDA device did not run.
pub(crate) enum GpuFailure {
    Cuda(CudaError),
    Refused(RuntimeError),
}

impl From<CudaError> for GpuFailure {
    fn from(error: CudaError) -> Self {
        GpuFailure::Cuda(error)
    }
}

/// What computes an operation.
pub(crate) enum Work {
    /// Where its tensors are.
    Kernels { cpu: CpuKernel, cuda: CudaKernel },
    /// By another crate, in this machine's memory or on a device.
    External(Box<External>),
    /// Copies its one contiguous input to its output's device.
    Transfer,
    /// The same beside the device's kernels, into memory that is reserved when the stream comes to it.
    TransferAhead(Option<Result<Reserved, CudaError>>),
}

pub(crate) struct Operation {
    pub(crate) name: &'static str,
    pub(crate) inputs: Vec<Tensor>,
    pub(crate) outputs: Vec<Pending>,
    pub(crate) work: Work,
    /// Where its outputs are, and what it computes on.
    pub(crate) device: Device,
    pub(crate) token: Option<CancelToken>,
    pub(crate) memory: Option<Arc<dyn OutputMemory>>,
    pub(crate) lane: Lane,
    /// Whether a trace is told of it when it has run; else it tells that itself.
    pub(crate) traced: bool,
}

pub(crate) struct Pending {
    pub(crate) storage: Arc<Storage>,
    pub(crate) dtype: DType,
    pub(crate) shape: Vec<usize>,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
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
            beside: Beside::default(),
            gpus: Gpus::default(),
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
        // Both are held: nothing begins between the token's end and a look at what runs.
        let (running, beside) = (lock(&self.shared.running), lock(&self.shared.beside.running));
        token.set();
        running.cancel(token);
        beside.cancel(token);
    }

    /// Operations submitted from now on have their outputs in `memory`, until it is left.
    pub fn enter_output_memory(&self, memory: Arc<dyn OutputMemory>) {
        lock(&self.shared.queue).memories.push(memory);
    }

    /// Outputs of operations submitted from now on are where they were before the last
    /// [`Stream::enter_output_memory`].
    pub fn leave_output_memory(&self) {
        lock(&self.shared.queue).memories.pop();
    }

    /// Hands an operation over and returns its outputs, which are computed later on the inputs'
    /// device. The device's kernel gets views of `inputs` and of the outputs in order; it fills every
    /// output.
    ///
    /// # Errors
    /// `Shape` where an output has too many elements; `Device` where inputs are on several devices.
    pub(crate) fn submit<const N: usize>(
        &self,
        name: &'static str,
        inputs: Vec<Tensor>,
        outputs: [(DType, Vec<usize>); N],
        cpu: impl FnOnce(&Cpu<'_>, &[TensorRef<'_>], &[TensorMut<'_>]) -> Result<(), RuntimeError>
        + Send
        + 'static,
        cuda: impl FnOnce(&Gpu, &[DeviceView], &[DeviceView]) -> Result<(), GpuFailure> + Send + 'static,
    ) -> Result<[Tensor; N], RuntimeError> {
        let device = device_of(name, &inputs)?;
        self.submit_to(device, name, inputs, outputs, cpu, cuda)
    }

    /// [`Stream::submit`] on a device that no input tells.
    pub(crate) fn submit_to<const N: usize>(
        &self,
        device: Device,
        name: &'static str,
        inputs: Vec<Tensor>,
        outputs: [(DType, Vec<usize>); N],
        cpu: impl FnOnce(&Cpu<'_>, &[TensorRef<'_>], &[TensorMut<'_>]) -> Result<(), RuntimeError>
        + Send
        + 'static,
        cuda: impl FnOnce(&Gpu, &[DeviceView], &[DeviceView]) -> Result<(), GpuFailure> + Send + 'static,
    ) -> Result<[Tensor; N], RuntimeError> {
        let work = Work::Kernels { cpu: Box::new(cpu), cuda: Box::new(cuda) };
        let tensors = self.submit_all(device, name, inputs, outputs.into(), work, Lane::Stream)?;
        Ok(tensors.try_into().unwrap_or_else(|_| unreachable!("one tensor for each output")))
    }

    /// [`Stream::submit`] of as many outputs as there are. What isn't in the stream's own lane tells
    /// a trace of itself.
    pub(crate) fn submit_all(
        &self,
        device: Device,
        name: &'static str,
        inputs: Vec<Tensor>,
        outputs: Vec<(DType, Vec<usize>)>,
        work: Work,
        lane: Lane,
    ) -> Result<Vec<Tensor>, RuntimeError> {
        for (_, shape) in &outputs {
            crate::tensor::element_count(name, shape)?;
        }
        let pending = |(dtype, shape): (DType, Vec<usize>)| {
            let bytes = shape.iter().product::<usize>() * dtype.size();
            Pending { storage: Arc::new(Storage::pending(bytes, device)), dtype, shape }
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
        let (token, memory) = (queue.token.clone(), queue.memories.last().cloned());
        let traced = lane == Lane::Stream;
        let operation =
            Operation { name, inputs, outputs, work, device, token, memory, lane, traced };
        queue.jobs.push_back(Job::Operation(Box::new(operation)));
        drop(queue);
        self.shared.wake.notify_one();
        Ok(tensors)
    }

    /// Calls `callback` on the stream's thread after everything submitted so far.
    pub fn after(&self, callback: impl FnOnce() + Send + 'static) {
        self.call_back(Awaited::All, callback);
    }

    /// Calls `callback` on the stream's thread once the stream has come to it and `awaited` is there.
    pub(crate) fn call_back(&self, awaited: Awaited, callback: impl FnOnce() + Send + 'static) {
        if let Some(rehearsal) = self.rehearsal().as_mut() {
            rehearsal.settle();
        }
        lock(&self.shared.queue).jobs.push_back(Job::Callback(awaited, Box::new(callback)));
        self.shared.wake.notify_one();
    }

    /// Calls `callback` once the stream has come to it: now, on this thread, where that is so already,
    /// else on the stream's. What runs beside the stream isn't waited for. It must be short and leave
    /// the stream alone.
    pub fn once_reached(&self, callback: impl FnOnce() + Send + 'static) {
        let mut queue = lock(&self.shared.queue);
        if queue.jobs.is_empty() && !queue.busy {
            return callback();
        }
        queue.jobs.push_back(Job::Callback(Awaited::Stream, Box::new(callback)));
        drop(queue);
        self.shared.wake.notify_one();
    }

    /// Waits until the CUDA devices have done what they were given; what fails there fails what reads
    /// it.
    pub(crate) fn settle_devices(shared: &Shared) {
        drop(shared.gpus.synchronize());
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
}

impl Drop for Stream {
    fn drop(&mut self) {
        lock(&self.shared.queue).closed = true;
        self.shared.wake.notify_one();
    }
}

/// The device that all of an operation's inputs are on; the processor where it has none.
pub(crate) fn device_of(name: &'static str, inputs: &[Tensor]) -> Result<Device, RuntimeError> {
    let Some((first, rest)) = inputs.split_first() else { return Ok(Device::Cpu) };
    let device = first.device();
    let Some(place) = rest.iter().position(|input| input.device() != device) else {
        return Ok(device);
    };
    Err(RuntimeError::new(
        ErrorCode::Device,
        name,
        format!("input {} of {}", place + 2, inputs.len()),
        format!("on {device}, as the first is"),
        format!("on {}", rest[place].device()),
    ))
}
