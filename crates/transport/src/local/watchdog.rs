//! The thread that shows that this rank lives, and sees whether the others do.

use super::clock;
use super::control::state;
use super::fault::{Fault, FaultKind};
use super::segment::Segment;
use super::settings::LocalSettings;
use crate::process::{self, Watched};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

const HEARTBEAT: Duration = Duration::from_millis(100);
/// A pause in our own heartbeats that is longer means that we were stopped, or the whole machine
/// was; others are judged only once they had time to show themselves again.
const PAUSE: u64 = 1_000_000_000;

/// Runs until dropped.
pub(crate) struct Watchdog {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    pub(crate) fn start(segment: Arc<Segment>, rank: usize, settings: &LocalSettings) -> Watchdog {
        let ended = Arc::new(AtomicBool::new(false));
        let flag = ended.clone();
        let stopped_after = settings.stopped_after.as_nanos() as u64;
        let launcher = settings
            .end_with_launcher
            .then(|| Watched::new(segment.header().launcher.load(Ordering::Relaxed)));
        let thread = std::thread::Builder::new()
            .name("wan-watchdog".into())
            .spawn(move || watch(&segment, rank, launcher, stopped_after, &flag))
            .expect("the system starts a thread");
        Watchdog { ended, thread: Some(thread) }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It ends within one heartbeat; a panic in it has been printed already.
            let _ = thread.join();
        }
    }
}

fn watch(
    segment: &Segment,
    rank: usize,
    launcher: Option<Watched>,
    stopped_after: u64,
    ended: &AtomicBool,
) {
    let mut peers: Vec<Option<Watched>> = (0..segment.layout.world).map(|_| None).collect();
    let mut reported = vec![false; peers.len()];
    let mut last = clock::now();
    let mut judge_from = last;
    while !ended.load(Ordering::Relaxed) {
        let now = clock::now();
        segment.rank(rank).heartbeat.store(now, Ordering::Relaxed);
        if now - last > PAUSE {
            judge_from = now + stopped_after;
        }
        last = now;
        if launcher.as_ref().is_some_and(Watched::has_ended) {
            process::end_at_once();
        }
        for (peer, watched) in peers.iter_mut().enumerate() {
            let block = segment.rank(peer);
            let pid = block.pid.load(Ordering::Acquire);
            if peer == rank || pid == 0 || reported[peer] {
                continue;
            }
            let watched = watched.get_or_insert_with(|| Watched::new(pid));
            let has_ended = watched.has_ended();
            // Read after the process: one that says it is done and then ends is never taken for
            // one that ended before.
            if block.state.load(Ordering::Acquire) != state::RUNNING {
                reported[peer] = has_ended;
                continue;
            }
            let heartbeat = block.heartbeat.load(Ordering::Relaxed);
            let kind = if has_ended {
                FaultKind::Died
            } else if now >= judge_from && now.saturating_sub(heartbeat) > stopped_after {
                FaultKind::Stopped
            } else {
                continue;
            };
            Fault { kind, rank: peer }.declare(segment);
            reported[peer] = true;
        }
        // Those that have been told of would wake the poll at once, again and again.
        let waiting = peers.iter().zip(&reported).filter(|(_, reported)| !**reported);
        let watched = waiting.filter_map(|(peer, _)| peer.as_ref());
        process::sleep_until_one_ends(watched.chain(&launcher), HEARTBEAT);
    }
}
