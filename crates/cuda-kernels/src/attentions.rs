//! Which kernels compute attention.

use crate::DType;
use crate::pack::{Pack, refused};
use cuda::CudaError;

/// The one compute capability that has the pipelined kernel.
const PIPELINED: (u32, u32) = (9, 0);

/// Which kernels compute attention on a device, by what `WAN_CUDA_ATTENTION` says. It is chosen when the
/// device is opened and stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attentions {
    /// `plain`, and where nothing is said on devices other than of compute capability 9.0: kernels that
    /// any device runs.
    Plain,
    /// `pipelined`, and where nothing is said on devices of compute capability 9.0: heads that it takes
    /// by a kernel for that one, which multiplies and copies beside its threads.
    Pipelined {
        /// `pipelined-128x160`: by other tiles, for heads of the sizes that have them. To be compared.
        tiles: Option<String>,
        /// Names of kernels that there are.
        kernels: Vec<String>,
    },
}

impl Attentions {
    /// What is asked for on a device of that compute capability.
    ///
    /// # Errors
    ///
    /// `Unsupported` for another name, and where the device or the pack doesn't have it.
    pub(crate) fn of(
        asked: Option<&str>,
        capability: (u32, u32),
        pack: &Pack,
    ) -> Result<Attentions, CudaError> {
        let asked = match asked {
            None | Some("") if capability == PIPELINED => "pipelined",
            None | Some("") => "plain",
            Some(asked) => asked,
        };
        let tiles = match asked.split_once('-') {
            None if asked == "plain" => return Ok(Attentions::Plain),
            None if asked == "pipelined" => None,
            Some(("pipelined", tiles)) => Some(tiles.to_owned()),
            _ => {
                let message = "WAN_CUDA_ATTENTION must be plain or pipelined, but is";
                return Err(refused(format!("{message} {asked:?}")));
            }
        };
        if capability != PIPELINED {
            let ((major, minor), (own, own_minor)) = (PIPELINED, capability);
            return Err(refused(format!(
                "WAN_CUDA_ATTENTION is {asked}, which needs compute capability {major}.{minor}; the \
                 device has {own}.{own_minor}"
            )));
        }
        Attentions::pipelined(tiles, pack)
    }

    /// The pipelined kernels of a pack, by other tiles where these are told.
    pub(crate) fn pipelined(tiles: Option<String>, pack: &Pack) -> Result<Attentions, CudaError> {
        let prefix = "pipelined_attention_";
        let mut kernels: Vec<String> =
            pack.names().filter(|name| name.starts_with(prefix)).map(str::to_owned).collect();
        kernels.sort_unstable();
        if let Some(tiles) = &tiles
            && !kernels.iter().any(|name| name.ends_with(&format!("_{tiles}")))
        {
            let there = kernels.join(", ");
            let message = format!("WAN_CUDA_ATTENTION is pipelined-{tiles}; there are {there}");
            return Err(refused(message));
        }
        Ok(Attentions::Pipelined { tiles, kernels })
    }

    /// The pipelined kernel for heads of that size, where there is one.
    pub(crate) fn kernel(&self, dtype: DType, size: usize) -> Option<&str> {
        let Attentions::Pipelined { tiles, kernels } = self else { return None };
        let dtype = match dtype {
            DType::BFloat16 => "bf16",
            DType::Float16 => "f16",
            _ => return None,
        };
        let name = format!("pipelined_attention_{dtype}_{size}");
        let with_tiles = tiles.as_ref().map(|tiles| format!("{name}_{tiles}"));
        let find = |name: String| kernels.iter().find(|kernel| **kernel == name);
        with_tiles.and_then(find).or_else(|| find(name)).map(String::as_str)
    }

    /// The name.
    pub fn describe(&self) -> String {
        match self {
            Attentions::Plain => "plain".into(),
            Attentions::Pipelined { tiles: None, .. } => "pipelined".into(),
            Attentions::Pipelined { tiles: Some(tiles), .. } => format!("pipelined-{tiles}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pack::Target;

    fn of(asked: Option<&str>, capability: (u32, u32)) -> Result<Attentions, String> {
        let pack = Pack::open(Target::of(capability).unwrap()).unwrap();
        Attentions::of(asked, capability, &pack).map_err(|error| error.to_string())
    }

    #[test]
    fn are_asked_for_by_name_or_follow_the_device() {
        for (asked, capability, expected) in [
            (None, (8, 0), "plain"),
            (None, (10, 0), "plain"),
            (None, (9, 0), "pipelined"),
            (Some(""), (9, 0), "pipelined"),
            (Some("plain"), (9, 0), "plain"),
            (Some("pipelined"), (9, 0), "pipelined"),
            (Some("pipelined-128x160"), (9, 0), "pipelined-128x160"),
        ] {
            assert_eq!(
                of(asked, capability).map(|found| found.describe()),
                Ok(expected.to_owned())
            );
        }
        let refused = |asked, capability| of(Some(asked), capability).unwrap_err();
        assert!(refused("flash", (9, 0)).contains("must be plain or pipelined, but is \"flash\""));
        let elsewhere = refused("pipelined", (8, 9));
        assert!(elsewhere.contains("capability 9.0; the device has 8.9"), "{elsewhere}");
        let tiles = refused("pipelined-7x7", (9, 0));
        assert!(tiles.contains("pipelined_attention_bf16_128_128x160"), "{tiles}");
    }

    #[test]
    fn have_a_kernel_for_each_type_and_size() {
        let attentions = of(Some("pipelined-128x160"), (9, 0)).unwrap();
        let kernel = |dtype, size| attentions.kernel(dtype, size);
        let other = Some("pipelined_attention_bf16_128_128x160");
        assert_eq!(kernel(DType::BFloat16, 128), other);
        assert_eq!(kernel(DType::BFloat16, 64), Some("pipelined_attention_bf16_64"));
        assert_eq!(kernel(DType::Float16, 128), Some("pipelined_attention_f16_128"));
        assert_eq!([kernel(DType::Float32, 64), kernel(DType::BFloat16, 96)], [None; 2]);
        assert_eq!(Attentions::Plain.kernel(DType::BFloat16, 64), None);
    }
}
