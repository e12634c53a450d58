//! Pages for people and probes, on loopback: readiness, metrics, and why each proxy serves what it serves.
//! A few GET requests of HTTP/1.1, one per connection, need no framework.

use std::sync::Arc;
use std::time::Duration;

use planes::ProxyNode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::explain;
use crate::hub::{Hub, Status};
use crate::resource::Kind;

const MAX_REQUEST_BYTES: usize = 8 << 10;
const MAX_CONNECTIONS: usize = 64;
const PATIENCE: Duration = Duration::from_secs(5);

struct Page {
    status: &'static str,
    content_type: &'static str,
    body: String,
}

/// Serves until the task is ended.
pub(crate) async fn serve(listener: TcpListener, hub: Arc<Hub>) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let hub = Arc::clone(&hub);
        tokio::spawn(async move {
            let _ = timeout(PATIENCE, answer(stream, &hub)).await;
            drop(permit);
        });
    }
}

async fn answer(mut stream: TcpStream, hub: &Hub) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut buffer = [0; 1024];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") && request.len() < MAX_REQUEST_BYTES {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            break;
        }
        request.extend_from_slice(buffer.get(..read).unwrap_or_default());
    }
    let request = String::from_utf8_lossy(&request);
    let mut words = request.split_whitespace();
    let page = match (words.next(), words.next()) {
        (Some("GET"), Some(target)) => page(target, hub),
        _ => text("405 Method Not Allowed", "only GET is served\n"),
    };
    let Page { status, content_type, body } = page;
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}

fn text(status: &'static str, body: &str) -> Page {
    Page { status, content_type: "text/plain; charset=utf-8", body: body.to_owned() }
}

fn json_page(value: &Value) -> Page {
    Page { status: "200 OK", content_type: "application/json", body: format!("{value:#}\n") }
}

fn page(target: &str, hub: &Hub) -> Page {
    match target.split('?').next().unwrap_or_default() {
        "/ready" => text("200 OK", "ready\n"),
        "/metrics" => Page {
            content_type: "text/plain; version=0.0.4; charset=utf-8",
            ..text("200 OK", &hub.metrics.render(&hub.registry()))
        },
        "/debug/proxies" => json_page(&proxies(hub)),
        "/debug/instances" => json_page(&instances(hub)),
        "/debug/registry" => json_page(&explain::registry(&hub.registry(), &hub.conflicts())),
        _ => {
            text("404 Not Found", "pages: /ready /metrics /debug/proxies /debug/instances /debug/registry\n")
        }
    }
}

/// Every connected proxy, with what `add` tells of it.
fn list(hub: &Hub, add: impl Fn(&mut Value, &ProxyNode, &Status)) -> Value {
    let describe = |(id, node, status): &(u64, Arc<ProxyNode>, Status)| {
        let mut proxy = explain::node(node);
        proxy["connection"] = json!(id);
        add(&mut proxy, node, status);
        proxy
    };
    let proxies: Vec<Value> = hub.proxies().iter().map(describe).collect();
    json!({ "proxies": proxies })
}

fn proxies(hub: &Hub) -> Value {
    list(hub, |proxy, _, status| {
        proxy["settled"] = json!(status.settled);
        proxy["update"] = json!(status.update);
        proxy["resources"] = kinds(status);
    })
}

fn kinds(status: &Status) -> Value {
    let kind = |kind: Kind| {
        let of = status.kinds.get(kind);
        let rejected: serde_json::Map<String, Value> =
            of.rejected.iter().map(|(name, error)| (name.to_string(), json!(error))).collect();
        let value = json!({
            "held": of.held,
            "answers": of.answers,
            "acknowledged": of.acknowledged,
            "refused": of.refused,
            "rejected": rejected,
        });
        (kind.short().to_owned(), value)
    };
    Value::Object(Kind::ALL.into_iter().map(kind).collect())
}

fn instances(hub: &Hub) -> Value {
    let registry = hub.registry();
    list(hub, |proxy, node, _| {
        proxy["services"] = explain::verdicts(&registry, node, hub.settings().which);
    })
}
