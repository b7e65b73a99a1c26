//! Whether values are finite.

use crate::element::{Float, for_float};
use crate::multiversion::per_instruction_set;
use crate::walk::{Walk, span};
use crate::{Cpu, TensorRef};
use std::sync::atomic::{AtomicBool, Ordering};

/// Elements that a thread looks at at a time.
const GRAIN: usize = 32 << 10;

/// Whether no element is infinite or NaN; integers never are.
pub fn all_finite(cpu: &Cpu, input: &TensorRef) -> bool {
    if !input.dtype.is_float() {
        return true;
    }
    for_float!(input.dtype, T => floats_finite::<T>(cpu, input))
}

fn floats_finite<T: Float>(cpu: &Cpu, input: &TensorRef) -> bool {
    let walk = Walk::new(input.shape(), [input.strides()]);
    let stride = walk.run_strides[0];
    let finite = AtomicBool::new(true);
    walk.for_each_run(cpu, GRAIN, |[from], length| {
        // SAFETY: the walk's runs lie within the view.
        let values = unsafe { span::<T>(input, from, length, stride) };
        if finite.load(Ordering::Relaxed) && !run_finite(cpu.instruction_set, values, stride) {
            finite.store(false, Ordering::Relaxed);
        }
    });
    finite.into_inner()
}

per_instruction_set! {
    fn run_finite<T: Float>(values: &[T], stride: usize) -> bool {
        if stride == 1 {
            // Without an early end, which would keep the loop from being vectorised.
            values.iter().fold(true, |finite, value| finite & value.widen().is_finite())
        } else {
            values.iter().step_by(stride.max(1)).all(|value| value.widen().is_finite())
        }
    }
}
