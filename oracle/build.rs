//! Lets what is built find its libpython again, wherever PyO3 found it, and know of the sanitizer that it is built with.

use pyo3_build_config::BuildFlag;

fn main() {
    pyo3_build_config::add_libpython_rpath_link_args();
    pyo3_build_config::use_pyo3_cfgs();
    println!("cargo::rustc-check-cfg=cfg(buflock_system_allocator, buflock_tsan)");
    let sanitizer = std::env::var("CARGO_CFG_SANITIZE").unwrap_or_default();
    let python = pyo3_build_config::get();
    // A sanitizer has to see who gets and who frees what. A Python without the GIL has a mimalloc of its own, and a program
    // has room for one.
    let has_mimalloc = !python.shared() && python.build_flags().0.contains(&BuildFlag::Py_GIL_DISABLED);
    if !sanitizer.is_empty() || has_mimalloc {
        println!("cargo::rustc-cfg=buflock_system_allocator");
    }
    if sanitizer == "thread" {
        println!("cargo::rustc-cfg=buflock_tsan");
    }
}
