use super::*;

/// A directory of packages, and the environment that is made of them.
struct Bench {
    dir: PathBuf,
}

impl Bench {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("build-env-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        Self { dir }
    }

    fn file(&self, path: &str, content: &str) {
        let path = self.dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn build(&self, packages: &[(i64, &str)], flags: &[&str]) -> Result<String, String> {
        let lines: String =
            packages.iter().map(|(priority, name)| format!("{priority} {}\n", self.dir.join(name).display())).collect();
        let entries = self.dir.join("entries");
        fs::write(&entries, lines).unwrap();
        let out = self.dir.join("out");
        let _ = fs::remove_dir_all(&out);
        let args = flags.iter().map(OsString::from).chain([entries.into(), out.clone().into()]);
        let (options, entries, out) = parse(args).expect("arguments that parse");
        build(&options, &entries, &out).map_err(|error| error.to_string())?;
        let mut lines = Vec::new();
        self.list(&out, "", &mut lines);
        Ok(lines.join("\n"))
    }

    /// Directories end in a slash, links show their target below the bench.
    fn list(&self, dir: &Path, prefix: &str, lines: &mut Vec<String>) {
        for name in sorted_names(dir).unwrap() {
            let path = dir.join(&name);
            let shown = format!("{prefix}{}", name.display());
            if let Ok(target) = fs::read_link(&path) {
                let target = target.strip_prefix(&self.dir).map(Path::to_owned).unwrap_or(target);
                lines.push(format!("{shown} -> {}", target.display()));
            } else {
                lines.push(format!("{shown}/"));
                self.list(&path, &format!("{shown}/"), lines);
            }
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

#[test]
fn a_directory_of_one_package_is_a_link_and_a_shared_one_is_merged() {
    let bench = Bench::new("merge");
    bench.file("a/bin/one", "1");
    bench.file("a/share/doc/a", "");
    bench.file("b/bin/two", "2");
    let tree = bench.build(&[(5, "a"), (5, "b")], &[]).unwrap();
    assert_eq!(tree, "bin/\nbin/one -> a/bin/one\nbin/two -> b/bin/two\nshare -> a/share");
}

#[test]
fn the_lower_priority_wins_whatever_the_order() {
    let bench = Bench::new("priority");
    bench.file("a/bin/x", "a");
    bench.file("b/bin/x", "b");
    for packages in [[(10, "a"), (5, "b")], [(5, "b"), (10, "a")]] {
        assert_eq!(bench.build(&packages, &[]).unwrap(), "bin/\nbin/x -> b/bin/x");
    }
}

#[test]
fn equal_files_of_equals_are_no_collision_but_different_ones_are() {
    let bench = Bench::new("collision");
    bench.file("a/x", "same");
    bench.file("b/x", "same");
    bench.file("c/x", "other");
    assert_eq!(bench.build(&[(5, "a"), (5, "b")], &[]).unwrap(), "x -> a/x");
    assert!(bench.build(&[(5, "a"), (5, "b")], &["--ignore-contents"]).unwrap_err().contains("collision"));
    let error = bench.build(&[(5, "a"), (5, "c")], &[]).unwrap_err();
    assert!(error.starts_with("collision between") && error.contains("c/x"), "{error}");
    assert_eq!(bench.build(&[(5, "a"), (5, "c")], &["--ignore-collisions"]).unwrap(), "x -> a/x");
}

#[test]
fn a_file_and_a_directory_collide() {
    let bench = Bench::new("kinds");
    bench.file("a/x", "");
    bench.file("b/x/y", "");
    assert!(bench.build(&[(5, "a"), (5, "b")], &[]).unwrap_err().contains("collision"));
    assert!(bench.build(&[(5, "b"), (5, "a")], &[]).unwrap_err().contains("collision"));
}

#[test]
fn only_the_wanted_subtrees_are_linked_and_what_leads_there_is_made() {
    let bench = Bench::new("subtrees");
    bench.file("a/bin/x", "");
    bench.file("a/share/man/man1/x", "");
    bench.file("a/share/doc/x", "");
    let tree = bench.build(&[(5, "a")], &["--link", "/share/man", "--link", "/bin/"]).unwrap();
    assert_eq!(tree, "bin/\nbin/x -> a/bin/x\nshare/\nshare/man/\nshare/man/man1 -> a/share/man/man1");
    let tree = bench.build(&[(5, "a")], &["--link", "/lib"]).unwrap();
    assert_eq!(tree, "lib/");
}

#[test]
fn a_packages_own_files_stay_out() {
    let bench = Bench::new("own");
    for path in ["a/nix-support/x", "a/log", "a/share/info/dir", "a/share/mime/globs", "a/share/mime/packages/x", "a/b"]
    {
        bench.file(path, "");
    }
    bench.file("c/share/x", "");
    let tree = bench.build(&[(5, "a"), (5, "c")], &[]).unwrap();
    assert_eq!(tree, "b -> a/b\nshare/\nshare/info -> a/share/info\nshare/mime -> a/share/mime\nshare/x -> c/share/x");
}

#[test]
fn propagated_packages_come_last_and_collide_silently() {
    let bench = Bench::new("propagated");
    bench.file("a/x", "a");
    bench.file("b/x", "b");
    bench.file("b/y", "b");
    let list = format!("{}\n", bench.dir.join("b").display());
    bench.file("a/nix-support/propagated-user-env-packages", &list);
    assert_eq!(bench.build(&[(5, "a")], &[]).unwrap(), "x -> a/x\ny -> b/y");
}

#[test]
fn prefix_manifest_and_missing_packages() {
    let bench = Bench::new("prefix");
    bench.file("a/x", "");
    let tree = bench.build(&[(5, "a"), (5, "gone")], &["--prefix", "/usr", "--manifest", "/m"]).unwrap();
    assert_eq!(tree, "manifest -> /m\nusr/\nusr/x -> a/x");
}

#[test]
fn a_single_file_is_refused_or_left_out() {
    let bench = Bench::new("single");
    bench.file("f", "");
    bench.file("a/x", "");
    assert!(bench.build(&[(5, "f")], &[]).unwrap_err().contains("only directories"));
    assert_eq!(bench.build(&[(5, "f"), (5, "a")], &["--ignore-single-files"]).unwrap(), "x -> a/x");
}

#[test]
fn bad_arguments_and_entries_are_errors() {
    let args = |list: &[&str]| parse(list.iter().map(OsString::from)).is_some();
    assert!(!args(&["one"]) && !args(&["--what", "a", "b"]) && !args(&["a", "b", "--link"]) && args(&["a", "b"]));
    let bench = Bench::new("entries");
    bench.file("list", "five /x\n");
    let error = build(&Options::default(), &bench.dir.join("list"), &bench.dir.join("out")).unwrap_err();
    assert!(error.to_string().contains("line 1"), "{error}");
}
