//! Ranks that exchange tensors.

use super::error::{NcclError, NcclErrorCode};
use super::progress::{Patience, Place, called_off, configuration, pause, settle};
use super::sys::{self, CommunicatorHandle, Status, UniqueIdBytes};
use super::{NO_COMMUNICATOR, Nccl, UniqueId, call};
use crate::device::{Device, Stream};
use crate::lock;
use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// A rank of a set of ranks, on its device. Its collectives are queued on the device's compute
/// stream; every rank makes the same calls in the same order.
///
/// Dropping it aborts what is under way; [`Communicator::close`] waits for the others.
pub struct Communicator {
    pub(super) nccl: Arc<Nccl>,
    pub(super) device: Arc<Device>,
    rank: usize,
    size: usize,
    deadline: Duration,
    /// Held over a call: NCCL takes one at a time.
    state: Mutex<State>,
    /// Ends the call that holds the state.
    pub(super) called_off: AtomicBool,
}

pub(super) struct State {
    /// Null once it is aborted or destroyed.
    pub handle: CommunicatorHandle,
    /// What ended it.
    failure: Option<NcclError>,
}

// SAFETY: NCCL takes a communicator from any thread, one at a time, which the lock around it sees to.
unsafe impl Send for State {}

impl Communicator {
    /// Joins `size` ranks as number `rank`; returns when all have come.
    ///
    /// `deadline` is how long this and every later call may wait for the others.
    ///
    /// # Errors
    ///
    /// `Deadline` where not all have come in time, `Usage` for two ranks on one GPU; otherwise what
    /// NCCL says.
    pub fn join(
        nccl: &Arc<Nccl>,
        device: &Arc<Device>,
        id: &UniqueId,
        rank: usize,
        size: usize,
        deadline: Duration,
    ) -> Result<Communicator, NcclError> {
        let (Ok(number), Ok(count)) = (c_int::try_from(rank), c_int::try_from(size)) else {
            return Err(NcclError::usage(
                "ncclCommInitRankConfig",
                format!("rank {rank} of {size}"),
            ));
        };
        if rank >= size {
            return Err(NcclError::usage(
                "ncclCommInitRankConfig",
                format!("no rank {rank} among {size}"),
            ));
        }
        device.make_current()?;
        let function = "ncclCommInitRankConfig";
        let mut place: Place = Box::new(NO_COMMUNICATOR);
        let mut config = configuration();
        // SAFETY: the place stays until NCCL is done with it, which `settle` sees to.
        let status = unsafe {
            (nccl.functions.ncclCommInitRankConfig)(
                &raw mut *place,
                count,
                UniqueIdBytes(id.0),
                number,
                &mut config,
            )
        };
        let patience =
            Patience { until: Instant::now() + deadline, called_off: &AtomicBool::new(false) };
        let handle = settle(nccl, NO_COMMUNICATOR, place, function, status, patience)
            .map_err(|error| error.of_rank(rank, size))?;
        if handle == NO_COMMUNICATOR {
            let message = format!("rank {rank} of {size}: NCCL gave no communicator");
            let (code, name) = (NcclErrorCode::Failed, String::new());
            return Err(NcclError { code, function, name, message });
        }
        Ok(Communicator::new(nccl, device, handle, (rank, size), deadline))
    }

    fn new(
        nccl: &Arc<Nccl>,
        device: &Arc<Device>,
        handle: CommunicatorHandle,
        (rank, size): (usize, usize),
        deadline: Duration,
    ) -> Communicator {
        let state = Mutex::new(State { handle, failure: None });
        let (nccl, device) = (nccl.clone(), device.clone());
        let called_off = AtomicBool::new(false);
        Communicator { nccl, device, rank, size, deadline, state, called_off }
    }

    /// This rank's number.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// How many ranks there are.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Splits the ranks by `color` into communicators of their own, in each of which they are
    /// numbered by `key`. Without a color a rank is in none, and gets none.
    ///
    /// # Errors
    ///
    /// As [`Communicator::all_gather`].
    pub fn split(&self, color: Option<u32>, key: u32) -> Result<Option<Communicator>, NcclError> {
        let function = "ncclCommSplit";
        let number = |value: u32| {
            c_int::try_from(value)
                .map_err(|_| NcclError::usage(function, format!("{value} is too large")))
        };
        let color = color.map_or(Ok(sys::NCCL_SPLIT_NOCOLOR), number)?;
        let key = number(key)?;
        self.device.make_current()?;
        let mut state = self.alive()?;
        let mut child: Place = Box::new(NO_COMMUNICATOR);
        let mut config = configuration();
        // SAFETY: a live communicator; the place stays until NCCL is done with it.
        let status = unsafe {
            let target = &raw mut *child;
            (self.nccl.functions.ncclCommSplit)(state.handle, color, key, target, &mut config)
        };
        let handle = settle(&self.nccl, state.handle, child, function, status, self.patience())
            .map_err(|error| self.end(&mut state, error))?;
        if handle == NO_COMMUNICATOR {
            return Ok(None);
        }
        // From here on its drop aborts it.
        let mut child = Communicator::new(&self.nccl, &self.device, handle, (0, 0), self.deadline);
        let (mut rank, mut count) = (0, 0);
        // SAFETY: a live communicator; writes one number.
        unsafe { call!(self.nccl, handle, ncclCommUserRank(handle, &mut rank)) }?;
        // SAFETY: as above.
        unsafe { call!(self.nccl, handle, ncclCommCount(handle, &mut count)) }?;
        child.rank = usize::try_from(rank).unwrap_or(0);
        child.size = usize::try_from(count).unwrap_or(0);
        Ok(Some(child))
    }

    /// Waits until the device has done everything on its compute stream, collectives included, for
    /// as long as the communicator's deadline.
    ///
    /// # Errors
    ///
    /// `Deadline` where the others leave a collective unfinished, otherwise what NCCL or the driver
    /// says.
    pub fn wait(&self) -> Result<(), NcclError> {
        let function = "ncclCommGetAsyncError";
        let mut state = self.alive()?;
        let (begin, patience) = (Instant::now(), self.patience());
        let mut questions = 0;
        loop {
            let done = self.device.is_done(Stream::Compute);
            let told = done
                .map_err(NcclError::from)
                .and_then(|done| self.nccl.progress(state.handle, function).map(|_| done));
            match told {
                Ok(true) => return Ok(()),
                Ok(false) => {
                    patience
                        .check("waiting for the device", begin)
                        .map_err(|error| self.end(&mut state, error))?;
                    pause(&mut questions);
                }
                Err(error) => return Err(self.end(&mut state, error)),
            }
        }
    }

    /// Ends the communicator from any thread, and with it what is under way: a call that waits, and
    /// collectives on the device, which leave their targets half filled. Every later call is refused.
    pub fn call_off(&self) {
        self.called_off.store(true, Ordering::Release);
        let mut state = lock(&self.state);
        if state.failure.is_none() && state.handle != NO_COMMUNICATOR {
            // Nobody is left to be told of a failure.
            let _ = self.device.make_current();
            self.end(&mut state, called_off("ncclCommAbort"));
        }
    }

    fn patience(&self) -> Patience<'_> {
        Patience { until: Instant::now() + self.deadline, called_off: &self.called_off }
    }

    /// Leaves, together with all others: waits until everything is done.
    ///
    /// # Errors
    ///
    /// As [`Communicator::wait`].
    pub fn close(self) -> Result<(), NcclError> {
        self.wait()?;
        self.run("ncclCommFinalize", |handle, _| {
            // SAFETY: a live communicator.
            unsafe { (self.nccl.functions.ncclCommFinalize)(handle) }
        })?;
        let mut state = self.alive()?;
        let handle = std::mem::replace(&mut state.handle, NO_COMMUNICATOR);
        // SAFETY: finalised, and destroyed once.
        unsafe { call!(self.nccl, NO_COMMUNICATOR, ncclCommDestroy(handle)) }
    }

    /// Waits until a call that answered `status` is done; ends the communicator where it failed.
    pub(super) fn settled(
        &self,
        state: &mut State,
        function: &'static str,
        status: Status,
    ) -> Result<(), NcclError> {
        let done = match status {
            sys::NCCL_IN_PROGRESS => self.nccl.wait_for(state.handle, function, self.patience()),
            _ => self.nccl.check(function, state.handle, status),
        };
        done.map_err(|error| self.end(state, error))
    }

    /// The state of a communicator that has not failed.
    pub(super) fn alive(&self) -> Result<MutexGuard<'_, State>, NcclError> {
        let state = lock(&self.state);
        match &state.failure {
            None => Ok(state),
            Some(failure) => Err(failure.clone()),
        }
    }

    /// Aborts, and keeps why.
    pub(super) fn end(&self, state: &mut State, error: NcclError) -> NcclError {
        let error = error.of_rank(self.rank, self.size);
        self.nccl.abort(&mut state.handle);
        state.failure = Some(error.clone());
        error
    }
}

impl Drop for Communicator {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner());
        if state.handle != NO_COMMUNICATOR {
            // Nobody is left to be told of a failure.
            let _ = self.device.make_current();
            self.nccl.abort(&mut state.handle);
        }
    }
}
