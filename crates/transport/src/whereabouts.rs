//! Where a rank is, in words.

use crate::descriptor::OperationKind;

/// A collective that a rank has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Its kind.
    pub kind: OperationKind,
    /// Its number.
    pub sequence: u64,
    /// Whether the rank is in it still.
    pub within: bool,
}

/// "at step 3, block 7, all-to-all #281", of what a rank has said of its position and the last
/// collective that it has come to.
pub(crate) fn whereabouts(position: &str, place: Option<Place>) -> String {
    let collective = place.map(|Place { kind, sequence, within }| {
        format!("{}{} #{sequence}", if within { "" } else { "after " }, kind.name())
    });
    match (position.is_empty(), collective) {
        (true, None) => "before its first collective".into(),
        (false, None) => format!("at {position}"),
        (true, Some(collective)) if collective.starts_with("after ") => collective,
        (true, Some(collective)) => format!("at {collective}"),
        (false, Some(collective)) => format!("at {position}, {collective}"),
    }
}
