//! What the command needs beside it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The worker beside the command, up to date.
pub fn worker() -> &'static Path {
    static WORKER: OnceLock<PathBuf> = OnceLock::new();
    WORKER.get_or_init(|| {
        let path = Path::new(env!("CARGO_BIN_EXE_buflock"))
            .with_file_name(format!("buflock-worker{}", std::env::consts::EXE_SUFFIX));
        let target = path.ancestors().nth(2).expect("executables lie in a folder of the target folder");
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "-p", "buflock-oracle", "--bin", "buflock-worker", "--target-dir"]).arg(target);
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        let built = build.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("cargo starts");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        path
    })
}
