//! How a CPython is built: what is instrumented, and with what.

use std::path::Path;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// What watches over the memory of an interpreter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Sanitizer {
    /// AddressSanitizer: accesses out of bounds, and to freed memory
    Address,
    /// ThreadSanitizer: accesses of two threads that nothing orders
    Thread,
    /// Nothing, but coverage is counted
    None,
}

/// What to build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recipe {
    /// Without the GIL.
    pub free_threaded: bool,
    /// What watches over it.
    pub sanitizer: Sanitizer,
    /// With CPython's own checks. They end the process at the first count of exports that a race has spoilt, and so hide
    /// what comes of it.
    pub debug: bool,
}

/// The files that make the buffer protocol, and those that use it most: coverage is counted in them alone, so that the
/// rest of the interpreter does not draw a fuzzer away.
const BUFFER_FILES: &[&str] = &[
    "Objects/abstract.c",
    "Objects/bytearrayobject.c",
    "Objects/bytes_methods.c",
    "Objects/bytesobject.c",
    "Objects/memoryobject.c",
    "Objects/picklebufobject.c",
    "Objects/stringlib/*.h",
    "Modules/_ctypes/_ctypes.c",
    "Modules/_io/bufferedio.c",
    "Modules/_io/bytesio.c",
    "Modules/_struct.c",
    "Modules/arraymodule.c",
    "Modules/mmapmodule.c",
];

/// The functions in which a free-threaded CPython reads objects that may be gone, on purpose, before it finds out whether
/// they are (`Include/internal/pycore_object.h`): its allocator does not give such memory to anything else meanwhile.
const OPTIMISTIC_READS: &[&str] = &[
    "_Py_IsOwnedByCurrentThread",
    "_Py_ThreadId",
    "_Py_TryIncRefShared",
    "_Py_TryIncrefCompare",
    "_Py_TryIncrefFast",
    "_Py_TryXGetRef",
    "_Py_atomic_compare_exchange_ssize",
    "_Py_atomic_load_ssize_relaxed",
    "_Py_atomic_load_uint32_relaxed",
    "_Py_atomic_load_uintptr_relaxed",
    "_Py_atomic_store_uint32_relaxed",
];

/// Modules that no program uses, and that would be linked to libraries.
const LEFT_OUT: &[&str] = &[
    "_curses",
    "_curses_panel",
    "_dbm",
    "_gdbm",
    "_hashlib",
    "_sqlite3",
    "_ssl",
    "_tkinter",
    "_uuid",
    "nis",
    "readline",
];

/// Counted in the identity of what is built: whoever changes how it is built, in a way that the flags do not show, counts
/// up.
const EDITION: u32 = 1;

impl Sanitizer {
    /// What the compiler is told.
    pub fn flag(self) -> Option<&'static str> {
        match self {
            Sanitizer::Address => Some("-fsanitize=address"),
            Sanitizer::Thread => Some("-fsanitize=thread"),
            Sanitizer::None => None,
        }
    }

    /// What rustc calls it.
    pub fn rust(self) -> Option<&'static str> {
        self.flag().map(|_| self.name())
    }

    /// The name in ids, and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Sanitizer::Address => "address",
            Sanitizer::Thread => "thread",
            Sanitizer::None => "none",
        }
    }

    /// What its library reads of the environment of a process, with the path of what gives addresses their names and that
    /// of a file of what it is not to report.
    pub fn environment(self, symbolizer: &Path, suppressions: Option<&Path>) -> Vec<(&'static str, String)> {
        // A leak is what every interpreter leaves when it ends; that there is no memory is what programs provoke.
        let common = format!("allocator_may_return_null=1:external_symbolizer_path={}", symbolizer.display());
        let (name, mut options) = match self {
            Sanitizer::None => return Vec::new(),
            Sanitizer::Address => ("ASAN_OPTIONS", format!("{common}:detect_leaks=0")),
            // Each program is to show what it does, whatever others did before; and a signal ends a worker as ever.
            Sanitizer::Thread => (
                "TSAN_OPTIONS",
                format!(
                    "{common}:exitcode=0:suppress_equal_stacks=0:suppress_equal_addresses=0:handle_segv=0:handle_sigbus=0:handle_abort=0"
                ),
            ),
        };
        if let Some(suppressions) = suppressions {
            options += &format!(":suppressions={}", suppressions.display());
        }
        // What the user wants counts for more.
        if let Ok(own) = std::env::var(name) {
            options = format!("{options}:{own}");
        }
        vec![(name, options)]
    }

    /// For reports.
    pub fn words(self) -> &'static str {
        match self {
            Sanitizer::Address => "AddressSanitizer",
            Sanitizer::Thread => "ThreadSanitizer",
            Sanitizer::None => "no sanitizer",
        }
    }
}

impl Recipe {
    /// What is to be told to `configure`, besides where all is.
    pub fn options(self) -> Vec<String> {
        let mut options = vec![
            // Each block of memory is then one that the sanitizer knows.
            "--without-pymalloc".to_owned(),
            "--disable-test-modules".to_owned(),
            "--with-ensurepip=no".to_owned(),
            // A program that embeds a static library lends its symbols to no module that is loaded.
            "MODULE_BUILDTYPE=static".to_owned(),
        ];
        options.extend(LEFT_OUT.iter().map(|module| format!("py_cv_module_{module}=n/a")));
        options.extend(self.free_threaded.then(|| "--disable-gil".to_owned()));
        options.extend(self.debug.then(|| "--with-pydebug".to_owned()));
        options.extend(match self.sanitizer {
            Sanitizer::Address => Some("--with-address-sanitizer".to_owned()),
            Sanitizer::Thread => Some("--with-thread-sanitizer".to_owned()),
            Sanitizer::None => None,
        });
        options
    }

    /// The files that the flags name: their names and what is in them.
    pub fn lists(self) -> Vec<(&'static str, String)> {
        let files: String = BUFFER_FILES.iter().map(|file| format!("src:*{file}\n")).collect();
        let mut lists = vec![(COVERED, format!("{files}fun:*\n"))];
        if self.watches_mimalloc() {
            let functions: String = OPTIMISTIC_READS.iter().map(|name| format!("fun:{name}\n")).collect();
            lists.push((IGNORED, format!("[address]\n{functions}")));
        }
        lists
    }

    /// What the compiler is told, if the [lists](Self::lists) are in `lists` and the source is in `source`. `-O1` and
    /// frame pointers keep the stacks of reports whole.
    pub fn flags(self, lists: &Path, source: &Path) -> String {
        let mut flags = format!(
            "-gline-tables-only -O1 -fno-omit-frame-pointer -ffile-prefix-map={}/= {COVERAGE} -fsanitize-coverage-allowlist={}",
            source.display(),
            lists.join(COVERED).display()
        );
        if self.watches_mimalloc() {
            // Objects of a free-threaded CPython are in mimalloc, of which AddressSanitizer knows nothing unless it is
            // told what is freed.
            let ignored = lists.join(IGNORED);
            flags += &format!(" -DMI_TRACK_ASAN=1 -fsanitize-ignorelist={}", ignored.display());
        }
        flags
    }

    fn watches_mimalloc(self) -> bool {
        self.free_threaded && self.sanitizer == Sanitizer::Address
    }

    /// The id without what it was made of: `3.13.15t-thread`.
    pub fn name(self, version: &str) -> String {
        let threads = if self.free_threaded { "t" } else { "" };
        let debug = if self.debug { "-debug" } else { "" };
        format!("{version}{threads}-{}{debug}", self.sanitizer.name())
    }

    /// All that decides what is built, besides the source and the compiler.
    pub fn identity(self) -> String {
        let lists: String = self.lists().into_iter().map(|(name, text)| format!("{name}\n{text}")).collect();
        let flags = self.flags(Path::new("lists"), Path::new("source"));
        format!("{EDITION}\n{}\n{flags}\n{lists}{STUBS}", self.options().join(" "))
    }
}

/// What is counted.
const COVERAGE: &str = "-fsanitize-coverage=inline-8bit-counters,pc-table,trace-cmp";
const COVERED: &str = "buffer-files.txt";
const IGNORED: &str = "optimistic-reads.txt";

/// What stands in for a fuzzer where there is none and no sanitizer that has the same: weak, so that either takes its
/// place.
pub const STUBS: &str = r"#include <stdint.h>
#define WEAK __attribute__((weak))
WEAK void __sanitizer_cov_8bit_counters_init(char *a, char *b) { (void)a; (void)b; }
WEAK void __sanitizer_cov_pcs_init(const uintptr_t *a, const uintptr_t *b) { (void)a; (void)b; }
WEAK void __sanitizer_cov_trace_cmp1(uint8_t a, uint8_t b) { (void)a; (void)b; }
WEAK void __sanitizer_cov_trace_cmp2(uint16_t a, uint16_t b) { (void)a; (void)b; }
WEAK void __sanitizer_cov_trace_cmp4(uint32_t a, uint32_t b) { (void)a; (void)b; }
WEAK void __sanitizer_cov_trace_cmp8(uint64_t a, uint64_t b) { (void)a; (void)b; }
WEAK void __sanitizer_cov_trace_const_cmp1(uint8_t a, uint8_t b) { (void)a; (void)b; }
WEAK void __sanitizer_cov_trace_const_cmp2(uint16_t a, uint16_t b) { (void)a; (void)b; }
WEAK void __sanitizer_cov_trace_const_cmp4(uint32_t a, uint32_t b) { (void)a; (void)b; }
WEAK void __sanitizer_cov_trace_const_cmp8(uint64_t a, uint64_t b) { (void)a; (void)b; }
WEAK void __sanitizer_cov_trace_switch(uint64_t a, uint64_t *b) { (void)a; (void)b; }
";

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Recipe = Recipe { free_threaded: false, sanitizer: Sanitizer::None, debug: false };

    #[test]
    fn each_option_makes_another_python() {
        let recipes = [
            PLAIN,
            Recipe { free_threaded: true, ..PLAIN },
            Recipe { debug: true, ..PLAIN },
            Recipe { sanitizer: Sanitizer::Address, ..PLAIN },
            Recipe { sanitizer: Sanitizer::Address, free_threaded: true, ..PLAIN },
            Recipe { sanitizer: Sanitizer::Thread, free_threaded: true, ..PLAIN },
        ];
        let identities: std::collections::HashSet<_> =
            recipes.iter().map(|recipe| recipe.identity()).collect();
        let names: std::collections::HashSet<_> =
            recipes.iter().map(|recipe| recipe.name("3.13.5")).collect();
        assert_eq!((identities.len(), names.len()), (recipes.len(), recipes.len()));
        assert!(names.contains("3.13.5t-thread") && names.contains("3.13.5-none-debug"));
    }

    #[test]
    fn mimalloc_is_watched_where_it_has_the_objects() {
        let flags = |free_threaded| {
            let recipe = Recipe { free_threaded, sanitizer: Sanitizer::Address, debug: false };
            recipe.flags(Path::new("l"), Path::new("s"))
        };
        assert!(flags(true).contains("-DMI_TRACK_ASAN=1") && !flags(false).contains("MI_TRACK_ASAN"));
    }
}
