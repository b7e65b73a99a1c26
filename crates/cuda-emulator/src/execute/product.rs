//! `mma`: the types of its elements, and the product.

use std::marker::PhantomData;

use super::fault::Outcome;
use super::float::canonical;
use super::half::{bfloat_to, half_from, half_to};
use super::matrix::check_whole;
use super::step::{Handler, InstructionSet, Step, handlers};
use super::thread_block::ThreadBlock;
use super::warp::{LANES, Warp, commit};

handlers! {
    fn multiply<E: Elements> = multiply_lanes;
}

/// The types of a product.
trait Elements: 'static {
    /// A number of the sum.
    type Sum: Copy + Default;
    /// Elements of a word.
    const IN_WORD: usize;
    /// Element `place` of a word.
    fn element(word: u32, place: usize) -> Self::Sum;
    /// `a · b + c`.
    fn multiply_add(a: Self::Sum, b: Self::Sum, c: Self::Sum) -> Self::Sum;
    /// Whether a register holds two sums.
    const PAIRED: bool = false;
    /// The sum that a register holds, of two the first or the second.
    fn read(word: u32, place: usize) -> Self::Sum;
    /// The register that holds a sum, or the lower half of one.
    fn write(sum: Self::Sum) -> u32;
}

/// How a word holds floats.
pub trait Packed: 'static {
    /// Floats of a word.
    const IN_WORD: usize;
    /// Float `place` of a word.
    fn element(word: u32, place: usize) -> f32;
    /// The float that the lower half of a word is, where floats have 16 bits.
    fn number(bits: u16) -> f32 {
        Self::element(bits.into(), 0)
    }
}

/// Float16.
pub struct Halves;
/// bfloat16.
pub struct Brains;
struct Tensor32;

impl Packed for Halves {
    const IN_WORD: usize = 2;

    #[inline(always)]
    fn element(word: u32, place: usize) -> f32 {
        half_to((word >> (16 * place)) as u16)
    }
}

impl Packed for Brains {
    const IN_WORD: usize = 2;

    #[inline(always)]
    fn element(word: u32, place: usize) -> f32 {
        bfloat_to((word >> (16 * place)) as u16)
    }
}

impl Packed for Tensor32 {
    const IN_WORD: usize = 1;

    #[inline(always)]
    fn element(word: u32, _place: usize) -> f32 {
        // The lowest 13 bits aren't looked at.
        f32::from_bits(word & !0x1fff)
    }
}

/// Floats, summed in float32.
struct Floats<P>(PhantomData<P>);

impl<P: Packed> Elements for Floats<P> {
    type Sum = f32;

    const IN_WORD: usize = P::IN_WORD;

    #[inline(always)]
    fn element(word: u32, place: usize) -> f32 {
        P::element(word, place)
    }

    #[inline(always)]
    fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }

    #[inline(always)]
    fn read(word: u32, _place: usize) -> f32 {
        f32::from_bits(word)
    }

    #[inline(always)]
    fn write(sum: f32) -> u32 {
        canonical(sum).to_bits()
    }
}

/// Float16, summed in float32 and rounded to float16 at the end.
struct ToHalves;

impl Elements for ToHalves {
    type Sum = f32;

    const IN_WORD: usize = 2;

    #[inline(always)]
    fn element(word: u32, place: usize) -> f32 {
        Halves::element(word, place)
    }

    #[inline(always)]
    fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }

    const PAIRED: bool = true;

    #[inline(always)]
    fn read(word: u32, place: usize) -> f32 {
        Halves::element(word, place)
    }

    #[inline(always)]
    fn write(sum: f32) -> u32 {
        half_from(sum).into()
    }
}

/// Whole numbers of 8 bits, summed in 32. Where `SATURATES` the sum is kept within its range.
struct Bytes<const SIGNED: bool, const SATURATES: bool>;

impl<const SIGNED: bool, const SATURATES: bool> Elements for Bytes<SIGNED, SATURATES> {
    type Sum = i64;

    const IN_WORD: usize = 4;

    #[inline(always)]
    fn element(word: u32, place: usize) -> i64 {
        let byte = (word >> (8 * place)) as u8;
        if SIGNED { i64::from(byte as i8) } else { i64::from(byte) }
    }

    #[inline(always)]
    fn multiply_add(a: i64, b: i64, c: i64) -> i64 {
        a * b + c
    }

    #[inline(always)]
    fn read(word: u32, _place: usize) -> i64 {
        i64::from(word as i32)
    }

    #[inline(always)]
    fn write(sum: i64) -> u32 {
        if SATURATES { sum.clamp(i32::MIN.into(), i32::MAX.into()) as u32 } else { sum as u32 }
    }
}

/// Most elements of a word.
const MOST_IN_WORD: usize = 4;

/// The elements of a tile by their place in the words.
#[inline(always)]
fn unpack<E: Elements>(words: &[u32; LANES]) -> [[E::Sum; LANES]; MOST_IN_WORD] {
    let mut elements = [[E::Sum::default(); LANES]; MOST_IN_WORD];
    for (place, elements) in elements.iter_mut().enumerate().take(E::IN_WORD) {
        for lane in 0..LANES {
            elements[lane] = E::element(words[lane], place);
        }
    }
    elements
}

/// The sum's rows from its registers.
#[inline(always)]
fn read_sums<E: Elements>(warp: &Warp, slots: &[u32]) -> [[E::Sum; 8]; 16] {
    let mut sums = [[E::Sum::default(); 8]; 16];
    for half in 0..2 {
        let mut values = [[E::Sum::default(); LANES]; 2];
        for (odd, values) in values.iter_mut().enumerate() {
            // Two registers, or one that holds both.
            let place = if E::PAIRED { half } else { 2 * half + odd };
            let words = &warp.words[slots[place] as usize].0;
            for lane in 0..LANES {
                values[lane] = E::read(words[lane], odd);
            }
        }
        for row in 0..8 {
            for pair in 0..4 {
                sums[8 * half + row][2 * pair] = values[0][4 * row + pair];
                sums[8 * half + row][2 * pair + 1] = values[1][4 * row + pair];
            }
        }
    }
    sums
}

/// The sum's rows to its registers.
#[inline(always)]
fn write_sums<E: Elements>(warp: &mut Warp, slots: &[u32], sums: &[[E::Sum; 8]; 16]) {
    for half in 0..2 {
        let mut results = [[0; LANES]; 2];
        for (odd, result) in results.iter_mut().enumerate() {
            let mut values = [E::Sum::default(); LANES];
            for row in 0..8 {
                for pair in 0..4 {
                    values[4 * row + pair] = sums[8 * half + row][2 * pair + odd];
                }
            }
            for lane in 0..LANES {
                result[lane] = E::write(values[lane]);
            }
        }
        let [even, odd] = results;
        if E::PAIRED {
            let mut both = [0; LANES];
            for lane in 0..LANES {
                both[lane] = even[lane] | odd[lane] << 16;
            }
            commit(warp, slots[half], &both, u32::MAX);
        } else {
            commit(warp, slots[2 * half], &even, u32::MAX);
            commit(warp, slots[2 * half + 1], &odd, u32::MAX);
        }
    }
}

/// `list` holds the sum's registers, the first matrix's, the second's, the summand's. Those of the
/// second are as many as tiles of columns of the first, in [`Step::control`].
#[inline(always)]
fn multiply_lanes<E: Elements>(
    warp: &mut Warp,
    _block: &mut ThreadBlock<'_>,
    step: &Step,
    mask: u32,
) -> Outcome {
    check_whole(warp, mask)?;
    let tiles = step.control as usize;
    let (targets, rest) = step.list.split_at(if E::PAIRED { 2 } else { 4 });
    let (first, rest) = rest.split_at(2 * tiles);
    let (second, summands) = rest.split_at(tiles);
    let mut sum = read_sums::<E>(warp, summands);
    for tile in 0..tiles {
        // No closures in these loops: they would be compiled for the baseline.
        let upper = unpack::<E>(&warp.words[first[2 * tile] as usize].0);
        let lower = unpack::<E>(&warp.words[first[2 * tile + 1] as usize].0);
        let a = [upper, lower];
        let unpacked = unpack::<E>(&warp.words[second[tile] as usize].0);
        let mut b = [[E::Sum::default(); 8]; 4 * MOST_IN_WORD];
        for place in 0..E::IN_WORD {
            for word in 0..4 {
                for column in 0..8 {
                    b[word * E::IN_WORD + place][column] = unpacked[place][4 * column + word];
                }
            }
        }
        for (row, sum) in sum.iter_mut().enumerate() {
            let mut total = *sum;
            for word in 0..4 {
                for place in 0..E::IN_WORD {
                    let a = a[row / 8][place][row % 8 * 4 + word];
                    let b = &b[word * E::IN_WORD + place];
                    for column in 0..8 {
                        total[column] = E::multiply_add(a, b[column], total[column]);
                    }
                }
            }
            *sum = total;
        }
    }
    write_sums::<E>(warp, targets, &sum);
    Ok(())
}

/// The function, and tiles of columns of the first matrix.
pub fn product(modifiers: &[&str], set: InstructionSet) -> Option<(Handler, u32)> {
    let saturates = modifiers.contains(&"satfinite");
    let rest: Vec<&str> = modifiers.iter().copied().filter(|found| *found != "satfinite").collect();
    let ["sync", "aligned", shape, "row", "col", d, a, b, c] = rest[..] else { return None };
    if a != b || d != c {
        return None;
    }
    Some(match (shape, d, a, saturates) {
        ("m16n8k8", "f32", "f16", false) => (multiply::<Floats<Halves>>(set), 1),
        ("m16n8k16", "f32", "f16", false) => (multiply::<Floats<Halves>>(set), 2),
        ("m16n8k8", "f16", "f16", false) => (multiply::<ToHalves>(set), 1),
        ("m16n8k16", "f16", "f16", false) => (multiply::<ToHalves>(set), 2),
        ("m16n8k8", "f32", "bf16", false) => (multiply::<Floats<Brains>>(set), 1),
        ("m16n8k16", "f32", "bf16", false) => (multiply::<Floats<Brains>>(set), 2),
        ("m16n8k4", "f32", "tf32", false) => (multiply::<Floats<Tensor32>>(set), 1),
        ("m16n8k8", "f32", "tf32", false) => (multiply::<Floats<Tensor32>>(set), 2),
        ("m16n8k16", "s32", "s8", false) => (multiply::<Bytes<true, false>>(set), 1),
        ("m16n8k32", "s32", "s8", false) => (multiply::<Bytes<true, false>>(set), 2),
        ("m16n8k16", "s32", "s8", true) => (multiply::<Bytes<true, true>>(set), 1),
        ("m16n8k32", "s32", "s8", true) => (multiply::<Bytes<true, true>>(set), 2),
        ("m16n8k16", "s32", "u8", false) => (multiply::<Bytes<false, false>>(set), 1),
        ("m16n8k32", "s32", "u8", false) => (multiply::<Bytes<false, false>>(set), 2),
        _ => return None,
    })
}
