//! Attention problems, their answers by the kernel, and by plain loops in float64.

use crate::attention::{AttentionArguments, LogSumExp, attention};
use crate::float::{bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16};
use crate::{Cpu, DType, InstructionSet, Layout, TensorMut, TensorRef, ThreadPool};

/// Extents of a problem.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Extents {
    pub batch: usize,
    pub queries: usize,
    pub keys: usize,
    pub heads: usize,
    pub head_size: usize,
}

/// Inputs in row-major order, their values already rounded to the element type.
#[derive(Clone)]
pub struct Problem {
    pub extents: Extents,
    pub dtype: DType,
    pub scale: f32,
    pub query: Vec<f32>,
    pub key: Vec<f32>,
    pub value: Vec<f32>,
    pub mask: Option<Mask>,
}

/// An additive mask and how it repeats.
#[derive(Clone)]
pub struct Mask {
    pub elements: Vec<f32>,
    pub layout: Layout,
}

/// What the kernel wrote.
#[derive(Clone, PartialEq, Debug)]
pub struct Answer {
    /// Bits of the output's elements.
    pub output: Vec<u32>,
    /// Bits of the rounded log-sum-exp.
    pub log_sum_exp: Vec<u32>,
    /// Bits of the log-sum-exp's residue.
    pub residue: Vec<u32>,
    pub dtype: DType,
}

impl Answer {
    pub fn output_values(&self) -> Vec<f32> {
        self.output.iter().map(|bits| from_bits(*bits, self.dtype)).collect()
    }

    pub fn log_sum_exp_values(&self) -> Vec<f32> {
        self.log_sum_exp.iter().map(|bits| f32::from_bits(*bits)).collect()
    }

    /// The log-sum-exp with its residue.
    pub fn whole_log_sum_exp(&self) -> Vec<f64> {
        let pairs = self.log_sum_exp.iter().zip(&self.residue);
        let whole = |(rounded, residue): (&u32, &u32)| {
            f64::from(f32::from_bits(*rounded)) + f64::from(f32::from_bits(*residue))
        };
        pairs.map(whole).collect()
    }
}

pub fn to_bits(value: f32, dtype: DType) -> u32 {
    match dtype {
        DType::Float32 => value.to_bits(),
        DType::BFloat16 => u32::from(f32_to_bf16(value)),
        _ => u32::from(f32_to_f16(value)),
    }
}

pub fn from_bits(bits: u32, dtype: DType) -> f32 {
    match dtype {
        DType::Float32 => f32::from_bits(bits),
        DType::BFloat16 => bf16_to_f32(bits as u16),
        _ => f16_to_f32(bits as u16),
    }
}

/// Memory of a tensor, aligned for every element type.
pub struct Storage {
    words: Vec<u32>,
    dtype: DType,
}

impl Storage {
    pub fn zeroed(count: usize, dtype: DType) -> Storage {
        Storage { words: vec![0; (count * dtype.size()).div_ceil(4)], dtype }
    }

    pub fn set(&mut self, index: usize, value: f32) {
        let (base, bits) = (self.words.as_mut_ptr(), to_bits(value, self.dtype));
        // SAFETY: the tests index what they allocated.
        unsafe {
            match self.dtype.size() {
                4 => *base.add(index) = bits,
                _ => *base.cast::<u16>().add(index) = bits as u16,
            }
        }
    }

    pub fn bits(&self, count: usize) -> Vec<u32> {
        let base = self.words.as_ptr();
        // SAFETY: the tests read as many elements as they allocated.
        let read = |index| unsafe {
            match self.dtype.size() {
                4 => *base.add(index),
                _ => u32::from(*base.cast::<u16>().add(index)),
            }
        };
        (0..count).map(read).collect()
    }

    pub fn view(&self, layout: Layout) -> TensorRef<'_> {
        assert!(layout.end() * self.dtype.size() <= self.words.len() * 4);
        // SAFETY: the layout lies in the words, which are borrowed by the view.
        unsafe { TensorRef::new(self.words.as_ptr().cast(), self.dtype, layout) }
    }

    pub fn view_mut(&mut self, shape: &[usize]) -> TensorMut<'_> {
        assert!(shape.iter().product::<usize>() * self.dtype.size() <= self.words.len() * 4);
        // SAFETY: the elements lie in the words, which are borrowed by the view.
        unsafe { TensorMut::new(self.words.as_mut_ptr().cast(), self.dtype, shape) }
    }
}

/// Roughly normal numbers of unit variance, the same for the same seed.
pub fn random(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    (0..count).map(|_| (uniform() + uniform() + uniform() + uniform()) * 1.732).collect()
}

impl Problem {
    pub fn random(extents: Extents, dtype: DType) -> Problem {
        let Extents { batch, queries, keys, heads, head_size } = extents;
        let rounded = |seed, length| -> Vec<f32> {
            let values = random(seed, batch * length * heads * head_size);
            values.into_iter().map(|value| from_bits(to_bits(value, dtype), dtype)).collect()
        };
        Problem {
            extents,
            dtype,
            scale: 1.0 / (head_size as f32).sqrt(),
            query: rounded(1, queries),
            key: rounded(2, keys),
            value: rounded(3, keys),
            mask: None,
        }
    }

    fn shape(&self, length: usize) -> [usize; 4] {
        let Extents { batch, heads, head_size, .. } = self.extents;
        [batch, length, heads, head_size]
    }

    /// The kernel's answer for contiguous inputs.
    pub fn solve(&self, set: InstructionSet, threads: usize) -> Answer {
        let stored = |values: &[f32], length| {
            let layout = Layout::contiguous(&self.shape(length));
            (fill(values, &layout, self.dtype), layout)
        };
        let query = stored(&self.query, self.extents.queries);
        let key = stored(&self.key, self.extents.keys);
        let value = stored(&self.value, self.extents.keys);
        self.solve_from([&query, &key, &value], set, threads)
    }

    /// The kernel's answer for the inputs as they lie in the given storages.
    pub fn solve_from(
        &self,
        [query, key, value]: [&(Storage, Layout); 3],
        set: InstructionSet,
        threads: usize,
    ) -> Answer {
        let Extents { batch, queries, heads, .. } = self.extents;
        let shape = self.shape(queries);
        let (count, rows) = (shape.iter().product(), batch * queries * heads);
        let mut output = Storage::zeroed(count, self.dtype);
        let [mut log_sum_exp, mut residue] =
            [(); 2].map(|()| Storage::zeroed(rows, DType::Float32));
        for index in 0..count {
            output.set(index, 77.0);
        }
        for index in 0..rows {
            residue.set(index, 77.0);
        }
        let pool = ThreadPool::new(threads);
        attention(
            &Cpu { pool: &pool, instruction_set: set },
            &AttentionArguments {
                query: query.0.view(query.1.clone()),
                key: key.0.view(key.1.clone()),
                value: value.0.view(value.1.clone()),
                mask: self.mask.as_ref().map(|mask| {
                    // SAFETY: the tests' layouts lie in their elements.
                    unsafe {
                        let base = mask.elements.as_ptr().cast();
                        TensorRef::new(base, DType::Float32, mask.layout.clone())
                    }
                }),
                scale: self.scale,
                output: output.view_mut(&shape),
                log_sum_exp: Some(LogSumExp {
                    rounded: log_sum_exp.view_mut(&[batch, queries, heads]),
                    residue: residue.view_mut(&[batch, queries, heads]),
                }),
            },
        );
        Answer {
            output: output.bits(count),
            log_sum_exp: log_sum_exp.bits(rows),
            residue: residue.bits(rows),
            dtype: self.dtype,
        }
    }

    /// Logits of one row.
    fn logits(&self, batch: usize, query: usize, head: usize) -> Vec<f64> {
        let Extents { queries, keys, heads, head_size, .. } = self.extents;
        let row = ((batch * queries + query) * heads + head) * head_size;
        let row = &self.query[row..row + head_size];
        (0..keys)
            .map(|key| {
                let other = ((batch * keys + key) * heads + head) * head_size;
                let other = &self.key[other..other + head_size];
                let pairs = row.iter().zip(other);
                let dot: f64 = pairs.map(|(q, k)| f64::from(*q) * f64::from(*k)).sum();
                let addend = self.mask.as_ref().map_or(0.0, |mask| {
                    let place = [batch, head, query, key];
                    let dims = place.iter().zip(&mask.layout.shape).zip(&mask.layout.strides);
                    let index: usize = dims
                        .map(|((at, extent), stride)| if *extent == 1 { 0 } else { at * stride })
                        .sum();
                    mask.elements[index]
                });
                dot * f64::from(self.scale) + f64::from(addend)
            })
            .collect()
    }

    /// Output and log-sum-exp in float64, by the definition; `round` is applied to the logits, the
    /// probabilities and the output.
    pub fn reference(&self, round: impl Fn(f64) -> f64) -> (Vec<f64>, Vec<f64>) {
        let Extents { batch, queries, keys, heads, head_size } = self.extents;
        let (mut output, mut log_sum_exp) = (Vec::new(), Vec::new());
        for row in 0..batch * queries * heads {
            let (batch, query, head) = (row / heads / queries, row / heads % queries, row % heads);
            let logits = self.logits(batch, query, head);
            let logits: Vec<f64> = logits.into_iter().map(&round).collect();
            if logits.iter().all(|logit| *logit == f64::NEG_INFINITY) {
                output.extend(std::iter::repeat_n(0.0, head_size));
                log_sum_exp.push(f64::NEG_INFINITY);
                continue;
            }
            let maximum = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let weights: Vec<f64> = logits.iter().map(|logit| (logit - maximum).exp()).collect();
            let sum: f64 = weights.iter().sum();
            let weights: Vec<f64> = weights.iter().map(|weight| round(weight / sum)).collect();
            for channel in 0..head_size {
                let value =
                    |key| self.value[((batch * keys + key) * heads + head) * head_size + channel];
                let terms = weights.iter().enumerate();
                let mean: f64 = terms.map(|(key, weight)| weight * f64::from(value(key))).sum();
                output.push(round(mean));
            }
            log_sum_exp.push(maximum + sum.ln());
        }
        (output, log_sum_exp)
    }

    /// The problem with some of the keys alone.
    pub fn of_keys(&self, keys: std::ops::Range<usize>) -> Problem {
        let Extents { heads, head_size, .. } = self.extents;
        let row = heads * head_size;
        let cut = |values: &[f32]| -> Vec<f32> {
            let batches = values.chunks(self.extents.keys * row);
            batches.flat_map(|batch| batch[keys.start * row..keys.end * row].to_vec()).collect()
        };
        assert!(self.mask.is_none());
        Problem {
            extents: Extents { keys: keys.len(), ..self.extents },
            query: self.query.clone(),
            key: cut(&self.key),
            value: cut(&self.value),
            mask: None,
            ..*self
        }
    }

    /// The part of the problem with the given query rows, heads and batches.
    pub fn part(
        &self,
        batches: std::ops::Range<usize>,
        queries: std::ops::Range<usize>,
        heads: std::ops::Range<usize>,
    ) -> Problem {
        let whole = self.extents;
        let cut = |values: &[f32], length: usize, rows: std::ops::Range<usize>| {
            let mut kept = Vec::new();
            for batch in batches.clone() {
                for row in rows.clone() {
                    for head in heads.clone() {
                        let first = ((batch * length + row) * whole.heads + head) * whole.head_size;
                        kept.extend_from_slice(&values[first..first + whole.head_size]);
                    }
                }
            }
            kept
        };
        assert!(self.mask.is_none());
        Problem {
            extents: Extents {
                batch: batches.len(),
                queries: queries.len(),
                heads: heads.len(),
                ..whole
            },
            query: cut(&self.query, whole.queries, queries.clone()),
            key: cut(&self.key, whole.keys, 0..whole.keys),
            value: cut(&self.value, whole.keys, 0..whole.keys),
            mask: None,
            ..*self
        }
    }
}

/// A storage in which a view with this layout has these values, in row-major order; other elements
/// are NaN.
pub fn fill(values: &[f32], layout: &Layout, dtype: DType) -> Storage {
    let mut storage = Storage::zeroed(layout.end(), dtype);
    for index in 0..layout.end() {
        storage.set(index, f32::NAN);
    }
    write(&mut storage, values, layout);
    storage
}

/// Writes a view's values, given in row-major order.
pub fn write(storage: &mut Storage, values: &[f32], layout: &Layout) {
    for (index, value) in values.iter().enumerate() {
        let (mut rest, mut place) = (index, layout.offset);
        for (extent, stride) in layout.shape.iter().zip(&layout.strides).rev() {
            place += rest % extent * stride;
            rest /= extent;
        }
        storage.set(place, *value);
    }
}
