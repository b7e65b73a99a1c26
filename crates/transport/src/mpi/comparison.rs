//! What members tell each other at a collective's beginning, and the comparison.

use super::api::{Mpi, Request};
use crate::call::{Call, Operation};
use crate::descriptor::Descriptor;
use std::ffi::c_int;

/// Words of a descriptor.
pub(super) const DESCRIPTOR: usize = 8;

/// Words that some kinds of collectives add to the descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extra {
    None,
    /// Bytes to each member, and then from each.
    Parts,
    /// The number that new groups can have as far as this member is concerned.
    Proposal,
}

impl Extra {
    pub(super) fn of(call: &Call) -> Extra {
        if matches!(call.operation, Operation::AllToAll { .. }) {
            Extra::Parts
        } else {
            Extra::None
        }
    }
}

/// A descriptor and what is added to it.
pub(super) fn words(descriptor: &Descriptor, extra: impl IntoIterator<Item = u64>) -> Vec<u64> {
    descriptor.words.into_iter().chain(extra).collect()
}

/// What an all-to-all adds.
pub(super) fn parts(call: &Call) -> Vec<u64> {
    let element = call.dtype.size();
    match &call.operation {
        Operation::AllToAll { send, receive } => {
            send.iter().chain(receive).map(|count| (count * element) as u64).collect()
        }
        _ => Vec::new(),
    }
}

/// One member tells another what it is about to do, and is told.
pub(super) struct Introduction {
    pub member: usize,
    pub rank: usize,
    pub send_tag: c_int,
    pub receive_tag: c_int,
    pub own: Vec<u64>,
    /// As long as any message of this tag in the group may be.
    pub theirs: Vec<u64>,
    sending: Option<Request>,
    receiving: Option<Request>,
    pub met: bool,
}

impl Introduction {
    pub(super) fn new(
        (member, rank): (usize, usize),
        (send_tag, receive_tag): (c_int, c_int),
        own: Vec<u64>,
        members: usize,
    ) -> Introduction {
        let theirs = vec![0; DESCRIPTOR + 2 * members];
        let (sending, receiving, met) = (None, None, false);
        Introduction { member, rank, send_tag, receive_tag, own, theirs, sending, receiving, met }
    }

    pub(super) fn begin(&mut self, mpi: &dyn Mpi) -> Result<(), String> {
        let (bytes, room) = (size_of_val(&*self.own), size_of_val(&*self.theirs));
        // SAFETY: both vectors stay where they are, and are let go of only once `is_over`, or with
        // the engine, which then tests no request any more.
        unsafe {
            let theirs = self.theirs.as_mut_ptr().cast();
            self.receiving = Some(mpi.receive(theirs, room, self.rank, self.receive_tag)?);
            let own = self.own.as_ptr().cast();
            self.sending = Some(mpi.send(own, bytes, self.rank, self.send_tag)?);
        }
        Ok(())
    }

    /// Looks whether the other has come; whether anything is new.
    pub(super) fn advance(&mut self, mpi: &dyn Mpi) -> Result<bool, String> {
        let was_over = self.sending.is_none();
        let mut moved = self.is_sent(mpi)? && !was_over;
        if let Some(request) = &mut self.receiving
            && mpi.test(request)?
        {
            self.receiving = None;
            self.met = true;
            moved = true;
        }
        Ok(moved)
    }

    /// Whether the other has been sent what this member announces.
    pub(super) fn is_sent(&mut self, mpi: &dyn Mpi) -> Result<bool, String> {
        let Some(request) = &mut self.sending else { return Ok(true) };
        if mpi.test(request)? {
            self.sending = None;
        }
        Ok(self.sending.is_none())
    }

    /// Whether MPI is done with both messages.
    pub(super) fn is_over(&self) -> bool {
        self.met && self.sending.is_none()
    }
}

fn descriptor(words: &[u64]) -> Descriptor {
    let words = words.first_chunk().copied().unwrap_or_default();
    Descriptor { words }
}

/// A difference: the rank that has it, what is announced here and what there.
pub(super) type Difference = (usize, String, String);

/// Compares what all have announced. Every member comes to the same answer.
pub(super) fn compare(
    introductions: &[Introduction],
    extra: Extra,
    members: &[usize],
    (index, own): (usize, &[u64]),
) -> Result<(), Difference> {
    for introduction in introductions {
        let (ours, theirs) = (descriptor(&introduction.own), descriptor(&introduction.theirs));
        if ours != theirs {
            return Err((introduction.rank, ours.to_string(), theirs.to_string()));
        }
    }
    if extra != Extra::Parts {
        return Ok(());
    }
    let announced = |member: usize| {
        let other = introductions.iter().find(|introduction| introduction.member == member);
        other.map_or(own, |introduction| introduction.theirs.as_slice())
    };
    let size = members.len();
    let bytes = |member: usize, which: usize, of: usize| {
        announced(member).get(DESCRIPTOR + which * size + of).copied().unwrap_or_default()
    };
    for (sender, from) in members.iter().enumerate() {
        for (receiver, to) in members.iter().enumerate() {
            let (sent, wanted) = (bytes(sender, 0, receiver), bytes(receiver, 1, sender));
            if sent == wanted {
                continue;
            }
            let peer = if receiver == index { sender } else { receiver };
            let (ours, theirs) = (descriptor(own), descriptor(announced(peer)));
            return Err((
                members[peer],
                format!("{ours} (rank {from} sends {sent} bytes to rank {to})"),
                format!("{theirs} (rank {to} expects {wanted} bytes from rank {from})"),
            ));
        }
    }
    Ok(())
}
