//! Scratch memory.

/// Words that start on a cache line, so that no vector is read from two.
pub(super) struct AlignedWords {
    words: Vec<u32>,
    start: usize,
}

/// Words of a cache line.
const LINE: usize = 16;

impl AlignedWords {
    /// `count` zeros. Pages are taken from the system as they are first touched.
    pub fn zeroed(count: usize) -> AlignedWords {
        let words = vec![0u32; count + LINE];
        let start = words.as_ptr().align_offset(LINE * size_of::<u32>());
        assert!(start <= LINE, "a vector of words can be aligned to a cache line");
        AlignedWords { words, start }
    }

    /// The first word.
    pub fn as_mut_ptr(&mut self) -> *mut u32 {
        self.words[self.start..].as_mut_ptr()
    }
}
