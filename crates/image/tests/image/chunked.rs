//! zstd:chunked blobs: what the table of contents says is where it says, and the tar stream can be made again.

use std::collections::BTreeMap;
use std::io::Write;
use std::num::NonZero;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::{Compression, Digest, Encoder};
use serde_json::Value;

const PREFIX: &str = "io.github.containers.zstd-chunked.";

/// A blob with the annotations of its descriptor.
struct Blob {
    bytes: Vec<u8>,
    annotations: BTreeMap<String, String>,
}

fn encode(tar: &[u8], threads: usize) -> Blob {
    let threads = NonZero::new(threads).unwrap();
    let mut encoder = Encoder::with_threads(Vec::new(), Compression::ZstdChunked, threads).unwrap();
    tar.chunks(70_001).for_each(|piece| encoder.write_all(piece).unwrap());
    let (bytes, annotations) = encoder.finish_annotated().unwrap();
    Blob { bytes, annotations }
}

impl Blob {
    /// The numbers of an annotation.
    fn numbers(&self, name: &str) -> Vec<usize> {
        self.annotations[&format!("{PREFIX}{name}")].split(':').map(|number| number.parse().unwrap()).collect()
    }

    /// The content of a frame that decoders skip, decompressed, and its bytes.
    fn hidden(&self, numbers: &[usize]) -> (Vec<u8>, &[u8]) {
        let (at, length) = (numbers[0], numbers[1]);
        assert_eq!(self.bytes[at - 8..at - 4], [0x50, 0x2a, 0x4d, 0x18]);
        let compressed = &self.bytes[at..at + length];
        let content = zstd::decode_all(compressed).unwrap();
        assert_eq!(content.len(), numbers[2]);
        (content, compressed)
    }

    fn table(&self) -> Value {
        let (table, compressed) = self.hidden(&self.numbers("manifest-position"));
        assert_eq!(Digest::of(compressed).to_string(), self.annotations[&format!("{PREFIX}manifest-checksum")]);
        serde_json::from_slice(&table).unwrap()
    }
}

/// Files of every kind and size, as GNU tar or with PAX headers.
fn sample() -> Vec<u8> {
    let mut tar = ::tar::Builder::new(Vec::new());
    let mut add = |name: &str, kind: ::tar::EntryType, content: &[u8]| {
        let mut header = ::tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_uid(7);
        header.set_gid(8);
        header.set_mtime(1);
        let is_link = matches!(kind, ::tar::EntryType::Symlink | ::tar::EntryType::Link);
        header.set_size(if is_link { 0 } else { content.len() as u64 });
        match is_link {
            true => tar.append_link(&mut header, name, str::from_utf8(content).unwrap()).unwrap(),
            false => tar.append_data(&mut header, name, content).unwrap(),
        }
    };
    let large: Vec<u8> = (0..2_500_000_u32).flat_map(|number| (number / 3).to_le_bytes()).collect();
    add("dir/", ::tar::EntryType::Directory, b"");
    add("dir/small", ::tar::EntryType::Regular, b"small");
    add("dir/empty", ::tar::EntryType::Regular, b"");
    add("dir/link", ::tar::EntryType::Symlink, b"small");
    add("dir/hard", ::tar::EntryType::Link, b"dir/small");
    add("dir/large", ::tar::EntryType::Regular, &large);
    add(&format!("dir/{}", "n".repeat(150)), ::tar::EntryType::Regular, &[7; 512]);
    for number in 0..3000 {
        add(&format!("dir/{number}"), ::tar::EntryType::Regular, format!("{number}").repeat(number % 700).as_bytes());
    }
    tar.into_inner().unwrap()
}

/// The files of a tar stream.
fn files(tar: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut archive = ::tar::Archive::new(tar);
    let entries = archive.entries().unwrap().map(Result::unwrap).filter(|entry| entry.header().entry_type().is_file());
    entries
        .map(|mut entry| {
            let mut content = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
            (String::from_utf8(entry.path_bytes().into_owned()).unwrap(), content)
        })
        .collect()
}

#[test]
fn it_is_plain_zstd_and_the_same_with_any_number_of_threads() {
    let tar = sample();
    let (one, three) = (encode(&tar, 1), encode(&tar, 3));
    assert_eq!(one.annotations, three.annotations);
    assert!(one.bytes == three.bytes);
    assert!(zstd::decode_all(&one.bytes[..]).unwrap() == tar);
    let mut through_ours = Vec::new();
    let mut decoder = Compression::Zstd.decoder(&one.bytes[..]).unwrap();
    std::io::Read::read_to_end(&mut decoder, &mut through_ours).unwrap();
    assert!(through_ours == tar);
}

#[test]
fn the_table_leads_to_each_file_and_chunk() {
    let tar = sample();
    let blob = encode(&tar, 2);
    let files = files(&tar);
    let table = blob.table();
    let entries = table["entries"].as_array().unwrap();
    let number = |entry: &Value, name: &str| entry[name].as_u64().unwrap_or(0) as usize;
    let mut found = BTreeMap::new();
    for (index, entry) in entries.iter().enumerate() {
        let name = entry["name"].as_str().unwrap();
        if entry["type"] == "reg" {
            let (start, end) = (number(entry, "offset"), number(entry, "endOffset"));
            let content = if start == 0 { Vec::new() } else { zstd::decode_all(&blob.bytes[start..end]).unwrap() };
            assert!(content == files[name], "{name}");
            assert_eq!(number(entry, "size"), content.len());
            if start > 0 {
                assert_eq!(entry["digest"], Digest::of(&content).to_string());
            }
            found.insert(name, content);
        }
        if matches!(entry["type"].as_str(), Some("reg" | "chunk")) && number(entry, "offset") > 0 {
            let (offset, size) = (number(entry, "chunkOffset"), number(entry, "chunkSize"));
            let chunk = &files[name][offset..offset + size];
            assert_eq!(entry["chunkDigest"], Digest::of(chunk).to_string(), "{index}: {name}");
        }
    }
    assert_eq!(found.len(), files.len());
    let chunks = entries.iter().filter(|entry| entry["type"] == "chunk").count();
    assert_eq!(chunks, 10_000_000 / (1 << 20));
    let link = entries.iter().find(|entry| entry["name"] == "dir/link").unwrap();
    assert_eq!(
        *link,
        serde_json::json!({ "type": "symlink", "name": "dir/link", "linkName": "small", "mode": 0o644, "uid": 7, "gid": 8,
                            "modtime": "1970-01-01T00:00:01Z" })
    );
}

#[test]
fn the_record_and_the_files_give_the_tar_stream_again() {
    let tar = sample();
    let blob = encode(&tar, 2);
    let files = files(&tar);
    let (record, compressed) = blob.hidden(&blob.numbers("tarsplit-position"));
    assert_eq!(blob.table()["tarSplitDigest"], Digest::of(compressed).to_string());
    let mut again = Vec::new();
    for (position, line) in record.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).enumerate() {
        let part: Value = serde_json::from_slice(line).unwrap();
        assert_eq!(part["position"], position);
        if part["type"] == 2 {
            again.extend(STANDARD.decode(part["payload"].as_str().unwrap()).unwrap());
        } else if part["size"].as_u64().unwrap_or(0) > 0 {
            assert_eq!(STANDARD.decode(part["payload"].as_str().unwrap()).unwrap().len(), 8);
            again.extend(&files[part["name"].as_str().unwrap()]);
        }
    }
    assert!(again == tar);
}

#[test]
fn both_footers_lead_to_the_table() {
    let blob = encode(&sample(), 2);
    let numbers = |bytes: &[u8]| -> Vec<usize> {
        bytes.chunks(8).map(|number| u64::from_le_bytes(number.try_into().unwrap()) as usize).collect()
    };
    let end = blob.bytes.len();
    let table = blob.numbers("manifest-position");
    assert_eq!(&blob.bytes[end - 8..], b"GNUlInUx");
    assert_eq!(numbers(&blob.bytes[end - 40..end - 8]), table);
    let newer = end - 48;
    assert_eq!(&blob.bytes[newer - 8..newer], b"GNUlInUx");
    assert_eq!(numbers(&blob.bytes[newer - 64..newer - 32]), table);
    assert_eq!(numbers(&blob.bytes[newer - 32..newer - 8]), blob.numbers("tarsplit-position"));
}

#[test]
fn what_a_table_cannot_describe_is_plain_zstd() {
    let mut twice = sample();
    // The first member once more, in front.
    let first = twice[..512].to_vec();
    twice.splice(0..0, first);
    let damaged = [&sample()[..100_000], &[b'x'; 2_000_000]].concat();
    for data in [twice, damaged, Vec::new(), b"no tar at all".to_vec(), vec![1; 5_000_000]] {
        let blob = encode(&data, 2);
        assert!(zstd::decode_all(&blob.bytes[..]).unwrap() == data);
        assert!(blob.annotations.is_empty() || data.is_empty());
        assert!(encode(&data, 1).bytes == blob.bytes);
    }
}

#[test]
fn mangled_streams_come_through() {
    let whole = sample();
    let small = &whole[whole.len() - 700_000..];
    let mut state = 7u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for _ in 0..60 {
        let start = random(600_000) / 512 * 512;
        let mut data = small[start..start + 100_000.min(small.len() - start)].to_vec();
        for _ in 0..=random(6) {
            // Headers are where it matters.
            let place = random(data.len() / 512) * 512 + random(300);
            if place < data.len() {
                data[place] = random(256) as u8;
            }
        }
        let blob = encode(&data, 1);
        assert!(zstd::decode_all(&blob.bytes[..]).unwrap() == data);
        if !blob.annotations.is_empty() {
            blob.table();
        }
    }
}
