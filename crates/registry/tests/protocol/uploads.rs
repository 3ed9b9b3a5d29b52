use registry::digest::{Algorithm, Digest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::serving::{Serving, code, header};

fn digest(bytes: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, bytes)
}

#[tokio::test]
async fn every_way_of_pushing_a_blob() {
    let serving = Serving::start().await;
    let large: Vec<u8> = (0..3_000_000u32).map(|i| (i / 7) as u8).collect();
    for bytes in [b"".as_slice(), b"small", &large] {
        let wanted = digest(bytes);
        let one = serving.send_body("POST", &format!("/v2/one/blobs/uploads/?digest={wanted}"), bytes).await;
        assert_eq!((one.status().as_u16(), header(&one, "docker-content-digest")), (201, wanted.to_string()));
        let place = serving.start_upload("two").await;
        let two = serving.send_body("PUT", &format!("{place}?digest={wanted}"), bytes).await;
        assert_eq!((two.status().as_u16(), header(&two, "location")), (201, format!("/v2/two/blobs/{wanted}")));
        let mut place = serving.start_upload("chunks").await;
        let mut offset = 0;
        for chunk in bytes.chunks(1_000_000) {
            let range = format!("{offset}-{}", offset + chunk.len() - 1);
            let request = serving.request("PATCH", &place).header("content-range", range);
            let response = request.body(chunk.to_vec()).send().await.unwrap();
            offset += chunk.len();
            assert_eq!((response.status().as_u16(), header(&response, "range")), (202, format!("0-{}", offset - 1)));
            place = header(&response, "location");
            let status = serving.send("GET", &place).await;
            assert_eq!((status.status().as_u16(), header(&status, "range")), (204, format!("0-{}", offset - 1)));
        }
        assert_eq!(serving.send("PUT", &format!("{place}?digest={wanted}")).await.status(), 201);
        for repository in ["one", "two", "chunks"] {
            let path = format!("/v2/{repository}/blobs/{wanted}");
            assert_eq!(header(&serving.send("HEAD", &path).await, "content-length"), bytes.len().to_string());
            assert_eq!(serving.send("GET", &path).await.bytes().await.unwrap(), bytes);
        }
        assert_eq!(serving.send("GET", &place).await.status(), 404);
    }
    let part =
        serving.request("GET", &format!("/v2/one/blobs/{}", digest(&large))).header("range", "bytes=1000000-2999998");
    let part = part.send().await.unwrap();
    assert_eq!((part.status().as_u16(), header(&part, "content-range")), (206, "bytes 1000000-2999998/3000000".into()));
    assert_eq!(part.bytes().await.unwrap(), &large[1_000_000..2_999_999]);
}

#[tokio::test]
async fn a_wrong_digest_is_refused_however_it_comes() {
    let serving = Serving::start().await;
    let wrong = digest(b"something else");
    let large = vec![7u8; 2_000_000];
    for bytes in [b"small".as_slice(), &large] {
        let one = serving.send_body("POST", &format!("/v2/a/blobs/uploads/?digest={wrong}"), bytes).await;
        assert_eq!((one.status().as_u16(), code(one).await), (400, "DIGEST_INVALID".into()));
        let place = serving.start_upload("a").await;
        let two = serving.send_body("PUT", &format!("{place}?digest={wrong}"), bytes).await;
        assert_eq!((two.status().as_u16(), code(two).await), (400, "DIGEST_INVALID".into()));
        let place = serving.start_upload("a").await;
        serving.send_body("PATCH", &place, bytes).await;
        assert_eq!(serving.send("PUT", &format!("{place}?digest={wrong}")).await.status(), 400);
        assert_eq!(serving.send("GET", &place).await.status(), 404, "what is wrong is not kept");
    }
    assert_eq!(serving.send("GET", &format!("/v2/a/blobs/{wrong}")).await.status(), 404);
    let uppercase = format!("sha256:{}", wrong.hex().to_uppercase());
    for text in ["sha256:", "md5:d41d8cd98f00b204e9800998ecf8427e", "sha256:..%2f..", &uppercase, "x"] {
        let place = serving.start_upload("a").await;
        let response = serving.send_body("PUT", &format!("{place}?digest={text}"), b"x").await;
        assert_eq!((response.status().as_u16(), code(response).await), (400, "DIGEST_INVALID".into()), "{text}");
    }
    let place = serving.start_upload("a").await;
    assert_eq!(serving.send_body("PUT", &place, b"x").await.status(), 400, "no digest at all");
    let blobs = serving.root.path().join("data/blobs");
    assert!(std::fs::read_dir(blobs).unwrap().next().is_none());
}

#[tokio::test]
async fn chunks_must_follow_each_other() {
    let serving = Serving::start().await;
    let place = serving.start_upload("a").await;
    let send = |range: &'static str, bytes: &'static [u8]| {
        let request = serving.request("PATCH", &place).header("content-range", range);
        async move { request.body(bytes).send().await.unwrap() }
    };
    assert_eq!(send("0-3", b"abcd").await.status(), 202);
    let gap = send("5-8", b"fghi").await;
    assert_eq!((gap.status().as_u16(), header(&gap, "range")), (416, "0-3".into()));
    assert_eq!(send("0-3", b"abcd").await.status(), 416);
    assert_eq!(send("4-9", b"ef").await.status(), 400, "fewer bytes than announced");
    assert_eq!(send("x", b"ef").await.status(), 400);
    let (a, b, c, d) = tokio::join!(send("4-5", b"ef"), send("4-5", b"ef"), send("4-5", b"ef"), send("4-5", b"ef"));
    let mut statuses = [a, b, c, d].map(|response| response.status().as_u16());
    statuses.sort_unstable();
    assert_eq!(statuses, [202, 416, 416, 416]);
    let last =
        serving.request("PUT", &format!("{place}?digest={}", digest(b"abcdefgh"))).header("content-range", "6-7");
    assert_eq!(last.body("gh").send().await.unwrap().status(), 201);
}

#[tokio::test]
async fn what_came_before_the_client_went_away_is_kept() {
    let serving = Serving::start().await;
    let place = serving.start_upload("a").await;
    let mut stream = tokio::net::TcpStream::connect(&serving.host).await.unwrap();
    let head = format!("PATCH {place} HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b'x'; 400_000]).await.unwrap();
    drop(stream);
    let mut range = String::new();
    for _ in 0..100 {
        range = header(&serving.send("GET", &place).await, "range");
        if range == "0-399999" {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(range, "0-399999");
    let rest = vec![b'x'; 600_000];
    let mut sent = serving.request("PATCH", &place).header("content-range", "400000-999999").body(rest.clone());
    let mut response = sent.send().await.unwrap();
    for _ in 0..50 {
        // The broken request may still hold the upload.
        if response.status() == 202 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        sent = serving.request("PATCH", &place).header("content-range", "400000-999999").body(rest.clone());
        response = sent.send().await.unwrap();
    }
    let whole = digest(&vec![b'x'; 1_000_000]);
    assert_eq!(serving.send("PUT", &format!("{place}?digest={whole}")).await.status(), 201);
}

#[tokio::test]
async fn uploads_are_cancelled_and_belong_to_their_repository() {
    let serving = Serving::start().await;
    let place = serving.start_upload("a").await;
    let id = place.rsplit('/').next().unwrap();
    assert_eq!(serving.send("GET", &format!("/v2/b/blobs/uploads/{id}")).await.status(), 404);
    assert_eq!(serving.send("DELETE", &place).await.status(), 204);
    let gone = serving.send_body("PATCH", &place, b"x").await;
    assert_eq!((gone.status().as_u16(), code(gone).await), (404, "BLOB_UPLOAD_UNKNOWN".into()));
    assert_eq!(serving.send("DELETE", &place).await.status(), 404);
}

#[tokio::test]
async fn blobs_are_mounted_and_deleted_by_repository() {
    let serving = Serving::start().await;
    let blob = serving.push_blob("a", b"shared").await;
    assert_eq!(serving.send("GET", &format!("/v2/b/blobs/{blob}")).await.status(), 404, "not through another one");
    let none = serving.send("POST", &format!("/v2/b/blobs/uploads/?mount={blob}&from=nothing")).await;
    assert_eq!(none.status(), 202);
    let escaped = blob.to_string().replace(':', "%3A");
    let mounted = serving.send("POST", &format!("/v2/b/blobs/uploads/?from=a&mount={escaped}&origin=x")).await;
    assert_eq!((mounted.status().as_u16(), header(&mounted, "location")), (201, format!("/v2/b/blobs/{blob}")));
    assert_eq!(serving.send("DELETE", &format!("/v2/a/blobs/{blob}")).await.status(), 202);
    assert_eq!(serving.send("DELETE", &format!("/v2/a/blobs/{blob}")).await.status(), 404);
    assert_eq!(serving.send("GET", &format!("/v2/b/blobs/{blob}")).await.text().await.unwrap(), "shared");
}

#[tokio::test]
async fn sha512_is_a_digest_too() {
    let serving = Serving::start().await;
    let wanted = Digest::of(Algorithm::Sha512, b"long");
    let response = serving.send("POST", "/v2/a/blobs/uploads/?digest-algorithm=sha512").await;
    let place = header(&response, "location");
    assert_eq!(serving.send_body("PATCH", &place, b"long").await.status(), 202);
    assert_eq!(serving.send("PUT", &format!("{place}?digest={wanted}")).await.status(), 201);
    assert_eq!(serving.send("GET", &format!("/v2/a/blobs/{wanted}")).await.text().await.unwrap(), "long");
    let place = serving.start_upload("b").await;
    serving.send_body("PATCH", &place, b"long").await;
    assert_eq!(serving.send("PUT", &format!("{place}?digest={wanted}")).await.status(), 201, "hashed again");
    assert_eq!(serving.send("POST", "/v2/a/blobs/uploads/?digest-algorithm=md5").await.status(), 400);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let serving = Serving::with("").await;
    let blob = serving.push_blob("a", b"x").await;
    let refused = serving.send("DELETE", &format!("/v2/a/blobs/{blob}")).await;
    assert_eq!((refused.status().as_u16(), code(refused).await), (405, "UNSUPPORTED".into()));
    for path in ["/v2/A/tags/list", "/v2/../../etc/passwd", "/v2/a/%2e%2e/manifests/x", "/v2/a/manifests/%00", "/x"] {
        let status = serving.send("GET", path).await.status().as_u16();
        assert!([400, 404].contains(&status), "{path}: {status}");
    }
    for headers in [format!("x: {}\r\n", "a".repeat(700_000)), "content-length: 1\r\ntransfer-encoding: x\r\n".into()] {
        let mut stream = tokio::net::TcpStream::connect(&serving.host).await.unwrap();
        let request = format!("GET /v2/ HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{}: {answer}", &headers[..20]);
    }
    assert_eq!(serving.send("GET", "/v2/").await.status(), 200);
}
