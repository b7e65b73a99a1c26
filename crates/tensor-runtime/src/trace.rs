//! What ran when.

use crate::stream::{Stream, lock};

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

impl Stream {
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
