//! Walking through several strided operands at once, on all threads.

use crate::{Cpu, TensorMut, TensorRef};
use std::mem::MaybeUninit;

/// The common index space of `N` operands. Dimensions that every operand lays out as one are
/// merged, so that the innermost one, the *run*, is as long as it can be.
pub(crate) struct Walk<const N: usize> {
    outer: Vec<(usize, [usize; N])>,
    /// Positions of a run.
    run: usize,
    /// Each operand's stride within a run.
    pub run_strides: [usize; N],
    /// Positions in all.
    count: usize,
}

impl<const N: usize> Walk<N> {
    /// The walk through `shape` with each operand's strides along its dimensions.
    ///
    /// # Panics
    /// Where an operand hasn't as many strides as there are dimensions.
    pub fn new(shape: &[usize], strides: [&[usize]; N]) -> Walk<N> {
        assert!(strides.iter().all(|strides| strides.len() == shape.len()));
        let mut dims: Vec<(usize, [usize; N])> = Vec::with_capacity(shape.len());
        for (dim, &size) in shape.iter().enumerate() {
            if size == 1 {
                continue;
            }
            let step = strides.map(|strides| strides[dim]);
            match dims.last_mut() {
                Some((before, outer)) if (0..N).all(|n| outer[n] == step[n] * size) => {
                    *before *= size;
                    *outer = step;
                }
                _ => dims.push((size, step)),
            }
        }
        let count = shape.iter().product();
        let (run, run_strides) = dims.pop().unwrap_or((1, [0; N]));
        Walk { outer: dims, run, run_strides, count }
    }

    /// Dimensions outside the run, outermost first: their sizes and the operands' strides.
    pub fn outer(&self) -> &[(usize, [usize; N])] {
        &self.outer
    }

    /// Positions of a run, and the operands' strides within it.
    pub fn run(&self) -> (usize, [usize; N]) {
        (self.run, self.run_strides)
    }

    /// Calls `body` with each operand's offset and a number of positions, `run_strides` apart,
    /// until every position was visited once. A thread takes about `grain` positions at a time.
    pub fn for_each_run(&self, cpu: &Cpu, grain: usize, body: impl Fn([usize; N], usize) + Sync) {
        if self.count == 0 {
            return;
        }
        // Whole runs, where several make a grain: cutting one would cost an extra call.
        let grain = if self.run < grain { grain / self.run * self.run } else { grain.max(1) };
        cpu.pool.for_each(self.count.div_ceil(grain), |task| {
            let start = task * grain;
            self.walk(start, (start + grain).min(self.count), &body);
        });
    }

    fn walk(&self, start: usize, end: usize, body: &impl Fn([usize; N], usize)) {
        let mut index = vec![0; self.outer.len()];
        let mut offsets = [0; N];
        let mut rest = start / self.run;
        for (place, &(size, strides)) in index.iter_mut().zip(&self.outer).rev() {
            *place = rest % size;
            rest /= size;
            for n in 0..N {
                offsets[n] += *place * strides[n];
            }
        }
        let mut position = start;
        let mut inner = start % self.run;
        loop {
            let length = (self.run - inner).min(end - position);
            body(std::array::from_fn(|n| offsets[n] + inner * self.run_strides[n]), length);
            position += length;
            if position == end {
                return;
            }
            inner = 0;
            for (place, &(size, strides)) in index.iter_mut().zip(&self.outer).rev() {
                *place += 1;
                for n in 0..N {
                    offsets[n] += strides[n];
                }
                if *place < size {
                    break;
                }
                *place = 0;
                for n in 0..N {
                    offsets[n] -= size * strides[n];
                }
            }
        }
    }
}

/// The strides of `input` repeated to `shape` by the rules of broadcasting.
///
/// # Panics
/// Where it doesn't broadcast: operations check that before a kernel runs.
pub(crate) fn broadcast(input: &TensorRef, shape: &[usize]) -> Vec<usize> {
    let added = shape.len().checked_sub(input.shape().len()).expect("operands broadcast");
    let mut strides = vec![0; shape.len()];
    for (dim, stride) in strides.iter_mut().enumerate().skip(added) {
        let size = input.shape()[dim - added];
        assert!(size == shape[dim] || size == 1, "operands broadcast");
        if size == shape[dim] {
            *stride = input.strides()[dim - added];
        }
    }
    strides
}

/// The elements that a run of `length` positions, `stride` apart, spans in `input`.
///
/// # Safety
/// `offset` and the run come from a [`Walk`] over `input`'s own shape and strides, or such that it
/// is repeated to; `T` is its element type.
pub(crate) unsafe fn span<'a, T>(
    input: &TensorRef<'a>,
    offset: usize,
    length: usize,
    stride: usize,
) -> &'a [T] {
    // SAFETY: the view's maker promised the elements its layout reaches; the run is within them.
    unsafe {
        std::slice::from_raw_parts(input.as_ptr::<T>().add(offset), (length - 1) * stride + 1)
    }
}

/// `length` elements of `output` from `offset` on, to be written.
///
/// # Safety
/// They lie within the output, and no other thread has a slice that holds one of them; `T` is its
/// element type.
#[expect(clippy::mut_from_ref, reason = "threads fill disjoint parts of one output")]
pub(crate) unsafe fn part<'a, T>(
    output: &'a TensorMut<'_>,
    offset: usize,
    length: usize,
) -> &'a mut [MaybeUninit<T>] {
    let data = output.as_mut_ptr::<MaybeUninit<T>>();
    // SAFETY: the view's maker promised the elements; the caller promised that they are ours.
    unsafe { std::slice::from_raw_parts_mut(data.add(offset), length) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{InstructionSet, ThreadPool};
    use std::sync::Mutex;

    fn visited<const N: usize>(walk: &Walk<N>, threads: usize, grain: usize) -> Vec<[usize; N]> {
        let pool = ThreadPool::new(threads);
        let cpu = Cpu { pool: &pool, instruction_set: InstructionSet::Portable };
        let seen = Mutex::new(Vec::new());
        walk.for_each_run(&cpu, grain, |offsets, length| {
            let step = |i: usize| std::array::from_fn(|n| offsets[n] + i * walk.run_strides[n]);
            seen.lock().unwrap().extend((0..length).map(step));
        });
        let mut seen = seen.into_inner().unwrap();
        seen.sort();
        seen
    }

    #[test]
    fn merges_what_every_operand_lays_out_as_one() {
        let walk = Walk::new(&[2, 3, 1, 4], [&[12, 4, 4, 1], &[24, 8, 0, 2]]);
        assert!(walk.outer.is_empty());
        assert_eq!((walk.run, walk.run_strides), (24, [1, 2]));
        let apart = Walk::new(&[2, 3, 4], [&[12, 4, 1], &[0, 4, 1]]);
        assert_eq!((apart.outer, apart.run), (vec![(2, [12, 0])], 12));
        let scalar = Walk::new(&[], [&[], &[]]);
        assert_eq!((scalar.run, scalar.count), (1, 1));
    }

    #[test]
    fn visits_every_position_once_at_any_grain() {
        let (shape, strides) = ([3, 5, 2, 7], [[70, 14, 7, 1], [1, 3, 15, 30]]);
        let walk = Walk::new(&shape, [&strides[0], &strides[1]]);
        let mut expected = Vec::new();
        for place in 0..210 {
            let index = [place / 70, place / 14 % 5, place / 7 % 2, place % 7];
            let at = |n: usize| index.iter().zip(strides[n]).map(|(i, s)| i * s).sum();
            expected.push([at(0), at(1)]);
        }
        expected.sort();
        for threads in [1, 3] {
            for grain in [1, 2, 7, 20, 64, 1000] {
                assert_eq!(visited(&walk, threads, grain), expected, "grain {grain}");
            }
        }
    }

    #[test]
    fn an_empty_space_has_no_run() {
        assert!(visited(&Walk::new(&[3, 0, 2], [&[0, 2, 1]]), 2, 8).is_empty());
    }
}
