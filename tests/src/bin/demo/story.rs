//! The story of 2018, side by side: one request with one address known, and with all of them; then what is silent today,
//! and what keeps the planes apart.

use std::net::UdpSocket;
use std::time::Duration;

use netlink::Netns;
use testbed::iproute;
use testbed::real::Envoy;
use testbed::real::poll::eventually;
use testbed::story::outcome::{End, Outcome};
use testbed::story::scene::{ON_FIRST, ON_SECOND, PORT, Scene, Serving, count, status};
use testbed::story::year_2018::{FROM_FIRST, FROM_SECOND, in_2018, limited_to};
use testbed::world::command;

use crate::paper::Paper;

/// What a container usually may open.
const OPEN_FILES: u64 = 1024;

const DRAWING: &[&str] = &[
    "  signal 192.168.10.0/24  ══╤════════════════════╤══════════════════╤═══",
    "                            │ .2                 │ .3               │ .1",
    "                     ┌──────┴──────┐      ┌──────┴──────┐    ┌──────┴──────┐",
    "                     │ pod A       │      │ pod B       │    │ node        │",
    "                     │ Envoy, :9080│      │ Envoy       │    │ control     │",
    "                     │             │      │             │    │ plane       │",
    "                     └──────┬──────┘      └──────┬──────┘    └──────┬──────┘",
    "                            │ .2                 │ .3               │ .1",
    "  data   10.75.8.0/24     ══╧════════════════════╧══════════════════╧═══",
    "",
    "  the service a:9080 is registered on 10.75.8.2 alone: pod A's second address",
];

pub(crate) fn tell(paper: &Paper) -> Result<(), String> {
    paper.title("\nThe story: two pods, two planes, and a service on the second");
    paper.drawing(DRAWING);

    paper.step("The rules and listeners of 2018, Envoy with 1,024 files: one request, before and after");
    before_and_after(paper)?;

    paper.step("Today's listeners and our rules: nothing loops, but a plane may go unseen; seen, then cured");
    unseen_then_cured(paper)
}

fn before_and_after(paper: &Paper) -> Result<(), String> {
    let before = in_2018("HTTP", "first", OPEN_FILES, FROM_SECOND);
    let crash = in_2018("TCP", "first", OPEN_FILES, FROM_SECOND);
    let after = in_2018("HTTP", "all", OPEN_FILES, FROM_SECOND);
    let first = in_2018("HTTP", "all", OPEN_FILES, FROM_FIRST);
    let outcomes = [&before, &crash, &after, &first];
    let row = |head: &str, cell: fn(&Outcome) -> String| {
        let mut row = vec![head.to_owned()];
        row.extend(outcomes.iter().map(|outcome| cell(outcome)));
        row
    };
    let rows = [
        row("the request", |outcome| outcome.answer.map_or("no answer".into(), |status| status.to_string())),
        row("it became, outbound", |outcome| match outcome.end {
            End::Lives { count } => count.to_string(),
            End::Died(_) => "?".into(),
        }),
        row("most files that Envoy held", |outcome| outcome.descriptors.to_string()),
        row("Envoy", |outcome| match outcome.end {
            End::Lives { .. } => "lives".into(),
            End::Died(signal) => format!("died, signal {}", signal.unwrap_or(0)),
        }),
    ];
    let head = ["", "one known: HTTP", "one known: TCP", "all known: data", "all known: signal"];
    paper.table(&head, &rows);
    paper.check(
        "with one address known, one request takes 95 % of the files and more",
        before.answer != Some(200) && before.descriptors as u64 >= OPEN_FILES * 95 / 100,
    )?;
    paper.check("over TCP it ends Envoy", matches!(crash.end, End::Died(_)))?;
    paper.check(
        "with all addresses known it is answered, on both planes, and nothing goes outbound",
        [&after, &first].iter().all(|outcome| outcome.answer == Some(200) && outcome.lives_with() == Some(0)),
    )
}

fn unseen_then_cured(paper: &Paper) -> Result<(), String> {
    let mut scene = Scene::new(ON_SECOND, "HTTP");
    scene.serve(Serving::FIRST);
    let proxy = scene.proxy(&scene.a, &limited_to(OPEN_FILES));
    let clients = [FROM_FIRST, FROM_SECOND].map(|client| scene.client(client.plane, client.address));
    let mut rows = vec![row("one address known", &proxy, &clients)?];
    scene.serve(Serving::ALL);
    let read = |proxy: &Envoy| count(proxy, "^http.inbound.*downstream_rq_total");
    eventually("the service's chains are there", || {
        let _ = status(&clients[1], ON_SECOND);
        (read(&proxy) > 0).then_some(())
    });
    rows.push(row("all known", &proxy, &clients)?);
    let head = ["", "on signal", "on data", "read by the service's listener", "passed unread", "outbound"];
    paper.table(&head, &rows);
    let is_cured = rows[0][3] == "0" && rows[0][4] == "2" && rows[1][3] == "2" && rows[1][4] == "0";
    paper.check("unread, the call has no routes, policy or metrics of its service: now it has", is_cured)?;

    paper.step("Planes are networks of their own: each client sends to the pod's address on the other plane");
    isolated(paper, &scene, &clients)?;

    drop(proxy);
    let pods = [scene.a.netns.path_from_proc(), scene.b.netns.path_from_proc()];
    let pods = pods.map(|path| Netns::open(&path).map_err(|error| error.to_string()));
    scene.end();
    for pod in pods {
        let interfaces = iproute::list(&iproute::ip(&pod?, "address show")).len();
        paper.check("a pod is deleted; `lo` is all that it has left", interfaces == 1)?;
    }
    Ok(())
}

/// One request on each plane, and what it was counted as.
fn row(head: &str, proxy: &Envoy, clients: &[Netns; 2]) -> Result<Vec<String>, String> {
    let counted = || {
        [
            "^http.inbound.*downstream_rq_total",
            "unmatched.*downstream_cx_total",
            "^http.outbound.*downstream_rq_total",
        ]
        .map(|counters| count(proxy, counters))
    };
    let before = counted();
    let mut cells = vec![head.to_owned()];
    for (client, address) in clients.iter().zip([ON_FIRST, ON_SECOND]) {
        let answer = status(client, address).ok_or_else(|| format!("{address} does not answer"))?;
        cells.push(answer.to_string());
    }
    cells.extend(counted().iter().zip(before).map(|(now, before)| (now - before).to_string()));
    Ok(cells)
}

/// Both crossings, past the pod's own interface and through the node, which forwards; then without what keeps them apart.
fn isolated(paper: &Paper, scene: &Scene, clients: &[Netns; 2]) -> Result<(), String> {
    command(&scene.world.node, "sysctl", "-qw net.ipv4.ip_forward=1");
    let crossings = [
        ("signal → data", &clients[0], ON_SECOND, ON_FIRST, "192.168.10.1"),
        ("data → signal", &clients[1], ON_FIRST, ON_SECOND, "10.75.8.1"),
    ];
    let mut rows = Vec::new();
    for (name, client, to, pod, node) in crossings {
        let over = |gateway: &str| {
            command(client, "ip", &format!("route replace {to} via {gateway}"));
            if arrives(client, &scene.a.netns, to) { "arrives" } else { "dropped" }.to_owned()
        };
        rows.push(vec![name.to_owned(), over(pod), over(node)]);
    }
    paper.table(&["", "by the pod's own interface", "through the node, forwarding"], &rows);
    let is_shut = rows.iter().all(|row| row[1..].iter().all(|cell| cell == "dropped"));
    paper.check("no packet crosses from plane to plane", is_shut)?;
    command(&scene.a.netns, "nft", "delete table inet multiplane");
    command(&scene.a.netns, "sysctl", "-qw net.ipv4.conf.all.rp_filter=0");
    let (_, client, to, pod, _) = crossings[0];
    command(client, "ip", &format!("route replace {to} via {pod}"));
    paper.check(
        "control: without our table in the pod, the first one does",
        arrives(client, &scene.a.netns, to),
    )
}

/// Whether a datagram gets from a client to an address of pod A.
fn arrives(client: &Netns, pod: &Netns, to: &str) -> bool {
    let exchange = || {
        let socket = pod.run(|| UdpSocket::bind((to, PORT))).ok()?.ok()?;
        socket.set_read_timeout(Some(Duration::from_millis(300))).ok()?;
        let sender = client.run(|| UdpSocket::bind("0.0.0.0:0")).ok()?.ok()?;
        let mut tries = 0..3;
        Some(tries.any(|_| {
            let _ = sender.send_to(b"?", (to, PORT)); // refused to pass is an answer too
            socket.recv(&mut [0; 8]).is_ok()
        }))
    };
    exchange().unwrap_or(false)
}
