//! Compiles the `.proto` files to Rust types, with no tool but cargo, and writes
//! beside them the field tables and the JSON printers that `src/` needs.
//!
//! It reads only `proto/`. What the generated code means is in `src/schema.rs`
//! (tables) and `src/json/` (printers).

#![expect(clippy::print_stdout, reason = "cargo reads what a build script prints")]

mod names;
mod printers;
mod schema;
mod tables;

use std::path::{Path, PathBuf};

#[expect(clippy::disallowed_methods, reason = "a build script writes files, whatever the core may do")]
fn main() {
    let root = Path::new("proto");
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=build");
    let mut files = Vec::new();
    collect(root, &mut files);
    files.sort();
    let set = protox::compile(&files, [root]).expect("the .proto files compile");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let write = |name: &str, bytes: &[u8]| {
        std::fs::write(out.join(name), bytes).expect("OUT_DIR is writable");
    };
    write("descriptors.bin", &prost::Message::encode_to_vec(&set));
    let schema = schema::Schema::new(&set);
    write("tables.rs", tables::generate(&schema).as_bytes());
    write("printers.rs", printers::generate(&schema).as_bytes());
    let mut config = prost_build::Config::new();
    config.bytes(["."]);
    // The same message must always give the same bytes.
    config.btree_map(["."]);
    config.include_file("mod.rs");
    config.compile_fds(set).expect("types are generated");
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("proto/ is readable") {
        let path = entry.expect("proto/ is readable").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|e| e == "proto") {
            files.push(path);
        }
    }
}
