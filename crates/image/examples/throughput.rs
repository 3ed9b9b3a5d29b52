//! Times packing of directories: hashing, gzip, zstd and an archive.

use std::io;
use std::time::Instant;

use image::{Compression, Encoder, Hashing, Head, Layer, LayerCache, Objects, Owner, Pack, Style};
use nix_formats::store_path::StorePath;

fn main() {
    let directory = std::env::args().nth(1).expect("a directory of store objects");
    let objects = Objects::new(&directory);
    let mut paths: Vec<_> = std::fs::read_dir(&directory)
        .unwrap()
        .map(|e| StorePath::from_base_name(e.unwrap().file_name().to_str().unwrap()).unwrap())
        .collect();
    paths.sort();
    let pack = Pack {
        head: Head::None,
        head_owner: Owner::ROOT,
        objects: paths,
        owner: Owner::ROOT,
        mtime: 1,
        style: Style::Stream,
    };
    let time = |name: &str, run: &mut dyn FnMut() -> u64| {
        let start = Instant::now();
        let bytes = run();
        let seconds = start.elapsed().as_secs_f64();
        println!("{name}: {bytes} bytes in {seconds:.2} s, {:.0} MB/s", bytes as f64 / seconds / 1e6);
    };
    let mut size = 0;
    time("tar only", &mut || {
        let mut c = Count(0);
        pack.write(&objects, &mut c).unwrap();
        size = c.0;
        size
    });
    time("tar + sha256", &mut || {
        let mut out = Hashing::new(io::sink());
        pack.write(&objects, &mut out).unwrap();
        out.finish().1
    });
    let cache = tempfile::tempdir().unwrap();
    let cache = LayerCache::new(cache.path());
    let layer = Layer::from_pack(pack.clone(), &objects, &[], &cache).unwrap();
    for compression in [Compression::Gzip, Compression::Zstd] {
        let mut compressed = 0;
        time(&format!("layer {compression:?}"), &mut || {
            compressed = layer.write_blob(compression, &cache, io::sink()).unwrap().size;
            size
        });
        println!("   {compressed} bytes");
    }
    time("compress only gzip", &mut || {
        let mut e = Encoder::new(io::sink(), Compression::Gzip).unwrap();
        pack.write(&objects, &mut e).unwrap();
        e.finish().unwrap();
        size
    });
}

struct Count(u64);
impl io::Write for Count {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0 += data.len() as u64;
        Ok(data.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
