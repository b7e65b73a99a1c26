//! Sockets between every two ranks.

use crate::status::{Failure, Status};
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long ranks may take to come; a test that waits longer has failed.
const DEADLINE: Duration = Duration::from_secs(60);
const NAP: Duration = Duration::from_millis(2);

/// A connection to every other rank.
pub struct Mesh {
    /// By rank; none to oneself.
    streams: Vec<Option<UnixStream>>,
}

fn system(what: &str, error: &std::io::Error) -> Failure {
    Failure::new(Status::SYSTEM, format!("{what}: {error}"))
}

/// A socket's file, which goes away with it.
struct Door(PathBuf);

impl Drop for Door {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Mesh {
    /// Connects rank `rank` of `size` with all others that name the same `meeting`.
    pub fn join(
        meeting: &str,
        rank: usize,
        size: usize,
        called_off: &AtomicBool,
    ) -> Result<Mesh, Failure> {
        let place = |rank: usize| std::env::temp_dir().join(format!("wan-nccl-{meeting}-{rank}"));
        let own = place(rank);
        let listener = UnixListener::bind(&own)
            .map_err(|error| system(&format!("rank {rank}, a second time?"), &error))?;
        let _door = Door(own);
        listener.set_nonblocking(true).map_err(|error| system("accept", &error))?;
        let begin = Instant::now();
        let wait = |missing: &str| {
            if called_off.load(Ordering::Acquire) {
                return Err(Failure::new(Status::REMOTE, "called off"));
            }
            if begin.elapsed() > DEADLINE {
                return Err(Failure::new(Status::SYSTEM, format!("{missing} doesn't come")));
            }
            std::thread::sleep(NAP);
            Ok(())
        };
        let mut streams: Vec<Option<UnixStream>> = (0..size).map(|_| None).collect();
        for (other, slot) in streams.iter_mut().enumerate().take(rank) {
            let mut stream = loop {
                match UnixStream::connect(place(other)) {
                    Ok(stream) => break stream,
                    Err(_) => wait(&format!("rank {other}"))?,
                }
            };
            let number = (rank as u64).to_le_bytes();
            stream.write_all(&number).map_err(|error| system("connect", &error))?;
            *slot = Some(stream);
        }
        while streams.iter().skip(rank + 1).any(Option::is_none) {
            match listener.accept() {
                Ok((mut stream, _)) => {
                    let mut number = [0; 8];
                    stream
                        .set_nonblocking(false)
                        .and_then(|()| stream.read_exact(&mut number))
                        .map_err(|error| system("accept", &error))?;
                    let other = u64::from_le_bytes(number) as usize;
                    match streams.get_mut(other) {
                        Some(slot @ None) if other > rank => *slot = Some(stream),
                        _ => {
                            return Err(Failure::new(Status::USAGE, format!("rank {other} again")));
                        }
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => wait("a rank")?,
                Err(error) => return Err(system("accept", &error)),
            }
        }
        Ok(Mesh { streams })
    }

    fn stream(&self, peer: usize) -> Result<&UnixStream, Failure> {
        let stream = self.streams.get(peer).and_then(Option::as_ref);
        stream.ok_or_else(|| Failure::new(Status::ARGUMENT, format!("no rank {peer}")))
    }

    /// Sends a message of a call of that kind.
    pub fn send(&self, peer: usize, kind: u64, bytes: &[u8]) -> Result<(), Failure> {
        let mut stream = self.stream(peer)?;
        let header = [kind.to_le_bytes(), (bytes.len() as u64).to_le_bytes()].concat();
        stream.write_all(&header).and_then(|()| stream.write_all(bytes)).map_err(|error| {
            Failure::new(Status::REMOTE, format!("sending to rank {peer}: {error}"))
        })
    }

    /// Takes the next message of a rank, which must be of that kind and length.
    pub fn receive(&self, peer: usize, kind: u64, bytes: usize) -> Result<Vec<u8>, Failure> {
        let mut stream = self.stream(peer)?;
        let lost = |error: std::io::Error| {
            Failure::new(Status::REMOTE, format!("receiving from rank {peer}: {error}"))
        };
        let mut header = [0; 16];
        stream.read_exact(&mut header).map_err(lost)?;
        let word = |place: usize| {
            u64::from_le_bytes(header[place..place + 8].try_into().unwrap_or_default())
        };
        if (word(0), word(8)) != (kind, bytes as u64) {
            let message = format!(
                "rank {peer} sends {} bytes of call {:#x}, but {bytes} of {kind:#x} are awaited",
                word(8),
                word(0)
            );
            return Err(Failure::new(Status::USAGE, message));
        }
        let mut received = vec![0; bytes];
        stream.read_exact(&mut received).map_err(lost)?;
        Ok(received)
    }

    /// Ends all that is under way, here and at the others.
    pub fn shut_down(&self) {
        for stream in self.streams.iter().flatten() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}
