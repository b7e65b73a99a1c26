//! Ranks: the launcher's shared file, joining, process groups, and collectives as operations.

mod course;
mod devices;
mod group;
mod ranks;
mod resharding;
mod shared_memory;

use napi::bindgen_prelude::*;
use serde_json::json;
use std::sync::{Mutex, MutexGuard};
use transport::TransportError;

/// A [`TransportError`] as an error whose message is JSON, told apart by `rank`.
fn from_transport(failure: TransportError) -> Error {
    Error::new(Status::GenericFailure, facts(&failure).to_string())
}

fn facts(failure: &TransportError) -> serde_json::Value {
    json!({
        "code": failure.code.name(),
        "rank": failure.rank,
        "peer": failure.peer,
        "collective": failure.collective,
        "sequence": failure.sequence,
        "secondsWaited": failure.seconds_waited,
        "expected": failure.expected,
        "found": failure.found,
        "message": failure.to_string(),
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
