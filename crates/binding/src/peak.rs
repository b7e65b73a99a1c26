//! What the machine's arithmetic can do at most, for benchmarks.

use crate::error;
use crate::stream::cpu;
use cpu_kernels::Cpu;
use cpu_kernels::peak::{PeakKind, peak_gflops};
use napi::bindgen_prelude::*;
use napi_derive::napi;

/// A measurement takes at most this long: it can't be cancelled.
const LONGEST_SECONDS: f64 = 60.0;

/// GFLOP/s of the stream's threads on registers alone, measured after everything submitted so far;
/// null where the instruction set in use has no such instruction.
#[napi(catch_unwind, ts_return_type = "Promise<number | null>")]
pub fn measure_peak(env: &Env, dtype: String, seconds: f64) -> Result<Object<'_>> {
    let kind = match dtype.as_str() {
        "float32" => PeakKind::F32Fma,
        "bfloat16" => PeakKind::Bf16Dot,
        other => {
            return Err(error::argument("measurePeak", "dtype", "float32 or bfloat16", other));
        }
    };
    if !(0.0..=LONGEST_SECONDS).contains(&seconds) {
        let range = format!("from 0 to {LONGEST_SECONDS}");
        return Err(error::argument("measurePeak", "seconds", range, seconds));
    }
    let (deferred, promise) = env.create_deferred::<Option<f64>, _>()?;
    cpu().after(move || {
        let pool = cpu().pool();
        let machine = Cpu { pool: &pool, instruction_set: cpu().instruction_set() };
        let peak = peak_gflops(&machine, kind, seconds);
        deferred.resolve(move |_| Ok(peak));
    });
    Ok(promise)
}
