//! What a builder sees, and what becomes of what it makes.

use std::collections::BTreeSet;
use std::sync::Mutex;

use build::{Builtin, BuiltinContext, BuiltinError, FetchUrl, Fetcher, Options, Realise, Wanted, log_path};
use nix_formats::content_address::Method;
use nix_formats::hash::HashAlgo;
use store::Store;
use store::progress::{Progress, TaskId};

use crate::workshop::Workshop;

#[test]
fn the_environment_is_nixs() {
    let Some(workshop) = Workshop::new() else { return };
    let script = "unset SHLVL; export PATH=$OLD; /bin/env > /dev/null 2>&1 || true; \
                  $tools/env | $tools/sort | $tools/grep -v '^\\(_\\|OLDPWD\\|tools\\|OLD\\|script\\)=' > $out";
    let tools = format!("{}/bin", workshop.busybox.to_absolute());
    let options = Options { cores: 3.try_into().unwrap(), ..Options::new() };
    let (derivation, out) = workshop
        .recipe("environment", "")
        .args(&["-e", "-c", script])
        .set("tools", &tools)
        .set("OLD", "/path-not-set")
        .set("words", "a b")
        .set("big", "contents of the file")
        .set("passAsFile", "big")
        .add_with_output("out");
    workshop.builder(options).realise(&[Wanted::all(derivation)]).unwrap();
    let text = std::fs::read_to_string(workshop.store.real_path(&out)).unwrap();
    let out = out.to_absolute();
    let expected = format!(
        "HOME=/homeless-shelter\nNIX_BUILD_CORES=3\nNIX_BUILD_TOP=/build\nNIX_LOG_FD=2\nNIX_STORE=/nix/store\n\
         PATH=/path-not-set\nPWD=/build\nTEMP=/build\nTEMPDIR=/build\nTERM=xterm-256color\nTMP=/build\n\
         TMPDIR=/build\nbigPath=/build/.attr-1fs9vi7bmwbpkrrbwjkssbqg6kd66ll4zpfbn1ifjzi7r67v7bkj\nname=environment\n\
         out={out}\npassAsFile=big\nwords=a b\n"
    );
    let hash = nix_formats::hash::Hash::of(HashAlgo::Sha256, b"big").to_nix32();
    assert_eq!(text, expected.replace("1fs9vi7bmwbpkrrbwjkssbqg6kd66ll4zpfbn1ifjzi7r67v7bkj", &hash));
}

#[test]
fn where_we_are_root_a_builder_is_somebody_else() {
    use std::os::unix::fs::MetadataExt;

    let Some(workshop) = Workshop::new() else { return };
    let script = "echo told > /dev/stderr; mkdir $out; id -u > $out/inside; cat /proc/self/uid_map > $out/map; \
                  ln -s map $out/link; chmod 700 $out; echo x > /tmp/x; ! echo x > /etc/x";
    let (derivation, out) = workshop.recipe("user", script).add_with_output("out");
    workshop.build(&derivation).unwrap();
    let out = workshop.store.real_path(&out);
    let own = rustix::process::geteuid().as_raw();
    for name in ["", "inside", "map", "link"] {
        assert_eq!(out.join(name).symlink_metadata().unwrap().uid(), own, "{name}");
    }
    assert_eq!(std::fs::read_to_string(out.join("inside")).unwrap(), "1000\n");
    let map = std::fs::read_to_string(out.join("map")).unwrap();
    let outside = map.lines().find_map(|line| {
        let mut ids = line.split_whitespace();
        (ids.next() == Some("1000")).then(|| ids.next().unwrap().to_owned())
    });
    // In a namespace of few ids there is nobody else to be.
    if own == 0 && sandbox::IdMap::own().is_some() {
        assert!(outside.is_some_and(|outside| outside != "0"), "{map}");
    } else {
        assert_eq!(outside, Some(own.to_string()));
    }
}

#[test]
fn only_the_closure_of_the_inputs_is_there() {
    let Some(workshop) = Workshop::new() else { return };
    let (needed, needed_out) = workshop.recipe("needed", "echo x > $out").add_with_output("out");
    let (unrelated, _) = workshop.recipe("unrelated", "echo y > $out").add_with_output("out");
    workshop.build(&unrelated).unwrap();
    let (indirect, indirect_out) = workshop
        .recipe("indirect", "echo $needed > $out")
        .input(&needed, "out")
        .set("needed", &needed_out.to_absolute())
        .add_with_output("out");
    let listing = workshop
        .recipe(
            "listing",
            "ls /nix/store > /tmp/l; { cat /tmp/l; ls / /etc; id -u; id -g; hostname; } > $out; ! echo x >> $in",
        )
        .input(&indirect, "out")
        .set("in", &indirect_out.to_absolute())
        .add();
    let text = workshop.text(&listing);
    let mut expected: Vec<String> =
        [&workshop.busybox, &needed_out, &indirect_out].map(|path| path.base_name().to_owned()).to_vec();
    expected.sort();
    let rest = "/:\nbin\nbuild\ndev\netc\nnix\nproc\ntmp\n\n/etc:\ngroup\nhosts\npasswd\n1000\n100\nlocalhost\n";
    assert_eq!(text, format!("{}\n{rest}", expected.join("\n")));
    workshop.verify_clean();
}

#[test]
fn outputs_refer_to_what_is_in_them() {
    let Some(workshop) = Workshop::new() else { return };
    let (input, input_out) = workshop.recipe("input", "echo x > $out").add_with_output("out");
    let derivation = workshop
        .recipe(
            "several",
            "mkdir $out $dev; echo $out $dev > $dev/file; ln -s $input $out/link; ln $out/link $out/hard",
        )
        .outputs(&["out", "dev"])
        .input(&input, "out")
        .set("input", &input_out.to_absolute())
        .add();
    let realised = workshop.build(&derivation).unwrap();
    let (out, dev) = (&realised.outputs["out"], &realised.outputs["dev"]);
    let info = |path| workshop.store.require(path).unwrap();
    assert_eq!(info(out).references, BTreeSet::from([input_out]));
    assert_eq!(info(dev).references, BTreeSet::from([out.clone(), dev.clone()]));
    assert_eq!(info(out).deriver, Some(derivation.clone()));
    assert!(info(out).ultimate);
    // What is there is not built again.
    assert!(workshop.builder(Options::new()).missing(&[Wanted::all(derivation)]).unwrap().is_empty());
    workshop.verify_clean();
}

#[test]
fn placeholders_become_paths() {
    let Some(workshop) = Workshop::new() else { return };
    let placeholder = nix_formats::placeholder::own_output("out");
    let (derivation, out) = workshop
        .recipe("placeholder", &format!("echo {placeholder} $self > $out"))
        .set("self", &format!("is {placeholder}/x"))
        .add_with_output("out");
    let out = out.to_absolute();
    assert_eq!(workshop.text(&derivation), format!("{out} is {out}/x\n"));
}

#[test]
fn structured_attributes_are_files() {
    let Some(workshop) = Workshop::new() else { return };
    let script = "cat $NIX_ATTRS_JSON_FILE $NIX_ATTRS_SH_FILE > $1; test -z \"$list\"";
    let json = r#"{"list":["a","b c"],"name":"structured","builder":"x","number":4}"#;
    let placeholder = nix_formats::placeholder::own_output("out");
    let script = format!("export PATH={}/bin; {}", workshop.busybox.to_absolute(), script.replace("$1", &placeholder));
    let (derivation, out) =
        workshop.recipe("structured", "").args(&["-e", "-c", &script]).set("__json", json).add_with_output("out");
    let out = out.to_absolute();
    let expected = format!(
        "{{\"builder\":\"x\",\"list\":[\"a\",\"b c\"],\"name\":\"structured\",\"number\":4,\
         \"outputs\":{{\"out\":\"{out}\"}}}}declare builder='x'\ndeclare -a list=('a' 'b c' )\n\
         declare name='structured'\ndeclare number=4\ndeclare -A outputs=(['out']='{out}' )\n"
    );
    assert_eq!(workshop.text(&derivation), expected);
}

#[test]
fn graphs_are_exported() {
    let Some(workshop) = Workshop::new() else { return };
    let (input, input_out) = workshop.recipe("input", "echo $PATH $out > $out").add_with_output("out");
    let input_path = input_out.to_absolute();
    let derivation = workshop
        .recipe("graph", "cat graph > $out")
        .input(&input, "out")
        .set("exportReferencesGraph", &format!("graph {input_path}"))
        .add();
    let busybox = workshop.busybox.to_absolute();
    let mut records = [
        (input_path.clone(), format!("{input_path}\n\n2\n{}", sorted(&[&busybox, &input_path]))),
        (busybox.clone(), format!("{busybox}\n\n0\n")),
    ];
    records.sort();
    assert_eq!(workshop.text(&derivation), records.map(|(_, record)| record).concat());
}

fn sorted(paths: &[&str]) -> String {
    let mut paths = paths.to_vec();
    paths.sort();
    paths.iter().map(|path| format!("{path}\n")).collect()
}

#[test]
fn a_wide_graph_is_built_in_parallel() {
    let Some(workshop) = Workshop::new() else { return };
    let mut top = workshop.recipe("top", "cat $inputs > $out");
    let mut inputs = Vec::new();
    for number in 0..12 {
        let (derivation, out) = workshop.recipe(&format!("part-{number}"), "echo $name > $out").add_with_output("out");
        top = top.input(&derivation, "out");
        inputs.push(out.to_absolute());
    }
    let (top, out) = top.set("inputs", &inputs.join(" ")).add_with_output("out");
    let options = Options { jobs: 4, ..Options::new() };
    let builder = workshop.builder(options);
    assert_eq!(builder.missing(&[Wanted::all(top.clone())]).unwrap().len(), 13);
    let start = std::time::Instant::now();
    builder.realise(&[Wanted::all(top)]).unwrap();
    println!("13 derivations: {:?}", start.elapsed());
    let text = std::fs::read_to_string(workshop.store.real_path(&out)).unwrap();
    assert_eq!(text.lines().count(), 12);
}

#[test]
fn two_builders_share_the_work() {
    let Some(workshop) = Workshop::new() else { return };
    let derivation = workshop.recipe("shared", "sleep 0.3; echo done > $out").add();
    std::thread::scope(|scope| {
        let build = || workshop.build(&derivation).unwrap();
        let (first, second) = (scope.spawn(build), scope.spawn(build));
        assert_eq!(first.join().unwrap(), second.join().unwrap());
    });
    workshop.verify_clean();
}

#[test]
fn logs_are_kept_where_nix_looks_for_them() {
    let Some(workshop) = Workshop::new() else { return };
    let derivation = workshop.recipe("talking", "echo one; echo two >&2; printf three; echo > $out").add();
    workshop.build(&derivation).unwrap();
    let log = log_path(&workshop.store.log_dir(), &derivation);
    let (first, rest) = derivation.base_name().split_at(2);
    assert_eq!(log, workshop.root().join(format!("nix/var/log/nix/drvs/{first}/{rest}.bz2")));
    let decoder = bzip2::read::BzDecoder::new(std::fs::File::open(log).unwrap());
    assert_eq!(std::io::read_to_string(decoder).unwrap(), "one\ntwo\nthree");
}

#[test]
fn fixed_outputs_may_use_the_network() {
    let Some(workshop) = Workshop::new() else { return };
    for (method, algo) in [
        (Method::Flat, HashAlgo::Sha256),
        (Method::Flat, HashAlgo::Sha1),
        (Method::Nar, HashAlgo::Sha256),
        (Method::Nar, HashAlgo::Sha512),
        (Method::Flat, HashAlgo::Md5),
    ] {
        let script = "test \"$NIX_OUTPUT_CHECKED\" = 1; test -z \"$http_proxy\"; test $secret = told; \
                      test $(grep -c : /proc/net/dev) -ge 1; printf hello > $out";
        let derivation = workshop
            .recipe("fixed", script)
            .set("impureEnvVars", "http_proxy secret")
            .set("variant", &format!("{method:?} {algo:?}"))
            .fixed(method, algo, b"hello")
            .add();
        let mut options = Options::new();
        options.environment.insert("secret".to_owned(), "told".into());
        let realised = workshop.builder(options).realise(&[Wanted::all(derivation)]).unwrap().remove(0);
        let info = workshop.store.require(&realised.outputs["out"]).unwrap();
        assert!(info.content_address.is_some() && info.references.is_empty());
    }
    workshop.verify_clean();
}

#[test]
fn what_is_not_deterministic_is_found() {
    let Some(workshop) = Workshop::new() else { return };
    let steady = workshop.recipe("steady", "echo same > $out").add();
    let random = workshop.recipe("random", "head -c 16 /dev/urandom > $out").add();
    workshop.build(&steady).unwrap();
    workshop.build(&random).unwrap();
    let checking = workshop.builder(Options { check: true, ..Options::new() });
    checking.realise(&[Wanted::all(steady)]).unwrap();
    let error = checking.realise(&[Wanted::all(random)]).unwrap_err().to_string();
    assert!(error.contains("not deterministic") && error.contains(".check"), "{error}");
    workshop.verify_clean();
}

struct Greeter;

impl Builtin for Greeter {
    fn name(&self) -> &str {
        "builtin:greeter"
    }

    fn build(&self, context: &BuiltinContext<'_>) -> Result<(), BuiltinError> {
        context.log("greeting");
        let whom = context.attributes.required("whom")?;
        if whom == "nobody" {
            return Err("there is nobody to greet".into());
        }
        let out = context.output("out")?;
        Ok(std::fs::write(&out.real_path, format!("hello {whom} from {}", out.path.to_absolute()))?)
    }
}

#[test]
fn builtin_builders_are_builders() {
    let Some(workshop) = Workshop::new() else { return };
    let (derivation, out) =
        workshop.recipe("greeting", "").builder("builtin:greeter").set("whom", "world").add_with_output("out");
    let builder = workshop.builder(Options::new()).with_builtin(Box::new(Greeter));
    builder.realise(&[Wanted::all(derivation)]).unwrap();
    let info = workshop.store.require(&out).unwrap();
    assert_eq!(info.references, BTreeSet::from([out]));
    let failing = workshop.recipe("greeting", "").builder("builtin:greeter").set("whom", "nobody").add();
    let error = builder.realise(&[Wanted::all(failing)]).unwrap_err().to_string();
    assert!(error.contains("builtin:greeter") && error.contains("there is nobody to greet"), "{error}");
    let unknown = workshop.recipe("unknown", "").builder("builtin:nothing").add();
    let error = workshop.build(&unknown).unwrap_err().to_string();
    assert!(error.contains("there is no builder 'builtin:nothing'"), "{error}");
}

struct Canned(Mutex<Vec<String>>);

impl Fetcher for Canned {
    fn fetch(
        &self,
        url: &str,
        out: &mut dyn std::io::Write,
        progress: &dyn Progress,
        task: TaskId,
    ) -> Result<(), BuiltinError> {
        self.0.lock().unwrap().push(url.to_owned());
        progress.advance(task, 5);
        Ok(out.write_all(b"hello")?)
    }
}

#[test]
fn files_are_fetched() {
    let Some(workshop) = Workshop::new() else { return };
    let derivation = workshop
        .recipe("fetched", "")
        .builder("builtin:fetchurl")
        .system("builtin")
        .set("url", "https://example.org/fetched")
        .fixed(Method::Flat, HashAlgo::Sha256, b"hello")
        .add();
    let builder = workshop.builder(Options::new()).with_builtin(Box::new(FetchUrl(Canned(Mutex::default()))));
    let realised = builder.realise(&[Wanted::all(derivation)]).unwrap().remove(0);
    assert_eq!(std::fs::read(workshop.store.real_path(&realised.outputs["out"])).unwrap(), b"hello");
    let unfixed = workshop.recipe("unfixed", "").builder("builtin:fetchurl").set("url", "x").add();
    let error = builder.realise(&[Wanted::all(unfixed)]).unwrap_err().to_string();
    assert!(error.contains("must have a fixed output"), "{error}");
}
