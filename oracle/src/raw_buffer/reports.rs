//! What ThreadSanitizer says, read where it is said: unlike AddressSanitizer, it lets the process go on.

use std::fs::File;
use std::io::{self, Read, Seek};

use buflock::sanitizer::{Alarm, alarms};
use rustix::fs::{MemfdFlags, OFlags, fcntl_setfl, ftruncate, memfd_create};

/// A file without a name, to which ThreadSanitizer writes.
#[derive(Debug)]
pub struct Reports(File);

impl Reports {
    /// Lets ThreadSanitizer write to one from this moment on; `None` where there is none in this process.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub fn catch() -> io::Result<Option<Reports>> {
        if !cfg!(buflock_tsan) {
            return Ok(None);
        }
        let file = File::from(memfd_create("reports", MemfdFlags::CLOEXEC)?);
        // What is written after it has been emptied stands at its beginning.
        fcntl_setfl(&file, OFlags::RDWR | OFlags::APPEND)?;
        write_to(&file);
        Ok(Some(Reports(file)))
    }

    /// What was said since the last call.
    pub fn take(&mut self) -> Vec<Alarm> {
        let file = &mut self.0;
        // Asked after every program.
        if file.metadata().is_ok_and(|facts| facts.len() == 0) {
            return Vec::new();
        }
        let mut text = Vec::new();
        let taken = file.rewind().and_then(|()| file.read_to_end(&mut text));
        taken.and_then(|_| Ok(ftruncate(&*file, 0)?)).expect("a file in memory can be read");
        alarms(&String::from_utf8_lossy(&text))
    }
}

#[cfg(buflock_tsan)]
fn write_to(file: &File) {
    use std::ffi::c_void;
    use std::os::fd::AsRawFd;

    unsafe extern "C" {
        /// `sanitizer/common_interface_defs.h`
        fn __sanitizer_set_report_fd(fd: *mut c_void);
    }
    // SAFETY: the function takes the number of a file for a pointer, which it does not follow. The worker keeps the file
    // open as long as it lives.
    unsafe { __sanitizer_set_report_fd(file.as_raw_fd() as usize as *mut c_void) }
}

#[cfg(not(buflock_tsan))]
fn write_to(_: &File) {}
