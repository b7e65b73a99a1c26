//! A collective's course on the stream, whichever way its bytes go.

use super::lock;
use crate::stream::cpu;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;
use tensor_runtime::{DType, ErrorCode, RuntimeError, Traffic};
use transport::{Operation, ProcessGroup, TransportError};

/// What happens around a collective once the stream has come to it.
#[derive(Clone)]
pub(super) struct Course {
    ticket: Arc<Ticket>,
    /// Bytes to other members and from them.
    payload: (u64, u64),
    failure: Arc<Mutex<Option<TransportError>>>,
}

/// Fails the group where the stream never comes to a collective: its input failed, or it was
/// cancelled. Others would wait for it until their deadline.
struct Ticket {
    group: Arc<dyn ProcessGroup>,
    collective: &'static str,
    /// Dropped on the thread that submits, nothing was skipped: the call was refused, and threw.
    submitted_by: ThreadId,
    reached: AtomicBool,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let reached = *self.reached.get_mut();
        if !reached && std::thread::current().id() != self.submitted_by {
            let Ticket { group, collective, .. } = self;
            group.abandon(&format!("{collective} was skipped: its input failed or was cancelled"));
        }
    }
}

impl Course {
    /// That of an operation which fits the group; its first failure goes to `failure`.
    pub(super) fn new(
        group: &Arc<dyn ProcessGroup>,
        operation: &Operation,
        dtype: DType,
        failure: Arc<Mutex<Option<TransportError>>>,
    ) -> Course {
        let (sent, received) = operation.payload(group.index(), group.size());
        let bytes = |elements: usize| (elements * dtype.size()) as u64;
        let ticket = Ticket {
            group: group.clone(),
            collective: operation.kind().name(),
            submitted_by: std::thread::current().id(),
            reached: AtomicBool::new(false),
        };
        Course { ticket: Arc::new(ticket), payload: (bytes(sent), bytes(received)), failure }
    }

    /// Does the collective, tells a trace of it, and keeps why it fails.
    pub(super) fn run(
        &self,
        collective: impl FnOnce(&dyn ProcessGroup) -> Result<(), TransportError>,
    ) -> Result<(), RuntimeError> {
        let Ticket { group, collective: name, reached, .. } = &*self.ticket;
        reached.store(true, Ordering::Relaxed);
        let began = cpu().clock();
        let outcome = collective(&**group);
        let (bytes_sent, bytes_received) = if outcome.is_ok() { self.payload } else { (0, 0) };
        let traffic = Traffic { group: group.label().to_owned(), bytes_sent, bytes_received };
        cpu().record(name, began, traffic);
        outcome.map_err(|error| {
            let message = error.to_string();
            lock(&self.failure).get_or_insert(error);
            RuntimeError::new(ErrorCode::Collective, name, "", "", message)
        })
    }
}
