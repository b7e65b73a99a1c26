//! Sharing tensors out along another dimension: where the parts lie that members get from each
//! other, and packing them for transports that can't read them in place.

use std::ops::Range;

/// The most tensors that one collective reshards.
pub const MAX_TENSORS: usize = 8;

/// How a dimension is shared out: member `i` has `sizes[i]` of it, after those before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// The dimension.
    pub dim: usize,
    /// Each member's extent along it; may be 0.
    pub sizes: Vec<usize>,
}

impl Share {
    fn start(&self, member: usize) -> usize {
        self.sizes[..member].iter().sum()
    }
}

/// Tensors of which each member holds its share along one dimension and is to hold its share along
/// another, the whole of the first one then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reshard {
    /// How many tensors, all alike.
    pub tensors: usize,
    /// Extents of a tensor that is shared out along neither dimension.
    pub shape: Vec<usize>,
    /// The dimension that is shared out before.
    pub gather: Share,
    /// The dimension that is shared out afterwards.
    pub split: Share,
}

/// Runs of contiguous elements: `outer` times `rows` of `run` each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Runs {
    outer: usize,
    rows: usize,
    run: usize,
    start: usize,
    outer_stride: usize,
    row_stride: usize,
}

impl Runs {
    /// The same elements in fewer, longer runs where these follow each other.
    fn merged(mut self) -> Runs {
        if self.row_stride == self.run {
            self.run *= self.rows;
            self.rows = 1;
            self.row_stride = self.run;
        }
        if self.rows == 1 && self.outer_stride == self.run {
            self.run *= self.outer;
            self.outer = 1;
        }
        self
    }

    fn count(&self) -> usize {
        self.outer * self.rows * self.run
    }

    /// Calls `visit` with the place and length of each piece of a run within `range`, counted in
    /// elements of these runs alone, one after the other.
    fn visit(&self, range: Range<usize>, mut visit: impl FnMut(usize, usize)) {
        let mut position = range.start;
        while position < range.end {
            let (row, within) = (position / self.run, position % self.run);
            let (outer, row) = (row / self.rows, row % self.rows);
            let length = (self.run - within).min(range.end - position);
            visit(self.start + outer * self.outer_stride + row * self.row_stride + within, length);
            position += length;
        }
    }
}

/// The part of a tensor that one member gets from another, in elements.
///
/// It is `outer` times `rows` runs of `run` contiguous elements, both in the sender's tensor and in
/// the receiver's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// How often the rows repeat.
    pub outer: usize,
    /// Runs at even distances.
    pub rows: usize,
    /// Contiguous elements.
    pub run: usize,
    /// Where it lies in the sender's tensor.
    pub source: Place,
    /// Where it lies in the receiver's tensor.
    pub target: Place,
}

/// Where the runs of a [`Part`] begin, in elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The first run.
    pub start: usize,
    /// From one repetition of the rows to the next.
    pub outer_stride: usize,
    /// From one run to the next.
    pub row_stride: usize,
}

impl Part {
    /// Elements.
    pub fn count(&self) -> usize {
        self.outer * self.rows * self.run
    }

    fn runs(&self, place: Place) -> Runs {
        let Part { outer, rows, run, .. } = *self;
        let Place { start, outer_stride, row_stride } = place;
        Runs { outer, rows, run, start, outer_stride, row_stride }.merged()
    }
}

impl Reshard {
    /// Elements of all tensors that member `index` of `size` holds before and afterwards, or `None`
    /// where shape, shares and group don't fit each other or something overflows.
    pub fn elements(&self, index: usize, size: usize) -> Option<(usize, usize)> {
        let fits = |share: &Share| {
            let whole = share.sizes.iter().try_fold(0usize, |sum, &size| sum.checked_add(size))?;
            (share.sizes.len() == size && *self.shape.get(share.dim)? == whole).then_some(())
        };
        fits(&self.gather)?;
        fits(&self.split)?;
        if self.gather.dim == self.split.dim || !(1..=MAX_TENSORS).contains(&self.tensors) {
            return None;
        }
        let of = |shape: &[usize]| {
            shape.iter().try_fold(self.tensors, |product, &n| product.checked_mul(n))
        };
        // Whatever a member has is a part of the whole.
        of(&self.shape)?;
        let (before, after) = (self.shape_before(index), self.shape_after(index));
        Some((of(&before)?, of(&after)?))
    }

    fn shape_with(&self, share: &Share, index: usize) -> Vec<usize> {
        let mut shape = self.shape.clone();
        shape[share.dim] = share.sizes[index];
        shape
    }

    /// Extents of a tensor as member `index` has it before.
    pub fn shape_before(&self, index: usize) -> Vec<usize> {
        self.shape_with(&self.gather, index)
    }

    /// Extents of a tensor as member `index` has it afterwards.
    pub fn shape_after(&self, index: usize) -> Vec<usize> {
        self.shape_with(&self.split, index)
    }

    /// The part of each tensor that member `receiver` gets from member `sender`.
    pub fn part(&self, sender: usize, receiver: usize) -> Part {
        let (gather, split) = (&self.gather, &self.split);
        let (first, second) = (gather.dim.min(split.dim), gather.dim.max(split.dim));
        let product = |range: Range<usize>| self.shape[range].iter().product::<usize>();
        let (outer, middle) = (product(0..first), product(first + 1..second));
        let inner = product(second + 1..self.shape.len());
        let (held, got) = (gather.sizes[sender], split.sizes[receiver]);
        let (gathered, splitted) = (self.shape[gather.dim], self.shape[split.dim]);
        let (before, from) = (gather.start(sender), split.start(receiver));
        if gather.dim < split.dim {
            let (rows, run) = (held * middle, got * inner);
            let stride = splitted * inner;
            let source =
                Place { start: from * inner, outer_stride: rows * stride, row_stride: stride };
            let target = Place {
                start: before * middle * run,
                outer_stride: gathered * middle * run,
                row_stride: run,
            };
            Part { outer, rows, run, source, target }
        } else {
            let (rows, run) = (got * middle, held * inner);
            let stride = gathered * inner;
            let source = Place {
                start: from * middle * run,
                outer_stride: splitted * middle * run,
                row_stride: run,
            };
            let target =
                Place { start: before * inner, outer_stride: rows * stride, row_stride: stride };
            Part { outer, rows, run, source, target }
        }
    }

    /// Bytes of all tensors that member `receiver` gets from member `sender`, of elements of
    /// `element` bytes.
    pub fn bytes(&self, sender: usize, receiver: usize, element: usize) -> usize {
        self.tensors * self.part(sender, receiver).count() * element
    }

    /// Writes bytes `range` of what `sender` has for `receiver` to `packed`, tensor after tensor.
    /// Elements have `element` bytes.
    ///
    /// # Safety
    /// The sources are the sender's tensors, contiguous; `packed` has room for the range and
    /// overlaps none of them.
    pub unsafe fn pack(
        &self,
        (sender, receiver): (usize, usize),
        element: usize,
        sources: &[*const u8],
        range: Range<usize>,
        packed: *mut u8,
    ) {
        let part = self.part(sender, receiver);
        let mut written = 0;
        visit(part.runs(part.source), element, range, |tensor, offset, bytes| {
            // SAFETY: the runs of a part lie in the sender's tensor, and all pieces in the range.
            unsafe {
                let source = sources[tensor].add(offset);
                std::ptr::copy_nonoverlapping(source, packed.add(written), bytes);
            }
            written += bytes;
        });
    }

    /// Reads bytes `range` of what `receiver` gets from `sender` from `packed`, as
    /// [`Reshard::pack`] wrote them, and puts them where they belong.
    ///
    /// # Safety
    /// The targets are the receiver's tensors, contiguous; `packed` has the range's bytes and
    /// overlaps none of them.
    pub unsafe fn unpack(
        &self,
        (sender, receiver): (usize, usize),
        element: usize,
        packed: *const u8,
        range: Range<usize>,
        targets: &[*mut u8],
    ) {
        let part = self.part(sender, receiver);
        let mut read = 0;
        visit(part.runs(part.target), element, range, |tensor, offset, bytes| {
            // SAFETY: the runs of a part lie in the receiver's tensor, and all pieces in the range.
            unsafe {
                let target = targets[tensor].add(offset);
                std::ptr::copy_nonoverlapping(packed.add(read), target, bytes);
            }
            read += bytes;
        });
    }
}

/// Calls `visit` with the tensor, the place in it and the length of each piece of `range`, all in
/// bytes.
fn visit(
    runs: Runs,
    element: usize,
    range: Range<usize>,
    mut visit: impl FnMut(usize, usize, usize),
) {
    let bytes = Runs {
        run: runs.run * element,
        start: runs.start * element,
        outer_stride: runs.outer_stride * element,
        row_stride: runs.row_stride * element,
        ..runs
    };
    let each = bytes.count();
    if each == 0 {
        return;
    }
    for tensor in range.start / each..range.end.div_ceil(each) {
        let start = tensor * each;
        let within = range.start.max(start) - start..range.end.min(start + each) - start;
        bytes.visit(within, |offset, length| visit(tensor, offset, length));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every element's number in the whole tensor, as a member has them in row-major order.
    fn numbers(shape: &[usize], dim: usize, range: Range<usize>) -> Vec<u16> {
        let inner: usize = shape[dim + 1..].iter().product();
        let count: usize = shape.iter().product();
        (0..count)
            .filter(|number| range.contains(&(number / inner % shape[dim])))
            .map(|number| number as u16)
            .collect()
    }

    fn held(share: &Share, shape: &[usize], member: usize) -> Vec<u16> {
        let start = share.start(member);
        numbers(shape, share.dim, start..start + share.sizes[member])
    }

    fn cases() -> Vec<Reshard> {
        let mut cases = Vec::new();
        let shares = |total: usize, members: usize, kind: usize| -> Vec<usize> {
            let mut sizes = vec![total / members; members];
            match kind {
                0 => sizes[members - 1] += total % members,
                1 => {
                    sizes.fill(0);
                    sizes[members - 1] = total;
                }
                _ => {
                    (0..total % members).for_each(|member| sizes[member] += 1);
                }
            }
            sizes
        };
        for shape in [vec![2, 7, 3, 4], vec![1, 5, 6], vec![3, 4], vec![2, 3, 1, 5, 2]] {
            for members in 1..=4 {
                for (first, second) in (0..shape.len())
                    .flat_map(|first| (0..shape.len()).map(move |second| (first, second)))
                    .filter(|(first, second)| first != second)
                {
                    let kind = first + members;
                    cases.push(Reshard {
                        tensors: 1 + (first + second) % 3,
                        gather: Share {
                            dim: first,
                            sizes: shares(shape[first], members, kind % 3),
                        },
                        split: Share {
                            dim: second,
                            sizes: shares(shape[second], members, (kind + 1) % 3),
                        },
                        shape: shape.clone(),
                    });
                }
            }
        }
        cases
    }

    #[test]
    fn parts_move_every_element_to_where_it_belongs() {
        for case in cases() {
            let members = case.gather.sizes.len();
            for receiver in 0..members {
                let expected = held(&case.split, &case.shape, receiver);
                let mut target = vec![u16::MAX; expected.len()];
                for sender in 0..members {
                    let source = held(&case.gather, &case.shape, sender);
                    let part = case.part(sender, receiver);
                    for outer in 0..part.outer {
                        for row in 0..part.rows {
                            let at = |place: Place| {
                                place.start + outer * place.outer_stride + row * place.row_stride
                            };
                            let (from, to) = (at(part.source), at(part.target));
                            target[to..to + part.run]
                                .copy_from_slice(&source[from..from + part.run]);
                        }
                    }
                }
                assert_eq!(target, expected, "{case:?} to {receiver}");
            }
        }
    }

    #[test]
    fn packs_and_unpacks_in_pieces_of_any_length() {
        for (index, case) in cases().iter().enumerate() {
            let members = case.gather.sizes.len();
            let piece = [1, 3, 64, 10_000][index % 4];
            for receiver in 0..members {
                let expected = held(&case.split, &case.shape, receiver);
                let mut targets = vec![vec![u16::MAX; expected.len()]; case.tensors];
                let to: Vec<*mut u8> =
                    targets.iter_mut().map(|target| target.as_mut_ptr().cast()).collect();
                for sender in 0..members {
                    let source = held(&case.gather, &case.shape, sender);
                    let sources: Vec<Vec<u16>> = (0..case.tensors)
                        .map(|tensor| {
                            source.iter().map(|value| value + 1000 * tensor as u16).collect()
                        })
                        .collect();
                    let from: Vec<*const u8> =
                        sources.iter().map(|source| source.as_ptr().cast()).collect();
                    let total = case.bytes(sender, receiver, 2);
                    for start in (0..total).step_by(piece) {
                        let range = start..total.min(start + piece);
                        let mut packed = vec![0u8; range.len()];
                        let pair = (sender, receiver);
                        // SAFETY: sources and targets are whole tensors of the two members.
                        unsafe {
                            case.pack(pair, 2, &from, range.clone(), packed.as_mut_ptr());
                            case.unpack(pair, 2, packed.as_ptr(), range, &to);
                        }
                    }
                }
                for (tensor, target) in targets.iter().enumerate() {
                    let expected: Vec<u16> =
                        expected.iter().map(|value| value + 1000 * tensor as u16).collect();
                    assert_eq!(*target, expected, "{case:?} to {receiver}");
                }
            }
        }
    }

    #[test]
    fn counts_what_members_hold_and_refuses_what_does_not_fit() {
        let reshard = Reshard {
            tensors: 3,
            shape: vec![1, 13, 5, 8],
            gather: Share { dim: 1, sizes: vec![7, 6] },
            split: Share { dim: 2, sizes: vec![3, 2] },
        };
        assert_eq!(reshard.elements(0, 2), Some((3 * 7 * 5 * 8, 3 * 13 * 3 * 8)));
        assert_eq!(reshard.elements(1, 2), Some((3 * 6 * 5 * 8, 3 * 13 * 2 * 8)));
        assert_eq!(reshard.elements(0, 3), None);
        let other = |change: fn(&mut Reshard)| {
            let mut other = reshard.clone();
            change(&mut other);
            other.elements(0, 2)
        };
        assert_eq!(other(|other| other.shape[1] = 12), None);
        assert_eq!(other(|other| other.split.dim = 4), None);
        assert_eq!(other(|other| other.tensors = MAX_TENSORS + 1), None);
        assert_eq!(other(|other| other.shape[3] = usize::MAX / 8), None);
        assert_eq!(other(|other| other.gather = other.split.clone()), None);
    }
}
