//! Ends what devices wait for once the run has failed elsewhere.

use cuda::nccl::Communicator;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;
use transport::{ProcessGroup, TransportError};

/// How often to look for a failure: it ends the run, so that nobody waits for less.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Looks at a group for as long as it lives. Where the run fails, a device may wait for another for
/// ever: its communicators are called off.
pub(crate) struct Watch {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    communicators: Vec<Weak<Communicator>>,
    failed: bool,
}

impl Watch {
    /// Watches over the run of `group`. `on_failure` is told first, on a thread of its own, and only once.
    pub(crate) fn start(
        group: Arc<dyn ProcessGroup>,
        on_failure: impl FnOnce(&TransportError) + Send + 'static,
    ) -> std::io::Result<Arc<Watch>> {
        let watch = Arc::new(Watch { state: Mutex::default() });
        let watched = Arc::downgrade(&watch);
        std::thread::Builder::new().name("wan-devices".into()).spawn(move || {
            while let Some(watch) = watched.upgrade() {
                if let Some(failure) = group.failure() {
                    on_failure(&failure);
                    watch.call_off();
                    return;
                }
                drop(watch);
                std::thread::sleep(LOOK_EVERY);
            }
        })?;
        Ok(watch)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Has a communicator called off with the others.
    pub(crate) fn add(&self, communicator: &Arc<Communicator>) {
        let mut state = self.lock();
        state.communicators.retain(|other| other.strong_count() > 0);
        state.communicators.push(Arc::downgrade(communicator));
        if state.failed {
            communicator.call_off();
        }
    }

    fn call_off(&self) {
        let mut state = self.lock();
        state.failed = true;
        for communicator in state.communicators.drain(..).filter_map(|other| other.upgrade()) {
            communicator.call_off();
        }
    }
}
