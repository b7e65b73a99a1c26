//! Another rank, as the engine knows it: what it last said, and what it is told.

use super::api::{Mpi, Request};
use super::board::Life;
use super::wire::{Hello, MESSAGE, Message, Status};
use crate::process::Watched;
use crate::whereabouts::{Place, whereabouts};
use std::ffi::c_int;
use std::time::Instant;

/// The tag of messages between ranks beside collectives.
pub(super) const CONTROL_TAG: c_int = 0;

/// What is sent of these messages at a time: one that is regular and one that is urgent.
const OUTGOING: usize = 2;

#[derive(Default)]
struct Outgoing {
    message: Vec<u8>,
    request: Option<Request>,
}

/// Another rank.
pub(super) struct Peer {
    pub rank: usize,
    incoming: Vec<u8>,
    receiving: Option<Request>,
    outgoing: [Outgoing; OUTGOING],
    pub life: Life,
    /// Since when it is done.
    pub done: Option<Instant>,
    position: String,
    place: Option<Place>,
    pub heard: Instant,
    /// Its process, where this one can watch it.
    pub process: Option<Watched>,
    pub ended: Option<Instant>,
}

impl Peer {
    pub(super) fn new(rank: usize) -> Peer {
        Peer {
            rank,
            incoming: vec![0; MESSAGE],
            receiving: None,
            outgoing: Default::default(),
            life: Life::Running,
            done: None,
            position: String::new(),
            place: None,
            heard: Instant::now(),
            process: None,
            ended: None,
        }
    }

    /// Tells the rank something. False where it hasn't taken what it was told before.
    pub(super) fn tell(
        &mut self,
        mpi: &dyn Mpi,
        message: &Message,
        urgent: bool,
    ) -> Result<bool, String> {
        self.is_told(mpi)?;
        let slots = if urgent { &mut self.outgoing[..] } else { &mut self.outgoing[..1] };
        let Some(slot) = slots.iter_mut().find(|slot| slot.request.is_none()) else {
            return Ok(false);
        };
        slot.message = message.to_vec();
        // SAFETY: the vector stays as it is until the request is done with.
        let request = unsafe { mpi.send(slot.message.as_ptr(), MESSAGE, self.rank, CONTROL_TAG) }?;
        slot.request = Some(request);
        Ok(true)
    }

    /// Whether the rank has taken all that it was told.
    pub(super) fn is_told(&mut self, mpi: &dyn Mpi) -> Result<bool, String> {
        let mut all = true;
        for slot in &mut self.outgoing {
            if let Some(request) = &mut slot.request {
                if mpi.test(request)? {
                    slot.request = None;
                } else {
                    all = false;
                }
            }
        }
        Ok(all)
    }

    /// What the rank has said since, if anything.
    fn listen(&mut self, mpi: &dyn Mpi) -> Result<Option<Message>, String> {
        if self.receiving.is_none() {
            let address = self.incoming.as_mut_ptr();
            // SAFETY: the vector stays as it is until the request is done with.
            let request = unsafe { mpi.receive(address, MESSAGE, self.rank, CONTROL_TAG) }?;
            self.receiving = Some(request);
        }
        let Some(request) = &mut self.receiving else { return Ok(None) };
        if !mpi.test(request)? {
            return Ok(None);
        }
        self.receiving = None;
        self.heard = Instant::now();
        Ok(self.incoming.as_slice().try_into().ok())
    }

    /// The rank's first message, once it is there.
    pub(super) fn hello(&mut self, mpi: &dyn Mpi) -> Result<Option<Result<Hello, String>>, String> {
        Ok(self.listen(mpi)?.map(|message| Hello::decode(&message)))
    }

    /// The rank's next status, once it is there.
    pub(super) fn status(&mut self, mpi: &dyn Mpi) -> Result<Option<Status>, String> {
        if self.life == Life::Gone {
            return Ok(None);
        }
        let Some(message) = self.listen(mpi)? else { return Ok(None) };
        let status = Status::decode(&message);
        self.life = status.life;
        if status.life != Life::Running {
            self.done.get_or_insert_with(Instant::now);
        }
        self.position.clone_from(&status.position);
        self.place = status.place;
        Ok(Some(status))
    }

    /// The rank has come to a collective.
    pub(super) fn met(&mut self, place: Place) {
        self.place = Some(place);
        self.heard = Instant::now();
    }

    /// Where the rank is, as far as it has said.
    pub(super) fn whereabouts(&self) -> String {
        whereabouts(&self.position, self.place)
    }
}
