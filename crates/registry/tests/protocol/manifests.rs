use registry::digest::{Algorithm, Digest};

use crate::serving::{DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, Serving, code, header, image};

#[tokio::test]
async fn a_manifest_is_kept_byte_for_byte() {
    let serving = Serving::start().await;
    let (manifest, digest) = serving.push_image("team/app", "v1").await;
    for target in ["v1", digest.as_str()] {
        let path = format!("/v2/team/app/manifests/{target}");
        let head = serving.send("HEAD", &path).await;
        assert_eq!(header(&head, "content-length"), manifest.len().to_string());
        assert_eq!(
            (header(&head, "content-type"), header(&head, "docker-content-digest")),
            (OCI_MANIFEST.into(), digest.to_string())
        );
        assert_eq!(header(&head, "docker-distribution-api-version"), "registry/2.0");
        assert_eq!(serving.send("GET", &path).await.text().await.unwrap(), manifest);
    }
    let only_index =
        serving.request("GET", "/v2/team/app/manifests/v1").header("accept", OCI_INDEX).send().await.unwrap();
    assert_eq!(only_index.status(), 404);
    let lines =
        serving.request("GET", "/v2/team/app/manifests/v1").header("accept", OCI_INDEX).header("accept", OCI_MANIFEST);
    assert_eq!(lines.send().await.unwrap().status(), 200);
    let config = serving.push_blob("docker", b"{}").await;
    let docker = format!(
        "{{\n  \"schemaVersion\": 2, \"mediaType\": \"{DOCKER_MANIFEST}\",\n \"config\": {{\"mediaType\":\"application/vnd.docker.container.image.v1+json\",\"size\":2,\"digest\":\"{config}\"}}, \"layers\": [] }}\n"
    );
    assert_eq!(serving.put_manifest("docker", "latest", DOCKER_MANIFEST, &docker).await.status(), 201);
    assert_eq!(serving.send("GET", "/v2/docker/manifests/latest").await.text().await.unwrap(), docker);
}

#[tokio::test]
async fn what_a_manifest_refers_to_must_be_there() {
    let serving = Serving::start().await;
    let absent = Digest::of(Algorithm::Sha256, b"absent");
    let response = serving.put_manifest("a", "x", OCI_MANIFEST, &image(&absent, 6, "")).await;
    assert_eq!((response.status().as_u16(), code(response).await), (400, "MANIFEST_BLOB_UNKNOWN".into()));
    let config = serving.push_blob("other", b"{}").await;
    assert_eq!(serving.put_manifest("a", "x", OCI_MANIFEST, &image(&config, 2, "")).await.status(), 400, "elsewhere");
    let config = serving.push_blob("a", b"{}").await;
    let wrong_size = serving.put_manifest("a", "x", OCI_MANIFEST, &image(&config, 3, "")).await;
    assert_eq!((wrong_size.status().as_u16(), code(wrong_size).await), (400, "MANIFEST_INVALID".into()));
    let wrong_digest = serving.put_manifest("a", absent.as_str(), OCI_MANIFEST, &image(&config, 2, "")).await;
    assert_eq!((wrong_digest.status().as_u16(), code(wrong_digest).await), (400, "DIGEST_INVALID".into()));
    let large = format!("{{\"schemaVersion\":2,\"x\":\"{}\"}}", "y".repeat(5 << 20));
    assert_eq!(serving.put_manifest("a", "x", OCI_MANIFEST, &large).await.status(), 413);
    assert_eq!(
        serving
            .put_manifest("a", "x", "application/vnd.docker.distribution.manifest.v1+json", r#"{"schemaVersion":1}"#)
            .await
            .status(),
        400
    );
    assert_eq!(serving.send("GET", "/v2/a/manifests/x").await.status(), 404);
    let sparse = Serving::with("[storage]\nsparse = true\n").await;
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[{{"mediaType":"{OCI_MANIFEST}","digest":"{absent}","size":6}}]}}"#
    );
    assert_eq!(serving.put_manifest("a", "x", OCI_INDEX, &index).await.status(), 400);
    assert_eq!(sparse.put_manifest("a", "x", OCI_INDEX, &index).await.status(), 201);
}

#[tokio::test]
async fn tags_by_parameter() {
    let serving = Serving::start().await;
    let config = serving.push_blob("a", b"{}").await;
    let manifest = image(&config, 2, "");
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let digest = Digest::of(algorithm, manifest.as_bytes());
        let response = serving.put_manifest("a", &format!("{digest}?tag=1&tag=1.2"), OCI_MANIFEST, &manifest).await;
        assert_eq!((response.status().as_u16(), header(&response, "oci-tag")), (201, "1, 1.2".into()));
        for tag in ["1", "1.2"] {
            let found = serving.send("HEAD", &format!("/v2/a/manifests/{tag}")).await;
            assert_eq!(header(&found, "docker-content-digest"), digest.to_string());
        }
    }
    assert_eq!(serving.put_manifest("a", "x?tag=../x", OCI_MANIFEST, &manifest).await.status(), 400);
}

#[tokio::test]
async fn deleting_tags_and_manifests() {
    let serving = Serving::start().await;
    let (manifest, digest) = serving.push_image("a", "one").await;
    for tag in ["two", "three"] {
        serving.put_manifest("a", tag, OCI_MANIFEST, &manifest).await;
    }
    serving.push_image("a", "other").await;
    assert_eq!(serving.send("DELETE", "/v2/a/manifests/two").await.status(), 202);
    assert_eq!(serving.send("DELETE", "/v2/a/manifests/two").await.status(), 404);
    assert_eq!(serving.send("GET", "/v2/a/manifests/three").await.status(), 200);
    assert_eq!(serving.send("DELETE", &format!("/v2/a/manifests/{digest}")).await.status(), 202);
    assert_eq!(serving.send("GET", "/v2/a/manifests/three").await.status(), 404);
    let tags: serde_json::Value = serving.send("GET", "/v2/a/tags/list").await.json().await.unwrap();
    assert_eq!(tags["tags"], serde_json::json!(["other"]));
    let fixed = Serving::with("").await;
    fixed.push_image("a", "one").await;
    assert_eq!(fixed.send("DELETE", "/v2/a/manifests/one").await.status(), 405);
    let root = fixed.stop().await;
    let read_only = Serving::in_directory(root, "[storage]\nread_only = true\n").await;
    assert_eq!(read_only.send("GET", "/v2/a/manifests/one").await.status(), 200);
    assert_eq!(read_only.send("POST", "/v2/a/blobs/uploads/").await.status(), 405);
}

#[tokio::test]
async fn parallel_pushes_of_one_tag_all_succeed() {
    let serving = Serving::start().await;
    let config = serving.push_blob("a", b"{}").await;
    let manifests: Vec<String> =
        (0..16).map(|i| image(&config, 2, &format!(r#","annotations":{{"i":"{i}"}}"#))).collect();
    let mut statuses = Vec::new();
    let mut waiting = tokio::task::JoinSet::new();
    for manifest in &manifests {
        let request = serving.request("PUT", "/v2/a/manifests/latest").header("content-type", OCI_MANIFEST);
        let request = request.body(manifest.clone());
        waiting.spawn(async move { request.send().await.unwrap().status().as_u16() });
    }
    while let Some(status) = waiting.join_next().await {
        statuses.push(status.unwrap());
    }
    assert_eq!(statuses, [201; 16]);
    let latest = serving.send("GET", "/v2/a/manifests/latest").await.text().await.unwrap();
    assert!(manifests.contains(&latest));
}
