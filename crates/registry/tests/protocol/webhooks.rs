use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::serving::Serving;

/// Takes events; refuses the first `failures` deliveries.
struct Receiver {
    events: Arc<Mutex<Vec<(String, Value)>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Receiver {
    fn start(listener: TcpListener, failures: usize) -> Receiver {
        let events: Arc<Mutex<Vec<(String, Value)>>> = Arc::default();
        let record = Arc::clone(&events);
        let task = tokio::spawn(async move {
            let mut left = failures;
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                let (head, body) = loop {
                    let mut buffer = [0; 4096];
                    let count = stream.read(&mut buffer).await.unwrap();
                    request.extend_from_slice(&buffer[..count]);
                    let text = String::from_utf8_lossy(&request).into_owned();
                    let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                    if let Ok(body) = serde_json::from_str::<Value>(body) {
                        break (head.to_lowercase(), body);
                    }
                };
                let answer = if left > 0 { "500 No" } else { "200 OK" };
                if left == 0 {
                    record.lock().unwrap().push((head, body));
                }
                left = left.saturating_sub(1);
                let text = format!("HTTP/1.1 {answer}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
                stream.write_all(text.as_bytes()).await.unwrap();
            }
        });
        Receiver { events, task }
    }

    async fn wait(&self, count: usize) -> Vec<(String, Value)> {
        for _ in 0..500 {
            if self.events.lock().unwrap().len() >= count {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.events.lock().unwrap().clone()
    }
}

fn config(port: u16) -> String {
    format!(
        "[storage]\ndelete = true\n[webhooks.ci]\nurl = \"http://127.0.0.1:{port}/hook\"\nheaders = {{ Authorization = \"Bearer x\" }}\nevents = [\"push\", \"delete\"]\n"
    )
}

#[tokio::test]
async fn events_arrive_in_order_after_a_failure_and_a_restart() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let serving = Serving::with(&config(port)).await;
    let (_, digest) = serving.push_image("team/app", "v1").await;
    serving.send("GET", "/v2/team/app/manifests/v1").await;
    serving.send("DELETE", "/v2/team/app/manifests/v1").await;
    let queue = serving.root.path().join("data/webhooks/ci");
    assert_eq!(std::fs::read_dir(&queue).unwrap().count(), 2, "nobody was there to take them");
    let root = serving.stop().await;
    let receiver = Receiver::start(TcpListener::bind(("127.0.0.1", port)).await.unwrap(), 1);
    let serving = Serving::in_directory(root, &config(port)).await;
    let events = receiver.wait(2).await;
    receiver.task.abort();
    let (head, first) = &events[0];
    assert!(head.contains("authorization: bearer x"));
    assert!(head.contains("application/vnd.docker.distribution.events.v1+json"));
    let event = &first["events"][0];
    assert_eq!((event["action"].as_str(), event["target"]["tag"].as_str()), (Some("push"), Some("v1")));
    assert_eq!(event["target"]["digest"].as_str(), Some(digest.as_str()));
    assert_eq!(event["target"]["repository"].as_str(), Some("team/app"));
    assert_eq!(events[1].1["events"][0]["action"].as_str(), Some("delete"));
    assert_eq!(events.len(), 2, "pulls were not asked for");
    for _ in 0..100 {
        if std::fs::read_dir(&queue).unwrap().count() == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(std::fs::read_dir(serving.root.path().join("data/webhooks/ci")).unwrap().count(), 0);
}
