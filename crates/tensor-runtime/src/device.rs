//! Where tensors live and are computed.

use std::fmt;

/// Where a tensor lives and is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Device {
    /// This machine's processor and memory.
    Cpu,
    /// The CUDA device of that index, as the driver counts them.
    Cuda(usize),
}

impl Device {
    /// The device that [`Device`]'s text names: `cpu`, `cuda:0`, or `cuda` for the first.
    pub fn from_name(name: &str) -> Option<Device> {
        match name {
            "cpu" => Some(Device::Cpu),
            "cuda" => Some(Device::Cuda(0)),
            _ => {
                let index = name.strip_prefix("cuda:")?;
                let plain = index.bytes().all(|byte| byte.is_ascii_digit());
                index.parse().ok().filter(|_| plain).map(Device::Cuda)
            }
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Device::Cpu => f.write_str("cpu"),
            Device::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_written() {
        for device in [Device::Cpu, Device::Cuda(0), Device::Cuda(13)] {
            assert_eq!(Device::from_name(&device.to_string()), Some(device));
        }
        assert_eq!(Device::from_name("cuda"), Some(Device::Cuda(0)));
        for name in [
            "",
            "gpu",
            "cuda:",
            "cuda:-1",
            "cuda:+1",
            "cuda:1x",
            "cpu:0",
            "cuda:99999999999999999999",
        ] {
            assert_eq!(Device::from_name(name), None, "{name}");
        }
    }
}
