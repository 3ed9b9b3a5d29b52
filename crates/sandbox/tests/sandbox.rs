//! Starts real processes in namespaces. The shell in them is busybox, since it is one static file.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sandbox::{
    Capabilities, Child, Ending, Entry, Error, Exit, Family, IdMap, Identity, Mount, Network, NetworkDoor, Overlay,
    Root, Sandbox, Seccomp, StandardStreams, Transport, Watch, standard_devices,
};

/// The static shell, or nothing where it is not installed and need not be.
fn busybox() -> Option<PathBuf> {
    let found = ["/bin/busybox", "/usr/bin/busybox"].map(PathBuf::from).into_iter().find(|path| path.exists());
    if found.is_none() {
        assert!(std::env::var_os("WHARF_REQUIRE_PEERS").is_none_or(|value| value != "1"), "needs busybox-static");
        println!("skipped: needs busybox-static");
    }
    found
}

struct Case {
    sandbox: Sandbox,
    output: OwnedFd,
    _stage: tempfile::TempDir,
}

fn case(busybox: &Path, script: &str) -> Case {
    let stage = tempfile::tempdir().unwrap();
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let mut mounts =
        vec![Mount::read_only(busybox, "/bin/sh"), Mount::new("/bin/busybox", Entry::Symlink("sh".into()))];
    mounts.extend(standard_devices(None));
    mounts.push(Mount::new("/proc", Entry::Proc));
    mounts.push(Mount::new("/tmp", Entry::Tmpfs { mode: 0o1777, size: None }));
    mounts.push(Mount::new("/etc/passwd", Entry::File(b"root:x:0:0::/:/bin/sh\n".to_vec(), 0o644)));
    let sandbox = Sandbox {
        root: Root::Tmpfs,
        stage: stage.path().to_path_buf(),
        mounts,
        read_only_root: false,
        programs: vec!["/nowhere/sh".into(), "/bin/sh".into()],
        arguments: vec!["sh".into(), "-c".into(), script.into()],
        environment: vec![("PATH".into(), "/bin".into())],
        directory: "/tmp".into(),
        identity: Identity { user: 1000, group: 100, groups: vec![] },
        ids: IdMap::Single,
        network: Network::Private,
        tunnel: None,
        host_name: "localhost".into(),
        cgroups: vec![],
        limits: vec![],
        seccomp: Seccomp::Builder,
        capabilities: Capabilities::NONE,
        no_new_privileges: true,
        user_namespaces: false,
        fixed_addresses: true,
        streams: StandardStreams {
            input: File::open("/dev/null").unwrap().into(),
            output: write.try_clone().unwrap(),
            error: write,
        },
        controlling_terminal: false,
    };
    Case { sandbox, output: read, _stage: stage }
}

impl Case {
    fn run(self, watch: Watch) -> (Ending, String) {
        let mut text = Vec::new();
        let mut child = self.sandbox.spawn().unwrap();
        let ending = child.follow(self.output, &watch, None, &mut |bytes| text.extend_from_slice(bytes)).unwrap();
        (ending, String::from_utf8(text).unwrap())
    }

    fn output(self) -> String {
        let (ending, text) = self.run(Watch::default());
        assert_eq!(ending, Ending::Exit(Exit::Status(0)), "{text}");
        text
    }
}

#[test]
fn identity_environment_and_place() {
    let Some(busybox) = busybox() else { return };
    let script = "bb=/bin/busybox; $bb id -u; $bb id -g; $bb hostname; $bb pwd; $bb env | $bb sort; echo $$; umask; \
                  $bb grep -c . /proc/net/dev; $bb ls / /dev";
    let text = case(&busybox, script).output();
    let expected = "1000\n100\nlocalhost\n/tmp\nPATH=/bin\nPWD=/tmp\nSHLVL=1\n1\n0022\n3\n\
                    /:\nbin\ndev\netc\nproc\ntmp\n\n/dev:\nfd\nfull\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\n\
                    tty\nurandom\nzero\n";
    assert_eq!(text, expected);
}

#[test]
fn privileges_are_gone() {
    let Some(busybox) = busybox() else { return };
    let script = "bb=/bin/busybox; $bb grep -E '^(Cap(Prm|Eff|Bnd|Amb)|NoNewPrivs|Seccomp):' /proc/self/status; \
                  : > f; $bb chmod 4755 f 2>&1; $bb chmod 2755 f 2>&1; $bb chmod 755 f && echo plain; \
                  $bb mount -t tmpfs none /tmp; $bb touch /bin/sh; true";
    let text = case(&busybox, &format!("{{ {script}; }} 2>&1")).output();
    let none = "0000000000000000";
    for name in ["CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert!(text.contains(&format!("{name}:\t{none}")), "{text}");
    }
    assert!(text.contains("NoNewPrivs:\t1") && text.contains("Seccomp:\t2"), "{text}");
    assert_eq!(text.matches("Operation not permitted").count(), 2, "{text}");
    assert!(text.contains("plain\n") && text.contains("Read-only file system"), "{text}");
}

#[test]
fn no_way_back_to_capabilities() {
    let Some(busybox) = busybox() else { return };
    let script = "/bin/busybox unshare -U /bin/sh -c 'echo inside' 2>&1 || echo refused";
    let mut free = case(&busybox, script);
    free.sandbox.user_namespaces = true;
    assert_eq!(free.output(), "inside\n");
    let text = case(&busybox, script).output();
    assert!(text.ends_with("refused\n"), "{text}");
}

#[test]
fn loopback_only() {
    let Some(busybox) = busybox() else { return };
    let text = case(&busybox, "/bin/busybox ip addr").output();
    assert!(text.contains("lo: <LOOPBACK,UP") && text.contains("127.0.0.1/8") && !text.contains("eth"), "{text}");
}

#[test]
fn limits_end_it() {
    let Some(busybox) = busybox() else { return };
    let moment = Duration::from_millis(150);
    let script = "/bin/busybox sleep 100 & while :; do :; done";
    let (ending, _) = case(&busybox, script).run(Watch { time: Some(moment), ..Watch::default() });
    assert_eq!(ending, Ending::TooLong(moment));
    let script = "echo once; /bin/busybox sleep 100";
    let (ending, text) = case(&busybox, script).run(Watch { silence: Some(moment), ..Watch::default() });
    assert_eq!((ending, text.as_str()), (Ending::TooSilent(moment), "once\n"));
    let (ending, _) = case(&busybox, "/bin/busybox yes").run(Watch { output: Some(1 << 20), ..Watch::default() });
    assert_eq!(ending, Ending::TooMuch(1 << 20));
}

#[test]
fn exits_and_signals_are_told_apart() {
    let Some(busybox) = busybox() else { return };
    let (ending, _) = case(&busybox, "exit 7").run(Watch::default());
    assert_eq!(ending, Ending::Exit(Exit::Status(7)));
    let mut child = case(&busybox, "/bin/busybox sleep 100").sandbox.spawn().unwrap();
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap(), Exit::Signal(9));
    assert_eq!(child.wait().unwrap().code(), 137);
}

#[test]
fn descendants_end_with_the_process() {
    let Some(busybox) = busybox() else { return };
    let start = Instant::now();
    let text = case(&busybox, "/bin/busybox sleep 100 & echo gone").output();
    assert_eq!(text, "gone\n");
    assert!(start.elapsed() < Duration::from_secs(10), "the sleeping descendant held the output open");
}

#[test]
fn failures_name_their_step() {
    let Some(busybox) = busybox() else { return };
    let mut missing = case(&busybox, "");
    missing.sandbox.programs = vec!["/bin/nothing".into()];
    let error = missing.sandbox.spawn().unwrap_err();
    assert!(matches!(error, Error::Execute { .. }), "{error}");
    let mut astray = case(&busybox, "");
    astray.sandbox.directory = "/nowhere".into();
    let error = astray.sandbox.spawn().unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot change to the directory /nowhere in the sandbox: No such file or directory (os error 2)"
    );
    let mut unmountable = case(&busybox, "");
    unmountable.sandbox.mounts.push(Mount::read_only("/does/not/exist", "/x"));
    let error = unmountable.sandbox.spawn().unwrap_err();
    assert!(error.to_string().contains("/does/not/exist"), "{error}");
    let mut escaping = case(&busybox, "");
    escaping.sandbox.mounts.push(Mount::new("/tmp/../../x", Entry::Directory(0o755)));
    assert!(matches!(escaping.sandbox.spawn().unwrap_err(), Error::Description(_)));
}

#[test]
fn links_of_a_hostile_root_stay_inside() {
    let Some(busybox) = busybox() else { return };
    let place = tempfile::tempdir().unwrap();
    let (root, outside) = (place.path().join("root"), place.path().join("outside"));
    std::fs::create_dir_all(&root).unwrap();
    std::fs::create_dir_all(&outside).unwrap();
    std::os::unix::fs::symlink(&outside, root.join("etc")).unwrap();
    let mut hostile = case(&busybox, "/bin/busybox cat /etc/passwd");
    hostile.sandbox.root = Root::Directory(root.clone());
    // The link leads to a path that does not exist inside the root; a directory takes its place.
    assert_eq!(hostile.output(), "root:x:0:0::/:/bin/sh\n");
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn overlay_root_takes_changes() {
    let Some(busybox) = busybox() else { return };
    let place = tempfile::tempdir().unwrap();
    for (name, text) in [("low", "low"), ("mid", "mid")] {
        std::fs::create_dir_all(place.path().join(name)).unwrap();
        std::fs::write(place.path().join(name).join("file"), text).unwrap();
    }
    std::fs::create_dir(place.path().join("upper")).unwrap();
    std::fs::create_dir(place.path().join("work")).unwrap();
    let mut layered = case(&busybox, "/bin/busybox cat /file; echo new > /file; /bin/busybox cat /file");
    layered.sandbox.root = Root::Overlay(Overlay {
        base: place.path().into(),
        lower: vec!["mid".into(), "low".into()],
        upper: place.path().join("upper"),
        work: place.path().join("work"),
    });
    assert_eq!(layered.output(), "midnew\n");
    assert_eq!(std::fs::read_to_string(place.path().join("mid/file")).unwrap(), "mid");
    assert_eq!(std::fs::read_to_string(place.path().join("upper/file")).unwrap(), "new\n");
}

#[test]
fn read_only_root_keeps_its_mounts_writable() {
    let Some(busybox) = busybox() else { return };
    let mut fixed = case(&busybox, "{ echo x > /x; } 2>&1; echo y > /tmp/y && echo z > /data/z && echo fine");
    fixed.sandbox.mounts.push(Mount::new("/data", Entry::Writable));
    fixed.sandbox.read_only_root = true;
    let text = fixed.output();
    assert!(text.contains("Read-only file system") && text.ends_with("fine\n"), "{text}");
}

#[test]
fn one_id_can_pretend_to_be_more() {
    let Some(busybox) = busybox() else { return };
    let script = ": > /tmp/f; /bin/busybox chown 33:33 /tmp/f && /bin/busybox chgrp 5 /tmp/f && echo fine";
    let mut pretending = case(&busybox, script);
    pretending.sandbox.identity = Identity { user: 0, group: 0, groups: vec![] };
    pretending.sandbox.seccomp = Seccomp::ContainerOneId;
    pretending.sandbox.capabilities = Capabilities::CONTAINER;
    assert_eq!(pretending.output(), "fine\n");
}

#[test]
fn a_door_reaches_the_private_network() {
    let Some(busybox) = busybox() else { return };
    let server = case(&busybox, "echo hello | /bin/busybox nc -l -p 8080");
    let child: Child = server.sandbox.spawn().unwrap();
    let door = NetworkDoor::open(&child).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    let socket = loop {
        let socket = door.socket(Family::V4, Transport::Tcp).unwrap();
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], 8080));
        match rustix::net::connect(&socket, &address) {
            Ok(()) => break socket,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let mut text = String::new();
    std::io::Read::read_to_string(&mut std::net::TcpStream::from(socket), &mut text).unwrap();
    assert_eq!(text, "hello\n");
}

#[test]
fn this_machine_allows_sandboxes() {
    if busybox().is_some() {
        sandbox::probe().unwrap();
    }
}

#[test]
fn starting_takes_little() {
    let Some(busybox) = busybox() else { return };
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let quick = case(&busybox, "exit 0");
        let start = Instant::now();
        let (ending, _) = quick.run(Watch::default());
        assert_eq!(ending, Ending::Exit(Exit::Status(0)));
        best = best.min(start.elapsed());
    }
    println!("a sandboxed process from start to end: {best:?}");
    assert!(best < Duration::from_millis(100), "{best:?}");
}
