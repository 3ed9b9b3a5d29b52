//! NARs: what is written is read back, and nothing else is accepted.

use std::io::Read;

use nix_formats::nar::{Event, MAX_DEPTH, NarError, Reader, Writer};
use proptest::prelude::*;

/// A node as the tests make them up.
#[derive(Clone, Debug, PartialEq)]
enum Node {
    File(bool, Vec<u8>),
    Symlink(Vec<u8>),
    Directory(Vec<(Vec<u8>, Node)>),
}

fn write(writer: &mut Writer<Vec<u8>>, node: &Node) -> Result<(), NarError> {
    match node {
        Node::File(executable, content) => writer.file(*executable, content.len() as u64, &mut &content[..]),
        Node::Symlink(target) => writer.symlink(target),
        Node::Directory(entries) => {
            writer.open_directory()?;
            for (name, node) in entries {
                writer.entry(name)?;
                write(writer, node)?;
            }
            writer.close_directory()
        }
    }
}

fn to_nar(node: &Node) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new()).unwrap();
    write(&mut writer, node).unwrap();
    writer.finish().unwrap()
}

fn read_node(reader: &mut Reader<&[u8]>, event: Event) -> Result<Node, NarError> {
    Ok(match event {
        Event::File { executable, .. } => {
            let mut content = Vec::new();
            reader.content().read_to_end(&mut content)?;
            Node::File(executable, content)
        }
        Event::Symlink { target } => Node::Symlink(target),
        Event::OpenDirectory => {
            let mut entries = Vec::new();
            while let Some(Event::Entry { name }) = reader.next()? {
                let event = reader.next()?.expect("an entry has a node");
                entries.push((name, read_node(reader, event)?));
            }
            Node::Directory(entries)
        }
        Event::Entry { .. } | Event::CloseDirectory => panic!("not the start of a node"),
    })
}

fn from_nar(nar: &[u8]) -> Result<Node, NarError> {
    let mut reader = Reader::new(nar);
    let event = reader.next()?.expect("an archive has a node");
    let node = read_node(&mut reader, event)?;
    assert_eq!(reader.next()?, None);
    assert_eq!(reader.offset() as usize, nar.len());
    Ok(node)
}

fn nodes() -> impl Strategy<Value = Node> {
    let bytes = proptest::collection::vec(any::<u8>(), 0..50);
    let name = "[a-zA-Z0-9._-]{1,12}".prop_filter("no dots", |name| name != "." && name != "..");
    let leaf = prop_oneof![
        (any::<bool>(), bytes).prop_map(|(executable, content)| Node::File(executable, content)),
        "[a-z/.]{1,20}".prop_map(|target| Node::Symlink(target.into())),
    ];
    leaf.prop_recursive(4, 40, 6, move |node| {
        proptest::collection::btree_map(name.clone(), node, 0..6).prop_map(|entries| {
            Node::Directory(entries.into_iter().map(|(name, node)| (name.into_bytes(), node)).collect())
        })
    })
}

proptest! {
    #[test]
    fn round_trip(node in nodes()) {
        prop_assert_eq!(from_nar(&to_nar(&node)).unwrap(), node);
    }

    #[test]
    fn truncated_archives_are_refused(node in nodes(), cut in 1..60_usize) {
        let nar = to_nar(&node);
        prop_assert!(from_nar(&nar[..nar.len().saturating_sub(cut)]).is_err());
    }

    /// Every archive that is accepted is the one that its tree is written to: there are no two spellings.
    #[test]
    fn flipped_bits_are_refused_or_mean_another_tree(node in nodes(), position in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let mut nar = to_nar(&node);
        let position = position.index(nar.len());
        nar[position] ^= 1 << bit;
        if let Ok(other) = from_nar(&nar) {
            prop_assert_eq!(to_nar(&other), nar);
        }
    }
}

fn refused(bytes: &[u8], reason: &str) {
    let error = from_nar(bytes).unwrap_err().to_string();
    assert!(error.contains(reason), "{error}");
}

fn replaced(nar: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let position = nar.windows(from.len()).position(|window| window == from).expect("the text is there");
    let mut nar = nar.to_vec();
    nar[position..position + to.len()].copy_from_slice(to);
    nar
}

#[test]
fn names_cannot_escape() {
    let file = Node::File(false, b"x".to_vec());
    let nar = to_nar(&Node::Directory(vec![(b"aaa".to_vec(), file.clone()), (b"bbb".to_vec(), file)]));
    refused(&replaced(&nar, b"\x03\0\0\0\0\0\0\0aaa", b"\x03\0\0\0\0\0\0\0a/a"), "contains '/'");
    refused(&replaced(&nar, b"\x03\0\0\0\0\0\0\0aaa", b"\x02\0\0\0\0\0\0\0..\0"), "'.' or '..'");
    refused(&replaced(&nar, b"\x03\0\0\0\0\0\0\0aaa", b"\x03\0\0\0\0\0\0\0a\0a"), "zero byte");
    refused(&replaced(&nar, b"\x03\0\0\0\0\0\0\0bbb", b"\x03\0\0\0\0\0\0\0aaa"), "not in order");
    refused(&replaced(&nar, b"\x03\0\0\0\0\0\0\0bbb\0", b"\x03\0\0\0\0\0\0\0bbb\x01"), "padding");
    refused(&replaced(&nar, b"\x03\0\0\0\0\0\0\0aaa", b"\xff\xff\xff\xff\xff\xff\xff\x7faaa"), "too long");
}

#[test]
fn depth_is_bounded() {
    let mut writer = Writer::new(Vec::new()).unwrap();
    for _ in 0..MAX_DEPTH {
        writer.open_directory().unwrap();
        writer.entry(b"d").unwrap();
    }
    assert!(writer.open_directory().unwrap_err().to_string().contains("too deep"));
}

#[test]
fn the_writer_refuses_what_is_no_archive() {
    let mut writer = Writer::new(Vec::new()).unwrap();
    writer.open_directory().unwrap();
    assert!(writer.symlink(b"x").is_err(), "a node without an entry");
    assert!(writer.entry(b"..").is_err());
    writer.entry(b"b").unwrap();
    assert!(writer.symlink(b"").is_err());
    assert!(writer.file(false, 3, &mut &b"12"[..]).is_err(), "too short");
    let mut writer = Writer::new(Vec::new()).unwrap();
    assert!(writer.file(false, 1, &mut &b"12"[..]).is_err(), "too long");
    assert!(Writer::new(Vec::new()).unwrap().finish().is_err());
}

#[test]
fn bytes_after_the_archive_are_left() {
    let mut stream = to_nar(&Node::File(true, b"abc".to_vec()));
    stream.extend_from_slice(b"rest");
    let mut reader = Reader::new(&stream[..]);
    while reader.next().unwrap().is_some() {}
    assert_eq!(reader.into_inner(), b"rest");
}
