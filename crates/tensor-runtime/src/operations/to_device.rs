//! Tensors from one device to another.

use super::copy::contiguous;
use crate::device::Device;
use crate::error::RuntimeError;
use crate::stream::{Lane, Stream, Work};
use crate::tensor::Tensor;

const NAME: &str = "toDevice";

/// The same values on `device`, row-major: another view where they are there already, else a copy.
/// A device that isn't open is opened first.
///
/// # Errors
/// `Device` where there is no driver or no such device.
pub fn to_device(stream: &Stream, input: &Tensor, device: Device) -> Result<Tensor, RuntimeError> {
    transfer(stream, input, device, Lane::Stream)
}

/// [`to_device`] beside what the device computes, for what is needed later: the stream goes on, and
/// waits only where the copy is read. The order of copies is kept. The copy's memory is taken when the
/// stream comes to it, so it begins once the device has done what was submitted before.
///
/// # Errors
/// As [`to_device`].
pub fn to_device_ahead(
    stream: &Stream,
    input: &Tensor,
    device: Device,
) -> Result<Tensor, RuntimeError> {
    transfer(stream, input, device, Lane::Beside)
}

fn transfer(
    stream: &Stream,
    input: &Tensor,
    device: Device,
    lane: Lane,
) -> Result<Tensor, RuntimeError> {
    if input.device() == device {
        return Ok(input.clone());
    }
    stream.open_for(NAME, device)?;
    let inputs = vec![contiguous(stream, input)?];
    let outputs = vec![(input.dtype(), input.shape().to_vec())];
    let work = match lane {
        Lane::Beside => Work::TransferAhead(None),
        Lane::Stream | Lane::InTurn => Work::Transfer,
    };
    let mut outputs = stream.submit_all(device, NAME, inputs, outputs, work, lane)?;
    Ok(outputs.remove(0))
}
