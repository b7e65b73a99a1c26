//! How ranks' devices exchange: what all ranks together allow.

use std::fmt;

/// The environment's word for how devices exchange: `nccl` or `staged`; by default NCCL where it can be.
pub const COLLECTIVES_VARIABLE: &str = "WAN_CUDA_COLLECTIVES";

/// How ranks' devices exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Collectives {
    /// By NCCL, from device to device.
    Nccl {
        /// Its version, as `2.30.7`.
        version: String,
    },
    /// Through the memory of their machines.
    Staged {
        /// Why, in a few words.
        reason: String,
    },
}

/// What the environment asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Any,
    Nccl,
    Staged,
}

impl Wanted {
    /// Reads the variable's value.
    pub(crate) fn parse(value: Option<&str>) -> Result<Wanted, String> {
        match value {
            None | Some("") => Ok(Wanted::Any),
            Some("nccl") => Ok(Wanted::Nccl),
            Some("staged") => Ok(Wanted::Staged),
            Some(other) => {
                Err(format!("{COLLECTIVES_VARIABLE}={other}: it must be nccl or staged, or unset"))
            }
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Wanted::Any => "",
            Wanted::Nccl => "nccl",
            Wanted::Staged => "staged",
        })
    }
}

/// What a rank tells the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Its device, named alike by all who share it.
    pub device: String,
    /// What its environment asks for, or why that is nothing that can be.
    pub wanted: Result<Wanted, String>,
    /// Its NCCL's version, or why it has none.
    pub nccl: Result<String, String>,
}

/// Bytes that ranks exchange of each other's facts.
pub(crate) const FACTS_BYTES: usize = 1024;

impl Facts {
    /// Lines, cut to their length and filled up with zeros.
    pub(crate) fn encode(&self) -> [u8; FACTS_BYTES] {
        let line = |text: &str| text.replace('\n', " ");
        let wanted = match &self.wanted {
            Ok(wanted) => format!("+{wanted}"),
            Err(problem) => format!("-{}", line(problem)),
        };
        let nccl = match &self.nccl {
            Ok(version) => format!("+{version}"),
            Err(problem) => format!("-{}", line(problem)),
        };
        let text = format!("{}\n{wanted}\n{nccl}", line(&self.device));
        let mut end = text.len().min(FACTS_BYTES);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let mut bytes = [0; FACTS_BYTES];
        bytes[..end].copy_from_slice(&text.as_bytes()[..end]);
        bytes
    }

    /// What [`Facts::encode`] wrote.
    pub(crate) fn decode(bytes: &[u8]) -> Facts {
        let text = String::from_utf8_lossy(bytes);
        let mut lines = text.trim_end_matches('\0').split('\n');
        let mut next = || lines.next().unwrap_or_default();
        let signed = |line: &str| match line.split_at_checked(1) {
            Some(("+", rest)) => Ok(rest.to_owned()),
            Some((_, rest)) => Err(rest.to_owned()),
            None => Err("nothing was told".to_owned()),
        };
        Facts {
            device: next().to_owned(),
            wanted: signed(next()).and_then(|value| Wanted::parse(Some(&value))),
            nccl: signed(next()),
        }
    }
}

/// What ranks with these facts do, the same on all, or why they can't do what they are asked to.
pub(crate) fn choose(facts: &[Facts]) -> Result<Collectives, String> {
    let mut all = Vec::with_capacity(facts.len());
    for (rank, each) in facts.iter().enumerate() {
        all.push(each.wanted.as_ref().map_err(|problem| format!("rank {rank}: {problem}"))?);
    }
    let Some(&&wanted) = all.first() else {
        return Ok(Collectives::Staged { reason: "there are no ranks".to_owned() });
    };
    if let Some(rank) = all.iter().position(|other| **other != wanted) {
        return Err(format!(
            "{COLLECTIVES_VARIABLE} is \"{}\" on rank {rank}, and \"{wanted}\" on rank 0; it must be \
             the same on all",
            all[rank]
        ));
    }
    if wanted == Wanted::Staged {
        let reason = format!("{COLLECTIVES_VARIABLE} says so");
        return Ok(Collectives::Staged { reason });
    }
    match (obstacle(facts), wanted) {
        (Ok(version), _) => Ok(Collectives::Nccl { version }),
        (Err(reason), Wanted::Nccl) => Err(format!("{COLLECTIVES_VARIABLE}=nccl, but {reason}")),
        (Err(reason), _) => Ok(Collectives::Staged { reason }),
    }
}

/// The version of NCCL that all ranks have, or what is in its way.
fn obstacle(facts: &[Facts]) -> Result<String, String> {
    for (rank, each) in facts.iter().enumerate() {
        let same = |other: &&Facts| other.device == each.device;
        if let Some(other) = facts[..rank].iter().position(|other| same(&other)) {
            return Err(format!("ranks {other} and {rank} share a device"));
        }
    }
    let mut versions = Vec::with_capacity(facts.len());
    for (rank, each) in facts.iter().enumerate() {
        versions.push(each.nccl.as_ref().map_err(|problem| format!("rank {rank} has {problem}"))?);
    }
    if let Some(rank) = versions.iter().position(|version| *version != versions[0]) {
        let (first, other) = (versions[0], versions[rank]);
        return Err(format!("rank {rank} has NCCL {other}, and rank 0 NCCL {first}"));
    }
    Ok(versions[0].clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(device: &str) -> Facts {
        let (wanted, nccl) = (Ok(Wanted::Any), Ok("2.30.7".to_owned()));
        Facts { device: device.to_owned(), wanted, nccl }
    }

    fn staged(facts: &[Facts]) -> String {
        match choose(facts).unwrap() {
            Collectives::Staged { reason } => reason,
            Collectives::Nccl { version } => panic!("NCCL {version}"),
        }
    }

    #[test]
    fn nccl_takes_a_device_a_rank_and_one_version() {
        let pair = [facts("a"), facts("b")];
        let nccl = Collectives::Nccl { version: "2.30.7".to_owned() };
        assert_eq!(choose(&pair), Ok(nccl));
        assert_eq!(staged(&[facts("a"), facts("b"), facts("a")]), "ranks 0 and 2 share a device");
        let without = Facts { nccl: Err("no NCCL: tried x".to_owned()), ..facts("b") };
        assert_eq!(staged(&[facts("a"), without.clone()]), "rank 1 has no NCCL: tried x");
        let older = Facts { nccl: Ok("2.18.1".to_owned()), ..facts("b") };
        let reason = "rank 1 has NCCL 2.18.1, and rank 0 NCCL 2.30.7";
        assert_eq!(staged(&[facts("a"), older]), reason);
        let forced = |facts: Facts| Facts { wanted: Ok(Wanted::Nccl), ..facts };
        let error = choose(&[forced(facts("a")), forced(without)]).unwrap_err();
        assert_eq!(error, "WAN_CUDA_COLLECTIVES=nccl, but rank 1 has no NCCL: tried x");
    }

    #[test]
    fn the_environment_decides_where_all_agree() {
        let of = |wanted| Facts { wanted, ..facts("a") };
        let staged_all = [of(Ok(Wanted::Staged)), of(Ok(Wanted::Staged))];
        assert_eq!(staged(&staged_all), "WAN_CUDA_COLLECTIVES says so");
        let error = choose(&[of(Ok(Wanted::Any)), of(Ok(Wanted::Staged))]).unwrap_err();
        let expected = "WAN_CUDA_COLLECTIVES is \"staged\" on rank 1, and \"\" on rank 0";
        assert!(error.starts_with(expected), "{error}");
        let error = choose(&[of(Ok(Wanted::Any)), of(Wanted::parse(Some("mpi")))]).unwrap_err();
        assert!(error.starts_with("rank 1: WAN_CUDA_COLLECTIVES=mpi: it must be"), "{error}");
    }

    #[test]
    fn facts_come_back_and_long_ones_are_cut() {
        for each in [
            facts("a device"),
            Facts { wanted: Ok(Wanted::Staged), ..facts("b") },
            Facts { nccl: Err("nothing\nat all".to_owned()), ..facts("c") },
        ] {
            let expected = Facts {
                nccl: each.nccl.clone().map_err(|_| "nothing at all".into()),
                ..each.clone()
            };
            assert_eq!(Facts::decode(&each.encode()), expected);
        }
        let long = Facts { nccl: Err("é".repeat(2000)), ..facts("d") };
        let cut = Facts::decode(&long.encode()).nccl.unwrap_err();
        assert!(cut.len() > 900 && cut.chars().all(|letter| letter == 'é'));
    }
}
