//! What ranks tell each other beside collectives: messages of one size, so that they can be
//! received before it is known what they say.

use super::board::{Fault, FaultKind, Life};
use crate::descriptor::OperationKind;
use crate::whereabouts::Place;

/// The size of both kinds of messages.
pub(super) const MESSAGE: usize = 1024;

/// Ranks of other versions of this protocol are refused.
pub(super) const PROTOCOL: u64 = 1;
const MAGIC: u64 = u64::from_le_bytes(*b"wanranks");

const POSITION: usize = 160;
const REASON: usize = 700;

/// A message's bytes.
pub(super) type Message = [u8; MESSAGE];

/// The first message of a rank to each other.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Hello {
    pub rank: usize,
    pub world: usize,
    pub pid: u32,
    /// A number for the machine, or rather for all processes that see each other's numbers.
    pub machine: u64,
    /// The version of this program.
    pub version: String,
}

/// A rank's life and place, several times a second.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Status {
    pub life: Life,
    pub position: String,
    pub place: Option<Place>,
    pub fault: Option<Fault>,
}

impl Hello {
    pub(super) fn encode(&self) -> Message {
        let mut writer = Writer::new();
        for word in [MAGIC, PROTOCOL, self.rank as u64, self.world as u64, self.pid.into()] {
            writer.word(word);
        }
        writer.word(self.machine);
        writer.text(&self.version, POSITION);
        writer.message
    }

    /// What a rank says, or what it says of its protocol where that is another.
    pub(super) fn decode(message: &Message) -> Result<Hello, String> {
        let mut reader = Reader { message, position: 0 };
        if reader.word() != MAGIC {
            return Err("something that is no rank of this program".into());
        }
        let protocol = reader.word();
        if protocol != PROTOCOL {
            return Err(format!("protocol {protocol}, and this rank speaks {PROTOCOL}"));
        }
        let mut number = || reader.word() as usize;
        let (rank, world, pid) = (number(), number(), number() as u32);
        let machine = reader.word();
        Ok(Hello { rank, world, pid, machine, version: reader.text() })
    }
}

impl Status {
    pub(super) fn encode(&self) -> Message {
        let mut writer = Writer::new();
        writer.word(self.life as u64);
        let place = self.place.map_or([0; 3], |Place { kind, sequence, within }| {
            [kind as u64, sequence, within.into()]
        });
        let fault = self
            .fault
            .as_ref()
            .map_or([0; 2], |Fault { kind, rank, .. }| [*kind as u64, *rank as u64]);
        for word in place.into_iter().chain(fault) {
            writer.word(word);
        }
        writer.text(&self.position, POSITION);
        writer.text(self.fault.as_ref().map_or("", |fault| &fault.found), REASON);
        writer.message
    }

    pub(super) fn decode(message: &Message) -> Status {
        let mut reader = Reader { message, position: 0 };
        let life = Life::from_number(reader.word());
        let kind = OperationKind::from_number(reader.word());
        let (sequence, within) = (reader.word(), reader.word() != 0);
        let fault = FaultKind::from_number(reader.word());
        let rank = reader.word() as usize;
        let (position, found) = (reader.text(), reader.text());
        Status {
            life,
            position,
            place: kind.map(|kind| Place { kind, sequence, within }),
            fault: fault.map(|kind| Fault { kind, rank, found }),
        }
    }
}

struct Writer {
    message: Message,
    position: usize,
}

impl Writer {
    fn new() -> Writer {
        Writer { message: [0; MESSAGE], position: 0 }
    }

    fn word(&mut self, word: u64) {
        self.message[self.position..self.position + 8].copy_from_slice(&word.to_le_bytes());
        self.position += 8;
    }

    /// At most `limit` bytes of a text, cut between characters.
    fn text(&mut self, text: &str, limit: usize) {
        let text = &text[..text.floor_char_boundary(limit)];
        self.word(text.len() as u64);
        self.message[self.position..self.position + text.len()].copy_from_slice(text.as_bytes());
        self.position += text.len();
    }
}

struct Reader<'a> {
    message: &'a Message,
    position: usize,
}

impl Reader<'_> {
    fn word(&mut self) -> u64 {
        let bytes = self.message.get(self.position..self.position + 8);
        self.position += 8;
        bytes.map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().expect("8 bytes")))
    }

    fn text(&mut self) -> String {
        let length = self.word() as usize;
        let bytes = self.message.get(self.position..).and_then(|rest| rest.get(..length));
        self.position = self.position.saturating_add(length).min(MESSAGE);
        String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_come_back_as_they_were_sent() {
        let place = Some(Place { kind: OperationKind::AllToAll, sequence: 281, within: true });
        let found = "rank 1: all-gather #2: the ranks disagree".to_owned();
        for status in [
            Status { life: Life::Running, position: String::new(), place: None, fault: None },
            Status {
                life: Life::Done,
                position: "step 3, block 7".into(),
                place,
                fault: Some(Fault { kind: FaultKind::Disagreed, rank: 1, found }),
            },
        ] {
            assert_eq!(Status::decode(&status.encode()), status);
        }
    }

    #[test]
    fn long_texts_are_cut_between_characters_and_fit() {
        let found = "é".repeat(2000);
        let fault = Some(Fault { kind: FaultKind::Failed, rank: 255, found: found.clone() });
        let status =
            Status { life: Life::Running, position: format!("x{found}"), place: None, fault };
        let read = Status::decode(&status.encode());
        assert_eq!(read.position.len(), POSITION - 1);
        assert_eq!(read.fault.unwrap().found, "é".repeat(REASON / 2));
    }

    #[test]
    fn what_is_no_message_of_a_rank_is_refused() {
        let (version, machine) = ("0.1.0".to_owned(), u64::MAX);
        let hello = Hello { rank: 3, world: 4, pid: 77, machine, version };
        let mut message = hello.encode();
        assert_eq!(Hello::decode(&message), Ok(hello));
        message[8] = 9;
        assert!(Hello::decode(&message).unwrap_err().starts_with("protocol 9"));
        assert!(Hello::decode(&[0xff; MESSAGE]).is_err());
        // Lengths beyond the message are no reason to fail.
        Status::decode(&[0xff; MESSAGE]);
    }
}
