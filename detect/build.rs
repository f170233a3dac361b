//! The shipped rules are part of the binary: without this a rule file that is new or changed would not be in it before something
//! else changes.

fn main() {
    println!("cargo:rerun-if-changed=../rules");
}
