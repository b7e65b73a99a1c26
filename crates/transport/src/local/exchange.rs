//! Sending to one member and receiving from one.
//!
//! Each pair has a mailbox in the sender's lane. Both sides announce the exchange and compare; then
//! the sender posts pieces, two at most ahead of the receiver, or its source as a whole where that
//! is in shared memory.

use super::arena::Block;
use super::control::Mailbox;
use super::copy::copy;
use super::group::{Counters, LocalGroup};
use super::wait::{Until, Wait};
use crate::call::{Call, Peer};
use crate::descriptor::{Descriptor, Detail, OperationKind};
use crate::error::{ErrorCode, TransportError};
use crate::process_group::{Pending, SharedAllocation};
use std::sync::atomic::Ordering;
use std::time::Instant;

/// Exchanges with one member so far.
#[derive(Default)]
pub(super) struct Mail {
    sent: u32,
    received: u32,
    posted: u32,
    taken: u32,
    /// Two halves, used in turn from piece to piece.
    window: Option<Block>,
}

/// The number of the next exchange with these peers: the larger, where the two hops differ.
pub(super) fn exchange_number(counters: &Counters, to: Option<Peer>, from: Option<Peer>) -> u64 {
    let sent = to.map(|peer| counters.mail[peer.member].sent);
    let received = from.map(|peer| counters.mail[peer.member].received);
    sent.max(received).map_or(0, |before| u64::from(before) + 1)
}

/// An exchange that this member has announced.
pub(super) struct Exchange<'a> {
    group: &'a LocalGroup,
    call: Call,
    to: Option<Peer>,
    from: Option<Peer>,
    /// Whether its bytes go another way.
    elsewhere: bool,
    counters: Option<Counters>,
    /// Pieces posted of this exchange.
    pieces_posted: usize,
    location: Option<usize>,
    sequence: u64,
    began: Instant,
}

impl<'a> Exchange<'a> {
    pub(super) fn new(
        group: &'a LocalGroup,
        call: Call,
        (to, from): (Option<Peer>, Option<Peer>),
        elsewhere: bool,
        counters: Counters,
    ) -> Exchange<'a> {
        let sequence = exchange_number(&counters, to, from);
        let location = group.locations(&call).map(|places| places[0]).filter(|_| !elsewhere);
        let (began, counters, pieces_posted) = (Instant::now(), Some(counters), 0);
        Exchange {
            group,
            call,
            to,
            from,
            elsewhere,
            counters,
            pieces_posted,
            location,
            sequence,
            began,
        }
    }

    fn mailbox_to(&self, peer: Peer) -> &'a Mailbox {
        let group = self.group;
        group.connection.segment.mailbox(group.lane_number(group.index), peer.member)
    }

    fn mailbox_from(&self, peer: Peer) -> &'a Mailbox {
        let group = self.group;
        group.connection.segment.mailbox(group.lane_number(peer.member), group.index)
    }

    fn descriptor(&self, number: u32, count: usize) -> Descriptor {
        let (shape, sequence) = (&self.call.shape, u64::from(number));
        let (kind, dtype) = (OperationKind::Exchange, self.call.dtype);
        let descriptor = Descriptor::new(sequence, kind, dtype, Detail::None, shape, &[], count);
        if self.elsewhere { descriptor.elsewhere() } else { descriptor }
    }

    fn half(&self) -> usize {
        self.group.connection.settings.window_bytes
    }

    fn pieces(&self, bytes: usize, whole: bool) -> usize {
        if whole { usize::from(bytes > 0) } else { bytes.div_ceil(self.half()) }
    }

    /// Tells both peers what is to come, and posts the first piece where there is room for it.
    pub(super) fn announce(&mut self) -> Result<(), TransportError> {
        let mut counters = self.counters.take().expect("announced before it is completed");
        if let Some(peer) = self.to {
            let number = counters.mail[peer.member].sent + 1;
            let mailbox = self.mailbox_to(peer);
            let turn = (number % 2) as usize;
            mailbox.offers[turn].write(&self.descriptor(number, peer.count));
            let location = self.location.map_or(0, |offset| offset as u64);
            mailbox.locations[turn].store(location, Ordering::Relaxed);
            counters.mail[peer.member].sent = number;
            mailbox.offered.store(number);
        }
        if let Some(peer) = self.from {
            let number = counters.mail[peer.member].received + 1;
            let mailbox = self.mailbox_from(peer);
            mailbox.wants[(number % 2) as usize].write(&self.descriptor(number, peer.count));
            counters.mail[peer.member].received = number;
            mailbox.wanted.store(number);
        }
        let posted = match self.to {
            Some(peer) if self.has_room(peer, &counters) => self.post(peer, &mut counters),
            _ => Ok(()),
        };
        match posted {
            Ok(()) => {
                self.counters = Some(counters);
                Ok(())
            }
            Err(error) => self.group.settle(Err(error), counters),
        }
    }

    fn pieces_out(&self) -> usize {
        self.to.map_or(0, |_| self.pieces(self.call.source().bytes, self.location.is_some()))
    }

    fn has_room(&self, peer: Peer, counters: &Counters) -> bool {
        let ahead =
            counters.mail[peer.member].posted.wrapping_sub(self.mailbox_to(peer).taken.load());
        self.pieces_posted < self.pieces_out() && ahead < 2
    }

    /// Posts the next piece. There must be one, and room for it.
    fn post(&mut self, peer: Peer, counters: &mut Counters) -> Result<(), TransportError> {
        let (half, mailbox, group) = (self.half(), self.mailbox_to(peer), self.group);
        let mail = &mut counters.mail[peer.member];
        if self.location.is_none() {
            if mail.window.is_none() {
                let block = group.connection.arena.allocate(half * 2)?;
                mailbox.window.store(block.offset as u64, Ordering::Relaxed);
                mail.window = Some(block);
            }
            let window = mail.window.as_ref().expect("made above").address();
            let start = self.pieces_posted * half;
            let bytes = half.min(self.call.source().bytes - start);
            // SAFETY: the piece lies in the source; the half of the window is free, since at most
            // one piece is ahead of the receiver.
            unsafe {
                let place = window.add((mail.posted % 2) as usize * half);
                copy(self.call.source().address.add(start), place, bytes);
            }
            group.record_staged(bytes);
        }
        self.pieces_posted += 1;
        mail.posted = mail.posted.wrapping_add(1);
        mailbox.posted.store(mail.posted);
        group.connection.progress();
        Ok(())
    }

    /// Compares both announcements of each direction.
    fn compare(&self, counters: &Counters, wait: &Wait<'_>) -> Result<(), TransportError> {
        let rank = |peer: Peer| self.group.members[peer.member];
        let differs = |peer: Peer, ours: Descriptor, theirs: Descriptor| {
            let (ours, theirs) = (ours.to_string(), theirs.to_string());
            Err(wait.error(ErrorCode::Mismatch, Some(rank(peer)), ours, theirs))
        };
        if let Some(peer) = self.to {
            let number = counters.mail[peer.member].sent;
            let mailbox = self.mailbox_to(peer);
            wait.until(&mailbox.wanted, number, rank(peer), Until::Entered)?;
            let theirs = mailbox.wants[(number % 2) as usize].read();
            let ours = self.descriptor(number, peer.count);
            if ours != theirs {
                return differs(peer, ours, theirs);
            }
        }
        if let Some(peer) = self.from {
            let number = counters.mail[peer.member].received;
            let mailbox = self.mailbox_from(peer);
            wait.until(&mailbox.offered, number, rank(peer), Until::Entered)?;
            let theirs = mailbox.offers[(number % 2) as usize].read();
            let ours = self.descriptor(number, peer.count);
            if ours != theirs {
                return differs(peer, ours, theirs);
            }
        }
        Ok(())
    }

    fn move_all(&mut self, counters: &mut Counters, wait: &Wait<'_>) -> Result<(), TransportError> {
        self.compare(counters, wait)?;
        let arriving = self.from.map_or(0, |peer| {
            let turn = (counters.mail[peer.member].received % 2) as usize;
            let whole = self.mailbox_from(peer).locations[turn].load(Ordering::Relaxed) != 0;
            self.pieces(self.call.target().bytes, whole)
        });
        for piece in 0..self.pieces_out().max(arriving) {
            if let Some(peer) = self.to
                && self.pieces_posted <= piece
                && self.pieces_posted < self.pieces_out()
            {
                let before = counters.mail[peer.member].posted.wrapping_sub(1);
                let rank = self.group.members[peer.member];
                wait.until(&self.mailbox_to(peer).taken, before, rank, Until::Advanced)?;
                self.post(peer, counters)?;
            }
            if let Some(peer) = self.from
                && piece < arriving
            {
                self.take(peer, piece, counters, wait)?;
            }
        }
        if let Some(peer) = self.to
            && self.location.is_some()
        {
            // The receiver reads the caller's own memory.
            let (mail, rank) = (&counters.mail[peer.member], self.group.members[peer.member]);
            wait.until(&self.mailbox_to(peer).taken, mail.posted, rank, Until::Advanced)?;
        }
        self.group.record(OperationKind::Exchange, &self.call);
        Ok(())
    }

    fn take(
        &self,
        peer: Peer,
        piece: usize,
        counters: &mut Counters,
        wait: &Wait<'_>,
    ) -> Result<(), TransportError> {
        let (mailbox, half) = (self.mailbox_from(peer), self.half());
        let mail = &mut counters.mail[peer.member];
        let next = mail.taken.wrapping_add(1);
        wait.until(&mailbox.posted, next, self.group.members[peer.member], Until::Advanced)?;
        let location = mailbox.locations[(mail.received % 2) as usize].load(Ordering::Relaxed);
        let (source, start, bytes) = if location == 0 {
            let window = mailbox.window.load(Ordering::Relaxed) as usize;
            let start = piece * half;
            let bytes = half.min(self.call.target().bytes - start);
            (window + (mail.taken % 2) as usize * half, start, bytes)
        } else {
            (location as usize, 0, self.call.target().bytes)
        };
        let source = self.group.connection.segment.address(source, bytes);
        // SAFETY: the sender leaves the piece alone until we say that it is taken; the target has
        // room for it.
        unsafe { copy(source, self.call.target().address.add(start), bytes) };
        mail.taken = next;
        mailbox.taken.store(next);
        self.group.connection.progress();
        Ok(())
    }
}

impl Pending for Exchange<'_> {
    fn complete(mut self: Box<Self>, interrupted: &dyn Fn() -> bool) -> Result<(), TransportError> {
        let mut counters = self.counters.take().expect("a collective is completed once");
        let group = self.group;
        let wait = Wait {
            connection: &group.connection,
            kind: OperationKind::Exchange,
            sequence: self.sequence,
            began: self.began,
            // Exchanges run while the rank computes: a core that spins is one that doesn't.
            spin: false,
            interrupted,
        };
        let _moving = group.connection.moving();
        let outcome = self.move_all(&mut counters, &wait);
        group.settle(outcome, counters)
    }
}

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        if self.counters.is_some() {
            self.group.dropped(OperationKind::Exchange, self.sequence);
        }
    }
}
