//! The heap: mimalloc's, and for large pieces the kernel's own.
//!
//! A body of a request is one piece of many megabytes. It is made on one thread and given back on another, and mimalloc
//! keeps what comes back that way for the thread that made it, until that one asks for more: a few threads together kept
//! several times what `listen.body_budget` allows. And a piece that grows is copied, so that it is there twice meanwhile. What
//! is as large as that comes from the kernel: it is resident once it is written to, it moves without being copied, and
//! it is gone when it is given back. A piece of a batch's usual size is not as large; for one that is, a mapping costs
//! little beside what is done with the bytes.

#![cfg(target_os = "linux")]

use std::{
    alloc::{GlobalAlloc, Layout},
    ffi::c_void,
    ptr,
};

use mimalloc::MiMalloc;
use rustix::mm::{MapFlags, MremapFlags, ProtFlags, mmap_anonymous, mremap, munmap};

/// Pieces of this many bytes and more come from the kernel. More than what a segment is read by (`spool/walk.rs`).
const LARGE: usize = 2 * 1024 * 1024;
/// Mappings begin at a page; what has to lie on more than the smallest page is mimalloc's.
const PAGE: usize = 4096;

/// The program's allocator; librdkafka, in C, has mimalloc alone.
#[derive(Clone, Copy, Debug)]
pub struct Heap;

/// Which heap a piece belongs to, for its whole life: its layout comes with each call.
fn is_large(layout: Layout) -> bool {
    layout.size() >= LARGE && layout.align() <= PAGE
}

fn map(length: usize) -> *mut u8 {
    let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
    #[allow(unsafe_code, reason = "see the module's head")]
    // SAFETY: an anonymous mapping at an address of the kernel's choice touches nothing that is there.
    let mapped = unsafe { mmap_anonymous(ptr::null_mut(), length, access, flags) };
    mapped.map_or(ptr::null_mut(), <*mut c_void>::cast)
}

#[allow(unsafe_code, reason = "see the module's head")]
// SAFETY: which of the two heaps a piece belongs to follows from its layout alone, and the caller promises to tell the
// layout that the piece has. Mappings are zeroed, begin at a page, and are as long as was asked for; where the kernel has
// none left, the null pointer says so. Nothing here allocates or panics.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_large(layout) { map(layout.size()) } else { unsafe { MiMalloc.alloc(layout) } }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if is_large(layout) { map(layout.size()) } else { unsafe { MiMalloc.alloc_zeroed(layout) } }
    }

    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        if is_large(layout) {
            // It fails for want of mappings alone, and then the piece stays.
            let _ = unsafe { munmap(piece.cast(), layout.size()) };
        } else {
            unsafe { MiMalloc.dealloc(piece, layout) };
        }
    }

    unsafe fn realloc(&self, piece: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // The caller promises that the new size is one that a layout may have.
        let new = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        match (is_large(layout), is_large(new)) {
            (false, false) => unsafe { MiMalloc.realloc(piece, layout, size) },
            (true, true) => {
                let flags = MremapFlags::MAYMOVE;
                let moved = unsafe { mremap(piece.cast(), layout.size(), size, flags) };
                moved.map_or(ptr::null_mut(), <*mut c_void>::cast)
            }
            _ => unsafe {
                let moved = self.alloc(new);
                if !moved.is_null() {
                    ptr::copy_nonoverlapping(piece, moved, layout.size().min(size));
                    self.dealloc(piece, layout);
                }
                moved
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Grows a piece and shrinks it, over the border between the heaps and within each.
    #[test]
    #[allow(unsafe_code, reason = "a heap is called as a container calls it")]
    fn a_piece_keeps_its_bytes_while_it_grows_and_shrinks() {
        let sizes = [10, 1 << 20, LARGE - 1, LARGE, LARGE + 5000, 16 << 20, LARGE, 100];
        let mut layout = Layout::from_size_align(sizes[0], 1).unwrap();
        // SAFETY: the piece is used within its length, and its layout is told.
        unsafe {
            let mut piece = Heap.alloc(layout);
            for (round, size) in (0_u8..).zip(sizes) {
                let kept = layout.size().min(size);
                if round > 0 {
                    *piece = round;
                    *piece.add(kept - 1) = round;
                }
                piece = Heap.realloc(piece, layout, size);
                layout = Layout::from_size_align(size, 1).unwrap();
                assert!(!piece.is_null());
                if round > 0 {
                    assert_eq!((*piece, *piece.add(kept - 1)), (round, round), "{size}");
                }
                ptr::write_bytes(piece, 7, size);
            }
            Heap.dealloc(piece, layout);
        }
    }

    #[test]
    #[allow(unsafe_code, reason = "a heap is called as a container calls it")]
    fn what_is_asked_for_zeroed_is_zero() {
        for size in [100, LARGE] {
            let layout = Layout::from_size_align(size, 8).unwrap();
            // SAFETY: as above.
            unsafe {
                let piece = Heap.alloc_zeroed(layout);
                assert!(std::slice::from_raw_parts(piece, size).iter().all(|byte| *byte == 0));
                Heap.dealloc(piece, layout);
            }
        }
    }
}
