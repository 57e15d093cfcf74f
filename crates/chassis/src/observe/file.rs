//! The log file, rotated at a size. Older files have the names `name.1`, `name.2` … (the convention of Python's
//! `RotatingFileHandler`, which log tools know).
//!
//! No other process may write the file. A full disk does not stop the work: lines are dropped and counted until there
//! is space.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;

use crate::config::LogFile;

/// A file that never exceeds its limit.
pub(super) struct RotatedFile {
    settings: LogFile,
    file: Option<File>,
    size: u64,
    /// The last line was not written completely.
    is_failing: bool,
}

impl RotatedFile {
    /// Opens the file to append to it.
    ///
    /// # Errors
    /// When it cannot be opened for writing.
    pub(super) fn open(settings: LogFile) -> io::Result<Self> {
        let mut opened = Self { settings, file: None, size: 0, is_failing: false };
        opened.reopen()?;
        Ok(opened)
    }

    fn reopen(&mut self) -> io::Result<()> {
        let file = OpenOptions::new().create(true).append(true).open(&self.settings.path)?;
        self.size = file.metadata()?.len();
        self.file = Some(file);
        Ok(())
    }

    fn put(&mut self, line: &[u8]) -> io::Result<()> {
        let length = u64::try_from(line.len()).unwrap_or(u64::MAX);
        if self.file.is_none() {
            self.reopen()?;
        }
        if self.size > 0 && self.size.saturating_add(length) > self.settings.max_bytes {
            self.rotate()?;
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        if self.is_failing && self.size > 0 {
            // An incomplete line may precede.
            file.write_all(b"\n")?;
        }
        file.write_all(line)?;
        self.size = self.size.saturating_add(length);
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.file = None;
        for number in (0..self.settings.backups).rev() {
            match fs::rename(self.older(number), self.older(number + 1)) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _moved_or_never_there => {}
            }
        }
        self.reopen()
    }

    /// 0 is the file itself.
    fn older(&self, number: u32) -> PathBuf {
        let mut name = OsString::from(&self.settings.path);
        if number > 0 {
            name.push(format!(".{number}"));
        }
        name.into()
    }
}

impl Write for RotatedFile {
    /// Accepts every line. An error would end the thread's work for the lines after it.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self.put(line) {
            Ok(()) => self.is_failing = false,
            Err(error) => {
                metrics::counter!("log_file_lines_lost_total").increment(1);
                self.file = None;
                if !self.is_failing {
                    self.is_failing = true;
                    // Reported once, and on stderr, because the log itself fails.
                    let path = self.settings.path.display();
                    let _nobody_there = writeln!(io::stderr(), "log file {path} cannot be written: {error}");
                }
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::fs;
    use std::io::Write;

    use super::RotatedFile;
    use crate::config::LogFile;

    #[test]
    fn a_full_file_is_rotated_and_old_ones_are_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("service.log");
        fs::write(&path, "from before\n").unwrap();
        let settings = LogFile { path: path.clone(), max_bytes: 22, backups: 2 };
        let mut file = RotatedFile::open(settings.clone()).unwrap();
        for number in 1..=7 {
            file.write_all(format!("line {number:04}\n").as_bytes()).unwrap();
        }
        // A restarted process appends to the file.
        drop(file);
        RotatedFile::open(settings).unwrap().write_all(b"line 0008\n").unwrap();
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(read("service.log"), "line 0008\n");
        assert_eq!(read("service.log.1"), "line 0006\nline 0007\n");
        assert_eq!(read("service.log.2"), "line 0004\nline 0005\n");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    #[test]
    fn an_unwritable_file_loses_lines_and_recovers() {
        let folder = tempfile::tempdir().unwrap();
        let logs = folder.path().join("logs");
        fs::create_dir(&logs).unwrap();
        let path = logs.join("service.log");
        let mut file = RotatedFile::open(LogFile { path: path.clone(), max_bytes: 10, backups: 1 }).unwrap();
        file.write_all(b"kept line\n").unwrap();
        let away = folder.path().join("away");
        fs::rename(&logs, &away).unwrap();
        file.write_all(b"lost line\n").unwrap();
        fs::rename(&away, &logs).unwrap();
        file.write_all(b"next line\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "next line\n");
        assert_eq!(fs::read_to_string(logs.join("service.log.1")).unwrap(), "kept line\n");
    }
}
