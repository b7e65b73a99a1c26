//! `ldmatrix` and `mma`: matrices spread over the lanes of a warp.
//!
//! A register of the lanes is a tile of 8 rows of 4 words: lane `4·row + word`. Of the first matrix
//! a warp holds, for each tile of columns, the tile of rows 0 to 7 and that of rows 8 to 15; of the
//! second, whose tiles are transposed, one tile of 8 columns. The sum's tiles hold two columns a
//! lane in two registers.

use crate::ptx::{Instruction, Operand, PtxError};

use super::access;
use super::decoder::Decoder;
use super::fault::{Fault, FaultKind, Outcome};
use super::product::product;
use super::step::{Step, handlers};
use super::thread_block::ThreadBlock;
use super::warp::{LANES, Warp, commit};

handlers! {
    fn load_matrix = load_matrix_lanes;
}

/// These instructions want the whole warp.
pub fn check_whole(warp: &Warp, mask: u32) -> Outcome {
    if mask == u32::MAX {
        return Ok(());
    }
    let lane = (!mask).trailing_zeros();
    let message = if warp.alive == u32::MAX {
        "a matrix instruction that not all lanes of the warp reach"
    } else {
        "a matrix instruction of a warp some of whose lanes have ended"
    };
    Err(Fault::new(FaultKind::LaunchFailed, lane, message))
}

/// Loads the tiles `list`: lane `8·tile + row` has the address of a row of 16 bytes.
/// [`Step::control`] 1 transposes each as a matrix of 16-bit elements.
#[inline(always)]
fn load_matrix_lanes(
    warp: &mut Warp,
    block: &mut ThreadBlock<'_>,
    step: &Step,
    mask: u32,
) -> Outcome {
    check_whole(warp, mask)?;
    let tiles = step.list.len();
    let addresses = warp.words[step.a as usize].0;
    // Only the lanes that give an address are looked at.
    let givers = if tiles == 4 { u32::MAX } else { (1 << (8 * tiles)) - 1 };
    let size = block.shared.len();
    let offsets = access::within("shared", size, &addresses, step.offset, givers, 16)?;
    for (tile, slot) in step.list.iter().enumerate() {
        let mut rows = [[0_u32; 4]; 8];
        for (row, words) in rows.iter_mut().enumerate() {
            let start = offsets[8 * tile + row] as usize;
            let bytes = &block.shared[start..start + 16];
            for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(4)) {
                *word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            }
        }
        let mut result = [0; LANES];
        for (lane, word) in result.iter_mut().enumerate() {
            *word = if step.control == 1 {
                let (row, column) = (lane % 4 * 2, lane / 4);
                let half = |row: usize| rows[row][column / 2] >> (column % 2 * 16) & 0xffff;
                half(row) | half(row + 1) << 16
            } else {
                rows[lane / 4][lane % 4]
            };
        }
        commit(warp, *slot, &result, mask);
    }
    Ok(())
}

/// The slots of a vector of `count` registers.
pub fn slots(
    decoder: &mut Decoder,
    i: &Instruction,
    operand: &Operand,
    count: u32,
    target: bool,
) -> Result<Vec<u32>, PtxError> {
    let one = std::slice::from_ref(operand);
    let elements = match operand {
        Operand::Vector(elements) => elements,
        _ => one,
    };
    if elements.len() as u32 != count {
        return Err(i.error(format!("{} registers where {count} are due", elements.len())));
    }
    let slot = |element| {
        if target { decoder.target::<u32>(i, element) } else { decoder.source::<u32>(i, element) }
    };
    elements.iter().map(slot).collect()
}

/// Decodes `ldmatrix` and `mma`.
pub fn decode(decoder: &mut Decoder, i: &Instruction) -> Result<(), PtxError> {
    let modifiers: Vec<&str> = i.modifiers().collect();
    match (i.name(), &i.operands[..]) {
        ("ldmatrix", [targets, address]) => {
            let (count, transposes) = match modifiers[..] {
                ["sync", "aligned", "m8n8", count, "shared" | "shared::cta", "b16"] => (count, 0),
                ["sync", "aligned", "m8n8", count, "trans", "shared" | "shared::cta", "b16"] => {
                    (count, 1)
                }
                _ => return Err(decoder.unknown(i)),
            };
            let count = match count {
                "x1" => 1,
                "x2" => 2,
                "x4" => 4,
                _ => return Err(decoder.unknown(i)),
            };
            let list = slots(decoder, i, targets, count, true)?;
            let (a, offset) = decoder.narrow_address(i, address)?;
            let step = decoder.push(i, load_matrix(decoder.set));
            (step.a, step.offset, step.control) = (a, offset, transposes);
            step.list = list.into();
            Ok(())
        }
        ("mma", [d, a, b, c]) => {
            let (run, tiles) =
                product(&modifiers, decoder.set).ok_or_else(|| decoder.unknown(i))?;
            let sums = if modifiers.last() == Some(&"f16") { 2 } else { 4 };
            let mut list = slots(decoder, i, d, sums, true)?;
            list.extend(slots(decoder, i, a, 2 * tiles, false)?);
            list.extend(slots(decoder, i, b, tiles, false)?);
            list.extend(slots(decoder, i, c, sums, false)?);
            let step = decoder.push(i, run);
            step.control = tiles;
            step.list = list.into();
            Ok(())
        }
        _ => Err(decoder.unknown(i)),
    }
}
