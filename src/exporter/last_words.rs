//! Tests of what stops the process: each runs itself in a child process, which commits the crime.

use std::process::Command;

/// Is this the child?
pub(super) fn are_due() -> bool {
    std::env::var_os("BUFLOCK_TEST_CHILD").is_some()
}

/// What the test of that name in this module says on standard error in a child process, which must not survive.
pub(super) fn of(module: &str, test: &str) -> String {
    if are_due() {
        // The child has survived its crime. It must not have children of its own.
        std::process::exit(0);
    }
    let (_, module) = module.split_once("::").unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args([&format!("{module}::{test}"), "--exact", "--nocapture"])
        .env("BUFLOCK_TEST_CHILD", "1")
        .output()
        .unwrap();
    assert!(!child.status.success());
    String::from_utf8(child.stderr).unwrap()
}
