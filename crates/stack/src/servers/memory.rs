//! Folders in memory, for data that is not needed after a run.

use std::path::{Path, PathBuf};

use anyhow::Result;
use nix::sys::statfs::{TMPFS_MAGIC, statfs};

/// Where Linux mounts a file system in memory.
const MEMORY: &str = "/dev/shm";

/// Free bytes that a run needs at most. A run of all tests used 600 MB at its peak.
const NEEDED: u64 = 4 << 30;

/// A folder in memory.
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// The folder that takes the place of `folder`, without the content of an earlier run. `None`: this system has no file
    /// system in memory, or too little of it is free.
    pub(super) fn instead_of(folder: &Path) -> Result<Option<Self>> {
        let has_room = statfs(MEMORY).is_ok_and(|memory| {
            let block_size = u64::try_from(memory.block_size()).unwrap_or_default();
            memory.filesystem_type() == TMPFS_MAGIC
                && memory.blocks_available().saturating_mul(block_size) >= NEEDED
        });
        if !has_room {
            return Ok(None);
        }
        // The folder's path makes the name unique among the checkouts of a machine.
        let name = folder.display().to_string().replace('/', "-");
        let path = super::empty(&Path::new(MEMORY).join(format!("zaplecze{name}")))?;
        Ok(Some(Self { path }))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is removed before the next run.
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            eprintln!("cannot remove {}: {error}", self.path.display());
        }
    }
}
