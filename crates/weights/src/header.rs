//! The header of a safetensors file: eight bytes of length, then JSON.
//!
//! After the format's description in the README of huggingface/safetensors.

use crate::dtype::StoredDType;
use crate::error::{Problem, WeightErrorCode};
use crate::file::TensorEntry;
use crate::foreign;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

/// The longest header that is read: the format's own limit.
pub const MAX_HEADER_BYTES: usize = 100_000_000;
/// The most dimensions that a tensor may have.
pub const MAX_DIMENSIONS: usize = 8;

/// The largest extent, offset and count of bits that is read: 2⁵³ − 1, the last integer that
/// JavaScript counts to. A larger one would arrive there as another number.
pub const MAX_COUNT: u64 = (1 << 53) - 1;

/// Bytes before the header, which hold its length.
pub(crate) const LENGTH_BYTES: usize = 8;
pub(crate) const METADATA_KEY: &str = "__metadata__";

/// A checked header: tensors in the order of their bytes, which they cover to the last.
#[derive(Debug)]
pub(crate) struct Header {
    pub tensors: Vec<TensorEntry>,
    pub index: HashMap<String, usize>,
    pub metadata: BTreeMap<String, String>,
}

/// Checks `file`, the bytes of a whole safetensors file, and finds its tensors.
pub(crate) fn parse(file: &[u8]) -> Result<Header, Problem> {
    let json = header_json(file)?;
    let mut place = Place::default();
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let raw = HeaderSeed { place: &mut place }
        .deserialize(&mut deserializer)
        .and_then(|raw| deserializer.end().map(|()| raw));
    let raw = raw.map_err(|error| Problem {
        code: if place.duplicate {
            WeightErrorCode::DuplicateName
        } else {
            WeightErrorCode::Header
        },
        tensor: place.tensor,
        expected: "a header of tensors with dtype, shape and data_offsets".to_owned(),
        found: error.to_string(),
    })?;
    let data_start = LENGTH_BYTES + json.len();
    let mut tensors = raw
        .tensors
        .into_iter()
        .map(|(name, tensor)| check_tensor(name, tensor, data_start))
        .collect::<Result<Vec<_>, _>>()?;
    tensors.sort_by(|a, b| (a.offset, a.bytes, &a.name).cmp(&(b.offset, b.bytes, &b.name)));
    check_cover(&tensors, data_start, file.len())?;
    let index = tensors.iter().enumerate().map(|(at, entry)| (entry.name.clone(), at)).collect();
    Ok(Header { tensors, index, metadata: raw.metadata })
}

/// A file of `length` bytes, too short for a header's length.
pub(crate) fn too_short(length: u64) -> Problem {
    Problem::of_file(
        WeightErrorCode::FileLength,
        format!("at least {LENGTH_BYTES} bytes"),
        format!("{length}"),
    )
}

/// The bytes of the header proper.
fn header_json(file: &[u8]) -> Result<&[u8], Problem> {
    let foreign_or = |problem: Problem| foreign::recognise(file).unwrap_or(problem);
    let Some((length, rest)) = file.split_first_chunk::<LENGTH_BYTES>() else {
        return Err(too_short(file.len() as u64));
    };
    let found = u64::from_le_bytes(*length);
    let allowed = rest.len().min(MAX_HEADER_BYTES);
    let length =
        usize::try_from(found).ok().filter(|&length| length <= allowed).ok_or_else(|| {
            foreign_or(Problem::of_file(
                WeightErrorCode::HeaderLength,
                format!("a header of at most {allowed} bytes"),
                format!("{found}"),
            ))
        })?;
    let json = &rest[..length];
    // The format reserves the first byte for this, to tell its files by.
    if json.first() != Some(&b'{') {
        return Err(foreign_or(Problem::of_file(
            WeightErrorCode::Header,
            "a header that starts with {",
            json.first().map_or("none".to_owned(), |byte| format!("byte {byte:#04x}")),
        )));
    }
    Ok(json)
}

fn check_tensor(name: String, raw: RawTensor, data_start: usize) -> Result<TensorEntry, Problem> {
    let Some(dtype) = StoredDType::from_name(&raw.dtype) else {
        return Err(Problem::of_tensor(
            WeightErrorCode::UnknownDType,
            &name,
            format!("a dtype of {}", StoredDType::known_names()),
            format!("{:?}", raw.dtype),
        ));
    };
    if raw.dimensions > MAX_DIMENSIONS {
        return Err(Problem::of_tensor(
            WeightErrorCode::Shape,
            &name,
            format!("at most {MAX_DIMENSIONS} dimensions"),
            format!("{}", raw.dimensions),
        ));
    }
    // Each partial product is bounded: a later factor of 0 would hide what went before.
    let countable =
        raw.shape.iter().chain(&[dtype.bits() as u64]).try_fold(1, |product, &extent| {
            u64::checked_mul(product, extent).filter(|&next| next <= MAX_COUNT)
        });
    let shape: Option<Vec<usize>> =
        countable.and(raw.shape.iter().map(|&extent| usize::try_from(extent).ok()).collect());
    let sized = shape.and_then(|shape| Some((dtype.bytes_of(&shape)?, shape)));
    let Some((bytes, shape)) = sized else {
        return Err(Problem::of_tensor(
            WeightErrorCode::Shape,
            &name,
            "a shape of whole bytes that can be addressed",
            format!("{:?} of {}", raw.shape, dtype.name()),
        ));
    };
    let [begin, end] = raw.data_offsets;
    if end.checked_sub(begin) != u64::try_from(bytes).ok() {
        return Err(Problem::of_tensor(
            WeightErrorCode::Offsets,
            &name,
            format!("data_offsets {bytes} apart, for {shape:?} of {}", dtype.name()),
            format!("{:?}", raw.data_offsets),
        ));
    }
    let offset = usize::try_from(begin).ok().and_then(|begin| begin.checked_add(data_start));
    match offset {
        Some(offset) if offset.checked_add(bytes).is_some() => {
            Ok(TensorEntry { name, dtype, shape, offset, bytes })
        }
        _ => Err(Problem::of_tensor(
            WeightErrorCode::Offsets,
            &name,
            "data_offsets that can be addressed",
            format!("{:?}", raw.data_offsets),
        )),
    }
}

/// Refuses a gap, an overlap, and bytes that belong to no tensor. `tensors` are sorted by offset.
fn check_cover(
    tensors: &[TensorEntry],
    data_start: usize,
    file_length: usize,
) -> Result<(), Problem> {
    let mut covered = data_start;
    for entry in tensors {
        if entry.offset != covered {
            let kind = if entry.offset < covered { "an overlap" } else { "a gap" };
            return Err(Problem::of_tensor(
                WeightErrorCode::Offsets,
                &entry.name,
                format!("data_offsets from {}", covered - data_start),
                format!("{}: {kind}", entry.offset - data_start),
            ));
        }
        covered += entry.bytes;
    }
    if covered != file_length {
        return Err(Problem::of_file(
            WeightErrorCode::FileLength,
            format!("{covered} bytes, where the last tensor ends"),
            format!("{file_length}"),
        ));
    }
    Ok(())
}

struct RawHeader {
    tensors: Vec<(String, RawTensor)>,
    metadata: BTreeMap<String, String>,
}

struct RawTensor {
    dtype: String,
    /// The first [`MAX_DIMENSIONS`] extents.
    shape: Vec<u64>,
    /// How many extents there are.
    dimensions: usize,
    data_offsets: [u64; 2],
}

/// Where the reader is, for the error of a header that can't be read.
#[derive(Default)]
struct Place {
    tensor: Option<String>,
    duplicate: bool,
}

struct HeaderSeed<'a> {
    place: &'a mut Place,
}

impl<'de> DeserializeSeed<'de> for HeaderSeed<'_> {
    type Value = RawHeader;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<RawHeader, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for HeaderSeed<'_> {
    type Value = RawHeader;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawHeader, A::Error> {
        // In the order of the header, so that of several problems the first is told.
        let mut tensors = Vec::new();
        let mut names = HashSet::new();
        let mut metadata = None;
        while let Some(name) = map.next_key::<String>()? {
            let is_metadata = name == METADATA_KEY;
            self.place.tensor = Some(name.clone());
            let seen = if is_metadata { metadata.is_some() } else { !names.insert(name.clone()) };
            if seen {
                self.place.duplicate = true;
                return Err(A::Error::custom(format_args!("{name:?} twice")));
            }
            if is_metadata {
                metadata = Some(map.next_value_seed(MetadataSeed { place: &mut *self.place })?);
            } else {
                tensors.push((name, map.next_value_seed(TensorSeed)?));
            }
            self.place.tensor = None;
        }
        Ok(RawHeader { tensors, metadata: metadata.unwrap_or_default() })
    }
}

struct MetadataSeed<'a> {
    place: &'a mut Place,
}

impl<'de> DeserializeSeed<'de> for MetadataSeed<'_> {
    type Value = BTreeMap<String, String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for MetadataSeed<'_> {
    type Value = BTreeMap<String, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut metadata = BTreeMap::new();
        while let Some((key, value)) = map.next_entry::<String, String>()? {
            if metadata.contains_key(&key) {
                self.place.duplicate = true;
                return Err(A::Error::custom(format_args!("{key:?} twice")));
            }
            metadata.insert(key, value);
        }
        Ok(metadata)
    }
}

struct TensorSeed;

impl<'de> DeserializeSeed<'de> for TensorSeed {
    type Value = RawTensor;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<RawTensor, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for TensorSeed {
    type Value = RawTensor;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with dtype, shape and data_offsets")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawTensor, A::Error> {
        let (mut dtype, mut shape, mut data_offsets) = (None, None, None);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "dtype" if dtype.is_none() => dtype = Some(map.next_value::<String>()?),
                "shape" if shape.is_none() => shape = Some(map.next_value_seed(ShapeSeed)?),
                "data_offsets" if data_offsets.is_none() => {
                    data_offsets =
                        Some(map.next_value::<[Count; 2]>()?.map(|Count(offset)| offset));
                }
                "dtype" | "shape" | "data_offsets" => {
                    return Err(A::Error::custom(format_args!("{key:?} twice")));
                }
                _ => return Err(A::Error::custom(format_args!("the key {key:?}"))),
            }
        }
        let missing = |key: &str| A::Error::custom(format_args!("no {key:?}"));
        let (shape, dimensions) = shape.ok_or_else(|| missing("shape"))?;
        Ok(RawTensor {
            dtype: dtype.ok_or_else(|| missing("dtype"))?,
            shape,
            dimensions,
            data_offsets: data_offsets.ok_or_else(|| missing("data_offsets"))?,
        })
    }
}

/// An extent or offset, of at most [`MAX_COUNT`].
struct Count(u64);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Count, D::Error> {
        let count = u64::deserialize(deserializer)?;
        if count > MAX_COUNT {
            return Err(D::Error::custom(format_args!("{count}, which is above {MAX_COUNT}")));
        }
        Ok(Count(count))
    }
}

/// Keeps no more extents than a tensor may have, however many a header lists.
struct ShapeSeed;

impl<'de> DeserializeSeed<'de> for ShapeSeed {
    type Value = (Vec<u64>, usize);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for ShapeSeed {
    type Value = (Vec<u64>, usize);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of extents")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut shape = Vec::new();
        let mut dimensions = 0;
        while let Some(Count(extent)) = seq.next_element()? {
            dimensions += 1;
            if dimensions <= MAX_DIMENSIONS {
                shape.push(extent);
            }
        }
        Ok((shape, dimensions))
    }
}

#[cfg(test)]
mod tests;
