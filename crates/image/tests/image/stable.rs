//! The plan of layers on real closures: what a changed or added package makes a push send again.

use std::collections::{BTreeMap, BTreeSet};

use image::plan::{Object, layers};
use nix_formats::store_path::StorePath;

/// git, python3, skopeo and podman with all that they need, 125 packages; then what nginx needs besides, 7.
const DEBIAN: &str = include_str!("closures/debian-12.txt");
/// Half as many layers as packages.
const LIMIT: usize = 60;

struct Package {
    name: &'static str,
    size: u64,
    needs: Vec<&'static str>,
}

fn packages(parts: usize) -> Vec<Package> {
    let parts = DEBIAN.split("\n\n").take(parts);
    let lines = parts.flat_map(str::lines).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let mut words = line.split(' ');
            let (name, size) = (words.next().unwrap(), words.next().unwrap().parse().unwrap());
            Package { name, size, needs: words.collect() }
        })
        .collect()
}

/// The store's view of packages, in which whatever needs something that is built anew is built anew too.
fn closure(packages: &[Package], anew: &BTreeSet<&str>) -> Vec<Object> {
    let path = |name: &str| {
        let digit = if anew.contains(name) { "1" } else { "0" };
        StorePath::from_base_name(format!("{}-{name}", digit.repeat(32))).unwrap()
    };
    let known: BTreeSet<_> = packages.iter().map(|package| package.name).collect();
    packages
        .iter()
        .map(|package| Object {
            path: path(package.name),
            nar_size: package.size,
            references: package.needs.iter().filter(|name| known.contains(*name)).map(|name| path(name)).collect(),
        })
        .collect()
}

/// A package and all that need it.
fn with_dependents<'a>(packages: &[Package], changed: &'a str) -> BTreeSet<&'a str>
where
    'static: 'a,
{
    let mut anew = BTreeSet::from([changed]);
    loop {
        let more = packages.iter().filter(|package| package.needs.iter().any(|name| anew.contains(name)));
        let before = anew.len();
        let more: Vec<_> = more.map(|package| package.name).collect();
        anew.extend(more);
        if anew.len() == before {
            return anew;
        }
    }
}

/// The bytes of layers that were not there before, and the bytes of packages that were not.
fn sent(before: &[Object], after: &[Object]) -> (u64, u64) {
    let old_layers: BTreeSet<_> = layers(before, LIMIT).into_iter().collect();
    let old: BTreeSet<_> = before.iter().map(|object| &object.path).collect();
    let sizes: BTreeMap<_, _> = after.iter().map(|object| (&object.path, object.nar_size)).collect();
    let new_layers = layers(after, LIMIT).into_iter().filter(|layer| !old_layers.contains(layer));
    let again = new_layers.flatten().map(|path| sizes[&path]).sum();
    (again, after.iter().filter(|object| !old.contains(&object.path)).map(|object| object.nar_size).sum())
}

#[test]
fn an_added_package_sends_little_besides_itself() {
    let none = BTreeSet::new();
    let (before, after) = (closure(&packages(1), &none), closure(&packages(2), &none));
    let whole: u64 = after.iter().map(|object| object.nar_size).sum();
    let (again, new) = sent(&before, &after);
    println!("nginx added: {again} bytes sent, {new} of them new, of {whole}");
    assert!(again - new < whole / 10, "{again} bytes are sent for {new} new ones, of {whole}");
}

#[test]
fn a_changed_package_sends_little_besides_what_is_built_anew() {
    let packages = packages(1);
    let before = closure(&packages, &BTreeSet::new());
    let whole: u64 = before.iter().map(|object| object.nar_size).sum();
    for package in &packages {
        let anew = with_dependents(&packages, package.name);
        let (again, new) = sent(&before, &closure(&packages, &anew));
        println!("{}: {again} bytes sent, {new} of them built anew, of {whole}", package.name);
        assert!(again - new < whole / 25, "{}: {again} bytes are sent for {new}, of {whole}", package.name);
    }
}
