//! MPI's functions, as the library in use has them.

use super::library::{Library, Missing, MpiFamily};
use std::ffi::{CStr, c_char, c_int, c_void};

const THREAD_SINGLE: c_int = 0;

/// More than a status of any library.
type Status = [c_int; 64];

/// A message under way. Libraries have handles of 4 or 8 bytes; the first of these are theirs.
pub(super) struct Request {
    handle: u64,
}

/// What the engine asks of MPI. Errors are the library's own words.
///
/// All calls are made by the thread that called `init`.
pub(super) trait Mpi {
    /// Initialises the library; returns once all ranks of the launcher have come.
    fn init(&self) -> Result<(), String>;

    /// This process's rank and the number of ranks.
    fn place(&self) -> Result<(usize, usize), String>;

    /// Begins to send `bytes` bytes to `rank`.
    ///
    /// # Safety
    /// The bytes stay readable and unwritten until `test` has said that the message is gone.
    unsafe fn send(
        &self,
        address: *const u8,
        bytes: usize,
        rank: usize,
        tag: c_int,
    ) -> Result<Request, String>;

    /// Begins to receive at most `bytes` bytes from `rank`.
    ///
    /// # Safety
    /// The bytes are valid and touched by nobody else until `test` has said that they are there.
    unsafe fn receive(
        &self,
        address: *mut u8,
        bytes: usize,
        rank: usize,
        tag: c_int,
    ) -> Result<Request, String>;

    /// Whether a message is done with; not to be asked again once it is.
    fn test(&self, request: &mut Request) -> Result<bool, String>;

    /// Ends MPI, once all ranks do.
    fn finalize(&self) -> Result<(), String>;

    /// Has the launcher end all ranks.
    fn abort(&self);
}

/// The functions of `library`.
pub(super) fn functions(library: &Library) -> Result<Box<dyn Mpi + Send>, Missing> {
    Ok(match library.family {
        MpiFamily::OpenMpi => Box::new(Table::<*mut c_void>::new(
            library,
            Handles {
                world: library.symbol(c"ompi_mpi_comm_world")?,
                byte: library.symbol(c"ompi_mpi_byte")?,
                errors_return: library.symbol(c"ompi_mpi_errors_return")?,
            },
            1,
        )?),
        // From MPICH's mpi.h, whose binary interface has been kept since 3.1.
        MpiFamily::Mpich => Box::new(Table::<c_int>::new(
            library,
            Handles { world: 0x4400_0000, byte: 0x4c00_010d, errors_return: 0x5400_0001 },
            1,
        )?),
        // From the MPI standard 5.0, appendix A.
        MpiFamily::Standard => {
            let handle = |number: usize| std::ptr::without_provenance_mut::<c_void>(number);
            let handles =
                Handles { world: handle(0x101), byte: handle(0x247), errors_return: handle(0x143) };
            Box::new(Table::<*mut c_void>::new(library, handles, 1024)?)
        }
    })
}

/// The handles that are used, of type `H`.
#[derive(Clone, Copy)]
struct Handles<H> {
    world: H,
    byte: H,
    errors_return: H,
}

/// Functions over handles of type `H`, with the signatures that MPI gives them.
struct Table<H> {
    handles: Handles<H>,
    thread_funneled: c_int,
    init_thread: unsafe extern "C" fn(*mut c_int, *mut c_void, c_int, *mut c_int) -> c_int,
    set_errhandler: unsafe extern "C" fn(H, H) -> c_int,
    comm_rank: unsafe extern "C" fn(H, *mut c_int) -> c_int,
    comm_size: unsafe extern "C" fn(H, *mut c_int) -> c_int,
    isend: unsafe extern "C" fn(*const c_void, c_int, H, c_int, c_int, H, *mut H) -> c_int,
    irecv: unsafe extern "C" fn(*mut c_void, c_int, H, c_int, c_int, H, *mut H) -> c_int,
    test: unsafe extern "C" fn(*mut H, *mut c_int, *mut Status) -> c_int,
    error_string: unsafe extern "C" fn(c_int, *mut c_char, *mut c_int) -> c_int,
    finalize: unsafe extern "C" fn() -> c_int,
    abort: unsafe extern "C" fn(H, c_int) -> c_int,
}

// SAFETY: addresses of a library's code and objects, which stay where they are.
unsafe impl<H> Send for Table<H> {}

impl<H: Copy> Table<H> {
    #[allow(clippy::missing_transmute_annotations, reason = "each field has its type")]
    fn new(
        library: &Library,
        handles: Handles<H>,
        thread_funneled: c_int,
    ) -> Result<Table<H>, Missing> {
        macro_rules! function {
            ($name:literal) => {
                // SAFETY: the library is of MPI, which gives the function the field's signature,
                // and its handles are of type `H`.
                unsafe { std::mem::transmute(library.symbol($name)?) }
            };
        }
        Ok(Table {
            handles,
            thread_funneled,
            init_thread: function!(c"MPI_Init_thread"),
            set_errhandler: function!(c"MPI_Comm_set_errhandler"),
            comm_rank: function!(c"MPI_Comm_rank"),
            comm_size: function!(c"MPI_Comm_size"),
            isend: function!(c"MPI_Isend"),
            irecv: function!(c"MPI_Irecv"),
            test: function!(c"MPI_Test"),
            error_string: function!(c"MPI_Error_string"),
            finalize: function!(c"MPI_Finalize"),
            abort: function!(c"MPI_Abort"),
        })
    }

    fn check(&self, name: &str, code: c_int) -> Result<(), String> {
        if code == 0 {
            return Ok(());
        }
        // More than any library's MPI_MAX_ERROR_STRING.
        let mut text = vec![0u8; 4096];
        let mut length = 0;
        // SAFETY: the room is larger than the longest text.
        unsafe { (self.error_string)(code, text.as_mut_ptr().cast(), &mut length) };
        let text = CStr::from_bytes_until_nul(&text).map(CStr::to_string_lossy);
        Err(format!("{name}: {} (error {code})", text.unwrap_or_default().trim()))
    }

    fn number(
        &self,
        name: &str,
        function: unsafe extern "C" fn(H, *mut c_int) -> c_int,
    ) -> Result<usize, String> {
        let mut number = -1;
        // SAFETY: MPI is initialised, and fills the number.
        let code = unsafe { function(self.handles.world, &mut number) };
        self.check(name, code)?;
        usize::try_from(number).map_err(|_| format!("{name} says {number}"))
    }
}

impl<H: Copy> Mpi for Table<H> {
    fn init(&self) -> Result<(), String> {
        let (arguments, values) = (std::ptr::null_mut(), std::ptr::null_mut());
        let mut provided = THREAD_SINGLE;
        // SAFETY: MPI takes null for the arguments of a program that hands none over.
        let code =
            unsafe { (self.init_thread)(arguments, values, self.thread_funneled, &mut provided) };
        self.check("MPI_Init_thread", code)?;
        if provided < self.thread_funneled {
            return Err("the MPI library may be used by programs of one thread alone".into());
        }
        // SAFETY: MPI is initialised.
        let code = unsafe { (self.set_errhandler)(self.handles.world, self.handles.errors_return) };
        self.check("MPI_Comm_set_errhandler", code)
    }

    fn place(&self) -> Result<(usize, usize), String> {
        let rank = self.number("MPI_Comm_rank", self.comm_rank)?;
        Ok((rank, self.number("MPI_Comm_size", self.comm_size)?))
    }

    unsafe fn send(
        &self,
        address: *const u8,
        bytes: usize,
        rank: usize,
        tag: c_int,
    ) -> Result<Request, String> {
        let Handles { world, byte, .. } = self.handles;
        let mut request = Request { handle: 0 };
        let handle = (&raw mut request.handle).cast();
        let (count, rank) = (bytes as c_int, rank as c_int);
        // SAFETY: the caller's promise; a handle fits into 8 bytes.
        let code = unsafe { (self.isend)(address.cast(), count, byte, rank, tag, world, handle) };
        self.check("MPI_Isend", code)?;
        Ok(request)
    }

    unsafe fn receive(
        &self,
        address: *mut u8,
        bytes: usize,
        rank: usize,
        tag: c_int,
    ) -> Result<Request, String> {
        let Handles { world, byte, .. } = self.handles;
        let mut request = Request { handle: 0 };
        let handle = (&raw mut request.handle).cast();
        let (count, rank) = (bytes as c_int, rank as c_int);
        // SAFETY: the caller's promise; a handle fits into 8 bytes.
        let code = unsafe { (self.irecv)(address.cast(), count, byte, rank, tag, world, handle) };
        self.check("MPI_Irecv", code)?;
        Ok(request)
    }

    fn test(&self, request: &mut Request) -> Result<bool, String> {
        let mut status: Status = [0; 64];
        let mut flag = 0;
        // SAFETY: a request that is under way, and room for any library's status.
        let code = unsafe { (self.test)((&raw mut request.handle).cast(), &mut flag, &mut status) };
        self.check("MPI_Test", code)?;
        Ok(flag != 0)
    }

    fn finalize(&self) -> Result<(), String> {
        // SAFETY: MPI is initialised, and no message is under way.
        let code = unsafe { (self.finalize)() };
        self.check("MPI_Finalize", code)
    }

    fn abort(&self) {
        // SAFETY: MPI is initialised.
        unsafe { (self.abort)(self.handles.world, 1) };
    }
}
