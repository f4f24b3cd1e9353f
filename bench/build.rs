//! Links engines of other languages, and compiles the few lines that speak to RE2, which is C++.

fn main() {
    println!("cargo::rerun-if-changed=src/rival/re2.cc");
    cc::Build::new().cpp(true).std("c++17").file("src/rival/re2.cc").compile("rival_re2");
    for library in ["re2", "pcre2-8"] {
        println!("cargo::rustc-link-lib={library}");
    }
}
