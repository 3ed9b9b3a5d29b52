//! Daemons that are none, or that lie: each is a named error, and nothing of what they say is registered.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix_formats::content_address::Method;
use nix_formats::hash::{Hash, HashAlgo};
use nix_formats::realisation::{OutputId, Realisation};
use nix_formats::store_path::StorePath;
use nix_formats::worker::{DAEMON_MAGIC, Version, WireWriter};
use store::daemon::{DaemonOptions, DaemonStore, Watching};
use store::fs_nar::everything;
use store::local::VerifyOptions;
use store::progress::Silent;
use store::{PathInfo, Store, StoreError};

use crate::{Fixture, staged};

/// "The answer follows" and "this is an error", as a daemon says them.
const LAST: u64 = 0x616c_7473;
const ERROR: u64 = 0x6378_7470;

/// Answers one connection with these bytes, and closes it.
fn impostor(directory: &Path, answer: Vec<u8>) -> PathBuf {
    let socket = directory.join(format!("impostor-{}", fs::read_dir(directory).unwrap().count()));
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut greeting = [0; 16];
            let _ = stream.read_exact(&mut greeting);
            let _ = stream.write_all(&answer);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let _ = stream.read_to_end(&mut Vec::new());
        }
    });
    socket
}

#[test]
fn daemons_that_are_none_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let greeting = |minor: u64| words(&[DAEMON_MAGIC, 1 << 8 | minor]);
    for (answer, reason) in [
        (Vec::new(), ""),
        (words(&[1, 2]), "greeting"),
        (greeting(20), "it speaks version 1.20"),
        (words(&[DAEMON_MAGIC, 2 << 8 | 34, 0]), "it speaks version 2.34"),
        ([greeting(34), words(&[u64::MAX])].concat(), "a string of"),
        ([greeting(34), words(&[0, 7])].concat(), "the message 0x7"),
        ([greeting(37), words(&[0, 1, 0x6f6c_6d67])].concat(), ""),
    ] {
        let socket = impostor(dir.path(), answer);
        let result = DaemonStore::open(&socket, Path::new("/nix/store"), DaemonOptions::default(), Arc::new(Silent));
        let error = result.err().unwrap().to_string();
        assert!(error.contains(reason) && error.contains(socket.to_str().unwrap()), "{error}");
    }
    let nobody = dir.path().join("nobody");
    let result = DaemonStore::open(&nobody, Path::new("/nix/store"), DaemonOptions::default(), Arc::new(Silent));
    assert!(result.err().unwrap().to_string().contains("nobody"));
}

/// Opens with little patience.
fn impatient(socket: &Path) -> Result<DaemonStore, StoreError> {
    let options = DaemonOptions { patience: Duration::from_millis(150), ..DaemonOptions::default() };
    DaemonStore::open(socket, &socket.with_file_name("nowhere"), options, Arc::new(Silent))
}

/// Says this, and then nothing, until it is left.
fn falls_silent(directory: &Path, answer: Vec<u8>) -> PathBuf {
    let socket = directory.join(format!("silent-{}", fs::read_dir(directory).unwrap().count()));
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.write_all(&answer);
            let _ = stream.read_to_end(&mut Vec::new());
        }
    });
    socket
}

#[test]
fn a_daemon_that_falls_silent_before_it_can_be_asked_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let whole = opened();
    let start = Instant::now();
    // In the middle of its number, of its version, of its name; before it takes the options.
    for said in [0, 3, 12, 20, whole.len() - 8] {
        let socket = falls_silent(dir.path(), whole[..said].to_vec());
        let error = impatient(&socket).err().unwrap().to_string();
        assert!(error.contains("it does not answer, for 150ms now; is it stuck?"), "{said}: {error}");
        assert!(error.contains(socket.to_str().unwrap()), "{said}: {error}");
    }
    assert!(start.elapsed() < Duration::from_secs(10));
    // Once it can be asked, it may take its time.
    let socket = dir.path().join("slow");
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(&opened()).unwrap();
        std::thread::sleep(Duration::from_millis(500));
        stream.write_all(&words(&[LAST, 1])).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    assert!(impatient(&socket).unwrap().is_valid(&path()).unwrap());
}

#[test]
fn a_daemon_that_hangs_up_anywhere_in_its_greeting_is_named() {
    let dir = tempfile::tempdir().unwrap();
    for said in 0..opened().len() {
        let socket = impostor(dir.path(), opened()[..said].to_vec());
        let error = impatient(&socket).err().unwrap();
        assert!(matches!(error, StoreError::DaemonLost { .. }), "{said}: {error}");
        let error = error.to_string();
        assert!(error.contains("hung up") || error.contains("closed in the middle"), "{said}: {error}");
        assert!(error.contains(socket.to_str().unwrap()), "{said}: {error}");
    }
}

#[test]
fn garbage_is_no_greeting_and_no_answer() {
    let dir = tempfile::tempdir().unwrap();
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut garbage = || {
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u8
        };
        (0..4096).map(|_| next()).collect::<Vec<u8>>()
    };
    for _ in 0..8 {
        let socket = impostor(dir.path(), garbage());
        assert!(impatient(&socket).err().unwrap().to_string().contains("its greeting is not a Nix daemon's"));
        let socket = impostor(dir.path(), [opened(), garbage()].concat());
        let error = impatient(&socket).unwrap().path_info(&path()).unwrap_err().to_string();
        assert!(error.contains("the message 0x") && error.contains(socket.to_str().unwrap()), "{error}");
    }
    let page = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n".to_vec();
    let error = impatient(&impostor(dir.path(), page)).err().unwrap().to_string();
    assert!(error.contains("its greeting is not a Nix daemon's"), "{error}");
}

#[test]
fn a_newer_daemon_is_spoken_to_in_the_newest_version_that_we_know() {
    let dir = tempfile::tempdir().unwrap();
    let mut greeting = words(&[DAEMON_MAGIC, 1 << 8 | 200]);
    let mut writer = WireWriter::new(&mut greeting);
    writer.strings(&["a-feature-of-tomorrow"]).unwrap();
    writer.string("9.9").unwrap();
    writer.number(1).unwrap();
    greeting.extend(words(&[LAST, LAST, LAST, 1]));
    let store = impatient(&impostor(dir.path(), greeting)).unwrap();
    assert_eq!(store.version().unwrap(), Version::NEWEST);
    assert!(store.is_valid(&path()).unwrap());
}

/// One message over and over.
fn talks_without_end(directory: &Path, message: Vec<u8>) -> PathBuf {
    let socket = directory.join(format!("talker-{}", fs::read_dir(directory).unwrap().count()));
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            stream.write_all(&opened()).unwrap();
            let many = message.repeat(1 + 100_000 / message.len());
            while stream.write_all(&many).is_ok() {}
        }
    });
    socket
}

#[test]
fn a_daemon_that_talks_without_end_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let mut line = words(&[0x6f6c_6d67]);
    WireWriter::new(&mut line).string(&"bla ".repeat(1000)).unwrap();
    let socket = talks_without_end(dir.path(), line.clone());
    let error = impatient(&socket).unwrap().is_valid(&path()).unwrap_err().to_string();
    assert!(error.contains("and does not answer") && error.contains(socket.to_str().unwrap()), "{error}");
    // While it builds, it may; but it is left as soon as that is wanted.
    let store = impatient(&talks_without_end(dir.path(), line)).unwrap();
    let (cancelled, go_on) = std::io::pipe().unwrap();
    let watching = Watching { progress: &Silent, cancelled: Some(std::os::fd::AsFd::as_fd(&cancelled)) };
    let result = std::thread::scope(|scope| {
        let building = scope.spawn(|| store.build_each(&["x".to_owned()], false, watching));
        std::thread::sleep(Duration::from_millis(100));
        assert!(!building.is_finished());
        drop(go_on);
        building.join().unwrap()
    });
    assert!(matches!(result, Err(StoreError::DaemonLost { .. })), "{result:?}");
    // Nor does what it begins and does not end take memory without end.
    let mut begin = words(&[0x5354_5254, 1, 3, 105]);
    let mut writer = WireWriter::new(&mut begin);
    writer.string("building").unwrap();
    [0, 0].into_iter().for_each(|number| writer.number(number).unwrap());
    let socket = dir.path().join("beginner");
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(&opened()).unwrap();
        for number in 1u64.. {
            begin[8..16].copy_from_slice(&number.to_le_bytes());
            if stream.write_all(&begin).is_err() {
                break;
            }
        }
    });
    let watching = Watching { progress: &Silent, cancelled: None };
    let error = impatient(&socket).unwrap().build_each(&["x".to_owned()], false, watching).unwrap_err().to_string();
    assert!(error.contains("activities are under way") && error.contains("beginner"), "{error}");
}

#[test]
fn a_daemon_that_goes_in_the_middle_of_a_log_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = words(&[0x5354_5254, 7, 3, 105]);
    let mut writer = WireWriter::new(&mut log);
    writer.string("building").unwrap();
    [0, 0].into_iter().for_each(|number| writer.number(number).unwrap());
    log.extend(words(&[0x5253_4c54, 7, 101, 1, 1]));
    WireWriter::new(&mut log).string("a line of its log").unwrap();
    for said in [8, 40, log.len() - 9, log.len()] {
        let socket = impostor(dir.path(), [opened(), log[..said].to_vec()].concat());
        let watching = Watching { progress: &Silent, cancelled: None };
        let error = impatient(&socket).unwrap().build_each(&["x".to_owned()], false, watching).unwrap_err().to_string();
        assert!(error.contains("closed in the middle") && error.contains(socket.to_str().unwrap()), "{said}: {error}");
    }
}

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// What a daemon says until it is told its options.
fn opened() -> Vec<u8> {
    let mut bytes = words(&[DAEMON_MAGIC, 1 << 8 | 34]);
    WireWriter::new(&mut bytes).string("2.8.0").unwrap();
    bytes.extend(words(&[LAST, LAST]));
    bytes
}

/// What a daemon answers when it is asked for an object.
fn info(hash: Hash, size: u64, references: &[&str]) -> Vec<u8> {
    let mut bytes = words(&[LAST, 1]);
    let mut writer = WireWriter::new(&mut bytes);
    writer.string("").unwrap();
    writer.string(&hash.to_hex()).unwrap();
    writer.strings(references).unwrap();
    [0, size, 0, 0].into_iter().for_each(|number| writer.number(number).unwrap());
    writer.string("").unwrap();
    bytes
}

fn path() -> StorePath {
    StorePath::from_absolute("/nix/store/7h7qgvs4kgzsn8a6rb273saxyqh4jxlz-x").unwrap()
}

fn open(socket: &Path) -> DaemonStore {
    // Nothing of such a daemon lies on this machine.
    let store_dir = socket.with_file_name("nowhere");
    DaemonStore::open(socket, &store_dir, DaemonOptions::default(), Arc::new(Silent)).unwrap()
}

#[test]
fn answers_that_lie_are_named_and_nothing_is_kept() {
    let fixture = Fixture::new();
    let mut writer = nix_formats::nar::Writer::new(Vec::new()).unwrap();
    writer.open_file(false, 4000).unwrap();
    writer.content(&[7; 4000]).unwrap();
    writer.close_file().unwrap();
    let nar = writer.finish().unwrap();
    let hash = Hash::of(HashAlgo::Sha256, &nar);
    let size = nar.len() as u64;
    let other = Hash::of(HashAlgo::Sha256, b"other");
    // It is asked three times: what refers to what, what is missing, how long the archive is.
    let told = |hash, size, nar: &[u8]| [info(hash, size, &[]).repeat(3), words(&[LAST]), nar.to_vec()].concat();
    let escape = {
        let mut bytes = Vec::new();
        let mut writer = WireWriter::new(&mut bytes);
        for word in ["nix-archive-1", "(", "type", "directory", "entry", "(", "name", "../x", "node", "("] {
            writer.string(word).unwrap();
        }
        bytes
    };
    let mut refused = words(&[ERROR]);
    let mut writer = WireWriter::new(&mut refused);
    writer.string("Error").unwrap();
    writer.number(0).unwrap();
    writer.string("Error").unwrap();
    writer.string("not \u{1b}[31;1mtoday\u{1b}[0m").unwrap();
    [0, 0].into_iter().for_each(|number| writer.number(number).unwrap());
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("closes before it answers", Vec::new(), "closed in the middle"),
        ("closes in the middle of an archive", told(hash, size, &nar[..2000]), "failed"),
        ("sends more than it said", told(hash, size - 8, &nar), "more than the specified"),
        ("sends another content", told(other, size, &nar), "hash mismatch"),
        ("sends what is no archive", told(hash, size, &vec![9; nar.len()]), "sends no archive of"),
        ("sends a name that leads out", told(hash, escape.len() as u64, &escape), "sends no archive of"),
        ("names what is no path", info(hash, size, &["/etc/passwd"]), "no store path"),
        ("counts without end", [words(&[LAST, 1]), words(&[0, 0, u64::MAX])].concat(), "failed"),
        ("says no", refused, "says: not today"),
        ("has it not", words(&[LAST, 0]), "is not valid"),
    ];
    for (what, answer, reason) in cases {
        let socket = impostor(fixture.dir.path(), [opened(), answer].concat());
        let store = open(&socket);
        let accept = |_: &PathInfo| Ok::<_, StoreError>(());
        let copied = store::copy(&store, &[path()], &fixture.store, accept, &Silent);
        let error = copied.expect_err(what).to_string();
        assert!(error.contains(reason), "{what}: {error}");
        let says_who = error.contains(socket.to_str().unwrap()) || error.contains(path().base_name());
        assert!(says_who, "{what}: {error}");
    }
    assert_eq!(fixture.store.all_paths().unwrap(), BTreeSet::new());
    let options = VerifyOptions { contents: true, repair: false };
    assert!(fixture.store.verify(options, &Silent).unwrap().is_empty());
    assert!(staged(&fixture.root()) <= 1);
}

#[test]
fn builds_that_end_as_no_build_does_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut unnamed = words(&[LAST, 1]);
    let mut writer = WireWriter::new(&mut unnamed);
    writer.string("/nix/store/x.drv!out").unwrap();
    writer.number(0).unwrap();
    writer.string("").unwrap();
    [0, 0, 0, 0, 1].into_iter().for_each(|number| writer.number(number).unwrap());
    writer.string("sha256:00").unwrap();
    writer.string("{}").unwrap();
    for (answer, reason) in [
        ([words(&[LAST, 1, 0]), words(&[77])].concat(), "the build status 77"),
        (unnamed, "it has no name"),
        (words(&[LAST, 1]), "closed in the middle"),
        (words(&[0x6f6c_6d67, 1 << 40]), "a string of"),
    ] {
        let socket = impostor(dir.path(), [opened(), answer].concat());
        let watching = Watching { progress: &Silent, cancelled: None };
        let error = open(&socket).build_each(&["x".to_owned()], false, watching).unwrap_err().to_string();
        assert!(error.contains(reason) && error.contains(socket.to_str().unwrap()), "{error}");
    }
}

#[test]
fn a_build_that_is_not_wanted_any_more_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("mute");
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(&opened()).unwrap();
        // It never says anything more, until it is left.
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let store = open(&socket);
    let (cancelled, go_on) = std::io::pipe().unwrap();
    let watching = Watching { progress: &Silent, cancelled: Some(std::os::fd::AsFd::as_fd(&cancelled)) };
    let result = std::thread::scope(|scope| {
        let building = scope.spawn(|| store.build_each(&["x".to_owned()], false, watching));
        std::thread::sleep(Duration::from_millis(50));
        drop(go_on);
        building.join().unwrap()
    });
    assert!(matches!(result, Err(StoreError::DaemonLost { .. })), "{result:?}");
}

#[test]
fn a_daemon_that_goes_while_it_is_sent_something_is_named() {
    let fixture = Fixture::new();
    let source = fixture.source("source");
    let socket = fixture.dir.path().join("gone");
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            stream.write_all(&opened()).unwrap();
            // Long enough to be in the middle of the content.
            let _ = stream.read_exact(&mut [0; 2000]);
        }
    });
    let error = open(&socket).add_tree("s", &source, Method::Nar, HashAlgo::Sha256, &mut everything).unwrap_err();
    assert!(error.to_string().contains(socket.to_str().unwrap()), "{error}");
}

#[test]
fn what_a_daemon_says_of_an_output_must_be_of_that_output() {
    let dir = tempfile::tempdir().unwrap();
    let id = OutputId { hash: Hash::of(HashAlgo::Sha256, b"derivation"), output: "out".to_owned() };
    let other = OutputId { output: "dev".to_owned(), ..id.clone() };
    let said = |texts: &[&str]| {
        let mut bytes = words(&[LAST]);
        WireWriter::new(&mut bytes).strings(texts).unwrap();
        bytes
    };
    let ask = |answer: Vec<u8>| open(&impostor(dir.path(), [opened(), answer].concat())).realisation(&id);
    let truth = Realisation::new(id.clone(), path());
    assert_eq!(ask(said(&[&truth.to_string()])).unwrap(), Some(truth));
    assert_eq!(ask(said(&[])).unwrap(), None);
    assert_eq!(ask(said(&[&Realisation::new(other, path()).to_string()])).unwrap(), None);
    for (answer, reason) in [
        (said(&["{}"]), "no realisation"),
        (said(&["/etc/passwd"]), "no realisation"),
        (words(&[LAST, u64::MAX]), "impostor"),
    ] {
        let error = ask(answer).unwrap_err().to_string();
        assert!(error.contains(reason) && error.contains("impostor"), "{error}");
    }
}
