//! Barriers of a block of threads, by number: of all its threads, or of as many as are told.

use super::fault::{Fault, FaultKind, Outcome};
use super::warp::LANES;

/// Barriers that a block has.
const COUNT: usize = 16;

/// Warps at a barrier: a bit for each.
#[derive(Clone, Copy, Debug, Default)]
struct Meeting {
    /// Those that came and went on.
    arrived: u32,
    /// Those that wait.
    waiting: u32,
    /// How many threads meet; none for all.
    threads: Option<u32>,
}

/// A block's barriers.
#[derive(Debug, Default)]
pub struct Meetings([Meeting; COUNT]);

impl Meetings {
    /// A warp comes to a barrier, and waits there or not.
    pub fn come(&mut self, warp: u32, number: u32, threads: Option<u32>, waits: bool) -> Outcome {
        let failed = |message: String| Err(Fault::new(FaultKind::LaunchFailed, 0, message));
        let Some(meeting) = self.0.get_mut(number as usize) else {
            return failed(format!("barrier {number}, of which there are {COUNT}"));
        };
        let there = meeting.arrived | meeting.waiting;
        if there != 0 && meeting.threads != threads {
            return failed(format!("barrier {number} is of other numbers of threads elsewhere"));
        }
        if threads.is_some_and(|threads| !threads.is_multiple_of(LANES as u32)) {
            return failed(format!(
                "barrier {number} of {threads:?} threads, which aren't whole warps"
            ));
        }
        if there >> warp & 1 == 1 {
            return failed(format!("a warp comes to barrier {number} again before the others"));
        }
        meeting.threads = threads;
        let list = if waits { &mut meeting.waiting } else { &mut meeting.arrived };
        *list |= 1 << warp;
        Ok(())
    }

    /// Warps that a barrier lets go on, of those alive. 0 where none does.
    pub fn release(&mut self, alive: u32) -> Result<u32, Box<Fault>> {
        for (number, meeting) in self.0.iter_mut().enumerate() {
            let there = meeting.arrived | meeting.waiting;
            let complete = match meeting.threads {
                _ if there == 0 => false,
                None => there & alive == alive,
                Some(threads) => {
                    let found = there.count_ones() * LANES as u32;
                    if found > threads {
                        let message =
                            format!("{found} threads at barrier {number}, which is of {threads}");
                        return Err(Fault::new(FaultKind::LaunchFailed, 0, message));
                    }
                    found == threads
                }
            };
            if complete {
                return Ok(std::mem::take(meeting).waiting);
            }
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_barrier_of_all_waits_for_those_that_are_alive() {
        let mut meetings = Meetings::default();
        meetings.come(0, 0, None, true).unwrap();
        assert_eq!(meetings.release(0b111).unwrap(), 0);
        meetings.come(2, 0, None, true).unwrap();
        assert_eq!(meetings.release(0b101).unwrap(), 0b101);
        assert_eq!(meetings.release(0b101).unwrap(), 0);
    }

    #[test]
    fn a_barrier_of_some_counts_those_that_went_on() {
        let mut meetings = Meetings::default();
        meetings.come(1, 3, Some(64), false).unwrap();
        assert_eq!(meetings.release(0b1111).unwrap(), 0);
        meetings.come(3, 3, Some(64), true).unwrap();
        assert_eq!(meetings.release(0b1111).unwrap(), 0b1000);
    }

    #[test]
    fn what_no_barrier_allows_is_refused() {
        let refused = |come: &[(u32, u32, Option<u32>)]| {
            let mut meetings = Meetings::default();
            let mut outcomes = come
                .iter()
                .map(|&(warp, number, threads)| meetings.come(warp, number, threads, true));
            outcomes.find_map(Result::err).map(|fault| fault.message).unwrap_or_default()
        };
        assert!(refused(&[(0, 16, None)]).contains("barrier 16"));
        assert!(refused(&[(0, 1, Some(48))]).contains("whole warps"));
        assert!(refused(&[(0, 1, Some(64)), (1, 1, None)]).contains("other numbers"));
        assert!(refused(&[(0, 1, Some(64)), (0, 1, Some(64))]).contains("again"));
        let mut meetings = Meetings::default();
        meetings.come(0, 1, Some(32), false).unwrap();
        meetings.come(1, 1, Some(32), false).unwrap();
        assert!(meetings.release(3).unwrap_err().message.contains("64 threads"));
    }
}
