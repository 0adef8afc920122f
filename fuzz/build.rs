//! Lets what is built find its libpython again, wherever PyO3 found it, and compiles what must not be counted.

fn main() {
    pyo3_build_config::add_libpython_rpath_link_args();
    println!("cargo::rerun-if-changed=fuzz_targets/edges.c");
    cc::Build::new().file("fuzz_targets/edges.c").opt_level(3).compile("buflock_edges");
}
