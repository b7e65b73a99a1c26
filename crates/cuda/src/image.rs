//! Checks that an image of kernels ends where it says: the driver is given no length.

/// The first bytes of an ELF file, which a cubin is.
const ELF_MAGIC: [u8; 4] = [0x7f, b'E', b'L', b'F'];
/// Bytes of the header of a 64-bit ELF file, and of one entry of its section table.
const ELF_HEADER: usize = 64;
const ELF_SECTION: usize = 64;
/// Sections of that type have no bytes in the file.
const SHT_NOBITS: u32 = 8;

/// Whether the image is a cubin.
pub(crate) fn is_elf(image: &[u8]) -> bool {
    image.starts_with(&ELF_MAGIC)
}

/// `Ok` for a cubin that is whole, and for text that ends in its only zero byte.
pub(crate) fn check(image: &[u8]) -> Result<(), String> {
    if is_elf(image) {
        return check_elf(image);
    }
    match image.iter().position(|byte| *byte == 0) {
        Some(end) if end + 1 == image.len() && end > 0 => Ok(()),
        Some(0) => Err("no kernels: the image is empty".into()),
        Some(end) => Err(format!(
            "no kernels: neither a cubin, nor PTX that ends in a zero byte (byte {end} of {} is \
             one)",
            image.len()
        )),
        None => Err(format!(
            "no kernels: neither a cubin, nor PTX that ends in a zero byte ({} bytes)",
            image.len()
        )),
    }
}

fn check_elf(image: &[u8]) -> Result<(), String> {
    let cut = || format!("a cubin that is cut short, or damaged, at {} bytes", image.len());
    // Offsets of the ELF-64 object file format: e_ident[EI_CLASS], e_ident[EI_DATA], e_shoff,
    // e_shentsize, e_shnum.
    if image.len() < ELF_HEADER || image[4] != 2 || image[5] != 1 {
        return Err(cut());
    }
    let sections = usize::try_from(u64_at(image, 40)).map_err(|_| cut())?;
    let (size, count) = (usize::from(u16_at(image, 58)), usize::from(u16_at(image, 60)));
    if count > 0 && size != ELF_SECTION {
        return Err(cut());
    }
    let table = sections
        .checked_add(size * count)
        .and_then(|end| image.get(sections..end))
        .ok_or_else(cut)?;
    for section in table.chunks_exact(ELF_SECTION) {
        // sh_type, sh_offset, sh_size.
        let kind = u32::from_le_bytes(section[4..8].try_into().unwrap_or_default());
        let end = u64_at(section, 24).checked_add(u64_at(section, 32));
        if kind != SHT_NOBITS && end.is_none_or(|end| end > image.len() as u64) {
            return Err(cut());
        }
    }
    Ok(())
}

fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    u16::from_le_bytes(bytes[offset..offset + 2].try_into().unwrap_or_default())
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(bytes[offset..offset + 8].try_into().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF file of one section of `size` bytes, which lies before the section table.
    fn elf(size: u64) -> Vec<u8> {
        let mut image = vec![0; ELF_HEADER];
        image[..4].copy_from_slice(&ELF_MAGIC);
        (image[4], image[5]) = (2, 1);
        image[40..48].copy_from_slice(&72u64.to_le_bytes());
        image[58..60].copy_from_slice(&64u16.to_le_bytes());
        image[60..62].copy_from_slice(&1u16.to_le_bytes());
        image.resize(72, 7);
        let mut section = [0; ELF_SECTION];
        section[4..8].copy_from_slice(&1u32.to_le_bytes());
        section[24..32].copy_from_slice(&64u64.to_le_bytes());
        section[32..40].copy_from_slice(&size.to_le_bytes());
        image.extend(section);
        image
    }

    #[test]
    fn whole_images_pass() {
        assert_eq!(check(&elf(8)), Ok(()));
        assert_eq!(check(b".version 8.7\n\0"), Ok(()));
    }

    #[test]
    fn images_that_the_driver_would_read_past_are_refused() {
        let whole = elf(8);
        for length in 4..whole.len() {
            let reason = check(&whole[..length]).unwrap_err();
            assert!(reason.contains("cut short"), "{length}: {reason}");
        }
        assert!(check(&elf(u64::MAX)).is_err());
        assert!(check(&elf(1 << 20)).is_err());
        for image in [&b""[..], b"\0", b".version 8.7\n", b".version\0 8.7\n\0"] {
            assert!(check(image).unwrap_err().starts_with("no kernels"), "{image:?}");
        }
    }

    #[test]
    fn a_section_without_bytes_in_the_file_may_be_of_any_size() {
        let mut image = elf(1 << 40);
        image[72 + 4..72 + 8].copy_from_slice(&SHT_NOBITS.to_le_bytes());
        assert_eq!(check(&image), Ok(()));
    }
}
