//! The shared file: made, mapped, and divided.

use super::control::{Header, Lane, MAGIC, Mailbox, RankBlock};
use crate::error::{ErrorCode, TransportError};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};

/// The most ranks of one machine. Descriptors and tables have room for more; a barrier among more
/// processes than this would want another shape.
pub(crate) const MAX_RANKS: usize = 256;
/// Lanes for each rank: groups that it can be in during a run.
const LANES_PER_RANK: usize = 64;
const PAGE: usize = 4096;
/// Arenas start on the boundary of a huge page.
const HUGE_PAGE: usize = 2 << 20;
const RANK_STRIDE: usize = size_of::<RankBlock>().next_multiple_of(256);

/// Where things lie in the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub world: usize,
    pub lanes: usize,
    pub arena_bytes: usize,
}

impl Layout {
    pub(crate) fn new(world: usize, arena_bytes: usize) -> Layout {
        let arena_bytes = arena_bytes.next_multiple_of(HUGE_PAGE);
        Layout { world, lanes: world * LANES_PER_RANK, arena_bytes }
    }

    fn lane_stride(&self) -> usize {
        let tables = 4 * self.world * size_of::<u64>();
        let mailboxes = self.world * size_of::<Mailbox>();
        (size_of::<Lane>().next_multiple_of(64) + tables + mailboxes).next_multiple_of(PAGE)
    }

    fn first_lane(&self) -> usize {
        (PAGE + self.world * RANK_STRIDE).next_multiple_of(PAGE)
    }

    fn first_arena(&self) -> usize {
        (self.first_lane() + self.lanes * self.lane_stride()).next_multiple_of(HUGE_PAGE)
    }

    /// Where a rank's arena begins.
    pub(crate) fn arena(&self, rank: usize) -> usize {
        self.first_arena() + rank * self.arena_bytes
    }

    /// Bytes of the file.
    pub(crate) fn total(&self) -> usize {
        self.arena(self.world)
    }
}

/// The mapped file.
pub(crate) struct Segment {
    base: *mut u8,
    pub(crate) layout: Layout,
    file: OwnedFd,
}

// SAFETY: the map belongs to the segment until it is dropped; all that is reached through `&self`
// is atomic, or a raw address whose use is unsafe in itself.
unsafe impl Send for Segment {}
// SAFETY: as above.
unsafe impl Sync for Segment {}

impl Segment {
    /// A new file for `layout`, its header filled in.
    pub(crate) fn create(layout: Layout) -> Result<Segment, TransportError> {
        let file = anonymous_file()?;
        // SAFETY: the descriptor is open.
        if unsafe { libc::ftruncate(file.as_raw_fd(), layout.total() as libc::off_t) } != 0 {
            return Err(TransportError::system(0, "ftruncate"));
        }
        let segment = Segment::map(file, layout, 0)?;
        let header = segment.header();
        header.world.store(layout.world as u32, Ordering::Relaxed);
        header.lanes.store(layout.lanes as u32, Ordering::Relaxed);
        header.arena_bytes.store(layout.arena_bytes as u64, Ordering::Relaxed);
        header.launcher.store(std::process::id(), Ordering::Relaxed);
        // The first lanes are the group of all ranks.
        header.next_lane.store(layout.world as u32, Ordering::Relaxed);
        header.magic.store(MAGIC, Ordering::Release);
        Ok(segment)
    }

    /// The file that the launcher left as `descriptor`, which this call takes over.
    pub(crate) fn open(descriptor: RawFd, rank: usize) -> Result<Segment, TransportError> {
        let refused = |found: String| {
            let expected = "the descriptor is the launcher's shared file, handed down to each rank";
            TransportError::new(ErrorCode::StartUp, rank, expected, found)
        };
        // SAFETY: any number may be asked.
        if descriptor < 3 || unsafe { libc::fcntl(descriptor, libc::F_GETFD) } < 0 {
            return Err(refused(format!("file descriptor {descriptor} isn't open")));
        }
        // SAFETY: it is open, and the launcher handed it down for this call alone.
        let file = unsafe { OwnedFd::from_raw_fd(descriptor) };
        // SAFETY: the descriptor is open; programs that this process starts shall not have it.
        unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) };
        // SAFETY: zeros are a valid `stat`, which the call fills.
        let mut status: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: descriptor and struct are valid.
        if unsafe { libc::fstat(descriptor, &mut status) } != 0 {
            return Err(TransportError::system(rank, "fstat"));
        }
        let bytes = status.st_size as usize;
        if bytes < PAGE {
            return Err(refused(format!("file descriptor {descriptor} has {bytes} bytes")));
        }
        let first = Map::new(&file, PAGE, rank)?;
        // SAFETY: the page is mapped, aligned, and all atomics.
        let header = unsafe { &*first.base.cast::<Header>() };
        if header.magic.load(Ordering::Acquire) != MAGIC {
            return Err(refused(format!(
                "file descriptor {descriptor} is something else, or of another version"
            )));
        }
        let layout = Layout {
            world: header.world.load(Ordering::Relaxed) as usize,
            lanes: header.lanes.load(Ordering::Relaxed) as usize,
            arena_bytes: header.arena_bytes.load(Ordering::Relaxed) as usize,
        };
        if layout.world > MAX_RANKS || layout.total() != bytes {
            return Err(refused(format!("file descriptor {descriptor} has {bytes} bytes")));
        }
        drop(first);
        Segment::map(file, layout, rank)
    }

    fn map(file: OwnedFd, layout: Layout, rank: usize) -> Result<Segment, TransportError> {
        let map = Map::new(&file, layout.total(), rank)?;
        let base = map.base;
        std::mem::forget(map);
        Ok(Segment { base, layout, file })
    }

    /// The file's descriptor.
    pub(crate) fn descriptor(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    pub(crate) fn header(&self) -> &Header {
        // SAFETY: the file begins with it; all atomics.
        unsafe { &*self.base.cast() }
    }

    pub(crate) fn rank(&self, rank: usize) -> &RankBlock {
        assert!(rank < self.layout.world);
        // SAFETY: the blocks of all ranks follow the header; all atomics.
        unsafe { &*self.base.add(PAGE + rank * RANK_STRIDE).cast() }
    }

    fn lane_base(&self, lane: usize) -> *mut u8 {
        assert!(lane < self.layout.lanes);
        // SAFETY: within the file.
        unsafe { self.base.add(self.layout.first_lane() + lane * self.layout.lane_stride()) }
    }

    pub(crate) fn lane(&self, lane: usize) -> &Lane {
        // SAFETY: a lane begins with it; all atomics.
        unsafe { &*self.lane_base(lane).cast() }
    }

    /// A lane's table of bytes sent to (`0`) or received from (`1`) each member, for announcements
    /// of that parity.
    pub(crate) fn table(&self, lane: usize, parity: usize, which: usize) -> &[AtomicU64] {
        assert!(parity < 2 && which < 2);
        let world = self.layout.world;
        let start = size_of::<Lane>().next_multiple_of(64) + (parity * 2 + which) * world * 8;
        // SAFETY: four tables follow the lane's head; all atomics.
        unsafe { std::slice::from_raw_parts(self.lane_base(lane).add(start).cast(), world) }
    }

    /// What the lane's owner sends to `member`.
    pub(crate) fn mailbox(&self, lane: usize, member: usize) -> &Mailbox {
        assert!(member < self.layout.world);
        let start = size_of::<Lane>().next_multiple_of(64) + 4 * self.layout.world * 8;
        let offset = start + member * size_of::<Mailbox>();
        // SAFETY: a mailbox for each rank follows the tables; all atomics.
        unsafe { &*self.lane_base(lane).add(offset).cast() }
    }

    /// The address of a place in an arena.
    ///
    /// # Panics
    /// Where `bytes` from there don't lie within the arenas.
    pub(crate) fn address(&self, offset: usize, bytes: usize) -> *mut u8 {
        let end = offset.checked_add(bytes);
        assert!(
            offset >= self.layout.first_arena()
                && end.is_some_and(|end| end <= self.layout.total())
        );
        // SAFETY: within the file.
        unsafe { self.base.add(offset) }
    }

    /// Where an address lies in `rank`'s arena, if all `bytes` of it do.
    pub(crate) fn offset_in_arena(
        &self,
        rank: usize,
        address: *const u8,
        bytes: usize,
    ) -> Option<usize> {
        let offset = (address as usize).checked_sub(self.base as usize)?;
        let arena = self.layout.arena(rank);
        let end = offset.checked_add(bytes)?;
        (offset >= arena && end <= arena + self.layout.arena_bytes).then_some(offset)
    }

    /// Makes the system find pages for a range now, so that a lack is an error and no later fault.
    pub(crate) fn reserve(
        &self,
        offset: usize,
        bytes: usize,
        rank: usize,
    ) -> Result<(), TransportError> {
        #[cfg(target_os = "linux")]
        // SAFETY: the descriptor is open, and the range lies within the file.
        if unsafe {
            libc::fallocate(self.descriptor(), 0, offset as libc::off_t, bytes as libc::off_t)
        } != 0
        {
            return Err(TransportError::system(rank, "fallocate"));
        }
        #[cfg(not(target_os = "linux"))]
        let _ = (offset, bytes, rank);
        Ok(())
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        // SAFETY: mapped with this length; references into it borrow the segment.
        unsafe { libc::munmap(self.base.cast(), self.layout.total()) };
    }
}

struct Map {
    base: *mut u8,
    bytes: usize,
}

impl Map {
    fn new(file: &OwnedFd, bytes: usize, rank: usize) -> Result<Map, TransportError> {
        // SAFETY: a new map of an open file; nothing is replaced.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_NORESERVE,
                file.as_raw_fd(),
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(TransportError::system(rank, "mmap"));
        }
        Ok(Map { base: base.cast(), bytes })
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: mapped with this length.
        unsafe { libc::munmap(self.base.cast(), self.bytes) };
    }
}

#[cfg(target_os = "linux")]
fn anonymous_file() -> Result<OwnedFd, TransportError> {
    // SAFETY: the name is a C string; it serves for /proc alone.
    let descriptor = unsafe { libc::memfd_create(c"wan-ranks".as_ptr(), libc::MFD_CLOEXEC) };
    if descriptor < 0 {
        return Err(TransportError::system(0, "memfd_create"));
    }
    // SAFETY: just opened.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

#[cfg(not(target_os = "linux"))]
fn anonymous_file() -> Result<OwnedFd, TransportError> {
    // Unlinked at once: only the descriptor keeps it.
    let name = std::ffi::CString::new(format!("/wan-ranks-{}", std::process::id()))
        .expect("a number holds no zero byte");
    let flags = libc::O_CREAT | libc::O_EXCL | libc::O_RDWR;
    // SAFETY: the name is a C string.
    let descriptor = unsafe { libc::shm_open(name.as_ptr(), flags, 0o600) };
    if descriptor < 0 {
        return Err(TransportError::system(0, "shm_open"));
    }
    // SAFETY: just opened under that name.
    unsafe {
        libc::shm_unlink(name.as_ptr());
        libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC);
        Ok(OwnedFd::from_raw_fd(descriptor))
    }
}
