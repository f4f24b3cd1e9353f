//! A file as the kernel knows it.

/// A file that is mapped as code, told from every other and from what it was before it was changed: device and inode
/// numbers are given again, the time of the last change is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct MappedFile {
    /// Inode number.
    pub inode: u64,
    /// When the inode was last changed: seconds since 1970.
    pub changed_sec: u64,
    /// And nanoseconds of it.
    pub changed_nsec: u32,
    /// The device as the kernel keeps it: [`Self::MINOR_BITS`] of minor number, major number above.
    pub device: u32,
}

const _: () = assert!(size_of::<MappedFile>() == 24);

impl MappedFile {
    /// Bits of the minor number in `device`.
    pub const MINOR_BITS: u32 = 20;
}

/// Where the kernel has what [`MappedFile`] is read from, in bytes; all zero: not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct FileOffsets {
    /// In `struct file`: its inode.
    pub inode: u32,
    /// In `struct inode`: its file system.
    pub file_system: u32,
    /// In `struct inode`: its number.
    pub number: u32,
    /// In `struct inode`: seconds of the last change.
    pub changed_sec: u32,
    /// In `struct inode`: nanoseconds of the last change.
    pub changed_nsec: u32,
    /// In `struct super_block`: its device.
    pub device: u32,
}
