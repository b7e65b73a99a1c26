//! A device with its kernels.

use crate::attentions::Attentions;
use crate::pack::{Kernel, Kind, Pack, Target, internal, refused};
use crate::products::Products;
use cuda::cudnn::{Cudnn, CudnnLibrary};
use cuda::{Argument, CudaError, Device, Function};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Where kernels run: a device, and the kernels compiled for it. The counterpart of
/// `cpu_kernels::Cpu`.
///
/// A kernel's code is loaded when it is first launched, from any thread, and kept.
pub struct Gpu {
    device: Arc<Device>,
    target: Target,
    products: Products,
    attentions: Attentions,
    cudnn: OnceLock<Result<Cudnn, CudaError>>,
    pack: Pack,
    loaded: Mutex<HashMap<String, Arc<Function>>>,
}

impl Gpu {
    /// The device with the kernels for its compute capability, or PTX where `WAN_CUDA_KERNELS` is
    /// `ptx`. Loads none yet. Linear layers are computed as `WAN_CUDA_LINEAR` says (see [`Products`]),
    /// attention as `WAN_CUDA_ATTENTION` (see [`Attentions`]).
    ///
    /// # Errors
    ///
    /// `Unsupported` for a device below compute capability 8.0, where cuBLASLt or kernels are asked for
    /// and aren't there, and for other values of the variables.
    pub fn new(device: Arc<Device>) -> Result<Gpu, CudaError> {
        let variable = |name| std::env::var(name).ok();
        let capability = device.compute_capability();
        let target = target(variable("WAN_CUDA_KERNELS").as_deref(), capability)?;
        let pack = Pack::open(target)?;
        let products = Products::open(variable("WAN_CUDA_LINEAR").as_deref(), &device)?;
        let asked = variable("WAN_CUDA_ATTENTION");
        let attentions = Attentions::of(asked.as_deref(), capability, &pack)?;
        let (cudnn, loaded) = Default::default();
        Ok(Gpu { device, target, products, attentions, cudnn, pack, loaded })
    }

    /// The same with the pipelined attention, for tests on a device of any capability.
    #[cfg(test)]
    pub(crate) fn with_pipelined_attention(self, tiles: Option<&str>) -> Gpu {
        let attentions = Attentions::pipelined(tiles.map(str::to_owned), &self.pack).unwrap();
        Gpu { attentions, ..self }
    }

    /// Which kernels compute attention.
    pub fn attentions(&self) -> &Attentions {
        &self.attentions
    }

    /// What computes linear layers.
    pub fn products(&self) -> &Products {
        &self.products
    }

    /// cuDNN, opened when it is first asked for.
    ///
    /// # Errors
    ///
    /// `Unsupported` with what was tried where it isn't there or is too old; what it says where it can't
    /// use the device. The answer stays.
    pub fn cudnn(&self) -> Result<&Cudnn, CudaError> {
        let open = || {
            let library = CudnnLibrary::open(Some(self.device.driver().version()))?;
            Cudnn::new(library, &self.device)
        };
        self.cudnn.get_or_init(open).as_ref().map_err(Clone::clone)
    }

    /// Has the device use this cuDNN, for tests without one; where it was asked for before, that stays.
    pub fn set_cudnn(&self, cudnn: Cudnn) {
        self.cudnn.get_or_init(|| Ok(cudnn));
    }

    /// What its kernels are compiled for: a compute capability such as `9.0`, or `ptx` where the
    /// driver compiles them.
    pub fn target(&self) -> &'static str {
        self.target.name()
    }

    /// The device.
    pub fn device(&self) -> &Arc<Device> {
        &self.device
    }

    /// Queues a kernel. A grid without blocks queues nothing.
    ///
    /// Views' makers promised that the addresses are good; that the kernel keeps within them is
    /// its launching function's part.
    ///
    /// # Errors
    ///
    /// What the driver says; and, naming kernel and argument, where the pack has no such kernel or
    /// the arguments aren't those that the manifest tells.
    pub(crate) fn launch(
        &self,
        kernel: &str,
        grid: [u32; 3],
        arguments: &[Argument],
    ) -> Result<(), CudaError> {
        let compiled = self.pack.kernel(kernel)?;
        check(kernel, compiled, arguments)?;
        if grid.contains(&0) {
            return Ok(());
        }
        let function = self.function(kernel, compiled)?;
        let mut arguments = arguments.to_vec();
        arguments.resize(arguments.len() + compiled.scratch, Argument::Pointer(0));
        // SAFETY: number, kinds and alignment are what the kernel was compiled for; the addresses
        // are those of views, whose makers promised memory that outlives the work.
        unsafe {
            self.device.launch(&function, grid, compiled.threads, compiled.shared, &arguments)
        }
    }

    /// A number that the kernel was compiled with for this device, such as a block's size.
    ///
    /// # Panics
    /// Where there is no such kernel or constant: a mistake of the launching function, which its
    /// test meets.
    pub(crate) fn constant(&self, kernel: &str, name: &str) -> u32 {
        let constant = self.pack.kernel(kernel).ok().and_then(|kernel| kernel.constant(name));
        constant.unwrap_or_else(|| panic!("kernel {kernel} has no constant {name}"))
    }

    fn function(&self, name: &str, kernel: &Kernel) -> Result<Arc<Function>, CudaError> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(function) = loaded.get(name) {
            return Ok(function.clone());
        }
        let module = self.device.load_module(self.pack.image(kernel)?).map_err(|mut error| {
            error.message = format!("loading kernel {name}: {}", error.message);
            error
        })?;
        let function = Arc::new(module.function(&kernel.entry)?);
        loaded.insert(name.to_owned(), function.clone());
        Ok(function)
    }
}

/// The kernels that `WAN_CUDA_KERNELS` asks for: `compiled`, and where nothing is said, code of the
/// device's own where there is some; `ptx` what the driver compiles.
fn target(asked: Option<&str>, capability: (u32, u32)) -> Result<Target, CudaError> {
    let target = Target::of(capability)?;
    match asked {
        None | Some("" | "compiled") => Ok(target),
        Some("ptx") => Ok(Target::Ptx),
        Some(other) => {
            Err(refused(format!("WAN_CUDA_KERNELS must be compiled or ptx, but is {other:?}")))
        }
    }
}

/// Refuses arguments that aren't those of the kernel.
fn check(name: &str, kernel: &Kernel, arguments: &[Argument]) -> Result<(), CudaError> {
    if arguments.len() != kernel.parameters.len() {
        let (expected, found) = (kernel.parameters.len(), arguments.len());
        return Err(internal(format!("kernel {name} takes {expected} arguments, got {found}")));
    }
    for (parameter, argument) in kernel.parameters.iter().zip(arguments) {
        let (kind, value) = match *argument {
            Argument::Pointer(address) => (Kind::Pointer, address as i64),
            Argument::I32(value) => (Kind::I32, i64::from(value)),
            Argument::I64(value) => (Kind::I64, value),
            Argument::F32(_) => (Kind::F32, 0),
            Argument::TensorMap(_) => (Kind::TensorMap, 0),
        };
        if kind != parameter.kind {
            let (argument, expected) = (&parameter.name, parameter.kind);
            let problem = format!("kernel {name}: {argument} is {expected:?}, got {kind:?}");
            return Err(internal(problem));
        }
        if parameter.aligned && value % 16 != 0 {
            let argument = &parameter.name;
            let problem = format!("kernel {name}: {argument} is a multiple of 16, got {value}");
            return Err(internal(problem));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::gpu;

    #[test]
    fn kernels_are_compiled_ones_unless_others_are_asked_for() {
        for (asked, expected) in
            [(None, Target::V9_0), (Some("compiled"), Target::V9_0), (Some("ptx"), Target::Ptx)]
        {
            assert_eq!(target(asked, (9, 0)), Ok(expected));
        }
        let error = target(Some("cubin"), (9, 0)).unwrap_err().to_string();
        assert!(error.contains("WAN_CUDA_KERNELS must be compiled or ptx"), "{error}");
    }

    #[test]
    fn refuses_arguments_that_are_not_the_kernels() {
        let pack = Pack::open(Target::V9_0).unwrap();
        let name = "cast_f32_bf16";
        let kernel = pack.kernel(name).unwrap();
        let good = [Argument::Pointer(32), Argument::Pointer(64), Argument::I64(9)];
        assert_eq!(check(name, kernel, &good), Ok(()));
        let message =
            |arguments: &[Argument]| check(name, kernel, arguments).unwrap_err().to_string();
        let few = message(&good[1..]);
        assert!(few.contains("cast_f32_bf16 takes 3 arguments, got 2"), "{few}");
        let other = message(&[good[0], good[1], Argument::I32(7)]);
        assert!(other.contains("cast_f32_bf16: count is I64, got I32"), "{other}");
        let odd = message(&[good[0], Argument::Pointer(24), good[2]]);
        assert!(odd.contains("cast_f32_bf16: output is a multiple of 16, got 24"), "{odd}");
    }

    /// Fills a uint8 with 7 by the kernel of that name.
    fn fill(gpu: &Gpu, kernel: &str, grid: [u32; 3]) -> Result<u8, CudaError> {
        let memory = gpu.device().allocate(1)?;
        // SAFETY: one byte, which nothing else uses.
        unsafe { gpu.device().fill_bytes(memory.address(), 0, 1) }?;
        let arguments = [Argument::Pointer(memory.address()), Argument::I64(7), Argument::I64(1)];
        gpu.launch(kernel, grid, &arguments)?;
        let mut byte = [0];
        // SAFETY: as above.
        unsafe { gpu.device().copy_to_host(&mut byte, memory.address()) }?;
        Ok(byte[0])
    }

    #[test]
    fn a_kernel_is_loaded_once_whichever_threads_launch_it() {
        let gpu = gpu();
        assert!(gpu.loaded.lock().unwrap().is_empty());
        std::thread::scope(|scope| {
            let threads = [(); 4].map(|()| scope.spawn(|| fill(&gpu, "fill_u8", [1, 1, 1])));
            for thread in threads {
                assert_eq!(thread.join().unwrap(), Ok(7));
            }
        });
        let loaded = gpu.loaded.lock().unwrap();
        assert_eq!(loaded.keys().collect::<Vec<_>>(), ["fill_u8"]);
    }

    #[test]
    fn a_grid_without_blocks_queues_nothing() {
        let gpu = gpu();
        for grid in [[0, 1, 1], [1, 0, 1], [1, 1, 0]] {
            assert_eq!(fill(&gpu, "fill_u8", grid), Ok(0));
        }
        assert!(gpu.loaded.lock().unwrap().is_empty());
    }

    #[test]
    fn a_kernel_that_is_not_there_is_an_error_that_names_it() {
        let refused = fill(&gpu(), "fill_u3", [1, 1, 1]).unwrap_err();
        assert_eq!(refused.message, "internal error: no kernel fill_u3 for ptx");
    }
}
