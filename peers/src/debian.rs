//! Debian's packages as `.deb` files, fetched by apt.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::{available, command, succeed};

/// Downloads `names` and everything that they depend on into `directory`, as apt names the files; `None`, with a line that
/// says so, where apt is missing or the packages cannot be had.
///
/// # Panics
/// When that is so and peers are required.
pub fn download(names: &[&str], directory: &Path) -> Option<()> {
    if !available(&["apt-get", "apt-cache"]) {
        return None;
    }
    fs::create_dir_all(directory).expect("the directory of packages");
    let wanted = closure(names);
    let out = command("apt-get").args(["download", "-qq"]).args(&wanted).current_dir(directory).output();
    let out = out.expect("apt-get starts");
    if out.status.success() {
        return Some(());
    }
    crate::missing(&format!("Debian's packages (apt-get download: {})", crate::printed(&out).trim()));
    None
}

/// The names of `names` and all they depend on. Virtual packages stand in `<…>` in apt's answer and are left out: what provides
/// them is listed too.
fn closure(names: &[&str]) -> BTreeSet<String> {
    let kinds = ["recommends", "suggests", "conflicts", "breaks", "replaces", "enhances"];
    let mut query = command("apt-cache");
    query.args(["depends", "--recurse"]).args(kinds.map(|kind| format!("--no-{kind}"))).args(names);
    let answer = succeed(&mut query);
    answer.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_alphanumeric())).map(str::to_string).collect()
}
