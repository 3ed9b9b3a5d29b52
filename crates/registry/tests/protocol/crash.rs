//! `kill -9` in the middle: this test's own program is the registry that is killed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use registry::digest::{Algorithm, Digest};
use registry::{Config, Server};
use tokio::io::AsyncWriteExt;

use crate::serving::{header, http};

const ROOT: &str = "REGISTRY_TEST_ROOT";

/// Not a test: the registry of the test below, in a process of its own.
#[test]
fn serve_until_killed() {
    let Some(root) = std::env::var_os(ROOT) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut config = Config::default();
        config.listen.address = "127.0.0.1:0".parse().unwrap();
        config.storage.root = root.into();
        let server = Server::bind(config).await.unwrap();
        println!("\naddress={}", server.address());
        server.run(std::future::pending()).await;
    });
}

fn start(root: &Path) -> (Child, String) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["crash::serve_until_killed", "--exact", "--nocapture"]).env(ROOT, root);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = lines.map_while(Result::ok).find_map(|line| line.strip_prefix("address=").map(str::to_owned));
    (child, address.expect("the registry says where it listens"))
}

#[tokio::test]
async fn an_upload_goes_on_after_kill_9() {
    let root = tempfile::tempdir().unwrap();
    let client = http();
    let content: Vec<u8> = (0..2_000_000u32).map(|i| (i % 251) as u8).collect();
    let (mut child, address) = start(root.path());
    let started = client.post(format!("http://{address}/v2/a/blobs/uploads/")).send().await.unwrap();
    let place = header(&started, "location");
    let first = client.patch(format!("http://{address}{place}")).body(content[..500_000].to_vec());
    assert_eq!(first.send().await.unwrap().status(), 202);
    let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
    let head = format!("PATCH {place} HTTP/1.1\r\nhost: x\r\ncontent-length: 1500000\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&content[500_000..1_700_000]).await.unwrap();
    for _ in 0..200 {
        let status = client.get(format!("http://{address}{place}")).send().await.unwrap();
        if header(&status, "range") != "0-499999" {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let (mut child, address) = start(root.path());
    let status = client.get(format!("http://{address}{place}")).send().await.unwrap();
    assert_eq!(status.status(), 204);
    let last: usize = header(&status, "range").trim_start_matches("0-").parse().unwrap();
    assert!((500_000..1_700_000).contains(&last), "{last}");
    let rest =
        client.patch(format!("http://{address}{place}")).header("content-range", format!("{}-1999999", last + 1));
    assert_eq!(rest.body(content[last + 1..].to_vec()).send().await.unwrap().status(), 202);
    let digest = Digest::of(Algorithm::Sha256, &content);
    let closed = client.put(format!("http://{address}{place}?digest={digest}")).send().await.unwrap();
    assert_eq!(closed.status(), 201);
    let whole = client.get(format!("http://{address}/v2/a/blobs/{digest}")).send().await.unwrap();
    assert_eq!(whole.bytes().await.unwrap(), content);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test]
async fn a_directory_is_served_by_one_process() {
    let root = tempfile::tempdir().unwrap();
    let (mut child, _) = start(root.path());
    let mut config = Config::default();
    config.listen.address = "127.0.0.1:0".parse().unwrap();
    config.storage.root = root.path().to_owned();
    let error = Server::bind(config).await.err().unwrap().to_string();
    assert!(error.contains("another registry is serving"), "{error}");
    child.kill().unwrap();
    child.wait().unwrap();
}
