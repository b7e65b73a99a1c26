//! An attention as its operation's tensors say it, and its arithmetic.

use crate::attribute::name;
use crate::descriptor::{Described, Finalized, Kind};
use crate::status::{Failure, Status};
use cpu_kernels::float::{bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16};

/// `cudnnDataType_t`, as far as this library goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataType {
    Float,
    Half,
    BFloat16,
}

impl DataType {
    pub fn of(number: i64) -> Result<DataType, Failure> {
        match number {
            0 => Ok(DataType::Float),
            2 => Ok(DataType::Half),
            9 => Ok(DataType::BFloat16),
            other => Err(Failure::new(Status::NOT_SUPPORTED, format!("data type {other}"))),
        }
    }

    pub fn bytes(self) -> usize {
        match self {
            DataType::Float => 4,
            DataType::Half | DataType::BFloat16 => 2,
        }
    }

    pub fn decode(self, bytes: &[u8]) -> f64 {
        let half = || u16::from_le_bytes([bytes[0], bytes[1]]);
        f64::from(match self {
            DataType::Float => f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
            DataType::Half => f16_to_f32(half()),
            DataType::BFloat16 => bf16_to_f32(half()),
        })
    }

    pub fn encode(self, value: f64, target: &mut Vec<u8>) {
        let value = value as f32;
        match self {
            DataType::Float => target.extend(value.to_le_bytes()),
            DataType::Half => target.extend(f32_to_f16(value).to_le_bytes()),
            DataType::BFloat16 => target.extend(f32_to_bf16(value).to_le_bytes()),
        }
    }
}

/// A tensor of a graph.
#[derive(Clone, Debug)]
pub struct Tensor {
    pub id: i64,
    pub data_type: DataType,
    pub shape: [usize; 4],
    pub strides: [usize; 4],
    pub alignment: usize,
    pub is_by_value: bool,
}

impl Tensor {
    pub fn of(described: &impl Described) -> Result<Tensor, Failure> {
        let four = |name| -> Result<[usize; 4], Failure> {
            let bad = |numbers: &[i64]| {
                let message =
                    format!("attribute {name} must be four positive numbers: {numbers:?}");
                Failure::new(Status::BAD_PARAM, message)
            };
            let numbers = described.numbers(name)?;
            if numbers.iter().any(|number| *number < 1) {
                return Err(bad(numbers));
            }
            let numbers: Vec<_> = numbers.iter().map(|number| *number as usize).collect();
            <[usize; 4]>::try_from(numbers).map_err(|_| bad(described.numbers(name).unwrap_or(&[])))
        };
        let is_by_value = matches!(described.number(name::IS_BY_VALUE), Ok(1));
        Ok(Tensor {
            id: described.number(name::UNIQUE_ID)?,
            data_type: DataType::of(described.number(name::DATA_TYPE)?)?,
            shape: four(name::DIMENSIONS)?,
            strides: four(name::STRIDES)?,
            alignment: usize::try_from(described.number(name::ALIGNMENT)?).unwrap_or(0),
            is_by_value,
        })
    }

    /// Elements from the first to behind the last.
    pub fn extent(&self) -> usize {
        let last: usize =
            self.shape.iter().zip(self.strides).map(|(size, step)| (size - 1) * step).sum();
        last + 1
    }

    /// Whether its elements lie close together, in some order.
    pub fn is_dense(&self) -> bool {
        self.extent() == self.shape.iter().product()
    }

    /// The place of an element.
    pub fn place(&self, index: [usize; 4]) -> usize {
        index.iter().zip(self.strides).map(|(index, stride)| index * stride).sum()
    }
}

/// softmax(scale · query · keyᵀ) · value; tensors are (batch, heads, rows, channels).
#[derive(Clone, Debug)]
pub struct Attention {
    pub query: Tensor,
    pub key: Tensor,
    pub value: Tensor,
    pub output: Tensor,
    pub scale: Tensor,
    pub statistics: Option<Tensor>,
}

impl Attention {
    pub fn of(operation: &impl Described) -> Result<Attention, Failure> {
        let tensor = |name| Tensor::of(&**operation.descriptor(name, Kind::Tensor)?);
        Ok(Attention {
            query: tensor(name::QUERY)?,
            key: tensor(name::KEY)?,
            value: tensor(name::VALUE)?,
            output: tensor(name::OUTPUT)?,
            scale: tensor(name::SCALE)?,
            statistics: match operation.value(name::STATISTICS) {
                Some(_) => Some(tensor(name::STATISTICS)?),
                None => None,
            },
        })
    }

    /// That of a graph, which has no other operation.
    pub fn of_graph(graph: &Finalized) -> Result<Attention, Failure> {
        Attention::of(&**graph.descriptor(name::GRAPH_OPERATIONS, Kind::Attention)?)
    }

    pub fn tensors(&self) -> Vec<&Tensor> {
        let all = [&self.query, &self.key, &self.value, &self.output, &self.scale];
        all.into_iter().chain(&self.statistics).collect()
    }

    /// The output's elements and the logarithms of rows' sums, each by place.
    pub fn compute(
        &self,
        query: &[f64],
        key: &[f64],
        value: &[f64],
        scale: f64,
    ) -> (Vec<f64>, Vec<f64>) {
        let [batches, heads, queries, channels] = self.query.shape;
        let keys = self.key.shape[2];
        let mut output = vec![0.0; self.output.extent()];
        let mut sums = vec![0.0; self.statistics.as_ref().map_or(0, Tensor::extent)];
        for (batch, head, row) in (0..batches).flat_map(|batch| {
            (0..heads).flat_map(move |head| (0..queries).map(move |row| (batch, head, row)))
        }) {
            let query_row = self.query.place([batch, head, row, 0]);
            let scores: Vec<f64> = (0..keys)
                .map(|at| {
                    let key_row = self.key.place([batch, head, at, 0]);
                    let pairs =
                        query[query_row..][..channels].iter().zip(&key[key_row..][..channels]);
                    scale * pairs.map(|(query, key)| query * key).sum::<f64>()
                })
                .collect();
            let greatest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let weights: Vec<f64> = scores.iter().map(|score| (score - greatest).exp()).collect();
            let sum: f64 = weights.iter().sum();
            for channel in 0..channels {
                let place = |at| self.value.place([batch, head, at, channel]);
                let weighted =
                    weights.iter().enumerate().map(|(at, weight)| weight * value[place(at)]);
                output[self.output.place([batch, head, row, channel])] =
                    weighted.sum::<f64>() / sum;
            }
            if let Some(statistics) = &self.statistics {
                sums[statistics.place([batch, head, row, 0])] = greatest + sum.ln();
            }
        }
        (output, sums)
    }
}
