//! Counts of what a group has moved.

use crate::descriptor::OperationKind;
use std::collections::BTreeMap;

/// Completed collectives of one kind, as this member saw them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LedgerEntry {
    /// Collectives.
    pub count: u64,
    /// Payload bytes that went from this member to others.
    pub bytes_sent: u64,
    /// Payload bytes that came from others.
    pub bytes_received: u64,
}

/// Completed collectives of a group by kind. What a member sends to itself doesn't count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    entries: BTreeMap<OperationKind, LedgerEntry>,
    staged: u64,
}

impl Ledger {
    pub(crate) fn add(&mut self, kind: OperationKind, sent: usize, received: usize) {
        let entry = self.entries.entry(kind).or_default();
        entry.count += 1;
        entry.bytes_sent += sent as u64;
        entry.bytes_received += received as u64;
    }

    pub(crate) fn add_staged(&mut self, bytes: usize) {
        self.staged += bytes as u64;
    }

    /// Bytes that were copied on this side before others could have them, because they didn't lie
    /// where others read.
    pub fn staged_bytes(&self) -> u64 {
        self.staged
    }

    /// What is known of a kind; zeros where none ran.
    pub fn get(&self, kind: OperationKind) -> LedgerEntry {
        self.entries.get(&kind).copied().unwrap_or_default()
    }

    /// The kinds that ran.
    pub fn entries(&self) -> impl Iterator<Item = (OperationKind, LedgerEntry)> + '_ {
        self.entries.iter().map(|(kind, entry)| (*kind, *entry))
    }
}
