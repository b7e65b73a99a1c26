//! A rank's communicator: what it is doing, on threads of its own.

use crate::mesh::Mesh;
use crate::status::{Failure, Status};
use driver_in_use::{Stream, driver};
use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

/// The kinds of messages.
const POINT_TO_POINT: u64 = 1;
const ALL_GATHER: u64 = 2;
const BROADCAST: u64 = 3;
const SPLIT: u64 = 4;

/// A communicator, as its handle's holder and its threads have it.
pub struct Communicator {
    meeting: String,
    pub rank: usize,
    pub size: usize,
    splits: AtomicU64,
    called_off: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    mesh: Option<Arc<Mesh>>,
    busy: bool,
    failure: Option<Failure>,
}

/// A transfer between two ranks.
pub struct Hop {
    pub peer: usize,
    /// Of the message, for the receiver to compare.
    pub kind: u64,
    pub address: u64,
    pub bytes: usize,
    pub stream: Stream,
}

impl Hop {
    /// One of a group's sends or receives of elements of the type of that number.
    pub fn point_to_point(element: c_int, hop: Hop) -> Hop {
        Hop { kind: POINT_TO_POINT | (element as u64) << 8, ..hop }
    }

    /// One of an all-gather's.
    pub fn all_gather(element: c_int, hop: Hop) -> Hop {
        Hop { kind: ALL_GATHER | (element as u64) << 8, ..hop }
    }

    /// One of a broadcast's.
    pub fn broadcast(element: c_int, hop: Hop) -> Hop {
        Hop { kind: BROADCAST | (element as u64) << 8, ..hop }
    }
}

/// What a call does.
#[derive(Default)]
pub struct Transfers {
    pub sends: Vec<Hop>,
    pub receives: Vec<Hop>,
    /// Copies within the rank: from, to, bytes, stream.
    pub kept: Vec<(u64, u64, usize, Stream)>,
}

impl Communicator {
    fn new(meeting: String, rank: usize, size: usize) -> Arc<Communicator> {
        Arc::new(Communicator {
            meeting,
            rank,
            size,
            splits: AtomicU64::new(0),
            called_off: AtomicBool::new(false),
            state: Mutex::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Begins to connect with the other ranks of the meeting.
    pub fn join(meeting: String, rank: usize, size: usize) -> Result<Arc<Communicator>, Failure> {
        let communicator = Communicator::new(meeting, rank, size);
        communicator.begin(move |own| {
            let mesh = Arc::new(Mesh::join(&own.meeting, rank, size, &own.called_off)?);
            own.lock().mesh = Some(mesh);
            Ok(())
        })?;
        Ok(communicator)
    }

    /// Has a thread do the communicator's next call.
    fn begin(
        self: &Arc<Self>,
        work: impl FnOnce(&Communicator) -> Result<(), Failure> + Send + 'static,
    ) -> Result<(), Failure> {
        let mut state = self.lock();
        if let Some(failure) = &state.failure {
            return Err(failure.clone());
        }
        if state.busy {
            let message = "a call while the one before is in progress";
            return Err(Failure::new(Status::USAGE, message));
        }
        state.busy = true;
        drop(state);
        let own = self.clone();
        let done = std::thread::Builder::new().spawn(move || {
            let outcome = work(&own);
            let mut state = own.lock();
            state.busy = false;
            if let Err(failure) = outcome {
                state.failure.get_or_insert(failure);
            }
        });
        done.map(drop).map_err(|error| Failure::new(Status::SYSTEM, error.to_string()))
    }

    /// What it is doing, or why it can't.
    pub fn progress(&self) -> Result<Status, Failure> {
        let state = self.lock();
        match &state.failure {
            Some(failure) => Err(failure.clone()),
            None if state.busy => Ok(Status::IN_PROGRESS),
            None => Ok(Status::SUCCESS),
        }
    }

    fn mesh(&self) -> Result<Arc<Mesh>, Failure> {
        let mesh = self.lock().mesh.clone();
        mesh.ok_or_else(|| Failure::new(Status::USAGE, "the ranks have not come together yet"))
    }

    /// Begins transfers, all at once; the calling thread's context is theirs.
    pub fn transfer(self: &Arc<Self>, transfers: Transfers) -> Result<(), Failure> {
        let driver = driver()?;
        let context = driver.context()?;
        let mesh = self.mesh()?;
        self.begin(move |own| {
            driver.enter(context)?;
            for (from, to, bytes, stream) in &transfers.kept {
                let content = driver.read(*from, *bytes, *stream)?;
                driver.write(*to, &content, *stream)?;
            }
            let (mesh, transfers) = (&*mesh, &transfers);
            let with = |hops: &'static str, peer: usize| -> Result<(), Failure> {
                driver.enter(context)?;
                if hops == "sends" {
                    for hop in transfers.sends.iter().filter(|hop| hop.peer == peer) {
                        let content = driver.read(hop.address, hop.bytes, hop.stream)?;
                        mesh.send(peer, hop.kind, &content)?;
                    }
                } else {
                    for hop in transfers.receives.iter().filter(|hop| hop.peer == peer) {
                        let content = mesh.receive(peer, hop.kind, hop.bytes)?;
                        driver.write(hop.address, &content, hop.stream)?;
                    }
                }
                Ok(())
            };
            std::thread::scope(|scope| {
                let running: Vec<_> = (0..own.size)
                    .filter(|peer| *peer != own.rank)
                    .flat_map(|peer| ["sends", "receives"].map(|hops| (hops, peer)))
                    .map(|(hops, peer)| scope.spawn(move || with(hops, peer)))
                    .collect();
                let failed = |_| Failure::new(Status::SYSTEM, "a thread panicked");
                running.into_iter().try_for_each(|one| one.join().map_err(failed)?)
            })
        })
    }

    /// The communicator of those ranks that give the same color, in the order of keys; none without one.
    /// The ranks are told here and now, the new communicator connects itself.
    pub fn split(
        &self,
        color: Option<u32>,
        key: u32,
    ) -> Result<Option<Arc<Communicator>>, Failure> {
        let mesh = self.mesh()?;
        let number = self.splits.fetch_add(1, Ordering::Relaxed);
        let own =
            [color.map_or(u64::MAX, u64::from), u64::from(key)].map(u64::to_le_bytes).concat();
        for peer in (0..self.size).filter(|peer| *peer != self.rank) {
            mesh.send(peer, SPLIT, &own)?;
        }
        let mut members = Vec::new();
        for rank in 0..self.size {
            let told =
                if rank == self.rank { own.clone() } else { mesh.receive(rank, SPLIT, own.len())? };
            let word = |place: usize| {
                u64::from_le_bytes(told[place..place + 8].try_into().unwrap_or_default())
            };
            if color.is_some_and(|color| u64::from(color) == word(0)) {
                members.push((word(8), rank));
            }
        }
        members.sort_unstable();
        let Some(color) = color else { return Ok(None) };
        let place = members.iter().position(|(_, rank)| *rank == self.rank).unwrap_or_default();
        let meeting = format!("{}-{number}-{color}", self.meeting);
        Communicator::join(meeting, place, members.len()).map(Some)
    }

    /// Ends it and all that is under way.
    pub fn abort(&self) {
        self.called_off.store(true, Ordering::Release);
        let mut state = self.lock();
        state.failure.get_or_insert(Failure::new(Status::REMOTE, "aborted"));
        if let Some(mesh) = state.mesh.take() {
            mesh.shut_down();
        }
    }
}
