//! A proxy on loopback before a real registry, which breaks connections and counts what goes on at the same time.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use distribution::{Client, Error, Reference, Settings};
use image::{Image, Selection};
use store::progress::Silent;

use crate::peer::{self, Peer, settings};

/// What a connection has sent when it counts as an upload.
const UPLOAD: u64 = 100_000;
/// How long each piece takes, so that uploads overlap where they may.
const SLOWNESS: Duration = Duration::from_millis(2);

#[derive(Default)]
struct State {
    /// How many more connections break.
    breaks: AtomicUsize,
    /// After how many bytes.
    after: AtomicU64,
    busy: AtomicUsize,
    most: AtomicUsize,
    sent: AtomicU64,
}

/// The proxy.
pub struct Proxy {
    pub host: String,
    state: Arc<State>,
}

impl Proxy {
    pub fn start(upstream: &str) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let (state, upstream) = (Arc::new(State::default()), upstream.to_owned());
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(&upstream) else { continue };
                let busy = Arc::new(AtomicBool::new(false));
                let (there, back) = ((client.try_clone(), server.try_clone()), (server, client));
                let (Ok(from), Ok(to)) = there else { continue };
                let (state, flag) = (Arc::clone(&shared), Arc::clone(&busy));
                std::thread::spawn(move || state.upload(from, to, &flag));
                let state = Arc::clone(&shared);
                std::thread::spawn(move || state.answer(back.0, back.1, &busy));
            }
        });
        Proxy { host, state }
    }

    /// Breaks the next `count` connections after that many bytes of theirs.
    pub fn breaks(&self, count: usize, after: u64) {
        self.state.after.store(after, Ordering::SeqCst);
        self.state.breaks.store(count, Ordering::SeqCst);
    }

    fn sent(&self) -> u64 {
        self.state.sent.swap(0, Ordering::SeqCst)
    }
}

impl State {
    fn upload(&self, mut from: TcpStream, mut to: TcpStream, busy: &AtomicBool) {
        let (mut piece, mut total) = (vec![0; 64 << 10], 0);
        while let Ok(read @ 1..) = from.read(&mut piece) {
            total += read as u64;
            self.sent.fetch_add(read as u64, Ordering::SeqCst);
            if read > 16 << 10 {
                std::thread::sleep(SLOWNESS);
            }
            if total > UPLOAD && !busy.swap(true, Ordering::SeqCst) {
                self.most.fetch_max(self.busy.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            }
            let one_less = |left: usize| left.checked_sub(1);
            if total > self.after.load(Ordering::SeqCst)
                && self.breaks.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok()
            {
                break;
            }
            if to.write_all(&piece[..read]).is_err() {
                break;
            }
        }
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
        self.idle(busy);
    }

    fn answer(&self, mut from: TcpStream, mut to: TcpStream, busy: &AtomicBool) {
        let mut piece = vec![0; 64 << 10];
        while let Ok(read @ 1..) = from.read(&mut piece) {
            self.idle(busy);
            if to.write_all(&piece[..read]).is_err() {
                break;
            }
        }
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    }

    fn idle(&self, busy: &AtomicBool) {
        if busy.swap(false, Ordering::SeqCst) {
            self.busy.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// What does not compress.
pub fn noise(seed: u64, length: u64) -> String {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        format!("{:016x}", state ^ (state >> 33))
    };
    (0..length / 16).map(|_| next()).collect()
}

fn image(place: &std::path::Path, layers: u64) -> Image {
    let names: Vec<String> = (0..layers).map(|number| format!("file-{number}")).collect();
    let files: Vec<(&str, String)> =
        names.iter().zip(0..).map(|(name, number)| (name.as_str(), noise(number, 2_000_000))).collect();
    peer::image_of(&place.join("image"), &files)
}

#[tokio::test(flavor = "multi_thread")]
async fn layers_go_up_at_the_same_time_and_no_more_than_allowed() {
    let Some(peer) = Peer::start(false) else { return };
    let (proxy, place) = (Proxy::start(&peer.host), tempfile::tempdir().unwrap());
    let image = image(place.path(), 6);
    let client = Client::new(Settings { parallel: 3, ..settings() });
    let options = crate::options(place.path());
    crate::push(&client, &image, &format!("{}/a:1", proxy.host), &options).await.unwrap();
    let most = proxy.state.most.load(Ordering::SeqCst);
    assert!((2..=3).contains(&most), "{most} at the same time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_gets_through_though_connections_break() {
    let Some(peer) = Peer::start(false) else { return };
    let (proxy, place) = (Proxy::start(&peer.host), tempfile::tempdir().unwrap());
    let image = image(place.path(), 3);
    let mut patient = settings();
    patient.retries.attempts = 8;
    let client = Client::new(patient);
    let options = crate::options(place.path());
    proxy.breaks(6, 400_000);
    let to = format!("{}/a:1", proxy.host);
    let pushed = crate::push(&client, &image, &to, &options).await.unwrap();
    assert_eq!(proxy.state.breaks.load(Ordering::SeqCst), 0, "the connections did break");
    // Past the proxy: what is there is whole.
    let out = place.path().join("out");
    let there: Reference = format!("{}/a:1", peer.host).parse().unwrap();
    let pulled = client.pull(&there, &crate::linux(), &out, None, &Silent).await.unwrap();
    assert_eq!(pulled.manifest, pushed.digest);
    Image::open_path(&out, &out, Selection::default()).unwrap().verify().unwrap();
    // And so with a pull through it.
    proxy.sent();
    assert!(crate::push(&client, &image, &to, &options).await.unwrap().up_to_date);
    assert!(proxy.sent() < 2_000, "a repeat sends nothing but questions");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_fails_leaves_no_tag_and_its_layers_are_not_sent_again() {
    let Some(peer) = Peer::start(false) else { return };
    let (proxy, place) = (Proxy::start(&peer.host), tempfile::tempdir().unwrap());
    let image = image(place.path(), 3);
    let mut once = settings();
    once.retries.attempts = 1;
    once.parallel = 1;
    let options = crate::options(place.path());
    let to = format!("{}/a:1", proxy.host);
    // The first two layers fit before it, on the connection that they share.
    proxy.breaks(1, 2_900_000);
    let failed = crate::push(&Client::new(once.clone()), &image, &to, &options).await.unwrap_err();
    assert!(matches!(failed, Error::Unreachable { .. }), "{failed}");
    let there: Reference = format!("{}/a:1", peer.host).parse().unwrap();
    assert!(matches!(Client::new(settings()).resolve(&there).await, Err(Error::NotFound { .. })));
    let pushed = crate::push(&Client::new(once), &image, &to, &options).await.unwrap();
    assert!(pushed.blobs_sent < 4, "{pushed:?}");
}
