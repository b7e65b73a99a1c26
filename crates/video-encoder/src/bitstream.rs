//! NAL units, and the form in which an MP4 file stores them.
//!
//! Clauses are of ITU-T H.264 (NAL units, parameter sets) and of ISO/IEC 14496-15 (`avcC`, lengths).

/// `nal_unit_type`, H.264 table 7-1.
pub(crate) const SEQUENCE_PARAMETER_SET: u8 = 7;
pub(crate) const PICTURE_PARAMETER_SET: u8 = 8;

/// Bytes of the length written before each NAL unit; told to the reader in `avcC`.
const LENGTH_BYTES: u8 = 4;

/// The `nal_unit_type` of a NAL unit without start code; clause 7.3.1.
pub(crate) fn nal_unit_type(nal_unit: &[u8]) -> Option<u8> {
    nal_unit.first().map(|header| header & 0x1f)
}

/// Takes the Annex B start code (00 00 01 or 00 00 00 01) off; `None` where there is none.
pub(crate) fn without_start_code(nal_unit: &[u8]) -> Option<&[u8]> {
    nal_unit.strip_prefix(&[0, 0, 0, 1]).or_else(|| nal_unit.strip_prefix(&[0, 0, 1]))
}

/// Appends a NAL unit with its length before it; ISO/IEC 14496-15, clause 5.3.3.
pub(crate) fn push_with_length(sample: &mut Vec<u8>, nal_unit: &[u8]) {
    sample.extend_from_slice(&(nal_unit.len() as u32).to_be_bytes());
    sample.extend_from_slice(nal_unit);
}

/// The `avcC` record of a stream with one sequence and one picture parameter set, both without start
/// codes; ISO/IEC 14496-15, clause 5.3.3.1. `None` where the sequence parameter set is too short to
/// hold its profile and level, or a set too long for its 16-bit length.
///
/// The fields that the record has for High profiles (chroma format, bit depths) are left out: the
/// encoder writes the Baseline profile.
pub(crate) fn decoder_configuration(sequence: &[u8], picture: &[u8]) -> Option<Vec<u8>> {
    let [_, profile, compatibility, level, ..] = *sequence else { return None };
    let mut record = Vec::with_capacity(11 + sequence.len() + picture.len());
    // configurationVersion, then the three bytes that make the codec string "avc1.PPCCLL".
    record.extend_from_slice(&[1, profile, compatibility, level]);
    // Six reserved bits and lengthSizeMinusOne; three reserved bits and the number of sequence sets.
    record.extend_from_slice(&[0b1111_1100 | (LENGTH_BYTES - 1), 0b1110_0000 | 1]);
    record.extend_from_slice(&u16::try_from(sequence.len()).ok()?.to_be_bytes());
    record.extend_from_slice(sequence);
    record.push(1);
    record.extend_from_slice(&u16::try_from(picture.len()).ok()?.to_be_bytes());
    record.extend_from_slice(picture);
    Some(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_codes_of_three_and_four_bytes_come_off() {
        assert_eq!(without_start_code(&[0, 0, 0, 1, 0x67, 9]), Some(&[0x67, 9][..]));
        assert_eq!(without_start_code(&[0, 0, 1, 0x68]), Some(&[0x68][..]));
        assert_eq!(without_start_code(&[0x67, 0, 0, 1]), None);
        assert_eq!(without_start_code(&[]), None);
    }

    #[test]
    fn types_are_the_low_five_bits() {
        assert_eq!(nal_unit_type(&[0x67]), Some(SEQUENCE_PARAMETER_SET));
        assert_eq!(nal_unit_type(&[0x68]), Some(PICTURE_PARAMETER_SET));
        assert_eq!(nal_unit_type(&[]), None);
    }

    #[test]
    fn lengths_are_big_endian() {
        let mut sample = vec![];
        push_with_length(&mut sample, &[7; 258]);
        assert_eq!(sample[..5], [0, 0, 1, 2, 7]);
        assert_eq!(sample.len(), 262);
    }

    #[test]
    fn record_has_the_fields_of_the_standard() {
        let record = decoder_configuration(&[0x67, 0x42, 0xc0, 0x1e, 5], &[0x68, 6]);
        let expected =
            [1, 0x42, 0xc0, 0x1e, 0xff, 0xe1, 0, 5, 0x67, 0x42, 0xc0, 0x1e, 5, 1, 0, 2, 0x68, 6];
        assert_eq!(record.as_deref(), Some(&expected[..]));
    }

    #[test]
    fn a_truncated_or_oversized_set_gives_no_record() {
        assert_eq!(decoder_configuration(&[0x67, 0x42, 0xc0], &[0x68]), None);
        assert_eq!(decoder_configuration(&[0x67, 0x42, 0xc0, 0x1e], &vec![0x68; 70_000]), None);
    }
}
