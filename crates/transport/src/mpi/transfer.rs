//! Bytes on their way from or to one rank, a few pieces at a time.

use super::api::{Mpi, Request};
use crate::call::{Buffer, BufferMut};
use crate::reshard::Reshard;
use std::collections::VecDeque;
use std::ffi::c_int;
use std::ops::Range;

/// Bytes of a message: far below MPI's 31-bit counts, and little enough that signs of life, which
/// go the same way, don't wait long behind it.
pub(super) const PIECE: usize = 4 << 20;
/// Pieces of one transfer that may be under way.
const MOST_AHEAD: usize = 4;
/// Bytes of all transfers of a step that may be under way, as far as one piece of each allows.
const BYTES_AHEAD: usize = 64 << 20;

/// How many pieces of each of `transfers` transfers may be under way.
pub(super) fn pieces_ahead(transfers: usize) -> usize {
    (BYTES_AHEAD / PIECE / transfers.max(1)).clamp(1, MOST_AHEAD)
}

/// Where the bytes are or shall be.
pub(super) enum Content {
    /// In one place; sent.
    Source(Buffer),
    /// In one place; received.
    Target(BufferMut),
    /// Spread over tensors, of which member `.0` has parts for member `.1`; sent.
    Packed(Strided<Buffer>, (usize, usize)),
    /// As above; received.
    Unpacked(Strided<BufferMut>, (usize, usize)),
}

/// Tensors that are shared out along another dimension.
#[derive(Clone)]
pub(super) struct Strided<B> {
    pub reshard: Reshard,
    pub element: usize,
    pub tensors: Vec<B>,
}

struct Piece {
    request: Request,
    range: Range<usize>,
    /// What is sent or received, where it lies in more than one place.
    staging: Vec<u8>,
}

/// Bytes on their way from or to one rank.
pub(super) struct Transfer {
    rank: usize,
    tag: c_int,
    bytes: usize,
    content: Content,
    begun: usize,
    pieces: VecDeque<Piece>,
}

impl Transfer {
    pub(super) fn new(rank: usize, tag: c_int, bytes: usize, content: Content) -> Transfer {
        Transfer { rank, tag, bytes, content, begun: 0, pieces: VecDeque::new() }
    }

    /// The rank at the other end.
    pub(super) fn rank(&self) -> usize {
        self.rank
    }

    pub(super) fn is_done(&self) -> bool {
        self.begun == self.bytes && self.pieces.is_empty()
    }

    /// Whether MPI may still touch the caller's memory.
    pub(super) fn is_under_way(&self) -> bool {
        !self.pieces.is_empty()
    }

    /// Settles pieces that have arrived or gone and begins others; whether there were any.
    pub(super) fn advance(&mut self, mpi: &dyn Mpi, ahead: usize) -> Result<bool, String> {
        let mut moved = false;
        // In order: messages between two ranks don't overtake each other.
        while let Some(piece) = self.pieces.front_mut() {
            if !mpi.test(&mut piece.request)? {
                break;
            }
            if let Some(piece) = self.pieces.pop_front() {
                self.settle(&piece);
            }
            moved = true;
        }
        while self.begun < self.bytes && self.pieces.len() < ahead {
            let end = self.bytes.min(self.begun + PIECE);
            let piece = self.begin(mpi, self.begun..end)?;
            self.pieces.push_back(piece);
            self.begun = end;
            moved = true;
        }
        Ok(moved)
    }

    fn begin(&self, mpi: &dyn Mpi, range: Range<usize>) -> Result<Piece, String> {
        let (rank, tag, bytes) = (self.rank, self.tag, range.len());
        let mut staging = Vec::new();
        let request = match &self.content {
            Content::Source(source) => {
                // SAFETY: the range lies in the source, which its owner leaves alone until the
                // collective is settled.
                unsafe { mpi.send(source.address.add(range.start), bytes, rank, tag) }?
            }
            Content::Target(target) => {
                // SAFETY: as above, for the target.
                unsafe { mpi.receive(target.address.add(range.start), bytes, rank, tag) }?
            }
            Content::Packed(strided, pair) => {
                staging.resize(bytes, 0);
                let sources: Vec<_> = strided.tensors.iter().map(|tensor| tensor.address).collect();
                // SAFETY: the sources are this member's tensors (see `check`); the staging is as
                // long as the range. Its bytes don't move when the piece does.
                unsafe {
                    let packed = staging.as_mut_ptr();
                    let Strided { reshard, element, .. } = strided;
                    reshard.pack(*pair, *element, &sources, range.clone(), packed);
                    mpi.send(packed, bytes, rank, tag)
                }?
            }
            Content::Unpacked(..) => {
                staging.resize(bytes, 0);
                // SAFETY: as above.
                unsafe { mpi.receive(staging.as_mut_ptr(), bytes, rank, tag) }?
            }
        };
        Ok(Piece { request, range, staging })
    }

    fn settle(&self, piece: &Piece) {
        if let Content::Unpacked(strided, pair) = &self.content {
            let targets: Vec<_> = strided.tensors.iter().map(|tensor| tensor.address).collect();
            let Strided { reshard, element, .. } = strided;
            // SAFETY: the targets are this member's tensors (see `check`).
            unsafe {
                let packed = piece.staging.as_ptr();
                reshard.unpack(*pair, *element, packed, piece.range.clone(), &targets);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_transfers_run_ahead_and_many_a_piece_each() {
        assert_eq!(pieces_ahead(0), MOST_AHEAD);
        assert_eq!(pieces_ahead(2), MOST_AHEAD);
        assert_eq!(pieces_ahead(8), 2);
        assert_eq!(pieces_ahead(500), 1);
    }
}
