//! Debian's `docker-registry` with token authentication, and a token server that signs as its documentation says.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use distribution::{Client, Credential, Error, Settings};

use crate::peer::{self, Peer, settings};

/// `me:secret` may push to `team/…` and pull; everybody may pull from `public/…`.
struct TokenServer {
    host: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl TokenServer {
    fn start(place: PathBuf) -> TokenServer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let noted = Arc::clone(&asked);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let Some((line, authorization)) = read(&stream) else { continue };
                noted.lock().unwrap().push(line.clone());
                let (status, body) = match authorization.as_deref() {
                    None => ("200 OK", answer(&place, &line, false)),
                    Some("basic bwu6c2vjcmv0") => ("200 OK", answer(&place, &line, true)),
                    Some(_) => ("401 Unauthorized", r#"{"details":"incorrect username or password"}"#.to_owned()),
                };
                let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
                let _ = stream.write_all((head + &body).as_bytes());
            }
        });
        TokenServer { host, asked }
    }
}

/// The request's line, and the authorization in lower case.
fn read(stream: &TcpStream) -> Option<(String, Option<String>)> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let line = lines.next()?;
    let headers = lines.take_while(|line| !line.is_empty());
    let authorization =
        headers.filter_map(|line| line.to_lowercase().strip_prefix("authorization: ").map(str::to_owned));
    Some((line, authorization.last()))
}

fn answer(place: &Path, line: &str, known: bool) -> String {
    let scopes: Vec<String> = line
        .split(['?', '&', ' '])
        .filter_map(|part| part.strip_prefix("scope="))
        .map(|scope| scope.replace("%3A", ":").replace("%2F", "/").replace("%2C", ","))
        .collect();
    let access: Vec<String> = scopes.iter().filter_map(|scope| granted(scope, known)).collect();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = format!(
        r#"{{"iss":"tests","sub":"me","aud":"registry","exp":{},"nbf":{},"iat":{now},"jti":"1","access":[{}]}}"#,
        now + 300,
        now - 10,
        access.join(",")
    );
    format!(r#"{{"token":"{}","expires_in":300}}"#, signed(place, &claims))
}

fn granted(scope: &str, known: bool) -> Option<String> {
    let (kind, rest) = scope.split_once(':')?;
    let (name, actions) = rest.rsplit_once(':')?;
    let allowed: Vec<&str> = match (known, name) {
        (true, _) if name.starts_with("team/") => actions.split(',').collect(),
        (true, _) => vec!["pull"],
        (false, _) if name.starts_with("public/") => vec!["pull"],
        (false, _) => return None,
    };
    Some(format!(r#"{{"type":"{kind}","name":"{name}","actions":{allowed:?}}}"#))
}

/// A JWT with the certificate in its head.
fn signed(place: &Path, claims: &str) -> String {
    let pem = std::fs::read_to_string(place.join("cert.pem")).unwrap();
    let certificate: String = pem.lines().filter(|line| !line.starts_with("---")).collect();
    let head = format!(r#"{{"typ":"JWT","alg":"RS256","x5c":["{certificate}"]}}"#);
    let encoded = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
    let payload = format!("{}.{}", encoded(&head), encoded(claims));
    let file = tempfile::NamedTempFile::new_in(place).unwrap();
    std::fs::write(file.path(), &payload).unwrap();
    let key = place.join("key.pem");
    let sign = Command::new("openssl").args(["dgst", "-sha256", "-sign"]).arg(key).arg(file.path()).output().unwrap();
    assert!(sign.status.success(), "{}", String::from_utf8_lossy(&sign.stderr));
    format!("{payload}.{}", BASE64_URL_SAFE_NO_PAD.encode(&sign.stdout))
}

fn certificate(place: &Path) -> bool {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=tests"])
        .arg("-keyout")
        .arg(place.join("key.pem"))
        .arg("-out")
        .arg(place.join("cert.pem"))
        .output()
        .unwrap();
    made.status.success()
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_a_real_registry_are_asked_for_by_what_is_done() {
    let place = tempfile::tempdir().unwrap();
    if !peer::is_installed("openssl") || !certificate(place.path()) {
        return;
    }
    let server = TokenServer::start(place.path().to_owned());
    let auth = format!(
        "auth:\n  token:\n    realm: http://{}/token\n    service: registry\n    issuer: tests\n    rootcertbundle: {}\n",
        server.host,
        place.path().join("cert.pem").display()
    );
    let Some(peer) = Peer::with_auth(&auth) else { return };
    let image = peer::image(&place.path().join("one"), "one");
    let options = crate::options(place.path());
    let to = format!("{}/team/app:1", peer.host);

    let nobody = crate::push(&Client::new(settings()), &image, &to, &options).await.unwrap_err();
    assert!(matches!(nobody, Error::Unauthorized { .. }), "{nobody}");
    let account = |password: &str| {
        let credential = Credential::Password { user: "me".into(), password: password.into() };
        Settings { credentials: BTreeMap::from([(peer.host.clone(), credential)]), ..settings() }
    };
    let wrong = crate::push(&Client::new(account("wrong")), &image, &to, &options).await.unwrap_err().to_string();
    assert!(wrong.contains("incorrect username or password") && !wrong.contains("wrong "), "{wrong}");
    let client = Client::new(account("secret"));
    let pushed = crate::push(&client, &image, &to, &options).await.unwrap();
    assert_eq!(pushed.blobs_sent, 3);
    assert_eq!(client.tags(&to.parse().unwrap()).await.unwrap(), ["1"]);
    // A mount is asked for with the right to read the other repository.
    let beside = format!("{}/team/beside:1", peer.host);
    let mounted = crate::copy(&client, &to, &beside, &crate::copy_options(place.path())).await.unwrap();
    assert_eq!((mounted.blobs_mounted, mounted.digest), (3, pushed.digest));
    let other = format!("{}/other/app:1", peer.host);
    let denied = crate::push(&client, &image, &other, &options).await.unwrap_err().to_string();
    assert!(denied.contains("as me"), "{denied}");
    let asked = server.asked.lock().unwrap().join("\n");
    assert!(asked.contains("scope=repository%3Ateam%2Fapp%3Apull%2Cpush") && asked.contains("account=me"), "{asked}");
}
