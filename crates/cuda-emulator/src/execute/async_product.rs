//! `wgmma`: products of a warpgroup that go on beside the kernel, of matrices in shared memory.
//!
//! A warp computes the 16 rows of its place among four. The products of a group are made when the warp
//! waits for them, not before; what they read must stay until then.

use std::collections::VecDeque;
use std::ops::Range;

use crate::ptx::{Immediate, Instruction, Operand, PtxError};

use super::async_registers::RegisterUse;
use super::decoder::Decoder;
use super::fault::{Fault, FaultKind, Outcome};
use super::float::canonical;
use super::matrix::{check_whole, slots};
use super::matrix_descriptor::{DEPTH, Matrix};
use super::product::{Brains, Halves, Packed};
use super::row_product::{ROWS, add_products};
use super::step::{Handler, Step, handlers};
use super::thread_block::ThreadBlock;
use super::warp::{LANES, Warp};

/// Shared memory that a product under way reads.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The warp.
    pub warp: u32,
    /// Which of its products.
    product: u64,
    /// The memory.
    pub part: Range<usize>,
}

/// The first matrix of a product.
#[derive(Clone, Debug)]
enum First {
    Shared(Matrix),
    Registers([u32; 4]),
}

/// A product under way.
#[derive(Clone, Debug)]
struct Product {
    number: u64,
    sums: Box<[u32]>,
    first: First,
    second: Matrix,
    /// Whether it adds to what the sums hold.
    adds: bool,
    /// A number of 16 bits as a float.
    element: fn(u16) -> f32,
}

/// A warp's products.
#[derive(Default)]
pub struct Products {
    /// What they do with each register; empty where the kernel has none.
    pub uses: Vec<RegisterUse>,
    /// Those since the last commit.
    open: Vec<Product>,
    /// Those of groups that were committed, oldest first.
    groups: VecDeque<Vec<Product>>,
    /// How many there were, and a number made of which they were: the same in all warps of a group.
    pub trail: (u64, u64),
}

impl Products {
    /// Forgets all.
    pub fn clear(&mut self) {
        self.uses.fill(RegisterUse::default());
        self.open.clear();
        self.groups.clear();
        self.trail = (0, 0);
    }

    /// Whether some aren't waited for.
    pub fn under_way(&self) -> bool {
        !self.open.is_empty() || self.groups.iter().any(|group| !group.is_empty())
    }
}

fn launch_failed(message: impl Into<String>) -> Box<Fault> {
    Fault::new(FaultKind::LaunchFailed, 0, message)
}

/// Flags of [`begin_product`] in [`Step::control`].
mod flag {
    /// Predicate `c` says whether it adds, inverted.
    pub const INVERTED: u32 = 1;
    /// The first matrix's four registers follow the sums'.
    pub const REGISTERS: u32 = 2;
    /// The first matrix's rows run across the depth.
    pub const FIRST_TRANSPOSED: u32 = 4;
    /// The second's do.
    pub const SECOND_TRANSPOSED: u32 = 8;
}

handlers! {
    fn begin<P: Packed> = begin_product;
    fn fence = do_fence;
    fn commit_group = do_commit;
    fn wait_group = do_wait;
}

/// A descriptor, the same in all lanes.
fn matrix(warp: &Warp, slot: u32, transposed: bool) -> Result<Matrix, Box<Fault>> {
    let lanes = &warp.longs[slot as usize].0;
    if lanes.iter().any(|descriptor| *descriptor != lanes[0]) {
        return Err(launch_failed("the matrix descriptor differs among lanes"));
    }
    Matrix::of(lanes[0], transposed).map_err(launch_failed)
}

fn checked_part(
    warp: &Warp,
    block: &ThreadBlock<'_>,
    matrix: &Matrix,
    width: usize,
) -> Result<Range<usize>, Box<Fault>> {
    let part = matrix.range(width);
    if part.end > block.shared.len() {
        let size = block.shared.len();
        let message =
            format!("a product reads shared memory to {:#x} of {size:#x} bytes", part.end);
        return Err(Fault::new(FaultKind::IllegalAddress, 0, message));
    }
    let unread = |reason| launch_failed(format!("a product {reason}"));
    block.tensor_copies.check(warp, &part).map_err(unread)?;
    Ok(part)
}

/// `a`, `b`: descriptors; `c`: the predicate that says whether it adds; `list`: the sums' registers.
#[inline(always)]
fn begin_product<P: Packed>(
    warp: &mut Warp,
    block: &mut ThreadBlock<'_>,
    step: &Step,
    mask: u32,
) -> Outcome {
    check_whole(warp, mask)?;
    let is = |flag| step.control & flag != 0;
    let adds = warp.predicates[step.c as usize] ^ if is(flag::INVERTED) { u32::MAX } else { 0 };
    if adds != 0 && adds != u32::MAX {
        return Err(launch_failed("whether a product adds differs among lanes"));
    }
    let count = step.list.len() - if is(flag::REGISTERS) { 4 } else { 0 };
    let (sums, factors) = step.list.split_at(count);
    if step.list.iter().any(|slot| !warp.products.uses[*slot as usize].fenced) {
        let message = "a product of registers that were written since: wgmma.fence is missing";
        return Err(launch_failed(message));
    }
    let number = warp.products.trail.0;
    let second = matrix(warp, step.b, is(flag::SECOND_TRANSPOSED))?;
    let mut parts = vec![checked_part(warp, block, &second, 2 * count)?];
    let first = if is(flag::REGISTERS) {
        First::Registers([factors[0], factors[1], factors[2], factors[3]])
    } else {
        let first = matrix(warp, step.a, is(flag::FIRST_TRANSPOSED))?;
        parts.push(checked_part(warp, block, &first, 4 * ROWS)?);
        First::Shared(first)
    };
    block.readings.extend(parts.into_iter().map(|part| Reading {
        warp: warp.index,
        product: number,
        part,
    }));
    for slot in sums {
        warp.products.uses[*slot as usize].sums += 1;
    }
    for slot in factors {
        warp.products.uses[*slot as usize].factors += 1;
    }
    let trail = &mut warp.products.trail;
    *trail = (trail.0 + 1, trail.1.wrapping_mul(31).wrapping_add(u64::from(step.line)));
    let (sums, adds, element) = (sums.into(), adds != 0, P::number as fn(u16) -> f32);
    warp.products.open.push(Product { number, sums, first, second, adds, element });
    Ok(())
}

/// The two halves of a register.
fn halves(word: u32, element: fn(u16) -> f32) -> [f32; 2] {
    [element(word as u16), element((word >> 16) as u16)]
}

fn number(shared: &[u8], place: usize, element: fn(u16) -> f32) -> f32 {
    element(u16::from_le_bytes([shared[place], shared[place + 1]]))
}

/// Makes a product. Of sums a lane has columns `8 j + 2 (lane % 4)` and the next, of row `lane / 4` and
/// then of the row 8 below.
fn perform(warp: &mut Warp, block: &mut ThreadBlock<'_>, product: &Product) {
    let Product { sums, element, .. } = product;
    let width = 2 * sums.len();
    let place = |register: usize, lane: usize| {
        let (tile, half) = (register / 4, register / 2 % 2);
        (lane / 4 + 8 * half) * width + 8 * tile + lane % 4 * 2 + register % 2
    };
    let mut total = vec![0.0; ROWS * width];
    if product.adds {
        for (register, slot) in sums.iter().enumerate() {
            for lane in 0..LANES {
                total[place(register, lane)] = f32::from_bits(warp.words[*slot as usize].0[lane]);
            }
        }
    }
    let mut first = [[0.0; DEPTH]; ROWS];
    match &product.first {
        First::Registers(slots) => {
            for (register, slot) in slots.iter().enumerate() {
                for lane in 0..LANES {
                    let pair = halves(warp.words[*slot as usize].0[lane], *element);
                    let (row, depth) =
                        (lane / 4 + register % 2 * 8, register / 2 * 8 + lane % 4 * 2);
                    first[row][depth..depth + 2].copy_from_slice(&pair);
                }
            }
        }
        First::Shared(matrix) => {
            let above = warp.index as usize % 4 * ROWS;
            for (row, numbers) in first.iter_mut().enumerate() {
                for (depth, found) in numbers.iter_mut().enumerate() {
                    *found = number(&block.shared, matrix.place(above + row, depth), *element);
                }
            }
        }
    }
    let mut second = vec![0.0; DEPTH * width];
    for (depth, numbers) in second.chunks_exact_mut(width).enumerate() {
        for (column, found) in numbers.iter_mut().enumerate() {
            *found = number(&block.shared, product.second.place(column, depth), *element);
        }
    }
    add_products(&mut total, &first, &second);
    for (register, slot) in sums.iter().enumerate() {
        for lane in 0..LANES {
            let sum = canonical(total[place(register, lane)]);
            warp.words[*slot as usize].0[lane] = sum.to_bits();
        }
    }
}

fn do_fence(warp: &mut Warp, _block: &mut ThreadBlock<'_>, _step: &Step, mask: u32) -> Outcome {
    check_whole(warp, mask)?;
    for used in &mut warp.products.uses {
        used.fenced = true;
    }
    Ok(())
}

fn do_commit(warp: &mut Warp, _block: &mut ThreadBlock<'_>, _step: &Step, mask: u32) -> Outcome {
    check_whole(warp, mask)?;
    let group = std::mem::take(&mut warp.products.open);
    warp.products.groups.push_back(group);
    Ok(())
}

/// Makes the products of all groups but the last [`Step::control`].
fn do_wait(warp: &mut Warp, block: &mut ThreadBlock<'_>, step: &Step, mask: u32) -> Outcome {
    check_whole(warp, mask)?;
    while warp.products.groups.len() > step.control as usize
        && let Some(group) = warp.products.groups.pop_front()
    {
        for product in group {
            perform(warp, block, &product);
            for slot in &product.sums {
                warp.products.uses[*slot as usize].sums -= 1;
            }
            if let First::Registers(slots) = product.first {
                for slot in slots {
                    warp.products.uses[slot as usize].factors -= 1;
                }
            }
            let mine = |one: &Reading| one.warp == warp.index && one.product == product.number;
            block.readings.retain(|one| !mine(one));
        }
    }
    Ok(())
}

fn is_one(operand: &Operand) -> bool {
    *operand == Operand::Immediate(Immediate::Integer(1))
}

/// Decodes `wgmma`.
pub fn decode(decoder: &mut Decoder, i: &Instruction) -> Result<(), PtxError> {
    let modifiers: Vec<&str> = i.modifiers().collect();
    match (&modifiers[..], &i.operands[..]) {
        (["fence", "sync", "aligned"], []) => {
            decoder.push(i, fence(decoder.set));
            Ok(())
        }
        (["commit_group", "sync", "aligned"], []) => {
            decoder.push(i, commit_group(decoder.set));
            Ok(())
        }
        (
            ["wait_group", "sync", "aligned"],
            [Operand::Immediate(Immediate::Integer(keep @ 0..=7))],
        ) => {
            decoder.push(i, wait_group(decoder.set)).control = *keep as u32;
            Ok(())
        }
        (["mma_async", "sync", "aligned", shape, "f32", a, b], operands) if a == b => {
            let columns = shape.strip_prefix("m64n").and_then(|rest| rest.strip_suffix("k16"));
            let columns = columns
                .and_then(|columns| columns.parse::<u32>().ok())
                .filter(|columns| columns.is_multiple_of(8) && (8..=256).contains(columns))
                .ok_or_else(|| decoder.unknown(i))?;
            let run = match *a {
                "bf16" => begin::<Brains>(decoder.set),
                "f16" => begin::<Halves>(decoder.set),
                _ => return Err(decoder.unknown(i)),
            };
            decode_product(decoder, i, operands, columns, run)
        }
        _ => Err(decoder.unknown(i)),
    }
}

fn decode_product(
    decoder: &mut Decoder,
    i: &Instruction,
    operands: &[Operand],
    columns: u32,
    run: Handler,
) -> Result<(), PtxError> {
    let [sums, first, second, adds, scale_first, scale_second, turned @ ..] = operands else {
        return Err(i.error("expected six operands and more"));
    };
    if !is_one(scale_first) || !is_one(scale_second) {
        return Err(decoder.unknown(i));
    }
    let mut list = slots(decoder, i, sums, columns / 2, true)?;
    let mut control = 0;
    let mut a = 0;
    match (first, turned) {
        (Operand::Vector(_), [second_turned]) => {
            list.extend(slots(decoder, i, first, 4, false)?);
            control |= flag::REGISTERS;
            control |= if is_one(second_turned) { flag::SECOND_TRANSPOSED } else { 0 };
        }
        (_, [first_turned, second_turned]) => {
            a = decoder.source::<u64>(i, first)?;
            control |= if is_one(first_turned) { flag::FIRST_TRANSPOSED } else { 0 };
            control |= if is_one(second_turned) { flag::SECOND_TRANSPOSED } else { 0 };
        }
        _ => return Err(decoder.unknown(i)),
    }
    let b = decoder.source::<u64>(i, second)?;
    let (c, inverted) = decoder.predicate(i, adds)?;
    control |= if inverted { flag::INVERTED } else { 0 };
    let step = decoder.push(i, run);
    (step.a, step.b, step.c, step.control) = (a, b, c, control);
    step.list = list.into();
    Ok(())
}
