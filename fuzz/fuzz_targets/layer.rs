//! Any bytes as a layer's tar stream: whatever compression it gets, it is the same afterwards.
#![no_main]

use std::io::{Read, Write};

use image::{Compression, Encoder};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for compression in [Compression::Gzip, Compression::Zstd, Compression::ZstdChunked] {
        let mut encoder =
            Encoder::with_threads(Vec::new(), compression, std::num::NonZero::<usize>::MIN).expect("a compressor");
        // In pieces, as it comes from files.
        bytes.chunks(1000).for_each(|piece| encoder.write_all(piece).expect("memory"));
        let (compressed, _annotations) = encoder.finish_annotated().expect("memory");
        let mut back = Vec::new();
        compression
            .decoder(&compressed[..])
            .expect("a decompressor")
            .read_to_end(&mut back)
            .expect("what was compressed");
        assert!(back == bytes, "{compression:?}");
    }
});
